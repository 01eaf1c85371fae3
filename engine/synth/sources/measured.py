"""Instruments as they were measured. In: a patch that names a tone; out: samples in work rows. Slot kernel only.

Every harmonic and every octave of noise follows the course that it was measured to take in notes of this key, played
as hard, and lives beside it: each wanders a little by itself, pitch runs over the resonances of a body that stay where
they are, and no two notes begin alike. Nothing folds. Remembers phase and the note's own ways, and in the voice's line
levels, their slopes and targets.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.harmonics import INAUDIBLE, MEMORY, aim_phase, sum_harmonics
from engine.synth.sources.kind import Kind, Moment
from engine.synth.sources.oscillators import LOG_2, NOISE_SCALE, ease, hash32, log2, sine
from engine.synth.sources.tones import (
    CHANNEL_OF,
    CHANNELS,
    FIRST_S,
    MAX_HARMONICS,
    NEPER,
    NOISE_FRAMES,
    NUM_BANDS,
    NUM_LEVELS,
    NUM_TIMES,
    POINTS_PER_DOUBLING,
    ROWS,
    TIMES_S,
)

HOP_FRAMES = 4 * CONTROL_FRAMES
"""Levels are worked out anew at absolute multiples of this, and at the onset."""
TOP_HZ = 18_000.0
_SLOPES, _TARGETS, _LIVES = MAX_HARMONICS, 2 * MAX_HARMONICS, 3 * MAX_HARMONICS
_BANDS = 4 * MAX_HARMONICS
_ROW = _BANDS + 3 * NUM_BANDS
"""Where slopes, targets, wanderings, the same of the noise, and a row of the tone begin in the line."""
_OCTAVES = np.log2(np.arange(1.0, MAX_HARMONICS + 1.0))
LIFE_HZ = 4.0
"""How fast levels wander."""
_LIFE_KEEP = math.exp(-2.0 * math.pi * LIFE_HZ * HOP_FRAMES / SAMPLE_RATE)
_LIFE_ADD = math.sqrt(3.0 * (1.0 - _LIFE_KEEP**2))
RESONANCES_PER_OCTAVE = 20.0
SWAY_HZ = 1.3
"""How often a held note's strength changes its course."""
_LEAN = 0.09
"""How far notes differ in how hard they are played."""


@kernel
def start_measured(voice: Record, patch: Record, line: np.ndarray, seed: int) -> None:
    """Begin in silence, in this note's own way."""
    own = voice.measured
    own.seed = hash32(seed, 9)
    own.rough, own.rough_next, own.num_harmonics = 0.0, 0.0, 0
    own.lean = _LEAN * (hash32(own.seed, 1) * NOISE_SCALE - 1.0)
    late = patch.attack_spread * (hash32(own.seed, 2) * NOISE_SCALE - 1.0)
    own.pace = (0.7 + 0.4 * voice.velocity) * math.exp(LOG_2 * late)
    line[:_ROW] = 0.0


@kernel
def _between(seed: int, place: float) -> float:
    """-1 … 1, straight between a random number at every whole `place`."""
    point = int(math.floor(place))
    before, after = hash32(seed, point & 0xFFFFFF) * NOISE_SCALE, hash32(seed, (point + 1) & 0xFFFFFF) * NOISE_SCALE
    return before + (place - point) * (after - before) - 1.0


