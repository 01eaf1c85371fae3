"""The autopilot wanders within its bounds, slowly, from phrase to phrase; controls win, and it is the same again."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from moods.control import parse_control
from moods.controller import Applied, Controller
from moods.errors import BadControl
from moods.intent import BEATS_PER_BAR, Intent
from moods.opening import parse_opening

SECOND = 48_000
STEP = SECOND
FIELDS = ("valence", "energy", "tension")
PILOT: dict[str, Any] = {"drift": 1, "every": "4 phrases", "within": {"energy": [0.2, 0.5], "valence": [-0.5, 0.5]}}


def opened(seed: int = 1, autopilot: dict[str, Any] = PILOT, **fields: Any) -> Controller:
    return Controller(parse_opening({"mood": "focus", "bpm": 120, "autopilot": autopilot} | fields), seed)


def play(controller: Controller, until_s: float, since_s: float = 0.0) -> list[Intent]:
    """What is heard every second, the course going on as where music is made."""
    heard = []
    for frame in range(round(since_s * SECOND), round(until_s * SECOND), STEP):
        controller.advance(frame)
        heard.append(controller.intent(frame))
    return heard


def steer(controller: Controller, second: float, **fields: Any) -> Applied:
    return controller.apply(parse_control({"type": "steer", "set": fields, "at": "now"}), round(second * SECOND))


BAD: list[tuple[Any, str]] = [
    ({"drift": 2}, "autopilot: drift is 2; allowed is 0 … 1"),
    ({"every": "soon"}, 'every is "soon"; expected "N phrases" or "N bars"'),
    ({"within": {"energi": [0, 1]}}, 'within has "energi"; nearest: energy'),
    ({"within": {"energy": 0.3}}, "within.energy is 0.3; expected the lowest and the highest"),
    ({"within": {"energy": [0.5, 0.2]}}, "within.energy goes from 0.5 to 0.2; expected the lowest first"),
    ({"within": {"energy": [0, 1.5]}}, "within.energy is 1.5; allowed is 0 … 1"),
    ({"moods": ["focuss"]}, "nearest: focus"),
    ({"hold_minutes": -1}, "hold_minutes is -1"),
    ({"drif": 1}, "nearest: drift"),
    (3, "autopilot is 3; expected an object"),
]


@pytest.mark.parametrize("autopilot, text", BAD)
def test_what_cannot_be_meant_is_refused_by_name(autopilot: Any, text: str) -> None:
    with pytest.raises(BadControl) as refused:
        parse_opening({"autopilot": autopilot})
    assert text in str(refused.value)


def test_an_opening_is_read_again_as_it_was() -> None:
    read = parse_opening({"autopilot": PILOT | {"moods": ["focus", "夜晚"]}})
    assert parse_opening(read.asked()) == read == pickle.loads(pickle.dumps(read))
    assert read.autopilot is not None and read.autopilot.moods == ["focus", "night"]


def test_a_timeline_says_itself_what_changes() -> None:
    with pytest.raises(BadControl, match="autopilot and timeline"):
        parse_opening({"timeline": {"duration": 10}, "autopilot": {}})


def test_it_wanders_slowly_and_within_its_bounds() -> None:
    heard = play(opened(), 900)
    settled = heard[100:]
    for field, low, high in (("energy", 0.2, 0.5), ("valence", -0.5, 0.5)):
        values = [getattr(intent, field) for intent in settled]
        assert min(values) >= low - 1e-9 and max(values) <= high + 1e-9 and max(values) - min(values) > 0.1
    for before, after in zip(heard, heard[1:], strict=False):
        assert all(abs(getattr(after, field) - getattr(before, field)) < 0.1 for field in FIELDS)


def test_legs_begin_with_phrases_and_nothing_composed_ahead_changes() -> None:
    controller, begun = opened(), set[int]()
    for frame in range(0, 400 * SECOND, STEP):
        first = controller.clock.first_beat_from(frame)
        beats = [controller.beat_intent(beat) for beat in range(first, first + 7)]
        changed_since = controller.advance(frame)
        assert [controller.beat_intent(beat) for beat in range(first, first + 7)] == beats
        if changed_since is not None:
            beat = controller.beat_at(changed_since)
            assert beat >= first + 7
        begun |= {leg.beat for leg in controller.autopilot.legs} if controller.autopilot else set()
    assert len(begun) > 10
    starts = [beat for beat in begun if controller.beat_intent(beat).bar_in_section % 4 == 0]
    assert sorted(starts) == sorted(begun) and all(beat % BEATS_PER_BAR == 0 for beat in begun)


def test_without_one_all_is_as_ever() -> None:
    none, plain = opened(autopilot=None), Controller(parse_opening({"mood": "focus", "bpm": 120}), 1)  # type: ignore[arg-type]
    assert play(none, 200) == play(plain, 200)
    assert none.autopilot is None and none.advance(200 * SECOND) is None


def test_a_field_that_somebody_sets_stays_and_then_wanders_around_that() -> None:
    controller = opened(autopilot=PILOT | {"within": {}, "drift": 0.5, "hold_minutes": 4})
    play(controller, 60)
    steer(controller, 60, energy=0.8)
    held = play(controller, 290, 60)
    assert {round(intent.energy, 6) for intent in held[2:]} == {0.8}
    assert len({round(intent.valence, 3) for intent in held}) > 20  # what nobody has set goes on
    energies = [intent.energy for intent in play(controller, 900, 290)]
    assert len({round(energy, 3) for energy in energies}) > 20 and all(0.7 <= energy <= 0.9 for energy in energies)


def test_a_control_of_a_station_takes_the_waiting_leg_back_and_tells_of_no_other() -> None:
    controller = opened()
    controller.advance(0)
    assert controller.autopilot is not None and controller.autopilot.legs[-1].beat > 0 and controller.pending(0) == []
    applied = steer(controller, 0.5, energy=0.4)
    assert applied.replaces == () and controller.autopilot.legs[-1].beat == 0


def test_planning_works_out_no_beats_of_the_minutes_that_a_glide_takes() -> None:
    controller = opened(autopilot={"moods": ["focus", "epic"], "within": {"bpm": [80, 120]}}, bpm=None)
    furthest, course = 0, controller._course
    for frame in range(0, 600 * SECOND, STEP):
        controller.advance(frame)
        controller.pending(frame)
        furthest = max(furthest, course._first + len(course._held) - controller.beat_at(frame))
    assert furthest <= 4 * 4 * BEATS_PER_BAR


def test_it_goes_to_the_moods_it_is_given() -> None:
    controller = opened(autopilot={"moods": ["focus", "night", "epic"], "every": "4 phrases", "hold_minutes": 2})
    play(controller, 1500)
    assert controller.autopilot is not None
    assert {leg.place.mood for leg in controller.autopilot.legs} == {"focus", "night", "epic"}


def test_with_novelty_another_piece_begins_sooner_and_places_lie_further_apart() -> None:
    def wander(novelty: float) -> tuple[int, float]:
        controllers = [opened(seed, {"novelty": novelty, "every": "8 bars"}) for seed in range(2)]
        pieces, apart = 0, 0.0
        for controller in controllers:
            pieces += play(controller, 700)[-1].piece
            assert controller.autopilot is not None
            places = [leg.place for leg in controller.autopilot.legs]
            apart += sum(min(one.distance(other) for other in places[:n]) for n, one in enumerate(places) if n)
        return pieces, apart

    (few, near), (many, far) = wander(0), wander(1)
    assert few == 0 and many >= 2 * 3 and far > near


def test_it_is_the_same_again_whatever_was_read_and_goes_on_from_a_snapshot() -> None:
    def controller_at(second: float, reads: int) -> Controller:
        controller = opened(5, {"novelty": 1, "moods": ["focus", "epic"]})
        for frame in range(0, round(second * SECOND), STEP):
            controller.advance(frame)
            if frame == 100 * SECOND:
                steer(controller, 100, tension=0.9)
            if reads and frame % (reads * STEP) == 0:
                controller.beat_intent(controller.beat_at(frame) + 40)
                controller.forget_before(max(0, frame - 10 * SECOND))
        return controller

    one, other = controller_at(600, 0), controller_at(600, 7)
    again = Controller.restore(json.loads(json.dumps(other.snapshot())), parse_opening(
        {"mood": "focus", "bpm": 120, "autopilot": {"novelty": 1, "moods": ["focus", "epic"]}}))  # fmt: skip
    heard = play(one, 900, 600)
    assert play(other, 900, 600) == heard == play(again, 900, 600)


def test_fields_that_parameters_drive_are_left_to_them() -> None:
    danger = {"default": 0.5, "to": [{"field": "energy", "curve": [[0, 0], [1, 1]]}]}
    heard = play(opened(parameters={"danger": danger}), 300)
    assert {intent.energy for intent in heard} == {0.5} and len({intent.valence for intent in heard}) > 20


def test_no_client_takes_its_ids() -> None:
    with pytest.raises(BadControl, match="/autopilot/"):
        opened().apply(parse_control({"type": "cancel", "target": "/autopilot/0"}), 0)
