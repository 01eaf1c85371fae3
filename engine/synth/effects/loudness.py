"""The loudness follower. In: the mix, and the colour of each block; out: the gain that brings the mix to a level.

Remembers a METER record. Called inside the slot kernel. It hears as a loudness meter does: K-weighted and gated. While
the mood moves it levels the last moment; once the mood has come to rest its memory grows, and what then rises and falls
is music.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.targets import C_BRIGHTNESS, C_ENERGY, C_LAYERS, C_LOUDNESS, C_PIECE, C_STYLES, NUM_COLOURS

REFERENCE_LUFS = -16.0
MIN_GAIN_DB, MAX_GAIN_DB = -14.0, 24.0
STEP_PERIODS = SAMPLE_RATE // 10 // CONTROL_FRAMES
METER_STEPS = 20
"""Steps of 100 ms that are kept one by one."""
BLOCK_STEPS = 4
"""A block of the meter is 400 ms, and a new one begins every 100 ms (BS.1770-4)."""
MOMENT_STEPS, MOMENT_GATE = 7, 0.4
"""The music as it comes: its last moment, what is 4 dB under the mean left out, so that a fading note stays one."""
HEARD_GATE = 0.1
"""What was heard, of METER_STEPS: gated as a meter does."""
CALM_STEPS, MEMORY_STEPS = 80, 200
"""So long after the mood has moved the moment alone counts; from then on the memory grows, up to 20 s."""
_CORRECTION, _MOST_CORRECTION_DB = 0.8, 4.0
"""Share of what was heard too loud or too soft that is made good, and its limit."""
_PERIOD_S = CONTROL_FRAMES / SAMPLE_RATE
_DOWN, _UP = 1.0 - math.exp(-_PERIOD_S / 0.05), 1.0 - math.exp(-_PERIOD_S / 0.3)
"""Too loud is mended sooner than too soft."""
_FIRST_STEPS = 5
_SILENCE_LUFS = -50.0
_TARGET_GLIDE = 1.0 - math.exp(-_PERIOD_S / 0.2)
"""The form moves its target in steps, from bar to bar."""
_ANCHOR_GLIDE = 1.0 - math.exp(-BLOCK_FRAMES / SAMPLE_RATE / 2.0)
"""The mood moves where it is away from what it was of late: a glide of minutes does not."""
_SOFTEST_DB = -24.0
"""A layer under it counts as muted."""


def _least_moves() -> np.ndarray:
    """By column of a colour row: from how far on the mood has moved."""
    moves = np.full(NUM_COLOURS, np.inf)
    moves[C_ENERGY], moves[C_BRIGHTNESS], moves[C_PIECE] = 0.05, 0.1, 0.5
    moves[C_LAYERS:C_STYLES], moves[C_STYLES:] = 1.0, 0.05
    return moves


_LEAST_MOVES = _least_moves()


METER = np.dtype(
    [
        ("weighting", np.float64, (CHANNELS, 4)),
        ("power", np.float64),  # K-weighted, sum over the control period so far
        ("step_periods", np.int64),  # control periods in the step so far
        ("music_power", np.float64),  # sums over them: before the follower's gain, and behind it
        ("heard_power", np.float64),
        ("num_steps", np.int64),  # since the slot began, silent ones not counted
        ("music_steps", np.float64, (METER_STEPS,)),  # rings of the last steps' mean powers
        ("heard_steps", np.float64, (METER_STEPS,)),
        ("moment_lufs", np.float64),  # of the music, before the follower's gain
        ("music_mean", np.float64),  # powers of moments, over the memory: of the music, and as it was heard
        ("heard_mean", np.float64),
        ("calm_steps", np.int64),  # since the mood moved
        ("anchor", np.float64, (NUM_COLOURS,)),  # where it was of late: a colour row
        ("target_lufs", np.float64),  # at the next control point
        ("target_lufs_before", np.float64),  # and at the last
        ("wanted_db", np.float64),  # the gain that the follower moves to
        ("gain_db", np.float64),  # its gain at the next control point
        ("gain_db_before", np.float64),  # and at the last
    ]
)


@kernel
def measure_loudness(meter: Record, mix: np.ndarray, num_frames: int) -> None:
    """Add the K-weighted power of `mix` (ITU-R BS.1770-4, annex 1, 48 kHz) to the sum of this control period."""
    w = meter.weighting
    l1, l2, l3, l4 = w[0, 0], w[0, 1], w[0, 2], w[0, 3]
    r1, r2, r3, r4 = w[1, 0], w[1, 1], w[1, 2], w[1, 3]
    power = meter.power
    left, right = mix[0, :num_frames], mix[1, :num_frames]
    for i in range(num_frames):
        x = (left[i] - 0.73248077421585 * l2) + 1.69065929318241 * l1
        y = 1.53512485958697 * x - 2.69169618940638 * l1 + 1.19839281085285 * l2
        l1, l2 = x, l1
        x = (y - 0.99007225036621 * l4) + 1.99004745483398 * l3
        weighted_left = x - 2.0 * l3 + l4
        l3, l4 = x, l3
        x = (right[i] - 0.73248077421585 * r2) + 1.69065929318241 * r1
        y = 1.53512485958697 * x - 2.69169618940638 * r1 + 1.19839281085285 * r2
        r1, r2 = x, r1
        x = (y - 0.99007225036621 * r4) + 1.99004745483398 * r3
        weighted_right = x - 2.0 * r3 + r4
        r3, r4 = x, r3
        power += weighted_left * weighted_left + weighted_right * weighted_right
    w[0, 0], w[0, 1], w[0, 2], w[0, 3] = l1, l2, l3, l4
    w[1, 0], w[1, 1], w[1, 2], w[1, 3] = r1, r2, r3, r4
    meter.power = power


@kernel
def note_mood(meter: Record, colour: np.ndarray, is_first: bool) -> None:
    """Where a block begins, see from its colour whether the mood moves."""
    is_moving = is_first
    if is_first:
        meter.target_lufs = colour[C_LOUDNESS]
    for column in range(NUM_COLOURS):
        distance = max(colour[column], _SOFTEST_DB) - meter.anchor[column]
        is_moving = is_moving or abs(distance) > _LEAST_MOVES[column]
        meter.anchor[column] += distance if is_first else _ANCHOR_GLIDE * distance
    if is_moving:
        meter.calm_steps = 0


@kernel
def _lufs(power: float) -> float:
    return 10.0 * math.log10(power + 1e-12) - 0.691


@kernel
def _gated_power(steps: np.ndarray, newest: int, length: int, share: float) -> float:
    """Of the last `length` of a ring of powers the mean of the blocks above `share` of all blocks' mean."""
    width, gate, mean = min(BLOCK_STEPS, length), 0.0, 0.0
    for _ in range(2):
        total, count = 0.0, 0
        for first in range(length - width + 1):
            power = 0.0
            for step in range(width):
                power += steps[(newest - first - step) % len(steps)]
            if power >= gate:
                total += power
                count += 1
        mean = total / (count * width)
        gate = share * mean * width
    return mean


