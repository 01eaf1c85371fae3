"""One voice: source, state-variable filter, envelopes, pan. In: patch and note; out: samples added to its layer's bus.

Remembers in a VOICE record and the voice's rows of `strings` and `modes`. Called inside the slot kernel. Controls
are computed at absolute multiples of CONTROL_FRAMES and at the onset, so cutting a block anywhere changes nothing.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.analog import add_analog
from engine.synth.compile import kernel, merged
from engine.synth.drums import add_drum, is_drum_silent, settle_drum, strike_drum
from engine.synth.filters import apply_filter
from engine.synth.fm import add_fm, fm_bend
from engine.synth.modal import add_modes, settle_modes, spread_modes, strike_modes
from engine.synth.oscillators import CENT, LOG_2, TAU, next_noise, sine
from engine.synth.patch import ANALOG, ATTACK_OVERSHOOT, DRUM, FM, MODAL, PLUCK
from engine.synth.state import ATTACK, CONTROL_FRAMES, DECAY, FREE, RELEASE
from engine.synth.strings import add_string, pluck_string

SILENCE = 1e-4
STEAL_FRAMES = 192
WANDER = 7
"""Place in VOICE.phase of what tells the slow motions of equal voices apart."""
MAX_HZ = 0.23 * SAMPLE_RATE


@kernel
def approach(seconds: float, num_frames: int) -> float:
    """Share of the way to its target that a value goes in `num_frames`, when -60 dB takes `seconds`."""
    return 1.0 - math.exp(-6.9078 * num_frames / (seconds * SAMPLE_RATE))


@kernel
def attack_share(seconds: float, num_frames: int) -> float:
    """The same for an attack, that aims above 1 and passes 1 after `seconds`."""
    reach = math.log(ATTACK_OVERSHOOT / (ATTACK_OVERSHOOT - 1.0))
    return 1.0 - math.exp(-reach * num_frames / (seconds * SAMPLE_RATE))


@kernel
def start_voice(
    voice: np.void,
    patch: np.void,
    string: np.ndarray,
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
    voice.velocity = velocity
    voice.hz = min(440.0 * 2.0 ** ((pitch + patch.transpose - 69.0) / 12.0), MAX_HZ)
    voice.level, voice.filter_level, voice.fade, voice.fade_step = 0.0, 0.0, 1.0, 0.0
    voice.g, voice.index, voice.tine, voice.allpass_last, voice.string_last = -1.0, 1.0, 1.0, 0.0, 0.0
    voice.noise_level, voice.second = 1.0, 1.0
    voice.memory[:] = 0.0
    voice.breath[:] = 0.0
    voice.breath_gain = -1.0
    voice.bend_next = -1.0
    for k in range(8):
        voice.noise = next_noise(voice.noise)
        voice.phase[k] = voice.noise / 4294967296.0 if patch.kind == ANALOG and patch.num_oscillators > 1 else 0.0
    pan = patch.pan
    if patch.kind != DRUM:
        pan += (pitch - 60.0) / 80.0
        voice.phase[WANDER] = voice.noise / 4294967296.0
    angle = (min(max(pan, -1.0), 1.0) + 1.0) * math.pi / 4
    gain = 10.0 ** (patch.level_db / 20) * velocity**1.4 * math.sqrt(2.0)
    voice.pan_left, voice.pan_right = gain * math.cos(angle), gain * math.sin(angle)
    voice.gain_left, voice.gain_right = voice.pan_left, voice.pan_right
    voice.step_left, voice.step_right = 0.0, 0.0
    if patch.kind == PLUCK:
        bright = min(1.0, patch.pick_brightness * (0.35 + 0.9 * velocity))
        voice.hz = max(voice.hz, 26.0)
        voice.string_length, voice.allpass, voice.noise = pluck_string(
            string, voice.hz, patch.string_damping, patch.pick_position, bright, voice.noise
        )
        string_s = patch.string_s * min(2.0, 2.0 ** ((60.0 - pitch) / 24.0))
        voice.string_loss = 10.0 ** (-3.0 / (voice.hz * string_s))
        for i in range(voice.string_length):
            string[i] *= patch.pick_level
        voice.string_at = 0
    elif patch.kind == MODAL:
        voice.num_modes = strike_modes(voice, patch, modes)
    elif patch.kind == DRUM:
        strike_drum(voice, patch, modes)


@kernel
def _control_envelope(voice: np.void, patch: np.void, frame: int) -> None:
    """Advance note-off and filter envelope by one control period."""
    if voice.stage != RELEASE and frame >= voice.release_at and patch.kind != DRUM:
        voice.stage, voice.filter_stage = RELEASE, RELEASE
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
def _aim_breath(voice: np.void, patch: np.void, brightness: float) -> None:
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
def _update_controls(
    voice: np.void, patch: np.void, modes: np.ndarray, frame: int, brightness: float, energy: float
) -> None:
    """Set what is ramped until the next control point: cutoff, pitch, tremolo."""
    _control_envelope(voice, patch, frame)
    octaves = (
        patch.envelope_octaves * voice.filter_level
        + patch.velocity_octaves * (voice.velocity - 0.75)
        + patch.brightness_octaves * (2.0 * brightness - 1.0)
        + 0.6 * (energy - 0.5)
        + patch.key_tracking * (voice.pitch - 60.0) / 12.0
    )
    seconds = (frame - voice.onset) / SAMPLE_RATE
    motion = 0.0
    if patch.motion_octaves > 0.0:
        # By the station's time, a little apart: the voices of a chord swell together.
        turn = frame / SAMPLE_RATE * patch.motion_hz + 0.4 * voice.phase[WANDER]
        motion = patch.motion_octaves * sine(turn - math.floor(turn))
        octaves += motion
    cutoff_hz = min(max(patch.cutoff_hz * math.exp(LOG_2 * octaves), 20.0), 20_000.0)
    g = math.tan(math.pi * cutoff_hz / SAMPLE_RATE)
    voice.g = voice.g_next if voice.g >= 0.0 else g
    voice.g_next = g
    hz = voice.hz
    if patch.drift_cents > 0.0:
        # Not the filter's motion again: another rate, and another place for every voice.
        turn = 0.37 * seconds + 7.0 * voice.phase[WANDER]
        hz *= 1.0 + CENT * patch.drift_cents * sine(turn - math.floor(turn))
    if patch.vibrato_cents > 0.0:
        depth = patch.vibrato_cents * min(1.0, max(0.0, (seconds - patch.vibrato_delay_s) * 3.0))
        turn = seconds * patch.vibrato_hz
        hz *= 1.0 + CENT * depth * sine(turn - math.floor(turn))
    voice.increment = hz / SAMPLE_RATE
    if patch.tremolo > 0.0:
        turn = frame / SAMPLE_RATE * patch.tremolo_hz
        swing = 0.6 * patch.tremolo * sine(turn - math.floor(turn))
        if frame % CONTROL_FRAMES == 0:
            voice.gain_left += CONTROL_FRAMES * voice.step_left
            voice.gain_right += CONTROL_FRAMES * voice.step_right
            voice.step_left = (voice.pan_left * (1.0 - swing) - voice.gain_left) / CONTROL_FRAMES
            voice.step_right = (voice.pan_right * (1.0 + swing) - voice.gain_right) / CONTROL_FRAMES
    if patch.kind == FM:
        bend = fm_bend(voice, patch, brightness, motion)
        voice.bend = voice.bend_next if voice.bend_next >= 0.0 else bend
        voice.bend_next = bend
    if voice.tine < 1e-5:
        voice.tine = 0.0
    if patch.kind != DRUM and patch.noise_level > 0.0:
        _aim_breath(voice, patch, brightness)
    if patch.kind == MODAL or patch.kind == DRUM:
        voice.num_modes = settle_modes(modes, voice.num_modes, frame // CONTROL_FRAMES)
    if patch.kind == DRUM:
        settle_drum(voice)


@kernel
def _add_breath(voice: np.void, patch: np.void, noise: np.ndarray, work: np.ndarray, num_frames: int) -> None:
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
def _add_to_bus(voice: np.void, patch: np.void, work: np.ndarray, bus: np.ndarray, into: int, num_frames: int) -> None:
    """Apply envelope, pan and tremolo to `work`, whose third row is overwritten, and add it to `bus`."""
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
    row, target, gain, step = work[0, :num_frames], bus[0, :num_frames], voice.gain_left, voice.step_left
    for i in range(num_frames):
        target[i] += row[i] * envelope[i] * (gain + step * (into + i))
    row, target, gain, step = work[1, :num_frames], bus[1, :num_frames], voice.gain_right, voice.step_right
    for i in range(num_frames):
        target[i] += row[i] * envelope[i] * (gain + step * (into + i))


@merged
def render_voice(
    voice: np.void,
    patch: np.void,
    string: np.ndarray,
    modes: np.ndarray,
    work: np.ndarray,
    noise: np.ndarray,
    bus: np.ndarray,
    frame: int,
    num_frames: int,
    brightness: float,
    energy: float,
) -> None:
    """Add the voice's `num_frames` frames from `frame`, its onset or later, to `bus` [2, CONTROL_FRAMES].

    `noise` [CONTROL_FRAMES] is white noise of these frames, `work` [5, CONTROL_FRAMES] scratch.
    """
    if frame % CONTROL_FRAMES == 0 or frame == voice.onset:
        _update_controls(voice, patch, modes, frame, brightness, energy)
    work[0, :num_frames] = 0.0
    work[1, :num_frames] = 0.0
    if patch.kind == ANALOG:
        add_analog(voice, patch, work, num_frames)
    elif patch.kind == FM:
        add_fm(voice, patch, work, frame, num_frames, brightness)
    elif patch.kind == PLUCK:
        add_string(voice, patch, string, work, noise, num_frames)
    elif patch.kind == MODAL:
        add_modes(work, num_frames, modes, voice.num_modes)
        spread_modes(work, num_frames, patch.width if voice.pitch % 2 else -patch.width, 0.0)
    else:
        add_drum(voice, patch, modes, work, frame, num_frames)
    apply_filter(voice, patch, work, frame % CONTROL_FRAMES, num_frames)
    if patch.noise_level > 0.0 and patch.kind != DRUM and voice.noise_level > 0.0:
        _add_breath(voice, patch, noise, work, num_frames)
    _add_to_bus(voice, patch, work, bus, frame % CONTROL_FRAMES, num_frames)
    is_spent = voice.stage != ATTACK and voice.level < SILENCE
    if patch.kind == DRUM:
        is_spent = is_spent or is_drum_silent(voice)
    elif patch.kind == MODAL:
        is_spent = is_spent or (voice.num_modes == 0 and patch.noise_sustain == 0.0)
    # Only at control points, or the cut of a block would decide which voices are free.
    if (is_spent or voice.fade <= 0.0) and (frame + num_frames) % CONTROL_FRAMES == 0:
        voice.stage = FREE
