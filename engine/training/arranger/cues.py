"""What the cues of a bar ask of a player. In: a bar and a tick; out: what begins or ends. No state; any thread."""

from __future__ import annotations

from engine.notes import TICKS_PER_BEAT
from engine.training.arranger.plan import BarPlan
from engine.training.arranger.rhythm import TICKS_PER_BAR


def cue_at(bar: BarPlan, tick: int) -> str:
    """The cue of the beat that holds a tick of the bar."""
    return bar.label.cues[min(tick, TICKS_PER_BAR - 1) // TICKS_PER_BEAT]


def hit_ticks(bar: BarPlan) -> list[int]:
    """First ticks of the beats that all strike together."""
    return [beat * TICKS_PER_BEAT for beat, cue in enumerate(bar.label.cues) if cue == "hit"]


def may_begin(bar: BarPlan, tick: int) -> bool:
    """May a note of the pattern begin here? Neither on a hit, which has its own, nor in a cut."""
    return cue_at(bar, tick) not in ("hit", "cut")


def ticks_to_cut(bar: BarPlan, tick: int) -> int:
    """How long a note that begins at `tick` may sound before a cut of this bar; unlimited (4 bars) where none comes."""
    cuts = [beat * TICKS_PER_BEAT for beat, cue in enumerate(bar.label.cues) if cue == "cut"]
    return min((cut - tick for cut in cuts if cut > tick), default=4 * TICKS_PER_BAR)
