"""Plucked strings as waveguides. In: a pluck patch; out: samples in work rows. Called inside the slot kernel.

Remembers filters, and in the voice's line the string.
A string is a delay line of one period with its losses in the loop (Jaffe & Smith, "Extensions of the Karplus-Strong
plucked-string algorithm", CMJ 7, 1983). Two polarisations, a little apart in pitch and decay, share a row where
they fit. Lines are indexed by the absolute frame.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.sources.kind import Kind, Lists, Moment
from engine.synth.sources.oscillators import CENT, NOISE_SCALE, TAU, hash32, log2, next_noise

if TYPE_CHECKING:
    from engine.synth.patching.patch_file import PatchFile

STRING_FRAMES = 2048
NUM_BODY_MODES = 4
TREBLE_HZ = 4000.0
"""Where `treble_s` is meant."""
MIN_STRING_HZ, MAX_STRING_HZ = 26.0, 6500.0
TREMOLO_FROM_S = 0.55
"""Notes longer than this are picked again and again where the patch has a `repick_hz`."""
MARGIN_FRAMES = 4
"""Frames beyond a period that interpolation reads."""
SECOND_RING, SECOND_LEVEL = 0.6, 0.55
"""The second polarisation dies sooner and takes less of the pluck."""
STRING_WIDTH = 0.3
_FULL = STRING_FRAMES - 1
_HALF = STRING_FRAMES // 2 - 1


@kernel
def _allpass_delay(coefficient: float, omega: float) -> float:
    """Phase delay, in frames, of (c + 1/z) / (1 + c/z)."""
    return 1.0 - 2.0 * math.atan2(coefficient * math.sin(omega), 1.0 + coefficient * math.cos(omega)) / omega


@kernel
def _pole(near: float, far: float, ratio: float) -> float:
    """Pole of the one-pole low-pass whose gain at `far` is `ratio` < 1 times that at `near`, both as cosines."""
    half = (near - ratio * ratio * far) / (1.0 - ratio * ratio)
    return half - math.sqrt(half * half - 1.0)


@kernel
def set_losses(voice: Record, ring_s: float, treble_s: float) -> float:
    """Make the fundamental die by 60 dB in `ring_s`, 4 kHz in `treble_s`; returns the loop filter's phase delay.

    The one-pole low-pass of Välimäki, Huopaniemi, Karjalainen & Jánosy, "Physical modeling of plucked string
    instruments", JAES 44 (1996), with its pole solved from the two decay times.
    """
    own, hz = voice.pluck, voice.hz
    low = TAU * hz / SAMPLE_RATE
    high = TAU * min(max(TREBLE_HZ, 2.5 * hz), 0.4 * SAMPLE_RATE) / SAMPLE_RATE
    turn = 10.0 ** (-3.0 / (hz * ring_s))
    pole = _pole(math.cos(low), math.cos(high), 10.0 ** (-3.0 / hz * max(1.0 / treble_s - 1.0 / ring_s, 1e-4)))
    # What lies below the fundamental has to die too: a constant must lose a little each turn.
    pole = min(pole, _pole(1.0, math.cos(low), turn**0.98))
    gain = math.sqrt(1.0 - 2.0 * pole * math.cos(low) + pole * pole)
    own.loss_pole = pole
    own.loss_feed[0] = gain * turn
    own.loss_feed[1] = gain * 10.0 ** (-3.0 / (hz * ring_s * SECOND_RING))
    return math.atan2(pole * math.sin(low), 1.0 - pole * math.cos(low)) / low


@kernel
def _load_wave(
    line: np.ndarray, mask: int, frame: int, period: float, pick_position: float, pick_share: float,
    pick_noise: float, level: float, keep: float, noise: int,
) -> None:  # fmt: skip
    """Add one period of a pluck to `line` behind `frame`, what sounds there already being kept by `keep`.

    The force that a string plucked at `pick_position` puts on its bridge: a rectangle, its corners rounded by the
    finger, `pick_share` being the low-pass's coefficient, and by a second, wider low-pass; with `pick_noise` of a
    plectrum's scratch.
    """
    wider_share = pick_share * (3.0 - pick_share * (3.0 - pick_share))
    length = int(period) + MARGIN_FRAMES
    first, second = 0.0, 0.0
    mean, power = 0.0, 0.0
    # Once around to settle, once to be measured, and once to be written.
    for i in range(-2 * length, length):
        back = length - i if i >= 0 else -i
        turn = 1.0 - back / period
        turn -= math.floor(turn)
        value = (1.0 if turn < pick_position else 0.0) - pick_position
        value += pick_noise * (hash32(noise, int(turn * period)) * NOISE_SCALE - 1.0)
        first += pick_share * (value - first)
        second += wider_share * (first - second)
        if -int(period) <= i < 0:
            mean += second
            power += second * second
        elif i >= 0:
            if i == 0:
                mean /= int(period)
                level /= math.sqrt(power / int(period) - mean * mean + 1e-9)
            at = (frame - back) & mask
            line[at] = keep * line[at] + level * (second - mean)


@kernel
def pluck(voice: Record, patch: Record, string: np.ndarray, frame: int, level: float, keep: float) -> None:
    """Pluck the voice's string at `frame`."""
    own = voice.pluck
    voice.noise = next_noise(voice.noise)
    # A finger is as wide for a short string as for a long one, yet the short one's partials lie higher.
    pick_hz = patch.pick_hz * 2.0 ** (2.5 * (voice.velocity - 0.7)) * math.sqrt(voice.hz / 261.6)
    share = 1.0 - math.exp(-TAU * min(pick_hz, 16_000.0) / SAMPLE_RATE)
    # No hand plucks the same point twice.
    position = min(max(patch.pick_position * (0.9 + 0.2 * voice.noise / 4294967296.0), 0.02), 0.5)
    level *= 0.35
    if own.num_lines == 1:
        _load_wave(
            string, _FULL, frame, own.period[0], position, share, patch.pick_noise,
            level * (1.0 + SECOND_LEVEL), keep, voice.noise,
        )  # fmt: skip
        return
    half = STRING_FRAMES // 2
    for k in range(2):
        _load_wave(
            string[k * half : (k + 1) * half], _HALF, frame, own.period[k], position, share, patch.pick_noise,
            level * (SECOND_LEVEL if k else 1.0), keep, voice.noise,
        )  # fmt: skip


