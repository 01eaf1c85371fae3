"""What a style would rather: where its layers lie, how its roots move, how much its bass has to say, how long its lead
goes on.

In: what beats are asked to be; out: leanings among the rules of the beat. Remembers only tables; any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.score.asked import NO_CUE, Asked
from engine.score.vocabulary import tonic_shift
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, LAYERS
from moods.mood import styles

if TYPE_CHECKING:
    from engine.score.columns import Floats, Ints
    from engine.score.rules import Rules

_TESSITURA = np.array([style.tessitura for style in styles()])  # [styles, pitched layers, 2]
_THIRDS = np.array([style.thirds for style in styles()])
_BASS_DRIVE = np.array([style.bass_drive for style in styles()])
_VALENCE_LIFT, _ENERGY_LIFT = 6.0, 1.5
"""Semitones that all pitched layers lie higher at valence 1, and at energy 1 against 0.5."""
_ARCH_BARS, _ARCH_SEMITONES = 2 * BARS_PER_PHRASE, 5.0
"""The lead rises towards the third quarter of so many bars, and has one high point in them."""
_LEAD_CALL, _BREATH_BEATS = 1.0, 3
"""Added to the logit of a lead that is silent, but for so many beats at the end of a phrase."""
_LEAD_LENGTH = 0.5
"""Added to the lead's durations for each doubling: it is to sing."""
_BY_THIRD, _BY_FIFTH, _BY_STEP = [3, 4, 8, 9], [5, 7], [1, 2, 10, 11]
_THIRD_PULL, _FIFTH_PULL, _STEP_PULL, _CADENCE_PULL = 0.5, -0.1, 0.2, -1.5
"""Added to the logits of chords by how their root is reached; the last to those a fifth below as a phrase begins that
does not begin a section."""
_BASS, _LEAD = LAYERS.index("bass"), LAYERS.index("lead")


def _mixed(asked: Asked, table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[N, …]: what the styles of a table [styles, …] have, by their weights; one style after another, so that a slot's
    numbers do not depend on its company."""
    shape, weights = (-1, *(1,) * (table.ndim - 1)), asked["style"]
    total = np.zeros((len(asked), *table.shape[1:]))
    for number in np.flatnonzero(weights.any(axis=0)).tolist():
        total += weights[:, number].reshape(shape) * table[number]
    return total


def arch(asked: Asked, num_bars: int) -> npt.NDArray[np.float64]:
    """[N] 0 … 1: a curve over every `num_bars` bars of a section, highest in their third quarter."""
    place = (asked["bar_in_section"] % num_bars + asked["beat"] / BEATS_PER_BAR) / num_bars
    return np.sin(np.pi * place**1.4) ** 2


def mixed_tessitura(asked: Asked) -> npt.NDArray[np.float64]:
    """[N, pitched layers, 2]: middle, a MIDI note, and reach, as the styles have them."""
    return _mixed(asked, _TESSITURA)


def write_idiom(rules: Rules, slots: Ints, asked: Asked) -> None:
    """Write what the styles of beats [N] prefer into the rules of their slots [N]."""
    tessitura = mixed_tessitura(asked)
    home = tessitura[..., 0] - tonic_shift(asked["tonic"].astype(np.int64))[:, None]
    home += (_VALENCE_LIFT * asked["gleam"] + 2 * _ENERGY_LIFT * (asked["energy"] - 0.5))[:, None]
    home[:, _LEAD - 1] += _ARCH_SEMITONES * (arch(asked, _ARCH_BARS) - 0.5)
    rules.home[slots, 1:], rules.reach[slots, 1:] = home, tessitura[..., 1]
    rules.kind_bias[slots] = 0
    rules.kind_bias[slots, _BASS] = _mixed(asked, _BASS_DRIVE)
    rules.length_bias[slots] = 0
    rules.length_bias[slots, _LEAD] = _LEAD_LENGTH
    rules.lead_call[slots] = _lead_call(asked)
    rules.root_bias[slots] = _root_bias(asked)


def _lead_call(asked: Asked) -> npt.NDArray[np.float64]:
    """[N] how strongly a silent lead is called for: a phrase goes on to its last beats, and breathes in them."""
    begun = asked["bar_in_section"] % BARS_PER_PHRASE * BEATS_PER_BAR + asked["beat"]
    is_called = (begun < BARS_PER_PHRASE * BEATS_PER_BAR - _BREATH_BEATS) & (asked["cue"] == NO_CUE)
    return np.where(is_called, _LEAD_CALL, 0.0)


def _root_bias(asked: Asked) -> Floats:
    """[N, 12] by the semitones from the sounding root up to a chord's."""
    bias = np.zeros((len(asked), 12))
    bias[:, _BY_THIRD], bias[:, _BY_FIFTH], bias[:, _BY_STEP] = _THIRD_PULL, _FIFTH_PULL, _STEP_PULL
    bar = asked["bar_in_section"]
    bias[(asked["beat"] == 0) & (bar > 0) & (bar % BARS_PER_PHRASE == 0), 5] += _CADENCE_PULL
    return (bias * _mixed(asked, _THIRDS)[:, None]).astype(np.float32)
