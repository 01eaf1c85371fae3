"""One voice: source, state-variable filter, envelopes, pan. In: patch and note; out: samples added to its layer's bus.

Remembers in a VOICE record and the voice's line and modes. Called inside the slot kernel. Controls are computed at
absolute multiples of CONTROL_FRAMES and at the onset, so cutting a block anywhere changes nothing. What differs from
kind to kind is in `sources`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.envelopes import (
    ATTACK,
    ATTACK_OVERSHOOT,
    DECAY,
    FREE,
    RELEASE,
    approach,
    attack_share,
)
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.filters import apply_filter
from engine.synth.sources.kind import Moment
from engine.synth.sources.kinds import VOICE_FIELDS, aim_source, is_source_silent, render_source, start_source
from engine.synth.sources.oscillators import CENT, LOG_2, NOISE_SCALE, TAU, ease, hash32, log2, next_noise, sine

VOICE = np.dtype(
    [
        ("stage", np.int64),  # FREE … RELEASE
        ("filter_stage", np.int64),
        ("patch", np.int64),
        ("layer", np.int64),
        ("pitch", np.int64),
        ("onset", np.int64),  # absolute frame; may lie ahead
        ("written", np.int64),  # frame of the last note that this voice was given
        ("is_upstroke", np.int64),  # of the strum that the note belongs to
        ("release_at", np.int64),  # absolute frame
        ("noise", np.int64),  # xorshift32 state
        ("velocity", np.float64),  # 0 … 1
        ("hz", np.float64),
        ("increment", np.float64),  # fundamental over sample rate, with vibrato
        ("glide", np.float64),  # octaves from the note to where it is slurred from
        ("scoop", np.float64),  # cents from the note to where it begins
        ("jitter", np.float64),  # random walk of pitch, effective value 1
        ("wander", np.float64),  # 0 … 1, tells the slow motions of equal voices apart
        ("pan_left", np.float64),  # where the gains are to be
        ("pan_right", np.float64),
        ("gain_left", np.float64),  # at the last control point
        ("gain_right", np.float64),
        ("step_left", np.float64),
        ("step_right", np.float64),
        ("level", np.float64),  # amplitude envelope
        ("fade", np.float64),  # 1 … 0 after the voice was stolen
        ("fade_step", np.float64),
        ("filter_level", np.float64),  # filter envelope
        ("g", np.float64),  # tan(π·cutoff / sample rate) at the last control point
        ("g_next", np.float64),  # and at the next
        ("memory", np.float64, (4,)),  # state-variable filter, two integrators per channel
        ("noise_level", np.float64),  # envelope of the noise that comes beside the tone
        ("breath", np.float64, (3,)),  # its low-passes
        ("breath_gain", np.float64),
        ("breath_step", np.float64),
        *VOICE_FIELDS,
    ]
)
"""What all kinds have in common, then what each remembers by itself."""

SILENCE = 1e-4
STEAL_FRAMES = 192
SLUR_FADE_FRAMES = 2400
JITTER_KEEP, JITTER_ADD = 0.95, 0.54
"""Per control period, on even noise of -1 … 1: about 6 Hz wide, effective value 1."""
GLIDE_PART = 0.35
"""A glide takes at most this part of the note."""
SLUR_SHARE = 0.08
"""Part of the way to a slurred note's level that is gone in a control period: half of it in 11 ms."""
LOOSE_LEVEL = 0.08
"""How far levels of notes differ, linear, where the player's `looseness_s` is 5 ms."""
NOISE_DRAWS = 9
"""Numbers that a note draws at first: its wandering is the last, those before are its kind's to use."""
MAX_HZ = 0.23 * SAMPLE_RATE


@kernel
def _note_hz(patch: Record, pitch: int) -> float:
    return min(440.0 * 2.0 ** ((pitch + patch["transpose"] - 69.0) / 12.0), MAX_HZ)


@kernel
def _set_gain(voice: Record, patch: Record, pitch: int, velocity: float) -> None:
    """Where the voice's left and right gain are to be, from level, velocity, pan and register."""
    pan = patch.pan + ((pitch - 60.0) / 80.0 if patch.is_pitched else 0.0)
    angle = (min(max(pan, -1.0), 1.0) + 1.0) * math.pi / 4
    gain = 10.0 ** (patch.level_db / 20) * velocity**1.4 * math.sqrt(2.0)
    looseness = LOOSE_LEVEL * min(1.0, patch.looseness_s / 0.005)
    gain *= 1.0 + looseness * (hash32(voice.noise, 2) * NOISE_SCALE - 1.0)
    voice.velocity = velocity
    voice.pan_left, voice.pan_right = gain * math.cos(angle), gain * math.sin(angle)


