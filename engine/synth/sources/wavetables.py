"""Single cycles of the classic waves, band-limited for every half octave. In: nothing; out: one flat float32 array.

Built once at load with numpy; remembers nothing, any thread. `wave_start` tells the kernels where a wave's table is.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel

WAVES = (
    "sine", "pulse", "triangle", "saw", "organ", "vocal", "digital", "hollow", "stepped_triangle", "stepped_saw",
)  # fmt: skip
"""A sine is a polynomial and a pulse the difference of two saws; the others have tables, in this order."""
SINE, PULSE, TRIANGLE, SAW = range(4)

WAVE_FRAMES = 2048
"""Linear interpolation leaves the image of harmonic k at (k / WAVE_FRAMES)² of it: -104 dB of the fifth."""
NUM_MIPS = 18
_HALF_OCTAVE = 0.5 * math.log(2.0)
LOWEST_INCREMENT = 34.0 / SAMPLE_RATE
BAND = 0.47
"""The highest harmonic, in cycles per frame, of the highest note of a table; detuning and vibrato take it to 0.5."""


def _harmonics(wave: str, count: int) -> npt.NDArray[np.complex128]:
    """Fourier coefficients 0 … count of one cycle."""
    k = np.arange(1, count + 1)
    sines = np.zeros(count)
    if wave == "triangle":
        sines = np.where(k % 2 == 1, 8 / np.pi**2 / k**2 * np.where(k % 4 == 1, 1, -1), 0)
    elif wave == "saw":
        sines = -2 / np.pi / k
    elif wave == "organ":
        drawbars = {1: 1.0, 2: 0.75, 3: 0.5, 4: 0.5, 6: 0.22, 8: 0.28}
        sines[[harmonic - 1 for harmonic in drawbars]] = 0.6 * np.array(list(drawbars.values()))
    elif wave == "vocal":
        # Two formants that go with the pitch, as in the wavetable synthesisers of the eighties.
        sines = (0.35 + 1.6 * np.exp(-0.5 * ((k - 4) / 1.1) ** 2) + 0.9 * np.exp(-0.5 * ((k - 11) / 1.8) ** 2)) / k**0.9
    elif wave == "digital":
        sines = np.where(k % 3 == 0, 0.1, 0.55) / k**0.75 * np.cos(2.4 * k)
    elif wave == "hollow":
        sines = np.where(k % 2 == 1, 1.0, 0.06) / k**1.35
    else:
        steps = _STEPS[wave]
        spectrum = np.fft.fft(steps) / len(steps)
        hold = np.sinc(k / len(steps)) * np.exp(-1j * np.pi * k / len(steps))
        return np.concatenate([[0], spectrum[k % len(steps)] * hold])
    return np.concatenate([[0], -0.5j * sines])


_STEPS = {
    "stepped_triangle": np.concatenate([np.arange(8, 16), np.arange(15, -1, -1), np.arange(0, 8)]) / 7.5 - 1.0,
    "stepped_saw": np.arange(14) // 2 / 3.0 - 1.0,
}
"""Four bits in 32 steps, as the Famicom's third channel; seven levels, as the saw of a VRC6 cartridge."""


def build_waves() -> npt.NDArray[np.float32]:
    """All tables one after another, each WAVE_FRAMES and its first frame again: [(len(WAVES) - 2) * NUM_MIPS, …]."""
    tables = np.empty((len(WAVES) - 2, NUM_MIPS, WAVE_FRAMES + 1), np.float32)
    counts = [int(BAND / (LOWEST_INCREMENT * 2.0 ** (mip / 2))) for mip in range(NUM_MIPS)]
    for table, wave in zip(tables, WAVES[2:], strict=True):
        coefficients = _harmonics(wave, counts[0])
        for row, count in zip(table, counts, strict=True):
            row[:-1] = WAVE_FRAMES * np.fft.irfft(coefficients[: count + 1], WAVE_FRAMES)
            row[-1] = row[0]
    return tables.reshape(-1)


@kernel
def wave_start(wave: int, increment: float) -> int:
    """Where the table begins from which `wave`, TRIANGLE or later, is read at up to `increment` cycles a frame."""
    mip = 0
    if increment > LOWEST_INCREMENT:
        mip = min(int(math.ceil(math.log(increment / LOWEST_INCREMENT) / _HALF_OCTAVE)), NUM_MIPS - 1)
    return ((wave - TRIANGLE) * NUM_MIPS + mip) * (WAVE_FRAMES + 1)
