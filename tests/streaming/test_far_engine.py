"""An engine that shares no files, no clock and no parent with the server process plays as a local one does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.far_engine import FarEngines
from tests.streaming.sines import Sines
from tests.streaming.test_engines import wait_until
from tests.streaming.test_live import read_until_same
from tests.streaming.test_sleep import inside, put_to_sleep

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Running]) -> Running:
    return make_server(SINES, FarEngines)


def test_a_station_sounds_the_same_from_an_engine_on_another_clock_and_after_its_death(server: Running) -> None:
    station = server.open(seed=1, energy=0.5)
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        steer = {"type": "steer", "set": {"energy": 0.9}}
        server.http.post(station["links"]["controls"], json=steer)
        read_until_same(server, station, Sines(1), audio, 60)  # until the engine has kept it, in vain
        server.engine.process.kill()
        steer["set"]["energy"] = 0.1
        assert server.http.post(station["links"]["controls"], json=steer).status_code == 200
        read_until_same(server, station, Sines(1), audio, 40)


def test_one_that_slept_where_its_engine_kept_nothing_is_made_anew(server: Running) -> None:
    station = server.open(seed=2, energy=0.5)
    steer = {"type": "steer", "set": {"energy": 0.9}}
    server.http.post(station["links"]["controls"], json=steer)
    put_to_sleep(server, station)
    wait_until(lambda: inside(server, station).is_asleep)
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        read_until_same(server, station, Sines(1), audio, 40)
