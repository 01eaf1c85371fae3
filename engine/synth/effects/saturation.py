"""Tube and tape: soft saturation that folds little, and the tape's wow and flutter. In: rows; out: the same rows.

Remember one sample a channel, and the tape's delay line. Called inside the slot kernel.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.effects.lines import read_moving, turn, write_line
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.oscillators import CENT, TAU, sine

TAPE_FRAMES = 512
TUBE_BIAS = 0.35
"""Where a tube works on its curve: even harmonics beside the odd ones. Tape is symmetric, at 0."""
LEAST_DRIVE = 1e-3
"""Below this, what saturation changes is inaudible."""

WOW_HZ, FLUTTER_HZ = 0.55, 6.3
FLUTTER_SHARE = 0.25
"""The flutter's swing of pitch over the wow's."""


SHARE = np.dtype(
    [
        ("power", np.float64),  # sum over the control period so far
        ("level", np.float64),  # its mean of late
        ("share", np.float64),  # of all layers' levels, at the next control point
        ("share_before", np.float64),  # and at the last
    ]
)
"""A stem's part in what saturation adds to the mix."""
_SHARE_GLIDE = 1.0 - math.exp(-CONTROL_FRAMES / (0.01 * SAMPLE_RATE))
TAPE = np.dtype([("before", np.float64, (CHANNELS,))])
"""The sample before, that the drive needs."""


def new_tape() -> npt.NDArray[np.float32]:
    """The tape's delay line: [1, 2, TAPE_FRAMES]."""
    return np.zeros((1, CHANNELS, TAPE_FRAMES), np.float32)


@kernel
def _drive(now: float, before: float, drive: float, bias: float) -> float:
    """Mean of x / √(1 + x²) between two samples, made small-signal linear; what it changes is half a frame late.

    First-order antiderivative antialiasing (Parker, Zavalishin, Le Bivic, DAFx 2016). Of this curve the antiderivative
    is √(1 + x²), and its difference quotient the sum of both x over the sum of both roots: nothing to divide by zero.
    """
    one, two = drive * now + bias, drive * before + bias
    rest = 1.0 / math.sqrt(1.0 + bias * bias)
    curved = (one + two) / (math.sqrt(1.0 + one * one) + math.sqrt(1.0 + two * two)) - bias * rest
    return now + curved / (drive * rest * rest * rest) - 0.5 * (now + before)


@kernel
def saturate(
    memory: np.ndarray, channel: int, row: np.ndarray, plain: np.ndarray, drive: float, slope: float, bias: float,
    into: int,
) -> None:  # fmt: skip
    """Saturate `row` in place; `drive` is that of the last control point, `into` frames ago. `plain` is scratch."""
    for i in range(len(row)):
        plain[i] = row[i]
    row[0] = _drive(plain[0], memory[channel], max(drive + slope * into, LEAST_DRIVE), bias)
    for i in range(1, len(row)):
        row[i] = _drive(plain[i], plain[i - 1], max(drive + slope * (into + i), LEAST_DRIVE), bias)
    memory[channel] = plain[len(row) - 1]


@kernel
def aim_share(share: Record) -> None:
    """At a control point, take in how loud the stem was in the period before."""
    share.level += _SHARE_GLIDE * (share.power / CONTROL_FRAMES - share.level)
    share.power = 0.0


@kernel
def take_share(
    share: Record, stem: np.ndarray, plain: np.ndarray, saturated: np.ndarray, into: int, num_frames: int
) -> None:
    """Add to one channel of a stem its part of what the mix has become beside what it was.

    The shares of all stems sum to 1, so that the stems go on summing to the mix, and follow who is loud: to saturate
    each by itself would give other overtones than those of the mix.
    """
    slope = (share.share - share.share_before) / CONTROL_FRAMES
    for i in range(num_frames):
        share.power += stem[i] * stem[i]
        stem[i] += (share.share_before + slope * (into + i)) * (saturated[i] - plain[i])


@kernel
def _wow(frame: int, cents: float) -> float:
    """How many frames late the tape is, never less than none."""
    wow = CENT * cents * SAMPLE_RATE / (TAU * WOW_HZ)
    flutter = FLUTTER_SHARE * CENT * cents * SAMPLE_RATE / (TAU * FLUTTER_HZ)
    late = wow * (1.0 + sine(turn(frame, WOW_HZ))) + flutter * (1.0 + sine(turn(frame, FLUTTER_HZ)))
    return min(late, TAPE_FRAMES - CONTROL_FRAMES - 2.0)


@kernel
def wobble(tape: np.ndarray, mix: np.ndarray, cents: float, next_cents: float, frame: int, num_frames: int) -> None:
    """Swing the pitch by `cents` up and down, in place; `tape` [2, TAPE_FRAMES]."""
    if cents == 0.0 and next_cents == 0.0:
        return
    base = frame - frame % CONTROL_FRAMES
    here, there = _wow(base, cents), _wow(base + CONTROL_FRAMES, next_cents)
    for channel in range(2):
        row = mix[channel, :num_frames]
        write_line(tape[channel], frame, row)
        read_moving(tape[channel], here, (there - here) / CONTROL_FRAMES, frame, row)
