"""The engine is killed, or the station sleeps, while the shipped model plays: then the very same music goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.render import begin, perform
from engine.take import read_take
from streaming.cli import main
from streaming.config import Config
from streaming.encoders.pcm import to_s16le
from tests.streaming.conftest import Running, dial
from tests.streaming.test_engines import wait_until
from tests.streaming.test_live import read_pcm, read_until_same
from tests.streaming.test_recovery import hear_it_return
from tests.test_cli import decoded

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(make_server: Callable[[Config], Running]) -> Running:
    return make_server(Config(port=0, engines=1, snapshot_s=0.5, max_stations=4))


def test_the_music_goes_on_and_returns_to_the_same_samples(server: Running) -> None:
    station, generator = server.open(seed=1, energy=0.8), open_generator(EngineConfig(max_slots=1))
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        first, early = read_until_same(server, station, generator, audio, 40, at_once=50)
        steer = {"type": "steer", "set": {"valence": -0.8, "energy": 0.4}, "at": "beat"}
        accents = [{"type": "hit", "at": "bar"}, {"type": "stinger", "name": "reveal", "at": "phrase"}]
        accents += [{"type": "stinger", "name": "logo", "at": "now"}, {"type": "hit", "at": "now", "strength": 0.4}]
        server.http.post(station["links"]["controls"], json=[steer, *accents])
        first_more, more = read_until_same(server, station, generator, audio, 40, at_once=50)
        later, rest = hear_it_return(server, station, generator, audio, signal.SIGKILL)
    frames = first + first_more + later
    assert frames == list(range(frames[0], frames[0] + len(frames) * BLOCK_FRAMES, BLOCK_FRAMES))
    heard = np.concatenate([early, more, rest])
    levels = np.sqrt(np.mean(heard.reshape(-1, BLOCK_FRAMES, 2) ** 2, axis=(1, 2)))
    assert levels[25:].min() > 1e-4
    wanted = server.performed(station, generator, frames[-1] // BLOCK_FRAMES + 1)[frames[0] :]
    assert not np.array_equal(heard, wanted)  # a filler sounded


def test_a_take_is_the_same_music_again(server: Running, tmp_path: Path) -> None:
    """With a pause, a restart and blocks that the engine left out: here, and by `render --take`."""
    station = server.open(mood="sport", style={"house": 0.5, "jazz": 0.2, "lofi": 0.4}, seed=3)
    frames, heard = [], []
    generator = open_generator(EngineConfig(max_slots=1))
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        for message in (
            {"type": "steer", "set": {"energy": 0.2}, "at": "beat"},
            {"type": "transport", "do": "pause"},
            {"type": "transport", "do": "play"},
            {"type": "hit", "at": "now"},
            {"type": "transport", "do": "restart"},
            None,
        ):
            more_frames, pcm = read_pcm(audio, 25)
            frames, heard = frames + more_frames, [*heard, pcm]
            if message is not None:
                server.http.post(station["links"]["controls"], json=message)
        os.kill(server.engine.pid, signal.SIGSTOP)
        time.sleep(0.75)
        os.kill(server.engine.pid, signal.SIGCONT)
        more_frames, pcm = read_until_same(server, station, generator, audio, 25, at_once=50)
        frames, heard = frames + more_frames, np.concatenate([*heard, pcm])
    text = server.http.get(station["links"]["take"]).text
    assert [json.loads(line)["type"] for line in text.splitlines()].count("skip") >= 1
    num_frames = frames[-1] + 2 * BLOCK_FRAMES  # the last moment of a file is brought to zero
    here = np.concatenate([block[0].T for block in perform(begin(generator, read_take(text)), num_frames)])
    (tmp_path / "take.jsonl").write_text(text, encoding="utf-8")
    words = ["--take", str(tmp_path / "take.jsonl"), "--seconds", str(num_frames / SAMPLE_RATE)]
    assert main(["render", *words, "--out", str(tmp_path / "take.wav")]) == 0
    filed = decoded(tmp_path / "take.wav")
    assert len(here) == len(filed) == num_frames
    latency = np.zeros((generator.traits.latency_frames, 2), np.float32)
    for again, most in ((here, 0.0), (filed, 2**-22)):  # a file has 24 bits
        stream = np.concatenate([latency, again])
        wanted = np.stack([stream[frame : frame + BLOCK_FRAMES] for frame in frames])
        is_same = (np.abs(heard.reshape(wanted.shape) - wanted) <= most).all(axis=(1, 2))
        assert is_same[:150].mean() > 0.8 and is_same[-25:].all()  # a busy machine may miss a block of the first
        assert not is_same.all()  # while the engine stood still something else was heard


def test_after_a_sleep_both_kinds_of_listeners_hear_the_music_go_on(server: Running) -> None:
    """Who hears it live, and who hears it a second later."""
    station = server.open(seed=5, energy=0.8)
    own = server.conductor.stations[station["id"]]
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        read_pcm(audio, 60)
    server.http.post(station["links"]["controls"], json={"type": "steer", "set": {"energy": 0.5}, "at": "beat"})

    async def put_to_sleep() -> None:
        server.conductor.sleeping.put_to_sleep(own)

    wait_until(lambda: own.is_idle)
    server.call(put_to_sleep())
    wait_until(lambda: own.is_asleep)
    first_frame = own.first_block * BLOCK_FRAMES
    with httpx.stream("GET", server.address + station["links"]["wav"], timeout=60) as stream:
        pieces, wav = stream.iter_raw(), b""
        next(pieces)  # the header
        with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
            audio.recv(10)
            frames, live = read_pcm(audio, 50)
        while len(wav) < 20 * 4 * BLOCK_FRAMES:
            wav += next(pieces)
    generator = open_generator(EngineConfig(max_slots=1))
    wanted = server.performed(station, generator, frames[-1] // BLOCK_FRAMES + 1)
    is_same = (live == wanted[frames[0] :]).reshape(-1, BLOCK_FRAMES, 2).all(axis=(1, 2))
    assert frames[0] >= first_frame and is_same.any()  # all of it, where nothing else keeps the machine busy
    assert wav[: 20 * 4 * BLOCK_FRAMES] == to_s16le(wanted[first_frame:])[: 20 * 4 * BLOCK_FRAMES]
