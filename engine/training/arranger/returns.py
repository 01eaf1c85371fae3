"""Sections that come back with the chords they had. In: a harmonised plan; out: its bars' chords. Remembers nothing."""

from __future__ import annotations

from dataclasses import replace

from engine.training.arranger.harmony import Chord
from engine.training.arranger.plan import HARMONY, BarPlan, Plan
from engine.training.arranger.rhythm import TICKS_PER_BAR

_OTHER_VALENCE, _OTHER_TENSION = 0.3, 0.2
"""Changes of mood from which on a returning bar keeps the chords that were found for it."""


def bring_chords_back(plan: Plan) -> None:
    """Give returning bars the chords of their originals, unless their mood is another."""
    sources = [bar.original if bar.original is not None and _is_alike(bar, bar.original) else bar for bar in plan.bars]
    begun: list[Chord] = []  # `start` counts from the beginning of the piece
    for bar, source in zip(plan.bars, sources, strict=True):
        before = sources[bar.index - 1] if bar.index else None
        is_joint = before is None or before.index != source.index - 1
        for chord in source.chords:
            if chord.start >= 0 or is_joint:
                begun.append(replace(chord, start=bar.index * TICKS_PER_BAR + max(0, chord.start)))
    ends = [chord.start for chord in begun[1:]] + [len(plan.bars) * TICKS_PER_BAR]
    for bar in plan.bars:
        bar.chords.clear()
    for chord, end in zip(begun, ends, strict=True):
        for index in range(chord.start // TICKS_PER_BAR, -(-end // TICKS_PER_BAR)):
            bar = plan.bars[index]
            bar.chords.append(replace(chord, start=chord.start - index * TICKS_PER_BAR, left=end - chord.start))


def _is_alike(bar: BarPlan, original: BarPlan) -> bool:
    now, then = bar.label, original.label
    if now.beats_to_end is not None or bar.idioms[HARMONY] is not original.idioms[HARMONY]:
        return False
    return abs(now.valence - then.valence) <= _OTHER_VALENCE and abs(now.tension - then.tension) <= _OTHER_TENSION
