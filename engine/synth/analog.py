"""Detuned band-limited waves. In: an analog patch; out: samples in a voice's work rows. Remembers in VOICE.phase."""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.oscillators import CENT, SAW, SINE, add_saw_pair, add_wave, count_harmonics


@kernel
def add_analog(voice: np.void, patch: np.void, work: np.ndarray, num_frames: int) -> None:
    """Detuned oscillators, alternately left and right, and a sine an octave below."""
    count = int(patch.num_oscillators)
    scale = 1.0 / math.sqrt(count)
    num_harmonics = count_harmonics(voice.hz / SAMPLE_RATE)
    first = 0
    if patch.wave == SAW and num_harmonics == 0:
        near, far = scale * (1.0 + patch.width), scale * (1.0 - patch.width)
        spread = 2.0 * CENT * patch.detune_cents / max(1, count - 1)
        while first + 2 <= count:
            lower = voice.increment * (1.0 + first * spread - CENT * patch.detune_cents)
            add_saw_pair(
                work, num_frames, voice.phase[first : first + 2], lower, lower + voice.increment * spread, near, far
            )
            first += 2
    for k in range(first, count):
        place = 2.0 * k / (count - 1) - 1.0 if count > 1 else 0.0
        increment = voice.increment * (1.0 + CENT * place * patch.detune_cents)
        side = patch.width * (1.0 if k % 2 else -1.0) if count % 2 == 0 or k + 1 < count else 0.0
        voice.phase[k] = add_wave(
            work, num_frames, patch.wave, voice.phase[k], increment, num_harmonics, patch.pulse_width,
            scale * (1.0 - side), scale * (1.0 + side),
        )  # fmt: skip
    if patch.sub_level > 0.0:
        sub = patch.sub_level
        voice.phase[5] = add_wave(work, num_frames, SINE, voice.phase[5], 0.5 * voice.increment, 0, 0.5, sub, sub)
