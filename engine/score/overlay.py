"""Hits and stingers laid over beats that sound already. In: the beats handed to the synth, and the course; out: what
begins in given frames, exact to the frame.

Remembers, per slot, the chords of the last two beats and what each layer played last. One thread calls it.
A strike is voiced near what the layers played last, as there is no time for the model; a figure keeps to the tempo map
and takes the chord of each beat that it goes through.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.notes import NOTE, SOUND, TICKS_PER_BEAT
from engine.score.asked import asked_of
from engine.score.columns import Ints
from engine.score.composer import ComposedBeats
from engine.score.rules import RANGES, playing, strike_velocity, struck_drums
from engine.score.stinger import Chord, figure_notes, figure_seed
from engine.score.vocabulary import DRUM_NOTES
from moods.controller import Controller
from moods.cues import Cue
from moods.glide import NEVER
from moods.harmony import CHORD_QUALITIES
from moods.intent import LAYERS, MUTE_DB, Intent

_DRUMS, _BASS, _HARMONY = LAYERS.index("drums"), LAYERS.index("bass"), LAYERS.index("harmony")
_NO_SOUNDS = np.zeros(0, SOUND)
_SHORTEST_RING_BEATS = 0.25
"""A strike rings to the end of its beat, or of those cut after it, but never shorter than this."""
_HEARD_BEATS = 2
_TINY = 1e-9
"""Beats by which rounding may put a note before its beat."""


class Overlay:
    """What is laid over the music of up to `max_slots` slots."""

    def __init__(self, max_slots: int) -> None:
        self._controllers: dict[int, Controller] = {}
        self._beats = np.zeros((max_slots, _HEARD_BEATS), np.int64)  # the last ones; beat n in the place n modulo 2
        self._chords = np.zeros((max_slots, _HEARD_BEATS, 2), np.int64)  # their roots and qualities
        self._last = np.zeros((max_slots, len(LAYERS)))  # pitch that each layer played last, the middle of a chord

    def open(self, slot: int, controller: Controller) -> None:
        self._controllers[slot] = controller
        self._beats[slot], self._last[slot] = -1, np.mean(RANGES, axis=1)

    def close(self, slot: int) -> None:
        del self._controllers[slot]

    def hear(self, slots: Ints, beats: ComposedBeats) -> None:
        """Remember the beats [N] of slots [N] that are handed to the synth."""
        at = slots, beats.beat % _HEARD_BEATS
        self._beats[at], self._chords[at] = beats.beat, beats.chord
        notes = beats.notes
        row = np.repeat(np.arange(len(slots)), beats.num_notes) * len(LAYERS) + notes["layer"]
        last_tick = np.zeros(len(slots) * len(LAYERS), np.int64)
        last_tick[row] = notes["tick"]  # the last of each row stays
        is_last = notes["tick"] == last_tick[row]
        row = row[is_last]
        count = np.bincount(row, minlength=len(last_tick)).reshape(len(slots), -1)
        total = np.bincount(row, notes["pitch"][is_last], minlength=len(last_tick)).reshape(len(slots), -1)
        self._last[slots] = np.where(count > 0, total / np.maximum(count, 1), self._last[slots])

    def is_empty(self, slot: int) -> bool:
        """Is nothing laid over the slot's music, now or later, unless it is asked for?"""
        return not self._controllers[slot].cues_over(NEVER)

    def sounds(self, slot: int, first_frame: int, end_frame: int) -> npt.NDArray[np.void]:
        """[N] SOUND that begin in `first_frame` … `end_frame` - 1, sorted; all beats up to there have been heard."""
        over, parts = self._controllers[slot].cues_over(end_frame), [_NO_SOUNDS]
        for index, cue in enumerate(over):
            if cue.stinger is not None:
                later = (_frame_of(other) for other in over[index + 1 :] if other.stinger is not None)
                parts += self._figure(slot, cue, first_frame, min(end_frame, next(later, end_frame)))
            elif _frame_of(cue) >= first_frame:
                parts.append(self._strike(slot, cue))
        if len(parts) == 1:
            return _NO_SOUNDS
        sounds = np.concatenate(parts)
        return sounds[np.argsort(sounds["frame"], kind="stable")]

    def _heard(self, slot: int) -> list[tuple[int, Chord]]:
        """The beats heard last, in order, and their chords."""
        rows = zip(self._beats[slot].tolist(), map(tuple, self._chords[slot].tolist()), strict=True)
        return sorted((beat, chord) for beat, chord in rows if beat >= 0)

    def _strike(self, slot: int, cue: Cue) -> npt.NDArray[np.void]:
        """Every layer that plays strikes the chord that sounds."""
        controller = self._controllers[slot]
        clock, intent = controller.clock, controller.beat_intent(cue.beat)
        start, end = clock.frame_of_beat(cue.beat), clock.frame_of_beat(cue.beat + 1)
        ring = clock.frame_of_beat(cue.last_beat + 1) - _frame_of(cue)
        struck = list(self._voiced(slot, dict(self._heard(slot))[cue.beat], intent, cue.strength))
        sounds = np.zeros(len(struck), SOUND)
        sounds["frame"], sounds["is_struck"] = cue.frame, 1
        sounds["length"] = max(ring, round(_SHORTEST_RING_BEATS * (end - start)))
        sounds["velocity"] = 8 * strike_velocity(cue.strength) + 4
        if struck:
            sounds["layer"], sounds["pitch"] = np.array(struck).T
        return sounds

    def _voiced(self, slot: int, chord: Chord, intent: Intent, strength: float) -> Iterator[tuple[int, int]]:
        """Layer and pitch of all that is struck: the root in the bass, the whole chord in the harmony, one chord tone
        of texture and lead."""
        root, quality = chord
        tones = {(root + tone) % 12 for tone in tuple(CHORD_QUALITIES.values())[quality]}
        asked, last = asked_of([intent]), self._last[slot].tolist()
        drums = np.flatnonzero(struck_drums(asked, np.array([strength]))).tolist()
        yield from ((_DRUMS, DRUM_NOTES[drum]) for drum in drums)
        for layer in (np.flatnonzero(playing(asked)[0, 1:]) + 1).tolist():
            low, high = RANGES[layer]
            if layer == _HARMONY:
                yield from ((layer, pitch) for pitch in _close_position(tones, low, high, last[layer]))
            else:
                wanted = {root} if layer == _BASS else tones
                fitting = [pitch for pitch in range(low, high + 1) if pitch % 12 in wanted]
                yield layer, min(fitting, key=lambda pitch: abs(pitch - last[layer]))

    def _figure(self, slot: int, cue: Cue, first_frame: int, end_frame: int) -> Iterator[npt.NDArray[np.void]]:
        """The notes of a stinger that begin in these frames, beat by beat."""
        controller = self._controllers[slot]
        clock = controller.clock
        sounding = clock.beat_at(first_frame)
        for beat, chord in self._heard(slot):
            if beat < sounding or not cue.beat <= beat <= cue.last_beat:
                continue
            intent = controller.beat_intent(beat)
            if beat > cue.beat and intent.stinger_over != cue.number:
                continue
            start, end = clock.frame_of_beat(beat), clock.frame_of_beat(beat + 1)
            audible = [gain_db > MUTE_DB for gain_db in intent.layer_gains_db]
            seed = figure_seed(controller.seed, cue.beat + cue.offset)
            notes = figure_notes(
                controller.find_stinger(cue.stinger or ""), intent.key, chord, intent.energy, audible, seed
            )
            sounds = _in_beat(notes, cue.offset + cue.beat - beat, start, end)
            sounds["is_struck"] = sounds["frame"] == cue.frame
            yield sounds[(first_frame <= sounds["frame"]) & (sounds["frame"] < end_frame)]

    def snapshot(self, slot: int) -> list[npt.NDArray[Any]]:
        return [array[slot].copy() for array in (self._beats, self._chords, self._last)]

    def restore(self, slot: int, controller: Controller, snapshot: list[npt.NDArray[Any]]) -> None:
        self._controllers[slot] = controller
        for array, saved in zip((self._beats, self._chords, self._last), snapshot, strict=True):
            array[slot] = saved


