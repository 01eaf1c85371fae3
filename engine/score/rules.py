"""What a beat may contain: masks and limits, so that no draw is unmusical by accident.

In: the intent of a beat; out: `BeatRules`. Remembers only tables computed before; any thread.
Everything is relative to the tonic, as in the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.vocabulary import (
    DRUM_NOTES,
    NUM_CHORDS,
    NUM_DRUMS,
    NUM_QUALITIES,
    NUM_VELOCITIES,
    tonic_shift,
)
from moods.harmony import CHORD_QUALITIES, SCALES, Key
from moods.intent import CUT_STRENGTH, LAYERS, MUTE_DB, Intent, num_cut_beats

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
_VALENCE_PULL = 0.8
"""How far valence ±1 shifts the logit of chords with a major third up, with a minor third down."""
_TENSION_PULL, _TENSION_REST = 2.5, 0.15
"""How far tension shifts the logit of the most restless chord for each unit above or below `_TENSION_REST`."""
_HOME_PENALTY = 0.15
"""Taken from the logit of chords on the tonic: harmony is to move, and comes home of itself."""

ENDLESS, LAST_CHORD, SILENT = 0, 1, 2

_DRUMS, _HARMONY = LAYERS.index("drums"), LAYERS.index("harmony")
_LEAD_IN_LAYERS = tuple(LAYERS.index(name) for name in ("drums", "lead", "bass", "texture", "harmony"))
"""Who leads into a hit or a section: the first of these that plays."""
_FEWEST_LEAD_IN_NOTES = 6
_SOFTEST_STRIKE = NUM_VELOCITIES // 2
"""Velocity class below which nothing is struck at strength 0."""
_FILL_PULL, _TIME_PULL = 1.5, -4.0
"""Added in a fill to the logits of snares and toms, and of what keeps time otherwise: cymbals, shakers."""
_LEAVING_BEATS = 2
"""Beats before a new key that belong to its dominant."""
_KICK, _CRASH = DRUM_NOTES.index(36), DRUM_NOTES.index(49)
_FILL_DRUMS = [DRUM_NOTES.index(pitch) for pitch in (38, 45, 47, 50, 64, 63)]
_TIME_DRUMS = [DRUM_NOTES.index(pitch) for pitch in (42, 44, 46, 49, 51, 53, 54, 70, 56)]

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
    strike: int  # the tick at which all layers strike together, the only one in the beat; -1 where there is none
    strike_drums: npt.NDArray[np.bool_]  # [NUM_DRUMS] what the drums strike
    strike_velocity: int  # lowest velocity class of a strike
    ring_ticks: int  # least length of pitched notes
    lead_in: int  # the layer that leads into what follows, -1 where none does
    lead_in_onsets: int  # onsets that it has at least
    drum_bias: npt.NDArray[np.float32]  # [NUM_DRUMS] added to the drums' logits


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
    leading = _DOMINANTS | _chord_set((10, "maj"), (1, "maj"))
    found = leading & allowed_chords(scale, is_free)
    return found if found.any() else allowed_chords(scale, is_free)


def _third_signs() -> npt.NDArray[np.float32]:
    """[NUM_CHORDS] +1 for chords with a major third, -1 with a minor one, else 0."""
    signs = [float(4 in tones) - float(3 in tones) for tones in CHORD_QUALITIES.values()]
    return np.tile(np.array(signs, np.float32), 12)


_THIRD_SIGNS = _third_signs()
_UNREST = {
    "dim": 1.0, "m7b5": 1.0, "aug": 0.9, "sus4": 0.5, "7": 0.5, "sus2": 0.4, "maj9": 0.4, "min9": 0.4, "maj7": 0.3,
    "min7": 0.2, "5": 0.2, "maj": 0.0, "min": 0.0,
}  # fmt: skip
"""How much a chord wants to go on, by its quality."""
_UNRESTS = np.tile(np.array([_UNREST[name] for name in CHORD_QUALITIES], np.float32), 12)
_IS_HOME = (np.arange(NUM_CHORDS) < NUM_QUALITIES).astype(np.float32)


@lru_cache(maxsize=64)
def _scale_mask(scale: str, is_free: bool) -> npt.NDArray[np.bool_]:
    mask = np.full(12, is_free)
    mask[list(SCALES[scale])] = True
    return mask


@lru_cache(maxsize=16)
def _ranges(tonic: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    low, high = (np.array(side, np.int64) - tonic_shift(tonic) for side in zip(*RANGES, strict=True))
    return low, high


# --- changes of key ------------------------------------------------------------------------------------------------


def _moved(chords: npt.NDArray[np.bool_], semitones: int) -> npt.NDArray[np.bool_]:
    """The chord set a number of semitones higher."""
    return np.roll(chords.reshape(12, NUM_QUALITIES), semitones, axis=0).reshape(-1)


def _tones(chord: int) -> set[int]:
    root, quality = divmod(chord, NUM_QUALITIES)
    return {(root + tone) % 12 for tone in tuple(CHORD_QUALITIES.values())[quality]}


@lru_cache(maxsize=256)
def pivot_chords(key: Key, ahead: Key, is_free: bool, is_leaving: bool) -> npt.NDArray[np.bool_]:
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
def arrival_chords(scale: str, is_free: bool) -> npt.NDArray[np.bool_]:
    """The first chord of a new key: one on its tonic."""
    chords = allowed_chords(scale, is_free).copy()
    chords[NUM_QUALITIES:] = False
    return chords


_DOMINANTS = _chord_set((7, "7"), (7, "maj"), (7, "sus4"), (7, "min"), (7, "min7"), (7, "5"))


# --- beats ---------------------------------------------------------------------------------------------------------


def _max_notes(intent: Intent, ending: int) -> npt.NDArray[np.int64]:
    rest, most = np.array(_NOTES_AT_REST), np.array(_NOTES_AT_MOST)
    counts = np.rint(rest + (most - rest) * intent.density).astype(np.int64)
    if ending == LAST_CHORD:
        counts = np.array([3, 1, 5, 1, 1], np.int64)
    return counts * _playing(intent) if ending != SILENT and intent.cue != "cut" else counts * 0


def _playing(intent: Intent) -> npt.NDArray[np.bool_]:
    """Who plays, in the order of LAYERS."""
    playing = np.array(intent.active_layers)
    if not playing[1:].any():
        # Somebody has to carry the harmony, however still the mood: the pads, unless the listener muted them.
        playing[_HARMONY] = True
    return playing


def strike_layers(intent: Intent) -> list[int]:
    """The pitched layers that strike at a hit."""
    return [layer for layer in range(1, len(LAYERS)) if _playing(intent)[layer]]


def strike_drums(intent: Intent, strength: float) -> list[int]:
    """What the drums strike, as in `notes.DRUM_PITCHES`. Where the mood has none, a strong hit still has its cymbal."""
    return [DRUM_NOTES[drum] for drum in np.flatnonzero(_strike_drums(intent, strength))]


def _strike_drums(intent: Intent, strength: float) -> npt.NDArray[np.bool_]:
    drums = np.zeros(NUM_DRUMS, bool)
    drums[_KICK] = intent.active_layers[_DRUMS]
    is_muted = intent.layer_gains_db[_DRUMS] <= MUTE_DB
    drums[_CRASH] = intent.active_layers[_DRUMS] or (strength >= CUT_STRENGTH and not is_muted)
    return drums


def strike_velocity(strength: float) -> int:
    """The lowest velocity class of a strike."""
    return _SOFTEST_STRIKE + round((NUM_VELOCITIES - 1 - _SOFTEST_STRIKE) * strength)


def strike_tick(intent: Intent) -> int:
    """The tick of its beat nearest to a hit."""
    return min(TICKS_PER_BEAT - 1, round(intent.hit_offset * TICKS_PER_BEAT))


def _chord_bias(intent: Intent) -> npt.NDArray[np.float32]:
    bias = np.float32(_VALENCE_PULL * intent.valence) * _THIRD_SIGNS
    bias += np.float32(_TENSION_PULL * (intent.tension - _TENSION_REST)) * _UNRESTS
    return bias - np.float32(_HOME_PENALTY) * _IS_HOME


def _chords(intent: Intent, is_free: bool, is_arrival: bool) -> npt.NDArray[np.bool_]:
    scale, to_end = intent.key.scale, intent.beats_to_end
    if to_end is not None and to_end <= 0:
        return tonic_chord(scale)
    if to_end is not None and to_end <= 2:
        return cadence_chords(scale, is_free)
    if is_arrival:
        return arrival_chords(scale, is_free)
    if intent.key_ahead is not None:
        return pivot_chords(intent.key, intent.key_ahead, is_free, (intent.beats_to_key or 0) <= _LEAVING_BEATS)
    return allowed_chords(scale, is_free)


def beat_rules(intent: Intent, is_arrival: bool = False) -> BeatRules:
    """The limits that an intent puts on its beat; `is_arrival`: the first beat of a new key."""
    is_free = intent.tension > FREE_TENSION
    to_end = intent.beats_to_end
    ending = ENDLESS if to_end is None or to_end > 0 else (LAST_CHORD if to_end == 0 else SILENT)
    is_hit, is_cut = intent.cue == "hit" and ending != SILENT, intent.cue == "cut" and ending == ENDLESS
    beat = intent.beat - 1
    is_leaving = intent.beats_to_key == _LEAVING_BEATS
    low, high = _ranges(intent.key.tonic)
    max_notes = _max_notes(intent, ending)
    lead_in = -1
    if intent.cue == "fill" and ending == ENDLESS:
        lead_in = next(layer for layer in _LEAD_IN_LAYERS if max_notes[layer])
        max_notes[lead_in] = max(max_notes[lead_in], _FEWEST_LEAD_IN_NOTES)
    drum_bias = np.zeros(NUM_DRUMS, np.float32)
    if lead_in == _DRUMS:
        drum_bias[_FILL_DRUMS], drum_bias[_TIME_DRUMS] = _FILL_PULL, _TIME_PULL
    tick = strike_tick(intent)
    ring_beats = 1 + num_cut_beats(beat, intent.hit_strength)
    return BeatRules(
        scale=_scale_mask(intent.key.scale, is_free and ending == ENDLESS),
        chords=_chords(intent, is_free, is_arrival),
        chord_bias=_chord_bias(intent),
        may_change_chord=ending != SILENT and not is_cut and (beat % 2 == 0 or ending == LAST_CHORD),
        must_have_chord=ending == LAST_CHORD
        or (ending == ENDLESS and (beat == 0 or is_hit or is_arrival or is_leaving))
        or to_end == 2,
        is_free=is_free and ending == ENDLESS,
        low=low,
        high=high,
        max_notes=max_notes,
        temperature=intent.temperature,
        ending=ending,
        strike=tick if is_hit else -1,
        strike_drums=_strike_drums(intent, intent.hit_strength) if is_hit else np.zeros(NUM_DRUMS, bool),
        strike_velocity=strike_velocity(intent.hit_strength),
        ring_ticks=ring_beats * TICKS_PER_BEAT - tick if is_hit else 0,
        lead_in=lead_in,
        lead_in_onsets=2 + round(2 * intent.energy),
        drum_bias=drum_bias,
    )
