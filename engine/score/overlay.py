"""Hits and stingers laid over beats that sound already. In: the beats handed to the synth, and the course; out: what
begins in given frames, exact to the frame.

Remembers, per slot, the chords of the last two beats and what each layer played last. One thread calls it.
A strike is voiced near what the layers played last, as there is no time for the model; a figure keeps to the tempo map
and takes the chord of each beat that it goes through.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.notes import NOTE, SOUND, TICKS_PER_BEAT
from engine.score.composer import ComposedBeat
from engine.score.rules import RANGES, strike_drums, strike_layers, strike_velocity
from engine.score.stinger import Chord, figure_notes, figure_seed
from moods.controller import Controller
from moods.cues import Planned
from moods.harmony import CHORD_QUALITIES
from moods.intent import LAYERS, MUTE_DB, Intent

_DRUMS, _BASS, _HARMONY = LAYERS.index("drums"), LAYERS.index("bass"), LAYERS.index("harmony")
_NO_SOUNDS = np.zeros(0, SOUND)
_SHORTEST_RING_BEATS = 0.25
"""A strike rings to the end of its beat, or of those cut after it, but never shorter than this."""
_TINY = 1e-9
"""Beats by which rounding may put a note before its beat."""


class Overlay:
    """What is laid over the music of one slot."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._chords: deque[tuple[int, Chord]] = deque(maxlen=2)  # of the last beats: index, chord
        self._last = [(low + high) / 2 for low, high in RANGES]  # where each layer played last, the middle of a chord

    def hear(self, beat: ComposedBeat) -> None:
        """Remember a beat that is handed to the synth."""
        self._chords.append((beat.index, (beat.chord_root, beat.chord_quality)))
        for layer in range(1, len(LAYERS)):
            mine = beat.notes[beat.notes["layer"] == layer]
            if len(mine):
                self._last[layer] = float(mine["pitch"][mine["tick"] == mine["tick"][-1]].mean())

    def sounds(self, first_frame: int, end_frame: int) -> npt.NDArray[np.void]:
        """[N] SOUND that begin in `first_frame` … `end_frame` - 1, sorted; all beats up to there have been heard."""
        over, parts = self._controller.cues_over(end_frame), [_NO_SOUNDS]
        for index, cue in enumerate(over):
            if cue.stinger is not None:
                later = (other.frame for other in over[index + 1 :] if other.stinger is not None)
                parts += self._figure(cue, first_frame, min(end_frame, next(later, end_frame)))
            elif cue.frame >= first_frame:
                parts.append(self._strike(cue))
        if len(parts) == 1:
            return _NO_SOUNDS
        sounds = np.concatenate(parts)
        return sounds[np.argsort(sounds["frame"], kind="stable")]

    def _strike(self, cue: Planned) -> npt.NDArray[np.void]:
        """Every layer that plays strikes the chord that sounds."""
        clock, intent = self._controller.clock, self._controller.beat_intent(cue.beat)
        start, end = clock.frame_of_beat(cue.beat), clock.frame_of_beat(cue.beat + 1)
        ring = clock.frame_of_beat(cue.last_beat + 1) - cue.frame
        struck = list(self._voiced(dict(self._chords)[cue.beat], intent, cue.strength))
        sounds = np.zeros(len(struck), SOUND)
        sounds["frame"], sounds["is_struck"] = cue.frame, 1
        sounds["length"] = max(ring, round(_SHORTEST_RING_BEATS * (end - start)))
        sounds["velocity"] = 8 * strike_velocity(cue.strength) + 4
        if struck:
            sounds["layer"], sounds["pitch"] = np.array(struck).T
        return sounds

    def _voiced(self, chord: Chord, intent: Intent, strength: float) -> Iterator[tuple[int, int]]:
        """Layer and pitch of all that is struck: the root in the bass, the whole chord in the harmony, one chord tone
        of texture and lead."""
        root, quality = chord
        tones = {(root + tone) % 12 for tone in tuple(CHORD_QUALITIES.values())[quality]}
        yield from ((_DRUMS, pitch) for pitch in strike_drums(intent, strength))
        for layer in strike_layers(intent):
            low, high = RANGES[layer]
            if layer == _HARMONY:
                yield from ((layer, pitch) for pitch in _close_position(tones, low, high, self._last[layer]))
            else:
                wanted = {root} if layer == _BASS else tones
                fitting = [pitch for pitch in range(low, high + 1) if pitch % 12 in wanted]
                yield layer, min(fitting, key=lambda pitch: abs(pitch - self._last[layer]))

    def _figure(self, cue: Planned, first_frame: int, end_frame: int) -> Iterator[npt.NDArray[np.void]]:
        """The notes of a stinger that begin in these frames, beat by beat."""
        controller, clock = self._controller, self._controller.clock
        sounding = clock.beat_at(first_frame)
        for beat, chord in self._chords:
            if beat < sounding or not cue.beat <= beat <= cue.last_beat:
                continue
            intent = controller.beat_intent(beat)
            if beat > cue.beat and intent.stinger_over != cue.number:
                continue
            start, end = clock.frame_of_beat(beat), clock.frame_of_beat(beat + 1)
            audible = [gain_db > MUTE_DB for gain_db in intent.layer_gains_db]
            seed = figure_seed(controller.seed, cue.beat + cue.offset)
            notes = figure_notes(cue.stinger or "", intent.key, chord, intent.energy, audible, seed)
            sounds = _in_beat(notes, cue.offset + cue.beat - beat, start, end)
            sounds["is_struck"] = sounds["frame"] == cue.frame
            yield sounds[(first_frame <= sounds["frame"]) & (sounds["frame"] < end_frame)]

    def snapshot(self) -> dict[str, Any]:
        return {"chords": list(self._chords), "last": list(self._last)}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._chords.extend(snapshot["chords"])
        self._last = list(snapshot["last"])


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
