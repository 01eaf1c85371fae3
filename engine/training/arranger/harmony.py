"""Chords: their colour, and how they are voiced. In: a chord of a loop, valence, tension; out: chords and pitches.

Remembers nothing but caches of pure functions; any thread.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

from moods.harmony import CHORD_QUALITIES, SCALES, Key

COLOURS: dict[str, tuple[str, ...]] = {
    "triad": ("maj", "min", "dim", "sus4", "sus2", "aug", "5"),
    "seventh": ("maj7", "min7", "7", "m7b5", "maj", "min", "sus4", "sus2", "dim", "5"),
    "ninth": ("maj9", "min9", "maj7", "min7", "7", "m7b5", "sus2", "maj", "min", "dim", "5"),
    "open": ("sus2", "5", "maj", "min", "sus4", "dim"),
    "power": ("5", "maj", "min", "dim"),
    "suspended": ("sus4", "sus2", "7", "m7b5", "min", "maj", "dim"),
}
"""Qualities in the order of preference; the first whose tones are in the scale is taken."""

UNREST = {
    "5": 0.0, "maj": 0.05, "min": 0.1, "min7": 0.25, "7": 0.35, "maj7": 0.35, "sus2": 0.35, "sus4": 0.4, "min9": 0.4,
    "maj9": 0.45, "m7b5": 0.75, "dim": 0.8, "aug": 0.8,
}  # fmt: skip
"""The tension that a chord quality alone speaks of, 0 … 1, after the dissonance of its intervals."""

FREE_TENSION = 0.5
"""Above it chords leave the scale, as in live music."""
_SUSPENDING_TENSION = 0.25
_THIRDLESS = ("sus2", "sus4", "5")
_LOWEST, _HIGHEST = 50, 76
VOICINGS = ("close", "open", "drop 2", "quartal", "spread")


@dataclass(frozen=True, slots=True)
class Chord:
    start: int  # tick in its bar
    root: int  # pitch class
    quality: str
    left: int  # ticks until the next chord, through bar lines

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        return chord_pitch_classes(self.root, self.quality)


@lru_cache(maxsize=512)
def chord_pitch_classes(root: int, quality: str) -> tuple[int, ...]:
    """Root first."""
    return tuple((root + step) % 12 for step in CHORD_QUALITIES[quality])


# --- colour ----------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def fit_quality(degree: int, scale: str, colour: str) -> str | None:
    """The preferred quality on a 1-based degree of a scale whose tones are all in the scale, if there is one."""
    steps = SCALES[scale]
    root = steps[degree - 1]
    for quality in COLOURS[colour]:
        if all((root + step) % 12 in steps for step in CHORD_QUALITIES[quality]):
            return quality
    return None


def has_major_third(quality: str) -> bool:
    return 4 in CHORD_QUALITIES[quality]


def draw_quality(
    rng: random.Random, interval: int, triad: str, scale: str, colours: tuple[str, ...], valence: float, tension: float
) -> str:
    """The quality of a chord `interval` semitones above the tonic: plain when relaxed, suspended on the way to tension.

    What takes the third away from a chord leaves bright bars their major thirds and dark bars their minor ones.
    """
    if interval not in SCALES[scale]:
        return triad
    degree = SCALES[scale].index(interval) + 1
    plain = fit_quality(degree, scale, "triad") or "5"
    if has_major_third(plain) != has_major_third(triad):  # a chord from outside the scale stays as it is
        return triad
    names = ["triad" if rng.random() < 0.7 - 1.4 * tension else rng.choice(colours) for _ in range(2)]
    if tension > _SUSPENDING_TENSION and rng.random() < 0.7 * (tension - _SUSPENDING_TENSION):
        names = ["suspended"]
    qualities = [fit_quality(degree, scale, name) or plain for name in names]
    quality = min(qualities, key=lambda name: abs(UNREST[name] - min(tension, FREE_TENSION)))
    if quality in _THIRDLESS and plain not in _THIRDLESS:
        feeling = valence if has_major_third(plain) else -valence
        if rng.random() < 0.5 + 0.6 * feeling:
            return plain
    return quality


def draw_chromatic(
    rng: random.Random, root: int, quality: str, next_root: int, key: Key, valence: float, tension: float
) -> tuple[int, str]:
    """A chord from outside the scale in the place of (root, quality): (pitch class, quality).

    Secondary dominants, borrowed thirds and mediants come first; the tenser, the rather diminished and augmented ones.
    """
    far = (tension - FREE_TENSION) / (1 - FREE_TENSION)  # 0 … 1
    borrowed = "min" if has_major_third(quality) else "maj"
    options = (
        ((next_root + 7) % 12, "7", 1.2 - far),  # secondary dominant
        (root, borrowed, 1.0 - 0.5 * far),
        ((root + rng.choice((4, 9)) if has_major_third(quality) else root) % 12, "maj", 0.6),  # chromatic mediants
        ((root + rng.choice((3, 8))) % 12, "min", 0.6),
        ((next_root - 1) % 12, "dim", 0.3 + far),  # leading chord
        (root, "dim", 0.9 * far),
        (key.tonic, "m7b5", 0.9 * far),
        ((key.tonic + 1) % 12, "maj", 0.4 + 0.3 * far),  # Neapolitan
        (root, "aug", 0.2 + far),
        ((root + 6) % 12, "min", 0.5 * far),
    )
    weights = [
        weight
        * math.exp(2.5 * valence * (1 if has_major_third(name) else -1))
        * (0.5 if _is_inside(at, name, key) else 1)
        for at, name, weight in options
    ]
    chosen = rng.choices(options, weights)[0]
    return chosen[0], chosen[1]


def _is_inside(root: int, quality: str, key: Key) -> bool:
    return set(chord_pitch_classes(root, quality)) <= key.pitch_classes


# --- voicing ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _voicings(pitch_classes: tuple[int, ...], voices: int, kinds: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Positions of a chord in the range of the harmony layer, by kind of voicing."""
    tones = list(pitch_classes)
    if len(tones) > voices:
        tones.pop(2)  # the fifth goes first, the bass has the root
    if len(tones) > voices:
        tones.pop(0)
    tones = tones[:voices]
    found: set[tuple[int, ...]] = set()
    for inversion in range(len(tones)):
        turned = tones[inversion:] + tones[:inversion]
        for bottom in range(_LOWEST + (turned[0] - _LOWEST) % 12, _HIGHEST, 12):
            close = _stack(bottom, turned[1:])
            while len(close) < voices:
                close.append(close[len(close) - len(tones)] + 12)
            found.update(_spread_out(sorted(close), kind) for kind in kinds if kind != "quartal")
    if "quartal" in kinds:
        for order in permutations(tones):
            for bottom in range(_LOWEST + (order[0] - _LOWEST) % 12, _HIGHEST, 12):
                stack = _stack(bottom, list(order[1:]))
                if len(stack) == voices and all(
                    4 <= high - low <= 7 for low, high in zip(stack, stack[1:], strict=False)
                ):
                    found.add(tuple(stack))
    inside = sorted(pitches for pitches in found if pitches[0] >= _LOWEST and pitches[-1] <= _HIGHEST)
    if not inside and kinds != ("close",):
        return _voicings(pitch_classes, voices, ("close",))
    return tuple(inside) or _voicings(pitch_classes, voices - 1, kinds)  # a wide chord has room for fewer


