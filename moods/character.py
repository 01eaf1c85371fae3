"""The character of a piece: what sets it apart from others of its mood. In: a seed and a piece's number; out: small
offsets, drawn once a piece. Remembers nothing; any thread.

Offsets are given as they are at novelty 0.5; `spread_of` says by what share they count: without novelty every piece is
what its mood is on average, with all of it they count twice.
"""

from __future__ import annotations

import random
from functools import lru_cache

from moods.intent import DEFAULT_NOVELTY, LAYERS, Character

GROOVES = (
    "................", "x.x.x.x.x.x.x.x.", "x...x...x...x...", "..x...x...x...x.", "x..x..x.x..x..x.",
    "x..x..x...x.x...", "x.....x.x.....x.", "x..xx.x.x..xx.x.", "x..x...xx..x...x", "x.......x.....x.",
    "..x..x..x..x..x.", "xx.xx.xxx.xx.xx.", "....x.x.....x.x.", "x.xx..x.x.xx..x.", "...x...x..x...x.",
    "x.....x...x...x.",
)  # fmt: skip
"""Sixteenths of a bar on which a layer likes to begin; the first likes none."""
CHORD_FAMILIES = (("maj", "min"), ("7", "maj7", "min7"), ("sus2", "sus4", "5"), ("maj9", "min9"))
"""Of chords that are as bright and as calm as each other: what a piece likes of these is no matter of its mood."""
_LIVELINESS = 0.16
_DENSITY = 0.1
_SOONER = 0.3
_ROOT_DISLIKE, _ROOT_LIKING, _HOME_TASTE = -3.0, 0.5, -0.4
"""A piece may do without a root, but likes none so much that it is taken for the tonic, nor its tonic less than this:
it is to be heard which it is."""
_TONE_DISLIKE, _TONE_LIKING, _FAMILY_TASTE = -4.0, 2.0, 1.0
_ENTERING = ("drums", "bass", "texture")
_GROOVING = ("bass", "harmony", "texture")
_SAME_GROOVE = 0.1
"""How often a layer has the groove of the one before it."""


@lru_cache(maxsize=256)
def character_of(seed: int, piece: int) -> Character:
    """The character of the piece of that number; 0 is the first."""
    rng = random.Random(f"character/{seed}/{piece}")
    liveliness, density = rng.uniform(-_LIVELINESS, _LIVELINESS), rng.uniform(-_DENSITY, _DENSITY)
    sooner = tuple(rng.uniform(0, _SOONER) if layer in _ENTERING else 0.0 for layer in LAYERS)
    home, *roots = (rng.uniform(_ROOT_DISLIKE, _ROOT_LIKING) for _ in range(12))
    tonic, *tones = (rng.uniform(_TONE_DISLIKE, _TONE_LIKING) for _ in range(12))
    families = tuple(rng.uniform(-_FAMILY_TASTE, _FAMILY_TASTE) for _ in CHORD_FAMILIES)
    grooves, groove = list[int](), 0
    for layer in LAYERS:
        if layer in _GROOVING and (not groove or rng.random() >= _SAME_GROOVE):
            groove = rng.randrange(1, len(GROOVES))
        grooves.append(groove if layer in _GROOVING else 0)
    liked_roots, liked_tones = (max(home, _HOME_TASTE), *roots), (max(tonic, 0.0), *tones)
    return Character(liveliness, density, sooner, liked_roots, liked_tones, families, tuple(grooves))


def spread_of(novelty: float) -> float:
    """By what a piece's offsets are multiplied, 0 … 2."""
    return novelty / DEFAULT_NOVELTY