@kernel
def _take_step(meter: Record) -> None:
    """The end of 100 ms: set the gain to aim at, unless they were silent."""
    music, heard = meter.music_power / STEP_PERIODS, meter.heard_power / STEP_PERIODS
    meter.music_power, meter.heard_power, meter.step_periods = 0.0, 0.0, 0
    if _lufs(music) < _SILENCE_LUFS:
        return
    newest = meter.num_steps
    meter.num_steps += 1
    meter.calm_steps += 1
    meter.music_steps[newest % METER_STEPS], meter.heard_steps[newest % METER_STEPS] = music, heard
    moment = _gated_power(meter.music_steps, newest, min(meter.num_steps, MOMENT_STEPS), MOMENT_GATE)
    heard = _gated_power(meter.heard_steps, newest, min(meter.num_steps, METER_STEPS), HEARD_GATE)
    share = 1.0 / (1 + min(max(meter.calm_steps - CALM_STEPS, 0), MEMORY_STEPS))
    meter.music_mean += share * (moment - meter.music_mean)
    meter.heard_mean += share * (heard - meter.heard_mean)
    meter.moment_lufs = _lufs(moment)
    missing_db = REFERENCE_LUFS - _lufs(meter.heard_mean)
    correction_db = _CORRECTION * min(max(missing_db, -_MOST_CORRECTION_DB), _MOST_CORRECTION_DB)
    wanted_db = REFERENCE_LUFS - _lufs(meter.music_mean) + correction_db
    meter.wanted_db = min(max(wanted_db, MIN_GAIN_DB), MAX_GAIN_DB)


@kernel
def follow_loudness(meter: Record, power: float, target_lufs: float) -> None:
    """At a control point, move the follower's gain towards the one that brings the music to REFERENCE_LUFS.

    `power` is the K-weighted mean square of the period before, as it was heard but for that gain. The target itself is
    added afterwards, so that a new target is heard at once. The gain stands still in silence; never outside MIN_GAIN_DB
    … MAX_GAIN_DB.
    """
    meter.music_power += power
    meter.heard_power += power * 10.0 ** (meter.gain_db / 10)
    meter.step_periods += 1
    if meter.step_periods == STEP_PERIODS:
        _take_step(meter)
    share = _DOWN if meter.wanted_db < meter.gain_db or meter.num_steps < _FIRST_STEPS else _UP
    meter.gain_db_before = meter.gain_db
    meter.gain_db += share * (meter.wanted_db - meter.gain_db)
    meter.target_lufs_before = meter.target_lufs
    meter.target_lufs += _TARGET_GLIDE * (target_lufs - meter.target_lufs)
