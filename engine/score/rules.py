"""What a beat is asked: limits, so that no draw is unmusical by accident, and leanings, by which one is preferred.

In: what beats are asked to be; out: `Rules`, relative to the tonic as the vocabulary is. Remembers only tables computed
before; any thread. masks.py reads the limits, leanings.py the leanings. Leanings come from the style (idiom.py), from
tension and valence (tension.py) and from the piece (character.py).
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.asked import CUT, FILL, HIT, NO_CADENCE, NO_TONIC, PLAGAL, REST, Asked
from engine.score.character import warmth, write_character
from engine.score.chords import CADENCE_BEATS, LEAVING_BEATS, chord_masks
from engine.score.columns import Bools, Column, Floats, Ints
from engine.score.idiom import write_idiom
from engine.score.tension import CLUSTER_TENSION, FREE_TENSION, holds_breath, is_breath, widened, write_tension
from engine.score.vocabulary import DRUM_NOTES, DURATIONS, NUM_CHORDS, NUM_DRUMS, NUM_VELOCITIES, tonic_shift
from moods.harmony import SCALES
from moods.intent import BEATS_PER_BAR, CUT_STRENGTH, LAYERS, MOST_CUT_BEATS
from moods.theme import MAX_NOTES_PER_BEAT

NUM_LAYERS = len(LAYERS)

# MIDI ranges the layers sound good in, in the order of LAYERS (drums have none). What the model learnt from goes an
# octave higher; under a voice or a game that is shrill.
RANGES = ((0, 127), (28, 52), (48, 79), (40, 84), (60, 88))
MAX_VOICES = (6, 1, 5, 3, 1)
"""Notes of a layer that may begin at one tick, in the order of LAYERS."""
# Notes of a layer in one beat at density 0 and at density 1, in the order of LAYERS.
_NOTES_AT_REST = (8, 2, 4, 2, 2)
_NOTES_AT_MOST = (14, 4, 8, 5, 6)
VOICING_REACH = 10
"""Semitones that a chord's notes may lie from the middle of the chord before it: voices lead, they do not jump."""
LEAD_LEAPS = 9
"""Widest leap of the lead in semitones, the octave apart."""

ENDLESS, LAST_CHORD, SILENT = 0, 1, 2

_DRUMS, _HARMONY, _LEAD = LAYERS.index("drums"), LAYERS.index("harmony"), LAYERS.index("lead")
_LEAD_IN_LAYERS = np.array([LAYERS.index(name) for name in ("drums", "lead", "bass", "texture", "harmony")])
"""Who leads into a hit or a section: the first of these that plays."""
_FEWEST_LEAD_IN_NOTES = 6
_BAR_TICKS, _HALF_BAR = BEATS_PER_BAR * TICKS_PER_BEAT, BEATS_PER_BAR // 2
_SOFTEST_STRIKE = NUM_VELOCITIES // 2
"""Velocity class below which nothing is struck at strength 0."""
_KICK, _CRASH = DRUM_NOTES.index(36), DRUM_NOTES.index(49)


def _drum_bias(*pulls: tuple[float, tuple[int, ...]]) -> Floats:
    """[NUM_DRUMS]: what is added to the logits of drums, given by their MIDI notes."""
    bias = np.zeros(NUM_DRUMS, np.float32)
    for pull, pitches in pulls:
        bias[[DRUM_NOTES.index(pitch) for pitch in pitches]] = pull
    return bias


_FILL_BIAS = _drum_bias((1.5, (38, 45, 47, 50, 64, 63)), (-4.0, (42, 44, 46, 49, 51, 53, 54, 70, 56)))
"""In a fill: snares and toms, rather than what keeps time otherwise, cymbals and shakers."""
_BACKBEAT_BIAS, _OFFBEAT_BIAS = _drum_bias((1.5, (37, 38, 39))), _drum_bias((-4.0, (37, 38, 39)))
"""In half-time: snares and claps on the third beat, and not on the second and fourth."""
_ENDLESS_TICKS = 1 << 20
"""From a beat to where what sounds ends, where nothing says when."""


