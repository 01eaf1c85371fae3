"""What a beat may contain: masks and limits, so that no draw is unmusical by accident.

In: what beats are asked to be; out: `Rules`. Remembers only tables computed before; any thread.
Everything is relative to the tonic, as in the vocabulary.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.notes import TICKS_PER_BEAT
from engine.score.asked import CUT, DOMINANT, FILL, HIT, HOME, NO_CADENCE, NO_CUE, NO_TONIC, PLAGAL, REST
from engine.score.character import add_character, chord_taste, warmth
from engine.score.columns import Bools, Column, Floats, Ints
from engine.score.tension import FREE_TENSION, chord_leaning, is_breath, widened, write_leanings
from engine.score.vocabulary import DRUM_NOTES, DURATIONS, NUM_CHORDS, NUM_DRUMS, NUM_QUALITIES, NUM_VELOCITIES
from moods.harmony import CHORD_QUALITIES, SCALE_NAMES, SCALES, Key
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, CUT_STRENGTH, LAYERS, MOST_CUT_BEATS
from moods.mood import styles
from moods.theme import MAX_NOTES_PER_BEAT

Asked = npt.NDArray[np.void]
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
_HOME_PENALTY = 1.3
"""Taken from the logit of chords on the tonic: harmony is to move, and comes home of itself."""

ENDLESS, LAST_CHORD, SILENT = 0, 1, 2

_DRUMS, _HARMONY, _LEAD = LAYERS.index("drums"), LAYERS.index("harmony"), LAYERS.index("lead")
_LEAD_IN_LAYERS = np.array([LAYERS.index(name) for name in ("drums", "lead", "bass", "texture", "harmony")])
"""Who leads into a hit or a section: the first of these that plays."""
_FEWEST_LEAD_IN_NOTES = 6
_BAR_TICKS, _HALF_BAR = BEATS_PER_BAR * TICKS_PER_BEAT, BEATS_PER_BAR // 2
_SOFTEST_STRIKE = NUM_VELOCITIES // 2
"""Velocity class below which nothing is struck at strength 0."""
_FILL_PULL, _TIME_PULL = 1.5, -4.0
"""Added in a fill to the logits of snares and toms, and of what keeps time otherwise: cymbals, shakers."""
_LEAVING_BEATS = 2
"""Beats before a new key that belong to its dominant."""
_NEAR_END = 3
"""As many beats from the end, or more, harmony does not know of it."""
_KICK, _CRASH = DRUM_NOTES.index(36), DRUM_NOTES.index(49)
_FILL_DRUMS = [DRUM_NOTES.index(pitch) for pitch in (38, 45, 47, 50, 64, 63)]
_TIME_DRUMS = [DRUM_NOTES.index(pitch) for pitch in (42, 44, 46, 49, 51, 53, 54, 70, 56)]
_FILL_BIAS = np.zeros(NUM_DRUMS, np.float32)
_FILL_BIAS[_FILL_DRUMS], _FILL_BIAS[_TIME_DRUMS] = _FILL_PULL, _TIME_PULL
_BACKBEAT_DRUMS = [DRUM_NOTES.index(pitch) for pitch in (37, 38, 39, 40) if pitch in DRUM_NOTES]
_BACKBEAT_PULL, _OFFBEAT_PULL = 1.5, -4.0
"""Added in half-time to the logits of snares and claps on the third beat, and on the second and fourth."""
_BACKBEAT_BIAS, _OFFBEAT_BIAS = np.zeros(NUM_DRUMS, np.float32), np.zeros(NUM_DRUMS, np.float32)
_BACKBEAT_BIAS[_BACKBEAT_DRUMS], _OFFBEAT_BIAS[_BACKBEAT_DRUMS] = _BACKBEAT_PULL, _OFFBEAT_PULL

_MINOR_LIKE = tuple(name for name, steps in SCALES.items() if 3 in steps)


class Rules(NamedTuple):
    """Limits of a beat for every slot, as the sampler reads them."""

    scale: Annotated[Bools, Column(12)]  # pitch classes above the tonic; all True where notes are free
    chords: Annotated[Bools, Column(NUM_CHORDS)]
    chord_bias: Annotated[Floats, Column(NUM_CHORDS)]  # added to the chords' logits
    may_change_chord: Annotated[Bools, Column()]
    must_have_chord: Annotated[Bools, Column()]
    is_free: Annotated[Bools, Column()]
    low: Annotated[Ints, Column(NUM_LAYERS)]  # lowest pitch of each layer, relative
    high: Annotated[Ints, Column(NUM_LAYERS)]
    max_notes: Annotated[Ints, Column(NUM_LAYERS)]  # in this beat; 0 where the layer is silent
    temperature: Annotated[Floats, Column()]
    ending: Annotated[Ints, Column()]  # ENDLESS, LAST_CHORD or SILENT
    strike: Annotated[
        Ints, Column()
    ]  # the tick at which all layers strike, the only one in the beat; -1: there is none
    strike_drums: Annotated[Bools, Column(NUM_DRUMS)]  # what the drums strike
    strike_velocity: Annotated[Ints, Column()]  # lowest velocity class of a strike
    ring_ticks: Annotated[Ints, Column()]  # least length of pitched notes
    # The layer that leads into what follows, or that has one onset at least; -1 where none does.
    lead_in: Annotated[Ints, Column()]
    lead_in_onsets: Annotated[Ints, Column()]  # onsets that it has at least
    drum_bias: Annotated[Floats, Column(NUM_DRUMS)]  # added to the drums' logits
    # Position, value and duration of the theme's notes in this beat, and how many: the lead plays these and no others;
    # -1 for a value that is free, and where no theme is stated.
    theme: Annotated[Ints, Column(MAX_NOTES_PER_BEAT, 3)]
    num_theme: Annotated[Ints, Column(initial=-1)]
    theme_softest: Annotated[Ints, Column()]  # velocity class below which none of them is played
    # What is leaned towards: middle and reach of each layer's tessitura, relative, in semitones …
    home: Annotated[Floats, Column(NUM_LAYERS)]
    reach: Annotated[Floats, Column(NUM_LAYERS, initial=1)]
    bass_drive: Annotated[Floats, Column()]  # … added to the logit of another bass note
    lead_call: Annotated[Floats, Column()]  # … and of a note of the lead where it is silent
    root_bias: Annotated[Floats, Column(12)]  # … and of chords, by the semitones from the sounding root up to theirs
    # What tension and valence add to the logits of notes, by layer (see tension.py).
    has_clusters: Annotated[Bools, Column()]  # harmony may leave its chord, and the bass stay on the tonic
    tone_bias: Annotated[Floats, Column(NUM_LAYERS, 12)]  # by semitones above the tonic
    stray_bias: Annotated[Floats, Column(NUM_LAYERS, 2)]  # outside the chord: a half-tone from a tone of it, and others
    length_bias: Annotated[Floats, Column(NUM_LAYERS)]  # for each doubling of the length
    position_bias: Annotated[Floats, Column(NUM_LAYERS)]  # on the ticks of a pulse
    kind_bias: Annotated[Floats, Column(NUM_LAYERS)]  # for another note
    groove_bias: Annotated[Floats, Column(NUM_LAYERS, TICKS_PER_BEAT)]  # on each tick, by the piece's character
    most_ticks: Annotated[
        Ints, Column(NUM_LAYERS, initial=1 << 30)
    ]  # from the beat's beginning to where pitched notes end
    rests_lead: Annotated[Bools, Column()]  # the lead's notes in this beat are the tonic


@lru_cache(maxsize=256)
def allowed_chords(scale: str, is_free: bool) -> npt.NDArray[np.bool_]:
    """[NUM_CHORDS]: chords whose tones lie in the scale; where notes are free, whose root does."""
    inside = set(SCALES[scale])
    mask = np.zeros(NUM_CHORDS, bool)
    for root in range(12):
        for index, tones in enumerate(CHORD_QUALITIES.values()):
            heard = {root} if is_free else {(root + tone) % 12 for tone in tones}
            mask[root * NUM_QUALITIES + index] = heard <= inside
    return mask


def _chord_set(*names: tuple[int, str]) -> npt.NDArray[np.bool_]:
    mask = np.zeros(NUM_CHORDS, bool)
    for root, quality in names:
        mask[root * NUM_QUALITIES + list(CHORD_QUALITIES).index(quality)] = True
    return mask


@lru_cache(maxsize=32)
def tonic_chord(scale: str) -> npt.NDArray[np.bool_]:
    """The last chord of an ending."""
    return _chord_set((0, "min" if scale in _MINOR_LIKE else "maj"))


@lru_cache(maxsize=64)
def cadence_chords(scale: str, is_free: bool) -> npt.NDArray[np.bool_]:
    """Chords that lead home: dominants, else the subdominant side, whatever of them the scale has."""
    leading = _DOMINANTS | _chord_set((10, "maj"), (1, "maj"))
    found = leading & allowed_chords(scale, is_free)
    return found if found.any() else allowed_chords(scale, is_free)


_IS_HOME = (np.arange(NUM_CHORDS) < NUM_QUALITIES).astype(np.float32)


_IN_SCALE = np.array([[step in steps for step in range(12)] for steps in SCALES.values()])
_LOWEST, _HIGHEST = np.array(RANGES).T


# --- changes of key ------------------------------------------------------------------------------------------------


def _moved(chords: npt.NDArray[np.bool_], semitones: int) -> npt.NDArray[np.bool_]:
    """The chord set a number of semitones higher."""
    return np.roll(chords.reshape(12, NUM_QUALITIES), semitones, axis=0).reshape(-1)


def _tones(chord: int) -> set[int]:
    root, quality = divmod(chord, NUM_QUALITIES)
    return {(root + tone) % 12 for tone in tuple(CHORD_QUALITIES.values())[quality]}


@lru_cache(maxsize=256)
def pivot_chords(key: Key, ahead: Key, is_free: bool, is_leaving: bool) -> npt.NDArray[np.bool_]:
    """[NUM_CHORDS] relative to `key`: the chords of both keys, or all of `key` where they share none.

    `is_leaving`: of these only the dominants of the key ahead; failing that, those nearest to its dominant seventh.
    """
    here, up = allowed_chords(key.scale, is_free), (ahead.tonic - key.tonic) % 12
    common = here & _moved(allowed_chords(ahead.scale, is_free), up)
    common = common if common.any() else here
    if not is_leaving:
        return common
    dominants = common & _moved(_DOMINANTS, up)
    if dominants.any():
        return dominants
    wanted = {(up + tone) % 12 for tone in (7, 11, 2, 5)}
    shared = np.array([len(_tones(chord) & wanted) if common[chord] else -1 for chord in range(NUM_CHORDS)])
    return shared == shared.max()


@lru_cache(maxsize=32)
def arrival_chords(scale: str, is_free: bool) -> npt.NDArray[np.bool_]:
    """The first chord of a new key: one on its tonic."""
    chords = allowed_chords(scale, is_free).copy()
    chords[NUM_QUALITIES:] = False
    return chords


_DOMINANTS = _chord_set((7, "7"), (7, "maj"), (7, "sus4"), (7, "min"), (7, "min7"), (7, "5"))


# --- register and root motion ----------------------------------------------------------------------------------------

_TESSITURA = np.array([style.tessitura for style in styles()])  # [styles, pitched layers, 2]
_THIRDS = np.array([style.thirds for style in styles()])
_BASS_DRIVE = np.array([style.bass_drive for style in styles()])
_VALENCE_LIFT, _ENERGY_LIFT = 2.5, 1.5
"""Semitones that all pitched layers lie higher at valence 1, and at energy 1 against 0.5."""
_ARCH_BARS, _ARCH_SEMITONES = 2 * BARS_PER_PHRASE, 5.0
"""The lead rises towards the third quarter of so many bars, and has one high point in them."""
_LEAD_CALL, _BREATH_BEATS = 0.5, 3
"""Added to the logit of a lead that is silent, but for so many beats at the end of a phrase."""
_BY_THIRD, _BY_FIFTH, _BY_STEP = [3, 4, 8, 9], [5, 7], [1, 2, 10, 11]
_THIRD_PULL, _FIFTH_PULL, _STEP_PULL, _CADENCE_PULL = 0.5, -0.1, 0.2, -1.5
"""Added to the logits of chords by how their root is reached; the last to those a fifth below as a phrase begins that
does not begin a section."""


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


def _tessitura(asked: Asked, shift: Ints) -> tuple[Floats, Floats]:
    """Middle, relative, and reach [N, pitched layers]."""
    mixed = mixed_tessitura(asked)
    home = mixed[..., 0] - shift[:, None]
    home += (_VALENCE_LIFT * asked["valence"] + 2 * _ENERGY_LIFT * (asked["energy"] - 0.5))[:, None]
    home[:, _LEAD - 1] += _ARCH_SEMITONES * (arch(asked, _ARCH_BARS) - 0.5)
    return home.astype(np.float32), mixed[..., 1].astype(np.float32)


def _lead_call(asked: Asked) -> npt.NDArray[np.float64]:
    """[N] how strongly a silent lead is called for: a phrase goes on to its last beats, and breathes in them."""
    begun = asked["bar_in_section"] % BARS_PER_PHRASE * BEATS_PER_BAR + asked["beat"]
    is_called = (begun < BARS_PER_PHRASE * BEATS_PER_BAR - _BREATH_BEATS) & (asked["cue"] == NO_CUE)
    return np.where(is_called, _LEAD_CALL, 0.0)


def _root_bias(asked: Asked) -> Floats:
    bias = np.zeros((len(asked), 12))
    bias[:, _BY_THIRD], bias[:, _BY_FIFTH], bias[:, _BY_STEP] = _THIRD_PULL, _FIFTH_PULL, _STEP_PULL
    bar = asked["bar_in_section"]
    bias[(asked["beat"] == 0) & (bar > 0) & (bar % BARS_PER_PHRASE == 0), 5] += _CADENCE_PULL
    return (bias * _mixed(asked, _THIRDS)[:, None]).astype(np.float32)


# --- cadences of the form -------------------------------------------------------------------------------------------

_HOMES = _chord_set(*((0, quality) for quality in ("maj", "min", "maj7", "min7", "maj9", "min9")))
_PLAGALS = _chord_set(
    *((root, quality) for root in (1, 2, 5, 8, 10) for quality in ("maj", "min", "maj7", "min7", "7", "sus2"))
)


@lru_cache(maxsize=128)
def form_chords(cadence: int, scale: str) -> npt.NDArray[np.bool_]:
    """[NUM_CHORDS]: chords at home, or that lead there without or with the dominant; all where the scale has none."""
    allowed = allowed_chords(scale, False)
    if cadence == DOMINANT:
        return cadence_chords(scale, False)
    wanted = {HOME: _HOMES, REST: _HOMES, PLAGAL: _PLAGALS}[cadence] & allowed
    return wanted if wanted.any() else allowed


# --- beats ---------------------------------------------------------------------------------------------------------


def playing(asked: Asked) -> Bools:
    """[N, layers]: who plays."""
    plays = asked["layers"] > 0
    # Somebody has to carry the harmony, however still the mood: the pads, unless the listener muted them.
    carries = plays[:, 1:].copy()
    carries[:, _LEAD - 1] &= asked["has_theme"] == 0
    plays[~carries.any(axis=1), _HARMONY] = True
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
    is_silent = (ending == SILENT) | (asked["cue"] == CUT) | is_breath(asked)
    return counts * (playing(asked) & ~is_silent[:, None])


@lru_cache(maxsize=4096)
def _chords(
    scale: int, is_free: bool, beats_to_end: int, is_arrival: bool, tonic: int, tonic_ahead: int, scale_ahead: int,
    is_leaving: bool, cadence: int,
) -> Bools:  # fmt: skip
    """[NUM_CHORDS] relative to `tonic`."""
    name = SCALE_NAMES[scale]
    if beats_to_end <= 0:
        return tonic_chord(name)
    if beats_to_end <= 2:
        return cadence_chords(name, is_free)
    if is_arrival:
        return arrival_chords(name, is_free)
    if tonic_ahead >= 0:
        return pivot_chords(Key(tonic, name), Key(tonic_ahead, SCALE_NAMES[scale_ahead]), is_free, is_leaving)
    if cadence != NO_CADENCE:
        return form_chords(cadence, name)
    return allowed_chords(name, is_free)


def _cadences(asked: Asked, is_free: Bools) -> Ints:
    """[N]: what the form's cadences ask of beats; nothing where notes are free, and nothing rests."""
    return np.where(is_free, NO_CADENCE, asked["cadence"].astype(np.int64))


