"""What is stuck is noticed, composed again before it is heard, and counted; music in order is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.score import vocabulary as v
from engine.score.asked import asked_of
from engine.score.composer import MAX_ATTEMPTS, Composer, num_rows
from engine.score.memory import Memory
from engine.score.sampling import pack_heads
from engine.score.trunk import CpuTrunk
from engine.score.watchdog import (
    FAULTS,
    MAX_SAME_BARS,
    MAX_SILENT_BEATS,
    NO_FAULT,
    STUCK_BEATS,
    find_faults,
)
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR, Intent
from moods.opening import Opening

LEAD = v.NUM_KINDS - 1


def intent(beat: int) -> Intent:
    return replace(Controller(Opening(), 3).beat_intent(0), beat=beat % BEATS_PER_BAR + 1, cue="none")


SLOT = np.array([0])


def remember(memory: Memory, beat: int, music: list[tuple[int, ...]], asked: Intent) -> None:
    events = np.zeros((1, v.MAX_EVENTS_PER_BEAT, 5), np.int64)
    events[0, : len(music)] = np.array(music, np.int64).reshape(-1, 5)
    memory.remember(SLOT, np.array([beat]), events, np.array([len(music)]), asked_of([asked]))


def fault_of(memory: Memory, beat: int, asked: Intent) -> str | None:
    found = int(find_faults(memory, SLOT, np.array([beat]), asked_of([asked]))[0])
    return None if found == NO_FAULT else FAULTS[found]


def first_fault(music: Callable[[int], list[tuple[int, ...]]], num_beats: int) -> tuple[int, str] | None:
    memory = Memory(1)
    for beat in range(num_beats):
        remember(memory, beat, music(beat), intent(beat))
        if fault := fault_of(memory, beat, intent(beat)):
            return beat, fault
    return None


def test_silence_is_noticed_when_the_longest_notes_are_over() -> None:
    assert first_fault(lambda beat: [(LEAD, 0, 220, 3, 8)] if beat < 4 else [], 64) == (3 + MAX_SILENT_BEATS, "silence")


def test_a_loop_is_noticed_in_the_bar_that_makes_it_one() -> None:
    walk = [(LEAD, 0, 220, 3, 8), (LEAD, 6, 222, 3, 8), (LEAD, 0, 224, 3, 8), (LEAD, 0, 217, 3, 8)]
    found = first_fault(lambda beat: [walk[beat % 4]], 64)
    assert found == ((MAX_SAME_BARS + 1) * BEATS_PER_BAR - 1, "literal loop")


def test_one_pitch_for_ever_is_noticed_whatever_its_rhythm() -> None:
    found = first_fault(lambda beat: [(LEAD, position, 220, 3, 8) for position in (0, 6 + beat % 13)], 64)
    assert found == (STUCK_BEATS, "stuck note")


def test_runaway_density_is_noticed_at_once() -> None:
    assert first_fault(lambda beat: [(LEAD, p, 220 + beat % 5, 3, 8) for p in range(1 + 25 * (beat == 9))], 64) == (
        9,
        "runaway density",
    )


def test_what_has_been_asked_for_is_no_fault() -> None:
    memory = Memory(1)
    for beat in range(64):
        remember(memory, beat, [], intent(beat))
    assert fault_of(memory, 63, intent(63)) == "silence"
    assert fault_of(memory, 63, replace(intent(63), beats_to_end=-3)) is None
    assert fault_of(memory, 63, replace(intent(63), cue="cut")) is None


@pytest.fixture(scope="module")
def composer() -> Composer:
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    return Composer(CpuTrunk(tensors, sizes, num_rows(2)), pack_heads(tensors), 2)


def take(composer: Composer, slot: int, count: int) -> list[bytes]:
    beats = []
    for _ in range(count):
        composer.prepare([slot])
        beats.append(composer.take(slot).notes.tobytes())
    return beats


def test_a_beat_at_fault_is_composed_again_and_counted(composer, monkeypatch) -> None:
    composer.open(0, Controller(Opening(mood="epic"), 5))
    plain = take(composer, 0, 12)
    composer.close(0)
    tries: list[bytes] = []

    def distrust(memory: Memory, slots: np.ndarray, beats: np.ndarray, asked: np.ndarray) -> np.ndarray:
        if beats.tolist() != [8]:
            return np.full(len(slots), NO_FAULT)
        tries.append(memory.events(slots, beats)[0].tobytes())
        return np.full(1, FAULTS.index("literal loop") if len(tries) < 3 else NO_FAULT)

    monkeypatch.setattr("engine.score.composer.find_faults", distrust)
    composer.open(0, Controller(Opening(mood="epic"), 5))
    again = take(composer, 0, 12)
    assert composer.resets(0) == 1
    assert again[:8] == plain[:8]
    assert again[8] != plain[8]
    assert len(set(tries)) == 3
    composer.close(0)


def test_what_cannot_be_helped_is_let_go(composer, monkeypatch) -> None:
    found: list[int] = []
    monkeypatch.setattr("engine.score.composer.find_faults", lambda *_: found.append(1) or np.zeros(1, np.int64))
    composer.open(1, Controller(Opening(), 5))
    take(composer, 1, 3)
    assert composer.resets(1) >= 3
    assert len(found) >= 3 * MAX_ATTEMPTS
    composer.close(1)
