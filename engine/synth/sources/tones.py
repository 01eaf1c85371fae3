"""Tones: how harmonics and noise of an instrument go, measured note by note. In: a file; out: `Tone`, float32 tables.

`engine/training/instruments` makes the files. Read at load with numpy; any thread.

A tone has notes, evenly spaced keys by one or more dynamics, and of each note rows of CHANNELS levels in nepers at
TIMES_S after its onset; one row more says how far each level wanders of itself, as a standard deviation. Levels are
beside the note as a whole: where it holds, the squares of its harmonics' amplitudes add up to 1.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load

from engine.audio import SAMPLE_RATE

FIRST_S, POINTS_PER_DOUBLING = 0.02, 2
NUM_TIMES = 16
TIMES_S = FIRST_S * (2.0 ** (np.arange(NUM_TIMES) / POINTS_PER_DOUBLING) - 1.0)
"""When a note is measured: every 8 ms at first, at last every second."""

NUM_SINGLE = 32
"""Harmonics that have a channel each; those above share one a third of an octave."""
NUM_LEVELS = 36
MAX_HARMONICS = 80
_NUMBERS = np.arange(1.0, MAX_HARMONICS + 1.0)
CHANNEL_OF = np.where(_NUMBERS <= NUM_SINGLE, _NUMBERS - 1, NUM_SINGLE - 1 + 3 * np.log2(_NUMBERS / NUM_SINGLE))
"""Where among the channels a harmonic's level stands, from the first; between two for those above NUM_SINGLE."""

BANDS_HZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0)
"""Middles of the octaves of noise; all below the first and above the last is theirs too."""
NUM_BANDS = len(BANDS_HZ)
CHANNELS = NUM_LEVELS + NUM_BANDS
ROWS = NUM_TIMES + 1
NOISE_FRAMES = 2**14
"""Of a band's noise, which is read round and round."""

STEP_DB, LIFE_STEP_DB = 0.75, 0.05
"""What one step of a file's whole numbers is worth, of levels and of how far they wander."""
NEPER = float(np.log(10.0) / 20.0)

SHIPPED = files("engine.synth") / "tones"
_SUFFIX = ".safetensors"


class Tone(NamedTuple):
    """One instrument's measurements."""

    levels: npt.NDArray[np.float32]  # [keys, dynamics, ROWS, CHANNELS] nepers
    lowest_key: float
    key_step: float
    holds: bool  # goes on as long as it is held; otherwise it dies away as its last two rows do


def tone_names(folder: Traversable = SHIPPED) -> tuple[str, ...]:
    return tuple(sorted(file.name.removesuffix(_SUFFIX) for file in folder.iterdir() if file.name.endswith(_SUFFIX)))


@cache
def read_tone(name: str, folder: Traversable = SHIPPED) -> Tone:
    """The tone `name` of `folder`."""
    tensors = load((folder / f"{name}{_SUFFIX}").read_bytes())
    levels = tensors["levels"].astype(np.float32) * NEPER
    levels[:, :, :NUM_TIMES] *= STEP_DB
    levels[:, :, NUM_TIMES:] *= LIFE_STEP_DB
    keys = tensors["keys"]
    assert levels.shape[2:] == (ROWS, CHANNELS) and len(levels) == len(keys), (name, levels.shape)
    step = float(keys[1] - keys[0]) if len(keys) > 1 else 1.0
    return Tone(levels, float(keys[0]), step, bool(tensors["holds"][0]))


def steady_levels_db(name: str, key: float, dynamic: int) -> npt.NDArray[np.float64]:
    """Of the MAX_HARMONICS harmonics of a held note of the tone `name`; `dynamic` 0 is soft, 1 loud."""
    tone = read_tone(name)
    place = min(max((key - tone.lowest_key) / tone.key_step, 0.0), len(tone.levels) - 1.0)
    below, loud = min(int(place), len(tone.levels) - 2), dynamic * (tone.levels.shape[1] - 1)
    one, other = (tone.levels[index, loud, NUM_TIMES - 1, :NUM_LEVELS] / NEPER for index in (below, below + 1))
    return np.interp(CHANNEL_OF, np.arange(NUM_LEVELS), one + (place - below) * (other - one))


def band_shares(hz: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Share of the power at each frequency that each band has: [bands, …]; they add up to 1."""
    place = np.log2(np.maximum(hz, 1.0) / BANDS_HZ[0])
    bands = np.arange(NUM_BANDS).reshape(-1, *[1] * hz.ndim)
    return np.clip(1 - np.abs(np.clip(place, 0, NUM_BANDS - 1) - bands), 0, 1)


@cache
def build_noise() -> npt.NDArray[np.float32]:
    """Every band's noise, effective value 1: [NUM_BANDS * NOISE_FRAMES]."""
    hz = np.fft.rfftfreq(NOISE_FRAMES, 1 / SAMPLE_RATE)
    white = np.fft.rfft(np.random.default_rng(NOISE_FRAMES).standard_normal(NOISE_FRAMES))
    white[hz < 40.0] = 0.0
    rows = np.fft.irfft(white * np.sqrt(band_shares(hz)), NOISE_FRAMES)
    rows /= np.sqrt((rows**2).mean(axis=1, keepdims=True))
    return rows.astype(np.float32).reshape(-1)
