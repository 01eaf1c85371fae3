"""One voice: source, state-variable filter, envelopes, pan. In: patch and note; out: samples added to its layer's bus.

Remembers in a VOICE record and the voice's rows of `strings` and `modes`. Called inside the slot kernel. Controls
are computed at absolute multiples of CONTROL_FRAMES and at the onset, so cutting a block anywhere changes nothing.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from engine.audio import SAMPLE_RATE
from engine.synth.drums import add_drum, start_drum
from engine.synth.oscillators import (
    SINE,
    TAU,
    add_modes,
    add_noise,
    add_wave,
    next_noise,
    pluck_string,
    sine,
    strike_modes,
)
from engine.synth.patch import ANALOG, ATTACK_OVERSHOOT, DRUM, FM, MODAL, PLUCK
from engine.synth.state import ATTACK, CONTROL_FRAMES, DECAY, FREE, RELEASE

SILENCE = 1e-4
CENT = math.log(2.0) / 1200.0
"""Of small detunings the exponential is taken as straight."""
STEAL_FRAMES = 192
LOG_2 = math.log(2.0)
MAX_HZ = 0.23 * SAMPLE_RATE


@njit(error_model="numpy", nogil=True)
def approach(seconds: float, num_frames: int) -> float:
    """Share of the way to its target that a value goes in `num_frames`, when -60 dB takes `seconds`."""
    return 1.0 - math.exp(-6.9078 * num_frames / (seconds * SAMPLE_RATE))


@njit(error_model="numpy", nogil=True)
def attack_share(seconds: float, num_frames: int) -> float:
    """The same for an attack, that aims above 1 and passes 1 after `seconds`."""
    reach = math.log(ATTACK_OVERSHOOT / (ATTACK_OVERSHOOT - 1.0))
    return 1.0 - math.exp(-reach * num_frames / (seconds * SAMPLE_RATE))


@njit(error_model="numpy", nogil=True)
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
    voice.noise_level = 1.0
    voice.memory[:] = 0.0
    for k in range(8):
        voice.noise = next_noise(voice.noise)
        voice.phase[k] = voice.noise / 4294967296.0 if patch.kind == ANALOG and patch.num_oscillators > 1 else 0.0
    pan = patch.pan
    if patch.kind != DRUM:
        pan += (pitch - 60.0) / 80.0
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
        voice.string_at = 0
    elif patch.kind == MODAL:
        # The lower the note, the longer it rings; the harder it is struck, the more of its upper partials sound.
        ring_s = patch.ring_s * min(2.0, 2.0 ** ((60.0 - pitch) / 24.0))
        strike_modes(
            modes, patch.num_modes, patch.ratios, patch.amplitudes, voice.hz, patch.inharmonicity, ring_s,
            patch.ring_damping, patch.tilt + 1.2 * (0.75 - velocity),
        )  # fmt: skip
    elif patch.kind == DRUM:
        start_drum(voice, patch)


@njit(error_model="numpy", nogil=True)
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


@njit(error_model="numpy", nogil=True)
def _update_controls(voice: np.void, patch: np.void, frame: int, brightness: float, energy: float) -> None:
    """Set what is ramped until the next control point: cutoff, pitch, tremolo."""
    _control_envelope(voice, patch, frame)
    octaves = (
        patch.envelope_octaves * voice.filter_level
        + patch.velocity_octaves * (voice.velocity - 0.75)
        + patch.brightness_octaves * (2.0 * brightness - 1.0)
        + 0.6 * (energy - 0.5)
        + patch.key_tracking * (voice.pitch - 60.0) / 12.0
    )
    cutoff_hz = min(max(patch.cutoff_hz * math.exp(LOG_2 * octaves), 20.0), 20_000.0)
    g = math.tan(math.pi * cutoff_hz / SAMPLE_RATE)
    if voice.g < 0.0:
        voice.g = g
    voice.g_step = (g - voice.g) / CONTROL_FRAMES
    seconds = (frame - voice.onset) / SAMPLE_RATE
    hz = voice.hz
    if patch.vibrato_cents > 0.0:
        depth = patch.vibrato_cents * min(1.0, max(0.0, (seconds - patch.vibrato_delay_s) * 3.0))
        turn = seconds * patch.vibrato_hz
        hz *= 1.0 + CENT * depth * sine(turn - math.floor(turn))
    voice.increment = hz / SAMPLE_RATE
    if patch.tremolo > 0.0:
        turn = frame / SAMPLE_RATE * patch.tremolo_hz
        swing = 0.6 * patch.tremolo * sine(turn - math.floor(turn))
        voice.step_left = (voice.pan_left * (1.0 - swing) - voice.gain_left) / CONTROL_FRAMES
        voice.step_right = (voice.pan_right * (1.0 + swing) - voice.gain_right) / CONTROL_FRAMES
    if patch.kind == MODAL or patch.kind == PLUCK:
        voice.noise_level *= 0.9


@njit(error_model="numpy", nogil=True)
def _add_analog(voice: np.void, patch: np.void, work: np.ndarray, num_frames: int) -> None:
    """Detuned oscillators, alternately left and right, and a sine an octave below."""
    count = int(patch.num_oscillators)
    scale = 1.0 / math.sqrt(count)
    for k in range(count):
        place = 2.0 * k / (count - 1) - 1.0 if count > 1 else 0.0
        increment = voice.increment * (1.0 + CENT * place * patch.detune_cents)
        side = patch.width * (1.0 if k % 2 else -1.0) if count > 1 else 0.0
        voice.phase[k] = add_wave(
            work, num_frames, patch.wave, voice.phase[k], increment, patch.pulse_width,
            scale * (1.0 - side), scale * (1.0 + side),
        )  # fmt: skip
    if patch.sub_level > 0.0:
        sub = patch.sub_level
        voice.phase[5] = add_wave(work, num_frames, SINE, voice.phase[5], 0.5 * voice.increment, 0.5, sub, sub)


@njit(error_model="numpy", nogil=True)
def _add_fm(voice: np.void, patch: np.void, work: np.ndarray, num_frames: int, brightness: float) -> None:
    """A carrier bent by one modulator (Chowning 1973) and a decaying sine for the attack's tine."""
    carrier, modulator, tine_phase = voice.phase[0], voice.phase[1], voice.phase[2]
    carrier_step = min(voice.increment * patch.carrier_ratio, 0.45)
    modulator_step = min(voice.increment * patch.modulator_ratio, 0.45)
    tine_step = voice.increment * patch.tine_ratio
    tine_gain = patch.tine_level * voice.velocity * (0.5 + brightness) if tine_step < 0.4 else 0.0
    # High notes take less index: their side bands would fold.
    room = max(0.0, min(1.0, (0.4 - carrier_step) / (4.0 * modulator_step + 1e-9)))
    depth = patch.index * (0.4 + 0.8 * voice.velocity) * (0.6 + 0.8 * brightness) * room / TAU
    index, index_share = voice.index, patch.index_share
    tine, tine_share = voice.tine, patch.tine_share
    for i in range(num_frames):
        bent = carrier + depth * index * sine(modulator)
        work[0, i] += sine(bent - math.floor(bent)) + tine_gain * tine * sine(tine_phase)
        index += (patch.index_sustain - index) * index_share
        tine -= tine * tine_share
        carrier += carrier_step
        if carrier >= 1.0:
            carrier -= 1.0
        modulator += modulator_step
        if modulator >= 1.0:
            modulator -= 1.0
        tine_phase += tine_step
        if tine_phase >= 1.0:
            tine_phase -= math.floor(tine_phase)
    voice.phase[0], voice.phase[1], voice.phase[2] = carrier, modulator, tine_phase
    voice.index, voice.tine = index, tine


