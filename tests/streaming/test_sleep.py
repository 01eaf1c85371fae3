"""A station that nobody wants sleeps; whoever wants it hears it go on where it fell asleep, whatever comes between."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moods.control import parse_control
from streaming.engines import link
from streaming.pacing import MAX_LATE_TICKS
from streaming.station import Station
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.sines import Sines
from tests.streaming.test_engines import wait_until
from tests.streaming.test_live import read_pcm, read_until_same

LONG_S = 3600.0


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Running]) -> Running:
    """Two engines; nothing falls asleep by itself."""
    return make_server(SINES.model_copy(update={"engines": 2, "sleep_s": LONG_S}))


@pytest.fixture(autouse=True)
def all_engines_are_there(server: Running) -> None:
    wait_until(lambda: len(server.engines) == 2 and all(engine.is_ready for engine in server.engines))


def inside(server: Running, station: dict[str, Any]) -> Station:
    return server.conductor.stations[station["id"]]


def put_to_sleep(server: Running, station: dict[str, Any]) -> None:
    async def put() -> None:
        server.conductor.sleeping.put_to_sleep(inside(server, station))

    server.call(put())


def fall_asleep(server: Running, station: dict[str, Any]) -> int:
    """Have a station fall asleep; answer the block with which it goes on."""
    put_to_sleep(server, station)
    wait_until(lambda: inside(server, station).is_asleep)
    assert server.http.get(station["links"]["self"]).json()["state"] == "asleep"
    return inside(server, station).first_block


def sleepers(server: Running) -> list[Path]:
    return list(server.engines[0]._sleepers_folder.iterdir())


def rings(server: Running) -> list[Path]:
    return [file for engine in server.engines for file in engine._folder.glob("*.ring")]


def hear_on(server: Running, station: dict[str, Any], num_blocks: int = 50) -> int:
    """Listen until so many blocks are the music as it would be without any sleep; answer the first frame heard."""
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        heard, _ = read_until_same(server, station, Sines(1), audio, num_blocks)
    steps = [(later - earlier) // 960 for earlier, later in itertools.pairwise(heard)]
    left_out = [step for step in steps if step != 1]  # where a machine let this whole process stand for half a second
    assert all(step > MAX_LATE_TICKS for step in left_out), left_out
    return heard[0]


def steer(server: Running, station: dict[str, Any], energy: float) -> dict[str, Any]:
    control = {"type": "steer", "set": {"energy": energy}}
    answer = server.http.post(station["links"]["controls"], json=control)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_nothing_is_left_of_a_sleeper_but_a_file_and_it_goes_on_to_the_sample(server: Running) -> None:
    station = server.open(energy=0.5)
    steer(server, station, 0.9)
    block = fall_asleep(server, station)
    assert not rings(server) and [file.stem for file in sleepers(server)] == [station["id"]]
    assert sum(engine.num_stations for engine in server.engines) == 0
    assert server.http.get(station["links"]["self"]).json()["position"]["frame"] == block * 960
    assert block * 960 <= hear_on(server, station) <= (block + 2) * 960


def test_a_listener_who_comes_while_it_falls_asleep_hears_it(server: Running) -> None:
    station = server.open(energy=0.5)
    put_to_sleep(server, station)
    hear_on(server, station)


def test_controls_wake_it_and_are_applied_in_order(server: Running) -> None:
    station = server.open(energy=0.5)
    fall_asleep(server, station)

    async def control(number: int) -> dict[str, Any]:
        message = {"type": "steer", "set": {"energy": number / 10}, "id": str(number)}
        return await server.conductor.control(inside(server, station), parse_control(message))

    async def all_at_once() -> list[dict[str, Any]]:
        return await asyncio.gather(*(control(number) for number in range(10)))

    assert [ack["id"] for ack in server.call(all_at_once())] == [str(number) for number in range(10)]
    assert [entry.index for entry in inside(server, station).log] == list(range(10))
    hear_on(server, station)


def test_a_control_that_comes_while_it_falls_asleep_is_applied_once(server: Running) -> None:
    station = server.open(energy=0.5)
    for energy in (0.1, 0.9, 0.3):
        put_to_sleep(server, station)
        steer(server, station, energy)
    assert len(inside(server, station).log) == 3
    hear_on(server, station)


@pytest.mark.parametrize("when", ["asleep", "falling asleep", "waking"])
def test_nothing_is_left_of_one_that_is_deleted(server: Running, when: str) -> None:
    station = server.open()
    if when != "falling asleep":
        fall_asleep(server, station)
    else:
        put_to_sleep(server, station)
    if when == "waking":

        async def wake() -> None:
            server.conductor.sleeping.wake(inside(server, station))
            await asyncio.sleep(0)

        server.call(wake())
    assert server.http.delete(station["links"]["self"]).status_code == 204
    other = server.open()  # whatever the engines were still doing is done when this one plays, sleeps and wakes
    fall_asleep(server, other)
    assert [file.stem for file in sleepers(server)] == [other["id"]] and not rings(server)
    assert not server.conductor.sleeping.waking


def copied(server: Running, station: dict[str, Any], **body: Any) -> dict[str, Any]:
    answer = server.http.post(f"/v1/stations/{station['id']}/copies", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_copy_goes_on_from_where_the_station_was_and_does_not_disturb_it(server: Running) -> None:
    station = server.open(energy=0.5)
    steer(server, station, 0.9)
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        before, _ = read_pcm(audio, 25)
        slot = copied(server, station, name="slot")
        steer(server, station, 0.1)  # is not the copy's
        after, _ = read_until_same(server, station, Sines(1), audio, 50)
    assert before + after == list(range(before[0], after[-1] + 960, 960))
    assert (slot["name"], slot["state"], slot["seed"]) == ("slot", "asleep", station["seed"])
    assert before[-1] < slot["position"]["frame"] <= after[-1]
    again = [copied(server, slot) for _ in range(2)]  # a saved game is begun more than once
    steer(server, again[0], 0.3)
    for copy, num_controls in ((again[0], 2), (again[1], 1), (slot, 1)):
        assert len(inside(server, copy).log) == num_controls
        assert slot["position"]["frame"] <= hear_on(server, copy)
    assert inside(server, again[1]).first_block * 960 == slot["position"]["frame"]


def test_a_copy_that_cannot_be_had_is_a_problem_and_leaves_nothing(server: Running) -> None:
    station = server.open(name="desk")
    path = f"{station['links']['self']}/copies"
    assert server.http.post(path, json={"name": "desk"}).status_code == 409
    assert server.http.post(path, json={"mood": "epic"}).status_code == 422
    fall_asleep(server, station)
    (file,) = sleepers(server)
    file.unlink()
    assert server.http.post(path, json={"name": "slot"}).status_code == 503
    assert not sleepers(server) and len(server.conductor.stations) == 1
    assert server.http.get("/v1/stations/slot").status_code == 404


def test_a_copy_for_which_nobody_waited_so_long_leaves_nothing(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = server.open()
    with monkeypatch.context() as hasty:
        hasty.setattr(link, "_ANSWER_S", 0.0)
        assert server.http.post(f"{station['links']['self']}/copies", json={}).status_code == 503
    slot = copied(server, station)  # is written after the other
    assert [file.stem for file in sleepers(server)] == [slot["id"]]


@pytest.mark.parametrize("when", ["asleep", "falling asleep", "awake again"])
def test_the_death_of_its_engine_is_nothing_to_a_sleeper(server: Running, when: str) -> None:
    station = server.open(energy=0.5)
    steer(server, station, 0.9)
    engine: Any = inside(server, station).link
    if when == "asleep":
        fall_asleep(server, station)
        os.kill(engine.pid, signal.SIGKILL)
        wait_until(lambda: not engine.is_ready)
    elif when == "falling asleep":
        os.kill(engine.pid, signal.SIGSTOP)
        put_to_sleep(server, station)
        os.kill(engine.pid, signal.SIGKILL)
    else:
        fall_asleep(server, station)
        steer(server, station, 0.2)
        os.kill(inside(server, station).link.pid, signal.SIGKILL)
    hear_on(server, station)


def test_one_that_cannot_be_kept_plays_on_and_sleeps_later(server: Running) -> None:
    station = server.open(energy=0.5)
    obstacle = server.engines[0]._sleepers_folder / f"{station['id']}.partial"
    obstacle.mkdir()  # as good as a full disk, which a test cannot have
    put_to_sleep(server, station)
    steer(server, station, 0.9)
    assert not inside(server, station).is_asleep
    obstacle.rmdir()
    hear_on(server, station)
    fall_asleep(server, station)


def test_a_station_that_nobody_wants_makes_room_for_a_new_one(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "_PACE", 0.0)  # loads are what this test makes them
    monkeypatch.setattr(link, "_SLOW_PACE", 0.0)
    old = server.open()
    inside(server, old).idle_since_s -= 10.0
    server.conductor.sleeping.wanted_s[inside(server, old)] -= 10.0
    for engine in server.engines:
        engine.load, engine.station_load, engine._unseen_load = 0.9, 0.9, 0.0
    new = server.open()
    assert inside(server, old).is_asleep and inside(server, new) is not None
    for engine in server.engines:
        engine.load, engine.station_load, engine._unseen_load = 0.0, 0.05, 0.0


def test_it_falls_asleep_by_itself_and_again_after_a_control(make_server: Callable[..., Running]) -> None:
    server = make_server(SINES.model_copy(update={"sleep_s": 0.3}))
    station = server.open()
    for _ in range(2):
        wait_until(lambda: inside(server, station).is_asleep)
        steer(server, station, 0.7)
    with dial(server.ws(station["links"]["audio"])) as audio:
        audio.recv(10)
        read_pcm(audio, 1)
        woken_at = inside(server, station).first_block
        read_pcm(audio, 60)  # four times as long as it takes to fall asleep
        assert inside(server, station).first_block == woken_at
