"""Bowed and blown notes as sums of harmonics. In: an additive patch; out: samples in work rows. Slot kernel only.

Every harmonic's level is computed anew at each control point from the instrument's soft and loud spectrum and from the
resonances of its body, which stay where they are in Hz; so vibrato, glides, velocity and register change the timbre as
they do in front of a real body. Nothing folds. Remembers in VOICE and in the voice's string row: levels, their slopes
and their targets.
"""

from __future__ import annotations

import math

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.sources.oscillators import NOISE_SCALE, log2, next_noise, sine
from engine.synth.state import BODY_POINTS, CONTROL_FRAMES, MAX_HARMONICS

POINTS_PER_OCTAVE = 12
BODY_LOW_HZ = 50.0
"""Frequency of the first point of a body's response."""
TOP_HZ = 17_000.0
_SLOPES, _TARGETS = MAX_HARMONICS, 2 * MAX_HARMONICS
"""Places in the string row, after the levels."""
_PLACES = POINTS_PER_OCTAVE * np.log2(np.arange(1.0, MAX_HARMONICS + 1.0))
"""Of the harmonics on a body's axis, from the first."""
INAUDIBLE = 5e-5


@kernel
def start_harmonics(voice: np.void, levels: np.ndarray) -> None:
    """Begin in silence."""
    voice.rough, voice.rough_next = 0.0, 0.0
    voice.num_harmonics = 0
    levels[: 3 * MAX_HARMONICS] = 0.0


@kernel
def aim_harmonics(voice: np.void, patch: np.void, levels: np.ndarray, frame: int, dynamics: float, gain: float) -> None:
    """Ramp every harmonic to its level at the next control point; `dynamics` 0 … 1 is between soft and loud."""
    is_first = frame == voice.onset
    # Phase and step are those of the last control point, so that a chunk's cut does not move them.
    if is_first:
        phase, step = -voice.increment * (frame % CONTROL_FRAMES), voice.increment
    else:
        phase = voice.phase[0] + CONTROL_FRAMES * (voice.step + 0.5 * CONTROL_FRAMES * voice.step_rise)
        step = voice.step + CONTROL_FRAMES * voice.step_rise
    voice.phase[0], voice.step = phase - math.floor(phase), step
    voice.step_rise = (voice.increment - step) / CONTROL_FRAMES
    voice.noise = next_noise(voice.noise)
    voice.rough, voice.rough_next = voice.rough_next, patch.roughness * (voice.noise * NOISE_SCALE - 1.0)
    hz = voice.increment * SAMPLE_RATE
    base = log2(hz / BODY_LOW_HZ) * POINTS_PER_OCTAVE
    count = min(int(TOP_HZ / hz), MAX_HARMONICS)
    # Not those that nobody would hear: four more than last time at most, and what still sounds from before a glide up.
    until = min(max(min((count + 3) // 4 * 4, voice.num_harmonics + 4), voice.num_harmonics), MAX_HARMONICS)
    soft, loud, body = gain * (1.0 - dynamics), gain * dynamics, patch.response
    for k in range(until):
        place = min(max(base + _PLACES[k], 0.0), BODY_POINTS - 1.001)
        point = int(place)
        response = body[point] + (place - point) * (body[point + 1] - body[point])
        target = response * (soft * patch.soft[k] + loud * patch.loud[k]) if k < count else 0.0
        now = target if is_first else levels[_TARGETS + k]
        levels[k], levels[_SLOPES + k], levels[_TARGETS + k] = now, (target - now) * (1.0 / CONTROL_FRAMES), target
    while until > 4 and max(levels[until - 1], levels[_TARGETS + until - 1], levels[until - 3]) < INAUDIBLE:
        levels[_TARGETS + until - 4 : _TARGETS + until] = 0.0
        until -= 4
    voice.num_harmonics = until


@kernel
def add_harmonics(voice: np.void, levels: np.ndarray, work: np.ndarray, into: int, num_frames: int) -> None:
    """Write the sum of harmonics to both rows; overwrites the third.

    Clenshaw's recurrence from the highest harmonic down, four at a time, each step along the whole row.
    """
    one, two, double_cosine = work[0, :num_frames], work[1, :num_frames], work[2, :num_frames]
    phase, step, bend = voice.phase[0], voice.step, 0.5 * voice.step_rise
    for i in range(num_frames):
        time = float(into + i)
        turn = phase + (step + bend * time) * time + 0.25
        double_cosine[i] = 2.0 * sine(turn - math.floor(turn))
        one[i], two[i] = 0.0, 0.0
    for top in range(voice.num_harmonics - 1, 0, -4):
        a, b, c, d = levels[top], levels[top - 1], levels[top - 2], levels[top - 3]
        da, db, dc, dd = (
            levels[_SLOPES + top], levels[_SLOPES + top - 1], levels[_SLOPES + top - 2], levels[_SLOPES + top - 3],
        )  # fmt: skip
        for i in range(num_frames):
            time = float(into + i)
            twice = double_cosine[i]
            w = (a + da * time) + (twice * one[i] - two[i])
            x = (b + db * time) + (twice * w - one[i])
            y = (c + dc * time) + (twice * x - w)
            z = (d + dd * time) + (twice * y - x)
            one[i], two[i] = z, y
    # Noise on straight lines between control points, 240 Hz wide: a skirt of breath or bow around every harmonic.
    rough, rise = 1.0 + voice.rough, (voice.rough_next - voice.rough) / CONTROL_FRAMES
    for i in range(num_frames):
        time = float(into + i)
        turn = phase + (step + bend * time) * time
        value = one[i] * sine(turn - math.floor(turn)) * (rough + rise * time)
        one[i], two[i] = value, value


def spectrum(levels_db: np.ndarray, slope_db: float) -> np.ndarray:
    """Amplitudes [MAX_HARMONICS] from the first harmonics' `levels_db`, going on by `slope_db` an octave; power 1.

    Beyond the list odd and even harmonics keep the mean of its last two levels.
    """
    count = len(levels_db)
    number = np.arange(1, MAX_HARMONICS + 1)
    level = np.full(MAX_HARMONICS, levels_db[-2:].mean()) + slope_db * np.log2(number / count)
    level[:count] = levels_db
    amplitudes = 10.0 ** (level / 20.0)
    return amplitudes / np.sqrt((amplitudes**2).sum())


def body_response(hz: np.ndarray, db: np.ndarray, width_hz: np.ndarray) -> np.ndarray:
    """Gain [BODY_POINTS] of a body with resonances at `hz`, `db` high (or deep) and `width_hz` wide, on a log axis."""
    axis = BODY_LOW_HZ * 2.0 ** (np.arange(BODY_POINTS) / POINTS_PER_OCTAVE)
    level = np.zeros(BODY_POINTS)
    for centre, height, width in zip(hz, db, width_hz, strict=True):
        level += height / (1.0 + ((axis - centre) / (0.5 * width)) ** 2)
    fade = np.clip((TOP_HZ - axis) / (0.15 * TOP_HZ), 0.0, 1.0)
    return 10.0 ** (level / 20.0) * fade