@kernel
def _read_row(patch: Record, waves: np.ndarray, row: np.ndarray, key: float, dynamics: float, seconds: float) -> int:
    """Fill `row` with the tone's levels between the nearest notes; returns where the nearest note's wanderings are."""
    at_key = min(max((key - patch.tone_key) / patch.tone_step, 0.0), patch.tone_keys - 1.0)
    at_dynamic = dynamics * (patch.tone_dynamics - 1)
    key_index, dynamic_index = min(int(at_key), patch.tone_keys - 2), min(int(at_dynamic), patch.tone_dynamics - 2)
    key_index, dynamic_index = max(key_index, 0), max(dynamic_index, 0)
    # Seconds are on a grid that widens: see `tones.TIMES_S`.
    index = min(int(POINTS_PER_DOUBLING * log2(1.0 + seconds / FIRST_S)), NUM_TIMES - 2)
    later = (seconds - TIMES_S[index]) / (TIMES_S[index + 1] - TIMES_S[index])
    if patch.tone_holds:
        later = min(later, 1.0)
    higher, louder = at_key - key_index, at_dynamic - dynamic_index
    note = ROWS * CHANNELS
    first = patch.tone + (key_index * patch.tone_dynamics + dynamic_index) * note
    next_key = patch.tone_dynamics * note if patch.tone_keys > 1 else 0
    next_dynamic = note if patch.tone_dynamics > 1 else 0
    row[:] = 0.0
    for corner in range(4):
        share = (higher if corner % 2 else 1.0 - higher) * (louder if corner // 2 else 1.0 - louder)
        at = first + corner % 2 * next_key + corner // 2 * next_dynamic + index * CHANNELS
        for channel in range(CHANNELS):
            level, rise = waves[at + channel], waves[at + CHANNELS + channel] - waves[at + channel]
            # What dies away goes on doing so after it was last measured.
            row[channel] += share * (level + (min(later, 1.0) if rise > 0.0 else later) * rise)
    return first + (next_key if higher > 0.5 else 0) + NUM_TIMES * CHANNELS


@kernel
def _aim_levels(
    voice: Record, patch: Record, waves: np.ndarray, line: np.ndarray, at_frame: int, dynamics: float,
    gain: float,
) -> None:  # fmt: skip
    """Set the targets of all levels for `at_frame`, `gain` in nepers."""
    own, row = voice.measured, line[_ROW : _ROW + CHANNELS]
    hz = voice.increment * SAMPLE_RATE
    base = log2(hz)
    seconds = (at_frame - voice.onset) / SAMPLE_RATE
    # The attack has the note's pace; what comes after takes its time.
    paced = seconds * own.pace if seconds < 0.25 else seconds + 0.25 * (own.pace - 1.0)
    lives = _read_row(patch, waves, row, 69.0 + 12.0 * (base - log2(440.0)), dynamics, max(paced, 0.0))
    count = min(int(TOP_HZ / hz), MAX_HARMONICS)
    # Not those that nobody would hear: what sounds from before, and as many more as there is reason to try.
    until = min(max((count + 3) // 4 * 4, own.num_harmonics), MAX_HARMONICS)
    while until > 4 and own.num_harmonics < until and row[int(CHANNEL_OF[until - 4])] + gain < -10.5:
        until -= 4
    tilt = NEPER * patch.tilt_db * (dynamics - 0.6)
    turn = at_frame // HOP_FRAMES * MAX_HARMONICS
    for k in range(until):
        channel = int(CHANNEL_OF[k])
        level = row[channel] + (CHANNEL_OF[k] - channel) * (row[channel + 1] - row[channel]) + tilt * _OCTAVES[k]
        if patch.life > 0.0:
            life = _LIFE_KEEP * line[_LIVES + k] + _LIFE_ADD * (hash32(own.seed, turn + k) * NOISE_SCALE - 1.0)
            line[_LIVES + k] = life
            level += patch.life * waves[lives + channel] * life
        if patch.resonance_db > 0.0:
            level += NEPER * patch.resonance_db * _between(patch.tone, RESONANCES_PER_OCTAVE * (base + _OCTAVES[k]))
        line[_TARGETS + k] = math.exp(gain + level) if k < count else 0.0
    own.num_harmonics = until
    noise = gain + NEPER * (patch.noise_db + 8.0 * (dynamics - 0.6))
    for band in range(NUM_BANDS):
        line[_BANDS + 2 * NUM_BANDS + band] = math.exp(noise + row[NUM_LEVELS + band])


@kernel
def _arrive(line: np.ndarray, first: int, count: int, apart: int) -> None:
    """`count` levels from `first` on are at their targets, `2 * apart` on."""
    for k in range(first, first + count):
        line[k] = line[2 * apart + k]


@kernel
def _set_slopes(line: np.ndarray, first: int, count: int, apart: int, frames: int) -> None:
    """From `count` levels at `first` to their targets, `2 * apart` on, in `frames`; levels as of the last hop."""
    for k in range(first, first + count):
        slope = (line[2 * apart + k] - line[k]) / frames
        line[apart + k] = slope
        line[k] -= slope * (HOP_FRAMES - frames)


@kernel
def aim_measured(voice: Record, patch: Record, waves: np.ndarray, line: np.ndarray, moment: Moment) -> None:
    """Set dynamics and gain, how hard it is played and a long note's arch, and ramp all levels."""
    own, frame = voice.measured, moment.frame
    aim_phase(own, voice, patch.roughness, frame)
    is_first = frame == voice.onset
    if not is_first and frame % HOP_FRAMES != 0:
        return
    length = max(voice.release_at - voice.written, 1)
    gone = min(max((frame - voice.written) / length, 0.0), 1.0)
    seconds = (frame - voice.onset) / SAMPLE_RATE
    swell_db = patch.vibrato_db * moment.vibrato
    swell_db += patch.arch_db * sine(0.5 * gone) * min(1.0, length / (1.5 * SAMPLE_RATE))
    swell_db += patch.sway_db * _between(own.seed, SWAY_HZ * seconds) * (1.0 - ease(seconds, 0.4))
    dynamics = 0.55 + 1.2 * (voice.velocity - 0.7) + 0.3 * (moment.energy - 0.5)
    dynamics = dynamics + 0.4 * (moment.brightness - 0.5) + 0.3 * moment.motion + own.lean + 0.1 * swell_db
    dynamics = min(max(dynamics, 0.0), 1.0)
    gain = NEPER * swell_db
    if is_first:
        _aim_levels(voice, patch, waves, line, frame, dynamics, gain)
    _arrive(line, 0, own.num_harmonics, MAX_HARMONICS)
    _arrive(line, _BANDS, NUM_BANDS, NUM_BANDS)
    frames = HOP_FRAMES - frame % HOP_FRAMES
    _aim_levels(voice, patch, waves, line, frame + frames, dynamics, gain)
    _set_slopes(line, 0, own.num_harmonics, MAX_HARMONICS, frames)
    _set_slopes(line, _BANDS, NUM_BANDS, NUM_BANDS, frames)
    until = own.num_harmonics
    while until > 0 and max(line[until - 1], line[_TARGETS + until - 1], line[_TARGETS + until - 3]) < INAUDIBLE:
        for k in range(until - 4, until):
            line[k], line[_TARGETS + k] = 0.0, 0.0
        until -= 4
    own.num_harmonics = until


@kernel
def render_measured(
    voice: Record, patch: Record, waves: np.ndarray, line: np.ndarray, work: np.ndarray, frame: int, num_frames: int
) -> None:
    """The sum of harmonics, and octaves of noise beside it."""
    since = frame % HOP_FRAMES
    sum_harmonics(voice.measured, line, line[_SLOPES:], work, frame % CONTROL_FRAMES, since, num_frames)
    left, right = work[0, :num_frames], work[1, :num_frames]
    for band in range(NUM_BANDS):
        level, slope = line[_BANDS + band], line[_BANDS + NUM_BANDS + band]
        if max(level, line[_BANDS + 2 * NUM_BANDS + band]) < 0.1 * INAUDIBLE:
            continue
        # Whole control periods from the beginning, so that no chunk runs over the end.
        at = (frame + CONTROL_FRAMES * hash32(voice.measured.seed, 16 + band)) & (NOISE_FRAMES - 1)
        noise = waves[patch.tone_noise + band * NOISE_FRAMES + at :]
        for i in range(num_frames):
            left[i] += (level + slope * (since + i)) * noise[i]
    for i in range(num_frames):
        right[i] = left[i]


@kernel
def is_measured_silent(voice: Record, patch: Record) -> bool:
    """Has it died away, of those that do?"""
    return patch.tone_holds == 0 and voice.measured.num_harmonics == 0


KIND = Kind(
    "measured", render_measured, start_measured, aim_measured, is_measured_silent,
    memory=(
        # Before what others remember too: numba would take a record that begins like another for the same.
        ("seed", np.int64),
        ("lean", np.float64),  # how much harder this note is played
        ("pace", np.float64),  # how fast it begins
        *MEMORY,
    ),
    line_frames=_ROW + CHANNELS,
    numbers={
        "roughness": (0, 0.5, 0), "life": (0, 3, 1), "tilt_db": (0, 18, 0), "resonance_db": (0, 12, 0),
        "noise_db": (-40, 20, 0), "attack_spread": (0, 1, 0.3), "arch_db": (0, 6, 0), "sway_db": (0, 6, 0),
        "vibrato_db": (0, 9, 0),
    },
    derived=(
        ("tone", np.int64), ("tone_noise", np.int64), ("tone_keys", np.int64), ("tone_dynamics", np.int64),
        ("tone_holds", np.int64), ("tone_key", np.float64), ("tone_step", np.float64),
    ),
    has_tone=True,
)  # fmt: skip
