"""Themes as what a beat must contain. In: a tune, the beats since it began, the key; out: the lead's notes of that
beat, and how well chords go with it.

Remembers only what it worked out before; any thread. The lead has no choice: the masks leave it the theme's notes. The
model hears them and chooses all else, chords among those that bear the theme's strong notes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from engine.notes import TICKS_PER_BEAT
from engine.score.columns import Bools, Floats, Ints
from engine.score.cues import HAS_TONE
from engine.score.rules import RANGES, Rules
from engine.score.stinger import folded, misfit
from engine.score.vocabulary import FIRST_PITCH, duration_class, tonic_shift
from moods.harmony import SCALES, Key
from moods.intent import BEATS_PER_BAR, LAYERS, Intent
from moods.tune import Tune, whole_scale

_HALF_BAR = BEATS_PER_BAR // 2
CHORD_PULL = 2.0
"""Added to the logit of a chord whose tones the lead is bound to all through half a bar."""
_QUIETEST = 8
"""Velocity class below which no note of a theme is played."""
_LEAD = LAYERS.index("lead")

_LOW, _HIGH = RANGES[_LEAD]


class ThemeNote(NamedTuple):
    tick: int  # from the theme's beginning
    length: int
    pitch: int


@lru_cache(maxsize=256)
def theme_notes(tune: Tune, key: Key) -> tuple[ThemeNote, ...]:
    """The whole theme in a key, in the octave in which it suits the lead best; only what is wider than its range is
    folded into it."""
    semitones = [key.tonic + each for each in tune.in_scale(key.scale)]
    low, high = min(semitones), max(semitones)
    shift = min(range(-144, 144, 12), key=lambda shift: misfit(low + shift, high + shift, _LOW, _HIGH))
    return tuple(
        ThemeNote(
            round(note.onset * TICKS_PER_BEAT), round(note.beats * TICKS_PER_BEAT), folded(pitch + shift, _LOW, _HIGH)
        )
        for note, pitch in zip(tune.notes, semitones, strict=True)
    )


@lru_cache(maxsize=1024)
def _line(tune: Tune, since: int, key: Key) -> Ints:
    """[N, 3]: position, value and duration class of the notes that begin `since` … before `since` + 1 beats in."""
    first, shift = since * TICKS_PER_BEAT, tonic_shift(key.tonic)
    return np.array(
        [
            (note.tick - first, FIRST_PITCH + note.pitch - shift, duration_class(note.length))
            for note in theme_notes(tune, key)
            if 0 <= note.tick - first < TICKS_PER_BEAT
        ],
        np.int64,
    ).reshape(-1, 3)


class _Harmony(NamedTuple):
    """What a theme asks of the chord at one of its beats."""

    tone: int  # that sounds there, above the tonic; -1: it rests
    bias: Floats  # [NUM_CHORDS] what speaks for a chord by all that sounds in the half bar from there on
    borrowed: Bools  # [NUM_CHORDS] those with the tone whose other tones lie in the scale of seven


@lru_cache(maxsize=1024)
def _harmony(tune: Tune, since: int, key: Key) -> _Harmony:
    start = since * TICKS_PER_BEAT
    weights, strong = np.zeros(12, np.float32), -1
    for note in theme_notes(tune, key):
        end, tone = note.tick + note.length, (note.pitch - key.tonic) % 12
        if note.tick <= start < end:
            strong = tone
        weights[tone] += max(0, min(end, start + _HALF_BAR * TICKS_PER_BEAT) - max(note.tick, start))
    inside = np.isin(np.arange(12), [*SCALES[whole_scale(key.scale)], strong])
    bias = CHORD_PULL / (_HALF_BAR * TICKS_PER_BEAT) * (HAS_TONE @ weights)
    return _Harmony(strong, bias, HAS_TONE[:, strong] & ~(HAS_TONE & ~inside).any(axis=1))


def write_theme(rules: Rules, slot: int, intent: Intent, chord: int, *, may_borrow: bool) -> None:
    """Write what the theme under way asks of a beat into the rules of its slot, which hold all else; `chord` sounds.

    `may_borrow`: where no chord that is allowed has the theme's tone, one from beyond the scale may.
    """
    assert intent.theme is not None
    tune, since = intent.theme
    line = _line(tune, since, intent.key)
    rules.num_theme[slot], rules.theme[slot, : len(line)] = len(line), line
    rules.max_notes[slot, _LEAD], rules.theme_softest[slot] = len(line), _QUIETEST
    tone, bias, borrowed = _harmony(tune, since, intent.key)
    rules.chord_bias[slot] += bias
    if tone < 0:
        return
    fitting = rules.chords[slot] & HAS_TONE[:, tone]
    if not fitting.any() and may_borrow:
        fitting = borrowed
        rules.scale[slot, [*SCALES[whole_scale(intent.key.scale)], tone]] = True
    if fitting.any():
        rules.chords[slot] = fitting
        rules.must_have_chord[slot] |= rules.may_change_chord[slot] and not (chord >= 0 and HAS_TONE[chord, tone])
