"""Plucked and bowed strings. In: a pluck patch; out: samples in work rows. Remembers in VOICE and its string."""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.oscillators import NOISE_SCALE, next_noise


@kernel
def pluck_string(
    string: np.ndarray, hz: float, damping: float, pick_position: float, pick_brightness: float, noise: int
) -> tuple[int, float, int]:
    """Load `string` [N] with the first period of a plucked string.

    Returns its length in frames, the tuning all-pass coefficient, and the noise state. Karplus & Strong 1983 with the
    fractional delay and pick position of Jaffe & Smith, "Extensions of the Karplus-Strong plucked-string algorithm".
    """
    period = SAMPLE_RATE / hz - damping
    length = int(period - 0.1)
    fraction = period - length
    smooth = 0.0
    mean = 0.0
    for i in range(length):
        noise = next_noise(noise)
        smooth += pick_brightness * (noise * NOISE_SCALE - 1.0 - smooth)
        string[i] = smooth
    offset = max(1, int(pick_position * length))
    # From the end backwards, so that the comb reads what has not been combed yet.
    for i in range(length - 1, -1, -1):
        if i >= offset:
            string[i] -= 0.9 * string[i - offset]
        mean += string[i]
    mean /= length
    energy = 1e-9
    for i in range(length):
        string[i] -= mean
        energy += string[i] * string[i]
    scale = 0.35 / math.sqrt(energy / length)
    for i in range(length):
        string[i] *= scale
    return length, (1.0 - fraction) / (1.0 + fraction), noise


@kernel
def add_string(
    voice: np.void, patch: np.void, string: np.ndarray, work: np.ndarray, noise: np.ndarray, num_frames: int
) -> None:
    """Karplus-Strong loop: delay, two-point average, all-pass for the fraction, loss of one turn.

    A bow keeps feeding noise to the loop, as much as the loss takes away.
    """
    loss = voice.string_loss
    bow = patch.bow_level * math.sqrt(1.0 - loss * loss)
    near, far = 1.0 - patch.string_damping, patch.string_damping
    at, length = voice.string_at, voice.string_length
    last, allpass, memory = voice.string_last, voice.allpass, voice.allpass_last
    for i in range(num_frames):
        value = float(string[at])
        work[0, i] += value
        work[1, i] += value
        smooth = loss * (near * value + far * last)
        last = value
        turned = allpass * smooth + memory
        memory = smooth - allpass * turned
        string[at] = turned + bow * noise[i]
        at += 1
        if at == length:
            at = 0
    voice.string_at, voice.string_last, voice.allpass_last = at, last, memory
