"""How loudly notes are played: what a velocity class leaves open, shaped by bar, phrase, form and melody.

In: notes as they are decoded, and what their beats are asked to be; out: their velocities. Remembers nothing; any
thread. The model draws velocities in steps of eight and uses few of them; here a phrase swells and falls, the beat is
felt, a line that rises grows louder, and layers stand before and behind each other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.asked import NO_CUE, Asked
from engine.score.columns import Ints
from engine.score.idiom import arch, mixed_tessitura
from engine.score.tension import swells
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR

_SOFTEST, _LOUDEST = 8, 127
_MIDDLE, _SPREAD = 72, 1.0
"""Velocity about which the model's are spread, and how far."""
# In the order of LAYERS.
_BALANCE = np.array([0.0, 1.0, -5.0, -6.0, 5.0])
_METRE = np.array([0.3, 0.7, 0.7, 1.0, 0.8])
_SWELL = np.array([0.6, 0.8, 1.0, 1.0, 1.2])
_RISE = np.array([0.0, 0.3, 0.3, 0.5, 0.9])
"""How much louder a semitone above the middle of the layer's tessitura is."""
_MOST_RISE = 9.0
_ON_BEAT = np.array([5.0, -1.0, 2.0, -1.0])
"""On the four beats of a bar."""
_OFF_BEAT = np.where(np.arange(TICKS_PER_BEAT) == TICKS_PER_BEAT // 2, -3.0, -6.0)
"""At the ticks of a beat but the first."""
_PHRASE_SWELL, _LONG_SWELL, _FORM_SWELL = 9.0, 4.0, 16.0
"""Between the softest and the loudest place of a phrase, of two, and of the form."""


def played_velocities(notes: npt.NDArray[np.void], asked: Asked, of: Ints) -> Ints:
    """Velocities [M] of notes [M] NOTE, ticks from their beat; `of` [M] is each one's row of `asked` [N].

    Where a cue says how loud it is to be, a hit or what leads in, all is as written.
    """
    layer, written = notes["layer"].astype(np.int64), notes["velocity"].astype(np.float64)
    is_plain = (asked["cue"] == NO_CUE)[of]
    swell = _PHRASE_SWELL * (arch(asked, BARS_PER_PHRASE) - 0.5)
    swell += _LONG_SWELL * (arch(asked, 2 * BARS_PER_PHRASE) - 0.5) + _FORM_SWELL * (asked["intensity"] - 0.5)
    home = np.concatenate([np.zeros((len(asked), 1)), mixed_tessitura(asked)[..., 0]], axis=1)
    metre = np.where(notes["tick"] == 0, _ON_BEAT[asked["beat"].astype(np.int64)][of], _OFF_BEAT[notes["tick"]])
    rise = np.clip(_RISE[layer] * (notes["pitch"] - home[of, layer]), -_MOST_RISE, _MOST_RISE)
    shaped = _MIDDLE + _SPREAD * (written - _MIDDLE) + _BALANCE[layer] + _SWELL[layer] * swell[of]
    shaped += _METRE[layer] * metre + rise + swells(asked)[of, layer]
    return np.where(is_plain, np.clip(np.rint(shaped), _SOFTEST, _LOUDEST), written).astype(np.int64)


assert len(_ON_BEAT) == BEATS_PER_BAR