@kernel
def start_voice(
    voice: Record,
    patch: Record,
    tables: Any,
    line: np.ndarray,
    modes: np.ndarray,
    onset: int,
    length: int,
    pitch: int,
    velocity: float,
    noise: int,
) -> None:
    """Set a free voice to begin at frame `onset`; `velocity` 0 … 1, `noise` any 32-bit seed."""
    voice.stage, voice.filter_stage = ATTACK, ATTACK
    voice.pitch, voice.onset, voice.release_at = pitch, onset, onset + length
    voice.noise = noise | 1
    voice.hz = _note_hz(patch, pitch)
    voice.increment = voice.hz / SAMPLE_RATE
    voice.level, voice.filter_level, voice.fade, voice.fade_step = 0.0, 0.0, 1.0, 0.0
    voice.g, voice.noise_level = -1.0, 1.0
    voice.memory[:] = 0.0
    voice.breath[:] = 0.0
    voice.breath_gain = -1.0
    voice.jitter = 0.0
    voice.scoop = 0.0
    if voice.glide == 0.0 and hash32(noise, 3) < patch.scoop_share * 4294967296.0:
        voice.scoop = -patch.scoop_cents
    for _ in range(NOISE_DRAWS):
        voice.noise = next_noise(voice.noise)
    voice.wander = voice.noise / 4294967296.0
    _set_gain(voice, patch, pitch, velocity)
    voice.gain_left, voice.gain_right = voice.pan_left, voice.pan_right
    voice.step_left, voice.step_right = 0.0, 0.0
    start_source(voice, patch, tables, line, modes, noise)


@kernel
def octaves_to(voice: Record, patch: Record, pitch: int) -> float:
    """Octaves from `pitch` to where `voice` is now, as far as its kind slides."""
    octaves = log2(voice.increment * SAMPLE_RATE / _note_hz(patch, pitch))
    return min(max(octaves, -patch.most_slide_octaves), patch.most_slide_octaves)


@kernel
def slur_voice(
    voice: Record, patch: Record, frame: int, length: int, pitch: int, velocity: float, slide: float
) -> None:
    """Lead a sounding voice on to a new note in the same breath or bow, from `slide` octaves off and without attack."""
    voice.pitch, voice.written, voice.release_at = pitch, frame, frame + length
    voice.hz, voice.glide, voice.scoop = _note_hz(patch, pitch), slide, 0.0
    if voice.stage == RELEASE:
        voice.stage, voice.filter_stage = ATTACK, ATTACK
    voice.noise_level = max(voice.noise_level, 0.5 * (1.0 + patch.noise_sustain))
    voice.noise = next_noise(voice.noise)
    _set_gain(voice, patch, pitch, velocity)


@kernel
def _control_envelope(voice: Record, patch: Record, frame: int) -> None:
    """Advance note-off and filter envelope by one control period."""
    if voice.stage != RELEASE and frame >= voice.release_at and patch.is_pitched:
        voice.stage, voice.filter_stage = RELEASE, RELEASE
        voice.noise_level = max(voice.noise_level, patch.release_noise)
    if voice.filter_stage == ATTACK:
        share = attack_share(patch.filter_attack_s, CONTROL_FRAMES)
        voice.filter_level += (ATTACK_OVERSHOOT - voice.filter_level) * share
        if voice.filter_level >= 1.0:
            voice.filter_level, voice.filter_stage = 1.0, DECAY
    elif voice.filter_stage == DECAY:
        share = approach(patch.filter_decay_s, CONTROL_FRAMES)
        voice.filter_level += (patch.filter_sustain - voice.filter_level) * share
    else:
        voice.filter_level -= voice.filter_level * approach(patch.release_s, CONTROL_FRAMES)


@kernel
def _aim_breath(voice: Record, patch: Record, brightness: float) -> None:
    """Ramp the gain of the noise beside the tone to where its envelope will be at the next control point."""
    scale = patch.noise_level * (0.4 + 1.2 * brightness)
    if voice.breath_gain < 0.0:
        voice.breath_gain = scale
    if patch.noise_sustain == 0.0 and voice.noise_level < 3e-4:
        voice.noise_level, voice.breath_gain, voice.breath_step = 0.0, 0.0, 0.0
        return
    voice.noise_level += (patch.noise_sustain - voice.noise_level) * approach(patch.noise_decay_s, CONTROL_FRAMES)
    voice.breath_step = (scale * voice.noise_level - voice.breath_gain) / CONTROL_FRAMES


