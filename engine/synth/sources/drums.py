"""One drum: a swept tone, modes of a skin or of metal, two bands of noise. In: a drum patch; out: samples in work rows.

Remembers in the VOICE record and the voice's modes. Called inside the slot kernel. The common filter and envelope
follow in `voices`. No two hits are alike: pitch, modes and noise differ a little by the voice's own seed.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.sources.modal import add_modes, set_mode, spread_modes
from engine.synth.sources.oscillators import NOISE_SCALE, hash32, next_noise, sine, white_noise

TONE = 6
"""Place in VOICE.phase: turns of the tone since the hit."""
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
def strike_drum(voice: np.void, patch: np.void, modes: np.ndarray) -> None:
    """Set the drum's own envelopes to their beginning and its modes ringing; harder hits are longer and brighter."""
    voice.tine = 1.0 if patch.tone_level > 0.0 else 0.0
    voice.noise_level = 1.0 if patch.noise_level > 0.0 else 0.0
    voice.second = 1.0 if patch.hiss_level > 0.0 else 0.0
    voice.rise = 1.0
    voice.sweep, voice.index = 1.0, 0.0
    voice.bands[:] = 0.0
    voice.noise = next_noise(voice.noise)
    chance = voice.noise * NOISE_SCALE - 1.0
    voice.hz = 1.0 + 0.012 * chance
    voice.burst_frames = patch.burst_s * SAMPLE_RATE * (1.0 + 0.15 * chance)
    effort = voice.velocity - 0.75
    modes[:] = 0.0
    voice.num_modes = patch.num_modes if patch.mode_level > 0.0 else 0
    for k in range(voice.num_modes):
        ratio = patch.ratios[k]
        mode_hz = voice.hz * patch.mode_hz * ratio
        voice.noise = next_noise(voice.noise)
        if mode_hz > 18_000.0:
            continue
        chance = voice.noise * NOISE_SCALE - 1.0
        amplitude = patch.mode_level * patch.amplitudes[k] * max(ratio, 0.5) ** (0.8 * effort - patch.tilt)
        decay_s = patch.mode_decay_s * (0.75 + 0.35 * voice.velocity) / (1.0 + patch.mode_damping * (ratio - 1.0))
        set_mode(modes[k], mode_hz * (1.0 + 0.004 * chance), amplitude * (1.0 + 0.18 * chance), max(decay_s, 0.005))


@kernel
def add_drum(voice: np.void, patch: np.void, modes: np.ndarray, work: np.ndarray, frame: int, num_frames: int) -> None:
    """Add the drum's next frames to rows 0 and 1 of `work`; the others are overwritten."""
    if voice.num_modes > 0:
        add_modes(work, num_frames, modes, voice.num_modes)
        spread_modes(work, num_frames, 0.9 * patch.width, patch.clash * (0.4 + 0.8 * voice.velocity))
    if voice.noise_level > 0.0 or voice.second > 0.0 or (patch.grit > 0.0 and voice.num_modes > 0):
        _add_noise(voice, patch, work, frame, num_frames)
    if voice.tine > 0.0:
        _add_tone(voice, patch, work, num_frames)


@kernel
def settle_drum(voice: np.void) -> None:
    """At a control point, end what has died away, long before its numbers become denormal."""
    if voice.sweep < SILENT_DRUM:
        voice.sweep = 0.0
    if voice.rise < SILENT_DRUM:
        voice.rise = 0.0
    if voice.tine < SILENT_DRUM:
        voice.tine = 0.0
    if voice.noise_level < SILENT_DRUM:
        voice.noise_level = 0.0
    if voice.second < SILENT_DRUM:
        voice.second = 0.0


@kernel
def is_drum_silent(voice: np.void) -> bool:
    """Has every part of the drum died away?"""
    return voice.num_modes == 0 and max(voice.tine, voice.noise_level, voice.second) == 0.0


@kernel
def _add_tone(voice: np.void, patch: np.void, work: np.ndarray, num_frames: int) -> None:
    """A sine that falls to its pitch, and an overtone that dies twice as fast."""
    turn, sweep, level = voice.phase[TONE], voice.sweep, voice.tine
    sweep_keep = _keep(patch.sweep_s)
    tone_keep = _keep(patch.tone_decay_s * (0.7 + 0.4 * voice.velocity))
    bend = 2.0 ** (patch.sweep_octaves * (0.6 + 0.5 * voice.velocity)) - 1.0
    base = voice.hz * patch.tone_hz / SAMPLE_RATE
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
    voice.phase[TONE], voice.sweep, voice.tine = turn, sweep, level


@kernel
def _fill_noise(voice: np.void, patch: np.void, row: np.ndarray, channel: int, frame: int) -> None:
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
def _add_noise(voice: np.void, patch: np.void, work: np.ndarray, frame: int, num_frames: int) -> None:
    """Two bands of noise, the right channel's own by `width`.

    The first band may be struck several times, by the hands of a clap; the second may bloom late, as metal does. By
    `grit` the modes are multiplied with slow noise, which makes a band of each line: a cymbal has more modes than we.
    """
    white_left, white_right = work[2, :num_frames], work[3, :num_frames]
    _fill_noise(voice, patch, white_left, 0, frame)
    _fill_noise(voice, patch, white_right, 1 if patch.width > 0.0 else 0, frame)
    if patch.width > 0.0:
        shared, own = 1.0 - patch.width, math.sqrt(patch.width * (2.0 - patch.width))
        for i in range(num_frames):
            white_right[i] = shared * white_left[i] + own * white_right[i]
    lift = 2.0 ** (patch.noise_lift * (voice.velocity - 0.75))
    p1, p2, p3, low_gain = _band(patch.noise_hz * lift, patch.noise_octaves)
    s1, s2, s3, high_gain = _band(patch.hiss_hz * lift, patch.hiss_octaves)
    longer = 0.6 + 0.5 * voice.velocity
    keep, keep_high = _keep(patch.noise_decay_s * longer), _keep(patch.hiss_decay_s * longer)
    keep_rise, keep_burst = _keep(patch.hiss_attack_s), _keep(_BURST_DECAY_S)
    low_gain, high_gain = low_gain * patch.noise_level, high_gain * patch.hiss_level
    bursts_end = (patch.bursts - 1.0) * voice.burst_frames
    level, high, rise, frames = voice.noise_level, voice.second, voice.rise, voice.index
    memory = voice.bands
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
            level = 1.0 if frames % voice.burst_frames < 1.0 else level * keep_burst
        else:
            level *= keep
        high *= keep_high
        rise *= keep_rise
    memory[0], memory[1], memory[2], memory[3] = l1, l2, h1, h2
    memory[4], memory[5], memory[6], memory[7] = r1, r2, t1, t2
    memory[8], memory[9] = grit_left, grit_right
    voice.noise_level, voice.second, voice.rise, voice.index = level, high, rise, frames