@kernel
def _knock_body(own: Record, patch: Record) -> None:
    """Set the body's modes ringing as the pluck does besides the string: as sines of amplitude `knock` at phase 0."""
    own.body[:] = 0.0
    for k in range(NUM_BODY_MODES):
        if patch.body_gain[k] > 0.0:
            sine_squared = max(1.0 - 0.25 * patch.body_turn[k] ** 2 / patch.body_loss[k], 0.0)
            own.body[2 * k] = 0.35 * patch.knock / (1 + k) * math.sqrt(sine_squared)


@kernel
def start_string(voice: Record, patch: Record, line: np.ndarray) -> None:
    """Tune the voice's string to voice.hz and pluck it at voice.onset."""
    own, string = voice.pluck, line
    voice.hz = min(max(voice.hz, MIN_STRING_HZ), MAX_STRING_HZ)
    octaves = log2(voice.hz / 261.6)
    ring_s = patch.ring_s * min(3.0, 2.0 ** (-patch.ring_tracking * octaves))
    treble_s = min(patch.treble_s, 0.9 * ring_s)
    omega = TAU * voice.hz / SAMPLE_RATE
    delay = set_losses(voice, ring_s, treble_s)
    if patch.stiffness > 0.0:
        delay += 2.0 * _allpass_delay(-patch.stiffness, omega)
    own.loop_delay = delay
    lowest = voice.hz * (0.97 if patch.scoop_cents == 0.0 and patch.glide_s == 0.0 else 0.84)
    own.num_lines = 2 if patch.second_cents > 0.0 and SAMPLE_RATE / lowest + MARGIN_FRAMES < _HALF else 1
    own.loss_memory[:] = 0.0
    own.stretch[:] = 0.0
    own.bow_low[:] = 0.0
    _knock_body(own, patch)
    string[:] = 0.0
    _tune(voice, patch, voice.onset, voice.hz * math.exp(CENT * (voice.scoop + 1200.0 * voice.glide)))
    own.bowed = math.sqrt(1.0 - min(1.0, 10.0 ** (-6.0 / (voice.hz * ring_s))))
    if patch.pick_level > 0.0:
        pluck(voice, patch, string, voice.onset, patch.pick_level, 0.0)
    own.next_pick = voice.release_at
    if patch.repick_hz > 0.0 and voice.release_at - voice.onset > TREMOLO_FROM_S * SAMPLE_RATE:
        own.next_pick = voice.onset + int(SAMPLE_RATE / patch.repick_hz)


