"""Delay lines: rings whose size is a power of two, indexed by the absolute frame, at most CONTROL_FRAMES at a time.

In: a ring and a row of samples; out: the ring written, or a row read. Remember nothing but the ring. Called inside the
slot kernel. Inner loops run over slices without a wrap, so that they become vector code.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.sizes import CONTROL_FRAMES

ANTI_DENORMAL = 1e-18
RAMP = np.arange(BLOCK_FRAMES + 1.0)
"""Whole numbers as floats: a vector unit loads them faster than it converts them."""


@kernel
def turn(frame: int, hz: float) -> float:
    """Phase 0 … 1 of a low-frequency oscillator that began at frame 0."""
    phase = frame * hz / SAMPLE_RATE
    return phase - math.floor(phase)


@kernel
def write_line(line: np.ndarray, frame: int, values: np.ndarray) -> None:
    """Write `values` from `frame` on."""
    at, done = frame & (len(line) - 1), 0
    while done < len(values):
        run = min(len(values) - done, len(line) - at)
        source, target = values[done : done + run], line[at : at + run]
        for i in range(run):
            target[i] = source[i]
        at, done = 0, done + run


@kernel
def read_line(line: np.ndarray, frame: int, row: np.ndarray) -> None:
    """Read into `row` what was written from `frame` on."""
    at, done = frame & (len(line) - 1), 0
    while done < len(row):
        run = min(len(row) - done, len(line) - at)
        source, target = line[at : at + run], row[done : done + run]
        for i in range(run):
            target[i] = source[i]
        at, done = 0, done + run


@kernel
def add_tap(line: np.ndarray, frame: int, gain: float, slope: float, into: int, row: np.ndarray) -> None:
    """Add to `row` what was written from `frame` on, times a gain of `gain` + `slope` · (`into` + i)."""
    at, done = frame & (len(line) - 1), 0
    while done < len(row):
        run = min(len(row) - done, len(line) - at)
        source, target, ramp = line[at : at + run], row[done : done + run], RAMP[into + done : into + done + run]
        for i in range(run):
            target[i] += source[i] * (gain + slope * ramp[i])
        at, done = 0, done + run


@kernel
def read_moving(line: np.ndarray, start: float, slope: float, frame: int, row: np.ndarray) -> None:
    """Read into `row`, `start` frames back at the last control point, plus `slope` frames every frame since.

    Linear interpolation; runs over which the delay keeps its whole part.
    """
    mask = len(line) - 1
    offset, done = frame % CONTROL_FRAMES, 0
    while done < len(row):
        delay = start + slope * RAMP[offset + done]
        whole = int(delay)
        safe = float(len(row) + 1)
        if slope > 0.0:
            safe = (whole + 1 - delay) / slope
        elif slope < 0.0:
            safe = (delay - whole) / -slope
        at = (frame + done - whole) & mask
        older = (at - 1) & mask
        run = int(min(safe - 1.0, float(len(row) - done)))
        run = max(1, min(run, len(line) - at, len(line) - older))
        now, before, ramp = line[at : at + run], line[older : older + run], RAMP[offset + done : offset + done + run]
        target = row[done : done + run]
        for i in range(run):
            part = start + slope * ramp[i] - whole
            target[i] = now[i] * (1.0 - part) + before[i] * part
        done += run


@kernel
def allpass(line: np.ndarray, length: int, share: float, row: np.ndarray, frame: int) -> None:
    """Schroeder's all-pass (1962) in place, `length` ≥ len(row) frames long."""
    mask, done = len(line) - 1, 0
    while done < len(row):
        at, back = (frame + done) & mask, (frame + done - length) & mask
        run = min(len(row) - done, len(line) - at, len(line) - back)
        values, old, new = row[done : done + run], line[back : back + run], line[at : at + run]
        for i in range(run):
            value = values[i] + share * old[i]
            new[i] = value
            values[i] = old[i] - share * value
        done += run