class Rules(NamedTuple):
    """What a beat is asked, for every slot, as the sampler reads it."""

    # Limits.
    scale: Annotated[Bools, Column(12)]  # pitch classes above the tonic; all True where notes are free
    chords: Annotated[Bools, Column(NUM_CHORDS)]
    may_change_chord: Annotated[Bools, Column()]
    must_have_chord: Annotated[Bools, Column()]
    is_free: Annotated[Bools, Column()]
    has_clusters: Annotated[Bools, Column()]  # harmony may leave its chord, and the bass stay on the tonic
    rests_lead: Annotated[Bools, Column()]  # the lead's notes in this beat are the tonic
    low: Annotated[Ints, Column(NUM_LAYERS)]  # lowest pitch of each layer
    high: Annotated[Ints, Column(NUM_LAYERS)]
    max_notes: Annotated[Ints, Column(NUM_LAYERS)]  # in this beat; 0 where the layer is silent
    most_ticks: Annotated[Ints, Column(NUM_LAYERS, initial=_ENDLESS_TICKS)]  # from the beat to where notes end
    temperature: Annotated[Floats, Column()]
    ending: Annotated[Ints, Column()]  # ENDLESS, LAST_CHORD or SILENT
    strike: Annotated[Ints, Column()]  # the one tick at which all layers strike; -1: there is none
    strike_drums: Annotated[Bools, Column(NUM_DRUMS)]  # what the drums strike
    strike_velocity: Annotated[Ints, Column()]  # lowest velocity class of a strike
    ring_ticks: Annotated[Ints, Column()]  # least length of pitched notes
    # The layer that leads into what follows, or that has one onset at least; -1 where none does.
    lead_in: Annotated[Ints, Column()]
    lead_in_onsets: Annotated[Ints, Column()]  # onsets that it has at least
    # Position, value and duration of the theme's notes in this beat, and how many: the lead plays these and no others;
    # -1 for a value that is free, and where no theme is stated.
    theme: Annotated[Ints, Column(MAX_NOTES_PER_BEAT, 3)]
    num_theme: Annotated[Ints, Column(initial=-1)]
    theme_softest: Annotated[Ints, Column()]  # velocity class below which none of them is played

    # Leanings: what is added to logits, of pitched layers unless drums are named.
    chord_bias: Annotated[Floats, Column(NUM_CHORDS)]
    root_bias: Annotated[Floats, Column(12)]  # of chords, by the semitones from the sounding root up to theirs
    kind_bias: Annotated[Floats, Column(NUM_LAYERS)]  # of another note
    lead_call: Annotated[Floats, Column()]  # of a note of the lead where it is silent
    position_bias: Annotated[Floats, Column(NUM_LAYERS, TICKS_PER_BEAT)]
    home: Annotated[Floats, Column(NUM_LAYERS)]  # the middle of each layer's tessitura, and its reach, in semitones
    reach: Annotated[Floats, Column(NUM_LAYERS, initial=1)]
    tone_bias: Annotated[Floats, Column(NUM_LAYERS, 12)]  # by semitones above the tonic
    stray_bias: Annotated[Floats, Column(NUM_LAYERS, 2)]  # outside the chord: a half-tone from a tone of it, and others
    length_bias: Annotated[Floats, Column(NUM_LAYERS)]  # for each doubling of the length
    drum_bias: Annotated[Floats, Column(NUM_DRUMS)]


_IN_SCALE = np.array([[step in steps for step in range(12)] for steps in SCALES.values()])
_LOWEST, _HIGHEST = np.array(RANGES).T


def playing(asked: Asked) -> Bools:
    """[N, layers]: who plays."""
    plays = asked["layers"] > 0
    # Somebody has to carry the harmony, however still the mood: the pads, unless the listener muted them. A lead does
    # not: it takes breath, and rests where the line that it says again did.
    plays[~plays[:, 1:_LEAD].any(axis=1), _HARMONY] = True
    return plays


