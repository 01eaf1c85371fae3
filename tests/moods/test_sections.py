"""Sections begin, stay and end where they are asked to; whatever is recalled has been heard, and themes return."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from moods.control import parse_control
from moods.controller import Applied, Controller
from moods.form import THEME_BARS, Form
from moods.intent import BEATS_PER_BAR
from moods.opening import parse_opening

SECOND = 48_000
BAR = 2 * SECOND  # at 120 bpm
EIGHT_BARS = next(
    seed for seed in range(100)
    if [(at.section, at.bars_to_change) for at in map(Form(seed).position_at, (0, 8))] == [("A", 7), ("B", 7)]
)  # fmt: skip
"""A seed whose form has a theme of eight bars, and another of eight after it."""


def opened(seed: int = 1, **fields: Any) -> Controller:
    return Controller(parse_opening({"mood": "focus", "bpm": 120} | fields), seed)


def section(controller: Controller, bar: float, do: str, **more: Any) -> Applied:
    """Ask at a bar (from 0), a moment after it has begun."""
    return controller.apply(parse_control({"type": "section", "do": do, **more}), round(bar * BAR) + 960)


def names(controller: Controller, bars: range) -> list[tuple[str, int]]:
    intents = [controller.beat_intent(bar * BEATS_PER_BAR) for bar in bars]
    return [(intent.section, intent.bar_in_section) for intent in intents]


@pytest.mark.parametrize("to", ["A", "B", "break", "intro"])
@pytest.mark.parametrize("at", ["beat", "bar", "phrase"])
def test_a_section_begins_where_it_is_asked_to(at: str, to: str) -> None:
    controller = opened()
    applied = section(controller, 5, "go", to=to, at=at)
    beat = controller.beat_at(applied.fields["section"].begin.frame)
    assert controller.frame_of_beat(beat) == applied.effective.frame and beat // BEATS_PER_BAR in range(5, 9)
    intent = controller.beat_intent(beat)
    assert (intent.section, intent.bar_in_section) == (to, 0)
    assert controller.section(beat) == (to, beat) != controller.section(beat - 1)
    assert controller.beat_intent(beat - beat % 4 + 4).bar_in_section == 1


def test_the_section_that_follows_begins_sooner_and_the_form_goes_on_from_there() -> None:
    usual, controller = names(opened(EIGHT_BARS), range(120)), opened(EIGHT_BARS)
    assert usual[:9] == [*(("A", bar) for bar in range(8)), ("B", 0)]
    section(controller, 6, "next")
    assert names(controller, range(7, 100)) == usual[8:101]


def test_a_section_stays_until_it_is_left_at_the_end_of_its_round() -> None:
    controller = opened(EIGHT_BARS)
    assert section(controller, 5, "stay").effective.bar == 7
    assert names(controller, range(60)) == [("A", bar) for bar in range(60)]
    assert {controller.beat_intent(bar * 4).bars_to_change for bar in range(6, 60)} == {None}
    left = section(controller, 29, "leave")
    end = controller.beat_at(left.fields["section"].arrive.frame) // 4
    assert end == 32 and names(controller, range(34)) == [*(("A", bar) for bar in range(32)), ("B", 0), ("B", 1)]
    assert [controller.beat_intent(bar * 4).bars_to_change for bar in (29, 30, 31)] == [None, 1, 0]


def test_a_stay_ends_with_next_and_with_go() -> None:
    for do, more, name in (("next", {}, "B"), ("go", {"to": "break"}, "break")):
        controller = opened(EIGHT_BARS)
        section(controller, 5, "stay")
        section(controller, 21, do, **more)
        assert names(controller, range(20, 24)) == [("A", 20), ("A", 21), (name, 0), (name, 1)]


def test_what_begins_later_may_stay() -> None:
    controller = opened()
    section(controller, 5, "go", to="B", at="phrase")
    section(controller, 5, "stay", at="phrase")
    assert names(controller, range(8, 60)) == [("B", bar) for bar in range(52)]


def test_counting_begins_where_a_section_does() -> None:
    controller = opened(EIGHT_BARS)
    section(controller, 5, "go", to="B")
    for at, bar in (("phrase", 10), ("3 bars", 9), ("section", 14), ("5 beats", 7.25), ("2 bars", 8), ("bar", 7)):
        place = section(controller, 6, "stay", at=at).effective
        assert place.bar - 1 + (place.beat - 1) / 4 == bar, at
        controller = opened(EIGHT_BARS)
        section(controller, 5, "go", to="B")


def test_a_theme_is_stated_again_by_a_section_that_is_asked_for() -> None:
    controller = opened(EIGHT_BARS, mood="epic")
    section(controller, 13, "go", to="A")  # of the theme that the first bars stated
    lead = [controller.beat_intent(bar * 4).recall[-1] for bar in range(14, 22)]
    assert [bar - back[0] for bar, back in enumerate(lead, 14) if back] == list(range(8))
    section(controller, 16, "go", to="break")
    section(controller, 18, "go", to="A")  # and of the same, not of its return
    lead = [controller.beat_intent(bar * 4).recall[-1] for bar in range(19, 27)]
    assert [bar - back[0] for bar, back in enumerate(lead, 19) if back] == list(range(8))


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_recalled_has_been_heard(seed: int) -> None:
    """And recalled by what it was: a whole bar of a section of that name, or of the section itself."""
    rng, controller = random.Random(seed), opened(seed)
    bar, forgotten = 0, opened(seed)
    for _ in range(40):
        bar += rng.randrange(1, 12)
        do = rng.choice(["next", "go", "go", "stay", "leave"])
        to = {"to": rng.choice(["A", "B", "break", "intro"])} if do == "go" else {}
        asked = {"at": rng.choice(["beat", "bar", "phrase", "section"]), **to}
        forgotten.forget_before(bar * BAR)
        forgotten = Controller.restore(json.loads(json.dumps(forgotten.snapshot())), parse_opening({}))
        assert section(controller, bar, do, **asked) == section(forgotten, bar, do, **asked)
    before = [controller.beat_intent(each * 4 + 3) for each in range(bar + 40)]
    for number, intent in enumerate(before):
        for lane in filter(None, intent.recall):
            assert 0 < lane[0] <= min(number, THEME_BARS)
            if lane[0] > intent.bar_in_section:
                assert before[number - lane[0]].section in (intent.section, "intro")
    assert before[bar:] == [forgotten.beat_intent(each * 4 + 3) for each in range(bar, bar + 40)]


def test_a_piece_keeps_its_end_whatever_its_sections_do() -> None:
    timeline = {"duration": 60, "mood": "sport", "ending": "cadence"}
    for do, more in (("next", {}), ("go", {"to": "B"}), ("stay", {})):
        piece = Controller(parse_opening({"timeline": timeline}), 3)
        end_frame = piece.end_frame
        ends = [piece.beat_intent(beat).beats_to_end for beat in range(140)]
        piece.apply(parse_control({"type": "section", "do": do, **more}), 4 * SECOND)
        assert piece.end_frame == end_frame and [piece.beat_intent(beat).beats_to_end for beat in range(140)] == ends
        last = next(beat for beat in range(140) if ends[beat] == 0)
        assert piece.beat_intent(last).section == "outro" and piece.beat_intent(last - 24).section != "outro"


def test_the_outro_of_a_piece_ends_whatever_is_asked_to_stay() -> None:
    sections = [{"at": 0, "mood": "night"}, {"at": 40, "mood": "epic"}, {"at": 80, "mood": "focus"}]
    controller = Controller(parse_opening({"timeline": {"duration": 120, "sections": sections}}), 1)
    controller.apply(parse_control({"type": "section", "do": "stay", "at": {"seconds": 106}}), 85 * SECOND)
    end_frame = controller.end_frame
    controller.apply(parse_control({"type": "section", "do": "next", "at": "now"}), 103 * SECOND)
    assert controller.end_frame == end_frame == 120 * SECOND
