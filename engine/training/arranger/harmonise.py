"""When chords change: loops, cadences and suspensions over the bars of a plan. Writes the bars' chords; no state.

Every section has a loop of its own, kept when it returns and redrawn when the valence turns. The fourth bar of a
period of eight may lead to a half cadence and the last one to a full one, with two chords in the bar; how often is the
idiom's. Chords from outside the scale stand in bars of tension above harmony.FREE_TENSION alone.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from engine.notes import TICKS_PER_BEAT
from engine.training.arranger.harmony import (
    FREE_TENSION,
    UNREST,
    Chord,
    chord_pitch_classes,
    draw_chromatic,
    draw_quality,
    fit_quality,
    has_major_third,
)
from engine.training.arranger.loops import Step, draw_loop, is_inside, major_share, step_inside, wanted_major_share
from engine.training.arranger.plan import HARMONY, BarPlan, Plan
from engine.training.arranger.rhythm import TICKS_PER_BAR
from moods.harmony import SCALES
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR

_REHARMONISE = 0.3
"""A change of valence that calls for another loop at once."""
_INTRO_LIKE_A = 0.5
_BEFORE_DOMINANT, _DOMINANTS = (2, 4, 6), (5, 7)
_RECOLOUR, _FRESH_COLOUR = 0.2, 0.15
_SUSPENSION, _HOME_IN_PHRASE = 0.45, 0.6
_HALF_CADENCES = 0.5
"""How much rarer they are than full ones: most phrases go on as the loop does."""
_CORRECTION = 3.0
"""How much of a label's range a whole bar's debt a bar is worth."""

Begun = list[tuple[int, Step]]
"""(tick of the piece, chord)"""


@dataclass
class _Balance:
    """What was asked for and has not been heard yet: what one chord misses, later ones make good."""

    owed: float = 0.0
    bars: float = 4.0

    def count(self, missing: float, bars: float) -> None:
        self.owed += bars * missing
        self.bars += bars

    def corrected(self, level: float, low: float) -> float:
        """A label `low` … 1 with the debt on it."""
        return max(low, min(1.0, level + _CORRECTION * self.owed / self.bars))


@dataclass
class _Harmony:
    """What a piece has chosen so far."""

    loops: dict[tuple[str, str], tuple[tuple[Step, ...], float, bool]] = field(default_factory=dict)
    """By section and idiom: loop, valence at its choice, was the bar free then?"""
    cadences: dict[tuple[str, str, int], tuple[tuple[Step, ...], float]] = field(default_factory=dict)
    """By section, idiom and bar of the section: chords, none where the loop goes on; valence at their choice."""
    first_bar: int = 0  # where the loop began that sounds now
    balance: _Balance = field(default_factory=_Balance)


def harmonise(plan: Plan, rng: random.Random) -> None:
    """Give every bar of the plan its chords."""
    chosen = _Harmony()
    begun: Begun = []
    intro_is_a = rng.random() < _INTRO_LIKE_A
    for bar in plan.bars:
        section = "A" if bar.label.section == "intro" and intro_is_a else bar.label.section
        loop = _loop_of(plan, rng, bar, section, chosen)
        cadence = _cadence(plan, rng, bar, section, chosen)
        begun += cadence or _from_loop(loop, bar.index, chosen.first_bar)
    chords = _coloured(plan, rng, _without_repeats(begun))
    _deal(plan, _with_last_cadence(plan, rng, chords) if plan.ends else chords)


# --- which chord where -----------------------------------------------------------------------------------------------


def _loop_of(plan: Plan, rng: random.Random, bar: BarPlan, section: str, chosen: _Harmony) -> tuple[Step, ...]:
    label, idiom = bar.label, bar.idioms[HARMONY]
    occasion = (section, idiom.name)
    loop, valence, was_free = chosen.loops.get(occasion, ((), 0.0, False))
    is_free = label.tension > FREE_TENSION
    if not loop or abs(valence - label.valence) > _REHARMONISE or (was_free and not is_free):
        taken = [other for other, _, _ in chosen.loops.values()]
        loop = draw_loop(
            rng, idiom.pools, plan.key.scale, label.section, chosen.balance.corrected(label.valence, -1), label.tension,
            rng.choice(idiom.chord_bars), taken,
        )  # fmt: skip
        chosen.loops[occasion] = loop, label.valence, is_free
        chosen.first_bar = bar.index
    if label.bar_in_section == 0:
        chosen.first_bar = bar.index
    chosen.balance.count(wanted_major_share(label.valence) - major_share(loop), 1)
    return loop


def _from_loop(loop: tuple[Step, ...], bar: int, first_bar: int) -> Begun:
    """The chords that begin in a bar, and the one that sounds already at its beginning."""
    chord_at = [step for step in loop for _ in range(step.beats)]
    starts = {sum(step.beats for step in loop[:index]) for index in range(len(loop))}
    found = []
    for beat in range(BEATS_PER_BAR):
        place = ((bar - first_bar) * BEATS_PER_BAR + beat) % len(chord_at)
        if beat == 0 or place in starts:
            found.append((bar * TICKS_PER_BAR + beat * TICKS_PER_BEAT, chord_at[place]))
    return found


def _cadence(plan: Plan, rng: random.Random, bar: BarPlan, section: str, chosen: _Harmony) -> Begun:
    """The chords of a bar that closes a phrase, empty where the loop goes on."""
    place, idiom = bar.label.bar_in_section, bar.idioms[HARMONY]
    if place % BARS_PER_PHRASE != BARS_PER_PHRASE - 1 or bar.section_bars < BARS_PER_PHRASE:
        return []
    is_full = place % (2 * BARS_PER_PHRASE) == 2 * BARS_PER_PHRASE - 1
    occasion = (section, idiom.name, place)
    chance = idiom.cadence if is_full else _HALF_CADENCES * idiom.cadence
    steps, valence = chosen.cadences.get(occasion, ((), math.inf))
    if abs(valence - bar.label.valence) > _REHARMONISE:
        steps = _draw_cadence(plan, rng, is_full, bar.label.valence) if rng.random() < chance else ()
        chosen.cadences[occasion] = steps, bar.label.valence
    first = bar.index * TICKS_PER_BAR
    return [(first + half * TICKS_PER_BAR // 2, step) for half, step in enumerate(steps)]


def _draw_cadence(plan: Plan, rng: random.Random, is_full: bool, valence: float) -> tuple[Step, ...]:
    """Two chords of half a bar each."""
    dominant = _draw_degree(plan, rng, _DOMINANTS, valence)
    if is_full and rng.random() < _HOME_IN_PHRASE:  # else the next section's first chord is the arrival
        return dominant, _draw_degree(plan, rng, (1,), valence)
    return _draw_degree(plan, rng, _BEFORE_DOMINANT, valence), dominant


def _draw_degree(plan: Plan, rng: random.Random, degrees: tuple[int, ...], valence: float) -> Step:
    """A triad on one of the degrees, major ones rather in bright bars. Pentatonic scales have a degree for each."""
    scale = plan.key.scale
    if len(SCALES[scale]) < 7:
        degrees = {_DOMINANTS: (4, 5), _BEFORE_DOMINANT: (2, 3)}.get(degrees, (1,))
    options = [(degree, fit_quality(degree, scale, "triad")) for degree in degrees]
    weights = [math.exp(2 * valence * (1 if quality and has_major_third(quality) else -1)) for _, quality in options]
    degree, quality = rng.choices(options, weights)[0]
    return Step(BEATS_PER_BAR // 2, SCALES[scale][degree - 1], quality or "5")


def _without_repeats(begun: Begun) -> Begun:
    """A chord that follows itself is one chord, up to four bars long."""
    kept = begun[:1]
    for tick, step in begun[1:]:
        before = kept[-1]
        is_same = (step.interval, step.triad) == (before[1].interval, before[1].triad)
        if not is_same or tick - before[0] >= BARS_PER_PHRASE * TICKS_PER_BAR:
            kept.append((tick, step))
    return kept


# --- colour ----------------------------------------------------------------------------------------------------------


def _coloured(plan: Plan, rng: random.Random, begun: Begun) -> list[tuple[int, int, str]]:
    """(tick, root, quality) of each chord; a long one may begin with its fourth held over, or turn chromatic."""
    key, brightness, unrest, out = plan.key, _Balance(), _Balance(), []
    known: dict[tuple[object, ...], tuple[int, str, float, float]] = {}  # of a section's chord, and its mood
    ends = [tick for tick, _ in begun[1:]] + [len(plan.bars) * TICKS_PER_BAR]
    for index, ((tick, step), end) in enumerate(zip(begun, ends, strict=True)):
        bar = plan.bars[tick // TICKS_PER_BAR]
        label, colours = bar.label, bar.idioms[HARMONY].colours
        is_free = label.tension > FREE_TENSION and plan.bars[(end - 1) // TICKS_PER_BAR].label.tension > FREE_TENSION
        step = step if is_free else step_inside(step, key.scale)
        root = (key.tonic + step.interval) % 12
        valence, tension = brightness.corrected(label.valence, -1), unrest.corrected(label.tension, 0)
        following = (key.tonic + begun[(index + 1) % len(begun)][1].interval) % 12
        occasion = (label.section, bar.idioms[HARMONY].name, step.interval, step.triad, following, is_free)
        root, quality, *felt = known.get(occasion, (0, "", math.inf, math.inf))
        if max(abs(felt[0] - valence) / 2, abs(felt[1] - tension)) > _RECOLOUR or rng.random() < _FRESH_COLOUR:
            root = (key.tonic + step.interval) % 12
            quality = draw_quality(rng, step.interval, step.triad, key.scale, colours, valence, tension)
            if is_free and rng.random() < 1.3 * (tension - 0.45):
                unease = max(tension, FREE_TENSION)
                root, quality = draw_chromatic(rng, root, quality, following, key, valence, unease)
            known[occasion] = root, quality, valence, tension
        bars = (end - tick) / TICKS_PER_BAR
        brightness.count(wanted_major_share(label.valence) - has_major_third(quality), bars)
        is_outside = not set(chord_pitch_classes(root, quality)) <= key.pitch_classes
        unrest.count(label.tension - UNREST[quality] - 0.4 * is_outside, bars)
        half = tick + (end - tick) // (2 * TICKS_PER_BEAT) * TICKS_PER_BEAT
        suspended = Step(0, (root - key.tonic) % 12, "sus4")
        may_suspend = quality not in ("sus2", "sus4", "5") and is_inside(suspended, key.scale)
        if may_suspend and end - tick >= TICKS_PER_BAR and rng.random() < _SUSPENSION * tension:
            out.append((tick, root, "sus4"))
            unrest.count(-UNREST["sus4"], 0.5 * bars)
            tick = min(half, tick + TICKS_PER_BAR)
        out.append((tick, root, quality))
    return out


def _with_last_cadence(
    plan: Plan, rng: random.Random, chords: list[tuple[int, int, str]]
) -> list[tuple[int, int, str]]:
    """Predominant, dominant, tonic in the last three bars."""
    last = (len(plan.bars) - 1) * TICKS_PER_BAR
    degrees = (2, 4, 1) if "pentatonic" in plan.key.scale else (rng.choice((2, 4)), 5, 1)
    if plan.key.scale == "minor pentatonic":
        degrees = (2, 5, 1)
    kept = [chord for chord in chords if chord[0] < last - 2 * TICKS_PER_BAR]
    for place, degree in enumerate(degrees):
        quality = fit_quality(degree, plan.key.scale, "triad") or "5"
        root = (plan.key.tonic + SCALES[plan.key.scale][degree - 1]) % 12
        kept.append((last + (place - 2) * TICKS_PER_BAR, root, quality))
    return kept


def _deal(plan: Plan, begun: list[tuple[int, int, str]]) -> None:
    """Hand the chords to the bars in which they sound."""
    ends = [tick for tick, _, _ in begun[1:]] + [len(plan.bars) * TICKS_PER_BAR]
    for (tick, root, quality), end in zip(begun, ends, strict=True):
        for index in range(tick // TICKS_PER_BAR, -(-end // TICKS_PER_BAR)):
            start = tick - index * TICKS_PER_BAR
            plan.bars[index].chords.append(Chord(start, root, quality, end - tick))
