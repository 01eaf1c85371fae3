"""Recordings of a soundfont. In: a patch, its regions; out: samples in a voice's work rows.

A note is all regions of its preset that its key and velocity fall into, each with a head: a reader of the recording at
the note's pitch, with its loop, low-pass, envelopes and two oscillators, as the SoundFont standard 2.04 has them. What
follows from time alone, envelopes and oscillators, is worked out from the onset at every control point.
Remembers the heads, and in the voice's line what the standard calls generators, as modulators have left them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.envelopes import DECAY, RELEASE
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.filters import coefficients
from engine.synth.sources.kind import Kind, Lists, Moment
from engine.synth.sources.oscillators import LOG_2, log2

if TYPE_CHECKING:
    from engine.synth.patching.patch_file import PatchFile

PERCUSSION_BANK = 128
"""Its presets are kits: a drum for every key."""

# Generators by their number in the standard, as far as the kernels read them.
MOD_LFO_TO_PITCH, VIB_LFO_TO_PITCH, MOD_ENVELOPE_TO_PITCH, CUTOFF, RESONANCE = 5, 6, 7, 8, 9
MOD_LFO_TO_CUTOFF, MOD_ENVELOPE_TO_CUTOFF, MOD_LFO_TO_VOLUME, PAN = 10, 11, 13, 17
MOD_LFO, VIB_LFO, MOD_ENVELOPE, VOLUME_ENVELOPE = 21, 23, 25, 33
"""The delay of each; an oscillator's frequency follows it, an envelope's attack, hold, decay, sustain and release, and
how hold and decay follow the key."""
KEY, VELOCITY, ATTENUATION, COARSE_TUNE, FINE_TUNE, SCALE_TUNING = 46, 47, 48, 51, 52, 56
NUM_GENERATORS = 61

MAX_HEADS = 6
OPEN_CENTS = 13_500.0
"""Of the cutoff: from here on a filter without resonance that nothing moves is left out."""
_LEAST_ATTACK_S = CONTROL_FRAMES / SAMPLE_RATE
"""A recording that does not begin at zero would click."""
_RANGE_CB = 960.0
"""What decays and releases go down in their time, centibels."""
_SILENT = 3e-5
_UNIT = 2**32
_MOST_FRAMES = 2**30 - 1

REGION = np.dtype(
    [
        ("low_key", np.int64),
        ("high_key", np.int64),
        ("low_velocity", np.int64),
        ("high_velocity", np.int64),
        ("start", np.int64),  # frames of `samples`; `end` and `loop_end` are the first that do not belong to it
        ("end", np.int64),
        ("loop_start", np.int64),
        ("loop_end", np.int64),
        ("loops", np.int64),  # 0 never, 1 always, 3 until the key is let go
        ("exclusive", np.int64),
        ("rate", np.float64),  # of the recording over ours
        ("root_cents", np.float64),  # of the key that it was recorded at
        ("first_modulator", np.int64),
        ("num_modulators", np.int64),
        ("generators", np.float64, (NUM_GENERATORS,)),
    ]
)
MODULATOR = np.dtype(
    [
        ("generator", np.int64),
        ("first", np.int64),  # of its two inputs, as `packed_input` says them
        ("second", np.int64),
        ("amount", np.float64),
    ]
)

_OF_VELOCITY, _OF_KEY = 1, 2
LINEAR, CONCAVE, CONVEX, SWITCH = range(4)


def packed_input(*, is_velocity: bool, curve: int, is_negative: bool, is_bipolar: bool) -> int:
    """A modulator's input, velocity or else key, as a number; 0 is an input that is always 1."""
    return (_OF_VELOCITY if is_velocity else _OF_KEY) | curve << 2 | is_negative << 4 | is_bipolar << 5


@kernel
def convex(x: float) -> float:
    """0 … 1 to 0 … 1, as far from 1 in decibels as `x` is in amplitude."""
    return 1.0 + 400.0 / _RANGE_CB * math.log10(x) if x > 0.004 else 0.0


