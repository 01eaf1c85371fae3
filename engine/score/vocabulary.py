"""The only owner of token ids: compound events and the condition vector.

In: pieces and intents; out: int16 events `[T, 5]` and float32 conditions `[CONDITION]`. Remembers nothing; any thread.

One event is one step of the model and has five fields: kind, position, value, duration, velocity.
    BAR / BEAT   a beat begins; carries the condition of that beat, all other fields 0
    CHORD        value = chord id; sounds from this beat on
    DRUMS … LEAD a note of that layer: position in the beat, value, duration, velocity
Events are in time order; within a beat: BAR or BEAT, then CHORD, then notes by (position, layer, pitch).
Pitches and roots are relative to the tonic, so that every key is the same music for the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from engine.notes import DRUM_PITCHES, TICKS_PER_BEAT
from engine.score.asked import ASKED, NEVER
from engine.score.piece import Piece
from moods.harmony import CHORD_QUALITY_NAMES, SCALE_NAMES
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, CUES, LANES, LAYERS, SECTIONS, STYLES

BAR, BEAT, CHORD_EVENT, FIRST_LAYER = 0, 1, 2, 3
NUM_KINDS = FIRST_LAYER + len(LAYERS)
NUM_POSITIONS = TICKS_PER_BEAT

NUM_QUALITIES = len(CHORD_QUALITY_NAMES)
NUM_CHORDS = 12 * NUM_QUALITIES
DRUM_NOTES = tuple(DRUM_PITCHES)
NUM_DRUMS = len(DRUM_NOTES)
FIRST_DRUM = NUM_CHORDS
FIRST_PITCH = FIRST_DRUM + NUM_DRUMS
NUM_VALUES = FIRST_PITCH + 128

DURATIONS = np.array(
    [2, 3, 4, 6, 8, 10, 12, 15, 18, 21, 24, 30, 36, 42, 48, 60, 72, 84, 96, 120, 144, 192, 288, 384], np.int32
)
"""Ticks of each duration class, 1/12 of a beat … 4 bars."""
NUM_DURATIONS = len(DURATIONS)
NUM_VELOCITIES = 16
"""Velocity class v stands for MIDI velocity 8 v + 4."""

NUM_FIELDS = 5
FIELD_SIZES = (NUM_KINDS, NUM_POSITIONS, NUM_VALUES, NUM_DURATIONS, NUM_VELOCITIES)

NO_RECALL = NUM_KINDS
"""Kind of a recalled event where nothing is recalled (see recall.py)."""
RECALLED_SIZES = (NUM_KINDS + 1, *FIELD_SIZES[1:])


Tonic = TypeVar("Tonic", int, npt.NDArray[np.int64])


def tonic_shift(tonic: Tonic) -> Tonic:
    """Semitones from C to the tonic, -6 … 5: absolute pitch = relative pitch + shift."""
    return (tonic + 6) % 12 - 6


def chord_value(root: int, quality: int, tonic: int) -> int:
    return (root - tonic) % 12 * NUM_QUALITIES + quality


def duration_class(length_ticks: int) -> int:
    """The nearest duration class on a logarithmic scale."""
    return int(np.abs(np.log(DURATIONS / max(1, length_ticks))).argmin())


def velocity_class(velocity: int) -> int:
    return min(NUM_VELOCITIES - 1, max(0, velocity // 8))


# --- the condition vector ------------------------------------------------------------------------------------------

_NUM_KNOTS = 9
_GROUPS: tuple[tuple[str, int], ...] = (
    ("valence", _NUM_KNOTS),
    ("energy", _NUM_KNOTS),
    ("tension", _NUM_KNOTS),
    ("density", _NUM_KNOTS),
    ("tempo", _NUM_KNOTS),
    ("style", len(STYLES)),
    ("scale", len(SCALE_NAMES)),
    ("layers", 2 * len(LAYERS)),  # [playing…, silent…]; both 0 where unknown
    ("beat", BEATS_PER_BAR),
    ("phrase_bar", BARS_PER_PHRASE),
    ("section", len(SECTIONS)),
    ("ending", 3),  # last chord here; within a bar; within four bars
    ("change", 3),  # the section changes after this bar; within two bars; within four
    ("cue", len(CUES)),
    ("recall", 2 * len(LANES)),  # [recalled…, how closely…]
)
CONDITION_SLICES: dict[str, slice] = {}
_start = 0
for _name, _size in _GROUPS:
    CONDITION_SLICES[_name] = slice(_start, _start + _size)
    _start += _size
CONDITION = (_start + 7) // 8 * 8


MOOD_GROUPS = ("valence", "energy", "tension", "density", "style")
"""What guidance strengthens: the model is asked with and without these."""


def hide(conditions: npt.NDArray[Any], groups: Sequence[str]) -> None:
    """Make groups of conditions [..., CONDITION] unknown, in place."""
    for name in groups:
        conditions[..., CONDITION_SLICES[name]] = 0


def _knots(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    """Soft one-hot of numbers [N]: triangular weights [N, _NUM_KNOTS] on evenly spaced knots."""
    at = (np.clip(values, low, high) - low) / (high - low) * (_NUM_KNOTS - 1)
    return np.maximum(0.0, 1.0 - np.abs(np.arange(_NUM_KNOTS) - at[:, None]))


_KNOTTED = (("valence", -1, 1), ("energy", 0, 1), ("tension", 0, 1), ("density", 0, 1))


def conditions(asked: npt.NDArray[np.void], recall: npt.NDArray[np.float64] | None = None) -> npt.NDArray[np.float32]:
    """Conditions float32 [N, CONDITION] of beats [N] ASKED.

    `recall` [N, lanes] is how closely, 0 … 1, each lane is to follow the beat it recalls, 0 where it recalls none.
    """
    out = np.zeros((len(asked), CONDITION), np.float32)
    at, every = CONDITION_SLICES, np.arange(len(asked))
    for name, low, high in _KNOTTED:
        out[:, at[name]] = _knots(asked[name], low, high)
    out[:, at["tempo"]] = _knots(np.log2(asked["bpm"] / 40.0), 0, float(np.log2(6.0)))
    out[:, at["style"]] = asked["style"]
    out[:, at["layers"]] = np.concatenate([asked["layers"] == 1, asked["layers"] == 0], axis=1)
    for name in ("scale", "beat", "section", "cue"):
        out[every, at[name].start + asked[name].astype(np.int64)] = 1
    out[every, at["phrase_bar"].start + asked["bar_in_section"].astype(np.int64) % BARS_PER_PHRASE] = 1
    to_end, to_change = asked["beats_to_end"][:, None], asked["bars_to_change"][:, None]
    out[:, at["ending"]] = (to_end >= 0) & (to_end <= np.array([0, BEATS_PER_BAR, 4 * BEATS_PER_BAR]))
    out[:, at["change"]] = to_change <= np.array([0, 1, 3])
    if recall is not None:
        out[:, at["recall"]] = np.concatenate([recall > 0, recall], axis=1)
    return out


# --- pieces to events ----------------------------------------------------------------------------------------------

MAX_EVENTS_PER_BEAT = 32
"""Chord and notes of one beat; what a score has beyond that is dropped."""


@dataclass
class EncodedPiece:
    """A piece as the model learns it."""

    events: npt.NDArray[np.int16]  # [T, 5]
    beat_of_event: npt.NDArray[np.int32]  # [T] which row of `conditions` an event stands under
    conditions: npt.NDArray[np.float16]  # [beats, CONDITION]


def note_value(layer: int, pitch: int, tonic: int) -> int | None:
    """Value id of a note, None where the vocabulary has no such drum or pitch."""
    if layer == 0:
        return FIRST_DRUM + DRUM_NOTES.index(pitch) if pitch in DRUM_PITCHES else None
    relative = pitch - tonic_shift(tonic)
    return FIRST_PITCH + relative if 0 <= relative < 128 else None


def _playing_layers(piece: Piece) -> npt.NDArray[np.bool_]:
    """[bars, layers]: does a note of the layer begin or sound on in the bar?"""
    bar_ticks = TICKS_PER_BEAT * BEATS_PER_BAR
    playing = np.zeros((len(piece.bars), len(LAYERS)), bool)
    for note in piece.notes:
        first = note["tick"] // bar_ticks
        last = (note["tick"] + max(1, note["length"] - TICKS_PER_BEAT // 4) - 1) // bar_ticks
        playing[first : last + 1, note["layer"]] = True
    return playing


def _bars_to_change(piece: Piece) -> list[int | None]:
    """How many bars of its section follow each bar; None in the last section, of unknown length."""
    left: list[int | None] = [None] * len(piece.bars)
    for index in range(len(piece.bars) - 2, -1, -1):
        following = piece.bars[index + 1]
        after = left[index + 1]
        changes = following.bar_in_section == 0 or following.section != piece.bars[index].section
        left[index] = 0 if changes else None if after is None else after + 1
    return left


def _conditions(piece: Piece) -> npt.NDArray[np.float16]:
    bars, every = piece.bars, np.arange(BEATS_PER_BAR)
    asked = np.zeros((len(bars), BEATS_PER_BAR), ASKED)
    for name in ("valence", "energy", "tension", "density", "bar_in_section"):
        asked[name] = np.array([getattr(bar, name) for bar in bars])[:, None]
    asked["bpm"], asked["scale"], asked["beat"] = piece.bpm, SCALE_NAMES.index(piece.key.scale), every
    asked["style"] = np.array([bar.style for bar in bars])[:, None]
    asked["layers"] = np.where(piece.layers_known, _playing_layers(piece), -1)[:, None]
    asked["section"] = np.array([SECTIONS.index(bar.section) for bar in bars])[:, None]
    asked["cue"] = [[CUES.index(cue) for cue in bar.cues] for bar in bars]
    asked["bars_to_change"] = np.array([NEVER if n is None else n for n in _bars_to_change(piece)])[:, None]
    to_end = np.array([NEVER if bar.beats_to_end is None else bar.beats_to_end for bar in bars])
    asked["beats_to_end"] = np.where(to_end == NEVER, NEVER, to_end - every[:, None]).T
    return conditions(asked.reshape(-1)).astype(np.float16)


def encode_piece(piece: Piece) -> EncodedPiece:
    """Write a piece as events. A chord is written where it changes and again on every bar's first beat."""
    num_beats = len(piece.bars) * BEATS_PER_BAR
    tonic = piece.key.tonic
    of_beat: list[list[tuple[int, int, int, int, int]]] = [[] for _ in range(num_beats)]
    chord_at = {int(chord["tick"]) // TICKS_PER_BEAT: chord for chord in piece.chords}
    sounding = None
    for beat in range(num_beats):
        changed = chord_at.get(beat)
        sounding = changed if changed is not None else sounding
        if sounding is not None and (changed is not None or beat % BEATS_PER_BAR == 0):
            of_beat[beat].append(
                (CHORD_EVENT, 0, chord_value(int(sounding["root"]), int(sounding["quality"]), tonic), 0, 0)
            )
    for note in piece.notes[np.lexsort((piece.notes["pitch"], piece.notes["layer"], piece.notes["tick"]))]:
        beat, position = divmod(int(note["tick"]), TICKS_PER_BEAT)
        value = note_value(int(note["layer"]), int(note["pitch"]), tonic)
        if beat < num_beats and value is not None and len(of_beat[beat]) < MAX_EVENTS_PER_BEAT:
            kind = FIRST_LAYER + int(note["layer"])
            of_beat[beat].append(
                (kind, position, value, duration_class(int(note["length"])), velocity_class(int(note["velocity"])))
            )
    events, beat_of_event = [], []
    for beat, inside in enumerate(of_beat):
        # Drum ids are not in the order of their pitches; values are what the composer keeps in order.
        begin = (BAR if beat % BEATS_PER_BAR == 0 else BEAT, 0, 0, 0, 0)
        events += [begin, *sorted(inside, key=lambda event: (event[0] != CHORD_EVENT, event[1], event[0], event[2]))]
        beat_of_event += [beat] * (1 + len(inside))
    return EncodedPiece(np.asarray(events, np.int16), np.asarray(beat_of_event, np.int32), _conditions(piece))
