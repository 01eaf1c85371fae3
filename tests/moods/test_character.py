"""Pieces of one mood differ in what the mood leaves open, as far as `novelty` has them, and in nothing asked."""

from __future__ import annotations

from typing import Any

import pytest

from moods.character import CHORD_FAMILIES, GROOVES, character_of
from moods.control import parse_control
from moods.controller import Controller
from moods.harmony import CHORD_QUALITIES
from moods.intent import BEATS_PER_BAR, NUM_CHORD_FAMILIES, Intent
from moods.mood import styles
from moods.opening import parse_opening

SEEDS = range(24)


def first_intents(**fields: Any) -> list[Intent]:
    return [Controller(parse_opening({"mood": "happy", **fields}), seed).beat_intent(0) for seed in SEEDS]


def reach(values: list[float]) -> float:
    return max(values) - min(values)


def test_a_piece_has_one_character_and_the_next_another() -> None:
    assert character_of(5, 0) == character_of(5, 0)
    assert len({character_of(seed, piece) for seed in SEEDS for piece in range(3)}) == 3 * len(SEEDS)
    controller = Controller(parse_opening({}), 5)
    controller.apply(parse_control({"type": "skip", "at": "bar"}), 48_000)
    first, after = controller.beat_intent(0), controller.beat_intent(16 * BEATS_PER_BAR)
    assert (first.character, after.character) == (character_of(5, 0), character_of(5, 1))


def test_grooves_and_families_are_what_their_indices_say() -> None:
    assert {len(groove) for groove in GROOVES} == {16} and "x" not in GROOVES[0]
    named = [name for family in CHORD_FAMILIES for name in family]
    assert len(CHORD_FAMILIES) == NUM_CHORD_FAMILIES
    assert len(set(named)) == len(named) and set(named) < set(CHORD_QUALITIES)


def test_the_more_novelty_the_further_pieces_lie_apart_and_without_it_they_are_the_mood() -> None:
    tempos, densities = list[float](), list[float]()
    for novelty in (0.0, 0.5, 1.0):
        intents = first_intents(novelty=novelty)
        tempos.append(reach([intent.bpm for intent in intents]))
        densities.append(reach([intent.density for intent in intents]))
        slowest, fastest = styles()[intents[0].style.index(1.0)].bpm
        assert all(slowest <= intent.bpm <= fastest for intent in intents)
    assert tempos[0] == densities[0] == 0
    assert 0 < tempos[1] < tempos[2] and 0 < densities[1] < densities[2]


@pytest.mark.parametrize("novelty", [0.5, 1.0])
def test_what_was_asked_for_stays_as_it_was_asked(novelty: float) -> None:
    asked = {"bpm": 97, "density": 0.35, "energy": 0.9, "key": "D dorian"}
    for intent in first_intents(**asked, novelty=novelty):
        assert (intent.bpm, intent.density, intent.energy, str(intent.key)) == (*asked.values(),)


def test_layers_that_a_mood_has_without_character_play_with_any() -> None:
    """Who was promised a layer by its mood or words hears it."""
    for energy in (0.2, 0.5, 0.8):
        plain, *_ = first_intents(energy=energy, novelty=0)
        for intent in first_intents(energy=energy, novelty=1):
            assert all(plays >= usual for plays, usual in zip(intent.active_layers, plain.active_layers, strict=True))


def test_novelty_is_heard_from_the_next_bar() -> None:
    controller = Controller(parse_opening({}), 1)
    applied = controller.apply(parse_control({"type": "steer", "set": {"novelty": 0.9}}), 20_000)
    begin = applied.fields["novelty"].begin
    assert begin.beat == 1 and begin.bar == 2
    beat = (begin.bar - 1) * BEATS_PER_BAR
    assert [controller.beat_intent(beat + step).novelty for step in (-1, 0)] == [0.5, 0.9]


def test_an_autopilot_says_how_new_it_is_until_somebody_else_does() -> None:
    opening = {"autopilot": {"novelty": 0.8}}
    assert Controller(parse_opening(opening), 1).beat_intent(0).novelty == 0.8
    assert Controller(parse_opening({**opening, "novelty": 0.1}), 1).beat_intent(0).novelty == 0.1
