"""Many players as one long table. In: an ensemble patch; out: samples in a voice's work rows.

Two heads read the pitch zone's table of `spectra`, one more to the left and one more to the right. They are a whole
number of the fundamental's cycles apart, so the steady middle of every partial is the same in both, and mono keeps it,
while the bands around it, the differences between the players, are independent.
Remembers the heads' places in VOICE.phase and the loudness of the spectrum in VOICE.dynamic.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.oscillators import CENT, hash32, log2, sine
from engine.synth.spectra import LONG_FRAMES
from engine.synth.state import CONTROL_FRAMES, WANDER

_FRACTION_BITS = 24
_UNIT = 2**_FRACTION_BITS
_FRACTION = 1.0 / _UNIT
_MOST_FRAMES = LONG_FRAMES - 1
_ONE, _TWO, _HALF, _SIXTH = np.float32(1), np.float32(2), np.float32(1 / 2), np.float32(1 / 6)
HEAD_RATES_HZ = (0.31, 0.47)
"""How often each head's pitch wanders, `detune_cents` to either side."""


@kernel
def _read(
    row: np.ndarray, table: np.ndarray, loud: np.ndarray, dynamic: float, slope: float, into: int, place: int,
    step: int, mask: int,
) -> None:  # fmt: skip
    """Fill `row` from `table` or, `dynamic` of the way, from `loud`, by cubic Lagrange interpolation.

    `dynamic` was true `into` frames ago and has grown by `slope` every frame since.
    Both are [frames + 3], the first three frames again at the end. `place` and `step` are in 2^-24 frames, `mask` is
    the last such place.
    """
    is_single = dynamic == 0.0 and slope == 0.0
    for i in range(len(row)):
        # The mask tells the compiler that it is not negative. In single precision nothing has to be converted.
        at = (place >> _FRACTION_BITS) & _MOST_FRAMES
        t = np.float32((place & (_UNIT - 1)) * _FRACTION)
        a, b, c, d = table[at], table[at + 1], table[at + 2], table[at + 3]
        if not is_single:
            share = np.float32(dynamic + slope * (into + i))
            a, b = a + share * (loud[at] - a), b + share * (loud[at + 1] - b)
            c, d = c + share * (loud[at + 2] - c), d + share * (loud[at + 3] - d)
        more, less, most = t + _ONE, t - _ONE, t - _TWO
        row[i] = _HALF * more * most * (less * b - t * c) + _SIXTH * t * less * (more * d - most * a)
        place = (place + step) & mask


@kernel
def _aim_dynamic(voice: np.void, patch: np.void, brightness: float, energy: float) -> None:
    """Set how loud the players sound, whatever their level, at the next control point."""
    dynamic = patch.dynamics * (1.6 * voice.velocity - 0.75 + 0.7 * (energy - 0.5) + 0.6 * (brightness - 0.5))
    dynamic = min(max(dynamic + patch.swell * voice.filter_level, 0.0), 1.0)
    voice.dynamic[0] = voice.dynamic[1]
    voice.dynamic[1] = dynamic


@kernel
def add_ensemble(
    voice: np.void, patch: np.void, zones: np.ndarray, tables: np.ndarray, work: np.ndarray, frame: int,
    num_frames: int, brightness: float, energy: float,
) -> None:  # fmt: skip
    """Write both rows from the tables of the note's zone; `zones` are of dtype ZONE, `tables` is the flat array."""
    key = 69.0 + 12.0 * log2(voice.hz / 440.0)
    index = int((key - patch.zone_key + 0.01) / patch.zone_semitones)
    zone = zones[patch.first_zone + min(max(index, 0), patch.num_zones - 1)]
    frames = zone.num_frames
    into = frame % CONTROL_FRAMES
    base = frame - into
    if into == 0 or frame == voice.onset:
        _aim_dynamic(voice, patch, brightness, energy)
    if frame == voice.onset:
        voice.dynamic[0] = voice.dynamic[1]
        voice.phase[0] = hash32(voice.noise, 0) % frames
        cycle_frames = 1.0 / zone.increment
        voice.phase[1] = (voice.phase[0] + math.floor(0.4 * frames / cycle_frames) * cycle_frames) % frames
    slope = (voice.dynamic[1] - voice.dynamic[0]) / CONTROL_FRAMES
    dynamic = voice.dynamic[0]
    if zone.loud == zone.soft:
        dynamic, slope = 0.0, 0.0
    table, loud = tables[zone.soft : zone.soft + frames + 3], tables[zone.loud : zone.loud + frames + 3]
    for head in range(2):
        turn = base / SAMPLE_RATE * HEAD_RATES_HZ[head] + voice.phase[WANDER]
        apart = patch.detune_cents * sine(turn - math.floor(turn))
        rate = voice.increment / zone.increment * (1.0 + CENT * apart)
        place, step = int(voice.phase[head] * _UNIT), int(rate * _UNIT)
        mask = frames * _UNIT - 1
        _read(work[head, :num_frames], table, loud, dynamic, slope, into, place, step, mask)
        voice.phase[head] = ((place + step * num_frames) & mask) * _FRACTION
    near, far = 1.0 + patch.width, 1.0 - patch.width
    left, right = work[0, :num_frames], work[1, :num_frames]
    for i in range(num_frames):
        one, two = left[i], right[i]
        left[i] = near * one + far * two
        right[i] = far * one + near * two
