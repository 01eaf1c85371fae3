"""Reverb: early reflections, then a feedback delay network. In: a send of one chunk; out: wet samples on the bus.

Remembers its room once for the slot, and for every bus its delay lines and what their filters keep. Called inside the
slot kernel; every delay in the loop is longer than CONTROL_FRAMES, so a chunk is read before it is written. Linear,
hence the effects of the stems sum to the effect of the mix. Recurrences are kept apart from arithmetic, so that the
rest becomes vector code.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.effects.lines import ANTI_DENORMAL, add_tap, allpass, read_moving, turn, write_line
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.oscillators import log2, sine

REVERB_LINES = 16
REVERB_FRAMES = 4096
DIFFUSER_FRAMES = 1024
PREDELAY_FRAMES = 8192
NUM_EARLY = 10
"""Early reflections a channel."""
LINE_LENGTHS = (1031, 1129, 1237, 1361, 1493, 1627, 1787, 1951, 2137, 2339, 2557, 2801, 3061, 3343, 3659, 3989)
"""Frames, primes, 21 … 83 ms, spread evenly on a logarithmic scale."""
LINE_RATES_HZ = (0.31, 0.43, 0.57, 0.71, 0.37, 0.53, 0.67, 0.83, 0.29, 0.47, 0.61, 0.73, 0.41, 0.59, 0.79, 0.89)
LINE_DEPTH_FRAMES = 9.0
assert len(LINE_LENGTHS) == len(LINE_RATES_HZ) == REVERB_LINES
DIFFUSER_LENGTHS = (229, 613, 263, 557)
DIFFUSION = 0.62
BASS_HZ = 220.0
"""Below this the decay is `reverb_low` times as long."""
_BASS_KEEP = math.exp(-2.0 * math.pi * BASS_HZ / SAMPLE_RATE)

EARLY_FRAMES = np.array([
    [206, 437, 658, 926, 1205, 1579, 1982, 2530, 3173, 3922],
    [254, 379, 725, 859, 1330, 1694, 2155, 2357, 2942, 4171],
])  # fmt: skip
"""When the walls answer left and right, 4 … 87 ms; every other reflection comes from the far channel."""
EARLY_SIGNS = np.array([1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
assert EARLY_FRAMES.shape == (2, NUM_EARLY)
EARLY_LEVEL = 0.55
_SMALL_ROOM_FRAMES, _HALL_TO_ROOM, _WINDOW_OCTAVES = 340.0, 6.0, 1.1
_INAUDIBLE = 0.02


REVERB = np.dtype(
    [
        ("gain", np.float64, (REVERB_LINES,)),  # the lines' loss in this control period
        ("keep", np.float64, (REVERB_LINES,)),  # the low-passes' coefficients
        ("bass", np.float64, (REVERB_LINES,)),  # and what is added of the bass
        ("line_gain", np.float64, (2, REVERB_LINES)),  # loss of one pass, at the block's beginning and end
        ("line_keep", np.float64, (2, REVERB_LINES)),
        ("line_bass", np.float64, (2, REVERB_LINES)),
        ("early", np.float64, (2, CHANNELS, NUM_EARLY)),  # gains of the early reflections
    ]
)
REVERB_FILTERS = np.dtype(
    [
        ("high", np.float64, (REVERB_LINES,)),  # the lines' low-passes
        ("low", np.float64, (REVERB_LINES,)),  # and what finds their bass
    ]
)


def new_reverb() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The delay lines of one bus: the network's, the diffusers' and the pre-delay's, each behind an axis of 1."""
    return (
        np.zeros((1, REVERB_LINES, REVERB_FRAMES), np.float32),
        np.zeros((1, 2 * CHANNELS, DIFFUSER_FRAMES), np.float32),
        np.zeros((1, CHANNELS, PREDELAY_FRAMES), np.float32),
    )


@kernel
def _decay_share(length: int, decay_s: float) -> float:
    """What is left after `length` frames of a sound that falls by 60 dB in `decay_s`."""
    return 10.0 ** (-3.0 * length / (SAMPLE_RATE * decay_s))


