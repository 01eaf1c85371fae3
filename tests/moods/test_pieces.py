"""Another piece begins where it is asked for: nothing of the one before comes back, and the seed says which it is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from moods.control import parse_control
from moods.controller import Applied, Controller
from moods.form import THEME_BARS, Form
from moods.intent import BEATS_PER_BAR, Intent
from moods.opening import parse_opening

BAR = 96_000  # at 120 bpm


def opened(seed: int = 1, **fields: Any) -> Controller:
    return Controller(parse_opening({"mood": "focus", "bpm": 120} | fields), seed)


def ask(controller: Controller, bar: float, kind: str = "skip", **more: Any) -> Applied:
    """Ask at a bar (from 0), a moment after it has begun."""
    return controller.apply(parse_control({"type": kind, **more}), round(bar * BAR) + 960)


def bars(controller: Controller, first: int, last: int) -> list[Intent]:
    return [controller.beat_intent(bar * BEATS_PER_BAR) for bar in range(first, last)]


@pytest.mark.parametrize("at", ["beat", "bar", "phrase", "section", "2 bars"])
def test_another_piece_begins_where_it_is_asked_to(at: str) -> None:
    controller = opened()
    applied = ask(controller, 5.1, at=at, id="s")
    beat = controller.beat_at(applied.fields["piece"].begin.frame)
    assert controller.frame_of_beat(beat) == applied.effective.frame and beat > 5 * BEATS_PER_BAR
    before, intent = controller.beat_intent(beat - 1), controller.beat_intent(beat)
    assert (before.piece, intent.piece, intent.piece_beats, intent.bar_in_section) == (0, 1, 0, 0)
    assert [(each.id, each.type) for each in controller.pending(5 * BAR)] == [("s", "skip")]


def test_nothing_comes_back_from_before_it() -> None:
    for seed in range(8):
        controller = opened(seed)
        ask(controller, 30.5)
        for bar, intent in enumerate(bars(controller, 31, 31 + THEME_BARS), 31):
            assert all(lane is None or bar - lane[0] >= 31 for lane in intent.recall), (seed, bar)


def test_the_form_begins_anew_and_is_that_of_a_later_round() -> None:
    controller, form = opened(3), Form(3)
    ask(controller, 20)
    names = [intent.section for intent in bars(controller, 21, 21 + 60)]
    first = form.next_piece_bar(20)
    assert first == form.piece_bar(first) > form.piece_bar(20) == 0
    assert names == [form.position_at(bar).section for bar in range(first, first + 60)]


def test_the_seed_and_how_many_were_skipped_say_which_it_is() -> None:
    one, other = opened(4), opened(4)
    ask(one, 10), ask(one, 30), ask(other, 19), ask(other, 40)
    after, later = bars(one, 31, 91), bars(other, 41, 101)
    assert [(each.section, each.recall, each.key.tonic) for each in after] == [
        (each.section, each.recall, each.key.tonic) for each in later
    ]
    assert [each.section for each in bars(opened(4), 31, 91)] != [each.section for each in after]


def test_a_key_that_is_asked_for_stays_and_another_moves_by_a_pivot() -> None:
    free, fixed = opened(5), opened(5, key="D minor")
    for controller in (free, fixed):
        ask(controller, 8.2, at="phrase")
    before, last, after = (free.beat_intent(bar * BEATS_PER_BAR) for bar in (9, 11, 12))
    assert before.key == last.key and (last.key_ahead, last.beats_to_key) == (after.key, 4) and after.key != last.key
    assert {intent.key for intent in bars(fixed, 9, 30)} == {fixed.beat_intent(0).key}


def test_nothing_before_the_first_open_beat_changes() -> None:
    for at in ("beat", "bar", "section"):
        controller = opened(6)
        beats = [controller.beat_intent(beat) for beat in range(200)]
        applied = ask(controller, 12.4, at=at)
        assert applied.changed_since is not None
        first = controller.beat_at(applied.changed_since)
        assert [controller.beat_intent(beat) for beat in range(first)] == beats[:first]


def test_one_that_waits_can_be_taken_back() -> None:
    controller, usual = opened(7), opened(7)
    ask(controller, 8, at="section", id="s")
    ask(controller, 8.2, "cancel", target="s")
    assert bars(controller, 0, 60) == bars(usual, 0, 60)


def test_a_section_that_is_asked_for_states_no_theme_of_a_piece_before() -> None:
    controller = opened(8)
    ask(controller, 40)
    ask(controller, 43, "section", do="go", to="A")
    ask(controller, 60, "section", do="go", to="B")
    for bar, intent in enumerate(bars(controller, 41, 120), 41):
        assert all(lane is None or bar - lane[0] >= 41 for lane in intent.recall), bar


def test_it_is_remembered() -> None:
    controller = opened(9)
    ask(controller, 12), ask(controller, 40, at="section")
    controller.forget_before(41 * BAR)
    again = Controller.restore(json.loads(json.dumps(controller.snapshot())), parse_opening({"mood": "focus"}))
    assert bars(again, 41, 200) == bars(controller, 41, 200)


def test_a_round_of_new_themes_counts_as_another_piece() -> None:
    controller = opened(10)
    first = Form(10).next_piece_bar(0)
    assert controller.beat_intent(first * BEATS_PER_BAR - 1).piece_beats == first * BEATS_PER_BAR - 1
    assert controller.beat_intent(first * BEATS_PER_BAR).piece_beats == 0
