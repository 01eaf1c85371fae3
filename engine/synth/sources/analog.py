"""Detuned band-limited waves. In: an analog patch; out: samples in a voice's work rows. Remembers phases."""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.kind import Kind
from engine.synth.sources.oscillators import CENT, TURN, add_sine, add_wave, add_wave_pair, next_noise, sine, whole
from engine.synth.sources.wavetables import PULSE, SAW, SINE, WAVE_FRAMES, WAVES, wave_start

MAX_OSCILLATORS = 7


@kernel
def _pulse_width(voice: Record, patch: Record, frame: int) -> float:
    """The duty cycle at `frame`, swung by a slow sine that is each voice's own."""
    turn = frame / SAMPLE_RATE * patch.pulse_motion_hz + voice.wander
    width = patch.pulse_width + patch.pulse_motion * sine(turn - math.floor(turn))
    return min(max(width, 0.04), 0.96)


@kernel
def add_pulse(
    work: np.ndarray, num_frames: int, saw: np.ndarray, phase: int, step: int, width: float, slope: float, into: int,
    left: float, right: float,
) -> int:  # fmt: skip
    """Add a pulse whose duty was `width` `into` frames ago and has grown by `slope` every frame since.

    `saw` is the saw's table; returns the phase after it.
    """
    slide = whole(slope)
    second = (phase + whole(width) + slide * into) & (TURN - 1)
    add_wave_pair(work, num_frames, saw, phase, step, second, step + slide, (left, right, -left, -right))
    return (phase + step * num_frames) & (TURN - 1)


@kernel
def _step(voice: Record, patch: Record, k: int) -> int:
    """Increment of oscillator `k`, the detunings evenly spread."""
    count = int(patch.num_oscillators)
    share = 2.0 * k / (count - 1) - 1.0 if count > 1 else 0.0
    return whole(voice.increment * (1.0 + CENT * share * patch.detune_cents))


@kernel
def start_analog(voice: Record, patch: Record, seed: int) -> None:
    """One oscillator begins at phase 0; several begin anywhere, or they would be one at first."""
    own, noise, is_alone = voice.analog, seed | 1, patch.num_oscillators <= 1.0
    for k in range(MAX_OSCILLATORS):
        noise = next_noise(noise)
        own.phase[k] = 0.0 if is_alone else noise / 4294967296.0
    own.sub_phase = 0.0 if is_alone else voice.wander


@kernel
def render_analog(
    voice: Record, patch: Record, waves: np.ndarray, work: np.ndarray, frame: int, num_frames: int
) -> None:
    """Up to seven detuned oscillators, alternately left and right, and a sine an octave below."""
    own = voice.analog
    count, into = int(patch.num_oscillators), frame % CONTROL_FRAMES
    scale = 1.0 / math.sqrt(count)
    near, far = scale * (1.0 + patch.width), scale * (1.0 - patch.width)
    # By the note's own pitch, so that vibrato does not change the table.
    start = wave_start(SAW if patch.wave <= PULSE else int(patch.wave), voice.hz / SAMPLE_RATE)
    table = waves[start : start + WAVE_FRAMES + 1]
    width, slope = 0.5, 0.0
    if patch.wave == PULSE:
        width = _pulse_width(voice, patch, frame - into)
        slope = (_pulse_width(voice, patch, frame - into + CONTROL_FRAMES) - width) / CONTROL_FRAMES
    k = 0
    while k < count:
        phase, step = whole(own.phase[k]), _step(voice, patch, k)
        # An odd one out stands in the middle.
        left, right = (scale, scale) if k + 1 == count and count % 2 else (far, near) if k % 2 else (near, far)
        if patch.wave > PULSE and k + 1 < count:
            second, second_step = whole(own.phase[k + 1]), _step(voice, patch, k + 1)
            add_wave_pair(work, num_frames, table, phase, step, second, second_step, (near, far, far, near))
            own.phase[k] = ((phase + step * num_frames) & (TURN - 1)) / TURN
            own.phase[k + 1] = ((second + second_step * num_frames) & (TURN - 1)) / TURN
            k += 2
            continue
        if patch.wave == PULSE:
            phase = add_pulse(work, num_frames, table, phase, step, width, slope, into, left, right)
        elif patch.wave == SINE:
            phase = add_sine(work, num_frames, phase, step, left, right)
        else:
            phase = add_wave(work, num_frames, table, phase, step, left, right)
        own.phase[k] = phase / TURN
        k += 1
    if patch.sub_level > 0.0:
        sub, step = whole(own.sub_phase), whole(0.5 * voice.increment)
        own.sub_phase = add_sine(work, num_frames, sub, step, patch.sub_level, patch.sub_level) / TURN


KIND = Kind(
    "analog", render_analog, start_analog,
    memory=(("phase", np.float64, (MAX_OSCILLATORS,)), ("sub_phase", np.float64)),
    numbers={
        "num_oscillators": (1, MAX_OSCILLATORS, 1), "detune_cents": (0, 50, 0), "width": (0, 1, 0),
        "pulse_width": (0.05, 0.5, 0.5), "pulse_motion": (0, 0.45, 0), "pulse_motion_hz": (0.02, 8, 0.5),
        "sub_level": (0, 1, 0),
    },
    words={"wave": (WAVES, "saw")},
)  # fmt: skip
