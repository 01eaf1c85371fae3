"""What becomes of a client's controls before they reach an engine: none is lost, and of too many the newest stand."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from moods.control import Control
from streaming import live
from streaming.conductor import Conductor
from streaming.config import Config
from streaming.errors import ControlRefused
from streaming.limits import Bucket, Limits
from streaming.messages import Ack, Answer
from streaming.reading import read_asked
from streaming.station import Station


@dataclass
class Played:
    """In a conductor's place: applies at once, and remembers."""

    config: Config = field(default_factory=lambda: Config(controls_per_s=50.0))
    applied: list[dict[str, Any]] = field(default_factory=list)
    id: str = "station"

    async def control(self, station: Station, control: Control) -> Ack:
        await asyncio.sleep(0)
        if control.type == "hit" and control.strength == 0:
            raise ControlRefused("bad_control", "there is nothing to hit")
        if control.type == "stinger":
            raise ZeroDivisionError
        self.applied.append(control.asked())
        return cast(Ack, {"type": "ack", "id": control.id})

    def energy(self) -> float:
        return next(each["set"]["energy"] for each in self.applied[::-1] if "energy" in each.get("set", {}))


@dataclass
class Asker:
    played: Played = field(default_factory=Played)
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        played: Any = self.played
        self.hearing = live.Hearing(cast(Conductor, played), cast(Station, played), self.answers.append, may_steer=True)

    async def ask(self, *controls: dict[str, Any]) -> None:
        for control in controls:
            await self.hearing.hear(json.dumps(control))

    async def rest(self) -> None:
        """Until all has been answered."""
        while live._tasks:
            if isinstance(live.time, Stopwatch):
                live.time.now_s += 0.1
            await asyncio.wait(live._tasks, timeout=0.01)

    def answered(self) -> list[str]:
        """Ids, in the order of their answers."""
        return [answer["id"] for answer in self.answers if answer["id"] is not None]


FULL = 100
"""As many as may come at once."""


@dataclass
class Stopwatch:
    """In a clock's place: it stands still while a client asks."""

    now_s: float = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture(autouse=True)
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    stopwatch = Stopwatch()
    monkeypatch.setattr(live, "time", stopwatch)
    return stopwatch


def steers(count: int) -> list[dict[str, Any]]:
    return [{"type": "steer", "set": {"energy": n / count}, "id": f"s{n}"} for n in range(count)]


