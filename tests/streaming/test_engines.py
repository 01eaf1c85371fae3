"""Several engines share the stations: each has its own, and its death is heard by these alone."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import UnknownGenerator
from streaming.config import Config
from streaming.engines import link, process
from streaming.errors import BadConfig
from tests.streaming.conftest import SINES, Running, dial


def wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(1000):
        if is_so():
            return
        time.sleep(0.02)
    raise AssertionError("what was waited for has not come")


@pytest.fixture(scope="module")
def server(make_server: Callable[[Config], Running]) -> Running:
    return make_server(SINES.model_copy(update={"engines": 2}))


@pytest.fixture(autouse=True)
def all_engines_are_there(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """And their loads are what a test makes them, whatever else this machine does."""
    wait_until(lambda: len(server.engines) == 2 and all(engine.is_ready for engine in server.engines))
    monkeypatch.setattr(link, "_PACE", 0.0)
    monkeypatch.setattr(link, "_SLOW_PACE", 0.0)
    for engine in server.engines:
        engine.load, engine._unseen_load, engine.station_load = 0.0, 0.0, 0.05


def engine_of(server: Running, station: dict[str, Any]) -> int:
    return server.engines.index(server.conductor.stations[station["id"]].link)


def steer(server: Running, station: dict[str, Any]) -> int:
    answer = server.http.post(station["links"]["controls"], json={"type": "steer", "set": {"energy": 0.9}})
    return answer.status_code


def test_stations_are_spread_over_the_engines(server: Running) -> None:
    stations = [server.open(seed=seed) for seed in range(6)]
    placed = [engine_of(server, station) for station in stations]
    assert sorted(placed) == [0, 0, 0, 1, 1, 1]
    assert len({engine.pid for engine in server.engines}) == 2


def test_a_station_goes_where_there_is_time(server: Running) -> None:
    server.engines[0].load = 0.8
    assert [engine_of(server, server.open()) for _ in range(2)] == [1, 1]


def test_only_when_all_are_busy_a_station_is_refused_with_the_figures(server: Running) -> None:
    for engine in server.engines:
        engine.load = 0.97
    refused = server.http.post("/v1/stations", json={})
    assert refused.status_code == 503 and refused.json()["code"] == "engine_unavailable"
    assert refused.json()["detail"].count("% busy with 0 stations") == 2 and "Retry-After" in refused.headers


def test_the_death_of_an_engine_touches_its_own_stations_only(server: Running) -> None:
    first, second = server.open(seed=1), server.open(seed=2)
    dead, alive = (server.engines[engine_of(server, station)] for station in (first, second))
    assert dead is not alive
    pids = dead.pid, alive.pid
    with dial(server.ws(first["links"]["live"])), dial(server.ws(second["links"]["live"])):  # heard, they do not sleep
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: not dead.is_ready)
        assert server.http.get("/readyz").status_code == 200
        assert steer(server, second) == 200
        assert engine_of(server, server.open()) == server.engines.index(alive)
        assert steer(server, first) == 200  # answered by the engine that came back
        assert dead.is_ready and dead.pid not in (None, pids[0]) and alive.pid == pids[1]
    metrics = server.http.get("/metrics").text
    assert "undersong_engine_restarts_total 1.0" in metrics and 'undersong_each_engine_load{engine="2"}' in metrics


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"engines": 0}, ["engines is 0", '"auto" or 1 … 64']),
        ({"engines": 65}, ["engines is 65", "1 … 64"]),
        ({"engines": "many"}, ['engines is "many"', '"auto"']),
        ({"engines": True}, ["engines is true"]),
        ({"engines": 4, "max_stations": 3}, ["engines is 4", "max_stations", "3"]),
        ({"engines": 2, "device": "cuda"}, ["engines is 2", "cuda", "1"]),
    ],
)
def test_engines_that_cannot_be_are_named(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BadConfig) as error:
        Config(**settings)
    assert all(word in str(error.value) for word in words), str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_auto_is_one_engine_a_core_where_there_are_stations_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    numbers = {most: Config(max_stations=most).num_engines for most in (1, 8, 9, 16, 48, 1000)}
    assert numbers == {1: 1, 8: 1, 9: 2, 16: 2, 48: 6, 1000: 6}
    assert Config(max_stations=1000, device="cuda").num_engines == 1


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        ("tests.streaming.sines:open_faulty", "ValueError: there are no sines today"),
        ("tests.streaming.sines:Running", "no attribute 'Running'"),
    ],
)
def test_a_generator_that_cannot_be_made_is_one_line_with_what_it_said(generator: str, words: str) -> None:
    with pytest.raises(UnknownGenerator) as error:
        process.load_generator(Config(generator=generator))
    assert words in str(error.value) and generator in str(error.value)
    assert len(str(error.value).splitlines()) == 1
