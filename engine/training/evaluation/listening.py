"""Key and tempo as an ear without the score hears them. In: sound; out: a key, a tempo. Needs librosa.

Nothing of our own labels is used: features are librosa's, key profiles are those of the literature. Both readers err
on perfect music too; how often is told by what they read from the arranger's pieces. Remembers nothing; any thread.
"""

from __future__ import annotations

import librosa
import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from moods.harmony import SCALES, Key

RATE_HZ = 22_050
_HOP = 128
_CHROMA_HOP, _BINS = 2048, 36
TEMPO_TOLERANCE = 0.02
_RATIOS = (1.0, 3 / 4, 4 / 3, 2 / 3, 3 / 2)
_COMB_SECONDS = 8.0
_NO_TEMPO_BPM = 1.0
"""Of what has no onsets."""
# Albrecht & Shanahan 2013, "The use of large corpora to train a new type of key-finding algorithm", Music Perception
# 31 (1), table 1: pitch classes above the tonic in major and minor.
MAJOR_PROFILE = np.array([0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081])
MINOR_PROFILE = np.array([0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052])
# The plain key with the same notes: semitones from the tonic up to its major key's tonic.
_TO_MAJOR = {
    "major": 0, "major pentatonic": 0, "minor": 3, "minor pentatonic": 3, "harmonic minor": 3, "dorian": 10,
    "phrygian": 8, "lydian": 7, "mixolydian": 5, "locrian": 1,
}  # fmt: skip


def to_mono(sound: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """float32 [T] at `RATE_HZ` of [2, T] at the engine's rate."""
    return librosa.resample(sound.mean(axis=0), orig_sr=SAMPLE_RATE, target_sr=RATE_HZ, res_type="soxr_mq")


def read_key(mono: npt.NDArray[np.float32]) -> tuple[int, bool]:
    """Tonic 0 … 11 and whether it is major: the profile that correlates best with the chroma.

    The chroma is the mean over time of a constant-Q spectrum from C2 on; the root of its magnitudes keeps single loud
    notes from speaking for all.
    """
    lowest_hz = float(librosa.note_to_hz("C2"))
    magnitudes = np.abs(
        librosa.cqt(
            mono,
            sr=RATE_HZ,
            hop_length=_CHROMA_HOP,
            fmin=lowest_hz,
            n_bins=5 * _BINS,
            bins_per_octave=_BINS,
            tuning=0.0,
        )
    )
    chroma = librosa.feature.chroma_cqt(
        C=np.sqrt(magnitudes), sr=RATE_HZ, fmin=lowest_hz, bins_per_octave=_BINS, norm=None
    )
    weights = chroma.mean(axis=1)
    if weights.std() <= 0:
        return 0, True
    scores = {
        (tonic, is_major): float(np.corrcoef(np.roll(profile, tonic), weights)[0, 1])
        for profile, is_major in ((MAJOR_PROFILE, True), (MINOR_PROFILE, False))
        for tonic in range(12)
    }
    return max(scores, key=lambda key: scores[key])


def is_exact_or_relative(read: tuple[int, bool], key: Key) -> bool:
    """Is the key read the asked tonic with the asked third, or the major or minor key with the asked notes?"""
    major_tonic = (key.tonic + _TO_MAJOR[key.scale]) % 12
    same_notes = {(major_tonic, True), ((major_tonic + 9) % 12, False)}
    return read in same_notes | {(key.tonic, 4 in SCALES[key.scale])}


def read_tempo(mono: npt.NDArray[np.float32]) -> float:
    """Tempo in beats a minute: librosa's, made finer by the comb of its multiples in the onsets' autocorrelation.

    librosa's own lag is a whole number of hops wide and at times three or four halves of the beat. Of the tempi within
    8 % of it and of those in simple ratios to it, the one is taken whose multiples within eight seconds are strongest.
    """
    onsets = librosa.onset.onset_strength(y=mono, sr=RATE_HZ, hop_length=_HOP)
    if onsets.std() <= 0:
        return _NO_TEMPO_BPM
    rough = float(librosa.feature.tempo(onset_envelope=onsets, sr=RATE_HZ, hop_length=_HOP)[0])
    onsets = onsets - onsets.mean()
    size = 1 << (2 * len(onsets)).bit_length()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(onsets, size)) ** 2)[: len(onsets)]
    found = [_best_tempo(correlation, rough * ratio) for ratio in _RATIOS]
    return max(found)[1]


def _best_tempo(correlation: npt.NDArray[np.float64], rough_bpm: float) -> tuple[float, float]:
    """(mean correlation at its multiples, tempo) of the best tempo within 8 % of `rough_bpm`."""
    bpms = rough_bpm * np.exp(np.linspace(-0.08, 0.08, 641))
    lag = 60 * RATE_HZ / _HOP / bpms
    multiples = np.arange(1, max(2, int(_COMB_SECONDS * rough_bpm / 60)))
    places = np.arange(len(correlation))
    strength = np.interp(lag[:, None] * multiples, places, correlation, right=0.0).mean(axis=1)
    best = int(strength.argmax())
    return float(strength[best]), float(bpms[best])


def tempo_error(read_bpm: float, asked_bpm: float) -> float:
    """Relative error of a tempo read, whole octaves apart not counted, 0 … 0.41."""
    octaves = np.log2(read_bpm / asked_bpm)
    return float(2 ** abs(octaves - round(float(octaves))) - 1)
