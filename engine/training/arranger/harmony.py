"""Chords: which, and how they are voiced. In: scale, valence, tension; out: chords and pitches.

Remembers nothing but caches of pure functions; any thread.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache

from moods.harmony import CHORD_QUALITIES, SCALES, Key

COLOURS: dict[str, tuple[str, ...]] = {
    "triad": ("maj", "min", "dim", "sus4", "sus2", "aug", "5"),
    "seventh": ("maj7", "min7", "7", "m7b5", "maj", "min", "sus4", "sus2", "dim", "5"),
    "ninth": ("maj9", "min9", "maj7", "min7", "7", "m7b5", "sus2", "maj", "min", "dim", "5"),
    "open": ("sus2", "5", "maj", "min", "sus4", "dim"),
    "power": ("5", "maj", "min", "dim"),
    "suspended": ("sus4", "7", "sus2", "m7b5", "min", "maj", "dim"),
}
"""Qualities in the order of preference; the first whose tones are in the scale is taken."""

BRIGHTNESS = {
    "maj": 1.0, "maj7": 0.8, "maj9": 0.8, "7": 0.4, "sus2": 0.4, "5": 0.1, "sus4": 0.1, "aug": -0.3,
    "min7": -0.5, "min9": -0.5, "min": -0.6, "dim": -1.0, "m7b5": -1.0,
}  # fmt: skip

# Scale degrees, one a chord; in pentatonic scales degrees of the scale's own five steps.
PROGRESSIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "pop": {
        "major": ("1564", "1645", "6415", "4156", "1465", "1415", "1345", "6543", "2415", "6142", "1425", "4536"),
        "minor": ("1637", "1736", "1463", "1467", "6713", "1374", "1415", "3716", "1673", "4163", "1456", "1476"),
    },
    "folk": {
        "major": ("1415", "1451", "1545", "14151451", "1625", "6415", "1656", "16421451"),
        "minor": ("1767", "1457", "1371", "14171371", "1617", "3715", "1471"),
    },
    "jazz": {
        "major": ("2516", "1625", "3625", "25112516", "4362", "1425", "14362511", "6251", "2536"),
        "minor": ("1625", "2511", "14736251", "1415", "4736", "6251", "1657"),
    },
    "modal": {
        "major": ("1212", "1717", "1514", "1424", "1616", "4141", "1312", "6464"),
        "minor": ("1414", "1717", "1212", "1613", "1716", "1515", "1616", "3434"),
    },
    "epic": {
        "major": ("1564", "6415", "14651451", "4564", "1362", "6145", "1435"),
        "minor": ("1637", "1673", "1413", "16371456", "1645", "6711", "1317", "1642"),
    },
    "classical": {
        "major": ("1451", "1625", "14152651", "1264", "15634145", "1425", "3625", "1364"),
        "minor": ("1451", "1625", "14736251", "1425", "1645", "17651451", "1254"),
    },
    "static": {
        "major": ("1111", "1114", "1151", "1121", "1161"),
        "minor": ("1111", "1112", "1121", "1161", "1114", "1171", "1117"),
    },
}
_PENTATONIC = {
    "major": ("1515", "1525", "5154", "1454", "1254", "5415", "1411", "4515"),
    "minor": ("1251", "1235", "1151", "1325", "2351", "1512", "1535", "2151"),
}
_CHROMATIC = (
    (0, "dim"),
    (0, "aug"),
    (0, "m7b5"),
    (1, "maj"),
    (6, "dim"),
    (8, "aug"),
    (11, "dim"),
    (1, "5"),
    (8, "min"),
)
_LOWEST, _HIGHEST = 50, 76


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


@lru_cache(maxsize=512)
def fit_quality(degree: int, scale: str, colour: str) -> str | None:
    """The preferred quality on a 1-based degree of a scale whose tones are all in the scale, if there is one."""
    steps = SCALES[scale]
    root = steps[degree - 1]
    for quality in COLOURS[colour]:
        if all((root + step) % 12 in steps for step in CHORD_QUALITIES[quality]):
            return quality
    return None


@lru_cache(maxsize=512)
def _loops(pool: str, scale: str) -> tuple[tuple[str, float], ...]:
    """Playable progressions of a pool with their mean brightness."""
    family = "major" if scale.startswith("major") or scale in ("lydian", "mixolydian") else "minor"
    table = _PENTATONIC[family] if "pentatonic" in scale else PROGRESSIONS[pool][family]
    found = []
    for loop in table:
        qualities = [fit_quality(int(degree), scale, "triad") for degree in loop]
        if None not in qualities:
            found.append((loop, sum(BRIGHTNESS[quality] for quality in qualities if quality) / len(loop)))
    return tuple(found)


def draw_progression(rng: random.Random, pool: str, scale: str, valence: float) -> str:
    """Digits of scale degrees: among the pool's, the brighter the higher the valence."""
    loops = _loops(pool, scale)
    brightness = [value for _, value in loops]
    low, high = min(brightness), max(brightness)
    target = low + (valence + 1) / 2 * (high - low)
    weights = [math.exp(-(((value - target) / 0.12) ** 2) / 2) + 1e-6 for value in brightness]
    return rng.choices([loop for loop, _ in loops], weights)[0]


