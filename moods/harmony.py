"""Keys, scales and chord qualities: names in, pitch classes out. Remembers nothing; any thread."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from moods.errors import UnknownKey
from moods.names import nearest

PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_SPELLINGS = {
    "C": 0, "B#": 0, "C#": 1, "Db": 1, "D": 2, "D#": 3, "Eb": 3, "E": 4, "Fb": 4, "E#": 5, "F": 5,
    "F#": 6, "Gb": 6, "G": 7, "G#": 8, "Ab": 8, "A": 9, "A#": 10, "Bb": 10, "B": 11, "Cb": 11,
}  # fmt: skip

# Semitones above the tonic. The order is part of the model's condition vector: append, never reorder.
SCALES: dict[str, tuple[int, ...]] = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "major pentatonic": (0, 2, 4, 7, 9),
    "minor pentatonic": (0, 3, 5, 7, 10),
}
SCALE_NAMES = tuple(SCALES)
SCALE_VALENCES = {
    "lydian": 0.85, "major": 0.5, "major pentatonic": 0.45, "mixolydian": 0.2, "dorian": -0.1,
    "minor pentatonic": -0.3, "minor": -0.45, "harmonic minor": -0.7, "phrygian": -0.9, "locrian": -1.2,
}  # fmt: skip
"""The valence that each scale speaks of by itself."""
_MODE_CURVE = 1.6


def beside_mode(valence: float) -> float:
    """What is left of a valence for height, colour, density and articulation to say, -1 … 1: little about zero, where
    minor turns into major, which is a step by itself."""
    return math.copysign(abs(valence) ** _MODE_CURVE, valence)


# Semitones above the root. The order is part of the token vocabulary: append, never reorder.
CHORD_QUALITIES: dict[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "5": (0, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "m7b5": (0, 3, 6, 10),
    "maj9": (0, 4, 7, 11, 2),
    "min9": (0, 3, 7, 10, 2),
}
CHORD_QUALITY_NAMES = tuple(CHORD_QUALITIES)


@dataclass(frozen=True, slots=True)
class Key:
    """A tonic (pitch class 0 … 11, C = 0) and the name of a scale in `SCALES`."""

    tonic: int
    scale: str

    def __post_init__(self) -> None:
        assert 0 <= self.tonic < 12, self.tonic
        assert self.scale in SCALES, self.scale

    @property
    def pitch_classes(self) -> frozenset[int]:
        return frozenset((self.tonic + step) % 12 for step in SCALES[self.scale])

    def __str__(self) -> str:
        return f"{PITCH_CLASSES[self.tonic]} {self.scale}"


def parse_key(text: str) -> Key:
    """Read `"A minor"`, `"Eb major"`, `"D dorian"` (scale defaults to major).

    Raises `UnknownKey` with the nearest names.
    """
    words = text.strip().replace("♭", "b").replace("♯", "#").split(maxsplit=1)
    tonic = (words[0][:1].upper() + words[0][1:]) if words else ""
    scale = words[1].strip().lower() if len(words) > 1 else "major"
    if tonic.endswith("m") and tonic[:-1] in _SPELLINGS and len(words) == 1:
        tonic, scale = tonic[:-1], "minor"
    if tonic not in _SPELLINGS or scale not in SCALES:
        raise UnknownKey(text, _near_keys(text), 'expected a tonic and a scale, such as "A minor" or "Eb major"')
    return Key(_SPELLINGS[tonic], scale)


def _near_keys(text: str) -> list[str]:
    match = re.match(r"\s*([A-Ha-h])([#b♯♭]?)\s*(.*)", text)
    if match is None:
        return []
    tonic = match[1].upper().replace("H", "B") + match[2]  # H is the German name of B
    return [f"{tonic} {scale}" for scale in (nearest(match[3], SCALES) if match[3] else ["major", "minor"])]
