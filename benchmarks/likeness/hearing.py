"""What is heard of a clip. In: sound; out: embeddings of `ears`, third octaves and plain figures. Remembers nothing.

All clips are brought to one loudness first, whoever made them: networks that tag music follow it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyloudnorm
import scipy.fft
import soxr

from benchmarks.likeness.ears import EAR_RATE, ears
from engine.audio import SAMPLE_RATE

Float = npt.NDArray[np.float32]
CLIP_S = 30
WINDOW = 187 * 256
"""Samples of three seconds, as musicnn hears them at EAR_RATE. It is asked about every other: neighbours are alike, and
it takes more time than all else."""
LOUDNESS_LUFS = -20.0
BANDS_HZ = tuple(float(1000 * 2 ** (k / 3)) for k in range(-15, 13))
"""Centres of third octaves, 31 Hz … 16 kHz."""
_FFT = 8192
_STEP_S = 0.4


@dataclass(frozen=True)
class Heard:
    """One clip."""

    embeddings: dict[str, Float]  # by ear: [windows, dimensions]
    bands_db: npt.NDArray[np.float64]  # [bands] power relative to that of all bands
    windows_db: npt.NDArray[np.float64]  # [windows of musicnn, bands] the same of three seconds each
    figures: dict[str, float]


def hear(clip: Float) -> Heard:
    """A clip is [2, T] at SAMPLE_RATE, not silent."""
    even = at_loudness(clip)
    mono = soxr.resample(even.mean(axis=0), SAMPLE_RATE, EAR_RATE).astype(np.float32)
    count = len(mono) // WINDOW
    windows = mono[: count * WINDOW].reshape(count, WINDOW)[::2]
    hears = ears()
    size = WINDOW * SAMPLE_RATE // EAR_RATE
    return Heard(
        {name: embed(windows.ravel() if name == "musicnn" else mono) for name, embed in hears.items()},
        third_octaves_db(even),
        np.array([third_octaves_db(even[:, size * k : size * (k + 1)]) for k in range(0, count, 2)]),
        measure(even),
    )


def at_loudness(sound: Float) -> Float:
    """`sound` [2, T] at LOUDNESS_LUFS, measured over all of it (ITU-R BS.1770-4)."""
    return (sound * 10 ** ((LOUDNESS_LUFS - loudness_lufs(sound)) / 20)).astype(np.float32)


def loudness_lufs(sound: Float) -> float:
    """Integrated loudness of [C, T] (ITU-R BS.1770-4)."""
    return float(pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(sound.T))


def is_audible(sound: Float) -> bool:
    return bool(np.sqrt(np.mean(sound**2)) > 1e-3)


def _power_spectrum(sound: Float) -> Float:
    """Mean power of both channels: [_FFT / 2 + 1]."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, _FFT, axis=-1)[:, :: _FFT // 2]
    return (np.abs(scipy.fft.rfft(frames * np.hanning(_FFT).astype(np.float32))) ** 2).mean(axis=(0, 1))


def third_octaves_db(sound: Float) -> npt.NDArray[np.float64]:
    """Power in each of BANDS_HZ relative to that of all, in dB; nothing is -90 dB."""
    power, hz = _power_spectrum(sound), np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE)
    bands = np.array([power[(hz >= c * 2 ** (-1 / 6)) & (hz < c * 2 ** (1 / 6))].sum() for c in BANDS_HZ])
    return np.maximum(10 * np.log10(bands / (bands.sum() + 1e-12) + 1e-12), -90.0)


def measure(sound: Float) -> dict[str, float]:
    """Figures of one clip [2, T]."""
    mid, side = (sound[0] + sound[1]) / 2, (sound[0] - sound[1]) / 2
    levels_db = step_levels_db(sound, _STEP_S)
    return {
        "crest_db": float(20 * np.log10(np.abs(sound).max() / np.sqrt(np.mean(sound**2)))),
        "spread_db": float(np.percentile(levels_db, 95) - np.percentile(levels_db, 10)),
        "width_db": _ratio_db(side, mid),
        "treble_width_db": _ratio_db(_above(side, 2000.0), _above(mid, 2000.0)),
        "bass_width_db": _ratio_db(side - _above(side, 200.0), mid - _above(mid, 200.0)),
        "correlation": float(np.mean(sound[0] * sound[1]) / (np.sqrt(np.prod(np.mean(sound**2, axis=1))) + 1e-12)),
        "mono_loss_db": loudness_lufs(sound) - loudness_lufs(np.stack([mid, mid])),
    }


def step_levels_db(sound: Float, step_s: float) -> npt.NDArray[np.float64]:
    """Mean power of both channels of [2, T] in steps of `step_s`, in dB: [steps]."""
    size = int(step_s * SAMPLE_RATE)
    steps = sound[:, : sound.shape[1] // size * size].reshape(2, -1, size)
    return 10 * np.log10(np.mean(steps.astype(np.float64) ** 2, axis=(0, 2)) + 1e-9)


def _ratio_db(one: Float, other: Float) -> float:
    return float(10 * np.log10((np.mean(one**2) + 1e-9) / (np.mean(other**2) + 1e-9)))


def _above(channel: Float, cutoff_hz: float) -> Float:
    spectrum = np.fft.rfft(channel)
    spectrum[: int(cutoff_hz * len(channel) / SAMPLE_RATE)] = 0
    return np.fft.irfft(spectrum, len(channel))
