"""What a piece of known length is made of. In: nothing; out: plain values. Remembers nothing; any thread."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlannedSection:
    """A section by its bars."""

    first_bar: int  # from 0
    num_bars: int
    name: str  # one of SECTIONS