@lru_cache(maxsize=512)
def _relatives(degree: int, scale: str) -> tuple[tuple[int, float], ...]:
    """A degree and those a third away, which share two tones with it, with the brightness of their triads."""
    if len(SCALES[scale]) < 7:
        return ()
    near = (degree, (degree + 1) % 7 + 1, (degree + 4) % 7 + 1)
    return tuple((other, BRIGHTNESS[fit_quality(other, scale, "triad") or "dim"]) for other in near)


def lean(rng: random.Random, degree: int, scale: str, valence: float) -> int:
    """In clearly bright or dark bars, often the brighter or darker relative of a chord."""
    relatives = _relatives(degree, scale)
    if not relatives or rng.random() > abs(valence) - 0.2:
        return degree
    bright = max(relatives, key=lambda item: item[1] * valence)
    return bright[0] if bright[1] > -1 else degree


def draw_quality(rng: random.Random, degree: int, key: Key, colour: str, tension: float) -> tuple[int, str]:
    """(root, quality) on a degree: plain when relaxed, suspended on the way, chromatic only above tension 0.5."""
    if rng.random() < 0.5 - 2.5 * tension:
        colour = "triad"
    if tension > 0.5 and rng.random() < 1.3 * (tension - 0.45):
        shift, quality = rng.choice(_CHROMATIC)
        return (key.tonic + shift) % 12, quality
    if tension > 0.25 and rng.random() < tension - 0.2:
        colour = "suspended"
    quality = fit_quality(degree, key.scale, colour) or fit_quality(degree, key.scale, "triad") or "5"
    return (key.tonic + SCALES[key.scale][degree - 1]) % 12, quality


@lru_cache(maxsize=2048)
def _voicings(pitch_classes: tuple[int, ...], voices: int) -> tuple[tuple[int, ...], ...]:
    """Close and open positions in the range of the harmony layer."""
    tones = list(pitch_classes)
    if len(tones) > voices:
        tones.pop(2)  # the fifth goes first, the bass has the root
    if len(tones) > voices:
        tones.pop(0)
    tones = tones[:voices]
    found = set()
    for inversion in range(len(tones)):
        turned = tones[inversion:] + tones[:inversion]
        for bottom in range(_LOWEST, _HIGHEST):
            if bottom % 12 != turned[0]:
                continue
            pitches = [bottom]
            for tone in turned[1:]:
                pitches.append(pitches[-1] + ((tone - pitches[-1]) % 12 or 12))
            while len(pitches) < voices:
                pitches.append(pitches[len(pitches) - len(tones)] + 12)
            opened = sorted([pitches[0], *(p + 12 if index == 1 else p for index, p in enumerate(pitches) if index)])
            found.update(tuple(p) for p in (pitches, opened) if p[-1] <= _HIGHEST)
    return tuple(sorted(found)) or _voicings(pitch_classes, voices - 1)  # a wide chord has room for fewer


def voice_chord(chord: Chord, voices: int, previous: tuple[int, ...], centre: float) -> tuple[int, ...]:
    """Pitches, lowest first, 50 … 76: the least movement from `previous`, drawn to the `centre`."""

    def cost(pitches: tuple[int, ...]) -> float:
        middle = sum(pitches) / len(pitches)
        movement = sum(min(abs(pitch - old) for old in previous) for pitch in pitches) if previous else 0
        low_clash = 4.0 if pitches[1] - pitches[0] < 3 and pitches[0] < 58 else 0.0
        return movement + 0.6 * abs(middle - centre) + low_clash

    return min(_voicings(chord.pitch_classes, voices), key=cost)
