"""Which chords a beat may have: by its scale, by a key ahead, by the cadences of endings and of the form.

In: what beats are asked to be; out: masks of chords, relative to the tonic. Remembers only tables computed before; any
thread.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from engine.score.asked import DOMINANT, HOME, NO_CADENCE, NO_TONIC, PLAGAL, REST, Asked
from engine.score.columns import Bools, Ints
from engine.score.vocabulary import NUM_CHORDS, NUM_QUALITIES
from moods.harmony import CHORD_QUALITIES, SCALE_NAMES, SCALES, Key

CADENCE_BEATS = 2
"""Beats before an ending's last chord that lead to it."""
LEAVING_BEATS = 2
"""Beats before a new key that belong to its dominant."""
_MINOR_LIKE = tuple(name for name, steps in SCALES.items() if 3 in steps)


def _chord_set(*names: tuple[int, str]) -> Bools:
    mask = np.zeros(NUM_CHORDS, bool)
    for root, quality in names:
        mask[root * NUM_QUALITIES + list(CHORD_QUALITIES).index(quality)] = True
    return mask


_DOMINANTS = _chord_set((7, "7"), (7, "maj"), (7, "sus4"), (7, "min"), (7, "min7"), (7, "5"))
_HOMES = _chord_set(*((0, quality) for quality in ("maj", "min", "maj7", "min7", "maj9", "min9")))
_PLAGALS = _chord_set(
    *((root, quality) for root in (1, 2, 5, 8, 10) for quality in ("maj", "min", "maj7", "min7", "7", "sus2"))
)


@lru_cache(maxsize=256)
def allowed_chords(scale: str, is_free: bool) -> Bools:
    """[NUM_CHORDS]: chords whose tones lie in the scale; where notes are free, whose root does."""
    inside = set(SCALES[scale])
    mask = np.zeros(NUM_CHORDS, bool)
    for root in range(12):
        for index, tones in enumerate(CHORD_QUALITIES.values()):
            heard = {root} if is_free else {(root + tone) % 12 for tone in tones}
            mask[root * NUM_QUALITIES + index] = heard <= inside
    return mask


# --- cadences --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def tonic_chord(scale: str) -> Bools:
    """The last chord of an ending."""
    return _chord_set((0, "min" if scale in _MINOR_LIKE else "maj"))


@lru_cache(maxsize=64)
def cadence_chords(scale: str, is_free: bool) -> Bools:
    """Chords that lead home: dominants, else the subdominant side, whatever of them the scale has."""
    leading = _DOMINANTS | _chord_set((10, "maj"), (1, "maj"))
    found = leading & allowed_chords(scale, is_free)
    return found if found.any() else allowed_chords(scale, is_free)


@lru_cache(maxsize=128)
def form_chords(cadence: int, scale: str) -> Bools:
    """[NUM_CHORDS]: chords at home, or that lead there without or with the dominant; all where the scale has none."""
    if cadence == DOMINANT:
        return cadence_chords(scale, False)
    allowed = allowed_chords(scale, False)
    wanted = {HOME: _HOMES, REST: _HOMES, PLAGAL: _PLAGALS}[cadence] & allowed
    return wanted if wanted.any() else allowed


# --- changes of key --------------------------------------------------------------------------------------------------


def _moved(chords: Bools, semitones: int) -> Bools:
    """The chord set a number of semitones higher."""
    return np.roll(chords.reshape(12, NUM_QUALITIES), semitones, axis=0).reshape(-1)


def _tones(chord: int) -> set[int]:
    root, quality = divmod(chord, NUM_QUALITIES)
    return {(root + tone) % 12 for tone in tuple(CHORD_QUALITIES.values())[quality]}


@lru_cache(maxsize=256)
def pivot_chords(key: Key, ahead: Key, is_free: bool, is_leaving: bool) -> Bools:
    """[NUM_CHORDS] relative to `key`: the chords of both keys, or all of `key` where they share none.

    `is_leaving`: of these only the dominants of the key ahead; failing that, those nearest to its dominant seventh.
    """
    here, up = allowed_chords(key.scale, is_free), (ahead.tonic - key.tonic) % 12
    common = here & _moved(allowed_chords(ahead.scale, is_free), up)
    common = common if common.any() else here
    if not is_leaving:
        return common
    dominants = common & _moved(_DOMINANTS, up)
    if dominants.any():
        return dominants
    wanted = {(up + tone) % 12 for tone in (7, 11, 2, 5)}
    shared = np.array([len(_tones(chord) & wanted) if common[chord] else -1 for chord in range(NUM_CHORDS)])
    return shared == shared.max()


@lru_cache(maxsize=32)
def arrival_chords(scale: str, is_free: bool) -> Bools:
    """The first chord of a new key: one on its tonic."""
    chords = allowed_chords(scale, is_free).copy()
    chords[NUM_QUALITIES:] = False
    return chords


# --- beats -----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _chords(
    scale: int, is_free: bool, beats_to_end: int, is_arrival: bool, tonic: int, tonic_ahead: int, scale_ahead: int,
    is_leaving: bool, cadence: int,
) -> Bools:  # fmt: skip
    """[NUM_CHORDS] relative to `tonic`."""
    name = SCALE_NAMES[scale]
    if beats_to_end <= 0:
        return tonic_chord(name)
    if beats_to_end <= CADENCE_BEATS:
        return cadence_chords(name, is_free)
    if is_arrival:
        return arrival_chords(name, is_free)
    if tonic_ahead >= 0:
        return pivot_chords(Key(tonic, name), Key(tonic_ahead, SCALE_NAMES[scale_ahead]), is_free, is_leaving)
    if cadence != NO_CADENCE:
        return form_chords(cadence, name)
    return allowed_chords(name, is_free)


def chord_masks(asked: Asked, is_free: Bools, is_arrival: Bools, cadence: Ints) -> Bools:
    """[N, NUM_CHORDS] for beats [N]: one look-up for each; keys count only where there is another ahead."""
    has_pivot = asked["tonic_ahead"] != NO_TONIC
    tonic, ahead = (np.where(has_pivot, asked[name], NO_TONIC) for name in ("tonic", "tonic_ahead"))
    to_end = np.minimum(asked["beats_to_end"], CADENCE_BEATS + 1)  # before that harmony does not know of it
    is_leaving = has_pivot & (asked["beats_to_key"] <= LEAVING_BEATS)
    keys = (asked["scale"], tonic, ahead, asked["scale_ahead"], to_end)
    scales, tonics, aheads, scales_ahead, to_ends = (numbers.astype(np.int64).tolist() for numbers in keys)
    flags = is_free.tolist(), to_ends, is_arrival.tolist(), tonics, aheads, scales_ahead, is_leaving.tolist()
    return np.array(list(map(_chords, scales, *flags, cadence.tolist())))
