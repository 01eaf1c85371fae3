"""The chip steps sixty times a second, and its shift register has the lengths of the real one."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from engine.audio import SAMPLE_RATE
from engine.synth.patching.patch import PATCH
from engine.synth.sources.chip import TICK_FRAMES, add_chip_noise, next_chip_noise, volume
from engine.synth.voices import VOICE
from tests.synth.test_ensemble import dry


@njit
def period_of(is_short: bool) -> int:
    register, steps = next_chip_noise(1, is_short), 1
    while register != 1:
        register, steps = next_chip_noise(register, is_short), steps + 1
    return steps


@njit
def noise_of(clock_hz: float, is_short: bool) -> np.ndarray:
    row = np.zeros(SAMPLE_RATE)
    add_chip_noise(row, 1, 1.0, clock_hz, is_short, 1.0, 0.0, 0)
    return row


@njit
def volumes_of(voice: np.ndarray, patch: np.ndarray, num_frames: int) -> np.ndarray:
    volumes = np.zeros(num_frames)
    for frame in range(num_frames):
        volumes[frame] = volume(voice[0], patch[0], frame)
    return volumes


@pytest.mark.parametrize(("is_short", "steps"), [(False, 32_767), (True, 93)])
def test_the_shift_register_comes_round(is_short: bool, steps: int) -> None:
    assert period_of(is_short) == steps


def test_short_noise_is_a_tone_and_long_noise_is_not() -> None:
    sound = noise_of(93 * 440.0, True)
    assert abs(sound.mean()) < 1e-3
    size = np.abs(np.fft.rfft(sound))
    size[:20] = 0
    harmonics = size[440 : 440 * 30 : 440]
    assert (harmonics**2).sum() > 0.95 * (size[: 440 * 30] ** 2).sum()
    long = np.abs(np.fft.rfft(noise_of(93 * 440.0, False)))[100:8000]
    assert long.max() < 6 * np.median(long)


def test_volume_goes_down_in_sixteenths_at_ticks() -> None:
    voice, patch = np.zeros(1, VOICE), np.zeros(1, PATCH)
    voice["velocity"], voice["onset"], patch["volume_decay_s"], patch["volume_sustain"] = 1.0, 100, 0.5, 0.2
    volumes = volumes_of(voice, patch, SAMPLE_RATE)
    assert np.allclose(15 * volumes, np.rint(15 * volumes))
    changes = np.flatnonzero(np.diff(volumes)) + 1
    assert len(changes) == 12
    assert not ((changes - 100) % TICK_FRAMES).any()


def test_an_arpeggio_changes_octave_every_two_ticks() -> None:
    sound = dry("chip_octaves", 69, seconds=0.5)[0]
    heard = []
    for start in range(0, 12 * TICK_FRAMES, 2 * TICK_FRAMES):
        middle = sound[start + 200 : start + 2 * TICK_FRAMES - 200]
        size = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 2**16))
        heard.append(bool(size[int(440 / SAMPLE_RATE * 2**16)] > size.max() / 4))
    assert heard == [True, False, True, False, True, False]
