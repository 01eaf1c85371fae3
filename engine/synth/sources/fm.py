"""Frequency modulation. In: an fm patch; out: samples in a voice's work rows. Remembers phases and envelopes."""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.kind import Kind, Moment
from engine.synth.sources.oscillators import CENT, LOG_2, TAU, sine

_HIGHEST = 32_000.0 / SAMPLE_RATE
"""Side bands beyond 32 kHz would fold to below 16 kHz."""
CARRIER, MODULATOR, SECOND, TINE = 0, 1, 2, 6
"""Indices of the phases; those of the twin's carrier and modulators are three further on."""
TWIN = 3
NUM_PHASES = 7


@kernel
def _room(increment: float, patch: Record, ratio: float) -> float:
    """Greatest index whose side bands of -90 dB stay under `_HIGHEST`: about 4 + 2·index of them on each side."""
    num_bands = (_HIGHEST / increment - patch.carrier_ratio) / ratio
    return max(0.0, 0.5 * (num_bands - 4.0))


@kernel
def start_fm(voice: Record) -> None:
    """All phases at 0, all envelopes at their beginning."""
    own = voice.fm
    own.phase[:] = 0.0
    own.index, own.second_index, own.tine, own.bend_next = 1.0, 1.0, 1.0, -1.0


@kernel
def aim_fm(voice: Record, moment: Moment) -> None:
    """Depth of FM beside what the patch says: velocity, brightness, and the filter's slow motion."""
    own = voice.fm
    bend = (0.15 + 1.15 * voice.velocity) * (0.6 + 0.8 * moment.brightness) * math.exp(LOG_2 * moment.motion)
    own.bend = own.bend_next if own.bend_next >= 0.0 else bend
    own.bend_next = bend
    own.brightness = moment.brightness
    if own.tine < 1e-5:
        own.tine = 0.0


@kernel
def _write_pair(
    voice: Record, patch: Record, row: np.ndarray, first: np.ndarray, second: np.ndarray, bend: np.ndarray,
    since: int, twin: int, scale: float,
) -> None:  # fmt: skip
    """Write a carrier bent by its modulators to `row`; `first` and `second` are how far each bends it, in turns.

    All frequencies are multiplied by `scale`; `since` frames lie behind the phases of the voice; `bend` is scratch.
    """
    start, step = voice.fm.phase[twin + MODULATOR], scale * voice.increment * patch.modulator_ratio
    for i in range(len(row)):
        turn = start + step * (since + i)
        bend[i] = first[i] * sine(turn - math.floor(turn))
    if patch.second_index > 0.0:
        start, step = voice.fm.phase[twin + SECOND], scale * voice.increment * patch.second_ratio
        for i in range(len(row)):
            turn = start + step * (since + i)
            bend[i] += second[i] * sine(turn - math.floor(turn))
    start, step = voice.fm.phase[twin + CARRIER], scale * voice.increment * patch.carrier_ratio
    for i in range(len(row)):
        turn = start + step * (since + i) + bend[i]
        row[i] = sine(turn - math.floor(turn))


@kernel
def _write_depths(voice: Record, patch: Record, first: np.ndarray, second: np.ndarray, into: int) -> None:
    """Write to the rows how far each modulator bends the carrier, in turns; advance their envelopes."""
    own = voice.fm
    share = 0.8 if patch.second_index > 0.0 else 1.0
    room = share * _room(voice.increment, patch, patch.modulator_ratio)
    depth = min(patch.index * own.bend, room) / TAU
    slope = (min(patch.index * own.bend_next, room) / TAU - depth) / CONTROL_FRAMES
    index, keep, add = own.index, 1.0 - patch.index_share, patch.index_sustain * patch.index_share
    for i in range(len(first)):
        first[i] = (depth + slope * (into + i)) * index
        index = keep * index + add
    own.index = index
    if patch.second_index > 0.0:
        room = share * _room(voice.increment, patch, patch.second_ratio)
        depth = min(patch.second_index * own.bend, room) / TAU
        slope = (min(patch.second_index * own.bend_next, room) / TAU - depth) / CONTROL_FRAMES
        index, keep, add = own.second_index, 1.0 - patch.second_share, patch.second_sustain * patch.second_share
        for i in range(len(second)):
            second[i] = (depth + slope * (into + i)) * index
            index = keep * index + add
        own.second_index = index


@kernel
def render_fm(voice: Record, patch: Record, work: np.ndarray, frame: int, num_frames: int) -> None:
    """Write to both rows: a carrier bent by one or two modulators (Chowning 1973), and the attack's tine.

    Each modulator has an envelope of its own. A twin of carrier and modulators, `twin_cents` above, sounds on the
    other side, and the note lies between them. Phases are straight lines from the last control point on, so that the
    sines become vector code and the cut of a block changes nothing.
    """
    own, into = voice.fm, frame % CONTROL_FRAMES
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
    tine, tine_step = own.tine, voice.increment * patch.tine_ratio
    if tine > 0.0 and patch.tine_level > 0.0 and tine_step < 0.4:
        gain = patch.tine_level * voice.velocity * (0.5 + own.brightness)
        start, share = own.phase[TINE], patch.tine_share
        for i in range(num_frames):
            spare[i] = gain * tine
            tine -= tine * share
        for i in range(num_frames):
            turn = start + tine_step * (since + i)
            value = spare[i] * sine(turn - math.floor(turn))
            left[i] += value
            right[i] += value
        own.tine = tine
    if into + num_frames == CONTROL_FRAMES:
        turns = voice.increment * (since + num_frames)
        _advance(own, CARRIER, turns / twin_scale * patch.carrier_ratio)
        _advance(own, MODULATOR, turns / twin_scale * patch.modulator_ratio)
        _advance(own, SECOND, turns / twin_scale * patch.second_ratio)
        _advance(own, TINE, turns * patch.tine_ratio)
        _advance(own, TWIN + CARRIER, twin_scale * turns * patch.carrier_ratio)
        _advance(own, TWIN + MODULATOR, twin_scale * turns * patch.modulator_ratio)
        _advance(own, TWIN + SECOND, twin_scale * turns * patch.second_ratio)


@kernel
def _advance(own: Record, phase: int, turns: float) -> None:
    turn = own.phase[phase] + turns
    own.phase[phase] = turn - math.floor(turn)


KIND = Kind(
    "fm", render_fm, start_fm, aim_fm,
    memory=(
        ("phase", np.float64, (NUM_PHASES,)),  # turns
        ("bend", np.float64),  # depth over the patch's, at the last control point
        ("bend_next", np.float64),  # and at the next
        ("index", np.float64),  # envelopes of both modulators, 1 … their sustain
        ("second_index", np.float64),
        ("tine", np.float64),  # envelope of the tine
        ("brightness", np.float64),  # the station's, at the last control point
    ),
    numbers={
        "carrier_ratio": (0.25, 8, 1), "modulator_ratio": (0.25, 16, 1), "index": (0, 8, 1),
        "index_sustain": (0, 1, 0.2), "index_decay_s": (0.005, 10, 0.8), "tine_ratio": (0.5, 24, 14),
        "tine_level": (0, 1, 0), "tine_decay_s": (0.005, 6, 0.4), "twin_cents": (0, 30, 0),
        "second_ratio": (0.25, 16, 1), "second_index": (0, 8, 0), "second_sustain": (0, 1, 0),
        "second_decay_s": (0.005, 10, 0.5),
    },
    decays=("index", "tine", "second"),
)  # fmt: skip
