"""Frequency modulation. In: an fm patch; out: samples in a voice's work rows. Remembers in the VOICE record."""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.sources.oscillators import CENT, LOG_2, TAU, sine
from engine.synth.state import CONTROL_FRAMES

_HIGHEST = 32_000.0 / SAMPLE_RATE
"""Side bands beyond 32 kHz would fold to below 16 kHz."""
CARRIER, MODULATOR, SECOND, TINE = 0, 1, 2, 6
"""Places in VOICE.phase; those of the twin's carrier and modulators are three further on."""
TWIN = 3


@kernel
def _room(increment: float, patch: np.void, ratio: float) -> float:
    """Greatest index whose side bands of -90 dB stay under `_HIGHEST`: about 4 + 2·index of them on each side."""
    num_bands = (_HIGHEST / increment - patch.carrier_ratio) / ratio
    return max(0.0, 0.5 * (num_bands - 4.0))


@kernel
def fm_bend(voice: np.void, patch: np.void, brightness: float, motion: float) -> float:
    """Depth of FM beside what the patch says: velocity, brightness, and `motion` in octaves."""
    return (0.15 + 1.15 * voice.velocity) * (0.6 + 0.8 * brightness) * math.exp(LOG_2 * motion)


@kernel
def _write_pair(
    voice: np.void, patch: np.void, row: np.ndarray, first: np.ndarray, second: np.ndarray, bend: np.ndarray,
    since: int, twin: int, scale: float,
) -> None:  # fmt: skip
    """Write a carrier bent by its modulators to `row`; `first` and `second` are how far each bends it, in turns.

    All frequencies are multiplied by `scale`; `since` frames lie behind the phases of the voice; `bend` is scratch.
    """
    start, step = voice.phase[twin + MODULATOR], scale * voice.increment * patch.modulator_ratio
    for i in range(len(row)):
        turn = start + step * (since + i)
        bend[i] = first[i] * sine(turn - math.floor(turn))
    if patch.second_index > 0.0:
        start, step = voice.phase[twin + SECOND], scale * voice.increment * patch.second_ratio
        for i in range(len(row)):
            turn = start + step * (since + i)
            bend[i] += second[i] * sine(turn - math.floor(turn))
    start, step = voice.phase[twin + CARRIER], scale * voice.increment * patch.carrier_ratio
    for i in range(len(row)):
        turn = start + step * (since + i) + bend[i]
        row[i] = sine(turn - math.floor(turn))


@kernel
def _write_depths(voice: np.void, patch: np.void, first: np.ndarray, second: np.ndarray, into: int) -> None:
    """Write to the rows how far each modulator bends the carrier, in turns; advance their envelopes."""
    share = 0.8 if patch.second_index > 0.0 else 1.0
    room = share * _room(voice.increment, patch, patch.modulator_ratio)
    depth = min(patch.index * voice.bend, room) / TAU
    slope = (min(patch.index * voice.bend_next, room) / TAU - depth) / CONTROL_FRAMES
    index, keep, add = voice.index, 1.0 - patch.index_share, patch.index_sustain * patch.index_share
    for i in range(len(first)):
        first[i] = (depth + slope * (into + i)) * index
        index = keep * index + add
    voice.index = index
    if patch.second_index > 0.0:
        room = share * _room(voice.increment, patch, patch.second_ratio)
        depth = min(patch.second_index * voice.bend, room) / TAU
        slope = (min(patch.second_index * voice.bend_next, room) / TAU - depth) / CONTROL_FRAMES
        index, keep, add = voice.second, 1.0 - patch.second_share, patch.second_sustain * patch.second_share
        for i in range(len(second)):
            second[i] = (depth + slope * (into + i)) * index
            index = keep * index + add
        voice.second = index


@kernel
def add_fm(voice: np.void, patch: np.void, work: np.ndarray, frame: int, num_frames: int, brightness: float) -> None:
    """Write to both rows: a carrier bent by one or two modulators (Chowning 1973), and the attack's tine.

    Each modulator has an envelope of its own. A twin of carrier and modulators, `twin_cents` above, sounds on the
    other side, and the note lies between them. Phases are straight lines from the last control point on, so that the
    sines become vector code and the cut of a block changes nothing.
    """
    into = frame % CONTROL_FRAMES
    # The first control period of a voice begins at its onset.
    since = min(into, frame - voice.onset)
    left, right, spare = work[0, :num_frames], work[1, :num_frames], work[4, :num_frames]
    first, second = work[2, :num_frames], work[3, :num_frames]
    _write_depths(voice, patch, first, second, into)
    twin_scale = math.exp(0.5 * CENT * patch.twin_cents)
    _write_pair(voice, patch, left, first, second, spare, since, 0, 1.0 / twin_scale)
    if patch.twin_cents > 0.0:
        _write_pair(voice, patch, right, first, second, spare, since, TWIN, twin_scale)
        for i in range(num_frames):
            one, other = left[i], right[i]
            left[i], right[i] = 0.75 * one + 0.35 * other, 0.35 * one + 0.75 * other
    else:
        for i in range(num_frames):
            right[i] = left[i]
    tine, tine_step = voice.tine, voice.increment * patch.tine_ratio
    if tine > 0.0 and patch.tine_level > 0.0 and tine_step < 0.4:
        gain, start, share = patch.tine_level * voice.velocity * (0.5 + brightness), voice.phase[TINE], patch.tine_share
        for i in range(num_frames):
            spare[i] = gain * tine
            tine -= tine * share
        for i in range(num_frames):
            turn = start + tine_step * (since + i)
            value = spare[i] * sine(turn - math.floor(turn))
            left[i] += value
            right[i] += value
        voice.tine = tine
    if into + num_frames == CONTROL_FRAMES:
        turns = voice.increment * (since + num_frames)
        _advance(voice, CARRIER, turns / twin_scale * patch.carrier_ratio)
        _advance(voice, MODULATOR, turns / twin_scale * patch.modulator_ratio)
        _advance(voice, SECOND, turns / twin_scale * patch.second_ratio)
        _advance(voice, TINE, turns * patch.tine_ratio)
        _advance(voice, TWIN + CARRIER, twin_scale * turns * patch.carrier_ratio)
        _advance(voice, TWIN + MODULATOR, twin_scale * turns * patch.modulator_ratio)
        _advance(voice, TWIN + SECOND, twin_scale * turns * patch.second_ratio)


@kernel
def _advance(voice: np.void, place: int, turns: float) -> None:
    turn = voice.phase[place] + turns
    voice.phase[place] = turn - math.floor(turn)
