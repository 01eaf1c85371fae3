"""What an earlier piece of the last hour had is noticed, in any key; what returns within its own piece is let be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine.score import vocabulary as v
from engine.score.asked import asked_of
from engine.score.composer import Composer
from engine.score.memory import Memory
from engine.score.novelty import Novelty, NoveltyFound
from moods.control import parse_control
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR
from moods.opening import Opening, parse_opening

LEAD, DRUMS = v.NUM_KINDS - 1, v.FIRST_LAYER
SLOT = np.array([0])
TUNE = (60, 62, 64, 62, 67, 65, 64, 59, 60, 64, 57, 62, 65, 71, 69, 60)
"""A bar has four notes of it."""
INTENT = Controller(Opening(), 3).beat_intent(0)
Event = tuple[int, int, int, int, int]


class Player:
    """Plays bars of a tune, chords and drums, one after another, into a memory."""

    def __init__(self) -> None:
        self.memory, self.novelty = Memory(1), Novelty(1)
        self.beat, self.piece_beat = 0, 0
        self.num_figures, self.seconds = np.zeros(1, np.int64), np.zeros(1)
        self.num_refused = 0

    def play(
        self,
        tune: tuple[int, ...],
        chords: tuple[int, ...] = (0, 13, 26, 39),
        drum: int = 0,
        novelty: float = 0.0,
        seconds: float = 0.5,
    ) -> NoveltyFound:
        """Four bars; answer what is known after them."""
        for index in range(4 * BEATS_PER_BAR):
            beat_in_bar = index % BEATS_PER_BAR
            events: list[Event] = []
            if beat_in_bar == 0:
                events.append((v.CHORD_EVENT, 0, chords[index // BEATS_PER_BAR], 0, 0))
            events += [(DRUMS, 6 * drum, v.FIRST_DRUM + 1, 0, 8), (LEAD, 12, v.FIRST_PITCH + tune[index], 2, 8)]
            asked = replace(INTENT, beat=beat_in_bar + 1, novelty=novelty, piece_beats=self.beat - self.piece_beat)
            self._finish(events, asked_of([asked]), seconds)
        return self.found()

    def found(self) -> NoveltyFound:
        return self.novelty.found(self.memory, 0, self.beat, int(self.num_figures[0]), float(self.seconds[0]))

    def _finish(self, music: list[Event], asked: np.ndarray, seconds: float) -> None:
        events = np.zeros((1, v.MAX_EVENTS_PER_BEAT, 5), np.int64)
        events[0, : len(music)] = music
        beats = np.array([self.beat])
        self.memory.remember(SLOT, beats, events, np.array([len(music)]), asked)
        self.seconds += seconds
        is_old = self.novelty.note(self.memory, SLOT, beats, asked, self.num_figures, self.seconds)
        self.num_refused += int(is_old[0])
        self.beat += 1

    def begin_piece(self) -> None:
        self.piece_beat = self.beat


def test_a_tune_returns_within_its_piece_and_is_old_in_the_next() -> None:
    player = Player()
    player.play(TUNE)
    assert player.play(TUNE).repeated_share_last_hour == 0
    player.begin_piece()
    found = player.play(tuple(pitch + 3 for pitch in TUNE))  # in another key
    assert 0.2 < found.repeated_share_last_hour < 0.5 and found.repeated_chords > 0 and found.repeated_drums > 0


def test_other_music_in_another_piece_is_new() -> None:
    player = Player()
    player.play(TUNE)
    player.begin_piece()
    found = player.play(TUNE[::-1], (13, 0, 39, 13), 1)
    assert (found.repeated_share_last_hour, found.repeated_chords, found.repeated_drums) == (0, 0, 0)
    assert found.figures_last_hour > 30


def test_what_is_longer_ago_than_an_hour_is_forgotten() -> None:
    player = Player()
    player.play(TUNE)
    player.begin_piece()
    player.play(TUNE[::-1], seconds=240.0)
    found = player.play(TUNE)
    assert found.repeated_share_last_hour == 0 and found.figures_last_hour < player.num_figures[0]


def test_old_tunes_are_refused_where_novelty_is_asked_for_and_there_are_too_many() -> None:
    refused = []
    for novelty in (0.0, 0.5, 1.0):
        player = Player()
        player.play(TUNE)
        player.begin_piece()
        player.play(TUNE, novelty=novelty)
        refused.append(player.num_refused)
    assert refused[0] == 0 < refused[1] < refused[2]


def test_a_beat_that_is_composed_again_is_noted_again_in_its_place() -> None:
    one, other = Player(), Player()
    one.play(TUNE)
    other.play(TUNE)
    kept = other.novelty.snapshot(0, int(other.num_figures[0]))
    beat, num_figures, seconds = other.beat, other.num_figures.copy(), other.seconds.copy()
    other.play(TUNE[::-1])
    other.beat, other.num_figures, other.seconds = beat, num_figures, seconds
    assert other.play(TUNE) == one.play(TUNE)
    again = Player()
    again.novelty.restore(0, kept)
    at = one.memory, 0, beat, int(num_figures[0]), float(seconds[0])
    assert again.novelty.found(*at) == one.novelty.found(*at)


def test_a_composer_is_the_same_again_with_an_autopilot_and_tells_how_much_is_old(composer: Composer) -> None:
    """Two slots, one of them revised all the time, and one that goes on from a snapshot."""
    opening = parse_opening({"mood": "sport", "bpm": 200, "autopilot": {"novelty": 1.0, "every": "1 phrase"}})

    def play(slot: int, controller: Controller, first: int, last: int, *, is_revised: bool = False) -> list[bytes]:
        heard = []
        for beat in range(first, last):
            frame = controller.frame_of_beat(beat)
            controller.advance(frame)
            if beat == 30:
                controller.apply(parse_control({"type": "skip", "at": "bar"}), frame)
            composer.prepare((slot,))
            if is_revised and beat % 3 == 0:
                composer.compose((slot,), 40)
                composer.revise(slot, beat + 1)
            heard.append(composer.take(slot).notes.tobytes())
        return heard

    controllers = [Controller(opening, 4) for _ in range(2)]
    composer.open(0, controllers[0]), composer.open(1, controllers[1])
    first = play(0, controllers[0], 0, 60)
    assert play(1, controllers[1], 0, 60, is_revised=True) == first
    found = composer.novelty(0)
    assert found == composer.novelty(1) and found.figures_last_hour > 20
    again = Controller.restore(controllers[0].snapshot(), opening)
    composer.restore(2, again, composer.snapshot(0))
    assert composer.novelty(2) == found
    assert play(2, again, 60, 90) == play(0, controllers[0], 60, 90)
    for slot in range(3):
        composer.close(slot)