def _stack(bottom: int, tones: list[int]) -> list[int]:
    """Each tone at its first place above the one before."""
    pitches = [bottom]
    for tone in tones:
        pitches.append(pitches[-1] + ((tone - pitches[-1]) % 12 or 12))
    return pitches


def _spread_out(close: list[int], kind: str) -> tuple[int, ...]:
    """A close position in another kind of voicing."""
    pitches = list(close)
    if kind == "open" and len(pitches) > 2:
        pitches[1] += 12
    elif kind == "drop 2" and len(pitches) > 2:
        pitches[-2] -= 12
    elif kind == "spread":
        pitches[1::2] = [pitch + 12 for pitch in pitches[1::2]]
    return tuple(sorted(pitches))


def voice_chord(
    chord: Chord, voices: int, previous: tuple[int, ...], centre: float, kinds: tuple[str, ...] = ("close", "open")
) -> tuple[int, ...]:
    """Pitches, lowest first, 50 … 76: the least movement from `previous`, drawn to the `centre`.

    `kinds` are of `VOICINGS`. Common tones stay, and the voices do not leap all in one direction.
    """

    def cost(pitches: tuple[int, ...]) -> float:
        middle = sum(pitches) / len(pitches)
        low_clash = 4.0 if pitches[1] - pitches[0] < 3 and pitches[0] < 58 else 0.0
        return _movement(previous, pitches) + 0.5 * abs(middle - centre) + low_clash

    return min(_voicings(chord.pitch_classes, voices, kinds), key=cost)


def _movement(previous: tuple[int, ...], pitches: tuple[int, ...]) -> float:
    """Semitones that the voices move together, more where they leap in parallel."""
    if not previous:
        return 0.0
    if len(previous) != len(pitches):
        return sum(min(abs(pitch - old) for old in previous) for pitch in pitches)
    moves = [pitch - old for old, pitch in zip(previous, pitches, strict=True)]
    is_parallel_leap = min(moves) > 2 or max(moves) < -2
    return sum(map(abs, moves)) + (8.0 if is_parallel_leap else 0.0)
