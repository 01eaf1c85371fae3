"""Struck bodies as decaying sines. In: a modal patch; out: samples in work rows. Remembers in the voice's modes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.kind import Kind, Lists, Moment
from engine.synth.sources.oscillators import CENT, NOISE_SCALE, TAU, next_noise

if TYPE_CHECKING:
    from engine.synth.patching.patch_file import PatchFile

MAX_PARTIALS = 48
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
    ch. 2.15), an ideal membrane's the zeros of Bessel functions (ch. 3.3); metal has one mode anywhere in each of
    `count` equal logarithmic steps over 3.6 octaves.
    """
    order = np.arange(1.0, count + 1)
    if body == "bar":
        return np.concatenate([[1.0], (2 * order[1:] + 1) ** 2 / 3.0112**2])
    if body == "membrane":
        return np.array(_MEMBRANE[:count])
    if body == "metal":
        shares = (np.arange(count) + np.random.default_rng(count).random(count)) / count
        return np.exp2(3.6 * shares)
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
def _strike(voice: Record, patch: Record, modes: np.ndarray) -> int:
    """Set `modes` ringing as `patch` says and `voice` (pitch, hz, velocity) was struck; returns how many there are.

    Partial k sounds at hz·ratio·sqrt(1 + B·ratio²) (Fletcher's stiff string), where B follows the two straight lines
    of a piano's bass and treble bridge (Rigaud, David & Daudet 2013). It is as strong as the point of the strike lets
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


@kernel
def start_modal(voice: Record, patch: Record, modes: np.ndarray) -> None:
    """Strike it."""
    voice.modal.num_modes = _strike(voice, patch, modes)


@kernel
def aim_modal(voice: Record, modes: np.ndarray, moment: Moment) -> None:
    """End what has died away."""
    voice.modal.num_modes = settle_modes(modes, voice.modal.num_modes, moment.frame // CONTROL_FRAMES)


@kernel
def render_modal(voice: Record, patch: Record, modes: np.ndarray, work: np.ndarray, num_frames: int) -> None:
    """The modes, from one key to the next louder on the other side."""
    add_modes(work, num_frames, modes, voice.modal.num_modes)
    spread_modes(work, num_frames, patch.width if voice.pitch % 2 else -patch.width, 0.0)


@kernel
def is_modal_silent(voice: Record, patch: Record) -> bool:
    """Have all modes died away, and is there no noise that goes on?"""
    return voice.modal.num_modes == 0 and patch.noise_sustain == 0.0


BODIES = ("string", "membrane", "bar", "metal")
MODE_LISTS = {"ratios": (0.25, 80.0, MAX_PARTIALS), "amplitudes": (0.0, 1.0, MAX_PARTIALS)}
MODE_FIELDS = (
    ("num_modes", np.int32), ("ratios", np.float64, (MAX_PARTIALS,)), ("amplitudes", np.float64, (MAX_PARTIALS,)),
)  # fmt: skip


def derive_modes(file: PatchFile, name: str, patch: npt.NDArray[np.void], lists: Lists) -> None:
    """The ratios, those listed or those of the body, and as many amplitudes."""
    count = len(lists["ratios"]) if "ratios" in lists else int(patch["num_partials"])
    amplitudes = lists.get("amplitudes", np.ones(count))
    if len(amplitudes) != count:
        raise file.fail(name, "amplitudes", f"there are {len(amplitudes)} amplitudes for {count} partials")
    ratios = lists.get("ratios", body_ratios(BODIES[patch["body"]], count))
    if len(ratios) != count:
        raise file.fail(name, "num_partials", f"num_partials is {count}; allowed of this body is 0 … {len(ratios)}")
    patch["ratios"][:count], patch["amplitudes"][:count], patch["num_modes"] = ratios, amplitudes, count


def _derive(file: PatchFile, name: str, patch: npt.NDArray[np.void], lists: Lists) -> None:
    if "ratios" not in lists and patch["num_partials"] == 0:
        raise file.fail(name, None, "ratios or num_partials must be given")
    derive_modes(file, name, patch, lists)


KIND = Kind(
    "modal", render_modal, start_modal, aim_modal, is_modal_silent,
    memory=(("num_modes", np.int64),),  # not yet died away
    num_modes=MAX_PARTIALS,
    numbers={
        "ring_s": (0.03, 40, 4), "ring_damping": (0, 4, 0.4), "inharmonicity": (0, 0.02, 0), "tilt": (-1, 4, 1),
        "num_partials": (0, MAX_PARTIALS, 0), "ring_tracking": (0, 1.5, 0.5), "damping_hz": (200, 1e5, 1e5),
        "strike_position": (0, 0.5, 0), "hammer_hz": (100, 1e5, 1e5), "hammer_octaves": (0, 6, 2),
        "radiation_hz": (0, 500, 0), "num_strings": (1, 3, 1), "num_doubled": (0, MAX_PARTIALS, 12),
        "string_cents": (0, 30, 0.6), "after_level": (0, 1, 0.4), "after_ring": (0.2, 8, 2.5), "width": (0, 1, 0.25),
        "thump_level": (0, 1, 0), "thump_hz": (30, 1000, 110), "thump_s": (0.01, 1, 0.15),
    },
    words={"body": (BODIES, "string")},
    lists=MODE_LISTS,
    derived=MODE_FIELDS,
    derive=_derive,
)  # fmt: skip