@kernel
def set_room(reverb: Record, reverb_s: float, low_ratio: float, damping_hz: float, size: float) -> None:
    """Set what the reverb is to be by the end of the block.

    Every line gets the loss that makes -60 dB in `reverb_s` (Jot & Chaigne 1991), in `low_ratio` times that below
    BASS_HZ, and a one-pole low-pass with which the decay at `damping_hz` takes half as long. `size` 0 … 1 moves a
    window along the early reflections, from a small room's to a hall's.
    """
    cosine = math.cos(2.0 * math.pi * damping_hz / SAMPLE_RATE)
    for k in range(REVERB_LINES):
        gain = _decay_share(LINE_LENGTHS[k], reverb_s)
        # |H(damping_hz)| = gain of the one-pole (1 - keep) / (1 - keep / z), solved for keep.
        square = gain * gain
        half = 1.0 - square * cosine
        keep = (half - math.sqrt(half * half - (1.0 - square) * (1.0 - square))) / (1.0 - square)
        reverb.line_gain[0, k], reverb.line_gain[1, k] = reverb.line_gain[1, k], gain
        reverb.line_keep[0, k], reverb.line_keep[1, k] = reverb.line_keep[1, k], keep
        bass = _decay_share(LINE_LENGTHS[k], reverb_s * low_ratio) / gain - 1.0
        reverb.line_bass[0, k], reverb.line_bass[1, k] = reverb.line_bass[1, k], bass
    centre = _SMALL_ROOM_FRAMES * _HALL_TO_ROOM**size
    for channel in range(2):
        power = 0.0
        for k in range(NUM_EARLY):
            reverb.early[0, channel, k] = reverb.early[1, channel, k]
            octaves = log2(EARLY_FRAMES[channel, k] / centre)
            gain = math.exp(-0.5 * (octaves / _WINDOW_OCTAVES) ** 2)
            reverb.early[1, channel, k] = gain if gain > _INAUDIBLE else 0.0
            power += gain * gain
        for k in range(NUM_EARLY):
            reverb.early[1, channel, k] *= EARLY_LEVEL * EARLY_SIGNS[k] / math.sqrt(power)


@kernel
def _add_early(reverb: Record, line: np.ndarray, bus: np.ndarray, frame: int, num_frames: int) -> None:
    """Add the first reflections of what is in `line` [2, PREDELAY_FRAMES] to `bus`."""
    offset = frame % BLOCK_FRAMES
    for channel in range(2):
        for k in range(NUM_EARLY):
            before, after = reverb.early[0, channel, k], reverb.early[1, channel, k]
            if before != 0.0 or after != 0.0:
                slope = (after - before) / BLOCK_FRAMES
                start = frame - EARLY_FRAMES[channel, k]
                add_tap(line[(channel + k) & 1], start, before, slope, offset, bus[channel, :num_frames])


@kernel
def _damp(
    rows: np.ndarray, high: np.ndarray, low: np.ndarray, gain: np.ndarray, keep: np.ndarray, bass: np.ndarray, num: int
) -> None:
    """Gain, one-pole low-pass and bass shelf in place on four rows at a time, so that their recurrences overlap."""
    a, b, c, d = high[0], high[1], high[2], high[3]
    e, f, g, h = low[0], low[1], low[2], low[3]
    keep_a, keep_b, keep_c, keep_d = keep[0], keep[1], keep[2], keep[3]
    gain_a, gain_b, gain_c, gain_d = gain[0], gain[1], gain[2], gain[3]
    bass_a, bass_b, bass_c, bass_d = bass[0], bass[1], bass[2], bass[3]
    first, second, third, fourth = rows[0], rows[1], rows[2], rows[3]
    for i in range(num):
        a = keep_a * a + gain_a * first[i]
        b = keep_b * b + gain_b * second[i]
        c = keep_c * c + gain_c * third[i]
        d = keep_d * d + gain_d * fourth[i]
        e = _BASS_KEEP * e + (1.0 - _BASS_KEEP) * a
        f = _BASS_KEEP * f + (1.0 - _BASS_KEEP) * b
        g = _BASS_KEEP * g + (1.0 - _BASS_KEEP) * c
        h = _BASS_KEEP * h + (1.0 - _BASS_KEEP) * d
        first[i], second[i], third[i], fourth[i] = a + bass_a * e, b + bass_b * f, c + bass_c * g, d + bass_d * h
    high[0], high[1], high[2], high[3] = a, b, c, d
    low[0], low[1], low[2], low[3] = e, f, g, h


