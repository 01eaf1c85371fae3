"""An engine that shares no files, no clock and no parent with the server process plays as a local one does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.far_engine import FarEngines
from tests.streaming.sines import Sines
from tests.streaming.test_engines import wait_until
from tests.streaming.test_live import read_pcm
from tests.streaming.test_sleep import inside, put_to_sleep


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Running]) -> Running:
    return make_server(SINES, FarEngines)


def read_same(server: Running, station: dict[str, Any], audio: ClientConnection, num_same: int) -> None:
    """Read until so many blocks have come that are the music, sample for sample."""
    same = 0
    for _ in range(60):
        frames, pcm = read_pcm(audio, 25)
        wanted = server.performed(station, Sines(1), frames[-1] // 960 + 1)[frames[0] :]
        same += int((pcm == wanted).reshape(-1, 960, 2).all(axis=(1, 2)).sum())
        if same >= num_same:
            return
    raise AssertionError(f"only {same} blocks were the music")


def test_a_station_sounds_the_same_from_an_engine_on_another_clock_and_after_its_death(server: Running) -> None:
    station = server.open(seed=1, energy=0.5)
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        steer = {"type": "steer", "set": {"energy": 0.9}}
        server.http.post(station["links"]["controls"], json=steer)
        read_same(server, station, audio, 60)  # until the engine has kept it, in vain
        server.engine.process.kill()
        steer["set"]["energy"] = 0.1
        assert server.http.post(station["links"]["controls"], json=steer).status_code == 200
        read_same(server, station, audio, 40)


def test_one_that_slept_where_its_engine_kept_nothing_is_made_anew(server: Running) -> None:
    station = server.open(seed=2, energy=0.5)
    steer = {"type": "steer", "set": {"energy": 0.9}}
    server.http.post(station["links"]["controls"], json=steer)
    put_to_sleep(server, station)
    wait_until(lambda: inside(server, station).is_asleep)
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        read_same(server, station, audio, 40)
