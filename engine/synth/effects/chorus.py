"""Chorus. In: a send of one chunk; out: wet samples added to the bus. Remembers in its two delay lines.

Called inside the slot kernel. Linear, hence the effects of the stems sum to the effect of the mix.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS
from engine.synth.compile import kernel
from engine.synth.effects.lines import read_moving, turn, write_line
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.oscillators import sine

CHORUS_FRAMES = 2048
BASE_FRAMES, DEPTH_FRAMES, RATE_HZ = 620.0, 170.0, 0.55


def new_chorus() -> npt.NDArray[np.float32]:
    """The delay lines of one bus: [1, 2, CHORUS_FRAMES]."""
    return np.zeros((1, CHANNELS, CHORUS_FRAMES), np.float32)


@kernel
def _swing(frame: int, channel: int) -> float:
    phase = turn(frame, RATE_HZ) + 0.25 * channel
    return DEPTH_FRAMES * sine(phase - math.floor(phase))


@kernel
def add_chorus(line: np.ndarray, send: np.ndarray, row: np.ndarray, bus: np.ndarray, frame: int) -> None:
    """Two slowly moving copies a channel of the next len(row) frames; `line` [2, CHORUS_FRAMES], `row` is scratch."""
    num_frames = len(row)
    base = frame - frame % CONTROL_FRAMES
    for channel in range(2):
        write_line(line[channel], frame, send[channel, :num_frames])
        here = _swing(base, channel)
        slope = (_swing(base + CONTROL_FRAMES, channel) - here) / CONTROL_FRAMES
        target = bus[channel, :num_frames]
        for sign in (1.0, -1.0):
            read_moving(line[channel], BASE_FRAMES + sign * here, sign * slope, frame, row)
            for i in range(num_frames):
                target[i] += 0.7 * row[i]
