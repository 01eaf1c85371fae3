"""Who plays in which bar. In: a plan with its labels; out: `playing` of its bars. Remembers nothing; any thread."""

from __future__ import annotations

import random

from engine.training.arranger.plan import BASS, DRUMS, HARMONY, LEAD, TEXTURE, BarPlan, Plan
from moods.intent import BARS_PER_PHRASE, LAYERS, STYLES
from moods.mood import styles

_LATE_LEAD_CHANCE = 0.35
"""Of a first theme whose lead waits for two bars."""
_PAUSE_CHANCE = 0.35
"""Of a section in which layers pause for a phrase."""
_PAUSES = ((DRUMS,), (BASS,), (TEXTURE,), (DRUMS, BASS), (DRUMS, TEXTURE), (LEAD,), (HARMONY,))


def cast_layers(rng: random.Random, plan: Plan) -> None:
    """Decide who plays: by energy and section; layers pause by phrases; single ones are muted as listeners do."""
    bars = plan.bars
    jitter = [rng.gauss(0.0, 0.07) for _ in LAYERS]
    is_late_lead = rng.random() < _LATE_LEAD_CHANCE
    for bar in bars:
        for layer, idiom in enumerate(bar.idioms):
            threshold = styles()[STYLES.index(idiom.name)].thresholds[layer]
            bar.playing[layer] = bar.label.energy >= threshold + jitter[layer]
        _shape_section(bar)
        if is_late_lead and bar.label.section == "A" and bar.visit == 0 and bar.label.bar_in_section < 2:
            bar.playing[LEAD] = False
    for section in plan.sections:
        if section.change == "none" and section.original is not None:
            _bring_players_back([bars[index] for index in section.bars])
        elif section.length >= 2 * BARS_PER_PHRASE and rng.random() < _PAUSE_CHANCE:
            _pause(rng, [bars[index] for index in section.bars])
        if section.name == "break" and section.length > BARS_PER_PHRASE:
            _build_up([bars[index] for index in section.bars])
    _mute(rng, bars)
    for bar in bars:
        if sum(bar.playing[layer] for layer in (BASS, HARMONY, TEXTURE, LEAD)) < 2:
            bar.playing[HARMONY] = True  # one line alone would tell nothing of the chords


def _shape_section(bar: BarPlan) -> None:
    """Thin intros, breaks and outros: layers enter and leave phrase by phrase."""
    playing, place = bar.playing, bar.label.bar_in_section
    if bar.label.section == "intro":
        playing[LEAD] = False
        playing[DRUMS] &= place >= 2 and bar.label.energy > 0.5
        playing[BASS] &= place >= 2
    elif bar.label.section == "break":
        playing[DRUMS] = False
        playing[BASS] &= bar.visit % 2 == 1 or place >= 2
    elif bar.label.section == "outro" and bar.label.beats_to_end is None:
        playing[LEAD] &= place < 2
        playing[DRUMS] &= place < 2


def _bring_players_back(bars: list[BarPlan]) -> None:
    for bar in bars:
        if bar.original is not None and abs(bar.label.energy - bar.original.label.energy) < 0.1:
            bar.playing = list(bar.original.playing)


def _pause(rng: random.Random, bars: list[BarPlan]) -> None:
    """One or two layers are silent in the section's first or last phrase: it builds up, or breaks down."""
    paused = rng.choice(_PAUSES)
    for bar in rng.choice((bars[:BARS_PER_PHRASE], bars[-BARS_PER_PHRASE:])):
        for layer in paused:
            bar.playing[layer] = False


def _build_up(bars: list[BarPlan]) -> None:
    """In the last phrase of a long break the layers come back two bars apart; the lead waits for the drop."""
    for place, bar in enumerate(bars[-BARS_PER_PHRASE:]):
        bar.playing[LEAD] = False
        bar.playing[TEXTURE] &= place >= 2
        bar.playing[BASS] |= bar.label.energy > 0.3 and place >= 2


def _mute(rng: random.Random, bars: list[BarPlan]) -> None:
    num_bars = len(bars)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        layer, length = rng.randrange(len(LAYERS)), rng.choice((4, 4, 8, 8, num_bars))
        first = rng.randrange(0, max(1, num_bars - length + 1), BARS_PER_PHRASE)
        for bar in bars[first : first + length]:
            bar.playing[layer] = False
