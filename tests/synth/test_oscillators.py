"""Sources keep to their pitch and fold little."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from benchmarks.aliasing import measure
from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.sources.analog import add_pulse
from engine.synth.sources.oscillators import add_wave, sine, whole
from engine.synth.sources.wavetables import PULSE, SAW, WAVE_FRAMES, WAVES, build_waves, wave_start
from engine.synth.synth import Synth
from tests.synth.music import intent


@njit
def wave_of(wave: int, hz: float, waves: np.ndarray) -> np.ndarray:
    """One second, [2, SAMPLE_RATE]."""
    work = np.zeros((2, SAMPLE_RATE))
    increment = hz / SAMPLE_RATE
    start = wave_start(SAW if wave == PULSE else wave, increment)
    table = waves[start : start + WAVE_FRAMES + 1]
    if wave == PULSE:
        add_pulse(work, SAMPLE_RATE, table, 0, whole(increment), 0.3, 0.0, 0, 1.0, 1.0)
    else:
        add_wave(work, SAMPLE_RATE, table, 0, whole(increment), 1.0, 1.0)
    return work


@njit
def sines_of(phases: np.ndarray) -> np.ndarray:
    return np.array([sine(phase) for phase in phases])


def spectrum_db(wave: np.ndarray) -> np.ndarray:
    size = np.abs(np.fft.rfft(wave * np.blackman(len(wave))))
    return 20 * np.log10(size / size.max() + 1e-12)


@pytest.mark.parametrize("wave", range(PULSE, len(WAVES)), ids=WAVES[PULSE:])
@pytest.mark.parametrize(("hz", "limit_db"), [(110.0, -70.0), (523.0, -85.0), (1975.0, -90.0), (4186.0, -90.0)])
def test_waves_do_not_fold(wave: int, hz: float, limit_db: float) -> None:
    levels = spectrum_db(wave_of(wave, hz, build_waves())[0])
    bins = np.arange(len(levels))
    is_harmonic = np.abs((bins + hz / 2) % hz - hz / 2) < 20
    assert levels[~is_harmonic & (bins < 16_000)].max() < limit_db


@pytest.mark.long
def test_no_oscillator_of_any_patch_folds() -> None:
    worst = measure()
    assert worst.keys() == {"additive", "analog", "fm", "ensemble", "chip"}
    assert all(level < -70.0 for level, _ in worst.values()), worst


def test_sine_is_exact_enough() -> None:
    phases = np.linspace(0, 1, 1001)[:-1]
    assert np.abs(sines_of(phases) - np.sin(2 * np.pi * phases)).max() < 4e-6


@pytest.mark.parametrize("style", ["jazz", "acoustic", "guofeng", "synthwave", "upbeat", "ambient"])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("pitch", [45, 69])
def test_notes_are_in_tune(style: str, seed: int, pitch: int) -> None:
    synth = Synth(1)
    synth.open(0, seed)
    synth.play(0, as_sounds([(0, 60_000, 2, pitch, 90)]))
    _, stems = synth.render_stems([0], lambda slot, frame: intent(style), 60_000)
    wave = stems[0, 2].mean(axis=0)[12_000:]
    size = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 2**20))
    hz = 440 * 2 ** ((pitch - 69) / 12)
    bins = np.fft.rfftfreq(2**20, 1 / SAMPLE_RATE)
    near = (bins > hz * 0.97) & (bins < hz * 1.03)
    found = bins[near][size[near].argmax()]
    # A pad's voices are up to 15 cents apart, and the room moves a little.
    assert abs(1200 * np.log2(found / hz)) < 18
