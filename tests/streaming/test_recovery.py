"""The engine process dies or hangs: the listener's sound goes on, the music returns where it would have been."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import ClientConnection

from engine.generator import Generator
from streaming.config import Config
from streaming.engines import link
from streaming.scratch import snapshot_path
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.sines import Sines
from tests.streaming.test_engines import wait_until
from tests.streaming.test_live import read_pcm, read_until_same

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(make_server: Callable[[Config], Running]) -> Running:
    return make_server(SINES)


@pytest.fixture(autouse=True)
def engine_is_there(server: Running) -> None:
    for _ in range(1000):
        if server.conductor.is_ready:
            return
        time.sleep(0.02)
    raise AssertionError("the engine has not come back")


def restarts(server: Running) -> float:
    return server.conductor.metrics.registry.get_sample_value("undersong_engine_restarts_total") or 0.0


def test_an_engine_that_cannot_keep_a_snapshot_plays_on(server: Running) -> None:
    before, station = restarts(server), server.open()
    snapshot = snapshot_path(server.engine._folder, station["id"])
    (obstacle := snapshot.with_suffix(".partial")).mkdir()  # as good as a full disk, which a test cannot have
    snapshot.unlink(missing_ok=True)
    time.sleep(1.2)
    obstacle.rmdir()
    deadline = time.monotonic() + 20
    while not snapshot.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert snapshot.exists() and restarts(server) == before
    server.http.delete(station["links"]["self"])


def hear_it_return(
    server: Running, station: dict[str, Any], generator: Generator, audio: ClientConnection, how: signal.Signals
) -> tuple[list[int], np.ndarray]:
    """Send the engine a signal that ends it, and read on until another plays the same music."""
    before = restarts(server)
    os.kill(server.engine.pid, how)
    frames, blocks = read_pcm(audio, 1)
    while restarts(server) == before:
        more_frames, pcm = read_pcm(audio, 10)
        frames, blocks = frames + more_frames, np.concatenate([blocks, pcm])
        assert len(frames) < 3000, "the engine has not come back"
    more_frames, pcm = read_until_same(server, station, generator, audio, 40, at_once=50)
    return frames + more_frames, np.concatenate([blocks, pcm])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_sound_goes_on_and_returns_to_the_same_samples(server: Running, how: signal.Signals) -> None:
    station = server.open(seed=1, energy=0.5)
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        first, early = read_pcm(audio, 60)
        steer = {"type": "steer", "set": {"energy": 0.9}, "at": "now"}
        server.http.post(station["links"]["controls"], json=steer)
        later, rest = hear_it_return(server, station, Sines(1), audio, how)
    assert first + later == list(range(first[0], first[0] + len(first + later) * 960, 960))
    pcm = np.concatenate([early, rest])
    assert np.abs(np.diff(pcm, axis=0)).max() < 0.06  # the sines' own steepest step is 0.02
    levels = np.sqrt(np.mean(pcm.reshape(-1, 960, 2) ** 2, axis=1))
    assert levels.min() > 0.05
    wanted = server.performed(station, Sines(1), first[0] // 960 + len(first + later))[first[0] :]
    is_same = (pcm == wanted).reshape(-1, 960, 2).all(axis=(1, 2))
    assert not is_same.all()  # a filler sounded


def test_bars_and_beats_go_on_while_the_engine_is_away(server: Running) -> None:
    station = server.open(bpm=240)
    wait_until(lambda: server.http.get(station["links"]["self"]).json()["position"]["bar"] > 2)
    os.kill(server.engine.pid, signal.SIGKILL)
    wait_until(lambda: not server.engine.is_ready)
    positions = []
    while not server.engine.is_ready:
        positions.append(server.http.get(station["links"]["self"]).json()["position"])
    beats = [(at["bar"] - 1) * 4 + at["beat"] - 1 for at in positions[:-1]]
    assert beats == [at["frame"] // 12_000 for at in positions[:-1]] and len(set(beats)) > 1


def test_pause_survives_the_engine(server: Running) -> None:
    station = server.open(seed=1, energy=0.5)
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        pause = server.http.post(station["links"]["controls"], json={"type": "transport", "do": "pause"}).json()
        time.sleep(0.7)  # a snapshot is taken while it is silent
        os.kill(server.engine.pid, signal.SIGKILL)
        ack = server.http.post(station["links"]["controls"], json={"type": "transport", "do": "play"}).json()
        frames, pcm = read_pcm(audio, 50)
        while frames[-1] < ack["effective_at"]["frame"] + 20 * 960:
            more_frames, more = read_pcm(audio, 10)
            frames, pcm = frames + more_frames, np.concatenate([pcm, more])
    paused, played = (each["effective_at"]["frame"] - frames[0] for each in (pause, ack))
    assert not pcm[max(0, paused + 960) : played].any()
    assert pcm[played + 960 :].any()
    assert np.abs(np.diff(pcm, axis=0)).max() < 0.05


def test_an_engine_that_cannot_be_started_now_is_started_later(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "_LONGEST_PAUSE_S", 0.05)
    start, failures = server.engine._start_child, [OSError(errno.EMFILE, "too many open files") for _ in range(2)]

    def start_late() -> Any:
        if failures:
            raise failures.pop()
        return start()

    monkeypatch.setattr(server.engine, "_start_child", start_late)
    os.kill(server.engine.pid, signal.SIGKILL)
    wait_until(lambda: not failures and server.engine.is_ready)
    server.open()


def test_server_is_not_ready_until_the_engine_is_back(server: Running) -> None:
    server.open()
    os.kill(server.engine.pid, signal.SIGKILL)
    statuses = []
    for _ in range(500):
        statuses.append(server.http.get("/readyz").status_code)
        if 503 in statuses and statuses[-1] == 200:
            break
        time.sleep(0.02)
    assert 503 in statuses
    assert statuses[-1] == 200


def test_an_engine_too_slow_for_its_stations_leaves_out_and_goes_on(make_server: Callable[[Config], Running]) -> None:
    server = make_server(Config(port=0, engines=1, generator="tests.streaming.sines:open_slow"))
    station = server.open()
    with dial(server.ws(station["links"]["live"])) as live:
        skips = []
        while len(skips) < 2:
            event = json.loads(live.recv(20))
            if event["type"] == "skip":
                skips.append(event)
    assert skips[1]["frame"] > skips[0]["frame"] + skips[0]["blocks"] * 960
    take = server.http.get(station["links"]["take"]).text.splitlines()
    assert [json.loads(line)["type"] for line in take][:3] == ["opening", "skip", "skip"]
    assert restarts(server) == 0
