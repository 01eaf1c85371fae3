"""Writes one labelled practice piece. In: a style and a seed; out: a `Piece`. Remembers nothing; any thread."""

from __future__ import annotations

import random

import numpy as np

from engine.score.piece import CHORD, Piece
from engine.training.arranger.bass import play_bass
from engine.training.arranger.comping import play_chords
from engine.training.arranger.drums import play_drums
from engine.training.arranger.ending import play_last_bar
from engine.training.arranger.harmony import Chord, draw_progression, draw_quality, fit_quality, lean
from engine.training.arranger.melody import Melodist
from engine.training.arranger.plan import BASS, DRUMS, HARMONY, LEAD, TEXTURE, BarPlan, Plan
from engine.training.arranger.planning import draw_plan
from engine.training.arranger.returns import bring_chords_back
from engine.training.arranger.rhythm import TICKS_PER_BAR
from engine.training.arranger.score import Score
from engine.training.arranger.texture import play_texture
from engine.training.arranger.transitions import play_cues
from moods.harmony import CHORD_QUALITY_NAMES, SCALES

_REHARMONISE = 0.3
"""A change of valence that calls for another progression at once."""


def arrange(style: str, seed: int, *, num_bars: int = 32) -> Piece:
    """Write a piece of `num_bars` (at least 8) bars of mostly `style`, one of moods.intent.STYLES.

    Same arguments, same piece. The labels of each bar are true of its notes.
    """
    rng = random.Random(f"{style}/{seed}")
    plan = draw_plan(style, rng, num_bars)
    _harmonise(plan, rng)
    bring_chords_back(plan)
    score = Score(rng, plan.key)
    leads = {bar.idioms[LEAD].name: bar.idioms[LEAD].lead for bar in plan.bars}
    melodists = {name: Melodist(score, lead) for name, lead in leads.items()}
    composed = plan.bars[:-1] if plan.ends else plan.bars
    for bar in composed:
        if bar.label.bar_in_section == 0:
            score.begin_section(bar.label.section, bar.change == "none")
        if bar.playing[DRUMS]:
            play_drums(score, bar)
        if bar.playing[BASS]:
            following = plan.bars[bar.index + 1].chords[0].root if bar.index + 1 < num_bars else None
            play_bass(score, bar, following)
        if bar.playing[HARMONY]:
            play_chords(score, bar, _rings_until(plan, bar, HARMONY))
        if bar.playing[LEAD]:
            melodists[bar.idioms[LEAD].name].play(bar, _rings_until(plan, bar, LEAD))
        if bar.playing[TEXTURE]:  # after the lead: it keeps out of its way and answers it
            play_texture(score, bar, _rings_until(plan, bar, TEXTURE))
    play_cues(score, plan)
    if plan.ends:
        play_last_bar(score, plan.bars[-1])
    return Piece(
        notes=score.to_array(num_bars),
        chords=_chord_array(plan),
        bars=[bar.label for bar in plan.bars],
        key=plan.key,
        bpm=plan.bpm,
        source=f"arranger/{style}/{seed}",
    )


def _rings_until(plan: Plan, bar: BarPlan, layer: int) -> int:
    """Tick, from the start of `bar`, of the end of the layer's stretch: what rings must not reach into silence."""
    bars = 1
    while bars < 4 and bar.index + bars < len(plan.bars) and plan.bars[bar.index + bars].playing[layer]:
        bars += 1
    return bars * TICKS_PER_BAR


def _chord_array(plan: Plan) -> np.ndarray:
    return np.array(
        [
            (bar.index * TICKS_PER_BAR + chord.start, chord.root, CHORD_QUALITY_NAMES.index(chord.quality))
            for bar in plan.bars
            for chord in bar.chords
            if chord.start >= 0
        ],
        CHORD,
    )


# --- harmony -------------------------------------------------------------------------------------------------------


def _harmonise(plan: Plan, rng: random.Random) -> None:
    """Give every bar its chords: a loop per section, another one when the mood turns, a cadence at the end."""
    begun: list[tuple[int, int, str]] = []  # (tick, root, quality)
    loops: dict[tuple[str, str], tuple[str, float, float]] = {}  # progression, valence at its choice, bars a chord
    for bar in plan.bars:
        label, idiom = bar.label, bar.idioms[HARMONY]
        occasion = (label.section, idiom.name)
        loop = loops.get(occasion)
        if loop is None or abs(loop[1] - label.valence) > _REHARMONISE:
            pool, chord_bars = rng.choice(idiom.pools), rng.choice(idiom.chord_bars) if loop is None else loop[2]
            loop = draw_progression(rng, pool, plan.key.scale, label.valence), label.valence, chord_bars
            loops[occasion] = loop
        progression, _, chord_bars = loop
        slots = (0, TICKS_PER_BAR // 2) if chord_bars < 1 else (0,)
        for half, start in enumerate(slots):
            place = label.bar_in_section * 2 + half if chord_bars < 1 else label.bar_in_section // chord_bars
            degree = int(progression[int(place) % len(progression)])
            is_new = chord_bars <= 1 or label.bar_in_section % chord_bars == 0 or bar.index == 0
            if is_new:
                colour = rng.choice(idiom.colours)
                leaning = lean(rng, degree, plan.key.scale, label.valence)
                chord = draw_quality(rng, leaning, plan.key, colour, label.tension)
                begun.append((bar.index * TICKS_PER_BAR + start, *chord))
    if plan.ends:
        begun = _with_cadence(plan, rng, begun)
    _deal(plan, _without_repeats(begun))


def _with_cadence(plan: Plan, rng: random.Random, begun: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Predominant, dominant, tonic in the last three bars."""
    last = (len(plan.bars) - 1) * TICKS_PER_BAR
    degrees = (2, 4, 1) if "pentatonic" in plan.key.scale else (rng.choice((2, 4)), 5, 1)
    if plan.key.scale == "minor pentatonic":
        degrees = (2, 5, 1)
    chords = [chord for chord in begun if chord[0] < last - 2 * TICKS_PER_BAR]
    for place, degree in enumerate(degrees):
        quality = fit_quality(degree, plan.key.scale, "triad") or "5"
        root = (plan.key.tonic + SCALES[plan.key.scale][degree - 1]) % 12
        chords.append((last + (place - 2) * TICKS_PER_BAR, root, quality))
    return chords


def _without_repeats(begun: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """A chord that follows itself is one chord, up to four bars long."""
    kept = begun[:1]
    for chord in begun[1:]:
        if chord[1:] != kept[-1][1:] or chord[0] - kept[-1][0] >= 4 * TICKS_PER_BAR:
            kept.append(chord)
    return kept


def _deal(plan: Plan, begun: list[tuple[int, int, str]]) -> None:
    """Hand the chords to the bars in which they sound."""
    ends = [tick for tick, _, _ in begun[1:]] + [len(plan.bars) * TICKS_PER_BAR]
    for (tick, root, quality), end in zip(begun, ends, strict=True):
        for index in range(tick // TICKS_PER_BAR, -(-end // TICKS_PER_BAR)):
            start = tick - index * TICKS_PER_BAR
            plan.bars[index].chords.append(Chord(start, root, quality, end - tick))
