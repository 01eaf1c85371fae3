"""Processes that stand still, as in a stopped container, and go on: listeners hear the present, not what was missed."""

from __future__ import annotations

import asyncio
import functools
import io
import json
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import av
import httpx
import pytest

from benchmarks.harness import ROOT, Server, running_server
from engine.audio import BLOCK_FRAMES
from streaming.outlet import STORE_BLOCKS
from tests.streaming.conftest import Running, dial

pytestmark = pytest.mark.slow

STANDSTILL_S = 1.5
LEFT_OUT_FRAMES = round((STANDSTILL_S - 0.6) * 48_000)
"""Of the standstill half a second may be made up for."""
SETTINGS = 'generator = "tests.streaming.sines:open_sines"\nengines = 1\nsnapshot_s = 0.5'


@pytest.fixture(scope="module")
def sines() -> Iterator[Server]:
    with running_server(settings=SETTINGS, environment={"PYTHONPATH": str(ROOT)}) as running:
        yield running


class Audience:
    """Listens in all ways at once, each on a thread of its own, until `leave`."""

    def __init__(self, server: Server, station: dict[str, Any]) -> None:
        self.frames: list[int] = []
        self.events: list[dict[str, Any]] = []
        self.files = {kind: bytearray() for kind in ("wav", "ogg", "mp3")}
        self._url, self._links = server.url, station["links"]
        self._has_left = threading.Event()
        self._pool = ThreadPoolExecutor(5)
        readers = [lambda: self._read("live", self._take_event), lambda: self._read("audio", self._take_block)]
        readers += [functools.partial(self._read_file, kind) for kind in self.files]
        self._reading = [self._pool.submit(reader) for reader in readers]
        self.wait_until(lambda: all([self.frames, self.events, *self.files.values()]))

    def _read(self, link: str, take: Callable[[Any], None]) -> None:
        with dial(self._url.replace("http", "ws") + self._links[link]) as socket:
            while not self._has_left.is_set():
                take(socket.recv(20))

    def _take_event(self, message: str) -> None:
        self.events.append(json.loads(message))

    def _take_block(self, message: bytes | str) -> None:
        if isinstance(message, bytes):
            self.frames.append(struct.unpack_from("<Q", message)[0])

    def _read_file(self, kind: str) -> None:
        with httpx.stream("GET", self._url + self._links[kind], timeout=60) as response:
            for piece in response.iter_raw():
                self.files[kind] += piece
                if self._has_left.is_set():
                    return

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        for _ in range(1000):
            if is_so():
                return
            time.sleep(0.02)
        raise AssertionError("what was waited for has not come")

    def leave(self) -> None:
        self._has_left.set()
        for reading in self._reading:
            reading.result(20)


def frame_of(server: Server, station: dict[str, Any]) -> int:
    return httpx.get(server.url + station["links"]["self"], timeout=60).json()["position"]["frame"]


def steps(frames: Sequence[int]) -> list[int]:
    return [later - earlier for earlier, later in zip(frames, frames[1:], strict=False)]


@pytest.mark.parametrize("which", ["server", "both"])
def test_everyone_hears_the_present_after_a_standstill(sines: Server, which: str) -> None:
    station = sines.open_station(mood="epic", bpm=180)
    engine = sines.process.children()[0]
    stopped = [sines.process.pid, *([engine.pid] if which == "both" else [])]
    began = max(0, frame_of(sines, station) - STORE_BLOCKS * BLOCK_FRAMES)
    audience = Audience(sines, station)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    num_before = len(audience.frames)
    time.sleep(STANDSTILL_S)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    audience.wait_until(lambda: len(audience.frames) > num_before + 50)
    audience.leave()
    most_frames = frame_of(sines, station) + BLOCK_FRAMES - began - LEFT_OUT_FRAMES

    assert max(steps(audience.frames)) >= LEFT_OUT_FRAMES
    assert min(steps(audience.frames)) > 0
    assert BLOCK_FRAMES < (len(audience.files["wav"]) - 44) / 4 <= most_frames
    with av.open(io.BytesIO(audience.files["ogg"])) as ogg:
        times = [packet.pts for packet in ogg.demux() if packet.pts is not None]
    assert max(steps(times)) >= LEFT_OUT_FRAMES
    assert len(times) * BLOCK_FRAMES <= most_frames
    with av.open(io.BytesIO(audience.files["mp3"])) as mp3:
        assert BLOCK_FRAMES < sum(frame.samples for frame in mp3.decode(audio=0)) <= most_frames

    assert engine.is_running()
    take = httpx.get(sines.url + station["links"]["take"], timeout=60).text.splitlines()
    skips = [json.loads(line) for line in take[1:]]
    if which == "both":
        assert sum(skip["blocks"] for skip in skips) * BLOCK_FRAMES >= LEFT_OUT_FRAMES
    beats = {(event["bar"], event["beat"]): event["frame"] for event in audience.events if event["type"] == "beat"}
    first, *_, last = beats.values()  # of each beat its last word
    left_out = sum(skip["blocks"] for skip in skips if first < skip["frame"] < last) * BLOCK_FRAMES
    numbers = [4 * bar + beat for bar, beat in beats]
    assert last - first == 16_000 * (numbers[-1] - numbers[0]) + left_out
    httpx.delete(sines.url + station["links"]["self"], timeout=60)


def test_a_standstill_does_not_count_as_idleness_nor_as_a_dead_engine(server: Running) -> None:
    station = server.open()
    conductor = server.conductor
    limit_s = conductor.config.idle_close_s

    async def stand_still() -> tuple[bool, bool]:
        conductor.stations[station["id"]].idle_since_s = time.monotonic() - limit_s + 1.0
        server.engine.excuse(time.monotonic())
        time.sleep(2.0)  # the event loop itself
        await asyncio.sleep(0.3)
        return station["id"] in conductor.stations, conductor.is_ready

    assert server.call(stand_still()) == (True, True)