@kernel
def shape_input(x: float, curve: int, is_negative: int, is_bipolar: int) -> float:
    """What a modulator makes of an input of 0 … 1: 0 … 1, or -1 … 1 where it is bipolar."""
    if is_negative:
        x = 1.0 - x
    sign = 1.0
    if is_bipolar:
        sign, x = (1.0 if x >= 0.5 else -1.0), abs(2.0 * x - 1.0)
    if curve == CONCAVE:
        x = 1.0 - convex(1.0 - x)
    elif curve == CONVEX:
        x = convex(x)
    elif curve == SWITCH:
        x = 1.0 if is_bipolar or x >= 0.5 else 0.0
    return sign * x


@kernel
def _input(packed: int, key: float, velocity: float) -> float:
    if packed == 0:
        return 1.0
    x = velocity if packed & 3 == _OF_VELOCITY else key
    return shape_input(min(max(x / 127.0, 0.0), 1.0), packed >> 2 & 3, packed >> 4 & 1, packed >> 5 & 1)


@kernel
def _seconds(timecents: float) -> float:
    return 2.0 ** (timecents / 1200.0) if timecents > -11_999.0 else 0.0


@kernel
def _set_envelope(generators: np.ndarray, first: int, key: float) -> None:
    """Times of an envelope from timecents to seconds, hold and decay by key."""
    hold, decay = first + 2, first + 3
    generators[hold] += generators[first + 6] * (60.0 - key)
    generators[decay] += generators[first + 7] * (60.0 - key)
    for index in range(first, decay + 1):
        generators[index] = _seconds(generators[index])
    generators[first + 5] = _seconds(generators[first + 5])


@kernel
def _set_oscillator(generators: np.ndarray, first: int) -> None:
    """Delay to seconds, frequency to hertz."""
    generators[first] = _seconds(generators[first])
    generators[first + 1] = 8.176 * 2.0 ** (generators[first + 1] / 1200.0)


@kernel
def _begin_head(
    voice: Record, head: int, region: Record, modulators: np.ndarray, generators: np.ndarray, key: float,
    velocity: float,
) -> None:  # fmt: skip
    """Set the head to the region's beginning; `generators` [NUM_GENERATORS] are the head's own."""
    own = voice.sampler
    for index in range(NUM_GENERATORS):
        generators[index] = region.generators[index]
    key = generators[KEY] if generators[KEY] >= 0.0 else key
    velocity = generators[VELOCITY] if generators[VELOCITY] >= 1.0 else velocity
    for index in range(region.first_modulator, region.first_modulator + region.num_modulators):
        modulator = modulators[index]
        generators[modulator.generator] += (
            modulator.amount * _input(modulator.first, key, velocity) * _input(modulator.second, key, velocity)
        )
    _set_envelope(generators, MOD_ENVELOPE, key)
    _set_envelope(generators, VOLUME_ENVELOPE, key)
    _set_oscillator(generators, MOD_LFO)
    _set_oscillator(generators, VIB_LFO)
    cents = generators[SCALE_TUNING] * key - region.root_cents
    cents += 100.0 * generators[COARSE_TUNE] + generators[FINE_TUNE]
    own.rate[head] = region.rate * 2.0 ** (cents / 1200.0)
    own.at[head] = region.start * _UNIT
    own.low[head], own.band[head] = 0.0, 0.0
    own.is_filtered[head] = (
        generators[CUTOFF] < OPEN_CENTS
        or generators[RESONANCE] > 0.0
        or generators[MOD_ENVELOPE_TO_CUTOFF] < 0.0
        or generators[MOD_LFO_TO_CUTOFF] != 0.0
    )
    # The voice's gain has a power of the velocity in it already.
    level = 10.0 ** (-max(generators[ATTENUATION], 0.0) / 200.0) / max(voice.velocity, 1 / 127) ** 1.4
    angle = (min(max(generators[PAN] / 500.0, -1.0), 1.0) + 1.0) * math.pi / 4
    own.left[head] = math.sqrt(2.0) * level * math.cos(angle)
    own.right[head] = math.sqrt(2.0) * level * math.sin(angle)


