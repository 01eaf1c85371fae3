"""One drum: a swept tone, modes of a skin or of metal, two bands of noise. In: a drum patch; out: samples in work rows.

Remembers its own envelopes and the voice's modes. Called inside the slot kernel. The common filter and envelope
follow in `voices`. No two hits are alike: pitch, modes and noise differ a little by the voice's own seed.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.kind import Kind, Moment
from engine.synth.sources.modal import (
    BODIES,
    MAX_PARTIALS,
    MODE_FIELDS,
    MODE_LISTS,
    add_modes,
    derive_modes,
    set_mode,
    settle_modes,
    spread_modes,
)
from engine.synth.sources.oscillators import NOISE_SCALE, hash32, next_noise, sine, white_noise

SILENT_DRUM = 1e-4
_BURST_DECAY_S = 0.025
_GRIT_SHARE = 1.0 - math.exp(-2.0 * math.pi * 600.0 / SAMPLE_RATE)
_GRIT_GAIN = math.sqrt(3.0 * (2.0 - _GRIT_SHARE) / _GRIT_SHARE)
"""Brings white noise behind a one-pole low-pass of 600 Hz back to an effective value of 1."""


@kernel
def _keep(seconds: float) -> float:
    """Factor of one frame that makes -60 dB in `seconds`."""
    return math.exp(-6.9078 / (seconds * SAMPLE_RATE))


@kernel
def start_drum(voice: Record, patch: Record, modes: np.ndarray) -> None:
    """Set the drum's own envelopes to their beginning and its modes ringing; harder hits are longer and brighter."""
    own = voice.drum
    own.tone = 1.0 if patch.tone_level > 0.0 else 0.0
    own.noise = 1.0 if patch.noise_level > 0.0 else 0.0
    own.hiss = 1.0 if patch.hiss_level > 0.0 else 0.0
    own.rise, own.sweep = 1.0, 1.0
    own.phase, own.frames = 0.0, 0.0
    own.bands[:] = 0.0
    voice.noise = next_noise(voice.noise)
    chance = voice.noise * NOISE_SCALE - 1.0
    own.pitch = 1.0 + 0.012 * chance
    own.burst_frames = patch.burst_s * SAMPLE_RATE * (1.0 + 0.15 * chance)
    effort = voice.velocity - 0.75
    modes[:] = 0.0
    own.num_modes = patch.num_modes if patch.mode_level > 0.0 else 0
    for k in range(own.num_modes):
        ratio = patch.ratios[k]
        mode_hz = own.pitch * patch.mode_hz * ratio
        voice.noise = next_noise(voice.noise)
        if mode_hz > 18_000.0:
            continue
        chance = voice.noise * NOISE_SCALE - 1.0
        amplitude = patch.mode_level * patch.amplitudes[k] * max(ratio, 0.5) ** (0.8 * effort - patch.tilt)
        decay_s = patch.mode_decay_s * (0.75 + 0.35 * voice.velocity) / (1.0 + patch.mode_damping * (ratio - 1.0))
        set_mode(modes[k], mode_hz * (1.0 + 0.004 * chance), amplitude * (1.0 + 0.18 * chance), max(decay_s, 0.005))


@kernel
def render_drum(voice: Record, patch: Record, modes: np.ndarray, work: np.ndarray, frame: int, num_frames: int) -> None:
    """Modes, noise, tone; those that still sound."""
    own = voice.drum
    if own.num_modes > 0:
        add_modes(work, num_frames, modes, own.num_modes)
        spread_modes(work, num_frames, 0.9 * patch.width, patch.clash * (0.4 + 0.8 * voice.velocity))
    if own.noise > 0.0 or own.hiss > 0.0 or (patch.grit > 0.0 and own.num_modes > 0):
        _add_noise(voice, patch, work, frame, num_frames)
    if own.tone > 0.0:
        _add_tone(voice, patch, work, num_frames)


