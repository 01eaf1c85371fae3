"""A generator of another kind plays through the whole server: 40 ms blocks in pairs, of texts alone, without notes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable

import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from streaming.config import Config
from tests.generators.pairs import Pairs
from tests.streaming.conftest import Running, dial
from tests.streaming.test_live import next_event, read_pcm
from tests.streaming.test_recovery import hear_it_return

pytestmark = pytest.mark.slow

OPENING = {"prompt": "calm piano in the rain", "seed": 3}


def test_it_is_steered_paused_begun_again_and_brought_back(make_server: Callable[[Config], Running]) -> None:
    server = make_server(Config(port=0, engines=1, generator="tests.generators.pairs:open_pairs", snapshot_s=0.3))
    response = server.http.post("/v1/stations", json=OPENING)
    assert response.status_code == 201, response.text
    station = response.json()
    frames: list[int] = []
    heard: list[np.ndarray] = []
    with (
        dial(server.ws(station["links"]["live"])) as live,
        dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio,
    ):
        audio.recv(10)
        for control in (
            {"type": "steer", "set": {"prompt": "epic battle"}, "over": 0.5, "at": "now"},
            {"type": "transport", "do": "pause"},
            {"type": "transport", "do": "play"},
            {"type": "transport", "do": "restart"},
            {"type": "steer", "set": {"mood": "night"}, "over": 1.0, "at": "beat"},
        ):
            more_frames, pcm = read_pcm(audio, 15)
            frames, heard = frames + more_frames, [*heard, pcm]
            live.send(json.dumps(control))
            ack = next_event(live, "ack")
            assert ack["effective_at"]["frame"] > frames[-1]
        before_death = len(frames)
        more_frames, pcm = hear_it_return(server, station, Pairs(1), audio, signal.SIGKILL)
        frames, heard = frames + more_frames, [*heard, pcm]
    assert frames == list(range(frames[0], frames[0] + len(frames) * BLOCK_FRAMES, BLOCK_FRAMES))
    wanted = server.performed(station, Pairs(1), frames[-1] // BLOCK_FRAMES + 1)[frames[0] :]
    is_same = (np.concatenate(heard) == wanted).reshape(-1, BLOCK_FRAMES, 2).all(axis=(1, 2))
    assert is_same[:before_death].mean() > 0.5  # a machine that is busy may have missed a block
    assert not is_same[before_death:].all()  # a filler sounded
    levels = np.abs(wanted.reshape(-1, BLOCK_FRAMES, 2)).max(axis=(1, 2))
    assert (levels == 0).any() and (levels > 0.1).any()
