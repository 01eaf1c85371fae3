"""The engine is killed, or the station sleeps, while the shipped model plays: then the very same music goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from engine.backends import open_generator
from engine.config import EngineConfig
from moods.control import parse_control, parse_opening
from moods.controller import Controller
from streaming.config import Config
from streaming.encoders.pcm import to_s16le
from tests.streaming.conftest import Running, dial
from tests.streaming.test_engines import wait_until
from tests.streaming.test_live import read_pcm
from tests.streaming.test_recovery import read_until_back


@pytest.fixture(scope="module")
def server(make_server: Callable[[Config], Running]) -> Running:
    return make_server(Config(port=0, engines=1, snapshot_s=0.5, max_stations=4))


def replay(server: Running, station: dict[str, Any], num_blocks: int) -> np.ndarray:
    """The station's take played again, here and undisturbed: float32 [T, 2]."""
    opening, *controls = map(json.loads, server.http.get(station["links"]["take"]).text.splitlines())
    fields = {name: opening[name] for name in ("mood", "energy")}
    controller = Controller(parse_opening(fields), opening["seed"])
    generator, blocks = open_generator(EngineConfig(max_slots=1)), []
    generator.open(0, controller)
    for block in range(num_blocks):
        while controls and controls[0]["frame"] == block * BLOCK_FRAMES:
            message = {name: value for name, value in controls.pop(0).items() if name != "frame"}
            applied = controller.apply(parse_control(message), block * BLOCK_FRAMES)
            if applied.changed_since is not None:
                generator.revise(0, applied.changed_since)
        blocks.append(generator.step([0]).block[0].T)
    return np.concatenate(blocks)


def test_the_music_goes_on_and_returns_to_the_same_samples(server: Running) -> None:
    station = server.open(seed=1, energy=0.8)
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        first, early = read_pcm(audio, 100)
        steer = {"type": "steer", "set": {"valence": -0.8, "energy": 0.4}, "at": "beat"}
        accents = [{"type": "hit", "at": "bar"}, {"type": "stinger", "name": "reveal", "at": "phrase"}]
        accents += [{"type": "stinger", "name": "logo", "at": "now"}, {"type": "hit", "at": "now", "strength": 0.4}]
        server.http.post(station["links"]["controls"], json=[steer, *accents])
        first_more, more = read_pcm(audio, 50)
        os.kill(server.engine.pid, signal.SIGKILL)
        later, rest = read_until_back(server, station, audio)
    frames = first + first_more + later
    assert frames == list(range(frames[0], frames[0] + len(frames) * BLOCK_FRAMES, BLOCK_FRAMES))
    heard = np.concatenate([early, more, rest])
    levels = np.sqrt(np.mean(heard.reshape(-1, BLOCK_FRAMES, 2) ** 2, axis=(1, 2)))
    assert levels[25:].min() > 1e-4
    wanted = replay(server, station, frames[-1] // BLOCK_FRAMES + 1)[frames[0] :]
    is_same = (heard == wanted).reshape(-1, BLOCK_FRAMES, 2).all(axis=(1, 2))
    assert not is_same.all()  # a filler sounded
    assert is_same[:140].all()
    assert is_same[-40:].all()


def test_after_a_sleep_both_kinds_of_listeners_hear_the_music_go_on(server: Running) -> None:
    """Who hears it live, and who hears it a second later."""
    station = server.open(seed=5, energy=0.8)
    own = server.conductor.stations[station["id"]]
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        read_pcm(audio, 60)
    server.http.post(station["links"]["controls"], json={"type": "steer", "set": {"energy": 0.5}, "at": "beat"})

    async def put_to_sleep() -> None:
        server.conductor._put_to_sleep(own)

    wait_until(lambda: own.is_idle)
    server.call(put_to_sleep())
    wait_until(lambda: own.is_asleep)
    first_frame = own.first_block * BLOCK_FRAMES
    with httpx.stream("GET", server.address + station["links"]["wav"], timeout=20) as stream:
        pieces, wav = stream.iter_raw(), b""
        next(pieces)  # the header
        with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
            audio.recv(10)
            frames, live = read_pcm(audio, 50)
        while len(wav) < 20 * 4 * BLOCK_FRAMES:
            wav += next(pieces)
    wanted = replay(server, station, frames[-1] // BLOCK_FRAMES + 1)
    is_same = (live == wanted[frames[0] :]).reshape(-1, BLOCK_FRAMES, 2).all(axis=(1, 2))
    assert frames[0] >= first_frame and is_same.any()  # all of it, where nothing else keeps the machine busy
    assert wav[: 20 * 4 * BLOCK_FRAMES] == to_s16le(wanted[first_frame:])[: 20 * 4 * BLOCK_FRAMES]