@kernel
def _hadamard(taps: np.ndarray, num_frames: int) -> None:
    """The orthogonal Hadamard matrix, but for its scale, on the columns of `taps` [REVERB_LINES, n]: butterflies."""
    span = 1
    while span < REVERB_LINES:
        for base in range(0, REVERB_LINES, 2 * span):
            for k in range(base, base + span):
                upper, lower = taps[k], taps[k + span]
                for i in range(num_frames):
                    a, b = upper[i], lower[i]
                    upper[i], lower[i] = a + b, a - b
        span *= 2


@kernel
def aim_reverb(reverb: Record, frame: int) -> None:
    """Set the lines' losses for the control period of `frame`."""
    share = (frame % BLOCK_FRAMES - frame % CONTROL_FRAMES) / BLOCK_FRAMES
    gain, keep, bass = reverb.gain, reverb.keep, reverb.bass
    for k in range(REVERB_LINES):
        keep[k] = reverb.line_keep[0, k] + share * (reverb.line_keep[1, k] - reverb.line_keep[0, k])
        bass[k] = reverb.line_bass[0, k] + share * (reverb.line_bass[1, k] - reverb.line_bass[0, k])
        gain[k] = reverb.line_gain[0, k] + share * (reverb.line_gain[1, k] - reverb.line_gain[0, k])
        gain[k] *= 1.0 - keep[k]


@kernel
def _read_lines(
    reverb: Record, filters: Record, lines: np.ndarray, taps: np.ndarray, frame: int, num_frames: int
) -> None:
    """The lines' ends, with their losses, into `taps`."""
    base = frame - frame % CONTROL_FRAMES
    gain, keep, bass = reverb.gain, reverb.keep, reverb.bass
    for k in range(REVERB_LINES):
        here = LINE_DEPTH_FRAMES * sine(turn(base, LINE_RATES_HZ[k]))
        slope = (LINE_DEPTH_FRAMES * sine(turn(base + CONTROL_FRAMES, LINE_RATES_HZ[k])) - here) / CONTROL_FRAMES
        read_moving(lines[k], LINE_LENGTHS[k] + here, slope, frame, taps[k, :num_frames])
    for k in range(0, REVERB_LINES, 4):
        _damp(
            taps[k : k + 4], filters.high[k : k + 4], filters.low[k : k + 4], gain[k : k + 4],
            keep[k : k + 4], bass[k : k + 4], num_frames,
        )  # fmt: skip


@kernel
def add_reverb(
    reverb: Record,
    filters: Record,
    lines: np.ndarray,
    diffusers: np.ndarray,
    predelay: np.ndarray,
    send: np.ndarray,
    taps: np.ndarray,
    bus: np.ndarray,
    start: float,
    slope: float,
    frame: int,
    num_frames: int,
) -> None:
    """Early reflections, and moving lines (Jot & Chaigne 1991) behind a pre-delay and two all-passes a channel.

    The pre-delay is `start` frames at the last control point and changes by `slope` every frame; `send` is
    overwritten, `taps` [REVERB_LINES, CONTROL_FRAMES] scratch.
    """
    for channel in range(2):
        row = send[channel, :num_frames]
        write_line(predelay[channel], frame, row)
        read_moving(predelay[channel], start, slope, frame, row)
        for k in range(2 * channel, 2 * channel + 2):
            allpass(diffusers[k], DIFFUSER_LENGTHS[k], DIFFUSION, row, frame)
    _add_early(reverb, predelay, bus, frame, num_frames)
    _read_lines(reverb, filters, lines, taps, frame, num_frames)
    left, right = bus[0, :num_frames], bus[1, :num_frames]
    for k in range(0, REVERB_LINES, 4):
        one, two, three, four = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
        for i in range(num_frames):
            left[i] += 0.35 * (one[i] - three[i])
            right[i] += 0.35 * (two[i] - four[i])
    _hadamard(taps, num_frames)
    for k in range(REVERB_LINES):
        row, dry = taps[k, :num_frames], send[k % 2, :num_frames]
        for i in range(num_frames):
            row[i] = 0.25 * row[i] + 0.35 * dry[i] + ANTI_DENORMAL
        write_line(lines[k], frame, row)
