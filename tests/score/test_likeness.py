"""What was heard before, is usual, or was taught is told as such, and new music is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.score import likeness
from engine.score import vocabulary as v
from engine.score.asked import asked_of
from engine.score.composer import Composer
from engine.score.likeness import TUNE_NOTES, averages, bars_of, learnt_filter, put_lines
from engine.score.memory import Memory
from engine.score.novelty import Novelty, NoveltyFound
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR, STYLES
from moods.opening import Opening, parse_opening

LEAD, DRUMS = v.NUM_KINDS - 1, v.FIRST_LAYER
SLOT = np.array([0])
INTENT = Controller(Opening(), 3).beat_intent(0)
TUNE = (60, 62, 64, 62, 67, 65, 64, 59, 60, 64, 57, 62, 65, 71, 69, 60)
OTHER = (60, 69, 63, 70, 61, 68, 66, 72, 58, 67, 73, 61, 70, 64, 75, 66)


class Player:
    """Plays a note of a tune a beat, of bars that take as long as is said."""

    def __init__(self) -> None:
        self.memory, self.novelty = Memory(1), Novelty(1)
        self.beat, self.num_figures, self.seconds = 0, np.zeros(1, np.int64), np.zeros(1)

    def play(self, tune: tuple[int, ...], seconds: float = 0.5, tick: int = 12) -> NoveltyFound:
        for pitch in tune:
            events = np.zeros((1, v.MAX_EVENTS_PER_BEAT, 5), np.int64)
            events[0, :2] = (DRUMS, 0, v.FIRST_DRUM, 0, 8), (LEAD, tick, v.FIRST_PITCH + pitch, 2, 8)
            asked = asked_of([replace(INTENT, beat=self.beat % BEATS_PER_BAR + 1, piece_beats=self.beat)])
            beats = np.array([self.beat])
            self.memory.remember(SLOT, beats, events, np.array([2]), asked)
            self.seconds += seconds
            self.novelty.note(self.memory, SLOT, beats, asked, self.num_figures, self.seconds)
            self.beat += 1
        return self.novelty.found(self.memory, 0, self.beat, int(self.num_figures[0]), float(self.seconds[0]))


def test_bars_of_the_hour_before_are_alike_and_those_of_the_last_minutes_are_not_asked() -> None:
    player = Player()
    assert player.play(TUNE).likeness_to_hour == 0  # there is no hour before
    assert player.play(TUNE).likeness_to_hour == 0
    player.play(OTHER, seconds=20)
    assert player.play(TUNE, seconds=15).likeness_to_hour == 1
    player.play(TUNE, seconds=300)
    assert player.play(OTHER[::-1], seconds=15).likeness_to_hour < 0.8


def test_what_was_taught_is_known_in_any_key_and_new_melodies_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = np.zeros(4096, np.uint8)
    put_lines(bits, 24 * np.arange(len(TUNE)), np.array(TUNE) + 5)
    monkeypatch.setattr(likeness, "learnt_filter", lambda: bits)
    player = Player()
    found = player.play(OTHER)
    assert (found.likeness_to_learnt, found.longest_learnt) == (0, 0)
    found = player.play(TUNE)
    assert found.longest_learnt == len(TUNE) and 0.2 < found.likeness_to_learnt < 0.5
    late = Player()
    assert late.play(TUNE[:TUNE_NOTES]).longest_learnt == TUNE_NOTES
    assert late.play((50,) * 12).longest_learnt == TUNE_NOTES  # repeated notes are nobody's


def test_a_filter_knows_all_that_was_put_in_and_hardly_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    bits = np.zeros(20_000, np.uint8)
    lines = rng.integers(50, 80, (20, 400))
    for line in lines:
        put_lines(bits, 24 * np.arange(len(line)), line)
    monkeypatch.setattr(likeness, "learnt_filter", lambda: bits)
    assert Player().play(tuple(lines[7, :60].tolist())).longest_learnt == 60
    assert Player().play(tuple(rng.integers(50, 80, 200).tolist())).likeness_to_learnt < 0.05


def test_the_tables_in_the_package_fit_what_is_asked_of_them() -> None:
    pitched, drums, changes = averages()
    assert {table.shape[:3] for table in (pitched, drums, changes)} == {(len(STYLES), 2, 2)}
    assert (pitched.shape[3] + drums.shape[3], changes.shape[3]) == (likeness.NUM_BITS, likeness.NUM_CHANGES)
    assert np.unpackbits(learnt_filter()).mean() ** likeness.NUM_PROBES < 0.05


@pytest.mark.long
def test_with_novelty_pieces_of_one_mood_have_less_in_common(composer: Composer) -> None:
    """What begins where in all of them, as a share of what begins in each."""
    shared = []
    for novelty in (0.0, 1.0):
        for slot in range(3):
            composer.open(slot, Controller(parse_opening({"mood": "happy", "novelty": novelty}), 60 + slot))
        for _ in range(12 * BEATS_PER_BAR):
            composer.prepare(range(3))
            composer.take_all(np.arange(3))
        bits = [bars_of(composer.snapshot(slot)["novelty"]["likeness"])[0] for slot in range(3)]
        one, other = (np.concatenate([bits[k] for k in order]) for order in ((0, 1, 2), (1, 2, 0)))
        shared.append(np.bitwise_count(one & other).sum() / np.bitwise_count(one | other).sum())
        for slot in range(3):
            composer.close(slot)
    assert shared[0] > shared[1]