@kernel
def _tune(voice: Record, patch: Record, frame: int, hz: float) -> None:
    """Ramp the length of both lines to where `hz` will be heard at the next control point."""
    own = voice.pluck
    for k in range(2):
        target = max(SAMPLE_RATE / hz * (1.0 - (k - 0.4) * CENT * patch.second_cents) - own.loop_delay, MARGIN_FRAMES)
        if frame == voice.onset:
            own.period[k], own.period_step[k] = target, 0.0
        else:
            own.period[k] += CONTROL_FRAMES * own.period_step[k]
            own.period_step[k] = (target - own.period[k]) / CONTROL_FRAMES


@kernel
def _pick_again(voice: Record, patch: Record, string: np.ndarray, frame: int) -> None:
    """The next stroke of a tremolo where it is due, softer and not quite even."""
    own = voice.pluck
    if frame < own.next_pick or frame >= voice.release_at:
        return
    chance = hash32(voice.noise, 5) / 4294967296.0
    pluck(voice, patch, string, frame, patch.pick_level * (0.55 + 0.3 * chance), 0.45)
    own.next_pick = frame + int(SAMPLE_RATE / patch.repick_hz * (0.94 + 0.12 * chance))


@kernel
def aim_string(voice: Record, patch: Record, line: np.ndarray, moment: Moment) -> None:
    """The string's length, and a tremolo's strokes."""
    _tune(voice, patch, moment.frame, moment.hz)
    if patch.repick_hz > 0.0:
        _pick_again(voice, patch, line, moment.frame)


@kernel
def _read_line(
    line: np.ndarray, mask: int, frame: int, into: int, period: float, slope: float, row: np.ndarray
) -> None:
    """Fill `row` [less than the period] from `frame` on by cubic Lagrange interpolation, a period behind.

    The period was `period` at the last control point, `into` frames ago, and grows by `slope` a frame.
    """
    if slope == 0.0:
        whole = int(period)
        f = period - whole
        outer, inner = f * (f - 1.0) * (1.0 / 6.0), (f + 1.0) * (f - 2.0) * 0.5
        h0, h1, h2, h3 = outer * (f + 1.0), -inner * f, inner * (f - 1.0), -outer * (f - 2.0)
        first = (frame - whole - 2) & mask
        if first + len(row) + 3 <= len(line):
            taps = line[first : first + len(row) + 3]
            for i in range(len(row)):
                row[i] = h0 * taps[i] + h1 * taps[i + 1] + h2 * taps[i + 2] + h3 * taps[i + 3]
        else:
            for i in range(len(row)):
                a, b = line[(first + i) & mask], line[(first + i + 1) & mask]
                c, d = line[(first + i + 2) & mask], line[(first + i + 3) & mask]
                row[i] = h0 * a + h1 * b + h2 * c + h3 * d
        return
    for i in range(len(row)):
        delay = period + slope * (into + i)
        whole = int(delay)
        f = delay - whole
        outer, inner = f * (f - 1.0) * (1.0 / 6.0), (f + 1.0) * (f - 2.0) * 0.5
        first = frame + i - whole - 2
        a, b, c, d = line[first & mask], line[(first + 1) & mask], line[(first + 2) & mask], line[(first + 3) & mask]
        row[i] = outer * ((f + 1.0) * a - (f - 2.0) * d) + inner * ((f - 1.0) * c - f * b)


@kernel
def _write_line(
    voice: Record, k: int, line: np.ndarray, mask: int, frame: int, row: np.ndarray, noise: np.ndarray, patch: Record
) -> None:
    """Write `row` back at `frame` behind the losses of a turn. A bow adds noise, as much as the losses take away."""
    own = voice.pluck
    feed, pole, memory = own.loss_feed[k], own.loss_pole, own.loss_memory[k]
    if patch.bow_level > 0.0:
        # Without what lies below the string's pitch, which would pile up in the loop as DC.
        bow, low = patch.bow_level * own.bowed, own.bow_low[k]
        share = min(0.5 * TAU * voice.increment, 1.0)
        for i in range(len(row)):
            memory = feed * row[i] + pole * memory
            low += share * (noise[i] - low)
            line[(frame + i) & mask] = memory + bow * (noise[i] - low)
        own.bow_low[k] = low
    elif patch.stiffness == 0.0:
        for i in range(len(row)):
            memory = feed * row[i] + pole * memory
            line[(frame + i) & mask] = memory
    else:
        # Two all-passes: the stiffer the string, the sharper its upper partials.
        c, rest = patch.stiffness, 1.0 - patch.stiffness * patch.stiffness
        a, b = own.stretch[2 * k], own.stretch[2 * k + 1]
        for i in range(len(row)):
            memory = feed * row[i] + pole * memory
            once = a - c * memory
            a = rest * memory + c * a
            twice = b - c * once
            b = rest * once + c * b
            line[(frame + i) & mask] = twice
        own.stretch[2 * k], own.stretch[2 * k + 1] = a, b
    own.loss_memory[k] = memory


