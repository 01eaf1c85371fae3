"""A server that ends takes nothing new, has the music finish its beat and fade, and says goodbye to all who listen."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from moods.opening import parse_opening
from streaming.conductor import Conductor
from streaming.errors import ServerEnds
from streaming.fading import FADE_BLOCKS
from streaming.jobs.worker import Worker
from streaming.session import DELETED, SHUT_DOWN, Ending
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.test_engines import wait_until
from tests.streaming.test_live import read_pcm
from tests.streaming.test_sleep import hear_on, inside, steer

PCM = "?format=pcm_f32le"


@pytest.fixture
def start() -> Any:
    running: list[Running] = []

    def begin(**settings: Any) -> Running:
        server = Running(SINES.model_copy(update=settings))
        server.start()
        running.append(server)
        return server

    def end(server: Running) -> threading.Thread:
        """Whose end the thread waits for."""
        running.remove(server)
        thread = threading.Thread(target=server.stop)
        thread.start()
        return thread

    begin.end = end  # type: ignore[attr-defined]
    yield begin
    for server in running:
        server.stop()


def read_to_the_end(audio: ClientConnection, ending: Ending) -> tuple[list[int], np.ndarray]:
    """All that is still to come, frames and blocks, until the server says `ending`."""
    frames, blocks = [], []
    with pytest.raises(ConnectionClosed):
        while True:
            read, samples = read_pcm(audio, 1)
            frames += read
            blocks.append(samples)
    assert (audio.close_code, audio.close_reason) == (ending.code, ending.reason)
    return frames, np.array(blocks)


def first_faded(blocks: np.ndarray) -> int:
    """About the first block of a fade that ends in silence, without a step."""
    peaks = np.abs(blocks).max(axis=(1, 2))
    assert peaks[0] > 0.1 and peaks[-1] < 1e-3
    assert np.abs(np.diff(blocks.reshape(-1, 2), axis=0)).max() < 0.05
    (falling,) = np.nonzero((peaks < 0.99 * peaks[0]) & (peaks > 1e-3))
    assert falling[-1] - falling[0] < FADE_BLOCKS and len(falling) > FADE_BLOCKS // 2
    return int(falling[0])


def test_whoever_listens_hears_a_fade_and_the_next_server_goes_on_with_the_beat_that_faded(
    start: Any, tmp_path: Path
) -> None:
    settings = {"stations": str(tmp_path), "idle_close_s": 0.1,
                "open": ({"name": "desk", "energy": 0.5, "seed": 3}, {"name": "side"})}  # fmt: skip
    server: Running = start(**settings)
    station, side = (server.http.get(f"/v1/stations/{name}").json() for name in ("desk", "side"))
    assert (station["seed"], station["state"], station["position"]["frame"]) == (3, "asleep", 0)
    with (
        dial(server.ws(station["links"]["audio"]) + PCM) as audio,
        dial(server.ws(station["links"]["live"])) as live,
        httpx.stream("GET", server.address + station["links"]["wav"]) as stream,
    ):
        assert read_pcm(audio, 20)[0][0] < 96_000  # it begins with whoever comes first
        steer(server, station, 0.5)
        passing = server.open()
        wait_until(lambda: passing["id"] not in server.conductor.stations)  # nobody came, and it has no name
        ending = start.end(server)
        frames, blocks = read_to_the_end(audio, SHUT_DOWN)
        list(stream.iter_bytes())  # ends as a whole response does
        events = []
        with pytest.raises(ConnectionClosed):
            while True:
                events.append(json.loads(live.recv(10)))
        assert live.close_code == SHUT_DOWN.code and events[-1]["state"] == "closed"
        ending.join()
    block = json.loads((tmp_path / f"{station['id']}.at").read_text())["block"]
    assert 0 <= frames[first_faded(blocks)] // 960 - block < 8  # a fade begins gently
    beats = [event["frame"] // 960 for event in events if event["type"] == "beat"]
    assert min(block - beat for beat in beats if beat <= block) < 10  # an engine that is far ahead is a little later

    again: Running = start(**settings | {"open": ({"name": "desk", "mood": "epic"}, {"name": "new"})})
    stations = {station["name"]: station for station in again.http.get("/v1/stations").json()["stations"]}
    assert set(stations) == {"desk", "side", "new"}
    assert stations["desk"]["id"] == station["id"] and stations["side"]["id"] == side["id"]  # what was kept wins
    wait_until(lambda: not inside(again, station).is_asleep)  # somebody was listening
    assert inside(again, station).first_block == block
    hear_on(again, station, 25)  # as its take has it, in which there is no fade


@pytest.mark.long
def test_a_server_whose_engine_is_dead_ends_all_the_same(start: Any) -> None:
    server: Running = start()
    station = server.open()

    async def end() -> None:
        server.engine._kill()
        async with asyncio.timeout(10):
            await server.conductor.drain()

    with dial(server.ws(station["links"]["audio"]) + PCM) as audio:
        read_pcm(audio, 5)
        server.call(end())
        read_to_the_end(audio, SHUT_DOWN)


@pytest.mark.parametrize(("drain_s", "is_done"), [(0.0, False), (0.05, False), (60.0, True)])
async def test_a_server_waits_for_renders_as_long_as_it_is_told(drain_s: float, is_done: bool) -> None:
    conductor, done = Conductor(SINES.model_copy(update={"drain_s": drain_s})), asyncio.Event()

    async def work() -> None:
        conductor.jobs._working["one"] = cast(Worker, None)
        await done.wait()
        del conductor.jobs._working["one"]

    working = asyncio.create_task(work())
    await asyncio.sleep(0)
    draining = asyncio.create_task(conductor.drain())
    await asyncio.sleep(0.2)
    assert draining.done() != is_done
    done.set()
    await asyncio.gather(draining, working)


def test_a_station_that_is_deleted_is_gone_at_once_and_fades_for_those_who_listen(server: Running) -> None:
    station = server.open(energy=0.5)
    with dial(server.ws(station["links"]["audio"]) + PCM) as audio:
        read_pcm(audio, 20)
        assert server.http.delete(station["links"]["self"]).status_code == 204
        assert server.http.get(station["links"]["self"]).status_code == 404
        first_faded(read_to_the_end(audio, DELETED)[1])
    wait_until(lambda: not server.engine.num_stations)


def test_the_place_of_a_station_that_fades_is_waited_for(start: Any) -> None:
    server = start(max_stations=1)
    old = server.open()
    with dial(server.ws(old["links"]["audio"] + PCM)) as audio:
        read_pcm(audio, 5)
        assert server.http.delete(old["links"]["self"]).status_code == 204
        new = server.open()
        read_to_the_end(audio, DELETED)
    assert new["state"] == "playing"


def test_a_server_that_is_about_to_end_takes_nothing_new_and_can_be_hurried(server: Running) -> None:
    """The last of this file: the server is over with it."""
    station = server.open()
    links = station["links"]

    async def refuse() -> None:
        server.conductor.refuse()
        with pytest.raises(ServerEnds):
            await server.conductor.open_station(parse_opening({}))

    async def end() -> None:
        server.conductor.hurry()
        await server.conductor.drain()

    with dial(server.ws(links["audio"]) + PCM) as audio:
        read_pcm(audio, 5)
        server.call(refuse())
        assert server.http.get("/readyz").status_code == 503
        assert server.http.get("/healthz").status_code == 200
        for answer in (
            server.http.post("/v1/stations", json={}),
            server.http.post(links["controls"], json={"type": "panic"}),
            server.http.get(links["wav"]),
            server.http.post("/v1/renders", json={"duration": 3}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "server_ends")
            assert int(answer.headers["Retry-After"]) > 0
        read_pcm(audio, 5)  # who listens goes on
        server.call(end())
        _, blocks = read_to_the_end(audio, SHUT_DOWN)
        assert len(blocks) < FADE_BLOCKS
