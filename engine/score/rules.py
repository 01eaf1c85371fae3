"""What a beat may contain: masks and limits, so that no draw is unmusical by accident.

In: the intent of a beat; out: `BeatRules`. Remembers only tables computed before; any thread.
Everything is relative to the tonic, as in the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.score.vocabulary import NUM_CHORDS, NUM_QUALITIES, tonic_shift
from moods.harmony import CHORD_QUALITIES, SCALES
from moods.intent import BEATS_PER_BAR, LAYERS, Intent

FREE_TENSION = 0.5
"""Above this tension notes and chords may leave the scale."""

# MIDI ranges the layers sound good in, in the order of LAYERS (drums have none). What the model learnt from goes an
# octave higher; under a voice or a game that is shrill.
RANGES = ((0, 127), (28, 52), (48, 79), (40, 84), (60, 88))
MAX_VOICES = (6, 1, 5, 3, 2)
"""Notes of a layer that may begin at one tick, in the order of LAYERS."""
# Notes of a layer in one beat at density 0 and at density 1, in the order of LAYERS.
_NOTES_AT_REST = (8, 2, 4, 2, 2)
_NOTES_AT_MOST = (14, 4, 8, 5, 6)
VOICING_REACH = 10
"""Semitones that a chord's notes may lie from the middle of the chord before it: voices lead, they do not jump."""
LEAD_LEAPS = 9
"""Widest leap of the lead in semitones, the octave apart."""
_VALENCE_PULL = 1.2
"""How far valence ±1 shifts the logit of chords with a major third up, with a minor third down."""

ENDLESS, LAST_CHORD, SILENT = 0, 1, 2

_MINOR_LIKE = tuple(name for name, steps in SCALES.items() if 3 in steps)


@dataclass(frozen=True, slots=True)
class BeatRules:
    """Limits of one beat of one row, as the sampler reads them."""

    scale: npt.NDArray[np.bool_]  # [12] pitch classes above the tonic; all True where notes are free
    chords: npt.NDArray[np.bool_]  # [NUM_CHORDS]
    chord_bias: npt.NDArray[np.float32]  # [NUM_CHORDS] added to the chords' logits
    may_change_chord: bool
    must_have_chord: bool
    is_free: bool
    low: npt.NDArray[np.int64]  # [5] lowest pitch of each layer, relative
    high: npt.NDArray[np.int64]  # [5]
    max_notes: npt.NDArray[np.int64]  # [5] in this beat; 0 where the layer is silent
    temperature: float
    ending: int  # ENDLESS, LAST_CHORD or SILENT


@lru_cache(maxsize=256)
def allowed_chords(scale: str, is_free: bool) -> npt.NDArray[np.bool_]:
    """[NUM_CHORDS]: chords whose tones lie in the scale; where notes are free, whose root does."""
    inside = set(SCALES[scale])
    mask = np.zeros(NUM_CHORDS, bool)
    for root in range(12):
        for index, tones in enumerate(CHORD_QUALITIES.values()):
            heard = {root} if is_free else {(root + tone) % 12 for tone in tones}
            mask[root * NUM_QUALITIES + index] = heard <= inside
    return mask


def _chord_set(*names: tuple[int, str]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(NUM_CHORDS, bool)
    for root, quality in names:
        mask[root * NUM_QUALITIES + list(CHORD_QUALITIES).index(quality)] = True
    return mask


@lru_cache(maxsize=32)
def tonic_chord(scale: str) -> npt.NDArray[np.bool_]:
    """The last chord of an ending."""
    return _chord_set((0, "min" if scale in _MINOR_LIKE else "maj"))


@lru_cache(maxsize=64)
def cadence_chords(scale: str, is_free: bool) -> npt.NDArray[np.bool_]:
    """Chords that lead home: dominants, else the subdominant side, whatever of them the scale has."""
    leading = _chord_set((7, "7"), (7, "maj"), (7, "sus4"), (7, "min"), (7, "min7"), (7, "5"), (10, "maj"), (1, "maj"))
    found = leading & allowed_chords(scale, is_free)
    return found if found.any() else allowed_chords(scale, is_free)


def _third_signs() -> npt.NDArray[np.float32]:
    """[NUM_CHORDS] +1 for chords with a major third, -1 with a minor one, else 0."""
    signs = [float(4 in tones) - float(3 in tones) for tones in CHORD_QUALITIES.values()]
    return np.tile(np.array(signs, np.float32), 12)


_THIRD_SIGNS = _third_signs()


@lru_cache(maxsize=64)
def _scale_mask(scale: str, is_free: bool) -> npt.NDArray[np.bool_]:
    mask = np.full(12, is_free)
    mask[list(SCALES[scale])] = True
    return mask


@lru_cache(maxsize=16)
def _ranges(tonic: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    low, high = (np.array(side, np.int64) - tonic_shift(tonic) for side in zip(*RANGES, strict=True))
    return low, high


def _max_notes(intent: Intent, ending: int) -> npt.NDArray[np.int64]:
    rest, most = np.array(_NOTES_AT_REST), np.array(_NOTES_AT_MOST)
    counts = np.rint(rest + (most - rest) * intent.density).astype(np.int64)
    if ending == LAST_CHORD:
        counts = np.array([3, 1, 5, 1, 1], np.int64)
    playing = np.array(intent.active_layers)
    if not playing[1:].any():
        # Somebody has to carry the harmony, however still the mood: the pads, unless the listener muted them.
        playing[LAYERS.index("harmony")] = True
    return counts * playing if ending != SILENT else counts * 0


def beat_rules(intent: Intent) -> BeatRules:
    """The limits that an intent puts on its beat."""
    is_free = intent.tension > FREE_TENSION
    scale = intent.key.scale
    to_end = intent.beats_to_end
    ending = ENDLESS if to_end is None or to_end > 0 else (LAST_CHORD if to_end == 0 else SILENT)
    if ending == LAST_CHORD:
        chords = tonic_chord(scale)
    elif to_end is not None and to_end <= 2:
        chords = cadence_chords(scale, is_free)
    else:
        chords = allowed_chords(scale, is_free)
    beat = intent.beat - 1
    low, high = _ranges(intent.key.tonic)
    return BeatRules(
        scale=_scale_mask(scale, is_free and ending == ENDLESS),
        chords=chords,
        chord_bias=np.float32(_VALENCE_PULL * intent.valence) * _THIRD_SIGNS,
        may_change_chord=ending != SILENT and (beat % 2 == 0 or ending == LAST_CHORD),
        must_have_chord=ending == LAST_CHORD or (ending == ENDLESS and beat % BEATS_PER_BAR == 0) or to_end == 2,
        is_free=is_free and ending == ENDLESS,
        low=low,
        high=high,
        max_notes=_max_notes(intent, ending),
        temperature=intent.temperature,
        ending=ending,
    )