def _chord_masks(asked: Asked, is_free: Bools, is_arrival: Bools, cadence: Ints) -> Bools:
    """[N, NUM_CHORDS]: one look-up for each beat; keys count only where there is another ahead."""
    has_pivot = asked["tonic_ahead"] != NO_TONIC
    tonic, ahead = (np.where(has_pivot, asked[name], NO_TONIC) for name in ("tonic", "tonic_ahead"))
    to_end = np.minimum(asked["beats_to_end"], _NEAR_END)
    is_leaving = has_pivot & (asked["beats_to_key"] <= _LEAVING_BEATS)
    keys = (asked["scale"], tonic, ahead, asked["scale_ahead"], to_end)
    scales, tonics, aheads, scales_ahead, to_ends = (numbers.astype(np.int64).tolist() for numbers in keys)
    flags = is_free.tolist(), to_ends, is_arrival.tolist(), tonics, aheads, scales_ahead, is_leaving.tolist()
    return np.array(list(map(_chords, scales, *flags, cadence.tolist())))


def write_rules(rules: Rules, slots: Ints, asked: Asked, is_arrival: Bools) -> None:
    """Write the limits that beats [N] ASKED have into the rules of their slots [N]; `is_arrival` [N]: the first beat of
    a new key."""
    to_end, beat, cue = asked["beats_to_end"], asked["beat"].astype(np.int64), asked["cue"]
    ending = np.where(to_end > 0, ENDLESS, np.where(to_end == 0, LAST_CHORD, SILENT))
    is_endless = ending == ENDLESS
    is_free = asked["tension"] > FREE_TENSION
    is_hit, is_cut = (cue == HIT) & (ending != SILENT), (cue == CUT) & is_endless
    shift = (asked["tonic"].astype(np.int64) + 6) % 12 - 6
    cadence = _cadences(asked, is_free)

    max_notes, drum_bias = _max_notes(asked, ending), np.zeros((len(asked), NUM_DRUMS), np.float32)
    max_notes[asked["beats_to_breath"] == 0, _LEAD] = 0
    lead_in = np.full(len(asked), -1)
    fills = np.flatnonzero((cue == FILL) & is_endless)
    leading = max_notes[fills][:, _LEAD_IN_LAYERS] > 0
    is_stating = (asked["has_theme"][fills] > 0) | (asked["line_back"][fills] > 0)
    leading[:, _LEAD_IN_LAYERS == _LEAD] &= ~is_stating[:, None]  # a theme is not varied
    lead_in[fills] = _LEAD_IN_LAYERS[leading.argmax(axis=1)]
    max_notes[fills, lead_in[fills]] = np.maximum(max_notes[fills, lead_in[fills]], _FEWEST_LEAD_IN_NOTES)
    is_half_time = asked["is_half_time"] > 0
    drum_bias[is_half_time & (beat == _HALF_BAR)] = _BACKBEAT_BIAS
    drum_bias[is_half_time & (beat % _HALF_BAR == 1)] = _OFFBEAT_BIAS
    drum_bias[lead_in == _DRUMS] = _FILL_BIAS
    is_called = (asked["calls_lead"] > 0) | (asked["density"] >= asked["new_density"])
    is_called &= (max_notes[:, _LEAD] > 0) & (lead_in < 0) & is_endless & (asked["has_theme"] == 0)
    lead_in[is_called] = _LEAD

    strength = asked["hit_strength"]
    tick = strike_tick(asked["hit_offset"])
    cut_beats = np.where(strength >= CUT_STRENGTH, np.minimum(MOST_CUT_BEATS, BEATS_PER_BAR - 1 - beat), 0)

    rules.scale[slots] = _IN_SCALE[asked["scale"].astype(np.int64)] | (is_free & is_endless)[:, None]
    rules.chords[slots] = _chord_masks(asked, is_free, is_arrival, cadence)
    rules.chord_bias[slots] = chord_leaning(asked) + chord_taste(asked) - np.float32(_HOME_PENALTY) * _IS_HOME
    rules.may_change_chord[slots] = (ending != SILENT) & ~is_cut & ((beat % 2 == 0) | (ending == LAST_CHORD))
    is_called_for = (beat == 0) | is_hit | is_arrival | (asked["beats_to_key"] == _LEAVING_BEATS)
    is_called_for |= (cadence >= PLAGAL) & (beat == _HALF_BAR)
    rules.must_have_chord[slots] = (ending == LAST_CHORD) | (is_endless & is_called_for) | (to_end == 2)
    rules.is_free[slots] = is_free & is_endless
    rules.low[slots], rules.high[slots] = widened(asked, _LOWEST - shift[:, None], _HIGHEST - shift[:, None])
    rules.max_notes[slots] = max_notes
    rules.temperature[slots] = asked["temperature"] * warmth(asked)
    rules.ending[slots] = ending
    rules.strike[slots] = np.where(is_hit, tick, -1)
    rules.strike_drums[slots] = struck_drums(asked, strength) & is_hit[:, None]
    rules.strike_velocity[slots] = strike_velocity(strength)
    ring_ticks = np.where(is_hit, (1 + cut_beats) * TICKS_PER_BEAT - tick, 0)
    rests_until = np.clip(np.ceil(asked["ring_beats"] * TICKS_PER_BEAT), _BAR_TICKS, DURATIONS[-1]).astype(np.int64)
    rules.ring_ticks[slots] = np.where(ending == LAST_CHORD, rests_until, ring_ticks)
    rules.lead_in[slots] = lead_in
    rules.lead_in_onsets[slots] = np.where(is_called, 1, 2 + np.rint(2 * asked["energy"]).astype(np.int64))
    rules.drum_bias[slots] = drum_bias
    rules.num_theme[slots] = -1
    rules.home[slots, 1:], rules.reach[slots, 1:] = _tessitura(asked, shift)
    rules.bass_drive[slots], rules.lead_call[slots] = _mixed(asked, _BASS_DRIVE), _lead_call(asked)
    rules.root_bias[slots] = _root_bias(asked)
    rules.rests_lead[slots] = (cadence == REST) & (beat == 0) & (asked["tonic_ahead"] == NO_TONIC)
    write_leanings(rules, slots, asked)
    add_character(rules, slots, asked)
