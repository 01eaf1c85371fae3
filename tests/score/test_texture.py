"""Register, leanings, touch and timing: what stands beside the masks and between the steps of the vocabulary."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from engine.notes import NOTE, TICKS_PER_BEAT
from engine.score import leanings
from engine.score.asked import NO_CUE, asked_of
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


def preferred(tonic: str, layer: int) -> list[int]:
    """Of each pitch class of a key the note of the layer's range that is leaned to most."""
    asked = asked_beats(1, style="orchestral", key=f"{tonic} major", valence=0.0, tension=0.1)
    shift, (low, high) = tonic_shift(int(asked["tonic"][0])), RANGES[layer]
    leaning = leant(make_columns(Rows, 1), rules_of(asked), layer)
    octaves = [range(first, high + 1, 12) for first in range(low, low + 12)]
    return [max(octave, key=lambda pitch: leaning[pitch - shift]) for octave in octaves]


@pytest.mark.parametrize("layer", range(1, len(LAYERS)))
def test_a_layer_leans_to_one_octave_of_its_range_in_every_key_and_not_to_the_ends(layer: int) -> None:
    middles = {tonic: np.mean(preferred(tonic, layer)) for tonic in ("C", "Gb", "B")}
    assert max(middles.values()) - min(middles.values()) <= 1, middles
    pitches, (low, high) = preferred("C", layer), RANGES[layer]
    assert max(pitches) - min(pitches) <= 12
    assert low + 4 < middles["C"] < high - 6
    if layer == LEAD:
        assert 65 <= middles["C"] <= 76


def test_the_lead_goes_by_steps_and_what_is_recalled_is_not_leaned_against() -> None:
    rules, rows = (
        rules_of(asked_beats(1, style="acoustic", key="C major", valence=0.0, tension=0.1)),
        make_columns(Rows, 1),
    )
    rows.last_lead[0] = FIRST_PITCH + 69
    leaning = leant(rows, rules, LEAD)
    assert min(leaning[[67, 68, 70, 71]]) > max(leaning[[60, 62, 69, 76, 79]])
    assert leant(rows, rules, LEAD, FIRST_PITCH + 69)[69] == 0 > leaning[69]


def test_a_chord_is_open_below() -> None:
    """Whatever tones a piece likes."""
    asked = asked_beats(1, style="orchestral", key="C major", valence=0.0, tension=0.1, novelty=0.0)
    rules, rows = rules_of(asked), make_columns(Rows, 1)
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
        rows.chord[0], rules.chord_bias[0] = 9 * NUM_QUALITIES, 0
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
    is_plain = asked["cue"][of] == NO_CUE
    assert is_plain.sum() >= 12 and np.all(played_velocities(notes, asked, of)[is_plain] > played[is_plain])
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
