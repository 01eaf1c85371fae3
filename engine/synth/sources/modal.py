"""Struck bodies as decaying sines. In: a modal patch; out: samples in work rows. Remembers in the voice's modes."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.compile import kernel
from engine.synth.sources.oscillators import CENT, NOISE_SCALE, TAU, next_noise

_SILENT_POWER = 1e-5**2
_WEAK = 2e-4
"""A partial weaker than this beside the others is not struck at all."""
_MAX_HZ = 18_000.0
_THUMP_RATIOS = (1.0, 1.63, 2.41)
"""Three resonances of the case or soundboard behind every note, relative to the lowest."""


_MEMBRANE = (
    1.0, 1.593, 2.136, 2.295, 2.653, 2.917, 3.155, 3.5, 3.598, 3.647, 4.059, 4.132, 4.23, 4.601, 4.61, 4.832,
)  # fmt: skip
"""Zeros of Bessel functions relative to the lowest: the modes of an ideal circular membrane."""


def body_ratios(body: str, count: int) -> npt.NDArray[np.float64]:
    """Frequencies of a body's first `count` modes relative to the lowest; of a membrane's 16 are known.

    A string's are whole numbers, a free bar's (2k + 1)² (Fletcher & Rossing, "The Physics of Musical Instruments",
    ch. 2.15), an ideal membrane's the zeros of Bessel functions (ch. 3.3); metal has one mode at a random place in
    each of `count` equal logarithmic steps over 3.6 octaves.
    """
    order = np.arange(1.0, count + 1)
    if body == "bar":
        return np.concatenate([[1.0], (2 * order[1:] + 1) ** 2 / 3.0112**2])
    if body == "membrane":
        return np.array(_MEMBRANE[:count])
    if body == "metal":
        places = (np.arange(count) + np.random.default_rng(count).random(count)) / count
        return np.exp2(3.6 * places)
    return order


@kernel
def add_modes(work: np.ndarray, num_frames: int, modes: np.ndarray, num_modes: int) -> None:
    """Add decaying sines to `work`: the even modes to row 0, the odd ones to row 1.

    `modes` [MAX_PARTIALS, 4] holds y[n-1], y[n-2] and the coefficients of y[n] = 2 r cos(ω) y[n-1] - r² y[n-2], eight
    resonators at a time so that their recurrences overlap.
    """
    even, odd = work[0, :num_frames], work[1, :num_frames]
    for first in range(0, num_modes, 8):
        m = modes[first : first + 8]
        a, b, c, d, e, f, g, h = m[0, 0], m[1, 0], m[2, 0], m[3, 0], m[4, 0], m[5, 0], m[6, 0], m[7, 0]
        a2, b2, c2, d2, e2, f2, g2, h2 = m[0, 1], m[1, 1], m[2, 1], m[3, 1], m[4, 1], m[5, 1], m[6, 1], m[7, 1]
        pa, pb, pc, pd, pe, pf, pg, ph = m[0, 2], m[1, 2], m[2, 2], m[3, 2], m[4, 2], m[5, 2], m[6, 2], m[7, 2]
        qa, qb, qc, qd, qe, qf, qg, qh = m[0, 3], m[1, 3], m[2, 3], m[3, 3], m[4, 3], m[5, 3], m[6, 3], m[7, 3]
        for i in range(num_frames):
            a, a2 = pa * a - qa * a2, a
            b, b2 = pb * b - qb * b2, b
            c, c2 = pc * c - qc * c2, c
            d, d2 = pd * d - qd * d2, d
            e, e2 = pe * e - qe * e2, e
            f, f2 = pf * f - qf * f2, f
            g, g2 = pg * g - qg * g2, g
            h, h2 = ph * h - qh * h2, h
            even[i] += (a + c) + (e + g)
            odd[i] += (b + d) + (f + h)
        m[0, 0], m[1, 0], m[2, 0], m[3, 0], m[4, 0], m[5, 0], m[6, 0], m[7, 0] = a, b, c, d, e, f, g, h
        m[0, 1], m[1, 1], m[2, 1], m[3, 1], m[4, 1], m[5, 1], m[6, 1], m[7, 1] = a2, b2, c2, d2, e2, f2, g2, h2


@kernel
def spread_modes(work: np.ndarray, num_frames: int, lean: float, clash: float) -> None:
    """Turn the rows of even and odd modes into left and right, the even ones louder left by `lean` (-1 … 1).

    `clash` adds the product of both rows: the sums and differences of all their frequencies, a thick metal from few
    modes, that dies twice as fast as they do.
    """
    left, right = work[0, :num_frames], work[1, :num_frames]
    near, far = 1.0 + lean, 1.0 - lean
    for i in range(num_frames):
        even, odd = left[i], right[i]
        both = clash * even * odd
        left[i] = near * even + far * odd + both
        right[i] = far * even + near * odd + both


@kernel
def settle_modes(modes: np.ndarray, num_modes: int, turn: int) -> int:
    """At control point `turn`, end modes that have died away; returns `num_modes` without silent ones at the end.

    One group of eight is looked at each time: the last one, and at every other turn another.
    """
    num_groups = (num_modes + 7) // 8
    if num_groups == 0:
        return 0
    group = num_groups - 1 if turn % 2 else turn // 2 % num_groups
    sounding = 0
    for k in range(8 * group, 8 * group + 8):
        now, before, p = modes[k, 0], modes[k, 1], modes[k, 2]
        # A resonator without loss keeps now² + before² - 2 cos(ω)·now·before = amplitude² sin²(ω).
        if now * now + before * before - p * now * before > _SILENT_POWER * (1.0 - 0.25 * p * p):
            sounding += 1
        else:
            modes[k, 0], modes[k, 1] = 0.0, 0.0
    return 8 * group if sounding == 0 and group == num_groups - 1 else num_modes


@kernel
def set_mode(mode: np.ndarray, hz: float, amplitude: float, decay_s: float) -> None:
    """Set one mode ringing as a sine that begins at phase 0 and dies by 60 dB in `decay_s`."""
    omega = TAU * hz / SAMPLE_RATE
    radius = math.exp(-6.9078 / (decay_s * SAMPLE_RATE))
    mode[0], mode[1] = 0.0, -amplitude * math.sin(omega) / radius
    mode[2], mode[3] = 2.0 * radius * math.cos(omega), radius * radius


@kernel
def strike_modes(voice: np.void, patch: np.void, modes: np.ndarray) -> int:
    """Set `modes` ringing as `patch` says and `voice` (pitch, hz, velocity) was struck; returns how many there are.

    Partial k sounds at hz·ratio·sqrt(1 + B·ratio²) (Fletcher's stiff string), where B follows the two straight lines
    of a piano's bass and treble bridge (Rigaud, David & Daudet 2013). It is as strong as the place of the strike lets
    it be, |sin(π·ratio·position)|, and the hammer's contact, a second-order low-pass that opens with velocity. Strings
    of one note are a little apart, and all but the first ring longer: prompt sound and aftersound (Weinreich 1977).
    """
    modes[:] = 0.0
    octaves, effort = (voice.pitch - 60.0) / 12.0, voice.velocity - 0.75
    ring_s = patch.ring_s * min(4.0, 2.0 ** (-patch.ring_tracking * octaves))
    stiffness = patch.inharmonicity * (math.exp(1.11 * octaves) + 0.06 * math.exp(-1.02 * octaves))
    hammer_hz = patch.hammer_hz * 2.0 ** (patch.hammer_octaves * effort + (0.4 + 0.06 * octaves) * octaves)
    count = 0
    if patch.thump_level > 0.0:
        for ratio in _THUMP_RATIOS:
            thump = 0.5 * patch.thump_level / ratio * (0.6 + 0.5 * voice.velocity)
            set_mode(modes[count], patch.thump_hz * ratio * 2.0 ** (0.15 * octaves), thump, patch.thump_s / ratio)
            count += 1
    for k in range(patch.num_modes):
        ratio = patch.ratios[k]
        partial_hz = voice.hz * ratio * math.sqrt(1.0 + stiffness * ratio * ratio)
        voice.noise = next_noise(voice.noise)
        if partial_hz > _MAX_HZ:
            continue
        contact = partial_hz / hammer_hz
        amplitude = patch.amplitudes[k] * max(ratio, 0.5) ** (1.2 * effort - patch.tilt) / (1.0 + contact * contact)
        # No two strikes are quite alike.
        amplitude *= 1.0 + 0.08 * (voice.noise * NOISE_SCALE - 1.0)
        if patch.strike_position > 0.0:
            amplitude *= abs(math.sin(math.pi * ratio * patch.strike_position))
        amplitude *= partial_hz * partial_hz / (partial_hz * partial_hz + patch.radiation_hz * patch.radiation_hz)
        if amplitude < _WEAK:
            continue
        loss = partial_hz / patch.damping_hz
        decay_s = ring_s / (1.0 + patch.ring_damping * max(0.0, ratio - 1.0) + loss * loss)
        num_strings = int(patch.num_strings) if k < patch.num_doubled else 1
        if count + num_strings > len(modes):
            return count
        for string in range(num_strings):
            # Of one partial to the left, of the next to the right, the first string comes first.
            at = count + (string if k % 2 == 0 else num_strings - 1 - string)
            if string == 0:
                set_mode(modes[at], partial_hz, amplitude, decay_s)
            else:
                cents = patch.string_cents * (1.0 if string == 1 else -0.7)
                level, longer = patch.after_level / string, patch.after_ring
                set_mode(modes[at], partial_hz * math.exp(CENT * cents), level * amplitude, longer * decay_s)
        count += num_strings
    return count
