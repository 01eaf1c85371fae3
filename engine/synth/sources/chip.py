"""The sound chips of home consoles. In: a chip patch; out: samples in a voice's work rows.

What their drivers did 60 times a second is done here at the same rate: steps of a four-bit volume, of the pulse's duty
and of fast arpeggios. The waves themselves are band-limited. Remembers a phase and the shift
register.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.analog import add_pulse
from engine.synth.sources.kind import Kind, Lists
from engine.synth.sources.oscillators import TURN, add_wave, whole
from engine.synth.sources.wavetables import PULSE, SAW, WAVE_FRAMES, WAVES, wave_start

if TYPE_CHECKING:
    from engine.synth.patching.patch_file import PatchFile

TICK_FRAMES = SAMPLE_RATE // 60
MAX_TICKS = 8
CHIP_NOISE, CHIP_METAL = len(WAVES), len(WAVES) + 1
"""Among a patch's waves they follow the tables': the shift register's long sequence and its short one."""
_SHORT_MEAN = (16 - 77) / 93
"""From 1 on, 16 of the short sequence's 93 steps are high."""


@kernel
def next_chip_noise(register: int, is_short: bool) -> int:
    """The Famicom's 15-bit shift register; of the short mode's 93 steps a tone is heard. `register` is never 0."""
    feedback = (register ^ (register >> (6 if is_short else 1))) & 1
    return (register >> 1) | (feedback << 14)


@kernel
def add_chip_noise(
    row: np.ndarray, register: int, wait: float, clock_hz: float, is_short: bool, gain: float, slope: float, into: int
) -> tuple[int, float]:
    """Add the shift register, stepped `clock_hz` times a second, to `row`.

    `gain` was true `into` frames ago and has grown by `slope` every frame since.
    Each frame is the mean over its time, which folds little; there is no DC. `wait` is the time to the next step in
    frames; returns the register and the wait after the row.
    """
    period = SAMPLE_RATE / clock_hz
    offset = _SHORT_MEAN if is_short else 0.0
    for i in range(len(row)):
        mean, rest = 0.0, 1.0
        while wait < rest:
            mean += wait if register & 1 else -wait
            rest -= wait
            wait = period
            register = next_chip_noise(register, is_short)
        mean += rest if register & 1 else -rest
        wait -= rest
        row[i] += (gain + slope * (into + i)) * (mean - offset)
    return register, wait


@kernel
def _ticks(voice: Record, frame: int) -> int:
    return max(0, frame - voice.onset) // TICK_FRAMES


@kernel
def volume(voice: Record, patch: Record, frame: int) -> float:
    """One of the sixteen volumes, over the note's loudness, that the voice's envelope has as well."""
    ticks = _ticks(voice, frame)
    level = max(patch.volume_sustain, 1.0 - ticks / (60.0 * patch.volume_decay_s) * (1.0 - patch.volume_sustain))
    loudness = voice.velocity**1.4
    return max(math.floor(15.0 * level * loudness + 0.5), 1.0) / (15.0 * loudness)


@kernel
def _duty(voice: Record, patch: Record, frame: int) -> float:
    return patch.duty[min(_ticks(voice, frame) // int(patch.duty_ticks), patch.num_duty - 1)]


@kernel
def _transposition(voice: Record, patch: Record, frame: int) -> float:
    """Semitones of the arpeggio, which goes round, or stops at its last step."""
    step = _ticks(voice, frame) // int(patch.arpeggio_ticks)
    if patch.arpeggio_repeats > 0.5:
        return patch.arpeggio[step % patch.num_arpeggio]
    return patch.arpeggio[min(step, patch.num_arpeggio - 1)]


@kernel
def start_chip(voice: Record) -> None:
    """Every note begins alike, the shift register's as well."""
    own = voice.chip
    own.phase, own.register, own.wait = 0.0, 1, 1.0


@kernel
def render_chip(voice: Record, patch: Record, waves: np.ndarray, work: np.ndarray, frame: int, num_frames: int) -> None:
    """Write both rows alike."""
    own = voice.chip
    into = frame % CONTROL_FRAMES
    base = frame - into
    row = work[0, :num_frames]
    gain = volume(voice, patch, base)
    slope = (volume(voice, patch, base + CONTROL_FRAMES) - gain) / CONTROL_FRAMES
    semitones = _transposition(voice, patch, base)
    increment = min(voice.increment * 2.0 ** (semitones / 12.0), 0.23)
    if patch.wave >= CHIP_NOISE:
        clock_hz = min(increment * SAMPLE_RATE * patch.clock_ratio, 220_000.0)
        is_short = patch.wave == CHIP_METAL
        own.register, own.wait = add_chip_noise(row, own.register, own.wait, clock_hz, is_short, gain, slope, into)
    else:
        start = wave_start(SAW if patch.wave == PULSE else int(patch.wave), increment)
        table = waves[start : start + WAVE_FRAMES + 1]
        phase, step = whole(own.phase), whole(increment)
        if patch.wave == PULSE:
            width = _duty(voice, patch, base)
            turn = (_duty(voice, patch, base + CONTROL_FRAMES) - width) / CONTROL_FRAMES
            phase = add_pulse(work, num_frames, table, phase, step, width, turn, into, 1.0, 1.0)
        else:
            phase = add_wave(work, num_frames, table, phase, step, 1.0, 1.0)
        own.phase = phase / TURN
        for i in range(num_frames):
            row[i] *= gain + slope * (into + i)
    for i in range(num_frames):
        work[1, i] = row[i]


def derive_sequences(file: PatchFile, name: str, patch: npt.NDArray[np.void], lists: Lists) -> None:
    """The steps of duty and arpeggio, and how many there are."""
    for field, default in (("duty", 0.5), ("arpeggio", 0.0)):
        steps = lists.get(field, np.array([default]))
        patch[field][: len(steps)], patch[f"num_{field}"] = steps, len(steps)


KIND = Kind(
    "chip", render_chip, start_chip,
    memory=(
        ("phase", np.float64),
        ("register", np.int64),  # of the noise
        ("wait", np.float64),  # frames to its next step
    ),
    numbers={
        "volume_decay_s": (0.02, 30, 1), "volume_sustain": (0, 1, 1), "duty_ticks": (1, 60, 1),
        "arpeggio_ticks": (1, 60, 2), "arpeggio_repeats": (0, 1, 0), "clock_ratio": (1, 400, 32),
    },
    words={"wave": ((*WAVES, "noise", "metal_noise"), "pulse")},
    lists={"duty": (0.05, 0.5, MAX_TICKS), "arpeggio": (-24.0, 24.0, MAX_TICKS)},
    derived=(
        ("num_duty", np.int32), ("num_arpeggio", np.int32),
        ("duty", np.float64, (MAX_TICKS,)), ("arpeggio", np.float64, (MAX_TICKS,)),
    ),
    derive=derive_sequences,
)  # fmt: skip
