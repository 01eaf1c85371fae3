"""A countdown: the music is over at its 0:00, whatever happens meanwhile."""

from __future__ import annotations

from itertools import pairwise

import pytest

from moods.controller import Controller
from moods.errors import BadControl, OutOfRange
from moods.intent import MUTE_DB
from moods.mood import list_moods
from tests.moods.test_controller import BLOCK, SECOND, heard, opened, send, steer


def last_beat(controller: Controller, first: int = 0) -> int:
    return next(beat for beat in range(first, first + 2000) if controller.beat_intent(beat).beats_to_end == 0)


@pytest.mark.parametrize("mood", [mood.name for mood in list_moods()[::4]])
@pytest.mark.parametrize("seconds", [7.5, 300])
def test_a_last_chord_has_rung_when_it_is_over(mood: str, seconds: float) -> None:
    controller = opened(mood=mood)
    applied = send(controller, 3 * SECOND, type="countdown", seconds=seconds)
    zero = round((3 + seconds) * SECOND)
    controller.advance(zero - 7 * SECOND)
    assert controller.zero_frame == controller.end_frame == applied.fields["ending"].arrive.frame == zero
    struck = controller.frame_of_beat(last_beat(controller, controller.beat_at(3 * SECOND)))
    assert 1.5 * SECOND <= zero - struck < 8 * SECOND
    assert controller.intent(struck).gain_db == 0
    assert MUTE_DB < controller.intent(zero - 2 * BLOCK).gain_db < 0
    assert controller.intent(zero - BLOCK).gain_db == MUTE_DB


def test_it_is_over_in_time_whatever_is_steered_meanwhile() -> None:
    controller = opened(bpm=84)
    send(controller, 0, type="countdown", seconds=60)
    for second, bpm in enumerate(range(60, 180, 3), 10):
        steer(controller, second * SECOND, bpm=bpm)
    assert controller.end_frame == 60 * SECOND
    struck = controller.frame_of_beat(last_beat(controller))
    assert 1.5 * SECOND <= 60 * SECOND - struck < 3.5 * SECOND


def test_what_is_to_ring_on_is_struck_by_the_end_of_the_countdown() -> None:
    controller = opened(bpm=90)
    send(controller, 0, type="countdown", seconds=30, ring_s=5)
    assert controller.zero_frame == 30 * SECOND and controller.end_frame == 35 * SECOND
    assert 30 - 4 * 60 / 90 < controller.frame_of_beat(last_beat(controller)) / SECOND <= 30


@pytest.mark.parametrize("ending", ["cadence", "ring", "fade", "stop"])
def test_music_that_goes_on_is_silent_for_a_moment_and_begins_with_a_bar(ending: str) -> None:
    controller = opened(bpm=100)
    send(controller, 0, type="countdown", seconds=20.3, ending=ending, then="go on")
    assert controller.end_frame is None and controller.zero_frame == round(20.3 * SECOND)
    end_beat = controller.beat_at(controller.zero_frame) + 1
    silent = [beat for beat in range(end_beat, 200) if not any(controller.beat_intent(beat).active_layers)]
    back = silent[-1] + 1
    assert silent == list(range(end_beat, back)) and back % 4 == 0
    begins = controller.frame_of_beat(back)
    assert 1 <= (begins - controller.zero_frame) / SECOND < 1 + 4 * 0.6 + 0.01
    assert controller.beat_intent(back).beats_to_end is None and controller.beat_intent(back).section != "outro"
    gains_db = [controller.intent(frame).gain_db for frame in range(controller.zero_frame, begins + SECOND, BLOCK)]
    changes = [index for index, (one, other) in enumerate(pairwise(gains_db)) if one != other]
    assert gains_db[0] == MUTE_DB and gains_db[-1] == 0 and len(changes) == 1
    assert controller.zero_frame + (changes[0] + 2) * BLOCK <= begins  # a gain is reached where its block ends


def test_the_way_back_goes_with_the_tempo_and_is_forgotten_once_it_is_taken() -> None:
    controller = opened(bpm=100)
    send(controller, 0, type="countdown", seconds=20, then="go on")
    steer(controller, 15 * SECOND, bpm=160)
    back = next(
        beat for beat in range(last_beat(controller) + 1, 200) if any(controller.beat_intent(beat).active_layers)
    )
    begins = controller.frame_of_beat(back)
    assert 21 * SECOND <= begins < 23 * SECOND and controller.holds_until(20 * SECOND) < begins
    before = [heard(controller.intent(frame)) for frame in range(begins, begins + 20 * SECOND, SECOND)]
    controller.forget_before(begins)
    assert controller.zero_frame is None
    assert before == [heard(controller.intent(frame)) for frame in range(begins, begins + 20 * SECOND, SECOND)]
    send(controller, begins + SECOND, type="countdown", seconds=30)
    assert controller.end_frame == begins + 31 * SECOND


def test_one_that_is_taken_back_has_never_been() -> None:
    controller, untouched = opened(), opened()
    send(controller, 0, type="countdown", seconds=60, then="go on", id="c")
    assert [each.type for each in controller.pending(0)] == ["countdown"]
    applied = send(controller, SECOND, type="cancel", target="c")
    assert applied.changed_since is not None and controller.zero_frame is None
    span = range(controller.beat_at(120 * SECOND))
    assert [controller.beat_intent(beat) for beat in span] == [untouched.beat_intent(beat) for beat in span]


def test_a_later_one_takes_its_place_until_its_ending_has_begun() -> None:
    controller = opened()
    send(controller, 0, type="countdown", seconds=30, id="a")
    assert send(controller, SECOND, type="countdown", seconds=90, id="b").replaces == ("a",)
    assert controller.end_frame == 91 * SECOND
    controller.advance(50 * SECOND)
    with pytest.raises(BadControl, match="countdown comes too late"):
        send(controller, 90 * SECOND, type="countdown", seconds=90)
    with pytest.raises(OutOfRange, match="seconds is 0.*1 … 3600"):
        send(controller, 0, type="countdown", seconds=0)


def test_it_runs_on_while_the_music_stands_still() -> None:
    controller = opened(bpm=120)
    send(controller, 0, type="countdown", seconds=60)
    changed_since = controller.hasten(10 * SECOND, 5 * SECOND)
    assert controller.zero_frame == controller.end_frame == 50 * SECOND
    assert changed_since is not None and changed_since >= 40 * SECOND - 16 * SECOND / 2
    assert 1.5 * SECOND <= 50 * SECOND - controller.frame_of_beat(last_beat(controller)) < 4 * SECOND
    controller.hasten(60 * SECOND, 6 * SECOND)
    assert controller.end_frame == 6 * SECOND


def test_one_that_is_far_off_is_worked_out_when_it_is_near_and_not_before() -> None:
    """Else every control before it would have to wait for all beats up to there."""
    controller, later = opened(bpm=120), opened(bpm=120)
    for each in (controller, later):
        told = send(each, 0, type="countdown", seconds=600, id="c").fields["ending"].arrive
        assert told.seconds == 600 and told.bar == 301
        steer(each, SECOND, bpm=90)
    assert controller.advance(539 * SECOND) is None
    assert controller.advance(540 * SECOND) == later.advance(550 * SECOND) is not None
    assert last_beat(controller, 700) == last_beat(later, 700)
    assert controller.advance(541 * SECOND) is None
