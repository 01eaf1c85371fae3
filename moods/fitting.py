"""Fitting: tempo and bars chosen so that beats fall on the places that matter. In: a timeline; out: a `Plan`.

Remembers nothing; any thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moods.pace import pace_of
from moods.plan import Plan

if TYPE_CHECKING:
    from moods.timeline import Timeline


def fit(timeline: Timeline) -> Plan:
    """The plan of a timeline: pure, and the same for every seed."""
    bpm = pace_of(timeline).bpm_at(0.0)
    return Plan(((0, bpm),), (), None, (), bpm, bpm, bpm)
