"""One drum: swept tone with an overtone, noise, six squares of metal. In: a drum patch; out: samples in a work row.

Remembers in the VOICE record. Called inside the slot kernel. The common filter and envelope follow in `voices`.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.oscillators import NOISE_SCALE, next_noise, sine

METAL_RATIOS = (1.0, 1.483, 1.8, 2.546, 2.63, 3.897)
"""The six square oscillators of the TR-808's cymbals, relative to the lowest (205 Hz there)."""

BURST_FRAMES = 460
TONE, OVERTONE = 6, 7
"""Places in VOICE.phase after those of the metal."""


@kernel
def start_drum(voice: np.void, patch: np.void) -> None:
    """Set the drum's own envelopes to their beginning."""
    voice.tine = 1.0 if patch.tone_level > 0.0 else 0.0
    voice.noise_level = 1.0
    voice.sweep = 1.0
    voice.index = 0.0


@kernel
def _decay(seconds: float) -> float:
    """Factor of one frame that makes -60 dB in `seconds`."""
    return math.exp(-6.9078 / (seconds * SAMPLE_RATE))


@kernel
def add_drum(voice: np.void, patch: np.void, work: np.ndarray, num_frames: int) -> None:
    """Add the drum's next frames to the row `work`; harder hits are longer, brighter and bend further."""
    if patch.tone_level > 0.0:
        _add_tone(voice, patch, work, num_frames)
    noise_decay = _decay(patch.noise_decay_s * (0.6 + 0.5 * voice.velocity))
    level, state, frames = voice.noise_level, voice.noise, voice.index
    has_noise = patch.noise_level > 0.0
    bursts_end = patch.bursts * BURST_FRAMES
    for i in range(num_frames):
        if has_noise:
            state = next_noise(state)
            gate = 1.0
            if frames < bursts_end:
                # Several hands do not clap at once: a short saw envelope is repeated before the tail.
                gate = math.exp(-(frames % BURST_FRAMES) / 110.0)
            work[i] += patch.noise_level * level * gate * (state * NOISE_SCALE - 1.0)
        if frames >= bursts_end:
            level *= noise_decay
        frames += 1.0
    if patch.metal_level > 0.0:
        _add_metal(voice, patch, work, num_frames, voice.noise_level, noise_decay)
    voice.noise_level, voice.noise, voice.index = level, state, frames


@kernel
def _add_tone(voice: np.void, patch: np.void, work: np.ndarray, num_frames: int) -> None:
    tone, overtone, sweep, level = voice.phase[TONE], voice.phase[OVERTONE], voice.sweep, voice.tine
    sweep_decay = _decay(patch.sweep_s)
    tone_decay = _decay(patch.tone_decay_s * (0.7 + 0.4 * voice.velocity))
    bend = 2.0 ** (patch.sweep_octaves * (0.6 + 0.5 * voice.velocity)) - 1.0
    base = patch.tone_hz / SAMPLE_RATE
    for i in range(num_frames):
        increment = min(base * (1.0 + bend * sweep), 0.4)
        shape = sine(tone) + patch.overtone_level * level * sine(overtone)
        work[i] += patch.tone_level * level * shape
        tone += increment
        if tone >= 1.0:
            tone -= 1.0
        overtone += increment * patch.overtone_ratio
        overtone -= math.floor(overtone)
        sweep *= sweep_decay
        level *= tone_decay
    voice.phase[TONE], voice.phase[OVERTONE], voice.sweep, voice.tine = tone, overtone, sweep, level


@kernel
def _add_metal(voice: np.void, patch: np.void, work: np.ndarray, num_frames: int, level: float, decay: float) -> None:
    lowest = patch.metal_hz / SAMPLE_RATE
    gain = patch.metal_level / 3.0
    for k in range(6):
        increment = lowest * METAL_RATIOS[k]
        phase, envelope = voice.phase[k], level
        for i in range(num_frames):
            work[i] += gain * envelope * (1.0 if phase < 0.5 else -1.0)
            envelope *= decay
            phase += increment
            if phase >= 1.0:
                phase -= 1.0
        voice.phase[k] = phase
