"""Chorus, ping-pong delay and reverb. In: send rows of one chunk; out: wet samples added to the same bus.

Remember in one EFFECTS record and its delay lines. Called inside the slot kernel, at most CONTROL_FRAMES at a time:
every delay is longer than that, so a chunk is read before it is written. Lines are indexed by the absolute frame.
All three are linear, hence the effects of the stems sum to the effects of the mix.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.synth.oscillators import sine
from engine.synth.state import CHORUS_FRAMES, CONTROL_FRAMES, DELAY_FRAMES, DIFFUSER_FRAMES, REVERB_FRAMES, REVERB_LINES

LINE_LENGTHS = (1447, 1709, 1997, 2293, 2617, 2963, 3343, 3797)
"""Frames, primes, 30 … 79 ms, spread evenly on a logarithmic scale."""
LINE_RATES_HZ = (0.31, 0.43, 0.57, 0.71, 0.37, 0.53, 0.67, 0.83)
LINE_DEPTH_FRAMES = 9.0
DIFFUSER_LENGTHS = (229, 613, 263, 557)
DIFFUSION = 0.62
DELAY_FADE_FRAMES = 4800
CHORUS_BASE_FRAMES, CHORUS_DEPTH_FRAMES, CHORUS_HZ = 620.0, 170.0, 0.55
ANTI_DENORMAL = 1e-18


@njit(error_model="numpy", nogil=True)
def _turn(frame: int, hz: float) -> float:
    """Phase 0 … 1 of a low-frequency oscillator that began at frame 0."""
    turn = frame * hz / SAMPLE_RATE
    return turn - math.floor(turn)


@njit(error_model="numpy", nogil=True)
def _swing(frame: int, channel: int) -> float:
    turn = _turn(frame, CHORUS_HZ) + 0.25 * channel
    return CHORUS_DEPTH_FRAMES * sine(turn - math.floor(turn))


@njit(error_model="numpy", nogil=True)
def add_chorus(line: np.ndarray, send: np.ndarray, bus: np.ndarray, frame: int, num_frames: int) -> None:
    """Two slowly moving copies a channel; `line` [2, CHORUS_FRAMES], `send` and `bus` [2, ≥ num_frames]."""
    mask = CHORUS_FRAMES - 1
    for channel in range(2):
        row = line[channel]
        for i in range(num_frames):
            row[(frame + i) & mask] = send[channel, i]
        base = frame - frame % CONTROL_FRAMES
        here = _swing(base, channel)
        slope = (_swing(base + CONTROL_FRAMES, channel) - here) / CONTROL_FRAMES
        for i in range(num_frames):
            swing = here + slope * (frame - base + i)
            for delay in (CHORUS_BASE_FRAMES + swing, CHORUS_BASE_FRAMES - swing):
                whole = int(delay)
                part = delay - whole
                at = frame + i - whole
                bus[channel, i] += 0.7 * (row[at & mask] * (1.0 - part) + row[(at - 1) & mask] * part)


@njit(error_model="numpy", nogil=True)
def set_delay_time(effects: np.void, delay_frames: int) -> None:
    """Aim at a new delay time; it is crossfaded in, and a further change waits for the end of that."""
    if effects.delay_frames == 0:
        effects.delay_frames = delay_frames
        effects.delay_frames_before = delay_frames
        effects.delay_fade = 1.0
    elif effects.delay_fade >= 1.0 and effects.delay_frames != delay_frames:
        effects.delay_frames_before = effects.delay_frames
        effects.delay_frames = delay_frames
        effects.delay_fade = 0.0


@njit(error_model="numpy", nogil=True)
def add_delay(
    effects: np.void,
    line: np.ndarray,
    send: np.ndarray,
    bus: np.ndarray,
    reverb_send: np.ndarray,
    feedback: float,
    frame: int,
    num_frames: int,
) -> None:
    """Echoes that begin left and change sides, darker each time; a little of them goes on to the reverb."""
    mask = DELAY_FRAMES - 1
    new, old, fade = effects.delay_frames, effects.delay_frames_before, effects.delay_fade
    soft_left, soft_right = effects.delay_damping[0], effects.delay_damping[1]
    for i in range(num_frames):
        at = frame + i
        left, right = float(line[0, (at - new) & mask]), float(line[1, (at - new) & mask])
        if fade < 1.0:
            left = fade * left + (1.0 - fade) * line[0, (at - old) & mask]
            right = fade * right + (1.0 - fade) * line[1, (at - old) & mask]
            fade = min(1.0, fade + 1.0 / DELAY_FADE_FRAMES)
        soft_left += 0.42 * (left - soft_left)
        soft_right += 0.42 * (right - soft_right)
        line[0, at & mask] = 0.5 * (send[0, i] + send[1, i]) + feedback * soft_right + ANTI_DENORMAL
        line[1, at & mask] = feedback * soft_left + ANTI_DENORMAL
        bus[0, i] += left
        # The right line comes after one more feedback; lift it, or the echoes lean to the left.
        bus[1, i] += 1.5 * right
        reverb_send[0, i] += 0.2 * left
        reverb_send[1, i] += 0.3 * right
    effects.delay_fade = fade
    effects.delay_damping[0], effects.delay_damping[1] = soft_left, soft_right


@njit(error_model="numpy", nogil=True)
def _diffuse(line: np.ndarray, length: int, row: np.ndarray, frame: int, num_frames: int) -> None:
    """Schroeder's all-pass in place."""
    mask = DIFFUSER_FRAMES - 1
    for i in range(num_frames):
        at = frame + i
        before = line[(at - length) & mask]
        value = row[i] + DIFFUSION * before
        line[at & mask] = value
        row[i] = before - DIFFUSION * value