@kernel
def start_sampler(voice: Record, patch: Record, regions: np.ndarray, modulators: np.ndarray, line: np.ndarray) -> None:
    """Give a head to each region that the note falls into, the first MAX_HEADS of them."""
    own = voice.sampler
    own.num_heads, own.let_go_s = 0, -1.0
    key = patch.key if patch.key >= 0.0 else voice.pitch + patch["transpose"]
    nearest, velocity = int(math.floor(key + 0.5)), int(voice.velocity * 127.0 + 0.5)
    for index in range(patch.first_region, patch.first_region + patch.num_regions):
        region = regions[index]
        if (
            own.num_heads < MAX_HEADS
            and region.low_key <= nearest <= region.high_key
            and region.low_velocity <= velocity <= region.high_velocity
        ):
            head = own.num_heads
            generators = line[head * NUM_GENERATORS : (head + 1) * NUM_GENERATORS]
            own.region[head] = index
            _begin_head(voice, head, region, modulators, generators, key, float(velocity))
            own.num_heads += 1
    if patch.attack_s == 0.0:
        # The recording's own attack is all there is.
        voice.level, voice.stage = 1.0, DECAY


@kernel
def _envelope(generators: np.ndarray, first: int, seconds: float) -> tuple[float, float]:
    """An envelope whose key is held: its attack, 0 … 1, and how far it has gone down since, 0 … 1."""
    seconds -= generators[first]
    attack_s = max(generators[first + 1], _LEAST_ATTACK_S)
    if seconds < attack_s:
        return max(seconds, 0.0) / attack_s, 0.0
    seconds -= attack_s + generators[first + 2]
    return 1.0, max(seconds, 0.0) / max(generators[first + 3], 1e-3)


@kernel
def _amplitude(generators: np.ndarray, seconds: float, let_go_s: float) -> float:
    """The volume envelope, `seconds` after the onset; the key was let go `let_go_s` after it, or not if below 0."""
    is_let_go = 0.0 <= let_go_s < seconds
    attack, gone = _envelope(generators, VOLUME_ENVELOPE, let_go_s if is_let_go else seconds)
    down_cb = min(_RANGE_CB * gone, max(generators[VOLUME_ENVELOPE + 4], 0.0))
    if is_let_go:
        down_cb += _RANGE_CB * (seconds - let_go_s) / max(generators[VOLUME_ENVELOPE + 5], 5e-3)
    return attack * 10.0 ** (-down_cb / 200.0)


@kernel
def _modulation(generators: np.ndarray, seconds: float, let_go_s: float) -> float:
    """The modulation envelope likewise, 0 … 1."""
    is_let_go = 0.0 <= let_go_s < seconds
    attack, gone = _envelope(generators, MOD_ENVELOPE, let_go_s if is_let_go else seconds)
    value = convex(attack) * (1.0 - min(gone, max(generators[MOD_ENVELOPE + 4], 0.0) / 1000.0))
    if is_let_go:
        value -= (seconds - let_go_s) / max(generators[MOD_ENVELOPE + 5], 5e-3)
    return max(value, 0.0)


@kernel
def _triangle(generators: np.ndarray, first: int, seconds: float) -> float:
    """An oscillator, -1 … 1, that begins upwards after its delay."""
    turn = max(seconds - generators[first], 0.0) * generators[first + 1] + 0.25
    return 1.0 - 4.0 * abs(turn - math.floor(turn) - 0.5)


@kernel
def _aim_filter(own: Record, head: int, generators: np.ndarray, cents: float, is_first: bool) -> None:
    hz = min(8.176 * math.exp(LOG_2 / 1200.0 * cents), 20_000.0)
    g = math.tan(math.pi * hz / SAMPLE_RATE)
    own.g[head] = g if is_first else own.g_next[head]
    own.g_next[head] = g


@kernel
def _is_looped(own: Record, region: Record) -> bool:
    return region.loops == 1 or (region.loops == 3 and own.let_go_s < 0.0)


