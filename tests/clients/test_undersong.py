"""The Python client against a real server: it hears, steers and follows, and is not silent when the wire is cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clients.conftest import Tape, Wire
from tests.streaming.conftest import SINES, Running
from undersong_client import Refused, Undersong, Unreachable
from undersong_client.bed import FADE_FRAMES, RATE
from undersong_client.game import Music


async def until(is_so: Callable[[], bool], limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, "it has not come to that"
        await asyncio.sleep(0.01)


async def test_it_hears_the_station_and_calls_back_as_beats_sound(server: Running) -> None:
    tape, beats, bars = Tape(), [], []
    async with Undersong(server.address, sink=tape, mood="epic", bpm=180, seed=3) as music:
        music.on_beat(lambda beat: beats.append((beat, time.monotonic())))
        music.on("bar", bars.append)
        ack = await music.steer(energy=0.9, at="now")
        assert ack["effective_at"]["frame"] > 0
        await until(lambda: len(beats) >= 6 and len(bars) >= 1)
        assert all(bar["beat"] == 1 for bar in bars)
        frame, status = music.player.frame_at(time.monotonic()), music.status
    for beat, called_s in beats:
        assert called_s >= beat["time_s"], "not before it sounds"
    numbers = [4 * beat["bar"] + beat["beat"] for beat, _ in beats]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert status["position"]["frame"] - 3 * RATE < frame <= status["position"]["frame"] + 2 * RATE
    assert 0.2 < np.abs(tape.pcm).max() < 0.5 and np.abs(np.diff(tape.pcm, axis=0)).max() < 0.1, (
        "whole, without a click"
    )


async def test_what_the_server_refuses_is_told_with_its_words(server: Running) -> None:
    with pytest.raises(Refused, match="energy is 7; allowed is 0 … 1"):
        async with Undersong(server.address, sink=None, energy=7):
            pass
    async with Undersong(server.address, sink=None) as music:
        with pytest.raises(Refused) as refused:
            await music.stinger("tada")
        assert refused.value.code.startswith("unknown") and "tada" in str(refused.value)
    with pytest.raises(Unreachable, match="is `undersong serve` running"):
        async with Undersong("http://127.0.0.1:9", sink=None, wait_s=0.3):
            pass


@pytest.mark.long
async def test_a_wire_that_is_cut_is_bridged_and_the_music_comes_back(server: Running, wire: Wire) -> None:
    tape, told, beats = Tape(), [], []
    async with Undersong(wire.address, sink=tape, bpm=240, mood="epic", wait_s=10) as music:
        for kind in ("gone", "back"):
            music.on(kind, lambda event: told.append(event["type"]))
        music.on_beat(beats.append)
        await until(lambda: len(beats) > 8)
        tape.blocks.clear()  # a busy machine may stammer before there is a bar to go on with
        wire.cut()
        await until(lambda: music.player.is_bridging and told == ["gone"])
        with pytest.raises(Unreachable, match="is not there now"):
            await music.hit()
        num_beats = len(beats)
        await until(lambda: len(beats) >= num_beats + 3)
        wire.mend()
        await until(lambda: told == ["gone", "back"] and not music.player.is_bridging)
        num_blocks = len(tape.blocks)
        await until(lambda: len(tape.blocks) > num_blocks + 50)
    loud = np.flatnonzero(np.abs(tape.pcm).max(axis=1) > 0.01)
    assert np.diff(loud).max() <= RATE // 20, "never more than 50 ms of silence"
    assert np.abs(np.diff(tape.pcm, axis=0)).max() < 0.1, "and no click"


GAME = {
    "states": {"calm": {"energy": 0.2, "bpm": 200}, "combat": {"energy": 0.9, "bpm": 240}},
    "transitions": [{"to": "combat", "at": "beat", "how": "cut"}, {"to": "calm", "at": "beat", "how": "cut"}],
    "parameters": {"danger": {"to": [{"field": "tension", "curve": [[0, 0.1], [1, 0.8]]}]}},
    "initial": "calm",
}


async def test_a_state_is_heard_where_the_ack_said_and_is_not_lost_with_the_wire(server: Running, wire: Wire) -> None:
    states: list[dict[str, Any]] = []
    async with Undersong(wire.address, station="hunt", sink=Tape(), wait_s=10, **GAME) as music:
        music.on("state", states.append)
        ack = await music.state("combat")
        music.parameter(danger=0.25)
        await until(lambda: [state["name"] for state in states] == ["combat"])
        assert states[0]["frame"] == ack["effective_at"]["frame"]
        wire.cut()
        await until(lambda: not music.is_connected)
        late = asyncio.create_task(music.state("calm"))
        music.parameter(danger=0.75)
        wire.mend()
        assert (await asyncio.wait_for(late, 60))["type"] == "ack"
        await until(lambda: states[-1]["name"] == "calm")
        take = server.http.get("/v1/stations/hunt/take").text
        assert [line for line in take.splitlines() if '"parameter"' in line and "0.75" in line]
        with pytest.raises(Refused, match="victory"):
            await music.state("victory")


@pytest.mark.long
@pytest.mark.slow
def test_a_game_finds_its_music_when_the_server_comes_and_again_after_a_restart(
    make_server: Callable[..., Running], tmp_path: Path
) -> None:
    keeping = SINES.model_copy(update={"stations": str(tmp_path)})
    first = make_server(keeping)
    port = int(first.address.rpartition(":")[2])
    tape = Tape()
    with Music(first.address, station="inn", sink=tape, bpm=240, mood="epic") as music:

        def until_heard(num_beats: int) -> list[Any]:
            heard: list[Any] = []
            deadline = time.monotonic() + 20
            while len(heard) < num_beats:
                assert time.monotonic() < deadline, "no music"
                time.sleep(0.01)
                heard += music.beats()
            return heard

        until_heard(6)
        assert music.steer(energy=0.2).result(10)["type"] == "ack"
        tape.blocks.clear()
        before = first.http.get("/v1/stations/inn").json()
        first.call(first._stop())
        while music.is_connected:
            time.sleep(0.01)
        until_heard(2)
        assert not music.is_connected
        second = make_server(keeping.model_copy(update={"port": port}))
        until_heard(2)
        while not music.is_connected:
            until_heard(1)
        after = second.http.get("/v1/stations/inn").json()
        assert (after["id"], after["seed"]) == (before["id"], before["seed"])
        assert after["position"]["frame"] > before["position"]["frame"]
        assert [event["type"] for event in music.events() if event["type"] in ("gone", "back")][-2:] == ["gone", "back"]
    loud = np.flatnonzero(np.abs(tape.pcm).max(axis=1) > 0.01)
    assert np.diff(loud).max() <= max(RATE // 20, 2 * FADE_FRAMES)


def test_who_closes_waits_for_no_answer_any_more() -> None:
    music = Music("http://127.0.0.1:9", sink=None).start()
    wish = music.state("combat")
    music.close()
    assert wish.cancelled()
