"""What the lead takes from earlier bars is what was played there: moved, turned, stretched, in any key and mode."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest

import numpy as np
import pytest

from engine.notes import TICKS_PER_BEAT
from engine.score.asked import asked_of
from engine.score.columns import make_columns
from engine.score.composer import ComposedBeat, Composer
from engine.score.lines import FREE_PITCH, follow_lines
from engine.score.memory import Memory
from engine.score.rules import RANGES, Rules, write_rules
from engine.score.vocabulary import (
    DURATIONS,
    FIRST_PITCH,
    MAX_EVENTS_PER_BEAT,
    NUM_KINDS,
    duration_class,
    tonic_shift,
)
from moods.controller import Controller
from moods.harmony import parse_key
from moods.intent import LAYERS, STYLES, Intent, Line
from moods.opening import Opening
from tests.score.conftest import SLOTS
from tests.score.test_cues import check_restored, of_layer, take

LEAD = LAYERS.index("lead")
SLOT = np.array([0])
HALF = duration_class(12)
MOTIF = ((0, 72), (6, 74), (12, 76), (18, 79))
"""Ticks and pitches in C: steps 0, 1, 2 and 4 of the major scale."""


def intent(key: str, line: Line | None = None) -> Intent:
    found = Controller(Opening(style="acoustic", tension=0.1), 3).beat_intent(0)
    return replace(found, key=parse_key(key), active_layers=(True,) * len(LAYERS), line=line)


def played(line: Line, key: str = "C major", source_key: str = "C major", beat: int = 4) -> list[tuple[int, int, int]]:
    """Tick, pitch and length of what the lead is to play in `beat`, of a motif in beat 0."""
    memory, rules = Memory(1), make_columns(Rules, 1)
    events = np.zeros((1, MAX_EVENTS_PER_BEAT, 5), np.int64)
    for i, (tick, pitch) in enumerate(MOTIF):
        events[0, i] = NUM_KINDS - 1, tick, FIRST_PITCH + pitch, HALF, 9
    memory.remember(SLOT, np.array([0]), events, np.array([len(MOTIF)]), asked_of([intent(source_key)]))
    asked = asked_of([replace(intent(key, line), beat=beat % 4 + 1)])
    write_rules(rules, SLOT, asked, np.array([False]))
    shown, counts = np.zeros((1, MAX_EVENTS_PER_BEAT, 5), np.int64), np.zeros(1, np.int64)
    assert follow_lines(memory.kept, rules, SLOT, np.array([beat]), asked, shown, counts)[0]
    theme = rules.theme[0, : rules.num_theme[0]]
    if line.do != "rhythm":
        assert np.array_equal(theme, shown[0, : counts[0], 1:4])
    shift = tonic_shift(parse_key(key).tonic)
    return [
        (tick, value if value == FREE_PITCH else value - FIRST_PITCH + shift, int(DURATIONS[length]))
        for tick, value, length in theme.tolist()
    ]


def pitches(line: Line, key: str = "C major", source_key: str = "C major") -> list[int]:
    """Above the octave of the first note, all of which are in the lead's range."""
    found = [pitch for _, pitch, _ in played(line, key, source_key)]
    assert all(RANGES[LEAD][0] <= pitch <= RANGES[LEAD][1] for pitch in found)
    return [pitch - found[0] // 12 * 12 for pitch in found]


def test_a_repeat_is_the_same_to_the_letter() -> None:
    assert played(Line(4)) == [(tick, pitch, 12) for tick, pitch in MOTIF]


def test_notes_are_over_before_the_lead_takes_breath() -> None:
    assert played(Line(4, beats_to_breath=1)) == [(0, 72, 12), (6, 74, 12), (12, 76, 12), (18, 79, 6)]


def test_a_sequence_goes_by_steps_of_the_scale() -> None:
    assert pitches(Line(4, steps=1)) == [2, 4, 5, 9]
    assert pitches(Line(4, steps=-1)) == [11, 12, 14, 17]
    assert pitches(Line(4, steps=-9)) == [9, 11, 12, 16]  # far below the range, it comes from above
    assert pitches(Line(4, steps=1), "C minor pentatonic", "C minor pentatonic")[0] == 3


def test_a_motif_is_turned_about_its_first_note() -> None:
    assert pitches(Line(4, "invert", 7)) == [0, -1, -3, -7]


def test_a_motif_is_itself_in_another_mode_and_key() -> None:
    assert pitches(Line(4), "C minor") == [0, 2, 3, 7]
    assert pitches(Line(4), "D major") == [2, 4, 6, 9]
    assert pitches(Line(4), "B major") == [11, 13, 15, 18]
    assert pitches(Line(4), "F# dorian") == [6, 8, 9, 13]


def test_the_rhythm_alone_is_taken() -> None:
    assert played(Line(4, "rhythm")) == [(tick, FREE_PITCH, 12) for tick, _ in MOTIF]


def test_a_motif_is_stretched_over_two_beats() -> None:
    assert played(Line(4, "stretch")) == [(0, 72, 24), (12, 74, 24)]
    assert played(Line(5, "stretch"), beat=5) == [(0, 76, 24), (12, 79, 24)]


def test_what_was_never_heard_leaves_the_lead_free() -> None:
    memory, rules = Memory(1), make_columns(Rules, 1)
    asked = asked_of([intent("C major", Line(4))])
    write_rules(rules, SLOT, asked, np.array([False]))
    shown = np.zeros((1, MAX_EVENTS_PER_BEAT, 5), np.int64)
    assert not follow_lines(memory.kept, rules, SLOT, np.array([8]), asked, shown, np.zeros(1, np.int64))[0]
    assert rules.num_theme[0] == -1


def lead_of(beat: ComposedBeat) -> list[tuple[int, int, int]]:
    return [(int(note["tick"]), int(note["pitch"]), int(note["length"])) for note in of_layer(beat, LEAD)]


def test_the_lead_plays_what_the_plan_says_in_every_style(composer: Composer) -> None:
    controllers = [Controller(Opening(style=STYLES[slot], energy=0.6, tension=0.2), slot) for slot in range(SLOTS)]
    for slot, controller in enumerate(controllers):
        composer.open(slot, controller)
    repeated = same = breaths = 0
    for controller, beats in zip(controllers, take(composer, list(range(SLOTS)), 60), strict=True):
        for beat, composed in enumerate(beats):
            asked = controller.beat_intent(beat)
            line = asked.line
            if line is not None and line.beats_to_breath == 0 and asked.cue == "none":
                breaths += 1
                assert not lead_of(composed)
                rung = max((tick + length for tick, _, length in lead_of(beats[beat - 1])), default=0)
                assert rung < TICKS_PER_BEAT + DURATIONS[0]  # no note is shorter than that
            if line is None or not line.back_beats or (line.do, line.steps, asked.cue) != ("repeat", 0, "none"):
                continue
            if asked.active_layers[LEAD] and controller.beat_intent(beat - line.back_beats).active_layers[LEAD]:
                repeated += 1
                source = lead_of(beats[beat - line.back_beats])
                end = 1 << 30 if line.beats_to_breath is None else line.beats_to_breath * TICKS_PER_BEAT
                same += all(
                    one[:2] == other[:2] and min(end, other[0] + other[2]) >= one[0] + one[2]
                    for one, other in zip_longest(lead_of(composed), source, fillvalue=(-1, -1, 0))
                )
    assert repeated > 100 and breaths > 10
    assert same > 0.95 * repeated  # a watchdog or a chromatic note in a calmer mood may say otherwise


@pytest.mark.parametrize("beats_before", [22, 41])
def test_a_restored_composer_takes_up_the_same_lines(composer: Composer, beats_before: int) -> None:
    check_restored(composer, Controller(Opening(mood="epic"), 11), beats_before, 16)
