"""What a listener without the score hears in sound: roughness, clearness of key, level, colour, pulse. Needs librosa.

In: mono at `listening.RATE_HZ`; out: figures, and readings of tension, valence and energy made of them. None counts our
notes: what is read is what the literature on recordings takes, each sign from there (Eerola, Lartillot & Toiviainen
2009 and Farbood 2012 for tension; Gabrielsson & Lindstroem 2010 for the others). A reading is the mean of its figures
in standard deviations of the population that is compared. Remembers nothing; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import librosa
import numpy as np
import numpy.typing as npt

from engine.training.evaluation.listening import MAJOR_PROFILE, MINOR_PROFILE, RATE_HZ

Mono = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

_FFT, _HOP = 4096, 2048
_MOST_PEAKS, _PEAK_FLOOR = 24, 0.01
"""Partials of a frame, and how loud they are at least beside the loudest."""
_KEY_SECONDS = 4.0
_LEVEL_SECONDS = 0.4
_LOW_HZ, _HIGH_HZ = 150.0, 2500.0
_SILENCE = 1e-4

READINGS: dict[str, dict[str, int]] = {
    "tension": {"roughness": 1, "key_clarity": -1, "majorness": -1, "low_db": 1},
    "valence": {"majorness": 1, "key_clarity": 1, "centroid_octaves": 1, "low_db": -1, "roughness": -1},
    "energy": {"level_db": 1, "flux": 1, "onsets_a_second": 1, "centroid_octaves": 1},
}
"""The figures of each reading, and their signs."""


def measure(mono: Mono) -> dict[str, float]:
    """All figures of a stretch of sound, float32 [T]."""
    magnitude = np.abs(librosa.stft(mono, n_fft=_FFT, hop_length=_HOP))
    hz = librosa.fft_frequencies(sr=RATE_HZ, n_fft=_FFT)
    heard = magnitude.max(axis=0) > _SILENCE * _FFT
    if not heard.any():
        return dict.fromkeys(FIGURES, float("nan"))
    spectra = magnitude[:, heard]
    power = spectra**2
    onsets = librosa.onset.onset_strength(y=mono, sr=RATE_HZ, hop_length=512)
    clarity, majorness = _tonality(mono)
    levels = _levels_db(mono)
    shares = power.sum(axis=1) / power.sum()
    named = shares[shares > 0]
    return {
        "roughness": float(np.mean([_roughness(frame, hz) for frame in spectra.T])),
        "key_clarity": clarity,
        "majorness": majorness,
        "low_db": _ratio_db(power[hz < _LOW_HZ].sum(), power.sum()),
        "high_db": _ratio_db(power[hz > _HIGH_HZ].sum(), power.sum()),
        "centroid_octaves": float(np.average(np.log2(hz[1:]), weights=spectra.mean(axis=1)[1:])),
        "entropy": float(-(named * np.log2(named)).sum() / np.log2(len(shares))),
        "flux": float(np.maximum(0, np.diff(spectra / spectra.mean(), axis=1)).mean()) if heard.sum() > 1 else 0.0,
        "level_db": level_db(mono),
        "contrast_db": float(np.percentile(levels, 95) - np.percentile(levels, 10)),
        "onsets_a_second": len(librosa.onset.onset_detect(onset_envelope=onsets, sr=RATE_HZ)) * RATE_HZ / len(mono),
        "pulse_clarity": _pulse_clarity(onsets),
    }


FIGURES = (
    "roughness", "key_clarity", "majorness", "low_db", "high_db", "centroid_octaves", "entropy", "flux", "level_db",
    "contrast_db", "onsets_a_second", "pulse_clarity",
)  # fmt: skip


def read(figures: Sequence[Mapping[str, float]], name: str) -> Floats:
    """The reading of `name` for each of a population of stretches: [N], in its standard deviations."""
    columns = [sign * standardised([found[figure] for found in figures]) for figure, sign in READINGS[name].items()]
    return np.mean(columns, axis=0)


def standardised(values: Sequence[float] | Floats) -> Floats:
    """Less their mean, by their standard deviation; what does not vary is 0."""
    row = np.asarray(values, float)
    deviation = np.nanstd(row)
    return np.nan_to_num((row - np.nanmean(row)) / deviation) if deviation > 0 else np.zeros_like(row)


def level_db(mono: Mono) -> float:
    """Mean power, in dB of full scale."""
    return float(10 * np.log10(np.mean(mono.astype(np.float64) ** 2) + 1e-12))


def _ratio_db(part: float, whole: float) -> float:
    return float(10 * np.log10(max(part / whole, 1e-9)))


def _levels_db(mono: Mono) -> Floats:
    step = int(_LEVEL_SECONDS * RATE_HZ)
    rows = mono[: max(step, len(mono) // step * step)].astype(np.float64)
    rows = rows[: len(rows) // step * step].reshape(-1, step) if len(rows) >= step else rows[None]
    return 10 * np.log10(np.mean(rows**2, axis=1) + 1e-7)


def _roughness(spectrum: npt.NDArray[np.float32], hz: Floats) -> float:
    """Vassilakis 2001: sum over pairs of partials, amplitudes relative to all of the frame's."""
    inner = spectrum[1:-1]
    is_peak = (inner > spectrum[:-2]) & (inner >= spectrum[2:]) & (inner > _PEAK_FLOOR * spectrum.max())
    peaks = np.flatnonzero(is_peak) + 1
    peaks = np.sort(peaks[np.argsort(-spectrum[peaks])[:_MOST_PEAKS]])
    if len(peaks) < 2:
        return 0.0
    amplitude = spectrum[peaks] / np.sqrt((spectrum[peaks] ** 2).sum())
    one, other = np.triu_indices(len(peaks), 1)
    low, high = hz[peaks[one]], hz[peaks[other]]
    distance = 0.24 / (0.0207 * low + 18.96) * (high - low)
    beating = np.exp(-3.5 * distance) - np.exp(-5.75 * distance)
    a, b = amplitude[one], amplitude[other]
    depth = (2 * np.minimum(a, b) / (a + b)) ** 3.11
    return float(((a * b) ** 0.1 * 0.5 * depth * beating).sum())


