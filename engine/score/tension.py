"""How tension and valence are heard in the notes, graded: what they add to the logits of chords, pitches, lengths and
positions. In: what beats are asked to be; out: leanings among the rules of the beat.

The more tension, the more of it all: a bass that stays on the tonic and sinks, chords that want to go on, half-tones
beside their tones and tones from outside the scale, a texture that climbs, a pulse; before a section begins the music
holds its breath, and where tension falls it comes home. Valence moves the share of major chords, height and
articulation, whatever the scale. Remembers only tables; any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.asked import NEVER, NO_CUE, Asked
from engine.score.cues import HAS_TONE
from engine.score.vocabulary import NUM_QUALITIES
from moods.harmony import CHORD_QUALITIES, SCALE_VALENCES, SCALES
from moods.intent import BEATS_PER_BAR, LAYERS

if TYPE_CHECKING:
    from engine.score.columns import Bools, Floats, Ints
    from engine.score.rules import Rules

FREE_TENSION = 0.5
"""Above this tension notes and chords may leave the scale, at first hardly ever."""
CLUSTER_TENSION = 0.2
"""Above this tension the harmony may play tones beside those of its chord, and the bass may stay on the tonic."""
_BREATH_TENSION = 0.6
"""From this tension on the last beat before a section is silent."""

_VALENCE_PULL, _SCALE_PULL = 0.25, 0.4
_FARTHEST = 0.35
"""How far a major third raises a chord's logit, for each unit of valence and of its distance from the scale's own, up
to so much: a key may have been asked for."""
_RELATIVE_PULL = 1.0
"""Added to the minor chords on the second, third and sixth at valence 1: bright music knows more than three chords."""
_TENSION_PULL, _TENSION_REST = 2.5, 0.15
"""How far tension shifts the logit of the most restless chord for each unit above or below `_TENSION_REST`."""
_DARK_PULL = 0.8
"""Taken from chords with a major third, at full tension."""
_AWAY_PULL = 1.0
"""Taken from chords on the tonic, at full tension: it is in the bass."""
_FOREIGN_CHORD, _FOREIGN_TONE = 3.0, 5.0
"""Taken from a chord for each tone outside the scale, and from such a tone, where they are only just allowed."""
_RELEASE_PULL = 9.0
"""Added to restful chords on the tonic where tension has fallen by all there is within a bar."""

_BASS, _HARMONY, _TEXTURE, _LEAD = (LAYERS.index(name) for name in ("bass", "harmony", "texture", "lead"))
# In the order of LAYERS, at full tension; drums have none.
_FOREIGN_AT_MOST = np.array((0.0, 0.5, 0.0, 0.0, 1.5), np.float32)
"""What is still taken from tones outside the scale."""
_SINKING = np.array((0.0, -5.0, -4.0, 0.0, 0.0), np.float32)
_CLIMBING = np.array((0.0, 0.0, 0.0, 8.0, 2.0), np.float32)
"""Semitones that the middle of a tessitura moves by: by tension, by tension above `FREE_TENSION`."""
_LENGTH_OF_VALENCE = np.array((0.0, -0.45, -0.3, -0.6, -0.35), np.float32)
_LENGTH_OF_PULSE = np.array((0.0, -0.7, 0.0, -0.7, 0.0), np.float32)
"""Added for each doubling of a note's length: by valence, in a pulse."""
_PULSE_POSITION = np.array((0.0, 1.5, 0.0, 1.5, 0.0), np.float32)
_PULSE_KIND = np.array((0.0, 0.8, 0.0, 0.8, -0.6), np.float32)
"""In a pulse: added to positions on its ticks, and to there being another note of a layer; the lead makes room."""
_STILLEST_PULSE = 0.3
"""What is left of a pulse at energy 0."""
_PULSE_TICKS = [0, TICKS_PER_BEAT // 2]
_PEDAL_PULL = 5.0
"""Added to the tonic in the bass."""
_TRITONE_PULL = 2.0
"""Added to the tritone and the minor second above it, at full tension."""
_NEAR_STRAY, _FAR_STRAY = (-7.0, 0.5), (-9.0, -2.5)
"""Added to the harmony's tones outside its chord, a half-tone from a tone of it and others: least and most tension."""
_NEIGHBOUR_PULL = 2.0
"""Added to such half-tones in the texture, for each unit of tension above `_TENSION_REST`."""
_DEEPEST, _HIGHEST = 5, 9
"""Semitones that tension adds to the harmony's range below and to the texture's above."""
_SWELL = 14
"""Half of what a swell takes, in MIDI velocity."""
_WEIGHT = np.array((8.0, 14.0, 0.0, 4.0, -6.0))
"""How much louder layers are at full tension, in the order of LAYERS."""
_BREATH_BARS = 2
"""Bars of a section's end in which nothing may ring into the silence."""


def _third_signs() -> npt.NDArray[np.float32]:
    """[NUM_CHORDS] +1 for chords with a major third, -1 with a minor one, else 0."""
    signs = [float(4 in tones) - float(3 in tones) for tones in CHORD_QUALITIES.values()]
    return np.tile(np.array(signs, np.float32), 12)


_UNREST = {
    "dim": 1.0, "m7b5": 1.0, "aug": 0.9, "sus4": 0.5, "7": 0.5, "sus2": 0.4, "maj9": 0.4, "min9": 0.4, "maj7": 0.3,
    "min7": 0.2, "5": 0.2, "maj": 0.0, "min": 0.0,
}  # fmt: skip
"""How much a chord wants to go on, by its quality."""
_UNRESTS = np.tile(np.array([_UNREST[name] for name in CHORD_QUALITIES], np.float32), 12)
_THIRD_SIGNS = _third_signs()
_IS_RELATIVE = np.array(
    [root in (2, 4, 9) and name in ("min", "min7") for root in range(12) for name in CHORD_QUALITIES]
)
_IS_HOME = np.arange(12 * NUM_QUALITIES) < NUM_QUALITIES
_RESTFUL = np.where(_IS_HOME, 1 - _UNRESTS, 0).astype(np.float32)
_IS_FOREIGN = np.array([[step not in steps for step in range(12)] for steps in SCALES.values()])  # [scales, 12]
_FOREIGN_TONES = (_IS_FOREIGN.astype(np.float32) @ HAS_TONE.T.astype(np.float32)).astype(np.float32)
_SCALE_VALENCES = np.array([SCALE_VALENCES[name] for name in SCALES])


def _between(values: npt.NDArray[np.float64], low: float, high: float) -> npt.NDArray[np.float64]:
    """[N] 0 up to `low`, 1 from `high` on, a straight line between."""
    return np.clip((values - low) / (high - low), 0, 1)


def _grown(values: npt.NDArray[np.float64], low: float, high: float) -> Floats:
    """The same as a column, [N, 1]."""
    return _between(values, low, high).astype(np.float32)[:, None]


def unease(asked: Asked) -> npt.NDArray[np.float64]:
    """[N] 0 up to CLUSTER_TENSION, 1 at full tension."""
    return _between(asked["tension"], CLUSTER_TENSION, 1)


def _chord_bias(asked: Asked) -> Floats:
    """[N, NUM_CHORDS]."""
    tension, scale = asked["tension"], asked["scale"].astype(np.int64)
    beyond = np.clip(asked["valence"] - _SCALE_VALENCES[scale], -_FARTHEST, _FARTHEST)  # the scale says the rest
    thirds = _VALENCE_PULL * asked["valence"] + _SCALE_PULL * beyond
    darkness = _DARK_PULL * _grown(tension, CLUSTER_TENSION, 1)
    leaning = (thirds.astype(np.float32)[:, None] - darkness) * _THIRD_SIGNS
    leaning += (_RELATIVE_PULL * np.clip(asked["valence"], 0, 1)).astype(np.float32)[:, None] * _IS_RELATIVE
    leaning += (_TENSION_PULL * (tension - _TENSION_REST)).astype(np.float32)[:, None] * _UNRESTS
    is_free = (tension > FREE_TENSION)[:, None]
    leaning -= is_free * _FOREIGN_CHORD * (1 - _grown(tension, FREE_TENSION, 1)) * _FOREIGN_TONES[scale]
    leaning -= _AWAY_PULL * _grown(tension, CLUSTER_TENSION, 1) * _IS_HOME
    return leaning + (_RELEASE_PULL * asked["release"]).astype(np.float32)[:, None] * _RESTFUL


def widened(asked: Asked, low: Ints, high: Ints) -> tuple[Ints, Ints]:
    """Ranges [N, layers] as tension has them: a harmony that goes deeper, a texture that goes higher."""
    low, high = low.copy(), high.copy()
    low[:, _HARMONY] -= np.rint(_DEEPEST * _grown(asked["tension"], CLUSTER_TENSION, 1)[:, 0]).astype(np.int64)
    high[:, _TEXTURE] += np.rint(_HIGHEST * _grown(asked["tension"], FREE_TENSION, 1)[:, 0]).astype(np.int64)
    return low, high


def is_breath(asked: Asked) -> Bools:
    """[N]: is this a beat of silence before a section begins?"""
    return holds_breath(asked) & (asked["bars_to_change"] == 0) & (asked["beat"] == BEATS_PER_BAR - 1)


def holds_breath(asked: Asked) -> Bools:
    """[N]: is such a beat so near that nothing may ring into it?"""
    is_tense = (asked["tension"] >= _BREATH_TENSION) & (asked["bars_to_change"] < _BREATH_BARS)
    return is_tense & (asked["cue"] == NO_CUE) & (asked["beats_to_end"] == NEVER)


def write_tension(rules: Rules, slots: Ints, asked: Asked) -> None:
    """Write what the tension and valence of beats [N] ASKED add to their notes into the rules of their slots [N], which
    hold what the styles prefer."""
    tension, gleam = asked["tension"], asked["gleam"].astype(np.float32)[:, None]
    some, strong = _grown(tension, CLUSTER_TENSION, 1), _grown(tension, FREE_TENSION, 1)
    pulse = some * (_STILLEST_PULSE + (1 - _STILLEST_PULSE) * asked["energy"]).astype(np.float32)[:, None]

    tone_bias = np.zeros((len(asked), len(LAYERS), 12), np.float32)
    foreign = -_FOREIGN_TONE * (1 - strong) - _FOREIGN_AT_MOST * strong
    foreign[tension <= FREE_TENSION] = 0  # where the masks have none, but for a theme's own
    tone_bias += foreign[:, :, None] * _IS_FOREIGN[asked["scale"].astype(np.int64)][:, None, :]
    tone_bias[:, _BASS, 0] += (_PEDAL_PULL * some)[:, 0]
    tone_bias[:, _BASS, [1, 6]] += _TRITONE_PULL * strong
    rules.tone_bias[slots] = tone_bias
    rules.chord_bias[slots] = _chord_bias(asked)
    rules.stray_bias[slots] = 0
    rules.stray_bias[slots, _HARMONY] = np.concatenate(
        [least + (most - least) * some for least, most in (_NEAR_STRAY, _FAR_STRAY)], axis=1
    )
    rules.stray_bias[slots, _TEXTURE, 0] = _NEIGHBOUR_PULL * (tension - _TENSION_REST)
    rules.home[slots] += _SINKING * some + _CLIMBING * strong
    rules.length_bias[slots] += _LENGTH_OF_VALENCE * gleam + _LENGTH_OF_PULSE * pulse
    position_bias = np.zeros((len(asked), len(LAYERS), TICKS_PER_BEAT), np.float32)
    position_bias[..., _PULSE_TICKS] = (_PULSE_POSITION * pulse)[..., None]
    rules.position_bias[slots] = position_bias
    rules.kind_bias[slots] += _PULSE_KIND * pulse


def swells(asked: Asked) -> Ints:
    """MIDI velocity [N, layers] to be added to notes: two bars rise, the tenser the steeper, over a heavy bass."""
    beats = 2 * BEATS_PER_BAR
    place = (asked["bar_in_section"] * BEATS_PER_BAR + asked["beat"]) % beats / (beats - 1)
    rise = _grown(asked["tension"], CLUSTER_TENSION, 1) * (_SWELL * (2 * place - 1)[:, None] + _WEIGHT)
    return np.rint(rise).astype(np.int64)
