"""Chorus, ping-pong delay and reverb. In: send rows of one chunk; out: wet samples added to the same bus.

Remember in one EFFECTS record and its delay lines. Called inside the slot kernel, at most CONTROL_FRAMES at a time:
every delay is longer than that, so a chunk is read before it is written. Lines are indexed by the absolute frame.
All three are linear, hence the effects of the stems sum to the effects of the mix.

Inner loops run over slices without a wrap and keep recurrences apart from arithmetic, so that they become vector code.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.oscillators import sine
from engine.synth.state import CONTROL_FRAMES, DELAY_FRAMES, DIFFUSER_FRAMES, REVERB_LINES

LINE_LENGTHS = (1447, 1709, 1997, 2293, 2617, 2963, 3343, 3797)
"""Frames, primes, 30 … 79 ms, spread evenly on a logarithmic scale."""
LINE_RATES_HZ = (0.31, 0.43, 0.57, 0.71, 0.37, 0.53, 0.67, 0.83)
LINE_DEPTH_FRAMES = 9.0
DIFFUSER_LENGTHS = (229, 613, 263, 557)
DIFFUSION = 0.62
DELAY_FADE_FRAMES = 4800
CHORUS_BASE_FRAMES, CHORUS_DEPTH_FRAMES, CHORUS_HZ = 620.0, 170.0, 0.55
ANTI_DENORMAL = 1e-18
_RAMP = np.arange(BLOCK_FRAMES + 1.0)
"""Whole numbers as floats: a vector unit loads them faster than it converts them."""


@kernel
def _turn(frame: int, hz: float) -> float:
    """Phase 0 … 1 of a low-frequency oscillator that began at frame 0."""
    turn = frame * hz / SAMPLE_RATE
    return turn - math.floor(turn)


@kernel
def _swing(frame: int, channel: int) -> float:
    turn = _turn(frame, CHORUS_HZ) + 0.25 * channel
    return CHORUS_DEPTH_FRAMES * sine(turn - math.floor(turn))


@kernel
def _write_line(line: np.ndarray, frame: int, values: np.ndarray) -> None:
    """Write `values` [≤ CONTROL_FRAMES] into a ring whose size is a power of two, from `frame` on."""
    at = frame & (len(line) - 1)
    until_wrap = min(len(values), len(line) - at)
    for i in range(until_wrap):
        line[at + i] = values[i]
    for i in range(until_wrap, len(values)):
        line[i - until_wrap] = values[i]


@kernel
def _read_moving(line: np.ndarray, start: float, slope: float, frame: int, out: np.ndarray) -> None:
    """Read a ring into `out`, `start` frames back at the last control point, plus `slope` frames every frame since.

    Linear interpolation; runs over which the delay keeps its whole part.
    """
    mask = len(line) - 1
    offset, done = frame % CONTROL_FRAMES, 0
    while done < len(out):
        delay = start + slope * _RAMP[offset + done]
        whole = int(delay)
        safe = (whole + 1 - delay) / slope if slope > 0.0 else (delay - whole) / (-slope + 1e-30)
        at = (frame + done - whole) & mask
        older = (at - 1) & mask
        run = int(min(safe - 1.0, float(len(out) - done)))
        run = max(1, min(run, len(line) - at, len(line) - older))
        now, before, ramp = line[at : at + run], line[older : older + run], _RAMP[offset + done : offset + done + run]
        target = out[done : done + run]
        for i in range(run):
            part = start + slope * ramp[i] - whole
            target[i] = now[i] * (1.0 - part) + before[i] * part
        done += run


@kernel
def add_chorus(line: np.ndarray, send: np.ndarray, row: np.ndarray, bus: np.ndarray, frame: int) -> None:
    """Two slowly moving copies a channel of the next len(row) frames; `line` [2, CHORUS_FRAMES], `row` is scratch."""
    num_frames = len(row)
    base = frame - frame % CONTROL_FRAMES
    for channel in range(2):
        _write_line(line[channel], frame, send[channel, :num_frames])
        here = _swing(base, channel)
        slope = (_swing(base + CONTROL_FRAMES, channel) - here) / CONTROL_FRAMES
        target = bus[channel, :num_frames]
        for sign in (1.0, -1.0):
            _read_moving(line[channel], CHORUS_BASE_FRAMES + sign * here, sign * slope, frame, row)
            for i in range(num_frames):
                target[i] += 0.7 * row[i]


@kernel
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


@kernel
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
    line_left, line_right = line[0], line[1]
    for i in range(num_frames):
        at = frame + i
        left, right = float(line_left[(at - new) & mask]), float(line_right[(at - new) & mask])
        if fade < 1.0:
            left = fade * left + (1.0 - fade) * line_left[(at - old) & mask]
            right = fade * right + (1.0 - fade) * line_right[(at - old) & mask]
            fade = min(1.0, fade + 1.0 / DELAY_FADE_FRAMES)
        soft_left = 0.58 * soft_left + 0.42 * left
        soft_right = 0.58 * soft_right + 0.42 * right
        line_left[at & mask] = 0.5 * (send[0, i] + send[1, i]) + feedback * soft_right + ANTI_DENORMAL
        line_right[at & mask] = feedback * soft_left + ANTI_DENORMAL
        bus[0, i] += left
        # The right line comes after one more feedback; lift it, or the echoes lean to the left.
        bus[1, i] += 1.5 * right
        reverb_send[0, i] += 0.2 * left
        reverb_send[1, i] += 0.3 * right
    effects.delay_fade = fade
    effects.delay_damping[0], effects.delay_damping[1] = soft_left, soft_right


@kernel
def _diffuse(line: np.ndarray, length: int, row: np.ndarray, frame: int) -> None:
    """Schroeder's all-pass in place."""
    mask, done = DIFFUSER_FRAMES - 1, 0
    while done < len(row):
        at, back = (frame + done) & mask, (frame + done - length) & mask
        run = min(len(row) - done, DIFFUSER_FRAMES - at, DIFFUSER_FRAMES - back)
        values, old, new = row[done : done + run], line[back : back + run], line[at : at + run]
        for i in range(run):
            value = values[i] + DIFFUSION * old[i]
            new[i] = value
            values[i] = old[i] - DIFFUSION * value
        done += run


