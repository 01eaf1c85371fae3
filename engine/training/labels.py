"""What a stretch of notes is and feels like: key, chords, and valence, energy, tension, density of every bar.

In: `NOTE` arrays in 4/4 of any origin (corpora, arranger, our own output); out: labels. Remembers nothing; any thread.

Mood of a bar
-------------
Each raw measure is a weighted sum of features that the literature on music and emotion agrees on (Gabrielsson &
Lindstroem 2010; Eerola 2012; for dissonance Parncutt & Hair 2011), then laid over its range by quantiles
(`*_QUANTILES`, measured over game music and scores in equal parts), then smoothed over three bars (1, 2, 1).

    valence  = 0.45 mode + 0.30 chords + 0.10 register + 0.15 tempo                               -> -1 … 1
        mode      `SCALE_BRIGHTNESS` of the key, weighted by the share of notes that lie in its scale
        chords    share of time on major chords minus share on minor ones, minus 1.5 times that on dim and aug
        register  mean pitch of harmony, texture and lead, (pitch - 66) / 12 within ±1
        tempo     log2(bpm / 100) within ±1
    energy   = 0.34 onsets + 0.20 velocity + 0.16 layers + 0.12 tempo + 0.18 beat                 ->  0 … 1
        onsets    distinct onsets a second / 8             velocity  mean MIDI velocity / 127
        layers    share of layers that play                tempo     log2(bpm / 40) / log2(6)
        beat      drum hits a beat / 4 within 1, each by its velocity / 100
    tension  = 0.50 dissonance + 0.30 chromatic + 0.20 chords                                     ->  0 … 1
        dissonance  mean `INTERVAL_DISSONANCE` over pairs of sounding pitches, in each half beat
        chromatic   share of sounding time outside the key's scale
        chords      share of time on dim, aug and m7b5 chords, half of that on sus chords
    density  = log2(1 + notes a beat)                                                             ->  0 … 1

Where layers are unknown (a set of drums alone), notes a beat are divided by the share of notes that the known layers
usually carry (`LAYER_SHARES`), an unknown layer counts as half a playing one, and valence and tension, of which nothing
is known, stay in their middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.piece import CHORD, Piece
from moods.harmony import CHORD_QUALITIES, CHORD_QUALITY_NAMES, SCALES, Key
from moods.intent import BEATS_PER_BAR, LAYERS

BAR_TICKS = TICKS_PER_BEAT * BEATS_PER_BAR
_DRUMS, _BASS = LAYERS.index("drums"), LAYERS.index("bass")

# Krumhansl & Kessler 1982: how well each pitch class above the tonic fits major and minor.
_MAJOR_PROFILE = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR_PROFILE = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])

_CUE_BONUS = 0.15

SCALE_BRIGHTNESS: dict[str, float] = {
    "lydian": 1.0, "major": 0.8, "major pentatonic": 0.7, "mixolydian": 0.4, "dorian": -0.2,
    "minor pentatonic": -0.3, "minor": -0.7, "harmonic minor": -0.8, "phrygian": -0.9, "locrian": -1.0,
}  # fmt: skip
INTERVAL_DISSONANCE = np.array([0.0, 1.0, 0.45, 0.1, 0.05, 0.0, 0.7])
"""Roughness of interval classes 0 … 6, in the order of Huron 1994: minor second, tritone, major second, the rest."""
LAYER_SHARES = np.array([0.45, 0.12, 0.23, 0.1, 0.1])
"""Share of a full arrangement's notes in each layer, in the order of LAYERS."""

# Raw values that stand for 0, 1/8 … 1 of the range, by `calibrate` over four groups: freedoom; blasphemer and easyrpg;
# orchestra and quartets; lieder, mutopia and chorales.
VALENCE_QUANTILES = (-0.699, -0.475, -0.301, -0.164, 0.01, 0.193, 0.4, 0.592, 0.795)
ENERGY_QUANTILES = (0.227, 0.333, 0.385, 0.431, 0.487, 0.55, 0.669, 0.784, 1.015)
TENSION_QUANTILES = (0.0, 0.028, 0.052, 0.077, 0.103, 0.137, 0.184, 0.264, 0.5)
DENSITY_QUANTILES = (0.585, 1.7, 2.087, 2.392, 2.644, 2.858, 3.209, 3.555, 4.555)