def struck_drums(asked: Asked, strength: npt.NDArray[np.float64]) -> Bools:
    """[N, NUM_DRUMS]: what the drums strike at hits. Where the mood has none, a strong hit still has its cymbal."""
    drums, has_drums = np.zeros((len(asked), NUM_DRUMS), bool), asked["layers"][:, _DRUMS] > 0
    drums[:, _KICK] = has_drums
    drums[:, _CRASH] = has_drums | ((strength >= CUT_STRENGTH) & (asked["is_muted"][:, _DRUMS] == 0))
    return drums


def strike_velocity(strength: float | npt.NDArray[np.float64]) -> Ints:
    """The lowest velocity class of strikes."""
    return _SOFTEST_STRIKE + np.rint(np.multiply(NUM_VELOCITIES - 1 - _SOFTEST_STRIKE, strength)).astype(np.int64)


def strike_tick(hit_offset: float | npt.NDArray[np.float64]) -> Ints:
    """The ticks of their beats nearest to hits."""
    return np.minimum(TICKS_PER_BEAT - 1, np.rint(np.multiply(hit_offset, TICKS_PER_BEAT)).astype(np.int64))


def _max_notes(asked: Asked, ending: Ints) -> Ints:
    rest, most = np.array(_NOTES_AT_REST), np.array(_NOTES_AT_MOST)
    counts = np.rint(rest + (most - rest) * asked["density"][:, None]).astype(np.int64)
    counts[ending == LAST_CHORD] = (3, 1, 5, 1, 1)
    counts[asked["beats_to_breath"] == 0, _LEAD] = 0
    is_silent = (ending == SILENT) | (asked["cue"] == CUT) | is_breath(asked)
    return counts * (playing(asked) & ~is_silent[:, None])


def _most_ticks(asked: Asked) -> Ints:
    """[N, layers]: where notes end at the latest, for the silence before a section and the breath of the lead."""
    beats_left = asked["bars_to_change"] * BEATS_PER_BAR + BEATS_PER_BAR - 1 - asked["beat"]
    most = np.where(holds_breath(asked), beats_left * TICKS_PER_BEAT, _ENDLESS_TICKS)[:, None].repeat(
        NUM_LAYERS, axis=1
    )
    to_breath = np.maximum(1, asked["beats_to_breath"]) * TICKS_PER_BEAT
    most[:, _LEAD] = np.minimum(most[:, _LEAD], to_breath)
    return most.astype(np.int64)


def write_rules(rules: Rules, slots: Ints, asked: Asked, is_arrival: Bools) -> None:
    """Write what beats [N] ASKED are asked into the rules of their slots [N]; `is_arrival` [N]: the first beat of a new
    key."""
    to_end = asked["beats_to_end"]
    ending = np.where(to_end > 0, ENDLESS, np.where(to_end == 0, LAST_CHORD, SILENT))
    shift = tonic_shift(asked["tonic"].astype(np.int64))
    rules.ending[slots] = ending
    rules.temperature[slots] = asked["temperature"] * warmth(asked)
    rules.low[slots], rules.high[slots] = widened(asked, _LOWEST - shift[:, None], _HIGHEST - shift[:, None])
    rules.most_ticks[slots] = _most_ticks(asked)
    rules.num_theme[slots] = -1
    _write_harmony(rules, slots, asked, is_arrival, ending)
    _write_strikes(rules, slots, asked, ending)
    _write_lead_ins(rules, slots, asked, ending)
    write_idiom(rules, slots, asked)
    write_tension(rules, slots, asked)
    write_character(rules, slots, asked)