@kernel
def _damp(rows: np.ndarray, memory: np.ndarray, keep: float, num_frames: int) -> None:
    """One-pole low-pass in place on four rows at a time, so that their recurrences overlap."""
    a, b, c, d = memory[0], memory[1], memory[2], memory[3]
    first, second, third, fourth = rows[0], rows[1], rows[2], rows[3]
    for i in range(num_frames):
        a = keep * a + first[i]
        b = keep * b + second[i]
        c = keep * c + third[i]
        d = keep * d + fourth[i]
        first[i], second[i], third[i], fourth[i] = a, b, c, d
    memory[0], memory[1], memory[2], memory[3] = a, b, c, d


@kernel
def set_reverb_time(effects: np.void, reverb_s: float) -> None:
    """Give every line the loss that makes -60 dB in `reverb_s` at low frequencies, by the end of the block."""
    for k in range(REVERB_LINES):
        effects.line_gain[0, k] = effects.line_gain[1, k]
        effects.line_gain[1, k] = 10.0 ** (-3.0 * LINE_LENGTHS[k] / (SAMPLE_RATE * reverb_s))


@kernel
def _hadamard(taps: np.ndarray, num_frames: int) -> None:
    """The orthogonal 8 x 8 Hadamard matrix on the columns of `taps` [8, n], as three rounds of butterflies."""
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
    offset = frame % BLOCK_FRAMES
    base = frame - frame % CONTROL_FRAMES
    for k in range(4):
        _diffuse(diffusers[k], DIFFUSER_LENGTHS[k], send[k // 2, :num_frames], frame)
    keep = math.exp(-2.0 * math.pi * damping_hz / SAMPLE_RATE)
    for k in range(REVERB_LINES):
        here = LINE_DEPTH_FRAMES * sine(_turn(base, LINE_RATES_HZ[k]))
        slope = (LINE_DEPTH_FRAMES * sine(_turn(base + CONTROL_FRAMES, LINE_RATES_HZ[k])) - here) / CONTROL_FRAMES
        row = taps[k, :num_frames]
        _read_moving(lines[k], LINE_LENGTHS[k] + here, slope, frame, row)
        before, after = effects.line_gain[0, k], effects.line_gain[1, k]
        gain, gain_slope = (1.0 - keep) * before, (1.0 - keep) * (after - before) / BLOCK_FRAMES
        for i in range(num_frames):
            row[i] *= gain + gain_slope * _RAMP[offset + i]
    _damp(taps[:4], effects.damping[:4], keep, num_frames)
    _damp(taps[4:], effects.damping[4:], keep, num_frames)
    left, right = bus[0], bus[1]
    for i in range(num_frames):
        left[i] += 0.5 * (taps[0, i] - taps[2, i] + taps[4, i] - taps[6, i])
        right[i] += 0.5 * (taps[1, i] - taps[3, i] + taps[5, i] - taps[7, i])
    _hadamard(taps, num_frames)
    for k in range(REVERB_LINES):
        row, dry = taps[k, :num_frames], send[k % 2, :num_frames]
        for i in range(num_frames):
            row[i] = 0.35355339 * row[i] + 0.5 * dry[i] + ANTI_DENORMAL
        _write_line(lines[k], frame, row)
