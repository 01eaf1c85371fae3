"""Ping-pong delay. In: a send of one chunk; out: echoes added to the bus and to the reverb's send.

Remembers its time once for the slot, and for every bus two delay lines and what their filters keep. Called inside the
slot kernel. Linear, hence the effects of the stems sum to the effect of the mix.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS, SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.effects.lines import ANTI_DENORMAL, read_line, write_line

DELAY_FRAMES = 65_536
FADE_FRAMES = 4800
_TOP_KEEP = math.exp(-2.0 * math.pi * 4200.0 / SAMPLE_RATE)
_BASS_KEEP = math.exp(-2.0 * math.pi * 160.0 / SAMPLE_RATE)
"""Every repeat loses what is above and below these corners, so that echoes step back behind the music."""


DELAY = np.dtype(
    [
        ("frames", np.int64),
        ("frames_before", np.int64),
        ("fade", np.float64),  # 0 … 1, from the old time to the new
    ]
)
DELAY_FILTERS = np.dtype([("top", np.float64, (CHANNELS,)), ("bass", np.float64, (CHANNELS,))])


def new_delay() -> npt.NDArray[np.float32]:
    """The delay lines of one bus: [1, 2, DELAY_FRAMES]."""
    return np.zeros((1, CHANNELS, DELAY_FRAMES), np.float32)


@kernel
def set_delay_time(delay: Record, frames: int) -> None:
    """Aim at a new time; it is crossfaded in, and a further change waits for the end of that."""
    frames = min(frames, DELAY_FRAMES - 1)
    if delay.frames == 0:
        delay.frames, delay.frames_before, delay.fade = frames, frames, 1.0
    elif delay.fade >= 1.0 and delay.frames != frames:
        delay.frames_before, delay.frames, delay.fade = delay.frames, frames, 0.0


@kernel
def advance_delay(delay: Record, num_frames: int) -> None:
    """Go on with the crossfade, once all buses have read their echoes."""
    delay.fade = min(1.0, delay.fade + num_frames * (1.0 / FADE_FRAMES))


@kernel
def _read_echoes(delay: Record, line: np.ndarray, rows: np.ndarray, frame: int, num_frames: int) -> None:
    """The line's echoes into rows[:2]; rows[2] is scratch. While the time changes, from the old to the new."""
    fade = delay.fade
    for channel in range(2):
        echo = rows[channel, :num_frames]
        read_line(line[channel], frame - delay.frames, echo)
        if fade < 1.0:
            old = rows[2, :num_frames]
            read_line(line[channel], frame - delay.frames_before, old)
            for i in range(num_frames):
                share = min(1.0, fade + i * (1.0 / FADE_FRAMES))
                echo[i] = share * echo[i] + (1.0 - share) * old[i]


@kernel
def add_delay(
    delay: Record,
    filters: Record,
    line: np.ndarray,
    send: np.ndarray,
    rows: np.ndarray,
    bus: np.ndarray,
    reverb_send: np.ndarray,
    feedback: float,
    frame: int,
    num_frames: int,
) -> None:
    """Echoes that begin left and change sides, thinner each time; a little of them goes on to the reverb.

    `line` [2, DELAY_FRAMES], `rows` [≥ 3, CONTROL_FRAMES] scratch.
    """
    _read_echoes(delay, line, rows, frame, num_frames)
    left, right = rows[0, :num_frames], rows[1, :num_frames]
    send_left, send_right = send[0, :num_frames], send[1, :num_frames]
    out_left, out_right = bus[0, :num_frames], bus[1, :num_frames]
    wet_left, wet_right = reverb_send[0, :num_frames], reverb_send[1, :num_frames]
    for i in range(num_frames):
        # The right line comes after one more feedback; lift it, or the echoes lean to the left.
        out_left[i] += left[i]
        out_right[i] += 1.5 * right[i]
        wet_left[i] += 0.2 * left[i]
        wet_right[i] += 0.3 * right[i]
    top, bass = filters.top, filters.bass
    top_left, top_right, bass_left, bass_right = top[0], top[1], bass[0], bass[1]
    for i in range(num_frames):
        top_left = _TOP_KEEP * top_left + (1.0 - _TOP_KEEP) * left[i]
        top_right = _TOP_KEEP * top_right + (1.0 - _TOP_KEEP) * right[i]
        bass_left = _BASS_KEEP * bass_left + (1.0 - _BASS_KEEP) * top_left
        bass_right = _BASS_KEEP * bass_right + (1.0 - _BASS_KEEP) * top_right
        left[i] = 0.5 * (send_left[i] + send_right[i]) + feedback * (top_right - bass_right) + ANTI_DENORMAL
        right[i] = feedback * (top_left - bass_left) + ANTI_DENORMAL
    top[0], top[1], bass[0], bass[1] = top_left, top_right, bass_left, bass_right
    write_line(line[0], frame, left)
    write_line(line[1], frame, right)
