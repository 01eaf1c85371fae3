"""What is heard behind the music: a record's dust, tape, rain, a room, wind, a city far off. In: noise; out: sound.

Every kind is a band of noise that may drift and swell, and grains that strike a resonator: one kernel and a table.
Remembers in one AMBIENCE record a kind. Called inside the slot kernel, only for the kinds that are to be heard.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.effects.lines import ANTI_DENORMAL, turn
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.oscillators import NOISE_SCALE, TAU, next_noise, sine
from engine.synth.targets import AMBIENCES, NUM_AMBIENCES

_TABLE = {
    # band's ends and level, drift in octaves and its Hz, swell and its Hz; grains a second, Hz and octaves, ring, level
    "vinyl": (25.0, 2800.0, 0.5, 0.0, 0.0, 0.25, 0.55, 5.0, 3200.0, 1.0, 0.00035, 3.5),
    "tape": (1800.0, 12000.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1000.0, 0.0, 0.001, 0.0),
    "rain": (900.0, 6500.0, 0.8, 0.3, 0.07, 0.25, 0.11, 38.0, 2600.0, 1.3, 0.004, 1.1),
    "room": (30.0, 240.0, 4.0, 0.0, 0.0, 0.15, 0.09, 0.0, 1000.0, 0.0, 0.001, 0.0),
    "wind": (220.0, 520.0, 4.0, 0.9, 0.06, 0.7, 0.13, 0.0, 1000.0, 0.0, 0.001, 0.0),
    "city": (40.0, 380.0, 4.0, 0.5, 0.031, 0.6, 0.047, 0.15, 700.0, 0.6, 0.35, 0.5),
}
_NUMBERS = np.array([_TABLE[name] for name in AMBIENCES])
assert _NUMBERS.shape[0] == NUM_AMBIENCES
(_BOTTOM_HZ, _TOP_HZ, _BAND, _DRIFT, _DRIFT_HZ, _SWELL, _SWELL_HZ, _GRAINS, _GRAIN_HZ, _GRAIN_OCTAVES, _RING_S,
 _GRAIN) = range(12)  # fmt: skip
AUDIBLE = 1e-4
"""-80 dB; a quieter ambience costs nothing."""


AMBIENCE = np.dtype(
    [
        ("noise", np.int64),  # xorshift32 state
        ("low", np.float64, (CHANNELS,)),  # low-passes around the band of noise
        ("high", np.float64, (CHANNELS,)),
        ("ring", np.float64, (2,)),  # the resonator that a drop or a grain of dust strikes
        ("turn_cosine", np.float64),
        ("strike_left", np.float64),
        ("strike_right", np.float64),
    ]
)


def new_ambience(seed: int) -> npt.NDArray[np.void]:
    """A record of every kind, each with noise of its own."""
    ambience = np.zeros(NUM_AMBIENCES, AMBIENCE)
    ambience["noise"] = 1 + (seed + 7919 * np.arange(NUM_AMBIENCES)) % 0xFFFF_FFFE
    return ambience


@kernel
def _add_grains(memory: Record, kind: int, bus: np.ndarray, level: float, num_frames: int) -> None:
    """Drops or dust: at random moments a resonator is struck, now higher, now lower, each time from another side."""
    seldom = 4294967296.0 * _NUMBERS[kind, _GRAINS] / SAMPLE_RATE
    keep = math.exp(-1.0 / (_NUMBERS[kind, _RING_S] * SAMPLE_RATE))
    noise, one, two = memory.noise, memory.ring[0], memory.ring[1]
    cosine, left, right = memory.turn_cosine, memory.strike_left, memory.strike_right
    for i in range(num_frames):
        noise = next_noise(noise)
        strike = 0.0
        if noise < seldom:
            # Few are loud: the cube of an even distribution.
            chance = noise / seldom
            strike = 0.06 + chance * chance * chance
            noise = next_noise(noise)
            octaves = _NUMBERS[kind, _GRAIN_OCTAVES] * (noise * NOISE_SCALE - 1.0)
            cosine = 2.0 * keep * math.cos(TAU * _NUMBERS[kind, _GRAIN_HZ] * 2.0**octaves / SAMPLE_RATE)
            noise = next_noise(noise)
            side = 0.7 * (noise * NOISE_SCALE - 1.0)
            left, right = 1.0 + side, 1.0 - side
        now = strike + cosine * one - keep * keep * two
        one, two = now, one
        value = level * (now - keep * two)
        bus[0, i] += left * value
        bus[1, i] += right * value
    memory.noise, memory.ring[0], memory.ring[1] = noise, one + ANTI_DENORMAL, two
    memory.turn_cosine, memory.strike_left, memory.strike_right = cosine, left, right


@kernel
def add_ambience(
    memory: Record, kind: int, white: np.ndarray, bus: np.ndarray, level: float, frame: int, num_frames: int
) -> None:
    """Add one kind, `level` linear, to `bus` [2, CONTROL_FRAMES]; `white` [2, CONTROL_FRAMES] is white noise."""
    base = frame - frame % CONTROL_FRAMES
    numbers = _NUMBERS[kind]
    octaves = numbers[_DRIFT] * (
        0.6 * sine(turn(base, numbers[_DRIFT_HZ])) + 0.4 * sine(turn(base, 2.7 * numbers[_DRIFT_HZ]))
    )
    swell = 1.0 + numbers[_SWELL] * (
        0.6 * sine(turn(base, numbers[_SWELL_HZ])) + 0.4 * sine(turn(base, 1.9 * numbers[_SWELL_HZ]))
    )
    bend = 2.0**octaves
    top_keep = math.exp(-TAU * min(numbers[_TOP_HZ] * bend, 16_000.0) / SAMPLE_RATE)
    bottom_keep = math.exp(-TAU * numbers[_BOTTOM_HZ] * bend / SAMPLE_RATE)
    gain = level * numbers[_BAND] * swell
    high_left, high_right, low_left, low_right = memory.high[0], memory.high[1], memory.low[0], memory.low[1]
    for i in range(num_frames):
        high_left = top_keep * high_left + (1.0 - top_keep) * white[0, i]
        high_right = top_keep * high_right + (1.0 - top_keep) * white[1, i]
        low_left = bottom_keep * low_left + (1.0 - bottom_keep) * high_left
        low_right = bottom_keep * low_right + (1.0 - bottom_keep) * high_right
        bus[0, i] += gain * (high_left - low_left)
        bus[1, i] += gain * (high_right - low_right)
    memory.high[0], memory.high[1], memory.low[0], memory.low[1] = high_left, high_right, low_left, low_right
    if numbers[_GRAINS] > 0.0:
        _add_grains(memory, kind, bus, level * numbers[_GRAIN], num_frames)
