"""Pieces survive being written as events."""

from __future__ import annotations

import numpy as np
import pytest

from engine.notes import TICKS_PER_BEAT
from engine.score import vocabulary as v
from engine.score.composer import _decode_notes
from engine.training.arranger import arrange
from moods.intent import STYLES


@pytest.mark.parametrize("style", STYLES)
def test_notes_survive_encoding(style: str) -> None:
    piece = arrange(style, 3)
    encoded = v.encode_piece(piece)
    begins = np.flatnonzero(encoded.events[:, 0] <= v.BEAT)
    assert len(begins) == 4 * len(piece.bars) == len(encoded.conditions)
    found = set()
    for beat, (first, last) in enumerate(zip(begins, [*begins[1:], len(encoded.events)], strict=True)):
        for note in _decode_notes(encoded.events[first:last].astype(np.int64), piece.key.tonic):
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
    styles = np.eye(13, dtype=np.float32)
    base = dict(
        valence=0.1, energy=0.4, tension=0.3, density=0.5, bpm=90.0, style=styles[0], scale="minor",
        layers=(True,) * 5, beat=0, bar_in_section=0, section="A", bars_to_change=None, beats_to_end=None,
        cue="none", recall=(None,) * 6,
    )  # fmt: skip
    changes = dict(
        valence=0.15, energy=0.45, tension=0.35, density=0.55, bpm=95.0, style=styles[1],
        scale="major", layers=(False,) * 5, beat=1, bar_in_section=1, section="B", bars_to_change=0, beats_to_end=3,
        cue="fill", recall=(None, 0.5, None, None, None, None),
    )  # fmt: skip
    for name, value in changes.items():
        assert not np.array_equal(v.condition(**base), v.condition(**(base | {name: value}))), name