@kernel
def _write_both(
    own: Record, one: np.ndarray, two: np.ndarray, frame: int, left: np.ndarray, right: np.ndarray, patch: Record
) -> None:
    """`_write_line` for two unbowed lines at once, so that their recurrences overlap."""
    feed, other, pole = own.loss_feed[0], own.loss_feed[1], own.loss_pole
    memory, second = own.loss_memory[0], own.loss_memory[1]
    if patch.stiffness == 0.0:
        for i in range(len(left)):
            memory = feed * left[i] + pole * memory
            second = other * right[i] + pole * second
            one[(frame + i) & _HALF] = memory
            two[(frame + i) & _HALF] = second
    else:
        k, rest = patch.stiffness, 1.0 - patch.stiffness * patch.stiffness
        a, b, c, d = own.stretch[0], own.stretch[1], own.stretch[2], own.stretch[3]
        for i in range(len(left)):
            memory = feed * left[i] + pole * memory
            second = other * right[i] + pole * second
            x, y = a - k * memory, c - k * second
            a, c = rest * memory + k * a, rest * second + k * c
            one[(frame + i) & _HALF], two[(frame + i) & _HALF] = b - k * x, d - k * y
            b, d = rest * x + k * b, rest * y + k * d
        own.stretch[0], own.stretch[1], own.stretch[2], own.stretch[3] = a, b, c, d
    own.loss_memory[0], own.loss_memory[1] = memory, second


@kernel
def _add_body(own: Record, patch: Record, work: np.ndarray, num_frames: int) -> None:
    """Add the resonances of the body to both rows: band-passes of the string's sound, leaning to different sides."""
    left, right, push = work[0, :num_frames], work[1, :num_frames], work[2, :num_frames]
    s = own.body
    for i in range(num_frames):
        push[i] = 0.5 * (left[i] + right[i])
    x1, x2 = push[num_frames - 1], s[8] if num_frames == 1 else push[num_frames - 2]
    for i in range(num_frames - 1, 1, -1):
        push[i] -= push[i - 2]
    if num_frames > 1:
        push[1] -= s[8]
    push[0] -= s[9]
    a1, a2, b1, b2, c1, c2, d1, d2 = s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
    ap, bp, cp, dp = patch.body_turn[0], patch.body_turn[1], patch.body_turn[2], patch.body_turn[3]
    aq, bq, cq, dq = patch.body_loss[0], patch.body_loss[1], patch.body_loss[2], patch.body_loss[3]
    ag, bg, cg, dg = patch.body_gain[0], patch.body_gain[1], patch.body_gain[2], patch.body_gain[3]
    for i in range(num_frames):
        x = push[i]
        a1, a2 = (ag * x - aq * a2) + ap * a1, a1
        b1, b2 = (bg * x - bq * b2) + bp * b1, b1
        c1, c2 = (cg * x - cq * c2) + cp * c1, c1
        d1, d2 = (dg * x - dq * d2) + dp * d1, d1
        even, odd = a1 + c1, b1 + d1
        left[i] += 1.25 * even + 0.75 * odd
        right[i] += 0.75 * even + 1.25 * odd
    s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9] = a1, a2, b1, b2, c1, c2, d1, d2, x1, x2


