"""What is heard in a piece of music. In: sound; out: the ears' embeddings and plain figures. Remembers nothing.

All sound is brought to one loudness first: networks that tag music follow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import librosa
import numpy as np
import numpy.typing as npt
import pyloudnorm
import soxr

from benchmarks.likeness.ears import EAR_RATE, ears
from engine.audio import SAMPLE_RATE

Float = npt.NDArray[np.float32]
EXCERPT_S = 12
MOMENT_S, NUM_MOMENTS = 2, 5
LOUDNESS_LUFS = -20.0
BANDS_HZ = tuple(float(1000 * 2 ** (k / 3)) for k in range(-15, 13))
"""Centres of third octaves, 31 Hz … 16 kHz."""
_FFT = 8192
_STEP_S = 0.4


@dataclass(frozen=True)
class Heard:
    """One track or take, by its excerpts."""

    embeddings: dict[str, Float]  # by ear: [windows, dimensions]
    bands_db: npt.NDArray[np.float64]  # [excerpts, bands] power relative to all bands
    figures: dict[str, npt.NDArray[np.float64]]  # by name: [excerpts]


def hear(excerpts: Sequence[Float]) -> Heard:
    """Excerpts are [2, EXCERPT_S] at SAMPLE_RATE, none silent."""
    level = [at_loudness(excerpt) for excerpt in excerpts]
    mono = [soxr.resample(excerpt.mean(axis=0), SAMPLE_RATE, EAR_RATE).astype(np.float32) for excerpt in level]
    embeddings = {name: np.concatenate([embed(sound) for sound in mono]) for name, embed in ears().items()}
    figures = [measure(excerpt) for excerpt in level]
    return Heard(
        embeddings,
        np.array([third_octaves_db(excerpt) for excerpt in level]),
        {name: np.array([found[name] for found in figures]) for name in figures[0]},
    )


def hear_moments(sound: Float) -> dict[str, Float]:
    """Embeddings, by ear, of moments of MOMENT_S spread over `sound` [2, T]: [moments, dimensions]."""
    size = MOMENT_S * SAMPLE_RATE
    firsts = np.linspace(0, sound.shape[1] - size, NUM_MOMENTS + 2).astype(int)[1:-1]
    moments = [sound[:, first : first + size] for first in firsts]
    mono = [
        soxr.resample(at_loudness(moment).mean(axis=0), SAMPLE_RATE, EAR_RATE).astype(np.float32)
        for moment in moments
        if is_audible(moment)
    ]
    return {name: np.concatenate([embed(moment) for moment in mono]) for name, embed in ears().items()}


def at_loudness(sound: Float) -> Float:
    """`sound` [2, T] at LOUDNESS_LUFS, measured over all of it (ITU-R BS.1770-4)."""
    measured = pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(sound.T)
    return (sound * 10 ** ((LOUDNESS_LUFS - measured) / 20)).astype(np.float32)


def is_audible(sound: Float) -> bool:
    return bool(np.sqrt(np.mean(sound**2)) > 1e-3)


def _power_spectrum(sound: Float) -> Float:
    """Mean power of both channels: [_FFT / 2 + 1]."""
    frames = librosa.util.frame(sound, frame_length=_FFT, hop_length=_FFT // 2, axis=-1)
    return (np.abs(np.fft.rfft(frames * np.hanning(_FFT)[:, None], axis=-2)) ** 2).mean(axis=(0, 2))


def third_octaves_db(sound: Float) -> npt.NDArray[np.float64]:
    """Power in each of BANDS_HZ relative to that of all, in dB; nothing is -90 dB."""
    power, hz = _power_spectrum(sound), np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)
    bands = np.array([power[(hz >= c * 2 ** (-1 / 6)) & (hz < c * 2 ** (1 / 6))].sum() for c in BANDS_HZ])
    return np.maximum(10 * np.log10(bands / bands.sum() + 1e-12), -90.0)


def measure(sound: Float) -> dict[str, float]:
    """Figures of one excerpt [2, T]."""
    mid, side = (sound[0] + sound[1]) / 2, (sound[0] - sound[1]) / 2
    step = int(_STEP_S * SAMPLE_RATE)
    steps = mid[: len(mid) // step * step].reshape(-1, step)
    levels_db = 10 * np.log10(np.mean(steps**2, axis=1) + 1e-9)
    mel = librosa.power_to_db(librosa.feature.melspectrogram(y=mid, sr=SAMPLE_RATE, n_fft=2048, hop_length=1024))
    onsets = librosa.onset.onset_detect(
        onset_envelope=librosa.onset.onset_strength(S=mel, sr=SAMPLE_RATE), sr=SAMPLE_RATE, hop_length=1024
    )
    return {
        "crest_db": float(20 * np.log10(np.abs(sound).max() / np.sqrt(np.mean(sound**2)))),
        "range_db": float(np.percentile(levels_db, 95) - np.percentile(levels_db, 10)),
        "width_db": _ratio_db(side, mid),
        "treble_width_db": _ratio_db(_above(side, 2000.0), _above(mid, 2000.0)),
        "bass_width_db": _ratio_db(side - _above(side, 200.0), mid - _above(mid, 200.0)),
        "onsets_a_second": len(onsets) / (len(mid) / SAMPLE_RATE),
        "flux_db": float(np.maximum(np.diff(mel, axis=1), 0).mean()),
        "flatness": float(librosa.feature.spectral_flatness(y=mid).mean()),
        "centroid_hz": float(librosa.feature.spectral_centroid(y=mid, sr=SAMPLE_RATE).mean()),
    }


def _ratio_db(one: Float, other: Float) -> float:
    return float(10 * np.log10((np.mean(one**2) + 1e-9) / (np.mean(other**2) + 1e-9)))


def _above(channel: Float, cutoff_hz: float) -> Float:
    spectrum = np.fft.rfft(channel)
    spectrum[: int(cutoff_hz * len(channel) / SAMPLE_RATE)] = 0
    return np.fft.irfft(spectrum, len(channel))