@njit(error_model="numpy", nogil=True)
def _add_string(voice: np.void, patch: np.void, string: np.ndarray, work: np.ndarray, num_frames: int) -> None:
    """Karplus-Strong loop: delay, two-point average, all-pass for the fraction, loss of one turn."""
    loss = voice.string_loss
    near, far = 1.0 - patch.string_damping, patch.string_damping
    at, length = voice.string_at, voice.string_length
    last, allpass, memory = voice.string_last, voice.allpass, voice.allpass_last
    for i in range(num_frames):
        value = float(string[at])
        work[0, i] += value
        smooth = loss * (near * value + far * last)
        last = value
        turned = allpass * smooth + memory
        memory = smooth - allpass * turned
        string[at] = turned
        at += 1
        if at == length:
            at = 0
    voice.string_at, voice.string_last, voice.allpass_last = at, last, memory


@njit(error_model="numpy", nogil=True)
def _shape(
    voice: np.void,
    patch: np.void,
    work: np.ndarray,
    is_stereo: bool,
    left: np.ndarray,
    right: np.ndarray,
    num_frames: int,
) -> None:
    """Filter `work`, apply the envelope, add to the bus rows.

    Trapezoidal state-variable filter: Zavalishin, "The Art of VA Filter Design", ch. 4, in Simper's linear form, with
    both outputs written in terms of the state alone: half the dependent operations of the usual order.
    """
    k = 2.0 - 2.0 * patch.resonance
    low, band, high = 1.0, 0.0, 0.0
    if patch.filter == 1:
        low, band = 0.0, k
    elif patch.filter == 2:
        low, high = 0.0, 1.0
    drive = patch.drive
    attack, decay, release = patch.attack_share, patch.decay_share, patch.release_share
    level, stage, fade, g = voice.level, voice.stage, voice.fade, voice.g
    gain_left, gain_right = voice.gain_left, voice.gain_right
    l1, l2, r1, r2 = voice.memory[0], voice.memory[1], voice.memory[2], voice.memory[3]
    for i in range(num_frames):
        g += voice.g_step
        a1 = 1.0 / (1.0 + g * (g + k))
        a2 = g * a1
        a3 = g * a2
        x = work[0, i] + 1e-20
        v1 = a1 * l1 - a2 * l2 + a2 * x
        v2 = a2 * l1 + (1.0 - a3) * l2 + a3 * x
        l1, l2 = 2.0 * v1 - l1, 2.0 * v2 - l2
        out_left = low * v2 + band * v1 + high * (x - k * v1 - v2)
        out_right = out_left
        if is_stereo:
            x = work[1, i] + 1e-20
            v1 = a1 * r1 - a2 * r2 + a2 * x
            v2 = a2 * r1 + (1.0 - a3) * r2 + a3 * x
            r1, r2 = 2.0 * v1 - r1, 2.0 * v2 - r2
            out_right = low * v2 + band * v1 + high * (x - k * v1 - v2)
        if drive > 0.0:
            out_left *= 1.0 + drive
            out_left /= math.sqrt(1.0 + out_left * out_left)
            out_right *= 1.0 + drive
            out_right /= math.sqrt(1.0 + out_right * out_right)
        if stage == ATTACK:
            level += (ATTACK_OVERSHOOT - level) * attack
            if level >= 1.0:
                level, stage = 1.0, DECAY
        elif stage == DECAY:
            level += (patch.sustain - level) * decay
        else:
            level -= level * release
        fade = max(0.0, fade - voice.fade_step)
        gain_left += voice.step_left
        gain_right += voice.step_right
        left[i] += out_left * level * fade * gain_left
        right[i] += out_right * level * fade * gain_right
    voice.memory[0], voice.memory[1], voice.memory[2], voice.memory[3] = l1, l2, r1, r2
    voice.level, voice.stage, voice.fade, voice.g = level, stage, fade, g
    voice.gain_left, voice.gain_right = gain_left, gain_right


