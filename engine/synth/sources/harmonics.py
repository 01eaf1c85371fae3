"""Sums of harmonics under ramped levels. In: a voice's phase and levels; out: samples in work rows. Slot kernel only.

Remembers nothing itself; the record of the kind that calls it has `num_harmonics`, `phase`, `step`, `step_rise`,
`rough` and `rough_next`, as in MEMORY.
"""

from __future__ import annotations

import math

import numpy as np

from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.kind import Fields
from engine.synth.sources.oscillators import NOISE_SCALE, next_noise, sine
from engine.synth.sources.tones import MAX_HARMONICS

MEMORY: Fields = (
    ("num_harmonics", np.int64),  # that are heard in this control period; a multiple of four
    ("phase", np.float64),  # all at the last control point: turns
    ("step", np.float64),  # turns a frame
    ("step_rise", np.float64),
    ("rough", np.float64),  # noise that shakes the harmonics
    ("rough_next", np.float64),  # and at the next control point
)
INAUDIBLE = 5e-5
SIGNS = tuple(float((-1) ** (bin(number & number >> 1).count("1"))) for number in range(MAX_HARMONICS))
"""Of the harmonics: were all of one sign, a bright tone would be a row of pulses, and the limiter hear little else
(Golay, Complementary series, 1961; Shapiro 1951)."""


@kernel
def aim_phase(own: Record, voice: Record, roughness: float, frame: int) -> None:
    """At a control point, glide the phase to the pitch at the next, and draw the next roughness."""
    # Phase and step are those of the last control point, so that a chunk's cut does not move them.
    if frame == voice.onset:
        phase, step = -voice.increment * (frame % CONTROL_FRAMES), voice.increment
    else:
        phase = own.phase + CONTROL_FRAMES * (own.step + 0.5 * CONTROL_FRAMES * own.step_rise)
        step = own.step + CONTROL_FRAMES * own.step_rise
    own.phase, own.step = phase - math.floor(phase), step
    own.step_rise = (voice.increment - step) / CONTROL_FRAMES
    voice.noise = next_noise(voice.noise)
    own.rough, own.rough_next = own.rough_next, roughness * (voice.noise * NOISE_SCALE - 1.0)


@kernel
def sum_harmonics(
    own: Record, levels: np.ndarray, slopes: np.ndarray, work: np.ndarray, into: int, since: int, num_frames: int
) -> None:
    """Write the sum of harmonics to both rows of `work`; overwrites the third.

    The last control point was `into` frames ago; `levels` were true `since` frames ago and have grown by `slopes`
    every frame. Clenshaw's recurrence from the highest harmonic down, four at a time, each step along the whole row.
    """
    one, two, double_cosine = work[0, :num_frames], work[1, :num_frames], work[2, :num_frames]
    phase, step, bend = own.phase, own.step, 0.5 * own.step_rise
    for i in range(num_frames):
        time = float(into + i)
        turn = phase + (step + bend * time) * time + 0.25
        double_cosine[i] = 2.0 * sine(turn - math.floor(turn))
        one[i], two[i] = 0.0, 0.0
    for top in range(own.num_harmonics - 1, 0, -4):
        p, q, r, s = SIGNS[top], SIGNS[top - 1], SIGNS[top - 2], SIGNS[top - 3]
        a, b, c, d = p * levels[top], q * levels[top - 1], r * levels[top - 2], s * levels[top - 3]
        da, db, dc, dd = p * slopes[top], q * slopes[top - 1], r * slopes[top - 2], s * slopes[top - 3]
        for i in range(num_frames):
            time = float(since + i)
            twice = double_cosine[i]
            w = (a + da * time) + (twice * one[i] - two[i])
            x = (b + db * time) + (twice * w - one[i])
            y = (c + dc * time) + (twice * x - w)
            z = (d + dd * time) + (twice * y - x)
            one[i], two[i] = z, y
    # Noise on straight lines between control points, 240 Hz wide: a skirt of breath or bow around every harmonic.
    rough, rise = 1.0 + own.rough, (own.rough_next - own.rough) / CONTROL_FRAMES
    for i in range(num_frames):
        time = float(into + i)
        turn = phase + (step + bend * time) * time
        value = one[i] * sine(turn - math.floor(turn)) * (rough + rise * time)
        one[i], two[i] = value, value