def _frame_of(cue: Cue) -> int:
    """Where a cue that is laid over the music begins; it never moves."""
    assert cue.frame is not None, cue
    return cue.frame


def _in_beat(notes: npt.NDArray[np.void], since: float, start: int, end: int) -> npt.NDArray[np.void]:
    """The notes of a figure that begins `since` beats after frame `start`, of those that begin before `end`, where the
    next beat does; notes before `start` are left out."""
    assert notes.dtype == NOTE, notes.dtype
    place = since + notes["tick"] / TICKS_PER_BEAT + _TINY
    notes, place = notes[(place >= 0) & (place < 1)], place[(place >= 0) & (place < 1)]
    sounds = np.zeros(len(notes), SOUND)
    sounds["frame"] = start + (place * (end - start)).astype(np.int64)
    sounds["length"] = np.maximum(1, np.rint(notes["length"] * (end - start) / TICKS_PER_BEAT)).astype(np.int32)
    for name in ("layer", "pitch", "velocity"):
        sounds[name] = notes[name]
    return sounds


def _close_position(tones: set[int], low: int, high: int, middle: float) -> list[int]:
    """The pitches of a chord within an octave, of all such within `low` … `high` nearest to `middle`."""
    chords = []
    for lowest in range(low, high - 11):
        if lowest % 12 in tones:
            chords.append([pitch for pitch in range(lowest, lowest + 12) if pitch % 12 in tones])
    return min(chords, key=lambda pitches: abs(sum(pitches) / len(pitches) - middle))