@njit(error_model="numpy", nogil=True)
def render_voice(
    voice: np.void,
    patch: np.void,
    string: np.ndarray,
    modes: np.ndarray,
    work: np.ndarray,
    bus: np.ndarray,
    frame: int,
    num_frames: int,
    brightness: float,
    energy: float,
) -> None:
    """Add the voice's `num_frames` frames from `frame`, its onset or later, to `bus` [2, CONTROL_FRAMES]."""
    if frame % CONTROL_FRAMES == 0 or frame == voice.onset:
        _update_controls(voice, patch, frame, brightness, energy)
    work[:, :num_frames] = 0.0
    is_stereo = False
    if patch.kind == ANALOG:
        _add_analog(voice, patch, work, num_frames)
        is_stereo = patch.num_oscillators > 1 and patch.width > 0
    elif patch.kind == FM:
        _add_fm(voice, patch, work, num_frames, brightness)
    elif patch.kind == PLUCK:
        _add_string(voice, patch, string, work, num_frames)
    elif patch.kind == MODAL:
        add_modes(work, num_frames, modes, patch.num_modes)
    else:
        add_drum(voice, patch, work, num_frames)
    if patch.noise_level > 0.0 and patch.kind != DRUM:
        level = patch.noise_level * (voice.noise_level if patch.kind >= PLUCK else 1.0)
        voice.noise = add_noise(work, num_frames, voice.noise, level)
    _shape(voice, patch, work, is_stereo, bus[0], bus[1], num_frames)
    is_spent = voice.stage != ATTACK and voice.level < SILENCE
    if patch.kind == DRUM:
        is_spent = is_spent or max(voice.tine, voice.noise_level) < SILENCE
    # Only at control points, or the cut of a block would decide which voices are free.
    if (is_spent or voice.fade <= 0.0) and (frame + num_frames) % CONTROL_FRAMES == 0:
        voice.stage = FREE