async def test_what_comes_in_time_is_applied_in_order() -> None:
    asker = Asker()
    await asker.ask(*steers(FULL // 2))
    await asker.rest()
    assert asker.answered() == [f"s{n}" for n in range(FULL // 2)]
    assert [each["set"]["energy"] for each in asker.played.applied] == [n / (FULL // 2) for n in range(FULL // 2)]


async def test_of_a_flood_of_steers_the_newest_stands_and_each_is_answered() -> None:
    asker = Asker()
    await asker.ask(*steers(2 * FULL))
    await asker.rest()
    assert sorted(asker.answered()) == sorted(f"s{n}" for n in range(2 * FULL))
    assert all(answer["type"] == "ack" for answer in asker.answers if answer["id"] is not None)
    assert asker.played.energy() == (2 * FULL - 1) / (2 * FULL)
    assert len(asker.played.applied) == 0.9 * FULL + 1
    assert any(answer["id"] is None and answer["code"] == "rate_limited" for answer in asker.answers)


async def test_wishes_that_wait_are_put_together_where_they_can_be() -> None:
    asker = Asker()
    await asker.ask(*steers(FULL))
    for wish in (
        {"energy": 0.25, "layers": {"bass": -3}},
        {"tension": 0.5, "layers": {"lead": "mute"}},
        {"energy": 0.75},
    ):
        await asker.ask({"type": "steer", "set": wish, "id": "w"})
    await asker.rest()
    last = asker.played.applied[-1]["set"]
    assert last == {"energy": 0.75, "tension": 0.5, "layers": {"bass": -3, "lead": "mute"}}


async def test_a_wish_that_cannot_wait_beside_another_takes_its_place_and_the_other_is_told() -> None:
    asker = Asker()
    await asker.ask(*steers(FULL))
    await asker.ask({"type": "steer", "set": {"energy": 0.25}, "over": "2 bars", "id": "long"})
    await asker.ask({"type": "steer", "set": {"mood": "epic"}, "id": "mood"})
    await asker.rest()
    by_id = {answer["id"]: answer for answer in asker.answers}
    assert by_id["long"]["code"] == "rate_limited" and by_id["mood"]["type"] == "ack"
    assert asker.played.applied[-1]["set"]["mood"] == "epic"


async def test_hits_get_through_a_stream_of_wishes_and_a_flood_of_hits_is_refused() -> None:
    asker = Asker()
    await asker.ask(*steers(FULL))
    await asker.ask(*({"type": "hit", "id": f"h{n}"} for n in range(30)))
    await asker.rest()
    by_id = {answer["id"]: answer for answer in asker.answers}
    assert by_id["h0"]["type"] == "ack"
    assert by_id["h29"]["code"] == "rate_limited" and by_id["h29"]["retry_after_s"] == 1 / 50
    assert len(asker.answered()) == FULL + 30


async def test_every_mistake_is_answered_ours_too() -> None:
    asker = Asker()
    await asker.ask(
        {"type": "steer", "set": {"energy": 7}, "id": "range"},
        {"type": "hit", "strength": 0, "id": "refused"},
        {"type": "stinger", "name": "reveal", "id": "ours"},
        {"type": "dance", "id": "kind"},
    )
    await asker.rest()
    codes = {answer["id"]: answer["code"] for answer in asker.answers}
    kinds = {"range": "out_of_range", "refused": "bad_control", "ours": "internal_error", "kind": "bad_control"}
    assert codes == kinds


async def test_what_lies_too_deep_is_refused_before_anything_looks_into_it() -> None:
    asker = Asker()
    for depth in (31, 700, 30_000):
        await asker.hearing.hear('{"id":"deep","type":"duck","gain_db":' + "[" * depth + "]" * depth + "}")
    assert [answer["code"] for answer in asker.answers] == ["bad_control", "bad_json", "bad_json"]


async def test_what_takes_long_to_read_holds_up_neither_the_event_loop_nor_prompts() -> None:
    asked = {}, {"prompt": "rain"}, {"themes": {"hero": {"midi": ""}}}, {"state": {"stingers": {}}}
    threads = [await read_asked(lambda _: threading.current_thread(), each) for each in asked]
    assert threads[0] is threading.main_thread() and threads[2] is threads[3]
    assert len(set(threads)) == 3


async def test_a_wish_gives_way_only_to_one_that_makes_up_for_it() -> None:
    asker = Asker()
    await asker.ask(*steers(FULL))
    slow, stay = {"type": "transport", "do": "slow", "rate": 0.5}, {"type": "section", "do": "stay"}
    wishes = [{"type": "transport", "do": "pause"}, slow, {"type": "section", "do": "next"}, stay]
    wishes += [{"type": "duck", "gain_db": -9.0}, {"type": "duck", "voice": True}]
    await asker.ask(*(wish | {"id": str(n)} for n, wish in enumerate(wishes)))
    await asker.rest()
    assert [each["id"] for each in asker.played.applied[-len(wishes) :]] == [str(n) for n in range(len(wishes))]


async def test_steps_of_volume_are_done_one_by_one_or_refused_never_forgotten() -> None:
    asker = Asker()
    await asker.ask(*({"type": "volume", "by_db": -1, "id": f"v{n}"} for n in range(FULL + 20)))
    await asker.rest()
    done = [answer["type"] == "ack" for answer in asker.answers if answer["id"] is not None]
    assert len(done) == FULL + 20 and done.count(True) == len(asker.played.applied) < FULL + 20


async def test_panic_waits_for_nothing_and_outlasts_what_came_before_it() -> None:
    asker = Asker()
    await asker.ask(*steers(FULL))
    await asker.ask(*({"type": "hit"} for _ in range(FULL)), {"type": "transport", "do": "play", "id": "late"})
    num_applied = len(asker.played.applied)
    await asker.ask({"type": "panic", "id": "p"})
    await asyncio.sleep(0.01)
    assert [each["type"] for each in asker.played.applied[num_applied:]].count("panic") == 1
    await asker.rest()
    by_id = {answer["id"]: answer for answer in asker.answers}
    assert by_id["p"]["type"] == "ack" and by_id["late"]["code"] == "rate_limited"
    assert not any(each["type"] == "transport" for each in asker.played.applied)


async def test_a_flood_of_hits_does_not_hold_up_wishes_for_ever(stopwatch: Stopwatch) -> None:
    asker = Asker()
    await asker.ask(*({"type": "hit"} for _ in range(FULL)), {"type": "steer", "set": {"energy": 0.25}, "id": "wish"})
    for _ in range(1000):
        if "wish" in asker.answered():
            break
        stopwatch.now_s += 0.01
        await asker.ask({"type": "hit"})
        await asyncio.sleep(0.001)
    assert asker.played.energy() == 0.25
    await asker.rest()


async def test_pause_and_play_stay_in_their_order() -> None:
    asker = Asker()
    await asker.ask(*steers(FULL))
    for do in ("pause", "play", "pause", "play", "pause"):
        await asker.ask({"type": "transport", "do": do})
    await asker.ask({"type": "panic"}, {"type": "transport", "do": "play", "id": "p"})
    await asker.rest()
    assert [each["do"] for each in asker.played.applied if each["type"] == "transport"][-1] == "play"
    assert asker.played.applied[-1]["type"] == "transport"


def test_a_bucket_gives_its_rate_and_what_it_holds() -> None:
    bucket, now_s, taken = Bucket(10.0), 0.0, 0
    for _ in range(1000):
        now_s += 0.01
        taken += bucket.take(now_s)
    assert taken == pytest.approx(20 + 10 * 10, abs=1)
    assert bucket.wait_s(now_s, 5) == pytest.approx(0.5, abs=0.1)
    assert bucket.take(now_s + bucket.wait_s(now_s, 5), 5)


def test_addresses_do_not_share_a_bucket_and_are_forgotten() -> None:
    limits = Limits(1.0)
    for number in range(20_000):
        limits.take(f"10.0.{number}", 0.0, 2)
    assert len(limits._buckets) == 10_000
