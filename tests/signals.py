"""Signals made in code, and what can be measured on a signal. Arrays are float [frames, channels] at 48 kHz."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyloudnorm
from scipy.signal import resample_poly

from engine.audio import SAMPLE_RATE

Signal = npt.NDArray[np.floating]


def sine(frequency_hz: float, seconds: float, level: float = 0.25, phase: float = 0.0) -> npt.NDArray[np.float32]:
    """The same sine on both channels, peak `level`."""
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = level * np.sin(2 * np.pi * frequency_hz * time_s + phase)
    return np.repeat(wave[:, None], 2, axis=1).astype(np.float32)


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> npt.NDArray[np.float32]:
    """White noise, independent channels, standard deviation `level`."""
    shape = (round(seconds * SAMPLE_RATE), 2)
    return (level * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def rms_db(signal: Signal) -> float:
    return float(10 * np.log10(np.mean(np.square(signal, dtype=np.float64)) + 1e-20))


def true_peak_db(signal: Signal) -> float:
    """Peak of the signal at eight times the rate."""
    return float(20 * np.log10(np.abs(resample_poly(signal.astype(np.float64), 8, 1, axis=0)).max() + 1e-20))


def lufs(signal: Signal) -> float:
    """Integrated loudness, ITU-R BS.1770-4."""
    return float(pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(signal.astype(np.float64)))


def centroid_hz(signal: Signal) -> float:
    """Centre of gravity of the magnitude spectrum of the mono sum."""
    spectrum = np.abs(np.fft.rfft(signal.mean(axis=1) * np.hanning(len(signal))))
    return float((np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE) * spectrum).sum() / spectrum.sum())
