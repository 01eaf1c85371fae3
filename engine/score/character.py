"""How the character of a piece is heard in the notes: what it adds to logits of chords, tones, layers and positions.

In: what beats are asked to be; out: leanings among the rules of the beat. Remembers only tables; any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.asked import Asked
from engine.score.tension import unease
from engine.score.vocabulary import NUM_QUALITIES
from moods.character import CHORD_FAMILIES, GROOVES
from moods.harmony import CHORD_QUALITIES
from moods.intent import BEATS_PER_BAR, DEFAULT_NOVELTY, LAYERS

if TYPE_CHECKING:
    from engine.score.columns import Floats, Ints
    from engine.score.rules import Rules

_GROOVE_PULL = 5.0
"""How far a note is pulled to a sixteenth of its layer's groove, and pushed from the others."""
_TENSE_SHARE = 0.4
"""What is left of that at full tension, whose pulse is its own."""
_OFF_GROOVE = -1.0
"""Added to a layer in a beat in which its groove has no place."""
_WARMTH = 0.3
"""By what share draws are warmer with all of novelty, and cooler without any."""
_SIXTEENTH_OF_TICK = np.searchsorted([3, 9, 17], np.arange(TICKS_PER_BEAT), side="right")
"""The second eighth may be swung, to a third of the beat later."""
_HAS_TONES = np.array([layer in ("harmony", "texture") for layer in LAYERS])


def _groove_tables() -> tuple[Floats, Floats]:
    """[grooves, beats, ticks] added to positions, [grooves, beats] to layers."""
    likes = np.array([[mark == "x" for mark in groove] for groove in GROOVES]).reshape(len(GROOVES), BEATS_PER_BAR, -1)
    positions = np.where(likes, _GROOVE_PULL, -_GROOVE_PULL)[..., _SIXTEENTH_OF_TICK].astype(np.float32)
    layers = np.where(likes.any(axis=2), 0, _OFF_GROOVE).astype(np.float32)
    layers[0] = 0
    return positions, layers


_GROOVE_POSITIONS, _GROOVE_LAYERS = _groove_tables()
_FAMILY_OF_CHORD = np.tile([[name in family for family in CHORD_FAMILIES] for name in CHORD_QUALITIES], (12, 1)).T


def warmth(asked: Asked) -> npt.NDArray[np.float64]:
    """[N] by what temperatures are multiplied."""
    return 1 + _WARMTH * (_spread(asked) - 1)


def _spread(asked: Asked) -> npt.NDArray[np.float64]:
    """[N] by what the offsets of a piece are multiplied."""
    found: npt.NDArray[np.float64] = asked["novelty"] / DEFAULT_NOVELTY
    return found


def write_character(rules: Rules, slots: Ints, asked: Asked) -> None:
    """Add what the pieces of beats [N] ASKED like to the leanings that the rules of their slots [N] have."""
    far, beat, grooves = _spread(asked), asked["beat"].astype(np.int64), asked["grooves"].astype(np.int64)
    liked_chords = np.repeat(asked["roots"], NUM_QUALITIES, axis=1) + asked["families"] @ _FAMILY_OF_CHORD
    rules.chord_bias[slots] += far[:, None] * liked_chords
    rules.tone_bias[slots] += far[:, None, None] * asked["tones"][:, None] * _HAS_TONES[:, None]
    rules.kind_bias[slots] += far[:, None] * _GROOVE_LAYERS[grooves, beat[:, None]]
    groove = far * (1 - (1 - _TENSE_SHARE) * unease(asked))
    rules.position_bias[slots] += groove[:, None, None] * _GROOVE_POSITIONS[grooves, beat[:, None]]