# --- key -------------------------------------------------------------------------------------------------------------


def pitch_class_weights(notes: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """Sounding ticks of each pitch class over all pitched layers: [12]."""
    pitched = notes[notes["layer"] != _DRUMS]
    return np.bincount(pitched["pitch"] % 12, weights=pitched["length"], minlength=12)


def tonic_cues(notes: npt.NDArray[np.void]) -> npt.NDArray[np.float64]:
    """Pitch classes on which four-bar phrases begin and the stretch ends, in the lowest voice: shares [12], sum 1."""
    pitched = notes[notes["layer"] != _DRUMS]
    if not len(pitched):
        return np.zeros(12)
    phrase = pitched["tick"] // (4 * BAR_TICKS)
    opens = pitched["tick"] % (4 * BAR_TICKS) < TICKS_PER_BEAT
    lowest = np.full(phrase.max() + 1, 128)
    np.minimum.at(lowest, phrase[opens], pitched["pitch"][opens])
    ending = pitched[pitched["tick"] >= pitched["tick"][-1] - TICKS_PER_BEAT]["pitch"].min()
    cues = np.append(lowest[lowest < 128], ending)
    return np.bincount(cues % 12, minlength=12) / len(cues)


def find_key(
    weights: npt.NDArray[np.float64],
    cues: npt.NDArray[np.float64] | None = None,
    previous: Key | None = None,
    inertia: float = 0.1,
) -> Key:
    """Key of pitch-class weights [12] by the Krumhansl–Schmuckler algorithm (Krumhansl 1990, chapter 4).

    The key is the one whose profile correlates best with the weights; `cues` [12] of `tonic_cues` add `_CUE_BONUS` to
    their tonic, which tells relative keys apart. `previous` stays unless another is better by `inertia`.

    A minor key whose notes clearly prefer the major sixth is dorian, a major one with a flat seventh mixolydian: where
    at least 4 % more of the sounding time lies inside that scale, and the plain key with the same notes (a fifth below
    the mixolydian, a fifth above the dorian tonic) does not score nearly as well. Where it does, as on a long
    dominant, it is the key.
    """
    if weights.sum() <= 0:
        return previous or Key(0, "major")
    scores = {
        (tonic, scale): (float(np.corrcoef(np.roll(profile, tonic), weights)[0, 1]) if weights.std() > 0 else 0.0)
        + (_CUE_BONUS * float(cues[tonic]) if cues is not None else 0.0)
        for scale, profile in (("major", _MAJOR_PROFILE), ("minor", _MINOR_PROFILE))
        for tonic in range(12)
    }
    tonic, scale = max(scores, key=lambda key: scores[key])
    if previous is not None:
        before = (previous.tonic, "major" if 4 in SCALES[previous.scale] else "minor")
        if scores[before] >= scores[tonic, scale] - inertia:
            return previous
    shifted = np.roll(weights, -tonic) / weights.sum()
    mode = {"major": "mixolydian", "minor": "dorian"}[scale]
    if shifted[list(SCALES[mode])].sum() - shifted[list(SCALES[scale])].sum() < 0.04:
        return Key(tonic, scale)
    rival = ((tonic + (5 if scale == "major" else 7)) % 12, scale)
    if scores[rival] >= scores[tonic, scale] - inertia:
        return Key(*rival)
    return Key(tonic, mode)


def key_stretches(notes: npt.NDArray[np.void], num_bars: int, *, bars_each: int = 16) -> list[tuple[int, int, Key]]:
    """Stretches of one key: (first bar, bar after the last, key). Keys are found every `bars_each` bars."""
    key = find_key(pitch_class_weights(notes), tonic_cues(notes))
    stretches: list[tuple[int, int, Key]] = []
    for first in range(0, num_bars, bars_each):
        last = min(first + bars_each, num_bars)
        inside = (notes["tick"] >= first * BAR_TICKS) & (notes["tick"] < last * BAR_TICKS)
        key = find_key(pitch_class_weights(notes[inside]), tonic_cues(notes[inside]), key)
        if stretches and stretches[-1][2] == key:
            stretches[-1] = (stretches[-1][0], last, key)
        else:
            stretches.append((first, last, key))
    return stretches


# --- chords ----------------------------------------------------------------------------------------------------------

_CHORD_TONE_WEIGHTS = (1.0, 0.9, 0.8, 0.7, 0.5)  # root, third, fifth, seventh, ninth
# What a chord must earn before it is preferred to a plain triad that fits as well.
_QUALITY_COST = {
    "maj": 0.0, "min": 0.0, "dim": 0.05, "aug": 0.08, "7": 0.02, "maj7": 0.04, "min7": 0.04, "m7b5": 0.05,
    "5": 0.05, "sus2": 0.08, "sus4": 0.06, "maj9": 0.09, "min9": 0.09,
}  # fmt: skip
_BASS_BONUS = 0.15
_CHANGE_COST = 0.12


def _chord_templates() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Unit templates [156, 12] and costs [156], row = root * qualities + quality."""
    templates = np.zeros((12, len(CHORD_QUALITIES), 12))
    for quality, steps in enumerate(CHORD_QUALITIES.values()):
        for step, weight in zip(steps, _CHORD_TONE_WEIGHTS, strict=False):
            for root in range(12):
                templates[root, quality, (root + step) % 12] = weight
    templates = templates.reshape(-1, 12)
    costs = np.tile([_QUALITY_COST[name] for name in CHORD_QUALITY_NAMES], 12)
    return templates / np.linalg.norm(templates, axis=1, keepdims=True), costs


_TEMPLATES, _COSTS = _chord_templates()


def _sounding(
    notes: npt.NDArray[np.void], slot_ticks: int, num_slots: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Every slot in which every note sounds: note index, slot, ticks of overlap; each [E]."""
    first = notes["tick"].astype(np.int64) // slot_ticks
    ends = notes["tick"].astype(np.int64) + notes["length"]
    counts = (ends - 1) // slot_ticks - first + 1
    note = np.repeat(np.arange(len(notes)), counts)
    slot = first[note] + np.arange(len(note)) - np.repeat(np.cumsum(counts) - counts, counts)
    overlap = np.minimum(ends[note], (slot + 1) * slot_ticks) - np.maximum(notes["tick"][note], slot * slot_ticks)
    inside = (slot >= 0) & (slot < num_slots)
    return note[inside], slot[inside], overlap[inside]


def find_chords(notes: npt.NDArray[np.void], num_bars: int) -> npt.NDArray[np.void]:
    """Chord of every half bar by template matching with inertia; only changes are written: [M] CHORD.

    Score of a chord = cosine of its template and the half bar's pitch-class durations, plus a bonus for its root in
    the bass, less `_QUALITY_COST`; the best course through the half bars pays `_CHANGE_COST` for every change.
    """
    num_slots = 2 * num_bars
    pitched = notes[notes["layer"] != _DRUMS]
    if not len(pitched):
        return np.zeros(0, CHORD)
    note, slot, overlap = _sounding(pitched, BAR_TICKS // 2, num_slots)
    chroma, bass = np.zeros((num_slots, 12)), np.zeros((num_slots, 12))
    pitch_class = pitched["pitch"][note] % 12
    np.add.at(chroma, (slot, pitch_class), overlap)
    in_bass = pitched["layer"][note] == _BASS
    np.add.at(bass, (slot[in_bass], pitch_class[in_bass]), overlap[in_bass])
    norm = np.linalg.norm(chroma, axis=1, keepdims=True)
    fit = (chroma / np.maximum(norm, 1e-9)) @ _TEMPLATES.T
    bass_share = bass / np.maximum(bass.sum(axis=1, keepdims=True), 1e-9)
    fit += _BASS_BONUS * np.repeat(bass_share, len(CHORD_QUALITIES), axis=1)
    fit = np.where(norm > 0, fit - _COSTS, 0.0)
    course = _best_course(fit)
    changes = np.flatnonzero(np.append(True, np.diff(course) != 0))
    chords = np.zeros(len(changes), CHORD)
    chords["tick"] = changes * (BAR_TICKS // 2)
    chords["root"], chords["quality"] = np.divmod(course[changes], len(CHORD_QUALITIES))
    return chords


def _best_course(fit: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Row states with the largest sum of `fit` [T, N] less `_CHANGE_COST` a change (Viterbi)."""
    came_from = np.empty(fit.shape, np.int64)
    best = fit[0]
    stay = np.arange(fit.shape[1])
    for row in range(1, len(fit)):
        leader = int(best.argmax())
        moves = best < best[leader] - _CHANGE_COST
        came_from[row] = np.where(moves, leader, stay)
        best = fit[row] + np.where(moves, best[leader] - _CHANGE_COST, best)
    course = np.empty(len(fit), np.int64)
    course[-1] = best.argmax()
    for row in range(len(fit) - 1, 0, -1):
        course[row - 1] = came_from[row, course[row]]
    return course


# --- mood ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Labels:
    """Mood of every bar, each [num_bars]: valence -1 … 1, the others 0 … 1."""

    valence: npt.NDArray[np.float64]
    energy: npt.NDArray[np.float64]
    tension: npt.NDArray[np.float64]
    density: npt.NDArray[np.float64]


def label_bars(
    notes: npt.NDArray[np.void],
    chords: npt.NDArray[np.void],
    key: Key,
    bpm: float,
    num_bars: int,
    layers_known: tuple[bool, ...] = (True,) * len(LAYERS),
) -> Labels:
    """Mood labels of `num_bars` bars from the first tick on, by the formulas at the top of this file.

    `notes` [N] NOTE and `chords` [M] CHORD are sorted by tick; `chords` may be empty.
    """
    raw = raw_measures(notes, chords, key, bpm, num_bars, layers_known)
    knots = np.linspace(0, 1, len(VALENCE_QUANTILES))
    valence = 2 * np.interp(raw.valence, VALENCE_QUANTILES, knots) - 1
    tension = np.interp(raw.tension, TENSION_QUANTILES, knots)
    if not any(layers_known[_BASS:]):
        valence, tension = np.zeros(num_bars), np.full(num_bars, 0.5)
    return Labels(
        _smooth(valence),
        _smooth(np.interp(raw.energy, ENERGY_QUANTILES, knots)),
        _smooth(tension),
        _smooth(np.interp(raw.density, DENSITY_QUANTILES, knots)),
    )


def raw_measures(
    notes: npt.NDArray[np.void],
    chords: npt.NDArray[np.void],
    key: Key,
    bpm: float,
    num_bars: int,
    layers_known: tuple[bool, ...] = (True,) * len(LAYERS),
) -> Labels:
    """The measures of the formulas before quantiles and smoothing: what the quantile tables are calibrated on."""
    is_pitched = notes["layer"] != _DRUMS
    pitched = notes[is_pitched]
    note, bar, overlap = _sounding(pitched, BAR_TICKS, num_bars)
    total = np.maximum(np.bincount(bar, weights=overlap, minlength=num_bars), 1e-9)
    in_scale = np.isin(pitched["pitch"][note] % 12, list(key.pitch_classes))
    chromatic = np.bincount(bar, weights=overlap * ~in_scale, minlength=num_bars) / total
    above = pitched["layer"][note] != _BASS
    weight = np.bincount(bar, weights=overlap * above, minlength=num_bars)
    pitch_sum = np.bincount(bar, weights=overlap * above * (pitched["pitch"][note] - 66.0), minlength=num_bars)
    register = np.clip(pitch_sum / np.maximum(weight, 1e-9) / 12, -1, 1)
    brightness, strangeness = _chord_feelings(chords, num_bars)
    tempo = np.clip(np.log2(bpm / 100), -1, 1)
    valence = 0.45 * SCALE_BRIGHTNESS[key.scale] * (1 - chromatic) + 0.30 * brightness + 0.10 * register + 0.15 * tempo
    tension = 0.50 * _dissonance(pitched, num_bars) + 0.30 * chromatic + 0.20 * strangeness

    onset_bar = np.clip(notes["tick"] // BAR_TICKS, 0, num_bars - 1)
    known = np.array(layers_known)
    share = float(LAYER_SHARES[known].sum())
    num_notes = np.bincount(onset_bar, minlength=num_bars)
    hits = np.bincount(onset_bar[~is_pitched], weights=notes["velocity"][~is_pitched] / 100, minlength=num_bars)
    onsets = np.bincount(np.unique(notes["tick"]) // BAR_TICKS, minlength=num_bars)[:num_bars]
    velocity = np.bincount(onset_bar, weights=notes["velocity"], minlength=num_bars) / np.maximum(num_notes, 1)
    playing = np.zeros((num_bars, len(LAYERS)))
    playing[onset_bar, notes["layer"]] = 1
    playing[bar, pitched["layer"][note]] = 1
    energy = (
        0.34 * np.minimum(onsets / BEATS_PER_BAR * bpm / 60 / 8, 1.5)
        + 0.20 * velocity / 127
        + 0.16 * (playing.sum(axis=1) + 0.5 * (~known).sum()) / len(LAYERS)
        + 0.12 * np.log2(bpm / 40) / np.log2(6)
        + 0.18 * np.minimum(hits / BEATS_PER_BAR / 4, 1)
    )
    return Labels(valence, energy, tension, np.log2(1 + num_notes / BEATS_PER_BAR / share))


def calibrate(groups: Iterable[Sequence[Piece]], bars_each: int = 6000, seed: int = 0) -> dict[str, list[float]]:
    """The `*_QUANTILES` tables of a corpus: every group of pieces counts the same, whatever its size.

    Each group must have bars; `bars_each` of them are drawn with replacement. Pieces with unknown layers do not belong
    here.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[npt.NDArray[np.float64]]] = {field.name: [] for field in fields(Labels)}
    for pieces in groups:
        raw = [raw_measures(p.notes, p.chords, p.key, p.bpm, len(p.bars)) for p in pieces]
        for name, parts in drawn.items():
            values = np.concatenate([getattr(measures, name) for measures in raw])
            parts.append(rng.choice(values, bars_each))
    percents = (1, 12.5, 25, 37.5, 50, 62.5, 75, 87.5, 99)
    return {name: np.percentile(np.concatenate(parts), percents).round(3).tolist() for name, parts in drawn.items()}


def _chord_feelings(
    chords: npt.NDArray[np.void], num_bars: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Brightness -1.5 … 1 and strangeness 0 … 1 of the chords of each bar, each [num_bars]."""
    bright = {"maj": 1, "maj7": 1, "maj9": 1, "7": 0.6, "min": -1, "min7": -0.8, "min9": -0.7, "dim": -1.5, "aug": -1.5}
    strange = {"dim": 1.0, "aug": 1.0, "m7b5": 1.0, "sus2": 0.5, "sus4": 0.5}
    if not len(chords):
        return np.zeros(num_bars), np.zeros(num_bars)
    halves = np.searchsorted(chords["tick"], np.arange(2 * num_bars) * (BAR_TICKS // 2), side="right") - 1
    quality = chords["quality"][np.maximum(halves, 0)]
    by_quality = np.array([(bright.get(n, 0.0), strange.get(n, 0.0)) for n in CHORD_QUALITY_NAMES])
    feelings = by_quality[quality].reshape(num_bars, 2, 2).mean(axis=1)
    return feelings[:, 0], feelings[:, 1]


def _dissonance(pitched: npt.NDArray[np.void], num_bars: int) -> npt.NDArray[np.float64]:
    """Mean dissonance of pairs of sounding pitch classes, per half beat, averaged over each bar: [num_bars]."""
    num_slots = num_bars * BEATS_PER_BAR * 2
    note, slot, overlap = _sounding(pitched, TICKS_PER_BEAT // 2, num_slots)
    chroma = np.zeros((num_slots, 12))
    np.add.at(chroma, (slot, pitched["pitch"][note] % 12), overlap)
    steps = np.arange(12)
    distance = np.abs(steps[:, None] - steps[None, :])
    roughness = INTERVAL_DISSONANCE[np.minimum(distance, 12 - distance)]
    pairs = chroma.sum(axis=1) ** 2 - (chroma**2).sum(axis=1)
    rough = np.einsum("si,ij,sj->s", chroma, roughness, chroma, optimize=True)
    share = np.divide(rough, pairs, out=np.zeros(num_slots), where=pairs > 0)
    return share.reshape(num_bars, -1).mean(axis=1)


def _smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    padded = np.concatenate((values[:1], values, values[-1:]))
    return (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
