"""A timeline performed: its course is that of an opening and controls, and what is asked in seconds lies there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from moods.control import parse_control
from moods.controller import Applied, Controller
from moods.errors import BadControl, OutOfRange
from moods.opening import parse_opening

SECOND = 48_000
TIMELINE = {
    "duration": 32.5, "fps": 30, "seed": 7, "mood": "healing", "bpm": 90,
    "sections": [{"at": 0, "energy": 0.3}, {"at": 12.4, "mood": "epic", "over": 1.5, "layers": {"lead": "mute"}}],
    "hits": [4.2, {"at": 12.4, "strength": 1}], "ending": "ring",
}  # fmt: skip


def performed(**changes: Any) -> Controller:
    return Controller(parse_opening({"timeline": TIMELINE | changes}))


def send(controller: Controller, frame: int, **control: Any) -> Applied:
    return controller.apply(parse_control(control), frame)


def beats_of(controller: Controller) -> range:
    assert controller.end_frame is not None
    return range(controller.beat_at(controller.end_frame) + 8)


def test_it_begins_changes_strikes_and_ends_where_it_says() -> None:
    controller = performed()
    assert (controller.seed, controller.end_frame) == (7, round(32.5 * SECOND))
    assert controller.beat_intent(0).energy == controller.intent(0).energy == 0.3
    at = round(12.4 * SECOND)
    assert controller.intent(at).energy == 0.3
    assert controller.intent(at + 2 * SECOND).energy == controller.beat_intent(controller.beat_at(at) + 4).energy == 0.9
    assert controller.intent(at + 2 * SECOND).layer_gains_db[4] < -100
    struck = [cue.frame for cue, _ in controller.cues_within(0, 200)]
    assert struck == [round(4.2 * SECOND), at]
    assert [controller.beat_intent(b).cue for b in beats_of(controller)].count("hit") == 2


@pytest.mark.parametrize("fps", ["1e999999999", "30000/0", "nan", "-25", " 25", "1/3/3", "9999999"])
def test_frame_rates_in_words_are_plain_numbers_or_ratios(fps: str) -> None:
    with pytest.raises(BadControl, match="fps is"):
        parse_opening({"timeline": TIMELINE | {"fps": fps}})


@pytest.mark.parametrize("fps", [23.976, 30, "60"])
def test_drop_frame_is_for_rates_that_have_it(fps: float | str) -> None:
    with pytest.raises(BadControl, match="only 29.97 and 59.94"):
        parse_opening({"timeline": TIMELINE | {"fps": fps, "drop_frame": True}})
    parse_opening({"timeline": TIMELINE | {"fps": "60000/1001", "drop_frame": True}})


def test_a_seed_beside_the_timeline_wins() -> None:
    assert Controller(parse_opening({"timeline": TIMELINE, "seed": 3})).seed == 3


@pytest.mark.parametrize("at", [0, 11 * SECOND, 20 * SECOND])
def test_kept_and_restored_it_is_the_same_course(at: int) -> None:
    opening = parse_opening({"timeline": TIMELINE})
    controller = Controller(opening)
    send(controller, at // 2, type="steer", set={"bpm": 120}, over="2 bars")
    controller.forget_before(at)
    other = Controller.restore(json.loads(json.dumps(controller.snapshot())), opening)
    for beat in range(controller.beat_at(at), beats_of(controller).stop):
        assert controller.beat_intent(beat) == other.beat_intent(beat)
        frame = controller.frame_of_beat(beat)
        assert (frame, controller.intent(frame)) == (other.frame_of_beat(beat), other.intent(frame))


def test_a_tempo_asked_for_takes_over_until_it_is_given_back() -> None:
    controller, planned = performed(), performed()
    send(controller, 5 * SECOND, type="steer", set={"energy": 0.7})
    assert [controller.frame_of_beat(b) for b in range(60)] == [planned.frame_of_beat(b) for b in range(60)]
    send(controller, 5 * SECOND, type="steer", set={"bpm": 60}, over="5 beats")
    send(controller, 9 * SECOND, type="steer", set={"bpm": None})
    tempi = [controller.position(controller.frame_of_beat(beat)).bpm for beat in range(40)]
    assert tempi[:6] == [planned.position(planned.frame_of_beat(beat)).bpm for beat in range(6)]
    assert min(tempi) < 75 < 89 < max(tempi)
    assert tempi[-1] == pytest.approx(planned.position(planned.frame_of_beat(39)).bpm)
    ratios = [after / before for before, after in zip(tempi, tempi[1:], strict=False)]
    assert min(ratios) > 0.89 and max(ratios) < 1.11


def test_what_is_asked_at_a_second_begins_there() -> None:
    controller = Controller(parse_opening({"mood": "focus", "bpm": 100, "energy": 0.5}), 1)
    applied = send(controller, SECOND, type="steer", set={"energy": 1, "brightness": 0.9}, over=0, at={"seconds": 6.5})
    assert controller.intent(round(6.5 * SECOND) - 1).energy == 0.5
    assert controller.intent(round(6.5 * SECOND)).energy == 1
    assert applied.effective.frame == round(6.5 * SECOND)
    beats = [controller.beat_intent(beat).energy for beat in range(14)]
    assert beats == [0.5] * 11 + [1] * 3  # beat 11 begins at 6.6 s
    duck = send(controller, SECOND, type="duck", gain_db=-12, over=1, at={"seconds": 8})
    assert duck.fields["gain_db"].begin.frame == 8 * SECOND and duck.changed_since is None
    assert [controller.intent(round(at * SECOND)).gain_db for at in (8, 8.5, 9)] == [0, -6, -12]


def test_notes_asked_at_a_second_go_with_a_beat_that_begins_just_before_it() -> None:
    controller = Controller(parse_opening({"mood": "focus", "bpm": 120, "energy": 0.5}), 1)
    send(controller, 0, type="steer", set={"energy": 1}, at={"seconds": 4.02})
    assert [controller.beat_intent(beat).energy for beat in (7, 8)] == [0.5, 1]
    send(controller, 0, type="steer", set={"energy": 0}, at={"seconds": 6.03})
    assert [controller.beat_intent(beat).energy for beat in (12, 13)] == [1, 0]


def test_what_waits_for_a_second_stays_there_when_the_tempo_changes() -> None:
    controller = Controller(parse_opening({"mood": "focus", "bpm": 120, "energy": 0.5}), 1)
    send(controller, 0, type="steer", set={"energy": 1, "layers": {"lead": "mute"}}, over=0, at={"seconds": 10})
    send(controller, 0, type="steer", set={"energy": 0.2}, over=0, at={"seconds": 12})
    applied = send(controller, SECOND, type="steer", set={"bpm": 80}, at="bar")
    assert applied.changed_since is not None
    for at, before, after in ((10, 0.5, 1), (12, 1, 0.2)):
        frame = at * SECOND
        assert (controller.intent(frame - 1).energy, controller.intent(frame).energy) == (before, after)
        beat = controller.clock.first_beat_from(frame - SECOND // 40)
        assert [controller.beat_intent(b).energy for b in (beat - 1, beat)] == [before, after]
    muted = next(beat for beat in range(60) if controller.beat_intent(beat).layer_gains_db[4] < 0)
    assert muted == controller.clock.first_beat_from(10 * SECOND - SECOND // 40)


def test_a_second_that_has_passed_is_refused() -> None:
    controller = Controller(parse_opening({"mood": "focus"}), 1)
    for control in ({"type": "steer", "set": {"energy": 1}}, {"type": "duck", "gain_db": -6}):
        with pytest.raises(OutOfRange, match=r"at\.seconds is 3"):
            send(controller, 4 * SECOND, **control, at={"seconds": 3})


def num_calls(function: Callable[[], object]) -> int:
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize("do", ["open", "steer"])
def test_the_work_grows_with_the_hits_and_not_with_their_square(do: str) -> None:
    """All stations of an engine wait for it."""
    calls = []
    for num_hits in (250, 1000):
        timeline = {"duration": 3000, "mood": "epic", "hits": [1 + 2.9 * number for number in range(num_hits)]}
        opening = parse_opening({"timeline": timeline})
        assert opening.timeline is not None and opening.timeline.plan.sections
        controller = Controller(opening, 1)
        controller.frame_of_beat(8000)
        steer = {"type": "steer", "set": {"bpm": 99}}
        steps = {"open": lambda: Controller(opening, 1), "steer": lambda: send(controller, 48, **steer)}  # noqa: B023
        calls.append(num_calls(steps[do]))
    assert calls[1] < 8 * calls[0]


@pytest.mark.parametrize("speech", [[1, float("inf")], [1, 21601], [2, 1]])
def test_speech_ends_after_it_begins_and_within_the_longest_piece(speech: list[float]) -> None:
    with pytest.raises(BadControl, match=r"speech.0 is .* up to 21600"):
        parse_opening({"timeline": TIMELINE | {"speech": [speech]}})


def test_a_timeline_has_no_more_prompts_than_are_soon_read() -> None:
    sections = [{"at": at, "prompt": "rain " * 390} for at in range(11)]
    with pytest.raises(BadControl, match=r"have 21450 characters; allowed are 20000"):
        parse_opening({"timeline": TIMELINE | {"sections": sections}})
