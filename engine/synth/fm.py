"""Frequency modulation. In: an fm patch; out: samples in a voice's work rows. Remembers in the VOICE record."""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.oscillators import CENT, LOG_2, TAU, sine
from engine.synth.state import CONTROL_FRAMES

_HIGHEST = 32_000.0 / SAMPLE_RATE
"""Side bands beyond 32 kHz would fold to below 16 kHz."""
CARRIER, MODULATOR, TINE, SECOND, TWIN = range(5)
"""Places in VOICE.phase."""


@kernel
def _room(increment: float, patch: np.void, ratio: float) -> float:
    """Greatest index whose side bands of -90 dB stay under `_HIGHEST`: about 4 + 2·index of them on each side."""
    num_bands = (_HIGHEST / increment - patch.carrier_ratio) / ratio
    return max(0.0, 0.5 * (num_bands - 4.0))


@kernel
def fm_bend(voice: np.void, patch: np.void, brightness: float, motion: float) -> float:
    """Depth of FM, 1 … as the patch is written: velocity, brightness, and `motion` in octaves."""
    return (0.4 + 0.8 * voice.velocity) * (0.6 + 0.8 * brightness) * math.exp(LOG_2 * motion)


@kernel
def _write_modulators(voice: np.void, patch: np.void, work: np.ndarray, since: int, into: int, num_frames: int) -> None:
    """Write to row 2 how far the carrier is bent, in turns; advance the index envelopes."""
    bend = work[2, :num_frames]
    share = 0.8 if patch.second_index > 0.0 else 1.0
    room = share * _room(voice.increment, patch, patch.modulator_ratio)
    depth = min(patch.index * voice.bend, room) / TAU
    slope = (min(patch.index * voice.bend_next, room) / TAU - depth) / CONTROL_FRAMES
    index, keep, add = voice.index, 1.0 - patch.index_share, patch.index_sustain * patch.index_share
    start, step = voice.phase[MODULATOR], voice.increment * patch.modulator_ratio
    for i in range(num_frames):
        turn = start + step * (since + i)
        bend[i] = sine(turn - math.floor(turn))
    for i in range(num_frames):
        bend[i] *= (depth + slope * (into + i)) * index
        index = keep * index + add
    voice.index = index
    if patch.second_index > 0.0:
        room = share * _room(voice.increment, patch, patch.second_ratio)
        depth = min(patch.second_index * voice.bend, room) / TAU
        slope = (min(patch.second_index * voice.bend_next, room) / TAU - depth) / CONTROL_FRAMES
        start, step = voice.phase[SECOND], voice.increment * patch.second_ratio
        index, keep, add = voice.second, 1.0 - patch.second_share, patch.second_sustain * patch.second_share
        row = work[1, :num_frames]
        for i in range(num_frames):
            row[i] = (depth + slope * (into + i)) * index
            index = keep * index + add
        for i in range(num_frames):
            turn = start + step * (since + i)
            bend[i] += row[i] * sine(turn - math.floor(turn))
        voice.second = index


@kernel
def add_fm(voice: np.void, patch: np.void, work: np.ndarray, frame: int, num_frames: int, brightness: float) -> None:
    """Write to both rows: a carrier bent by one or two modulators (Chowning 1973), and the attack's tine.

    The second modulator has an envelope of its own. A twin carrier, `twin_cents`
    away, sounds on the other side. Phases are straight lines from the last control point on, so that the sines become
    vector code and the cut of a block changes nothing.
    """
    into = frame % CONTROL_FRAMES
    # The first control period of a voice begins at its onset.
    since = min(into, frame - voice.onset)
    _write_modulators(voice, patch, work, since, into, num_frames)
    left, right, bend = work[0, :num_frames], work[1, :num_frames], work[2, :num_frames]
    start, step = voice.phase[CARRIER], voice.increment * patch.carrier_ratio
    for i in range(num_frames):
        turn = start + step * (since + i) + bend[i]
        left[i] = sine(turn - math.floor(turn))
    twin_step = step * math.exp(CENT * patch.twin_cents)
    if patch.twin_cents > 0.0:
        start = voice.phase[TWIN]
        for i in range(num_frames):
            turn = start + twin_step * (since + i) + bend[i]
            right[i] = sine(turn - math.floor(turn))
        for i in range(num_frames):
            one, other = left[i], right[i]
            left[i], right[i] = 0.75 * one + 0.35 * other, 0.35 * one + 0.75 * other
    else:
        for i in range(num_frames):
            right[i] = left[i]
    tine, tine_step = voice.tine, voice.increment * patch.tine_ratio
    if tine > 0.0 and patch.tine_level > 0.0 and tine_step < 0.4:
        gain, start, keep = patch.tine_level * voice.velocity * (0.5 + brightness), voice.phase[TINE], patch.tine_share
        for i in range(num_frames):
            bend[i] = gain * tine
            tine -= tine * keep
        for i in range(num_frames):
            turn = start + tine_step * (since + i)
            value = bend[i] * sine(turn - math.floor(turn))
            left[i] += value
            right[i] += value
        voice.tine = tine
    if into + num_frames == CONTROL_FRAMES:
        length = since + num_frames
        for place, ratio in (
            (CARRIER, patch.carrier_ratio), (MODULATOR, patch.modulator_ratio), (TINE, patch.tine_ratio),
            (SECOND, patch.second_ratio), (TWIN, twin_step / voice.increment),
        ):  # fmt: skip
            turn = voice.phase[place] + voice.increment * ratio * length
            voice.phase[place] = turn - math.floor(turn)
