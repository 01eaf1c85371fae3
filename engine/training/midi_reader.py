"""MIDI files as layered notes: tracks become drums, bass, harmony, texture and lead.

In: the bytes of one MIDI file; out: `Score` (notes in beats, metre, tempi), then `NOTE` arrays of five layers.
Remembers nothing; any thread.

How a track finds its layer, in this order:
    channel 10, timpani               drums, by `DRUM_CLASSES`
    sound effects, melodic drums      dropped
    chordal keyboard, guitar, harp    split by voice where the piece has no bass or no lead of its own: the line on the
                                      ground of each beat is bass, the line on its top is lead, the rest falls by bar:
                                      single running notes are texture, chords are harmony
    GM bass, or the lowest monophonic track with a median at or below F3                      bass
    the most melodic monophonic track (register, presence, instrument, 0.2 … 4.5 notes a beat), and
    such tracks as mostly play where it rests: a melody that passes from hand to hand         lead
    chords and long notes             harmony
    everything else                   texture
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import symusic

from engine.notes import NOTE, TICKS_PER_BEAT
from moods.intent import LAYERS

DRUMS, BASS, HARMONY, TEXTURE, LEAD = range(len(LAYERS))

LAYER_RANGES = {BASS: (28, 52), HARMONY: (48, 79), TEXTURE: (40, 100), LEAD: (60, 96)}
"""Lowest and highest MIDI note of each pitched layer; notes outside are moved by octaves."""
LAYER_VOICES = {BASS: 1, HARMONY: 5, TEXTURE: 3, LEAD: 2}
"""Most notes sounding at once in each pitched layer."""

# General MIDI percussion, and the rims and edges of the Roland TD-11 (22, 26, 40, 43, 58, 55, 52, 59), to DRUM_PITCHES.
DRUM_CLASSES: dict[int, int] = {
    35: 36, 36: 36, 38: 38, 40: 38, 31: 37, 37: 37, 75: 37, 76: 37, 77: 37, 85: 37, 39: 39,
    42: 42, 22: 42, 44: 44, 46: 46, 26: 46, 41: 45, 43: 45, 45: 45, 58: 45, 47: 47, 48: 50, 50: 50,
    49: 49, 52: 49, 55: 49, 57: 49, 51: 51, 59: 51, 53: 53, 80: 53, 81: 53, 54: 54, 83: 54,
    69: 70, 70: 70, 82: 70, 56: 56, 67: 56, 68: 56, 61: 64, 64: 64, 66: 64, 86: 64, 87: 64,
    60: 63, 62: 63, 63: 63, 65: 63,
}  # fmt: skip
_DRUM_LENGTH = TICKS_PER_BEAT // 4
_LOW_TOM = 45

_TIMPANI = 47
_BASS_PROGRAMS = frozenset((*range(32, 40), 43, 58, 70))
_CHORDAL_PROGRAMS = frozenset((*range(0, 8), *range(16, 26), 46))
_MELODY_PROGRAMS = frozenset((22, 40, 52, 53, 54, 56, 65, 66, *range(68, 88)))
_FIRST_EFFECT = 112  # melodic drums and sound effects have no harmony to teach

MAX_BEATS = 20_000
"""Beats of the longest file: what is longer has a broken time in it."""

RAW = np.dtype([("start", "f8"), ("end", "f8"), ("pitch", "i2"), ("velocity", "i2"), ("track", "i2"), ("layer", "i1")])
"""A note before the grid: times in beats; layer -1 is dropped."""


class UnusableFile(Exception):
    """A file or stretch that gives no training piece; the text is the reason it is counted under."""


@dataclass
class Score:
    """One MIDI file: notes sorted by start, every time in beats (quarter notes)."""

    notes: npt.NDArray[np.void]  # [N] RAW
    programs: list[int]  # of each track; -1 is drums
    tempos: npt.NDArray[np.float64]  # [K, 2] beat, bpm
    bars: list[tuple[float, float]]  # (beat, beats in a bar) of each time signature


def read_score(content: bytes) -> Score:
    """Parse one file. Raises `UnusableFile` where it is not MIDI or has no notes."""
    try:
        midi = symusic.Score.from_midi(content)
    except RuntimeError as error:
        raise UnusableFile("broken MIDI") from error
    if midi.ticks_per_quarter <= 0:
        raise UnusableFile("broken MIDI")
    quarter = float(midi.ticks_per_quarter)
    tracks, programs = [], []
    for track in midi.tracks:
        columns = track.notes.numpy()
        notes = np.zeros(len(columns["time"]), RAW)
        notes["start"] = columns["time"] / quarter
        notes["end"] = notes["start"] + columns["duration"] / quarter
        notes["pitch"], notes["velocity"] = columns["pitch"], columns["velocity"]
        notes["track"] = len(programs)
        tracks.append(notes[notes["velocity"] > 0])
        programs.append(-1 if track.is_drum else track.program)
    notes = np.concatenate(tracks) if tracks else np.zeros(0, RAW)
    if not len(notes):
        raise UnusableFile("no notes")
    if notes["start"].min() < 0 or notes["end"].max() > MAX_BEATS:
        raise UnusableFile(f"longer than {MAX_BEATS} beats")
    notes = notes[np.lexsort((notes["pitch"], notes["start"]))]
    tempos = np.array([(t.time / quarter, t.qpm) for t in midi.tempos] or [(0.0, 120.0)])
    metres = [m for m in midi.time_signatures if m.denominator > 0]
    bars = [(m.time / quarter, m.numerator * 4 / m.denominator) for m in metres] or [(0.0, 4.0)]
    return Score(notes, programs, tempos, bars)


# --- tracks to layers ------------------------------------------------------------------------------------------------


@dataclass
class _Track:
    index: int
    program: int
    median_pitch: float
    polyphony: float  # mean notes sounding while any sounds
    notes_per_beat: float  # while it sounds
    mean_length: float  # beats
    presence: float  # share of the piece's beats in which it begins a note
    num_pitches: int

    @property
    def is_line(self) -> bool:
        return self.polyphony < 1.3


def _describe(notes: npt.NDArray[np.void], index: int, program: int, num_beats: float) -> _Track:
    lengths = notes["end"] - notes["start"]
    latest = np.maximum.accumulate(notes["end"])
    gaps = np.maximum(0.0, notes["start"][1:] - latest[:-1]).sum()
    sounding = max(latest[-1] - notes["start"][0] - gaps, 1e-3)
    active_beats = len(np.unique(notes["start"].astype(np.int64)))
    return _Track(
        index,
        program,
        float(np.median(notes["pitch"])),
        float(lengths.sum() / sounding),
        len(notes) / active_beats,
        float(lengths.mean()),
        active_beats / max(num_beats, 1.0),
        len(np.unique(notes["pitch"])),
    )


def assign_layers(score: Score) -> None:
    """Write the layer of every note of `score`, by the rules at the top of this file."""
    notes = score.notes
    num_beats = float(notes["end"].max() - notes["start"].min())
    notes["layer"] = -1
    tracks = []
    for index, program in enumerate(score.programs):
        mine = notes["track"] == index
        if not mine.any():
            continue
        if program == -1:
            notes["layer"][mine] = DRUMS
        elif program == _TIMPANI:
            notes["layer"][mine], notes["pitch"][mine] = DRUMS, _LOW_TOM
        elif program < _FIRST_EFFECT:
            tracks.append(_describe(notes[mine], index, program, num_beats))
    chordal = [t for t in tracks if t.program in _CHORDAL_PROGRAMS and (not t.is_line or len(tracks) <= 2)]
    bass = _find_bass(tracks, chordal)
    lead = _find_lead(notes, [t for t in tracks if t not in chordal and t not in bass])
    split = chordal or [t for t in tracks if not t.is_line]
    if split and not (bass and lead):
        _split_voices(notes, [t.index for t in split], want_bass=not bass, want_lead=not lead)
    else:
        split = []
    for track in tracks:
        if track not in split:
            notes["layer"][notes["track"] == track.index] = _layer_of(track, bass, lead)


def _find_bass(tracks: list[_Track], chordal: list[_Track]) -> list[_Track]:
    lines = [t for t in tracks if t.is_line and t not in chordal]
    named = [t for t in tracks if t.program in _BASS_PROGRAMS and t.median_pitch <= 57 and t.polyphony < 1.6]
    low = [t for t in lines if t.median_pitch <= 53 and t.presence > 0.1]
    return named or ([min(low, key=lambda t: t.median_pitch)] if low else [])


def _find_lead(notes: npt.NDArray[np.void], tracks: list[_Track]) -> list[_Track]:
    def melodic(track: _Track) -> float:
        return (
            track.median_pitch / 12
            + 3 * min(track.presence, 0.6)
            + (1.0 if track.program in _MELODY_PROGRAMS else 0.0)
            - (1.0 if track.notes_per_beat > 3 else 0.0)
            - 2 * (track.polyphony - 1)
        )

    def beats(track: _Track) -> set[int]:
        return set(notes["start"][notes["track"] == track.index].astype(np.int64).tolist())

    lines = [
        t
        for t in tracks
        if t.polyphony < 1.45 and t.median_pitch >= 56 and t.num_pitches >= 4 and 0.2 <= t.notes_per_beat <= 4.5
    ]
    lead: list[_Track] = []
    taken: set[int] = set()
    for track in sorted(lines, key=melodic, reverse=True):
        mine = beats(track)
        if (not lead and track.presence > 0.1) or (lead and len(mine & taken) < 0.25 * len(mine)):
            lead.append(track)
            taken |= mine
    return lead


def _layer_of(track: _Track, bass: list[_Track], lead: list[_Track]) -> int:
    if track in bass:
        return BASS
    if track in lead:
        return LEAD
    if track.notes_per_beat > 2.2 and track.polyphony < 1.6 and track.mean_length < 0.75:
        return TEXTURE
    if not track.is_line or track.mean_length >= 0.75 or track.median_pitch < 58:
        return HARMONY
    return TEXTURE


def _split_voices(notes: npt.NDArray[np.void], tracks: list[int], *, want_bass: bool, want_lead: bool) -> None:
    """Divide chordal tracks into bass, lead and the rest: harmony where notes come together, texture where they run."""
    places = np.flatnonzero(np.isin(notes["track"], tracks))
    mine = notes[places]
    beat = mine["start"].astype(np.int64)
    beat -= beat.min()
    # Ground and top of a beat are the lowest and highest of all that sounds in it, held notes included.
    held = np.maximum(1, np.ceil(mine["end"] - np.floor(mine["start"]) - 0.1)).astype(np.int64)
    sounding = np.repeat(beat - np.cumsum(held) + held, held) + np.arange(held.sum())
    ground, top = np.full(sounding.max() + 1, 200), np.full(sounding.max() + 1, -1)
    np.minimum.at(ground, sounding, np.repeat(mine["pitch"], held))
    np.maximum.at(top, sounding, np.repeat(mine["pitch"], held))
    _, onset, counts = np.unique(np.round(mine["start"] * 12).astype(np.int64), return_inverse=True, return_counts=True)
    lowest, highest = np.full(len(counts), 200), np.full(len(counts), -1)
    np.minimum.at(lowest, onset, mine["pitch"])
    np.maximum.at(highest, onset, mine["pitch"])

    bar = beat // 4
    num_notes = np.bincount(bar)
    num_onsets = np.maximum(1.0, np.bincount(bar, weights=1.0 / counts[onset]))
    runs = (num_notes / num_onsets < 1.6) & (num_onsets > 6)
    layer = np.where(runs[bar], TEXTURE, HARMONY)
    if want_lead:
        on_top = (mine["pitch"] == highest[onset]) & (mine["pitch"] >= 58) & (mine["pitch"] >= top[beat] - 7)
        layer[on_top] = LEAD
    if want_bass:
        on_ground = (mine["pitch"] == lowest[onset]) & (mine["pitch"] <= 57) & (mine["pitch"] <= ground[beat] + 2)
        layer[on_ground] = BASS
    notes["layer"][places] = layer


# --- layers to the grid ----------------------------------------------------------------------------------------------


def to_grid(raw: npt.NDArray[np.void], start_beat: float, end_beat: float, *, snap: bool) -> npt.NDArray[np.void]:
    """Cut one stretch out of layered notes and write it in ticks: [N] NOTE, sorted by tick, layer, pitch.

    `snap` pulls onsets within 1.5 ticks of a sixteenth or a triplet eighth onto it; without it the nearest tick stays.
    """
    inside = (raw["start"] >= start_beat - 1 / 48) & (raw["start"] < end_beat - 1 / 48) & (raw["layer"] >= 0)
    raw = raw[inside]
    exact = (raw["start"] - start_beat) * TICKS_PER_BEAT
    ticks = np.round(exact)
    if snap:
        for step in (TICKS_PER_BEAT // 3, TICKS_PER_BEAT // 4):
            near = np.round(exact / step) * step
            ticks = np.where(np.abs(near - exact) <= 1.5, near, ticks)
    ends = np.round((np.minimum(raw["end"], end_beat) - start_beat) * TICKS_PER_BEAT)
    notes = np.zeros(len(raw), NOTE)
    notes["tick"], notes["length"] = np.maximum(ticks, 0), np.maximum(1, ends - ticks)
    notes["layer"], notes["pitch"] = raw["layer"], raw["pitch"]
    notes["velocity"] = np.clip(raw["velocity"], 1, 127)
    layers = [_drum_notes(notes[notes["layer"] == DRUMS])]
    for layer in LAYER_RANGES:
        mine = notes["layer"] == layer
        layers.append(_pitched_layer(notes[mine], raw["track"][mine], layer))
    notes = np.concatenate(layers)
    return notes[np.lexsort((notes["pitch"], notes["layer"], notes["tick"]))]


_DRUM_TABLE = np.array([DRUM_CLASSES.get(pitch, -1) for pitch in range(128)], np.int16)


def _drum_notes(notes: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    notes = notes.copy()
    notes["pitch"] = _DRUM_TABLE[notes["pitch"]]
    notes["length"] = _DRUM_LENGTH
    return _without_doubles(notes[notes["pitch"] >= 0])


def _pitched_layer(notes: npt.NDArray[np.void], tracks: npt.NDArray[np.int16], layer: int) -> npt.NDArray[np.void]:
    low, high = LAYER_RANGES[layer]
    notes = notes.copy()
    pitch = notes["pitch"]
    for track in np.unique(tracks):
        # A track moves as a whole first, so that its line keeps its shape; only stray notes are folded one by one.
        mine = tracks == track
        octaves = np.arange(-4, 5) * 12
        moved = pitch[mine][None, :] + octaves[:, None]
        outside = ((moved < low) | (moved > high)).mean(axis=1)
        pitch[mine] += octaves[np.lexsort((np.abs(octaves), outside))[0]]
    pitch += (12 * np.ceil(np.maximum(0, low - pitch) / 12)).astype(np.int16)
    pitch -= (12 * np.ceil(np.maximum(0, pitch - high) / 12)).astype(np.int16)
    return _limit_voices(_without_doubles(notes), LAYER_VOICES[layer], keep_low=layer == BASS)


def _without_doubles(notes: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    """Of notes with the same onset and pitch keep the longest, at the loudest velocity; sorted by tick, pitch."""
    notes = notes[np.lexsort((notes["length"], notes["pitch"], notes["tick"]))]
    if not len(notes):
        return notes
    is_last = np.append((np.diff(notes["tick"]) != 0) | (np.diff(notes["pitch"]) != 0), True)
    group = np.append(0, np.cumsum(is_last)[:-1])
    loudest = np.zeros(group[-1] + 1, np.int16)
    np.maximum.at(loudest, group, notes["velocity"])
    notes = notes[is_last]
    notes["velocity"] = loudest
    return notes


def _limit_voices(notes: npt.NDArray[np.void], num_voices: int, *, keep_low: bool) -> npt.NDArray[np.void]:
    """Leave at most `num_voices` sounding: outer notes of a chord win, new notes cut the oldest short.

    A pitch that is struck again ends where it is struck. `notes` are sorted by tick, pitch.
    """
    ticks, ends = notes["tick"].tolist(), (notes["tick"] + notes["length"]).tolist()
    pitches = notes["pitch"].tolist()
    kept: list[int] = []
    sounding: list[int] = []
    first = 0
    while first < len(ticks):
        tick, last = ticks[first], first + 1
        while last < len(ticks) and ticks[last] == tick:
            last += 1
        chord = list(range(first, last))
        if last - first > num_voices:
            if keep_low:
                chord = chord[:num_voices]
            else:
                chord = chord[: num_voices // 3] + chord[len(chord) - num_voices + num_voices // 3 :]
        struck = {pitches[note] for note in chord}
        held = []
        for note in sounding:
            if pitches[note] in struck:
                ends[note] = min(ends[note], tick)
            elif ends[note] > tick:
                held.append(note)
        for note in held[: max(0, len(held) + len(chord) - num_voices)]:
            ends[note] = tick
        sounding = held[max(0, len(held) + len(chord) - num_voices) :] + chord
        kept += chord
        first = last
    notes = notes[kept]
    notes["length"] = np.maximum(1, np.array([ends[note] for note in kept], np.int64) - notes["tick"])
    return notes
