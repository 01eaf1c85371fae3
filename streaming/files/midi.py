"""Music as a standard MIDI file. In: what a performance tells while it plays; out: the file. The calling thread's work.

Ticks are counted by the beats, as they were told: the file's tempo map lets each beat begin at its very frame.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, BinaryIO

import mido
import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from moods.harmony import SCALES, Key
from moods.intent import BEATS_PER_BAR, LAYERS

TICKS_PER_BEAT = 480
DRUM_CHANNEL = 9
_CHANNELS = {layer: DRUM_CHANNEL if layer == "drums" else index for index, layer in enumerate(LAYERS)}
_MAJOR_KEYS = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_MINOR_KEYS = ("Cm", "C#m", "Dm", "Ebm", "Em", "Fm", "F#m", "Gm", "G#m", "Am", "Bbm", "Bm")
_DEGREES = {"major": 0, "dorian": 2, "phrygian": 4, "lydian": 5, "mixolydian": 7, "minor": 9, "locrian": 11}
"""Semitones from the tonic of the major scale with the same notes up to the mode's own."""
_LONGEST_BEAT_US = 2**24 - 1


def key_signature(key: Key) -> str:
    """The signature with the key's own notes, in mido's names: a mode has that of its major scale."""
    if key.scale in ("major", "major pentatonic"):
        return _MAJOR_KEYS[key.tonic]
    if key.scale in _DEGREES and key.scale != "minor":
        return _MAJOR_KEYS[(key.tonic - _DEGREES[key.scale]) % 12]
    assert 3 in SCALES[key.scale], key
    return _MINOR_KEYS[key.tonic]


class MidiScore:
    """Takes down beats, notes, keys, programs and marks in the order in which they come; `write` makes the file of it.

    Frames are those of the sound; its length closes the file.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._beats: list[int] = []
        self._notes: list[npt.NDArray[np.void]] = []
        self._keys: list[tuple[int, Key]] = []
        self._programs: list[tuple[int, tuple[int, ...]]] = []
        self._marks: list[tuple[int, str]] = []

    def add_beat(self, frame: int) -> None:
        """A beat begins; the first one told is the first of a bar."""
        if not self._beats or frame > self._beats[-1]:
            self._beats.append(frame)

    def add_notes(self, notes: npt.NDArray[np.void]) -> None:
        """[N] `engine.notes.SOUND`."""
        if len(notes):
            self._notes.append(notes)

    def add_key(self, frame: int, key: Key) -> None:
        if not self._keys or self._keys[-1][1] != key:
            self._keys.append((frame, key))

    def add_programs(self, frame: int, programs: Sequence[int]) -> None:
        """What plays each layer from here on, in the order of LAYERS, counted from 0."""
        if not self._programs or self._programs[-1][1] != tuple(programs):
            self._programs.append((frame, tuple(programs)))

    def add_mark(self, frame: int, text: str) -> None:
        """A section, a hit or the like."""
        self._marks.append((frame, text))

    def write(self, file: BinaryIO, num_frames: int) -> None:
        """Write a file of type 1: a track for tempo, keys and marks, and one for each layer. Raises OSError."""
        beats = _Beats(self._beats, num_frames)
        song = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8")
        song.tracks.append(self._conductor(beats))
        notes = np.concatenate(self._notes) if self._notes else None
        for layer, name in enumerate(LAYERS):
            own = None if notes is None else notes[notes["layer"] == layer]
            song.tracks.append(self._layer(beats, layer, name, own))
        song.save(file=file)

    def _conductor(self, beats: _Beats) -> mido.MidiTrack:
        events: list[tuple[int, int, Any]] = [
            (0, 0, mido.MetaMessage("track_name", name=self._title)),
            (0, 1, mido.MetaMessage("time_signature", numerator=BEATS_PER_BAR, denominator=4)),
        ]
        events += [(tick, 2, mido.MetaMessage("set_tempo", tempo=tempo)) for tick, tempo in beats.tempi()]
        for frame, key in self._keys:
            events.append((beats.tick(frame), 3, mido.MetaMessage("key_signature", key=key_signature(key))))
            events.append((beats.tick(frame), 4, mido.MetaMessage("text", text=str(key))))
        events += [(beats.tick(frame), 5, mido.MetaMessage("marker", text=text)) for frame, text in self._marks]
        return _track(events, beats.end_tick)

    def _layer(self, beats: _Beats, layer: int, name: str, notes: npt.NDArray[np.void] | None) -> mido.MidiTrack:
        channel = _CHANNELS[name]
        events: list[tuple[int, int, Any]] = [(0, 0, mido.MetaMessage("track_name", name=name))]
        last = None
        for frame, programs in self._programs:
            if programs[layer] != last:
                last = programs[layer]
                change = mido.Message("program_change", channel=channel, program=last)
                events.append((beats.tick(frame), 2, change))
        rows = [] if notes is None else np.sort(notes, order=["frame", "pitch"]).tolist()
        for frame, length, _, pitch, velocity, *_ in rows:
            start, end = beats.tick(frame), beats.tick(frame + length)
            on = mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)
            off = mido.Message("note_off", channel=channel, note=pitch, velocity=0)
            end = max(start + 1, min(end, beats.end_tick))
            events += [(start, 3, on), (end, 1, off)]
        return _track(events, beats.end_tick)


class _Beats:
    """Frames and ticks."""

    def __init__(self, frames: list[int], num_frames: int) -> None:
        """`frames`, where beats begin, none of them twice; before the first and after the last they go on as there."""
        begins = list(frames) or [0]
        if len(begins) == 1:
            begins.append(begins[0] + SAMPLE_RATE // 2)
        while begins[0] > 0:  # a piece may be joined in the middle of a beat
            begins.insert(0, max(0, 2 * begins[0] - begins[1]))
        while begins[-1] < num_frames:
            begins.append(2 * begins[-1] - begins[-2])
        self._begins = begins
        self.end_tick = self.tick(num_frames)

    def tick(self, frame: int) -> int:
        frame = max(0, frame)
        index = min(len(self._begins) - 2, max(0, bisect_right(self._begins, frame) - 1))
        start, end = self._begins[index : index + 2]
        return round((index + (frame - start) / (end - start)) * TICKS_PER_BEAT)

    def tempi(self) -> list[tuple[int, int]]:
        """Ticks, and microseconds a beat from there on; what rounding leaves goes into the next beat."""
        tempi: list[tuple[int, int]] = []
        told_us = 0
        for beat, end in enumerate(self._begins[1:]):
            tempo = min(_LONGEST_BEAT_US, round(end * 1e6 / SAMPLE_RATE) - told_us)
            told_us += tempo
            if not tempi or tempi[-1][1] != tempo:
                tempi.append((beat * TICKS_PER_BEAT, tempo))
        return tempi


def _track(events: list[tuple[int, int, Any]], end_tick: int) -> mido.MidiTrack:
    """Messages at ticks, of one tick in the order of the second number."""
    track, before = mido.MidiTrack(), 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - before))
        before = tick
    track.append(mido.MetaMessage("end_of_track", time=max(0, end_tick - before)))
    return track
