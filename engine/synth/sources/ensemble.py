"""Many players as one long table. In: an ensemble patch; out: samples in a voice's work rows.

Two heads read the pitch zone's table of `spectra`, one more to the left and one more to the right. They are a whole
number of the fundamental's cycles apart, so the steady middle of every partial is the same in both, and mono keeps it,
while the bands around it, the differences between the players, are independent.
Remembers the heads' times and how loud the spectrum is.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.kind import Kind, Moment
from engine.synth.sources.oscillators import CENT, hash32, log2, sine
from engine.synth.sources.spectra import GUARD_FRAMES, LONG_FRAMES

_FRACTION_BITS = 24
_UNIT = 2**_FRACTION_BITS
_FRACTION = 1.0 / _UNIT
_MOST_FRAMES = LONG_FRAMES - 1
_ONE, _TWO, _HALF, _SIXTH = np.float32(1), np.float32(2), np.float32(1 / 2), np.float32(1 / 6)
STAY_FRAMES, FADE_FRAMES = 320 * CONTROL_FRAMES, 90 * CONTROL_FRAMES
HEAD_RATES_HZ = (0.31, 0.47)
"""How often each head's pitch wanders, `detune_cents` to either side."""


@kernel
def _read(
    row: np.ndarray, table: np.ndarray, loud: np.ndarray, dynamic: float, slope: float, into: int, at: int,
    step: int, mask: int,
) -> None:  # fmt: skip
    """Fill `row` from `table` or, `dynamic` of the way, from `loud`, by cubic Lagrange interpolation.

    `dynamic` was true `into` frames ago and has grown by `slope` every frame since.
    Both are [frames + 3], the first three frames again at the end. `at` and `step` are in 2^-24 frames, `mask` is the
    last such.
    """
    is_single = dynamic == 0.0 and slope == 0.0
    for i in range(len(row)):
        # The mask tells the compiler that it is not negative. In single precision nothing has to be converted.
        k = (at >> _FRACTION_BITS) & _MOST_FRAMES
        t = np.float32((at & (_UNIT - 1)) * _FRACTION)
        a, b, c, d = table[k], table[k + 1], table[k + 2], table[k + 3]
        if not is_single:
            share = np.float32(dynamic + slope * (into + i))
            a, b = a + share * (loud[k] - a), b + share * (loud[k + 1] - b)
            c, d = c + share * (loud[k + 2] - c), d + share * (loud[k + 3] - d)
        more, less, most = t + _ONE, t - _ONE, t - _TWO
        row[i] = _HALF * more * most * (less * b - t * c) + _SIXTH * t * less * (more * d - most * a)
        at = (at + step) & mask


@kernel
def aim_ensemble(voice: Record, patch: Record, moment: Moment) -> None:
    """Set how loud the players sound, whatever their level, at the next control point."""
    own, energy, brightness = voice.ensemble, moment.energy, moment.brightness
    dynamic = patch.dynamics * (1.6 * voice.velocity - 0.75 + 0.7 * (energy - 0.5) + 0.6 * (brightness - 0.5))
    dynamic = min(max(dynamic + patch.swell * voice.filter_level, 0.0), 1.0)
    is_first = moment.frame == voice.onset
    own.dynamic = dynamic if is_first else own.dynamic_next
    own.dynamic_next = dynamic
    if is_first:
        own.time[:] = 0.0
        own.seed = hash32(voice.noise, 0)


@kernel
def _random_turn(seed: int, stay: int) -> float:
    return hash32(seed, stay) / 4294967296.0


@kernel
def _start_of(seed: int, zone: Record, head: int, stay: int) -> int:
    """Where the head's `stay`th stay begins in the table: at random, but whole cycles from the others.

    Near one another in the table two readers would be a flanger. So the heads are half a table apart, even stays are
    anywhere, and odd ones an eighth of the table or more from those before and after, of both heads.
    """
    turn = _random_turn(seed, stay)
    if stay % 2:
        before, after = _random_turn(seed, stay - 1) % 0.5, _random_turn(seed, stay + 1) % 0.5
        middle = 0.5 * (before + after) + (0.25 if abs(before - after) < 0.25 else 0.0)
        turn = middle + (0.5 if turn < 0.5 else 0.0)
    turn += 0.5 * head
    num_cycles = int(zone.increment * zone.num_frames + 0.5)
    return int(math.floor(turn * num_cycles) * _UNIT * (zone.num_frames / num_cycles))