@kernel
def _vibrato(voice: Record, patch: Record, seconds: float) -> float:
    """-1 … 1, growing after a delay; no two notes begin it at once or swing at one rate, and none quite evenly."""
    delay_s = patch.vibrato_delay_s * (0.7 + 0.6 * voice.wander)
    depth = min(1.0, max(0.0, (seconds - delay_s) / max(patch.vibrato_rise_s, 0.05)))
    wander = voice.wander
    slow = 0.43 * seconds + wander
    turn = seconds * patch.vibrato_hz * (0.95 + 0.1 * wander) + 0.1 * sine(slow - math.floor(slow))
    return depth * sine(turn - math.floor(turn))


@kernel
def _heard_hz(voice: Record, patch: Record, seconds: float, vibrato: float) -> float:
    """The note's frequency with drift, jitter, vibrato, glide and scoop, `seconds` after it was written."""
    cents = patch.vibrato_cents * vibrato
    if patch.drift_cents > 0.0:
        # Not the filter's motion again: another rate, and apart from it in every voice.
        turn = 0.37 * seconds + 7.0 * voice.wander
        cents += patch.drift_cents * sine(turn - math.floor(turn))
    if patch.jitter_cents > 0.0:
        voice.noise = next_noise(voice.noise)
        voice.jitter = JITTER_KEEP * voice.jitter + JITTER_ADD * (voice.noise * NOISE_SCALE - 1.0)
        cents += patch.jitter_cents * voice.jitter
    if voice.scoop != 0.0:
        cents += voice.scoop * ease(seconds, patch.scoop_s)
    if voice.glide != 0.0:
        length_s = (voice.release_at - voice.written) / SAMPLE_RATE
        cents += 1200.0 * voice.glide * ease(seconds, min(patch.glide_s, GLIDE_PART * length_s))
    return min(voice.hz * math.exp(CENT * cents), MAX_HZ)


@kernel
def _aim_gain(voice: Record, patch: Record, frame: int) -> None:
    """Ramp both gains to where tremolo and a slurred note's velocity bring them at the next control point."""
    voice.gain_left += CONTROL_FRAMES * voice.step_left
    voice.gain_right += CONTROL_FRAMES * voice.step_right
    turn = frame / SAMPLE_RATE * patch.tremolo_hz
    swing = 0.6 * patch.tremolo * sine(turn - math.floor(turn))
    share = (SLUR_SHARE if patch.glide_s > 0.0 else 1.0) / CONTROL_FRAMES
    voice.step_left = share * (voice.pan_left * (1.0 - swing) - voice.gain_left)
    voice.step_right = share * (voice.pan_right * (1.0 + swing) - voice.gain_right)


@kernel
def _update_controls(
    voice: Record, patch: Record, tables: Any, line: np.ndarray, modes: np.ndarray, frame: int, brightness: float,
    energy: float,
) -> None:  # fmt: skip
    """Set what is ramped until the next control point: cutoff, pitch, gain, breath and what the kind ramps."""
    _control_envelope(voice, patch, frame)
    octaves = (
        patch.envelope_octaves * voice.filter_level
        + patch.velocity_octaves * (voice.velocity - 0.75)
        + patch.brightness_octaves * (2.0 * brightness - 1.0)
        + 0.6 * (energy - 0.5)
        + patch.key_tracking * (voice.pitch - 60.0) / 12.0
    )
    motion = 0.0
    if patch.motion_octaves > 0.0:
        # By the station's time, a little apart: the voices of a chord swell together.
        turn = frame / SAMPLE_RATE * patch.motion_hz + 0.4 * voice.wander
        motion = patch.motion_octaves * sine(turn - math.floor(turn))
        octaves += motion
    cutoff_hz = min(max(patch.cutoff_hz * math.exp(LOG_2 * octaves), 20.0), 20_000.0)
    g = math.tan(math.pi * cutoff_hz / SAMPLE_RATE)
    voice.g = voice.g_next if voice.g >= 0.0 else g
    voice.g_next = g
    seconds = (frame - max(voice.onset, voice.written)) / SAMPLE_RATE
    vibrato = 0.0
    if patch.vibrato_cents > 0.0 or patch.vibrato_db > 0.0:
        vibrato = _vibrato(voice, patch, seconds)
    hz = _heard_hz(voice, patch, seconds, vibrato)
    voice.increment = hz / SAMPLE_RATE
    if frame % CONTROL_FRAMES == 0:
        _aim_gain(voice, patch, frame)
    aim_source(voice, patch, tables, line, modes, Moment(frame, hz, vibrato, motion, brightness, energy))
    if patch.is_pitched and patch.noise_level > 0.0:
        _aim_breath(voice, patch, brightness)


