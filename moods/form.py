"""The plan of sections. In: seed and bar; out: the section there and the layers it lets in.

Pure functions; a small cache of plans is all that is remembered; any thread.
"""

from __future__ import annotations

import random
from functools import lru_cache

from moods.intent import LAYERS

INTRO_BARS = 4
CYCLE_BARS = 32

# Cycles of 32 bars: every section begins on a four-bar phrase, and any bar is found without counting from the start.
_CYCLES = (
    (("A", 8), ("B", 8), ("break", 4), ("A", 8), ("B", 4)),
    (("A", 16), ("B", 8), ("break", 4), ("B", 4)),
    (("A", 8), ("break", 4), ("B", 8), ("A", 8), ("break", 4)),
    (("A", 4), ("B", 8), ("A", 8), ("break", 8), ("B", 4)),
    (("A", 8), ("B", 4), ("A", 8), ("break", 4), ("B", 8)),
    (("B", 8), ("A", 8), ("break", 4), ("A", 4), ("B", 8)),
    (("A", 8), ("B", 16), ("break", 8)),
)


@lru_cache(maxsize=128)
def _round(seed: int, number: int) -> tuple[tuple[str, int], ...]:
    """All cycles once, shuffled: (section, bar in it) of each bar."""
    cycles = list(_CYCLES)
    random.Random(f"form/{seed}/{number}").shuffle(cycles)
    return tuple((name, bar) for cycle in cycles for name, length in cycle for bar in range(length))


def section_at(seed: int, bar: int) -> tuple[str, int]:
    """The section in `bar` (from 0) and the bar's place in it (from 0). Never an outro: endings are asked for."""
    if bar < INTRO_BARS:
        return "intro", bar
    number, place = divmod(bar - INTRO_BARS, CYCLE_BARS * len(_CYCLES))
    return _round(seed, number)[place]


@lru_cache(maxsize=256)
def layers_let_in(section: str, bar_in_section: int, is_driving: bool) -> tuple[bool, ...]:
    """Which layers the section lets play, in the order of LAYERS: the music breathes by letting them in one by one.

    `is_driving`: at high energy the intro does not hold back its rhythm, nor the break its bass.
    """
    held_back: set[str] = set()
    if section == "intro":
        held_back |= {"lead"}
        if not is_driving:
            held_back |= {layer for layer, enters in (("bass", 1), ("drums", 2)) if bar_in_section < enters}
    elif section == "A" and bar_in_section < 2:
        held_back |= {"lead"}
    elif section == "break":
        held_back |= {"drums"}
        if bar_in_section < 2 and not is_driving:
            held_back |= {"bass"}
    return tuple(layer not in held_back for layer in LAYERS)