def _tonality(mono: Mono) -> tuple[float, float]:
    """How well the best key fits each few seconds, and by how much the best major key fits better than the best minor
    one: means of correlations."""
    chroma = librosa.feature.chroma_cqt(y=mono, sr=RATE_HZ, hop_length=_HOP, tuning=0.0, norm=None, n_octaves=6)
    length = max(1, int(_KEY_SECONDS * RATE_HZ / _HOP))
    clarity, majorness = [], []
    for first in range(0, max(1, chroma.shape[1] - length // 2), length):
        weights = np.sqrt(chroma[:, first : first + length]).mean(axis=1)
        if weights.std() <= 0:
            continue
        fits = [
            max(float(np.corrcoef(np.roll(profile, tonic), weights)[0, 1]) for tonic in range(12))
            for profile in (MAJOR_PROFILE, MINOR_PROFILE)
        ]
        clarity.append(max(fits))
        majorness.append(fits[0] - fits[1])
    return (float(np.mean(clarity)), float(np.mean(majorness))) if clarity else (float("nan"), float("nan"))


def _pulse_clarity(onsets: npt.NDArray[np.float32]) -> float:
    """The greatest autocorrelation of the onsets at the lag of 40 … 240 beats a minute."""
    row = onsets - onsets.mean()
    if not row.any():
        return 0.0
    size = 1 << (2 * len(row)).bit_length()
    correlation = np.fft.irfft(np.abs(np.fft.rfft(row, size)) ** 2)[: len(row)]
    a_minute = 60 * RATE_HZ / 512
    lags = correlation[int(a_minute / 240) : int(a_minute / 40)]
    return float(lags.max() / correlation[0]) if len(lags) else 0.0
