"""The form of a piece of known length: sections that fit, themes that are heard at once and come back."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from moods.cycles import CYCLE_BARS, NEUTRAL
from moods.form import THEME_BARS, Form, FormPosition, cadence_at
from moods.loudness import target_lufs
from moods.outline import Mark, outro_bars, plan_sections
from moods.plan import PlannedSection


def _covers(sections: tuple[PlannedSection, ...], num_bars: int) -> bool:
    ends = [section.first_bar + section.num_bars for section in sections]
    return ends[-1] == num_bars and [section.first_bar for section in sections] == [0, *ends[:-1]]


def test_sections_cover_the_piece_and_begin_where_the_picture_changes() -> None:
    rng = random.Random(0)
    for _ in range(500):
        num_bars = rng.choice([rng.randint(1, 40), rng.randint(1, 2000)])
        bars = rng.sample(range(1, num_bars + 5), min(num_bars, rng.randrange(6)))
        marks = [Mark(bar, rng.random()) for bar in bars]
        ending = rng.choice(["cadence", "ring", "fade", "stop", "loop"])
        sections = plan_sections(num_bars, rng.random(), marks, ending)
        assert _covers(sections, num_bars)
        assert {bar for bar in bars if bar < num_bars} <= {section.first_bar for section in sections}
        assert (sections[-1].name == "outro") == (ending in ("cadence", "ring"))
        assert all(section.num_bars > 0 for section in sections)


@pytest.mark.parametrize("num_bars", [*range(3, 60), 100, 1500])
def test_the_theme_begins_at_once_and_is_the_last_that_is_heard(num_bars: int) -> None:
    *body, outro = plan_sections(num_bars, 0.5)
    assert outro.num_bars == outro_bars(num_bars, "cadence") <= max(2, num_bars / 4)
    assert body[0].name == body[-1].name == "A"
    if num_bars >= 8:
        assert {section.name for section in body} > {"A"}
        assert all(one.name != other.name for one, other in pairwise(body))


def test_a_lift_of_energy_brings_the_other_theme_and_a_short_fall_a_break() -> None:
    up = plan_sections(20, 0.3, [Mark(8, 0.8)])
    assert [section.name for section in up] == ["A", "B", "A", "outro"]
    down = plan_sections(32, 0.8, [Mark(8, 0.3), Mark(12, 0.9)])
    assert [section.name for section in down][:3] == ["A", "break", "B"]


def test_a_theme_is_stated_the_same_whatever_the_length() -> None:
    for seed in range(20):
        pieces = [Form(seed, plan_sections(num_bars, 0.5)) for num_bars in (12, 20, 30, 40)]
        stated = [[form.position_at(bar).recall for bar in range(4)] for form in pieces]
        assert stated.count(stated[0]) == len(stated)


def test_the_theme_returns_and_an_outro_is_made_of_it() -> None:
    for seed in range(20):
        sections = plan_sections(30, 0.5)
        form = Form(seed, sections)
        last, outro = sections[-2], sections[-1]
        lead = [form.position_at(bar).recall[-1] for bar in range(last.first_bar, outro.first_bar)]
        assert [bar - back[0] for bar, back in enumerate(lead, last.first_bar) if back] == [
            bar % sections[0].num_bars for bar in range(last.num_bars)
        ]
        echo = [form.position_at(outro.first_bar + bar).recall[-1] for bar in range(outro.num_bars)]
        assert echo[0] is not None and echo[0][0] == outro.first_bar
        assert echo[-1] is None


def test_a_long_piece_brings_new_themes_and_recalls_nothing_that_is_forgotten() -> None:
    form = Form(4, plan_sections(1500, 0.5))
    plan = [form.position_at(bar) for bar in range(1500)]
    backs = [lane[0] for at in plan for lane in at.recall if lane is not None]
    assert max(backs) <= 224
    assert sum(at.bar_in_section == 0 and at.recall[-1] is None for at in plan) > 20
    assert {form.key_shift(bar) for bar in (0, 1499)} == {0}


def test_after_a_piece_its_seed_goes_on_without_end() -> None:
    form, endless = Form(5, plan_sections(10, 0.5)), Form(5)
    assert all(form.position_at(10 + bar) == endless.position_at(bar) for bar in range(CYCLE_BARS, 300))


# --- rounds without end ----------------------------------------------------------------------------------------------


def _round(seed: int) -> list[FormPosition]:
    form = Form(seed)
    return [form.position_at(bar) for bar in range(THEME_BARS)]


@pytest.mark.parametrize("seed", range(8))
def test_the_first_theme_comes_back_to_the_letter_and_ends_its_round(seed: int) -> None:
    plan = _round(seed)
    assert plan[0].section == "A"
    exact = [
        bar
        for bar, at in enumerate(plan)
        if all(lane == (bar - at.bar_in_section, 1.0) for lane in at.recall) and at.bar_in_section < 8
    ]
    assert exact[-8:] == list(range(THEME_BARS - 8, THEME_BARS))
    assert all(later - bar <= 3 * CYCLE_BARS for bar, later in pairwise([0, *exact]))


@pytest.mark.parametrize("seed", range(8))
def test_a_round_grows_to_one_climax_and_rests_before_it(seed: int) -> None:
    intensities = [at.intensity for at in _round(seed)]
    highest = [bar for bar, intensity in enumerate(intensities) if intensity == max(intensities)]
    assert max(intensities) == 1.0 and highest == list(range(highest[0], highest[-1] + 1))
    assert 3 * CYCLE_BARS < highest[0] < 6 * CYCLE_BARS
    cycles = [sum(intensities[first : first + 16]) / 16 for first in range(0, THEME_BARS, 16)]
    assert max(cycles) - min(cycles) > 0.4
    assert min(intensities[: highest[0]]) < 0.2


@pytest.mark.parametrize("energy", [0.0, 1.0])
def test_breaks_are_soft_and_the_climax_is_the_loudest(energy: float) -> None:
    asked_lufs = target_lufs(energy, NEUTRAL)
    for seed in range(4):
        levels_lu = [(at.section, target_lufs(energy, at.intensity) - asked_lufs) for at in _round(seed)]
        assert max(level for _, level in levels_lu) == pytest.approx(3.0)
        breaks, others = (
            [level for name, level in levels_lu if (name == "break") is is_break] for is_break in (True, False)
        )
        assert breaks == pytest.approx([-5.0] * len(breaks)) and min(others) == pytest.approx(-5.0)
        assert -0.5 < sum(others) / len(others) < 0.5  # what the energy asks for is what is heard for the most part


def test_rounds_are_of_many_kinds() -> None:
    plans = [tuple((at.section, at.intensity) for at in _round(seed)) for seed in range(20)]
    assert len(set(plans)) == 20
    assert len({plan[bar : bar + CYCLE_BARS] for plan in plans for bar in range(0, THEME_BARS, CYCLE_BARS)}) >= 14


def test_sections_begin_at_home_and_come_to_rest_there_mostly_without_the_dominant() -> None:
    asked = [(at, [cadence_at(at, beat) for beat in range(4)]) for seed in range(8) for at in _round(seed)]
    starts = [beats for at, beats in asked if at.bar_in_section == 0 and at.section != "break"]
    ends = [beats for at, beats in asked if at.bars_to_change == 0 and at.section != "break"]
    assert all(beats[0] == "home" for beats in starts)
    assert all(beats[:2] == ["rest", "rest"] and beats[2] == beats[3] in ("plagal", "dominant") for beats in ends)
    dominants = [at for at, beats in asked if beats[2] == "dominant"]
    assert 0.05 < len(dominants) / (len(asked) / 4) < 0.14  # of four-bar phrases
