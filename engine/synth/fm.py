"""Frequency modulation. In: an fm patch; out: samples in a voice's work rows. Remembers in the VOICE record."""

from __future__ import annotations

import math

import numpy as np

from engine.synth.compile import kernel
from engine.synth.oscillators import LOG_2, TAU, sine
from engine.synth.state import CONTROL_FRAMES


@kernel
def fm_bend(voice: np.void, patch: np.void, brightness: float, motion: float) -> float:
    """Depth of FM in turns; high notes take less: their side bands would fold. `motion` is in octaves."""
    room = max(0.0, min(1.0, (0.4 / voice.increment - patch.carrier_ratio) / (4.0 * patch.modulator_ratio)))
    index = patch.index * (0.4 + 0.8 * voice.velocity) * (0.6 + 0.8 * brightness)
    return index * room * math.exp(LOG_2 * motion) / TAU


@kernel
def add_fm(voice: np.void, patch: np.void, work: np.ndarray, into: int, num_frames: int, brightness: float) -> None:
    """Write to both rows: a carrier bent by one modulator (Chowning 1973) and a decaying sine for the attack's tine."""
    carrier, modulator = voice.phase[0], voice.phase[1]
    carrier_step = min(voice.increment * patch.carrier_ratio, 0.45)
    modulator_step = min(voice.increment * patch.modulator_ratio, 0.45)
    depth, slope = voice.bend, (voice.bend_next - voice.bend) / CONTROL_FRAMES
    index, keep, add = voice.index, 1.0 - patch.index_share, patch.index_sustain * patch.index_share
    left, right, bend = work[0, :num_frames], work[1, :num_frames], work[2, :num_frames]
    for i in range(num_frames):
        left[i], right[i], bend[i] = carrier, modulator, (depth + slope * (into + i)) * index
        index = keep * index + add
        carrier += carrier_step
        if carrier >= 1.0:
            carrier -= 1.0
        modulator += modulator_step
        if modulator >= 1.0:
            modulator -= 1.0
    voice.phase[0], voice.phase[1], voice.index = carrier, modulator, index
    # Apart from the recurrences above, so that the sines become vector code.
    for i in range(num_frames):
        bent = left[i] + bend[i] * sine(right[i])
        left[i] = sine(bent - math.floor(bent))
    tine, tine_phase, tine_step = voice.tine, voice.phase[2], voice.increment * patch.tine_ratio
    if tine > 0.0 and patch.tine_level > 0.0 and tine_step < 0.4:
        gain = patch.tine_level * voice.velocity * (0.5 + brightness)
        for i in range(num_frames):
            left[i] += gain * tine * sine(tine_phase)
            tine -= tine * patch.tine_share
            tine_phase += tine_step
            if tine_phase >= 1.0:
                tine_phase -= 1.0
        voice.phase[2], voice.tine = tine_phase, tine
    for i in range(num_frames):
        right[i] = left[i]
