"""What is recalled is shown one event ahead, from the right beat, and forgotten in time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.score import vocabulary as v
from engine.score.asked import asked_of
from engine.score.memory import MEMORY_BEATS, Memory
from engine.score.recall import recall_beats
from engine.training.arranger import arrange
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR, LANES, NO_RECALL, Intent
from moods.opening import Opening

DRUMS, LEAD = LANES.index("drums"), LANES.index("lead")


@pytest.fixture(scope="module")
def piece() -> v.EncodedPiece:
    return v.encode_piece(arrange("house", 9))


def beat_starts(piece: v.EncodedPiece) -> np.ndarray:
    return np.searchsorted(piece.beat_of_event, np.arange(len(piece.conditions) + 1))


def test_a_beat_that_recalls_itself_is_shown_each_next_event(piece) -> None:
    events, starts = piece.events.astype(np.int64), beat_starts(piece)
    recalled = np.zeros_like(events)
    sources = np.tile(np.arange(len(starts) - 1)[:, None], (1, len(LANES)))
    recall_beats(events, starts, sources, recalled)
    is_last = np.isin(np.arange(len(events)) + 1, starts)
    assert (recalled[is_last, 0] == v.BEAT).all()
    assert np.array_equal(recalled[:-1][~is_last[:-1]], events[1:][~is_last[:-1]])


def test_only_recalled_lanes_are_shown(piece) -> None:
    events, starts = piece.events.astype(np.int64), beat_starts(piece)
    recalled = np.zeros_like(events)
    sources = np.full((len(starts) - 1, len(LANES)), -1)
    sources[8:, DRUMS] = np.arange(len(sources) - 8)
    recall_beats(events, starts, sources, recalled)
    assert (recalled[: starts[8], 0] == v.NO_RECALL).all()
    assert set(np.unique(recalled[starts[8] :, 0])) == {v.BEAT, v.FIRST_LAYER}


def intent(recall=NO_RECALL, **fields) -> Intent:
    return replace(Controller(Opening(**fields), 3).beat_intent(0), recall=recall, active_layers=(True,) * 5)


SLOT = np.array([0])
EVENTS = np.array(
    [[v.CHORD_EVENT, 0, 7, 0, 0], [v.FIRST_LAYER, 0, v.FIRST_DRUM, 2, 9], [v.NUM_KINDS - 1, 6, 220, 3, 8]]
)


def remember(memory: Memory, beat: int, asked: Intent) -> None:
    events = np.zeros((1, v.MAX_EVENTS_PER_BEAT, 5), np.int64)
    events[0, : len(EVENTS)] = EVENTS
    memory.remember(SLOT, np.array([beat]), events, np.array([len(EVENTS)]), asked_of([asked]))


def recall(memory: Memory, beat: int, asked: Intent) -> tuple[np.ndarray, list[float]]:
    """The events recalled and how closely each lane follows."""
    out = np.zeros((1, v.MAX_EVENTS_PER_BEAT, 5), np.int64)
    counts, strength = memory.recall(SLOT, np.array([beat]), asked_of([asked]), out)
    return out[0, : counts[0]], strength[0].tolist()


def back(bars: int, strength: float = 0.9) -> tuple[tuple[int, float], ...]:
    return ((bars, strength),) * len(LANES)


def test_a_beat_comes_back_as_it_was() -> None:
    memory = Memory(1)
    remember(memory, 5, intent())
    events, strength = recall(memory, 5 + 3 * BEATS_PER_BAR, intent(back(3)))
    assert np.array_equal(events, EVENTS)
    assert strength == [0.9] * len(LANES)


def test_what_was_never_composed_or_is_too_old_is_not_recalled() -> None:
    memory = Memory(1)
    remember(memory, 5, intent())
    remember(memory, 5 + MEMORY_BEATS, intent())
    for beat, bars in ((9, 1), (13, 1), (1, 1)):
        events, strength = recall(memory, beat, intent(back(bars)))
        assert not len(events)
        assert strength == [0] * len(LANES)


def test_a_tune_survives_a_change_of_style_and_a_groove_does_not() -> None:
    memory = Memory(1)
    remember(memory, 0, intent(style="house"))
    _, strength = recall(memory, BEATS_PER_BAR, intent(back(1), style="jazz"))
    assert strength[DRUMS] == 0
    assert strength[LEAD] > 0.5


def test_a_silent_layer_recalls_nothing() -> None:
    memory = Memory(1)
    remember(memory, 0, intent())
    asked = replace(intent(back(1)), active_layers=(False, True, True, True, True))
    events, strength = recall(memory, BEATS_PER_BAR, asked)
    assert strength[DRUMS] == 0
    assert v.FIRST_LAYER not in events[:, 0]


def test_memory_is_saved_and_restored() -> None:
    memory, other = Memory(1), Memory(1)
    remember(memory, 5, intent())
    remember(other, 6, intent())
    other.restore(0, memory.snapshot(0))
    for beat in (5, 6):
        asked = intent(back(2))
        assert np.array_equal(recall(memory, beat + 8, asked)[0], recall(other, beat + 8, asked)[0])