@kernel
def aim_sampler(voice: Record, patch: Record, regions: np.ndarray, line: np.ndarray, moment: Moment) -> None:
    """Set pitch, gain and cutoff of every head; those that have ended are given up."""
    own, into, is_first = voice.sampler, moment.frame % CONTROL_FRAMES, moment.frame == voice.onset
    seconds = (moment.frame - voice.onset) / SAMPLE_RATE
    next_s = seconds + (CONTROL_FRAMES - into) / SAMPLE_RATE
    if own.let_go_s < 0.0 and voice.stage == RELEASE:
        own.let_go_s = seconds
    bend_cents = 1200.0 * log2(moment.hz / voice.hz)
    for head in range(own.num_heads):
        if own.region[head] < 0:
            continue
        region, generators = regions[own.region[head]], line[head * NUM_GENERATORS : (head + 1) * NUM_GENERATORS]
        let_go_s = own.let_go_s
        if let_go_s < 0.0 and not patch.is_pitched and region.loops != 0:
            # A drum rings as it does, but not for ever.
            let_go_s = (voice.release_at - voice.onset) / SAMPLE_RATE
        wave, swing = _triangle(generators, MOD_LFO, seconds), _triangle(generators, VIB_LFO, seconds)
        opening = _modulation(generators, seconds, let_go_s)
        cents = bend_cents + generators[MOD_LFO_TO_PITCH] * wave + generators[VIB_LFO_TO_PITCH] * swing
        cents += generators[MOD_ENVELOPE_TO_PITCH] * opening
        own.step[head] = int(own.rate[head] * math.exp(LOG_2 / 1200.0 * cents) * _UNIT + 0.5)
        there = _amplitude(generators, next_s, let_go_s)
        there *= 10.0 ** (generators[MOD_LFO_TO_VOLUME] * wave / 200.0)
        here = 0.0 if is_first else own.gain[head] + CONTROL_FRAMES * own.slope[head]
        own.slope[head] = (there - here) / (CONTROL_FRAMES - into)
        own.gain[head] = here - into * own.slope[head]
        if own.is_filtered[head]:
            cents = generators[CUTOFF] + generators[MOD_LFO_TO_CUTOFF] * wave
            _aim_filter(own, head, generators, cents + generators[MOD_ENVELOPE_TO_CUTOFF] * opening, is_first)
        is_past = not _is_looped(own, region) and own.at[head] >= region.end * _UNIT
        is_begun = seconds >= generators[VOLUME_ENVELOPE] + generators[VOLUME_ENVELOPE + 1]
        is_silent = max(here, there) < _SILENT and (is_begun or 0.0 <= let_go_s < seconds)
        if not is_first and (is_past or is_silent):
            own.region[head] = -1


@kernel
def _sample(samples: np.ndarray, index: int, first: int, end: int, length: int) -> float:
    """The recording at `index`: come round by a loop of `length`, or silence beyond its `end` where that is 0."""
    if index >= end:
        if length == 0:
            return 0.0
        index -= length
    return float(samples[max(index, first)])


@kernel
def _read(
    own: Record, head: int, samples: np.ndarray, region: Record, is_looped: bool, row: np.ndarray, into: int
) -> None:
    """Fill `row` with the head's next frames by cubic Hermite interpolation; its gain was true `into` frames ago."""
    at, step, gain, slope = own.at[head], own.step[head], own.gain[head], own.slope[head]
    first, end, length = region.start, region.end, 0
    if is_looped:
        end, length = region.loop_end, region.loop_end - region.loop_start
    # A frame late, so that the one before has come round too.
    turn_at = (end + 1) * _UNIT
    for i in range(len(row)):
        if is_looped:
            while at >= turn_at:
                at -= length * _UNIT
        # The mask tells the compiler that it is not negative.
        k, t = (at >> 32) & _MOST_FRAMES, (at & (_UNIT - 1)) * (1.0 / _UNIT)
        if first < k < end - 2:
            a, b, c, d = float(samples[k - 1]), float(samples[k]), float(samples[k + 1]), float(samples[k + 2])
        else:
            a, b = _sample(samples, k - 1, first, end, length), _sample(samples, k, first, end, length)
            c, d = _sample(samples, k + 1, first, end, length), _sample(samples, k + 2, first, end, length)
        one, two, three = 0.5 * (c - a), a - 2.5 * b + 2.0 * c - 0.5 * d, 0.5 * (d - a) + 1.5 * (b - c)
        row[i] = (gain + slope * (into + i)) * (((three * t + two) * t + one) * t + b) * (1.0 / 32_768.0)
        at += step
    own.at[head] = at


