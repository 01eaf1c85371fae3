"""Endless streams: encoded once for all readers, who begin at a frame with the last second, titles and playlists."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import av
import httpx
import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from streaming import server as server_process
from streaming.config import Config
from streaming.encoders.endless import MEDIA_TYPES, coding_of
from streaming.encoders.opus import OpusEncoder
from streaming.engines.ring import Chunk, make_chunk
from streaming.feed import Feeds
from streaming.metrics import Metrics
from streaming.outlet import MAX_UNREAD_BLOCKS, STORE_BLOCKS, Outlet
from streaming.session import Session
from streaming.titles import title
from streaming.transports import http_audio
from tests.streaming.conftest import SINES, Running
from tests.streaming.test_engines import wait_until
from tests.streaming.test_http import assert_problem, read_stream


@pytest.fixture(scope="module")
def server(make_server: Callable[[Config], Running]) -> Running:
    return make_server(SINES)


class Tone:
    """A source whose every block is there: a tone of 440 Hz."""

    first_tick: int | None = 0
    first_block = 0

    def __init__(self) -> None:
        self._opus = OpusEncoder()

    def read(self, block: int) -> Chunk:
        seconds = np.arange(block * BLOCK_FRAMES, (block + 1) * BLOCK_FRAMES) / 48_000
        pcm = np.repeat(0.5 * np.sin(2 * np.pi * 440 * seconds)[:, None], 2, axis=1).astype(np.float32)
        return make_chunk(block * BLOCK_FRAMES, self._opus.encode(pcm), pcm)

    def bar_frames(self) -> int:
        return 96_000

    def on_missing(self, block: int) -> None:
        raise AssertionError(block)


async def read(session: Session, num_chunks: int) -> list[Chunk]:
    chunks = [await asyncio.wait_for(session.next_chunk(), 60) for _ in range(num_chunks)]
    return [chunk for chunk in chunks if chunk is not None]


async def read_up_to(session: Session, last: Chunk) -> list[Chunk]:
    chunks = await read(session, 1)
    while chunks[-1] is not last:
        chunks += await read(session, 1)
    return chunks


def coded(chunks: list[Chunk]) -> bytes:
    return b"".join(chunk.coded for chunk in chunks)


def new_session(kind: str) -> Session:
    return Session(kind, MAX_UNREAD_BLOCKS, STORE_BLOCKS)


def decoded(encoded: bytes) -> np.ndarray:
    """float32 [2, T]."""
    with av.open(io.BytesIO(encoded)) as container:
        frames = [frame.to_ndarray().reshape(-1, frame.samples) for frame in container.decode(audio=0)]
    return np.concatenate(frames, axis=1)


@pytest.mark.parametrize("kind", ["ogg", "mp3", "aac"])
def test_who_comes_later_begins_with_the_last_second_of_the_same_bytes(kind: str) -> None:
    async def listen() -> tuple[bytes, bytes, bytes]:
        with ThreadPoolExecutor(1) as thread:
            feeds, closed = Feeds(Metrics(), 160_000, thread), []
            outlet = Outlet(Tone(), coding_of(kind), "desk", feeds, lambda: closed.append(True))
            early, late = new_session(kind), new_session(kind)
            outlet.join(early)
            feeds.on_tick(100)
            first = await read(early, 40)
            for tick in range(101, 141):
                feeds.on_tick(tick)
            first += await read(early, 40)
            outlet.join(late)
            second = await read(late, 50)
            for tick in range(141, 201):
                feeds.on_tick(tick)
            second += await read(late, 50)
            first += await read_up_to(early, second[-1])
            header = await outlet.header()
            outlet.close()
            assert closed
        return header, coded(first), coded(second)

    header, early, late = asyncio.run(listen())
    assert early.endswith(late) and len(late) < len(early)
    heard = decoded(header + late)
    assert abs(heard.shape[1] - 100 * BLOCK_FRAMES) < 4 * BLOCK_FRAMES
    settled = heard[0, 3 * BLOCK_FRAMES : 90 * BLOCK_FRAMES]
    assert 0.45 < np.abs(settled).max() < 0.55  # no frame that cannot be decoded, and no click
    assert np.abs(np.diff(settled)).max() < 0.06


def test_an_outlet_waits_a_little_for_another_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    async def come_and_go() -> list[bool]:
        with ThreadPoolExecutor(1) as thread:
            feeds, closed = Feeds(Metrics(), 160_000, thread), asyncio.Event()
            outlet = Outlet(Tone(), coding_of("wav"), "desk", feeds, closed.set)
            found = []
            for _ in range(2):
                session = new_session("wav")
                outlet.join(session)
                await asyncio.sleep(0.2)
                found.append(closed.is_set())
                outlet.leave(session)
            await asyncio.wait_for(closed.wait(), 60)
        return found

    monkeypatch.setattr("streaming.outlet._LINGER_S", 0.1)
    assert asyncio.run(come_and_go()) == [False, False]


def test_readers_of_an_encoder_that_fails_are_ended_and_the_next_one_gets_another(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = server.open()

    def fail(self: object, chunk: Chunk) -> bytes:
        raise RuntimeError("out of order")

    with monkeypatch.context() as patched:
        patched.setattr("streaming.encoders.endless._Samples.encode", fail)
        assert len(server.http.get(station["links"]["wav"]).content) == 44
    assert len(read_stream(server, station["links"]["wav"], 10_000)) >= 10_000
    wait_until(lambda: not server.conductor.stations[station["id"]].sessions)


@pytest.mark.parametrize("kind", ["mp3", "aac"])
def test_titles_between_the_bytes_can_be_taken_out_again(
    server: Running, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_audio, "ICY_INTERVAL_BYTES", 2000)
    station = server.open(mood="epic", bpm=120, key="E minor")
    url = server.address + station["links"][kind]
    with httpx.stream("GET", url, headers={"Icy-MetaData": "1"}, timeout=60) as response:
        interval = int(response.headers["icy-metaint"])
        assert response.headers["icy-br"] == str(coding_of(kind).bit_rate // 1000)
        received = b""
        for part in response.iter_raw():
            received += part
            if len(received) > 3 * interval:
                break
    audio, titles = b"", []
    while len(received) > interval:
        num_bytes = 16 * received[interval]
        titles.append(received[interval + 1 : interval + 1 + num_bytes].rstrip(b"\0").decode())
        audio, received = audio + received[:interval], received[interval + 1 + num_bytes :]
    assert titles[0].startswith("StreamTitle='Epic, ") and titles[0].endswith("E minor (generated by AI)';")
    assert titles[1] == ""
    with av.open(io.BytesIO(audio)) as container:
        assert sum(packet.size for packet in container.demux() if not packet.is_corrupt) > 0.9 * len(audio)


@pytest.mark.parametrize(
    ("kind", "asked"), [("ogg", {"Icy-MetaData": "1"}), ("mp3", {}), ("mp3", {"Icy-MetaData": "0"})]
)
def test_titles_are_told_only_where_they_are_asked_for_and_have_a_place(
    server: Running, kind: str, asked: dict[str, str]
) -> None:
    with server.http.stream("GET", server.open()["links"][kind], headers=asked) as response:
        assert not [name for name in response.headers if name.startswith("icy")]
        assert response.headers["content-type"] == MEDIA_TYPES[kind]


def test_a_title_cannot_end_its_own_quotes_and_is_cut_where_it_is_too_long() -> None:
    block = http_audio.icy_block("it's 'a'; StreamUrl='x'")
    assert len(block) == 1 + 16 * block[0]
    assert block.count(b"'") == 2
    assert len(http_audio.icy_block("é" * 10_000)) == 1 + 255 * 16


def test_an_ogg_tells_its_title_and_the_frames_of_the_station(server: Running) -> None:
    received = read_stream(server, server.open(name="desk")["links"]["ogg"], 1000)
    with av.open(io.BytesIO(received)) as container:
        assert container.streams.audio[0].metadata["title"] == "Undersong: desk"


def test_a_playlist_leads_to_the_stream_under_the_address_it_was_asked_for_with(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.open(name="desk")
    path = "/v1/stations/desk/audio"
    m3u = server.http.get(f"{path}.m3u?token=a%26b")
    assert m3u.text.splitlines() == ["#EXTM3U", "#EXTINF:-1,Undersong: desk", f"{server.address}{path}.mp3?token=a%26b"]
    pls = server.http.get(f"{path}.pls?format=ogg", headers={"X-Forwarded-Prefix": "/music"})
    assert pls.headers["content-type"].startswith("audio/x-scpls")
    assert f"File1={server.address}/music{path}.ogg\n" in pls.text
    assert_problem(server.http.get(f"{path}.m3u?format=flac"), 422, "bad_parameter")
    assert_problem(server.http.get("/v1/stations/nobody/audio.m3u"), 404, "unknown_station")
    elsewhere = server.conductor.config.model_copy(update={"public_url": "https://example.org"})
    monkeypatch.setattr(server.conductor, "config", elsewhere)
    assert server.http.get(f"{path}.m3u").text.splitlines()[-1] == f"https://example.org{path}.mp3"


def test_an_old_client_gets_plain_bytes_until_the_connection_ends(server: Running) -> None:
    station = server.open()
    address = urlsplit(server.address)
    with socket.create_connection((address.hostname, address.port), 30) as old:
        old.sendall(f"GET {station['links']['wav']} HTTP/1.0\r\n\r\n".encode())
        received = b""
        while len(received) < 4000:
            received += old.recv(4096)
        server.http.delete(station["links"]["self"])
        while part := old.recv(65_536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body.startswith(b"RIFF")
    assert (len(body) - 44) % 4 == 0  # it has ended behind a whole frame


def test_a_connection_that_nobody_reads_is_ended(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    station = server.open()
    own = server.conductor.stations[station["id"]]
    monkeypatch.setattr(server_process, "_UNREAD_S", 0.3)
    address = urlsplit(server.address)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((address.hostname, address.port))
        slow.sendall(f"GET {station['links']['wav']} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
        wait_until(lambda: len(own.sessions) == 1)
        wait_until(lambda: not own.sessions)


def test_a_mood_has_a_title() -> None:
    mood = {"valence": -0.21, "energy": 0.9, "tension": 0.55, "style": {"orchestral": 0.7, "cinematic": 0.3}}
    assert title({**mood, "bpm": 127.6, "key": "E minor"}).endswith(
        ", orchestral & cinematic, 128 bpm, E minor (generated by AI)"
    )
