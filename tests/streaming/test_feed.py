"""Feeds: what is handed out, to whom, and when a block that is late is still taken."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from moods.opening import Opening
from streaming.config import Config
from streaming.encoders.pcm import to_s16le
from streaming.engines.ring import Chunk, make_chunk
from streaming.feed import Feeds
from streaming.metrics import Metrics
from streaming.session import Session
from streaming.station import Station
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.sines import Sines
from tests.streaming.test_live import read_pcm


@pytest.fixture(scope="module")
def server(make_server: Callable[[Config], Running]) -> Running:
    return make_server(SINES)


class Blocks:
    """A source whose block n is there when it has been looked for `lateness[n]` times in vain, later ones at once."""

    first_tick: int | None = 0
    first_block = 0

    def __init__(self, lateness: Sequence[int] = ()) -> None:
        self.missing: list[int] = []
        self.looks: Counter[int] = Counter()
        self._lateness = dict(enumerate(lateness))

    def read(self, block: int) -> Chunk | None:
        self.looks[block] += 1
        if self.looks[block] <= self._lateness.get(block, 0):
            return None
        return make_chunk(block * BLOCK_FRAMES, b"", np.full((BLOCK_FRAMES, 2), 0.5, np.float32))

    def bar_frames(self) -> int:
        return 96_000

    def on_missing(self, block: int) -> None:
        self.missing.append(block)


def heard(source: Blocks, ticks: Sequence[int], num_blocks: int, lag_blocks: int = 0) -> list[int]:
    """The numbers of the blocks that a session is handed at `ticks`, made of the source's blocks or of the filler's."""

    async def listen() -> list[int]:
        with ThreadPoolExecutor(1) as thread:
            feeds = Feeds(Metrics(), 160_000, thread)
            feed, session = feeds.open(source, lag_blocks), Session("test", 100, lag_blocks)
            feed.sessions.add(session)
            session.began_frame = 0  # nothing that waits is passed over
            for tick in ticks:
                feeds.on_tick(tick)
            chunks = [await asyncio.wait_for(session.next_chunk(), 60) for _ in range(num_blocks)]
            feed.close()
        return [chunk.frame // BLOCK_FRAMES for chunk in chunks if chunk is not None]

    return asyncio.run(listen())


@pytest.mark.parametrize(
    ("lateness", "filled"),
    [
        ([0, 0, 3, 0], []),
        ([0, 0, 4, 0], [2]),
        ([0, 2, 2, 2], []),  # several at once, as after a standstill: none has been waited for
        ([0, 3, 3, 1], [3]),  # their waits add up to no more than two of them
        ([0, 9, 9, 9], [1, 2, 3]),
    ],
)
def test_what_is_late_is_looked_for_a_few_times_more(lateness: list[int], filled: list[int]) -> None:
    source = Blocks(lateness)
    assert heard(source, [0, 3], 4) == [0, 1, 2, 3]
    assert source.missing == filled


def test_a_feed_with_a_lag_begins_with_that_much_in_store_or_all_of_a_young_station() -> None:
    assert heard(Blocks(), [1000, 1001], 52, lag_blocks=50) == list(range(950, 1002))
    assert heard(Blocks(), [0, 1, 2], 3, lag_blocks=50) == [0, 1, 2]


@pytest.mark.parametrize(("lateness", "filled"), [(50, []), (60, [2])])  # one look a tick until it is due, then more
def test_what_is_late_by_less_than_the_lag_is_waited_for(lateness: int, filled: list[int]) -> None:
    source = Blocks([0, 0, lateness])
    assert heard(source, range(60), 4, lag_blocks=50) == [0, 1, 2, 3]
    assert source.missing == filled


@pytest.mark.parametrize(("lag_blocks", "resumed"), [(0, 201), (50, 176)])  # into a store go half a second of it
def test_what_was_missed_for_long_is_left_out(lag_blocks: int, resumed: int) -> None:
    source = Blocks()
    ticks = [100, 101, 201, 202]
    assert heard(source, ticks, 203 - resumed, lag_blocks) == list(range(resumed, 203))  # nor what still waited
    assert source.missing == [resumed]  # a moment of the filler joins both sides


class Taking:
    """A fan that keeps the blocks it was to send."""

    def __init__(self, has_trouble: bool = False) -> None:
        self.blocks: list[int] = []
        self.is_broken_off, self._has_trouble = False, has_trouble

    def push(self, chunk: Chunk) -> None:
        self.blocks.append(chunk.frame // BLOCK_FRAMES)
        if self._has_trouble:
            raise OSError("its own trouble")

    def leave(self, session: Session) -> None:
        assert session.fan is self

    def break_off(self) -> None:
        self.is_broken_off = True


def test_fans_are_handed_every_block_in_order_and_one_that_fails_ends_alone(caplog: pytest.LogCaptureFixture) -> None:
    fans = [Taking(has_trouble=number == 2) for number in range(5)]
    session = Session("test", 10)

    async def listen() -> None:
        with ThreadPoolExecutor(1) as thread:
            feeds = Feeds(Metrics(), 160_000, thread)
            feed = feeds.open(Blocks(), 0)
            feed.fans.extend(fans)
            feed.sessions |= {session, pushed}
            for tick in range(5):
                feeds.on_tick(tick)
            for _ in range(100):
                await asyncio.sleep(0)
            feed.close()

    pushed = Session("test", 10)
    pushed.push_to(fans[0])
    asyncio.run(listen())
    assert [fan.blocks for fan in fans] == 5 * [[0, 1, 2, 3, 4]]
    assert [fan.is_broken_off for fan in fans] == [False, False, True, False, False]
    assert {record.getMessage() for record in caplog.records if record.exc_info} == {"listeners cannot be sent to"}
    assert (len(session.mailbox), len(pushed.mailbox)) == (5, 0)


def test_a_stopped_engine_leaves_a_gap_only_for_who_hears_it_live(server: Running) -> None:
    station = server.open(seed=1, energy=0.5)
    own = server.conductor.stations[station["id"]]
    with (
        httpx.stream("GET", server.address + station["links"]["wav"], timeout=60) as response,
        dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio,
    ):
        pieces = response.iter_raw()
        begun_s = time.monotonic()
        assert len(header := next(pieces)) == 44
        assert own.frame < 24_000 or time.monotonic() - begun_s > 0.4  # long before there is sound for it
        audio.recv(10)
        frames, early = read_pcm(audio, 10)
        engine, num_underruns = server.engine.pid, own.num_underruns
        os.kill(engine, signal.SIGSTOP)
        while own.num_underruns == num_underruns:
            time.sleep(0.005)
        os.kill(engine, signal.SIGCONT)  # at once: who hears it a second later is to miss nothing on a busy machine
        later, rest = read_pcm(audio, 40)
        wav = b""
        while len(wav) < 60 * BLOCK_FRAMES * 4:
            wav += next(pieces)
        (session,) = (one for one in own.sessions.values() if one.kind == "wav")
        assert session.began_frame == 0
    wanted = server.performed(station, Sines(1), 100)
    assert wav == to_s16le(wanted)[: len(wav)]
    live = np.concatenate([early, rest])
    assert frames + later == list(range(frames[0], frames[0] + len(live), BLOCK_FRAMES))
    assert not np.array_equal(live, wanted[frames[0] :][: len(live)])
    assert header[:4] == b"RIFF"


def test_a_station_that_nobody_hears_costs_nothing_a_tick(server: Running) -> None:
    station = server.open()
    own = server.conductor.stations[station["id"]]
    reads, read = [], own.read
    own.read = lambda block: reads.append(block) or read(block)

    def looks_within(seconds: float) -> int:
        del reads[:]
        time.sleep(seconds)
        return len(reads)

    assert not looks_within(0.2)
    with dial(server.ws(station["links"]["audio"])) as audio:
        audio.recv(10), audio.recv(10)
        assert looks_within(0.2)
    while own.sessions:
        time.sleep(0.01)
    assert not looks_within(0.2)


class Tape:
    """A link to an engine whose every block is there: number n is full of n / 1000."""

    lead_ms = 17.0
    is_ready = True

    def read(self, station_id: str, block: int) -> Chunk:
        return make_chunk(block * BLOCK_FRAMES, b"", np.full((BLOCK_FRAMES, 2), block / 1000, np.float32))


PLAYING = {"state": "playing", "mood": {}, "heading": {}, "pending": [], "volume_db": 0.0, "target_lufs": -16.0} | {
    "position": {"bar": 1, "beat": 1, "bpm": 90}
}


@pytest.mark.parametrize("lag_blocks", [0, 50])
def test_frames_do_not_count_the_sleep(lag_blocks: int) -> None:
    """Whether the listener comes after the station fell asleep or while it did."""

    async def sleep_and_wake() -> None:
        with ThreadPoolExecutor(1) as thread:
            feeds, calls = Feeds(Metrics(), 160_000, thread), []
            station = Station("s", Opening(), 1, Tape(), feeds, lambda station: calls.append(station.is_idle))
            station.on_opened(100, PLAYING)
            early = station.add_session("test", 1000, lag_blocks)
            early.began_frame = 0
            for tick in range(100, 200):
                feeds.on_tick(tick)
            station.fall_asleep(100)
            assert (station.frame, station.state()["state"]) == (100 * BLOCK_FRAMES, "asleep")
            late = station.add_session("test", 1000, lag_blocks)
            late.began_frame = 0
            for tick in range(200, 5000):
                feeds.on_tick(tick)
            station.on_opened(5000 - 100, PLAYING)
            for tick in range(5000, 5100):
                feeds.on_tick(tick)
            assert station.state()["state"] == "playing"
            for session in (early, late):
                station.remove_session(session)
            assert [await numbers(session) for session in (early, late)] == [
                [*range(200)],
                [*range(100, 200)],
            ]
            assert calls == [False, True]
            assert not station.num_underruns

    async def numbers(session: Session) -> list[int]:
        found = []
        while (chunk := await session.next_chunk()) is not None:
            assert chunk.pcm[0, 0] == np.float32(chunk.frame / BLOCK_FRAMES / 1000)
            found.append(chunk.frame // BLOCK_FRAMES)
        return found

    asyncio.run(sleep_and_wake())