@kernel
def _read_head(
    voice: Record, zone: Record, waves: np.ndarray, row: np.ndarray, spare: np.ndarray, head: int, rate: float,
    frame: int,
) -> None:  # fmt: skip
    """Fill `row` with a head's next frames, `rate` table frames each; `spare` is scratch, as long.

    A table comes round after a second, which the ear would notice: once in every STAY_FRAMES a head fades to
    another part of it.
    """
    own, frames, into = voice.ensemble, zone.num_frames, frame % CONTROL_FRAMES
    mask = frames * _UNIT - 1
    table = waves[zone.soft : zone.soft + frames + GUARD_FRAMES]
    loud = waves[zone.loud : zone.loud + frames + GUARD_FRAMES]
    dynamic, slope = own.dynamic, (own.dynamic_next - own.dynamic) / CONTROL_FRAMES
    if zone.loud == zone.soft:
        dynamic, slope = 0.0, 0.0
    seed = own.seed
    elapsed = frame - into + CONTROL_FRAMES * (seed % 1024)
    stay, since = elapsed // STAY_FRAMES, elapsed % STAY_FRAMES
    # Not at regular times, nor both heads at once, or the fades would be heard as a pulse.
    wait = hash32(seed + 104_729 * head, stay) % ((STAY_FRAMES - FADE_FRAMES) // CONTROL_FRAMES)
    faded = since - CONTROL_FRAMES * wait
    time, step = int(own.time[head] * _UNIT), int(rate * _UNIT)
    at = (time + _start_of(seed, zone, head, stay if faded < FADE_FRAMES else stay + 1)) & mask
    _read(row, table, loud, dynamic, slope, into, at, step, mask)
    if 0 <= faded < FADE_FRAMES:
        at = (time + _start_of(seed, zone, head, stay + 1)) & mask
        _read(spare, table, loud, dynamic, slope, into, at, step, mask)
        for i in range(len(row)):
            share = (faded + into + i) * (1.0 / FADE_FRAMES)
            # As loud all the way, whatever part of the sound both have in common.
            gain = 1.0 / math.sqrt(1.0 - 2.0 * (1.0 - zone.agreement) * share * (1.0 - share))
            row[i] = gain * (row[i] + share * (spare[i] - row[i]))
    own.time[head] = ((time + step * len(row)) & mask) * _FRACTION


@kernel
def render_ensemble(
    voice: Record, patch: Record, waves: np.ndarray, zones: np.ndarray, work: np.ndarray, frame: int, num_frames: int
) -> None:
    """Write both rows from the tables of the note's zone."""
    key = 69.0 + 12.0 * log2(voice.hz / 440.0)
    index = int((key - patch.zone_key + 0.01) / patch.zone_semitones)
    zone = zones[patch.first_zone + min(max(index, 0), patch.num_zones - 1)]
    base = frame - frame % CONTROL_FRAMES
    left, right, spare = work[0, :num_frames], work[1, :num_frames], work[2, :num_frames]
    for head in range(2):
        turn = base / SAMPLE_RATE * HEAD_RATES_HZ[head] + voice.wander
        apart = patch.detune_cents * sine(turn - math.floor(turn))
        rate = voice.increment / zone.increment * (1.0 + CENT * apart)
        _read_head(voice, zone, waves, left if head == 0 else right, spare, head, rate, frame)
    near, far = 1.0 + patch.width, 1.0 - patch.width
    for i in range(num_frames):
        one, two = left[i], right[i]
        left[i] = near * one + far * two
        right[i] = far * one + near * two


KIND = Kind(
    "ensemble", render_ensemble, aim=aim_ensemble,
    memory=(
        ("seed", np.int64),  # decides where the heads go
        ("time", np.float64, (2,)),  # frames of the table that each head has gone
        ("dynamic", np.float64),  # soft 0 … 1 loud, at the last control point
        ("dynamic_next", np.float64),  # and at the next
    ),
    numbers={"detune_cents": (0, 50, 6), "width": (0, 1, 0.7), "dynamics": (0, 1, 1), "swell": (0, 1, 0)},
    has_spectrum=True,
)  # fmt: skip