@njit(error_model="numpy", nogil=True)
def _read_line(
    line: np.ndarray, length: int, rate_hz: float, gain: float, gain_slope: float, share: float, damping: float,
    out: np.ndarray, frame: int, num_frames: int,
) -> float:  # fmt: skip
    """Read a moving delay into `out` through loss and a one-pole low-pass; returns the filter's memory."""
    mask = REVERB_FRAMES - 1
    offset = frame % BLOCK_FRAMES
    base = frame - frame % CONTROL_FRAMES
    here = LINE_DEPTH_FRAMES * sine(_turn(base, rate_hz))
    slope = (LINE_DEPTH_FRAMES * sine(_turn(base + CONTROL_FRAMES, rate_hz)) - here) / CONTROL_FRAMES
    for i in range(num_frames):
        delay = length + here + slope * (frame - base + i)
        whole = int(delay)
        part = delay - whole
        at = frame + i - whole
        value = line[at & mask] * (1.0 - part) + line[(at - 1) & mask] * part
        damping += share * ((gain + gain_slope * (offset + i)) * value - damping)
        out[i] = damping
    return damping


@njit(error_model="numpy", nogil=True)
def set_reverb_time(effects: np.void, reverb_s: float) -> None:
    """Give every line the loss that makes -60 dB in `reverb_s` at low frequencies, by the end of the block."""
    for k in range(REVERB_LINES):
        effects.line_gain[0, k] = effects.line_gain[1, k]
        effects.line_gain[1, k] = 10.0 ** (-3.0 * LINE_LENGTHS[k] / (SAMPLE_RATE * reverb_s))


@njit(error_model="numpy", nogil=True)
def _hadamard(taps: np.ndarray, i: int) -> None:
    """The orthogonal 8 x 8 Hadamard matrix on column `i` of `taps`, as three rounds of butterflies."""
    span = 1
    while span < REVERB_LINES:
        for base in range(0, REVERB_LINES, 2 * span):
            for k in range(base, base + span):
                a, b = taps[k, i], taps[k + span, i]
                taps[k, i], taps[k + span, i] = a + b, a - b
        span *= 2


@njit(error_model="numpy", nogil=True)
def add_reverb(
    effects: np.void,
    lines: np.ndarray,
    diffusers: np.ndarray,
    send: np.ndarray,
    taps: np.ndarray,
    bus: np.ndarray,
    damping_hz: float,
    frame: int,
    num_frames: int,
) -> None:
    """Feedback delay network of eight moving lines (Jot & Chaigne 1991) after two all-passes a channel.

    `damping_hz` is the corner of each line's low-pass; the lines' loss is set by `set_reverb_time`.
    """
    mask = REVERB_FRAMES - 1
    for k in range(4):
        _diffuse(diffusers[k], DIFFUSER_LENGTHS[k], send[k // 2], frame, num_frames)
    share = 1.0 - math.exp(-2.0 * math.pi * damping_hz / SAMPLE_RATE)
    for k in range(REVERB_LINES):
        before, after = effects.line_gain[0, k], effects.line_gain[1, k]
        slope = (after - before) / BLOCK_FRAMES
        effects.damping[k] = _read_line(
            lines[k], LINE_LENGTHS[k], LINE_RATES_HZ[k], before, slope, share, effects.damping[k], taps[k],
            frame, num_frames,
        )  # fmt: skip
    for i in range(num_frames):
        bus[0, i] += 0.5 * (taps[0, i] - taps[2, i] + taps[4, i] - taps[6, i])
        bus[1, i] += 0.5 * (taps[1, i] - taps[3, i] + taps[5, i] - taps[7, i])
        _hadamard(taps, i)
        at = (frame + i) & mask
        for k in range(REVERB_LINES):
            lines[k, at] = 0.35355339 * taps[k, i] + 0.5 * send[k % 2, i] + ANTI_DENORMAL