@kernel
def _add_breath(voice: Record, patch: Record, noise: np.ndarray, work: np.ndarray, num_frames: int) -> None:
    """Add noise around patch.noise_hz, to both rows: two low-passes above it, one below that is taken off."""
    octaves = patch.key_tracking * (voice.pitch - 60.0) / 12.0 + 0.8 * (voice.velocity - 0.75)
    turn = TAU * min(patch.noise_hz * 2.0**octaves, 12_000.0) / SAMPLE_RATE
    keep_high, keep_low = math.exp(-1.6 * turn), math.exp(-0.5 * turn)
    first, high, low, gain = voice.breath[0], voice.breath[1], voice.breath[2], voice.breath_gain
    for i in range(num_frames):
        first = keep_high * first + (1.0 - keep_high) * noise[i]
        high = keep_high * high + (1.0 - keep_high) * first
        low = keep_low * low + (1.0 - keep_low) * high
        gain += voice.breath_step
        value = gain * (high - low)
        work[0, i] += value
        work[1, i] += value
    voice.breath[0], voice.breath[1], voice.breath[2], voice.breath_gain = first, high, low, gain


@kernel
def _add_to_bus(
    voice: Record, patch: Record, work: np.ndarray, bus: np.ndarray, first: int, into: int, num_frames: int
) -> None:
    """Apply envelope, pan and tremolo to `work`, whose third row is overwritten, and add it to bus[:, first:]."""
    level, stage, fade, fade_step = voice.level, voice.stage, voice.fade, voice.fade_step
    attack, release = patch.attack_share, patch.release_share
    decay_keep, decay_add = 1.0 - patch.decay_share, patch.decay_share * patch.sustain
    envelope = work[2, :num_frames]
    for i in range(num_frames):
        if stage == ATTACK:
            level = (1.0 - attack) * level + attack * ATTACK_OVERSHOOT
            if level >= 1.0:
                level, stage = 1.0, DECAY
        elif stage == DECAY:
            level = decay_keep * level + decay_add
        else:
            level = (1.0 - release) * level
        envelope[i] = level
    voice.level, voice.stage = level, stage
    if fade_step > 0.0:
        for i in range(num_frames):
            fade = max(0.0, fade - fade_step)
            # Without corners at either end, which would be heard as ticks.
            envelope[i] *= fade * fade * (3.0 - 2.0 * fade)
        voice.fade = fade
    row, target = work[0, :num_frames], bus[0, first : first + num_frames]
    gain, step = voice.gain_left, voice.step_left
    for i in range(num_frames):
        target[i] += row[i] * envelope[i] * (gain + step * (into + i))
    row, target = work[1, :num_frames], bus[1, first : first + num_frames]
    gain, step = voice.gain_right, voice.step_right
    for i in range(num_frames):
        target[i] += row[i] * envelope[i] * (gain + step * (into + i))


@kernel
def render_voice(
    voice: Record,
    patch: Record,
    tables: Any,
    line: np.ndarray,
    modes: np.ndarray,
    work: np.ndarray,
    noise: np.ndarray,
    bus: np.ndarray,
    first: int,
    frame: int,
    num_frames: int,
    brightness: float,
    energy: float,
) -> None:
    """Add the voice's `num_frames` frames from `frame`, its onset or later, to bus[:, first:] [2, CONTROL_FRAMES].

    `noise` [CONTROL_FRAMES] is white noise of these frames, `work` [WORK_ROWS, CONTROL_FRAMES] scratch; `tables` are
    the `Tables`.
    """
    if frame % CONTROL_FRAMES == 0 or frame == voice.onset:
        _update_controls(voice, patch, tables, line, modes, frame, brightness, energy)
    work[0, :num_frames] = 0.0
    work[1, :num_frames] = 0.0
    render_source(voice, patch, tables, line, modes, work, noise, frame, num_frames)
    apply_filter(voice, patch, work, frame % CONTROL_FRAMES, num_frames)
    if patch.is_pitched and patch.noise_level > 0.0 and voice.noise_level > 0.0:
        _add_breath(voice, patch, noise, work, num_frames)
    _add_to_bus(voice, patch, work, bus, first, frame % CONTROL_FRAMES, num_frames)
    is_spent = (voice.stage != ATTACK and voice.level < SILENCE) or is_source_silent(voice, patch)
    # Only at control points, or the cut of a block would decide which voices are free.
    if (is_spent or voice.fade <= 0.0) and (frame + num_frames) % CONTROL_FRAMES == 0:
        voice.stage = FREE
