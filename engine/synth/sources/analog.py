"""Detuned band-limited waves. In: an analog patch; out: samples in a voice's work rows. Remembers in VOICE.phase."""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.sources.oscillators import CENT, TURN, add_sine, add_wave, add_wave_pair, sine, whole
from engine.synth.sources.wavetables import PULSE, SAW, SINE, WAVE_FRAMES, wave_place
from engine.synth.state import CONTROL_FRAMES, SUB_PHASE, WANDER


@kernel
def _pulse_width(voice: np.void, patch: np.void, frame: int) -> float:
    """The duty cycle at `frame`, swung by a slow sine that is each voice's own."""
    turn = frame / SAMPLE_RATE * patch.pulse_motion_hz + voice.phase[WANDER]
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
def _step(voice: np.void, patch: np.void, k: int) -> int:
    """Increment of oscillator `k`, the detunings evenly spread."""
    count = int(patch.num_oscillators)
    place = 2.0 * k / (count - 1) - 1.0 if count > 1 else 0.0
    return whole(voice.increment * (1.0 + CENT * place * patch.detune_cents))


@kernel
def add_analog(
    voice: np.void, patch: np.void, waves: np.ndarray, work: np.ndarray, frame: int, num_frames: int
) -> None:
    """Up to seven detuned oscillators, alternately left and right, and a sine an octave below.

    `waves` are the tables of `wavetables.build_waves`.
    """
    count, into = int(patch.num_oscillators), frame % CONTROL_FRAMES
    scale = 1.0 / math.sqrt(count)
    near, far = scale * (1.0 + patch.width), scale * (1.0 - patch.width)
    # By the note's own pitch, so that vibrato does not change the table.
    start = wave_place(SAW if patch.wave <= PULSE else int(patch.wave), voice.hz / SAMPLE_RATE)
    table = waves[start : start + WAVE_FRAMES + 1]
    width, slope = 0.5, 0.0
    if patch.wave == PULSE:
        width = _pulse_width(voice, patch, frame - into)
        slope = (_pulse_width(voice, patch, frame - into + CONTROL_FRAMES) - width) / CONTROL_FRAMES
    k = 0
    while k < count:
        phase, step = whole(voice.phase[k]), _step(voice, patch, k)
        # An odd one out stands in the middle.
        left, right = (scale, scale) if k + 1 == count and count % 2 else (far, near) if k % 2 else (near, far)
        if patch.wave > PULSE and k + 1 < count:
            second, second_step = whole(voice.phase[k + 1]), _step(voice, patch, k + 1)
            add_wave_pair(work, num_frames, table, phase, step, second, second_step, (near, far, far, near))
            voice.phase[k] = ((phase + step * num_frames) & (TURN - 1)) / TURN
            voice.phase[k + 1] = ((second + second_step * num_frames) & (TURN - 1)) / TURN
            k += 2
            continue
        if patch.wave == PULSE:
            phase = add_pulse(work, num_frames, table, phase, step, width, slope, into, left, right)
        elif patch.wave == SINE:
            phase = add_sine(work, num_frames, phase, step, left, right)
        else:
            phase = add_wave(work, num_frames, table, phase, step, left, right)
        voice.phase[k] = phase / TURN
        k += 1
    if patch.sub_level > 0.0:
        sub, step = whole(voice.phase[SUB_PHASE]), whole(0.5 * voice.increment)
        voice.phase[SUB_PHASE] = add_sine(work, num_frames, sub, step, patch.sub_level, patch.sub_level) / TURN
