"""What the bars of themes are made of: ideas that are stated, moved and answered, whatever was asked live."""

from __future__ import annotations

import random

import pytest

from moods.control import parse_control
from moods.controller import Controller
from moods.form import THEME_BARS, Form
from moods.intent import BEATS_PER_BAR, OPERATIONS, Line
from moods.motifs import again, bars_repeated, first_lines, stretched_lines
from moods.opening import Opening

BARS = 300


def sources(bars: list[tuple[Line | None, ...]]) -> list[int]:
    """The beats of `bars` from which lines are taken."""
    beats = [line for lines in bars for line in lines]
    return [beat - line.back_beats for beat, line in enumerate(beats) if line is not None and line.back_beats]


def test_a_theme_begins_the_same_however_long_it_is() -> None:
    for seed in range(50):
        stated = [first_lines(random.Random(seed), num_bars) for num_bars in (1, 4, 8, 16, 40)]
        assert all(bars == stated[-1][: len(bars)] for bars in stated)


def test_a_theme_says_again_what_it_has_stated() -> None:
    shapes = set()
    for seed in range(200):
        bars = first_lines(random.Random(seed), 8)
        assert all(0 <= beat < 8 * BEATS_PER_BAR for beat in sources(bars))
        assert all(line is None or line.back_beats == 0 for line in bars[0])
        assert len(sources(bars)) >= 4 * BEATS_PER_BAR
        assert sum(bars_repeated(lines) is not None for lines in bars) >= 3
        shapes.add(tuple(bars))
    assert len(shapes) > 60


def test_the_lead_takes_breath_at_the_end_of_every_phrase() -> None:
    for seed in range(50):
        bars = first_lines(random.Random(seed), 16)
        left = [line.beats_to_breath for lines in bars[3::4] for line in lines if line]
        assert left == [3, 2, 1, 0] * 4
        assert all(line is not None and line.back_beats == 0 for line in (lines[-1] for lines in bars[3::4]))


def test_a_later_theme_may_take_its_motif_from_another() -> None:
    taken = [first_lines(random.Random(seed), 8, 20)[0][0] for seed in range(100)]
    borrowed = [line for line in taken if line is not None and line.back_beats == 20 * BEATS_PER_BAR]
    assert 20 < len(borrowed) < 80
    assert len({line.do for line in borrowed}) > 1


def test_a_break_has_the_theme_at_half_speed() -> None:
    bars = next(found for seed in range(20) if (found := stretched_lines(random.Random(seed), 4, 12)))
    first = -12 * BEATS_PER_BAR
    assert sources(bars) == [first + beat // 2 for beat in range(4 * BEATS_PER_BAR)]
    assert {line.do for lines in bars for line in lines if line} == {"stretch"}


def test_what_comes_back_to_the_letter_is_whole() -> None:
    assert all(bars_repeated(lines) == 9 for lines in again([9] * 8))
    ends = [again([9] * 4, random.Random(seed))[3] for seed in range(40)]
    breaths = {lines[-1].beats_to_breath for lines in ends if lines[-1] is not None}
    assert breaths == {None, 0}  # of some the end is new


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_taken_from_what_is_forgotten_or_not_yet_heard(seed: int) -> None:
    form = Form(seed)
    positions = [form.position_at(bar) for bar in range(BARS)]
    for bar, position in enumerate(positions):
        assert len(position.lines) == BEATS_PER_BAR
        for beat, line in enumerate(position.lines):
            if line is not None and line.back_beats:
                assert 0 < line.back_beats <= BEATS_PER_BAR * bar + beat
                assert line.back_beats <= THEME_BARS * BEATS_PER_BAR
                assert line.do in OPERATIONS
    assert sum(line is not None and line.back_beats > 0 for each in positions for line in each.lines) > 2 * BARS


def test_after_a_skip_lines_are_taken_from_the_new_piece_alone() -> None:
    controller = Controller(Opening(mood="focus"), 3)
    begins = controller.apply(parse_control({"type": "skip", "at": "bar"}), controller.frame_of_beat(150)).effective
    first = controller.beat_at(begins.frame)
    lines = [(beat, controller.beat_intent(beat).line) for beat in range(first, first + 400)]
    taken = [beat - line.back_beats for beat, line in lines if line is not None and line.back_beats]
    assert len(taken) > 100
    assert min(taken) >= first


def test_a_section_that_is_asked_for_takes_its_lines_from_where_its_theme_was_heard() -> None:
    """And what was left out is taken by nobody."""
    plain, asked = (Controller(Opening(mood="focus"), seed=5) for _ in range(2))
    frame = asked.frame_of_beat(40)
    begins = asked.apply(parse_control({"type": "section", "do": "go", "to": "A", "at": "phrase"}), frame).effective
    first = asked.beat_at(begins.frame)
    theme = next(beat for beat in range(first) if plain.beat_intent(beat).section == "A")
    lines = [asked.beat_intent(first + beat).line for beat in range(4 * BEATS_PER_BAR)]
    assert [first + beat - line.back_beats for beat, line in enumerate(lines) if line and line.back_beats][:4] == [
        theme + beat for beat in range(4)
    ]