@kernel
def aim_drum(voice: Record, modes: np.ndarray, moment: Moment) -> None:
    """End what has died away, long before its numbers become denormal."""
    own = voice.drum
    own.num_modes = settle_modes(modes, own.num_modes, moment.frame // CONTROL_FRAMES)
    if own.sweep < SILENT_DRUM:
        own.sweep = 0.0
    if own.rise < SILENT_DRUM:
        own.rise = 0.0
    if own.tone < SILENT_DRUM:
        own.tone = 0.0
    if own.noise < SILENT_DRUM:
        own.noise = 0.0
    if own.hiss < SILENT_DRUM:
        own.hiss = 0.0


@kernel
def is_drum_silent(voice: Record) -> bool:
    """Has every part of the drum died away?"""
    own = voice.drum
    return own.num_modes == 0 and max(own.tone, own.noise, own.hiss) == 0.0


@kernel
def _add_tone(voice: Record, patch: Record, work: np.ndarray, num_frames: int) -> None:
    """A sine that falls to its pitch, and an overtone that dies twice as fast."""
    own = voice.drum
    turn, sweep, level = own.phase, own.sweep, own.tone
    sweep_keep = _keep(patch.sweep_s)
    tone_keep = _keep(patch.tone_decay_s * (0.7 + 0.4 * voice.velocity))
    bend = 2.0 ** (patch.sweep_octaves * (0.6 + 0.5 * voice.velocity)) - 1.0
    base = own.pitch * patch.tone_hz / SAMPLE_RATE
    left, right = work[0, :num_frames], work[1, :num_frames]
    for i in range(num_frames):
        shape = sine(turn - math.floor(turn))
        if patch.overtone_level > 0.0:
            over = turn * patch.overtone_ratio
            shape += patch.overtone_level * level * sine(over - math.floor(over))
        value = patch.tone_level * level * shape
        left[i] += value
        right[i] += value
        turn += min(base * (1.0 + bend * sweep), 0.4)
        sweep *= sweep_keep
        level *= tone_keep
    own.phase, own.sweep, own.tone = turn, sweep, level


@kernel
def _fill_noise(voice: Record, patch: Record, row: np.ndarray, channel: int, frame: int) -> None:
    """White noise of the voice's own or, held at `hold_hz` and repeated after `noise_period` steps, a chip's."""
    if patch.hold_hz <= 0.0:
        white_noise(voice.noise + channel, frame, row)
        return
    rate = patch.hold_hz / SAMPLE_RATE
    for i in range(len(row)):
        step = int((frame - voice.onset + i) * rate)
        if patch.noise_period > 0.0:
            step %= int(patch.noise_period)
        # A shift register's noise has two levels only.
        row[i] = 0.6 if hash32(0x5EED, step) & 1 else -0.6


@kernel
def _band(hz: float, octaves: float) -> tuple[float, float, float, float]:
    """p1, p2, p3 of a band-pass as in `filters`, and the gain that makes white noise about 0.35 strong behind it."""
    hz = min(hz, 20_000.0)
    half = 2.0 ** (0.5 * octaves)
    k = half - 1.0 / half
    g = math.tan(math.pi * hz / SAMPLE_RATE)
    a1 = 1.0 / (1.0 + g * (g + k))
    gain = min(8.0, 0.6 / math.sqrt(1.5708 * k * hz / 24_000.0 + 0.02))
    return 2.0 * a1 - 1.0, 2.0 * g * a1, 1.0 - 2.0 * g * g * a1, 0.5 * k * gain


@kernel
def _add_noise(voice: Record, patch: Record, work: np.ndarray, frame: int, num_frames: int) -> None:
    """Two bands of noise, the right channel's own by `width`.

    The first band may be struck several times, by the hands of a clap; the second may bloom late, as metal does. By
    `grit` the modes are multiplied with slow noise, which makes a band of each line: a cymbal has more modes than we.
    """
    own = voice.drum
    white_left, white_right = work[2, :num_frames], work[3, :num_frames]
    _fill_noise(voice, patch, white_left, 0, frame)
    _fill_noise(voice, patch, white_right, 1 if patch.width > 0.0 else 0, frame)
    if patch.width > 0.0:
        shared, apart = 1.0 - patch.width, math.sqrt(patch.width * (2.0 - patch.width))
        for i in range(num_frames):
            white_right[i] = shared * white_left[i] + apart * white_right[i]
    lift = 2.0 ** (patch.noise_lift * (voice.velocity - 0.75))
    p1, p2, p3, low_gain = _band(patch.noise_hz * lift, patch.noise_octaves)
    s1, s2, s3, high_gain = _band(patch.hiss_hz * lift, patch.hiss_octaves)
    longer = 0.6 + 0.5 * voice.velocity
    keep, keep_high = _keep(patch.noise_decay_s * longer), _keep(patch.hiss_decay_s * longer)
    keep_rise, keep_burst = _keep(patch.hiss_attack_s), _keep(_BURST_DECAY_S)
    low_gain, high_gain = low_gain * patch.noise_level, high_gain * patch.hiss_level
    bursts_end = (patch.bursts - 1.0) * own.burst_frames
    level, high, rise, frames = own.noise, own.hiss, own.rise, own.frames
    memory = own.bands
    l1, l2, h1, h2 = memory[0], memory[1], memory[2], memory[3]
    r1, r2, t1, t2 = memory[4], memory[5], memory[6], memory[7]
    plain, grit, grit_left, grit_right = 1.0 - patch.grit, patch.grit * _GRIT_GAIN, memory[8], memory[9]
    left, right = work[0, :num_frames], work[1, :num_frames]
    for i in range(num_frames):
        x, y = white_left[i], white_right[i]
        grit_left += _GRIT_SHARE * (x - grit_left)
        grit_right += _GRIT_SHARE * (y - grit_right)
        low, top = low_gain * level, high_gain * high * (1.0 - rise)
        m1, m2 = p1 * l1 + p2 * (x - l2), p2 * l1 + p3 * (l2 - x) + x
        n1, n2 = s1 * h1 + s2 * (x - h2), s2 * h1 + s3 * (h2 - x) + x
        left[i] = left[i] * (plain + grit * grit_left) + low * (l1 + m1) + top * (h1 + n1)
        l1, l2, h1, h2 = m1, m2, n1, n2
        m1, m2 = p1 * r1 + p2 * (y - r2), p2 * r1 + p3 * (r2 - y) + y
        n1, n2 = s1 * t1 + s2 * (y - t2), s2 * t1 + s3 * (t2 - y) + y
        right[i] = right[i] * (plain + grit * grit_right) + low * (r1 + m1) + top * (t1 + n1)
        r1, r2, t1, t2 = m1, m2, n1, n2
        frames += 1.0
        if frames < bursts_end:
            level = 1.0 if frames % own.burst_frames < 1.0 else level * keep_burst
        else:
            level *= keep
        high *= keep_high
        rise *= keep_rise
    memory[0], memory[1], memory[2], memory[3] = l1, l2, h1, h2
    memory[4], memory[5], memory[6], memory[7] = r1, r2, t1, t2
    memory[8], memory[9] = grit_left, grit_right
    own.noise, own.hiss, own.rise, own.frames = level, high, rise, frames


KIND = Kind(
    "drum", render_drum, start_drum, aim_drum, is_drum_silent,
    memory=(
        ("num_modes", np.int64),  # not yet died away
        ("pitch", np.float64),  # of this hit, over the patch's
        ("tone", np.float64),  # envelopes of the tone and of both bands of noise
        ("noise", np.float64),
        ("hiss", np.float64),
        ("rise", np.float64),  # what is left of the second band's bloom
        ("sweep", np.float64),  # envelope of the tone's pitch
        ("phase", np.float64),  # turns of the tone since the hit
        ("frames", np.float64),  # of the noise since the hit
        ("burst_frames", np.float64),  # between two hands
        ("bands", np.float64, (10,)),  # filters of both bands and of the grit, a channel each
    ),
    num_modes=MAX_PARTIALS,
    is_pitched=False,
    numbers={
        "key_tracking": (0, 1, 0), "attack_s": (0.0005, 8, 0.0005), "cutoff_hz": (20, 20_000, 18_000),
        "velocity_octaves": (0, 6, 0.6), "brightness_octaves": (0, 6, 0.6),
        "tone_hz": (20, 8000, 100), "tone_level": (0, 1, 0), "tone_decay_s": (0.005, 6, 0.2),
        "sweep_octaves": (-2, 6, 0), "sweep_s": (0.002, 1, 0.05), "overtone_ratio": (1, 6, 1.6),
        "overtone_level": (0, 1, 0), "num_partials": (0, MAX_PARTIALS, 0), "mode_hz": (30, 8000, 200),
        "mode_level": (0, 1, 0), "mode_decay_s": (0.005, 20, 0.3), "mode_damping": (0, 4, 0.1), "tilt": (-1, 4, 0),
        "clash": (0, 40, 0), "grit": (0, 1, 0), "noise_hz": (60, 16_000, 3000), "noise_octaves": (0.1, 8, 2),
        "hiss_level": (0, 1, 0), "hiss_hz": (60, 18_000, 8000), "hiss_octaves": (0.1, 8, 2),
        "hiss_decay_s": (0.005, 20, 0.2), "hiss_attack_s": (0.0001, 2, 0.0001), "noise_lift": (0, 3, 0.7),
        "hold_hz": (0, SAMPLE_RATE, 0), "noise_period": (0, 65_536, 0), "bursts": (0, 8, 0),
        "burst_s": (0.002, 0.2, 0.011), "width": (0, 1, 0), "choke": (0, 4, 0),
    },
    words={"body": (BODIES, "string")},
    lists=MODE_LISTS,
    derived=MODE_FIELDS,
    derive=derive_modes,
)  # fmt: skip