@kernel
def _filter_head(own: Record, head: int, resonance_cb: float, row: np.ndarray, into: int) -> None:
    """A low-pass of two poles, as the voice's; its level falls by half of what its peak rises, as the standard says."""
    k, level = math.sqrt(2.0) * 10.0 ** (-resonance_cb / 200.0), 10.0 ** (-resonance_cb / 400.0)
    here, there = coefficients(own.g[head], k), coefficients(own.g_next[head], k)
    low, band = own.low[head], own.band[head]
    # Alternating, as in the voice's.
    tiny = 1e-20 if into % 2 else -1e-20
    for i in range(len(row)):
        tiny = -tiny
        share = (into + i) * (1.0 / CONTROL_FRAMES)
        p1, p2 = here[0] + (there[0] - here[0]) * share, here[1] + (there[1] - here[1]) * share
        p3 = here[2] + (there[2] - here[2]) * share
        x = row[i] + tiny
        next_band, next_low = p2 * x + p1 * band - p2 * low, (x - p3 * x) + p2 * band + p3 * low
        row[i] = 0.5 * level * (low + next_low)
        band, low = next_band, next_low
    own.low[head], own.band[head] = low, band


@kernel
def render_sampler(
    voice: Record, regions: np.ndarray, samples: np.ndarray, line: np.ndarray, work: np.ndarray, frame: int,
    num_frames: int,
) -> None:  # fmt: skip
    """Add every head to both rows."""
    own, into = voice.sampler, frame % CONTROL_FRAMES
    left, right, row = work[0, :num_frames], work[1, :num_frames], work[2, :num_frames]
    for head in range(own.num_heads):
        if own.region[head] < 0:
            continue
        region = regions[own.region[head]]
        _read(own, head, samples, region, _is_looped(own, region), row, into)
        if own.is_filtered[head]:
            _filter_head(own, head, max(line[head * NUM_GENERATORS + RESONANCE], 0.0), row, into)
        to_left, to_right = own.left[head], own.right[head]
        for i in range(num_frames):
            left[i] += to_left * row[i]
            right[i] += to_right * row[i]


@kernel
def is_sampler_silent(voice: Record) -> bool:
    """Have all heads ended?"""
    own, sounding = voice.sampler, 0
    for head in range(own.num_heads):
        sounding += own.region[head] >= 0
    return sounding == 0


def _derive(file: PatchFile, name: str, patch: npt.NDArray[np.void], lists: Lists) -> None:
    for field in ("program", "bank", "key"):
        if patch[field] != int(patch[field]):
            raise file.fail(name, field, f"{field} is {patch[field]:g}; allowed is a whole number")
    patch["is_pitched"] = patch["bank"] != PERCUSSION_BANK


KIND = Kind(
    "sampler", render_sampler, start_sampler, aim_sampler, is_sampler_silent,
    memory=(
        ("num_heads", np.int64),
        ("let_go_s", np.float64),  # seconds from the onset until the key was let go, -1 while it is held
        ("region", np.int64, (MAX_HEADS,)),  # that the head reads; -1 when it has ended
        ("is_filtered", np.int64, (MAX_HEADS,)),
        ("at", np.int64, (MAX_HEADS,)),  # where in `samples`, in 2^-32 frames
        ("step", np.int64, (MAX_HEADS,)),  # that a frame takes it further
        ("rate", np.float64, (MAX_HEADS,)),  # the same of the note without vibrato, in frames
        ("gain", np.float64, (MAX_HEADS,)),  # of the envelope at the last control point
        ("slope", np.float64, (MAX_HEADS,)),  # and what it grows a frame
        ("left", np.float64, (MAX_HEADS,)),
        ("right", np.float64, (MAX_HEADS,)),
        ("g", np.float64, (MAX_HEADS,)),  # of the low-pass, as the voice's
        ("g_next", np.float64, (MAX_HEADS,)),
        ("low", np.float64, (MAX_HEADS,)),
        ("band", np.float64, (MAX_HEADS,)),
    ),
    line_frames=MAX_HEADS * NUM_GENERATORS,
    numbers={
        "program": (0, 127, 0), "bank": (0, 16_383, 0), "key": (-1, 127, -1), "choke": (0, 127, 0),
        "attack_s": (0, 8, 0), "release_s": (0.005, 20, 20), "cutoff_hz": (20, 20_000, 20_000),
        "key_tracking": (0, 1, 0), "velocity_octaves": (0, 6, 0), "brightness_octaves": (0, 6, 2),
    },
    derived=(("first_region", np.int32), ("num_regions", np.int32)),
    derive=_derive,
    plays_soundfont=True,
    slurs=False,
    most_slide_octaves=1 / 6,
)  # fmt: skip
