"""Hits and stingers asked for now, on the shipped weights: over what sounds already, at their frame.

Every trial plays two stations of one seed and asks only one of them: what differs is what was laid over.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from engine.notes import DRUM_PITCHES
from engine.score.composer import ComposedBeat, ComposedBeats
from engine.score.rules import RANGES
from engine.score_generator import ScoreGenerator
from moods.control import parse_control
from moods.controller import LEAD_FRAMES, Applied, Controller
from moods.harmony import CHORD_QUALITIES
from moods.intent import LAYERS, STYLES
from moods.opening import Opening
from moods.stinger import find_stinger, list_stingers
from tests.score.conftest import SLOTS, Recorder

DRUMS, BASS, HARMONY, TEXTURE, LEAD = range(len(LAYERS))
STINGERS = [figure.name for figure in list_stingers()]
BATCHES = [STYLES[first : first + SLOTS // 2] for first in range(0, len(STYLES), SLOTS // 2)]
BEATS_LONG = 5  # as long as a figure lasts, and a beat more


class Trial(ScoreGenerator):
    """Stations in twos: each even slot is asked for something, its neighbour never is."""

    def __init__(self, composer) -> None:
        self.recorder, self.controllers = Recorder(), {}
        self.beats: dict[int, list[ComposedBeat]] = {}
        super().__init__(composer, self.recorder, SLOTS)

    def begin(self, asked: int, seed: int, **fields: object) -> None:
        for slot in (asked, asked + 1):
            self.controllers[slot], self.beats[slot] = Controller(Opening(**fields), seed), []
            self.open(slot, self.controllers[slot])

    def control(self, slot: int, **control: object) -> Applied:
        applied = self.controllers[slot].apply(parse_control(control), self.frame(slot))
        if applied.changed_since is not None:
            self.revise(slot, applied.changed_since)
        return applied

    def both(self, asked: int, **control: object) -> None:
        for slot in (asked, asked + 1):
            self.control(slot, **control)

    def play(self, until_frame: int) -> None:
        while self.frame(0) < until_frame:
            self.step(list(self.controllers))

    def frame(self, slot: int) -> int:
        return int(self._slots.frame[slot])

    def _sound_beats(self, slots: np.ndarray, beats: ComposedBeats) -> None:
        for k, slot in enumerate(slots.tolist()):
            self.beats[slot].append(beats.of(k))
        super()._sound_beats(slots, beats)

    def heard(self, slot: int) -> np.ndarray:
        sounds = np.concatenate(self.recorder.sounds[slot])
        return sounds[np.argsort(sounds["frame"], kind="stable")]

    def laid_over(self, asked: int, applied: Applied) -> np.ndarray:
        """What the asked station plays more, up to where it may be composed otherwise; it lacks nothing."""
        end = applied.changed_since
        mine, other = (sounds[sounds["frame"] < end] for sounds in (self.heard(asked), self.heard(asked + 1)))
        rest = mine.tolist()
        for sound in other.tolist():
            rest.remove(sound)
        assert rest and all(sound[0] >= applied.effective.frame for sound in rest)
        return np.array(rest, mine.dtype)


def check_in_key(controller: Controller, sounds: np.ndarray) -> None:
    for sound in sounds[sounds["layer"] != DRUMS]:
        low, high = RANGES[sound["layer"]]
        key = controller.beat_intent(controller.beat_at(int(sound["frame"]))).key
        assert int(sound["pitch"]) % 12 in key.pitch_classes and low <= sound["pitch"] <= high


def check_figure(
    controller: Controller, sounds: np.ndarray, name: str, applied: Applied, num_beats: float = 99
) -> None:
    """The notes of the figure's first `num_beats` are there, each at its place in the tempo map; from the first beat
    composed anew on the lead plays nothing else."""
    begun, first = applied.effective.frame, controller.beat_at(applied.changed_since)
    beats = controller.clock.beats_at(begun)
    wanted = {(note.layer, beats + round(24 * note.onset) / 24) for note in find_stinger(name).notes}
    there = [(int(sound["layer"]), controller.clock.beats_at(int(sound["frame"]))) for sound in sounds]
    for layer, place in wanted:
        is_there = any(of == layer and abs(at - place) < 1e-4 for of, at in there)
        assert is_there == (place < beats + num_beats), (name, layer, place - beats)
    for layer, at in there:
        if layer == LEAD and first <= at < beats + find_stinger(name).beats:
            assert any(of == LEAD and abs(at - place) < 1e-4 for of, place in wanted), at


@pytest.mark.parametrize("number", range(len(BATCHES)))
def test_a_stinger_now_is_laid_over_what_sounds(composer, number: int) -> None:
    """In every style, at any phase of the beat, over a bar line, a new key and a tempo that glides."""
    trial, asked = Trial(composer), {}
    for index, style in enumerate(BATCHES[number]):
        trial.begin(2 * index, SLOTS * number + index, style=style, tension=0.2, energy=0.3 + 0.2 * index, bpm=97)
        trial.both(2 * index, type="steer", set={"key": "D minor" if index % 2 else "Eb major"}, at="bar")
    for index, style in enumerate(BATCHES[number]):
        trial.play((93 + 17 * index) * BLOCK_FRAMES)
        trial.both(2 * index, type="steer", set={"bpm": 150 if index % 2 else 70}, at="beat", over=0)
        name = STINGERS[STYLES.index(style) % len(STINGERS)]
        asked[2 * index] = name, trial.control(2 * index, type="stinger", name=name, at="now")
    controllers = trial.controllers
    first_beats = {slot: controllers[slot].beat_at(applied.changed_since) for slot, (_, applied) in asked.items()}
    trial.play(max(controllers[slot].frame_of_beat(beat + BEATS_LONG) for slot, beat in first_beats.items()))
    for slot, (name, applied) in asked.items():
        over = trial.laid_over(slot, applied)
        assert over["frame"][0] == applied.effective.frame and over["is_struck"][0]
        check_in_key(controllers[slot], over)
        check_figure(controllers[slot], trial.heard(slot), name, applied)


@pytest.mark.parametrize("number", range(len(BATCHES)))
def test_a_hit_now_strikes_the_chord_that_sounds(composer, number: int) -> None:
    trial, asked = Trial(composer), {}
    for index, style in enumerate(BATCHES[number]):
        trial.begin(2 * index, SLOTS * number + index, style=style, tension=0.2, energy=0.3 * index, bpm=120)
    for index in range(len(BATCHES[number])):
        trial.play((151 + 31 * index) * BLOCK_FRAMES)
        strength = (1, 0.6, 0.3, 0)[(index + number) % 4]
        asked[2 * index] = strength, trial.control(2 * index, type="hit", strength=strength, at="now")
    trial.play(340 * BLOCK_FRAMES)
    for slot, (strength, applied) in asked.items():
        controller, over = trial.controllers[slot], trial.laid_over(slot, applied)
        assert set(over["frame"].tolist()) == {applied.effective.frame} and over["is_struck"].all()
        assert over["velocity"].min() >= 64 + 56 * strength - 4
        beat = controller.beat_at(applied.changed_since) - 1
        intent, chord = controller.beat_intent(beat), trial.beats[slot][beat]
        struck = {layer: over["pitch"][over["layer"] == layer].tolist() for layer in range(len(LAYERS))}
        drums = {DRUM_PITCHES[pitch] for pitch in struck[DRUMS]}
        is_strong, drums_play = strength >= 0.5, intent.active_layers[DRUMS]
        assert drums == ({"kick", "crash"} if drums_play else {"crash"} if is_strong else set())
        tones = {(chord.chord_root + tone) % 12 for tone in tuple(CHORD_QUALITIES.values())[chord.chord_quality]}
        playing = {layer for layer in range(1, len(LAYERS)) if intent.active_layers[layer]} or {HARMONY}
        assert {layer for layer in struck if struck[layer]} - {DRUMS} == playing
        assert all({pitch % 12 for pitch in struck[layer]} <= tones for layer in playing)
        assert HARMONY not in playing or {pitch % 12 for pitch in struck[HARMONY]} == tones
        assert {pitch % 12 for pitch in struck[BASS]} <= {chord.chord_root}
        cut = [after for after in range(beat + 1, beat + 4) if controller.beat_intent(after).cue == "cut"]
        assert bool(cut) == (is_strong and beat % 4 != 3)
        assert not any(len(trial.beats[slot][after].notes) for after in cut)
        end = controller.frame_of_beat(beat + 1 + len(cut))
        assert (over["frame"] + over["length"]).min() >= end


def test_a_later_stinger_now_ends_an_earlier_one(composer) -> None:
    trial = Trial(composer)
    trial.begin(0, 3, style="upbeat", bpm=60)
    trial.play(255 * BLOCK_FRAMES)
    first = trial.control(0, type="stinger", name="suspense", at="now")
    trial.play(275 * BLOCK_FRAMES)
    second = trial.control(0, type="stinger", name="logo", at="now")
    trial.play(500 * BLOCK_FRAMES)
    controller, heard = trial.controllers[0], trial.heard(0)
    assert first.changed_since == second.changed_since
    over = trial.laid_over(0, first)
    assert second.effective.frame in over["frame"]
    apart = (second.effective.frame - first.effective.frame) / (
        controller.frame_of_beat(1) - controller.frame_of_beat(0)
    )
    check_figure(controller, over, "suspense", first, apart)
    check_figure(controller, heard, "logo", second)


def test_each_of_two_hits_now_is_struck(composer) -> None:
    trial, frames = Trial(composer), set()
    trial.begin(0, 3, mood="epic", bpm=60)
    trial.play(205 * BLOCK_FRAMES)
    for _ in range(2):
        applied = trial.control(0, type="hit", at="now", strength=0.4)
        frames.add(applied.effective.frame)
        trial.play((210 + 5 * len(frames)) * BLOCK_FRAMES)
    sounds = trial.heard(0)
    assert len(frames) == 2 and set(sounds["frame"][sounds["is_struck"] == 1].tolist()) == frames


def test_how_the_frames_are_cut_changes_nothing(composer) -> None:
    trial, count = Trial(composer), 0
    trial.begin(0, 3, style="upbeat", bpm=103)
    trial.play(255 * BLOCK_FRAMES)
    trial.control(0, type="stinger", name="transition", at="now")
    trial.control(0, type="hit", at="now")
    for block in range(256, 320):
        trial.play(block * BLOCK_FRAMES)
        first, sounds = (block - 1) * BLOCK_FRAMES, partial(trial._overlay.sounds, 0)
        edges = [first, first + 1, first + 7 * block % 960, first + BLOCK_FRAMES]
        parts = [sounds(start, end).tolist() for start, end in pairwise(sorted(edges))]
        whole = sounds(first, first + BLOCK_FRAMES).tolist()
        assert sum(parts, []) == whole
        count += len(whole)
    assert count > len(find_stinger("transition").notes)


def test_now_on_the_first_beat_of_all(composer) -> None:
    trial = Trial(composer)
    trial.begin(0, 8, style="jazz", bpm=90)
    applied = trial.control(0, type="stinger", name="success", at="now")
    assert applied.effective.frame == 0
    trial.play(4 * 48_000)
    check_figure(trial.controllers[0], trial.heard(0), "success", applied)
    check_in_key(trial.controllers[0], trial.laid_over(0, applied))


def test_a_figure_is_over_with_the_last_chord(composer) -> None:
    trial = Trial(composer)
    trial.begin(0, 4, mood="epic", bpm=100)
    trial.both(0, type="end", how="ring", at={"seconds": 14})
    controller = trial.controllers[0]
    last = next(beat for beat in range(40) if controller.beat_intent(beat).beats_to_end == 0)
    trial.play(controller.frame_of_beat(last) + LEAD_FRAMES)
    applied = trial.control(0, type="stinger", name="fail", at="now")
    trial.play(14 * 48_000)
    heard, left = trial.heard(0), (controller.frame_of_beat(last + 1) - applied.effective.frame) / 28_800
    assert heard["frame"].max() < controller.frame_of_beat(last + 1)
    check_figure(controller, heard, "fail", applied, left)