def _write_harmony(rules: Rules, slots: Ints, asked: Asked, is_arrival: Bools, ending: Ints) -> None:
    beat, is_endless = asked["beat"].astype(np.int64), ending == ENDLESS
    is_free = asked["tension"] > FREE_TENSION
    cadence = np.where(is_free, NO_CADENCE, asked["cadence"].astype(np.int64))  # where notes are free nothing rests
    is_cut = (asked["cue"] == CUT) & is_endless
    is_called_for = (beat == 0) | _is_hit(asked, ending) | is_arrival | (asked["beats_to_key"] == LEAVING_BEATS)
    is_called_for |= (cadence >= PLAGAL) & (beat == _HALF_BAR)
    rules.scale[slots] = _IN_SCALE[asked["scale"].astype(np.int64)] | (is_free & is_endless)[:, None]
    rules.is_free[slots] = is_free & is_endless
    rules.has_clusters[slots] = asked["tension"] > CLUSTER_TENSION
    rules.chords[slots] = chord_masks(asked, is_free, is_arrival, cadence)
    rules.may_change_chord[slots] = (ending != SILENT) & ~is_cut & ((beat % 2 == 0) | (ending == LAST_CHORD))
    is_cadence = asked["beats_to_end"] == CADENCE_BEATS
    rules.must_have_chord[slots] = (ending == LAST_CHORD) | (is_endless & is_called_for) | is_cadence
    rules.rests_lead[slots] = (cadence == REST) & (beat == 0) & (asked["tonic_ahead"] == NO_TONIC)


def _is_hit(asked: Asked, ending: Ints) -> Bools:
    found: Bools = (asked["cue"] == HIT) & (ending != SILENT)
    return found


def _write_strikes(rules: Rules, slots: Ints, asked: Asked, ending: Ints) -> None:
    """Hits, and how long they and a last chord ring."""
    is_hit, strength, tick = _is_hit(asked, ending), asked["hit_strength"], strike_tick(asked["hit_offset"])
    beats_left = BEATS_PER_BAR - 1 - asked["beat"].astype(np.int64)
    cut_beats = np.where(strength >= CUT_STRENGTH, np.minimum(MOST_CUT_BEATS, beats_left), 0)
    rules.strike[slots] = np.where(is_hit, tick, -1)
    rules.strike_drums[slots] = struck_drums(asked, strength) & is_hit[:, None]
    rules.strike_velocity[slots] = strike_velocity(strength)
    ring_ticks = np.where(is_hit, (1 + cut_beats) * TICKS_PER_BEAT - tick, 0)
    rests_until = np.clip(np.ceil(asked["ring_beats"] * TICKS_PER_BEAT), _BAR_TICKS, DURATIONS[-1]).astype(np.int64)
    rules.ring_ticks[slots] = np.where(ending == LAST_CHORD, rests_until, ring_ticks)


def _write_lead_ins(rules: Rules, slots: Ints, asked: Asked, ending: Ints) -> None:
    """How many notes layers have, who leads in or is called for, and what drums play of it."""
    beat, is_endless = asked["beat"].astype(np.int64), ending == ENDLESS
    max_notes = _max_notes(asked, ending)
    lead_in = np.full(len(asked), -1)
    fills = np.flatnonzero((asked["cue"] == FILL) & is_endless)
    leading = max_notes[fills][:, _LEAD_IN_LAYERS] > 0
    is_stating = (asked["has_theme"][fills] > 0) | (asked["line_back"][fills] > 0)
    leading[:, _LEAD_IN_LAYERS == _LEAD] &= ~is_stating[:, None]  # a theme is not varied
    lead_in[fills] = _LEAD_IN_LAYERS[leading.argmax(axis=1)]
    max_notes[fills, lead_in[fills]] = np.maximum(max_notes[fills, lead_in[fills]], _FEWEST_LEAD_IN_NOTES)
    is_called = (asked["calls_lead"] > 0) | (asked["density"] >= asked["new_density"])
    is_called &= (max_notes[:, _LEAD] > 0) & (lead_in < 0) & is_endless & (asked["has_theme"] == 0)

    drum_bias, is_half_time = np.zeros((len(asked), NUM_DRUMS), np.float32), asked["is_half_time"] > 0
    drum_bias[is_half_time & (beat == _HALF_BAR)] = _BACKBEAT_BIAS
    drum_bias[is_half_time & (beat % _HALF_BAR == 1)] = _OFFBEAT_BIAS
    drum_bias[lead_in == _DRUMS] = _FILL_BIAS
    rules.max_notes[slots], rules.drum_bias[slots] = max_notes, drum_bias
    rules.lead_in[slots] = np.where(is_called, _LEAD, lead_in)
    rules.lead_in_onsets[slots] = np.where(is_called, 1, 2 + np.rint(2 * asked["energy"]).astype(np.int64))