@kernel
def render_string(
    voice: Record, patch: Record, line: np.ndarray, work: np.ndarray, noise: np.ndarray, frame: int, num_frames: int
) -> None:
    """Write the string, then its body, to both rows; overwrites the third. Less than a period at a time."""
    own, string = voice.pluck, line
    left, right = work[0, :num_frames], work[1, :num_frames]
    half = STRING_FRAMES // 2
    one, two = string[:half], string[half:]
    first, into = 0, frame % CONTROL_FRAMES
    shortest = min(own.period[0], own.period[0] + CONTROL_FRAMES * own.period_step[0])
    if own.num_lines == 2:
        shortest = min(shortest, own.period[1], own.period[1] + CONTROL_FRAMES * own.period_step[1])
    while first < num_frames:
        last = min(num_frames, first + int(shortest) - 2)
        at, a = frame + first, left[first:last]
        if own.num_lines == 1:
            _read_line(string, _FULL, at, into + first, own.period[0], own.period_step[0], a)
            _write_line(voice, 0, string, _FULL, at, a, noise[first:last], patch)
        else:
            b = right[first:last]
            _read_line(one, _HALF, at, into + first, own.period[0], own.period_step[0], a)
            _read_line(two, _HALF, at, into + first, own.period[1], own.period_step[1], b)
            if patch.bow_level > 0.0:
                _write_line(voice, 0, one, _HALF, at, a, noise[first:last], patch)
                _write_line(voice, 1, two, _HALF, at, b, noise[first:last], patch)
            else:
                _write_both(own, one, two, at, a, b, patch)
        first = last
    if own.num_lines == 1:
        for i in range(num_frames):
            right[i] = left[i]
    else:
        near, far = 1.0 + STRING_WIDTH, 1.0 - STRING_WIDTH
        for i in range(num_frames):
            x, y = left[i], right[i]
            left[i], right[i] = near * x + far * y, far * x + near * y
    if patch.body_gain[0] > 0.0:
        _add_body(own, patch, work, num_frames)


def body_filters(
    hz: np.ndarray, db: np.ndarray, quality: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Coefficients of up to NUM_BODY_MODES band-passes: turn 2 r cos ω, loss r², and gain; all [NUM_BODY_MODES].

    A mode adds `db` to the string's own sound at its centre `hz`; unused ones are silent.
    """
    turn, loss, gain = np.zeros(NUM_BODY_MODES), np.zeros(NUM_BODY_MODES), np.zeros(NUM_BODY_MODES)
    count = len(hz)
    radius = np.exp(-np.pi * hz / quality / SAMPLE_RATE)
    turn[:count] = 2.0 * radius * np.cos(2.0 * np.pi * hz / SAMPLE_RATE)
    loss[:count] = radius**2
    gain[:count] = (10.0 ** (db / 20.0) - 1.0) * (1.0 - radius**2) / 2.0
    return turn, loss, gain


def _derive(file: PatchFile, name: str, patch: npt.NDArray[np.void], lists: Lists) -> None:
    """The body as band-passes."""
    empty = np.zeros(0)
    filters = body_filters(*(lists.get(f"body_{field}", empty) for field in ("hz", "db", "q")))
    patch["body_turn"], patch["body_loss"], patch["body_gain"] = filters


KIND = Kind(
    "pluck", render_string, start_string, aim_string,
    memory=(
        ("num_lines", np.int64),  # polarisations
        ("next_pick", np.int64),  # frame of a tremolo's next stroke
        ("period", np.float64, (2,)),  # of the lines in frames, at the last control point
        ("period_step", np.float64, (2,)),
        ("loop_delay", np.float64),  # frames of a turn that the loop's filters take
        ("loss_feed", np.float64, (2,)),
        ("loss_pole", np.float64),
        ("loss_memory", np.float64, (2,)),
        ("bowed", np.float64),  # amplitude that keeps a string sounding
        ("bow_low", np.float64, (2,)),  # low-pass of the bow's noise
        ("stretch", np.float64, (4,)),  # two all-passes of each line
        ("body", np.float64, (10,)),  # four resonators, then the last two inputs
    ),
    line_frames=STRING_FRAMES,
    numbers={
        "ring_s": (0.05, 20, 3), "ring_tracking": (0, 1, 0.4), "treble_s": (0.02, 10, 0.6), "stiffness": (0, 0.85, 0),
        "second_cents": (0, 10, 0), "pick_position": (0.02, 0.5, 0.15), "pick_hz": (200, 16_000, 4000),
        "pick_noise": (0, 1, 0.05), "pick_level": (0, 1, 1), "repick_hz": (0, 20, 0), "knock": (0, 2, 0),
        "bow_level": (0, 1, 0),
    },
    lists={
        "body_hz": (40, 8000, NUM_BODY_MODES), "body_db": (0, 24, NUM_BODY_MODES), "body_q": (1, 60, NUM_BODY_MODES),
    },
    equally_long=("body_hz", "body_db", "body_q"),
    derived=tuple((f"body_{part}", np.float64, (NUM_BODY_MODES,)) for part in ("turn", "loss", "gain")),
    derive=_derive,
    slurs=False,
    most_slide_octaves=1 / 6,
)  # fmt: skip
