"""Register, leanings, touch and timing: what stands beside the masks and between the steps of the vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from engine.notes import NOTE, TICKS_PER_BEAT
from engine.score import leanings
from engine.score.asked import asked_of
from engine.score.columns import make_columns
from engine.score.dynamics import played_velocities
from engine.score.leanings import NOTHING
from engine.score.rules import RANGES, Rules, write_rules
from engine.score.sampling import Rows
from engine.score.timing import ticks_late
from engine.score.vocabulary import FIRST_LAYER, FIRST_PITCH, NUM_CHORDS, NUM_QUALITIES, NUM_VALUES, tonic_shift
from moods.control import parse_control
from moods.controller import Controller
from moods.intent import LAYERS, STYLES
from moods.opening import Opening


@njit
def lean_values(rows, rules, row, layer, position, recalled, logits):
    leanings.lean_values(rows, rules, row, layer, position, recalled, logits)


@njit
def lean_chords(rows, rules, row, recalled, logits):
    leanings.lean_chords(rows, rules, row, recalled, logits)


HARMONY, LEAD = LAYERS.index("harmony"), LAYERS.index("lead")


def asked_beats(num_beats: int, seed: int = 5, **fields) -> np.ndarray:
    controller = Controller(Opening(**fields), seed)
    return asked_of([controller.beat_intent(beat) for beat in range(num_beats)])


def rules_of(asked: np.ndarray) -> Rules:
    rules = make_columns(Rules, len(asked))
    write_rules(rules, np.arange(len(asked)), asked, np.zeros(len(asked), bool))
    return rules


def leant(rows: Rows, rules: Rules, layer: int, recalled: int = NOTHING) -> np.ndarray:
    """What is added to each MIDI note relative to the tonic, of `layer` in row 0."""
    logits = np.zeros(NUM_VALUES, np.float32)
    lean_values(rows, rules, 0, layer, 0, recalled, logits)
    return logits[FIRST_PITCH:]


@pytest.mark.parametrize("tonic", ["C", "Gb", "B"])
def test_a_layer_leans_to_the_same_place_in_every_key_and_away_from_the_ends_of_its_range(tonic: str) -> None:
    asked = asked_beats(1, style="orchestral", key=f"{tonic} major", valence=0.0)
    rules, rows, shift = rules_of(asked), make_columns(Rows, 1), tonic_shift(int(asked["tonic"][0]))
    for layer in range(1, len(LAYERS)):
        leaning, (low, high) = leant(rows, rules, layer), RANGES[layer]
        home = int(leaning.argmax()) + shift
        assert low + 2 <= home <= high - 6, LAYERS[layer]
        assert np.all(np.diff(leaning[home - shift : high + 1 - shift]) < 0)
        assert np.all(np.diff(leaning[low - shift : home + 1 - shift]) > 0)
        if layer == LEAD:
            assert 65 <= home <= 76
            assert leaning[high - shift] < leaning[home - shift] - 3


def test_the_lead_goes_by_steps_and_what_is_recalled_is_not_leaned_against() -> None:
    rules, rows = rules_of(asked_beats(1, style="acoustic", key="C major", valence=0.0)), make_columns(Rows, 1)
    rows.last_lead[0] = FIRST_PITCH + 69
    leaning = leant(rows, rules, LEAD)
    assert min(leaning[[67, 68, 70, 71]]) > max(leaning[[60, 62, 69, 76, 79]])
    assert leant(rows, rules, LEAD, FIRST_PITCH + 69)[69] == 0 > leaning[69]


def test_a_chord_is_open_below() -> None:
    rules, rows = rules_of(asked_beats(1, style="orchestral", key="C major", valence=0.0)), make_columns(Rows, 1)
    foot = int(leant(rows, rules, HARMONY).argmax())
    assert 46 <= foot <= 56
    rows.events[0, 0], rows.num_events[0] = (FIRST_LAYER + HARMONY, 0, FIRST_PITCH + foot, 12, 8), 1
    above = leant(rows, rules, HARMONY)
    assert above[foot + 7] > above[foot + 3] > above[foot + 1]


def test_chords_follow_by_thirds_where_the_style_has_it() -> None:
    """In jazz by fifths as the model has learnt it."""
    for style, has_thirds in (("cinematic", True), ("jazz", False)):
        asked = asked_beats(1, style=style, key="C major", valence=0.0, tension=0.1)
        rules, rows, logits = rules_of(asked), make_columns(Rows, 1), np.zeros(NUM_CHORDS, np.float32)
        rows.chord[0] = 9 * NUM_QUALITIES
        lean_chords(rows, rules, 0, NOTHING, logits)
        roots = logits.reshape(12, NUM_QUALITIES)[:, 0]
        assert (roots[5] > roots[2]) == has_thirds, style


def notes_at(beat_ticks: list[tuple[int, int, int]], layer: int, pitch: int) -> tuple[np.ndarray, np.ndarray]:
    """Notes (beat, tick, velocity) of one layer and pitch, and the beats that they lie in."""
    notes = np.array([(tick, 12, layer, pitch, velocity) for _, tick, velocity in beat_ticks], NOTE)
    return notes, np.array([beat for beat, _, _ in beat_ticks])


def test_a_phrase_swells_and_falls_and_a_rising_line_grows() -> None:
    asked = asked_beats(32, style="acoustic", energy=0.6)
    notes, of = notes_at([(beat, 0, 76) for beat in range(16, 32)], LEAD, 69)
    played = played_velocities(notes, asked, of)
    bars = played.reshape(4, 4).mean(axis=1)
    assert bars.argmax() in (1, 2) and bars.max() - bars.min() >= 6
    notes["pitch"] += 5
    assert np.all(played_velocities(notes, asked, of) > played)
    assert played.min() >= 1 and played.max() <= 127


def test_what_is_struck_at_a_hit_is_as_loud_and_as_punctual_as_it_was_asked_for() -> None:
    controller = Controller(Opening(style="lofi", energy=0.9), 5)
    controller.apply(parse_control({"type": "hit", "at": {"seconds": 8}, "strength": 1.0}), 0)
    intents = [controller.beat_intent(beat) for beat in range(32)]
    struck = [beat for beat, intent in enumerate(intents) if intent.cue == "hit"]
    notes, of = notes_at([(beat, 1, 124) for beat in struck], 0, 38)
    assert struck
    assert np.all(played_velocities(notes, asked_of(intents), of) == 124)
    assert not ticks_late(notes, asked_of(intents), of).any()


@pytest.mark.parametrize("style", STYLES)
def test_machines_are_on_the_tick_and_hands_beside_it_but_never_before_their_beat(style: str) -> None:
    asked = asked_beats(4, style=style)
    notes, of = notes_at([(beat, tick, 80) for beat in range(4) for tick in range(TICKS_PER_BEAT)], 0, 38)
    late = ticks_late(notes, asked, of)
    assert np.all(notes["tick"] + late >= 0) and np.abs(late).max() <= 2
    assert late.any() == (style not in ("synthwave", "house", "chiptune"))
    if late.any():
        assert np.any(late % 1), "finer than the grid"
        backbeat = late[(of % 2 == 1) & (notes["tick"] == 0)]
        assert np.all(backbeat >= 0)
    pitched, of = notes_at([(0, 7, 80)], LEAD, 69)
    assert not ticks_late(pitched, asked, of).any()
