"""Pieces survive being written as events."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.notes import TICKS_PER_BEAT
from engine.score import vocabulary as v
from engine.score.asked import asked_of
from engine.score.composer import decode_notes
from engine.training.arranger import arrange
from moods.controller import Controller
from moods.harmony import Key
from moods.intent import LANES, STYLES
from moods.opening import Opening


@pytest.mark.parametrize("style", STYLES)
def test_notes_survive_encoding(style: str) -> None:
    piece = arrange(style, 3)
    encoded = v.encode_piece(piece)
    begins = np.flatnonzero(encoded.events[:, 0] <= v.BEAT)
    assert len(begins) == 4 * len(piece.bars) == len(encoded.conditions)
    found = set()
    for beat, (first, last) in enumerate(zip(begins, [*begins[1:], len(encoded.events)], strict=True)):
        events = encoded.events[first:last]
        for note in decode_notes(events[events[:, 0] >= v.FIRST_LAYER], piece.key.tonic):
            found.add((beat * TICKS_PER_BEAT + int(note["tick"]), int(note["layer"]), int(note["pitch"])))
    written = {(int(n["tick"]), int(n["layer"]), int(n["pitch"])) for n in piece.notes}
    assert found <= written
    assert len(found) >= 0.98 * len(written)  # what exceeds MAX_EVENTS_PER_BEAT is dropped


def test_events_are_in_order() -> None:
    events = v.encode_piece(arrange("house", 5)).events
    for one, two in zip(events, events[1:], strict=False):
        if one[0] >= v.FIRST_LAYER and two[0] >= v.FIRST_LAYER:
            assert (one[1], one[0], one[2]) < (two[1], two[0], two[2])


def test_condition_groups_do_not_overlap() -> None:
    ends = [(part.start, part.stop) for part in v.CONDITION_SLICES.values()]
    assert all(a[1] == b[0] for a, b in zip(ends, ends[1:], strict=False))
    assert ends[-1][1] <= v.CONDITION


def test_every_control_moves_the_condition() -> None:
    still = Controller(Opening(bpm=90), 3).beat_intent(0)
    style = (0.0, 1.0) + (0.0,) * (len(STYLES) - 2)
    changes = dict(
        valence=0.15, energy=0.45, tension=0.35, density=0.55, bpm=95.0, style=style, key=Key(0, "phrygian"),
        active_layers=(False,) * 5, beat=2, bar_in_section=1, section="B", bars_to_change=0, beats_to_end=3, cue="fill",
    )  # fmt: skip
    changed = asked_of([still, *(replace(still, **{name: value}) for name, value in changes.items())])
    rows = v.conditions(changed)
    for name, row in zip(changes, rows[1:], strict=True):
        assert not np.array_equal(row, rows[0]), name
    recall = np.zeros((len(changed), len(LANES)))
    recall[:, 1] = 0.5
    assert not np.array_equal(v.conditions(changed, recall)[0], rows[0])
