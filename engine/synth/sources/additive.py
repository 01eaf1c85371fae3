"""Bowed and blown notes as sums of harmonics. In: an additive patch; out: samples in work rows. Slot kernel only.

Every harmonic's level is computed anew at each control point from the instrument's soft and loud spectrum and from the
resonances of its body, which stay where they are in Hz; so vibrato, glides, velocity and register change the timbre as
they do in front of a real body. Nothing folds. Remembers phase and roughness, and in the voice's line the levels,
their slopes and their targets.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.harmonics import INAUDIBLE, MEMORY, aim_phase, sum_harmonics
from engine.synth.sources.kind import Kind, Lists, Moment
from engine.synth.sources.oscillators import ease, log2, sine

if TYPE_CHECKING:
    from engine.synth.patching.patch_file import PatchFile

MAX_HARMONICS = 64
MAX_RESONANCES = 16
POINTS_PER_OCTAVE = 12
BODY_POINTS = 104
"""Of a body's response."""
BODY_LOW_HZ = 50.0
"""Frequency of the first point of a body's response."""
TOP_HZ = 17_000.0
_SLOPES, _TARGETS = MAX_HARMONICS, 2 * MAX_HARMONICS
"""Where they begin in the line, after the levels."""
_POINTS = POINTS_PER_OCTAVE * np.log2(np.arange(1.0, MAX_HARMONICS + 1.0))
"""Of the harmonics on a body's axis, from the first."""


@kernel
def start_additive(voice: Record, line: np.ndarray) -> None:
    """Begin in silence."""
    own = voice.additive
    own.rough, own.rough_next, own.num_harmonics = 0.0, 0.0, 0
    line[: 3 * MAX_HARMONICS] = 0.0


@kernel
def _aim_harmonics(voice: Record, patch: Record, levels: np.ndarray, frame: int, dynamics: float, gain: float) -> None:
    """Ramp every harmonic to its level at the next control point; `dynamics` 0 … 1 is between soft and loud."""
    own, is_first = voice.additive, frame == voice.onset
    aim_phase(own, voice, patch.roughness, frame)
    hz = voice.increment * SAMPLE_RATE
    base = log2(hz / BODY_LOW_HZ) * POINTS_PER_OCTAVE
    count = min(int(TOP_HZ / hz), MAX_HARMONICS)
    # Not those that nobody would hear: four more than last time at most, and what still sounds from before a glide up.
    until = min(max(min((count + 3) // 4 * 4, own.num_harmonics + 4), own.num_harmonics), MAX_HARMONICS)
    soft, loud, body = gain * (1.0 - dynamics), gain * dynamics, patch.response
    for k in range(until):
        at = min(max(base + _POINTS[k], 0.0), BODY_POINTS - 1.001)
        point = int(at)
        response = body[point] + (at - point) * (body[point + 1] - body[point])
        target = response * (soft * patch.soft[k] + loud * patch.loud[k]) if k < count else 0.0
        now = target if is_first else levels[_TARGETS + k]
        levels[k], levels[_SLOPES + k], levels[_TARGETS + k] = now, (target - now) * (1.0 / CONTROL_FRAMES), target
    while until > 4 and max(levels[until - 1], levels[_TARGETS + until - 1], levels[until - 3]) < INAUDIBLE:
        levels[_TARGETS + until - 4 : _TARGETS + until] = 0.0
        until -= 4
    own.num_harmonics = until


@kernel
def aim_additive(voice: Record, patch: Record, line: np.ndarray, moment: Moment) -> None:
    """Set dynamics and gain: how hard it is played, how it speaks, vibrato, a long note's arch."""
    frame = moment.frame
    speech = 1.0 - ease((frame - voice.onset) / SAMPLE_RATE, patch.speak_s * (1.5 - voice.velocity))
    length = max(voice.release_at - voice.written, 1)
    gone = min(max((frame - voice.written) / length, 0.0), 1.0)
    swell_db = patch.vibrato_db * moment.vibrato
    swell_db += patch.arch_db * sine(0.5 * gone) * min(1.0, length / (1.5 * SAMPLE_RATE))
    dynamics = 0.55 + 1.2 * (voice.velocity - 0.7) + 0.3 * (moment.energy - 0.5)
    dynamics = dynamics + 0.4 * (moment.brightness - 0.5) + 0.3 * moment.motion
    dynamics = min(max(dynamics + 0.04 * swell_db, 0.0), 1.0) * (1.0 - patch.bloom * (1.0 - voice.level * speech))
    _aim_harmonics(voice, patch, line, frame, dynamics, speech * math.exp(0.1151 * swell_db))


@kernel
def render_additive(voice: Record, line: np.ndarray, work: np.ndarray, frame: int, num_frames: int) -> None:
    """The sum of harmonics."""
    into = frame % CONTROL_FRAMES
    sum_harmonics(voice.additive, line, line[_SLOPES:], work, into, into, num_frames)


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


def _derive(file: PatchFile, name: str, patch: npt.NDArray[np.void], lists: Lists) -> None:
    """Both spectra and the body's response."""
    empty = np.zeros(0)
    for dynamic in ("soft", "loud"):
        levels_db = lists.get(f"{dynamic}_db", np.zeros(1))
        patch[dynamic] = spectrum(levels_db, float(patch[f"{dynamic}_slope_db"]))
    patch["response"] = body_response(*(lists.get(f"body_{field}", empty) for field in ("hz", "db", "width_hz")))


KIND = Kind(
    "additive", render_additive, start_additive, aim_additive,
    memory=MEMORY,
    line_frames=3 * MAX_HARMONICS,
    numbers={
        "soft_slope_db": (-40, 0, -15), "loud_slope_db": (-40, 0, -9), "bloom": (0, 1, 0.5), "roughness": (0, 0.5, 0),
        "speak_s": (0.002, 1, 0.05), "arch_db": (0, 6, 0), "vibrato_db": (0, 9, 0),
    },
    lists={
        "soft_db": (-80, 12, MAX_HARMONICS), "loud_db": (-80, 12, MAX_HARMONICS),
        "body_hz": (50, 16_000, MAX_RESONANCES), "body_db": (-40, 24, MAX_RESONANCES),
        "body_width_hz": (20, 10_000, MAX_RESONANCES),
    },
    equally_long=("body_hz", "body_db", "body_width_hz"),
    derived=(
        ("soft", np.float64, (MAX_HARMONICS,)), ("loud", np.float64, (MAX_HARMONICS,)),
        ("response", np.float64, (BODY_POINTS,)),
    ),
    derive=_derive,
)  # fmt: skip
