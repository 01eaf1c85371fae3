"""Sources keep to their pitch and fold little."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from engine.audio import SAMPLE_RATE
from engine.synth.oscillators import PULSE, SAW, add_wave, count_harmonics, sine
from engine.synth.sound import SOUND
from engine.synth.synth import Synth
from tests.synth.music import intent


@njit
def wave_of(wave: int, hz: float) -> np.ndarray:
    """One second, [2, SAMPLE_RATE]."""
    work = np.zeros((2, SAMPLE_RATE))
    increment = hz / SAMPLE_RATE
    add_wave(work, SAMPLE_RATE, wave, 0.1, increment, count_harmonics(increment), 0.3, 1.0, 1.0)
    return work


@njit
def sines_of(phases: np.ndarray) -> np.ndarray:
    return np.array([sine(phase) for phase in phases])


def spectrum_db(wave: np.ndarray) -> np.ndarray:
    size = np.abs(np.fft.rfft(wave * np.blackman(len(wave))))
    return 20 * np.log10(size / size.max() + 1e-12)


@pytest.mark.parametrize("wave", [SAW, PULSE])
@pytest.mark.parametrize(
    ("hz", "limit_db"), [(523.0, -65.0), (1046.0, -60.0), (1975.0, -55.0), (2093.0, -90.0), (4186.0, -90.0)]
)
def test_aliases_are_inaudible(wave: int, hz: float, limit_db: float) -> None:
    levels = spectrum_db(wave_of(wave, hz)[0])
    bins = np.arange(len(levels))
    is_harmonic = np.abs((bins + hz / 2) % hz - hz / 2) < 20
    audible = bins < 16_000
    assert levels[~is_harmonic & audible].max() < limit_db


def test_sine_is_exact_enough() -> None:
    phases = np.linspace(0, 1, 1001)[:-1]
    assert np.abs(sines_of(phases) - np.sin(2 * np.pi * phases)).max() < 4e-6


@pytest.mark.parametrize("style", ["jazz", "acoustic", "guofeng", "chiptune", "upbeat", "ambient"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("pitch", [45, 69])
def test_notes_are_in_tune(style: str, seed: int, pitch: int) -> None:
    synth = Synth(1)
    synth.open(0, seed)
    synth.play(0, np.array([(0, 60_000, 2, pitch, 90)], SOUND))
    _, stems = synth.render_stems([0], lambda slot, frame: intent(style), 60_000)
    wave = stems[0, 2].mean(axis=0)[12_000:]
    size = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 2**20))
    hz = 440 * 2 ** ((pitch - 69) / 12)
    bins = np.fft.rfftfreq(2**20, 1 / SAMPLE_RATE)
    near = (bins > hz * 0.97) & (bins < hz * 1.03)
    found = bins[near][size[near].argmax()]
    # A pad's voices are up to 15 cents apart, and the room moves a little.
    assert abs(1200 * np.log2(found / hz)) < 18
