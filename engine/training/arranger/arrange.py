"""Writes one labelled practice piece. In: a style and a seed; out: a `Piece`. Remembers nothing; any thread."""

from __future__ import annotations

import random

import numpy as np

from engine.score.piece import CHORD, Piece
from engine.training.arranger.bass import play_bass
from engine.training.arranger.comping import play_chords
from engine.training.arranger.drums import play_drums
from engine.training.arranger.ending import play_last_bar
from engine.training.arranger.harmonise import harmonise
from engine.training.arranger.melody import Melodist
from engine.training.arranger.plan import BASS, DRUMS, HARMONY, LEAD, TEXTURE, BarPlan, Plan
from engine.training.arranger.planning import draw_plan
from engine.training.arranger.returns import bring_chords_back
from engine.training.arranger.rhythm import TICKS_PER_BAR
from engine.training.arranger.score import Score, swell
from engine.training.arranger.texture import play_texture
from engine.training.arranger.transitions import play_cues
from moods.harmony import CHORD_QUALITY_NAMES


def arrange(style: str, seed: int, *, num_bars: int = 32) -> Piece:
    """Write a piece of `num_bars` (at least 8) bars of mostly `style`, one of moods.intent.STYLES.

    Same arguments, same piece. The labels of each bar are true of its notes.
    """
    rng = random.Random(f"{style}/{seed}")
    plan = draw_plan(style, rng, num_bars)
    harmonise(plan, rng)
    bring_chords_back(plan)
    score = Score(rng, plan.key, [swell(bar) for bar in plan.bars])
    leads = {bar.idioms[LEAD].name: bar.idioms[LEAD].lead for bar in plan.bars}
    melodists = {name: Melodist(score, plan, lead) for name, lead in leads.items()}
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
