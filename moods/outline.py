"""The outline of a piece of known length: which sections it has, bar by bar.

In: how many bars, where the picture changes, how it ends; out: sections that fit. Remembers nothing; any thread.

The theme begins at once and is heard again before the end, with something else between where there is room; the outro
is no longer than it has to be. Where the picture changes a section begins, whatever the count of bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from moods.cycles import CYCLE_BARS
from moods.intent import BARS_PER_PHRASE
from moods.plan import PlannedSection

_CYCLES = (
    (("A", 8), ("B", 8), ("break", 4), ("A", 8), ("B", 4)),
    (("A", 4), ("B", 8), ("A", 8), ("break", 4), ("B", 8)),
    (("A", 8), ("break", 4), ("B", 4), ("A", 8), ("B", 8)),
)
"""Of long pieces, by turns."""
_FEWEST_OF_THREE = 6
"""Bars from which there is room for a theme, something else, and the theme again."""
_SECTION_BARS = 2 * BARS_PER_PHRASE
_CLEAR_CHANGE = 0.12
"""Of energy: from here on a mark lifts the music or lets it fall."""

Parts = list[tuple[str, int]]
"""Names of sections and how many bars each has."""

# From so many bars on: what comes before the theme is heard for the last time, with all bars that are left.
_ARCHES: tuple[tuple[int, Parts], ...] = (
    (36, [("A", 8), ("B", 8), ("break", 4), ("A", 4), ("B", 4)]),
    (28, [("A", 8), ("B", 8), ("break", 4)]),
    (24, [("A", 8), ("B", 8)]),
    (16, [("A", 8), ("B", 4)]),
    (11, [("A", 4), ("B", 4)]),
    (8, [("A", 4), ("B", 2)]),
    (_FEWEST_OF_THREE, [("A", 2), ("B", 2)]),
    (0, []),
)
_LONGEST_ARCH = 44


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar on which the picture changes, and the energy from there on."""

    bar: int  # from 0
    energy: float


def plan_sections(
    num_bars: int, energy: float, marks: Sequence[Mark] = (), ending: str = "cadence"
) -> tuple[PlannedSection, ...]:
    """The sections of `num_bars` bars, the last chord's among them; one begins on every mark's bar.

    `energy` is that of the beginning. The last is an outro where the ending has a last chord.
    """
    assert num_bars > 0, num_bars
    starts = {0: energy} | {mark.bar: mark.energy for mark in sorted(marks, key=lambda mark: mark.bar)}
    starts = {bar: level for bar, level in starts.items() if bar < num_bars}
    outro_bar = min(num_bars, max(num_bars - outro_bars(num_bars, ending), max(starts)))
    if ending in ("cadence", "ring"):
        outro_bar = min(outro_bar, num_bars - 1)
    spans = [(bar, level) for bar, level in starts.items() if bar < outro_bar]
    parts: Parts = []
    before: tuple[str, float] | None = None
    ends = [*(bar for bar, _ in spans[1:]), outro_bar][: len(spans)]  # one bar may be the outro alone
    for (bar, level), end in zip(spans, ends, strict=True):
        is_last, length = end == outro_bar, end - bar
        name = "A" if before is None else _name_after(*before, level, length, is_last)
        parts += _closing(name, length) if is_last else _passing(name, length)
        before = parts[-1][0], level
    if outro_bar < num_bars:
        parts.append(("outro", num_bars - outro_bar))
    firsts = accumulate((length for _, length in parts), initial=0)
    return tuple(PlannedSection(first, length, name) for first, (name, length) in zip(firsts, parts, strict=False))


def outro_bars(num_bars: int, ending: str) -> int:
    """Bars of the outro of a piece of `num_bars`, the last chord's among them."""
    if ending == "cadence":
        return 1 + min(BARS_PER_PHRASE, max(1, num_bars // 8)) if num_bars > 2 else 1
    return 1 if ending == "ring" else 0


def _name_after(name: str, before: float, energy: float, num_bars: int, is_last: bool) -> str:
    """What follows a section at a mark."""
    change = energy - before
    if change <= -_CLEAR_CHANGE and name != "break" and not is_last and num_bars <= _SECTION_BARS:
        return "break"
    if name == "break" and change >= _CLEAR_CHANGE and (not is_last or num_bars >= _FEWEST_OF_THREE):
        return "B"
    return "B" if name == "A" else "A"


def _passing(name: str, num_bars: int) -> Parts:
    """A span after which another comes, beginning with `name`."""
    if num_bars < 2 * _SECTION_BARS:
        return [(name, num_bars)]
    if num_bars >= _LONGEST_ARCH:
        return [*_cycle(num_bars), *_passing("A", num_bars - CYCLE_BARS)]
    other = "A" if name == "B" else "B"
    return [(name, _SECTION_BARS), *_passing(other, num_bars - _SECTION_BARS)]


def _cycle(num_bars: int) -> Parts:
    """The cycle with which a span of so many bars goes on."""
    return list(_CYCLES[num_bars // CYCLE_BARS % len(_CYCLES)])


def _closing(name: str, num_bars: int) -> Parts:
    """The span before the outro or the end, beginning with `name`: with the theme it closes."""
    if name != "A":
        if num_bars < _FEWEST_OF_THREE:
            return [(name, num_bars)]
        last = min(_SECTION_BARS, num_bars // 4 * 2)
        return [*_passing(name, num_bars - last), ("A", last)]
    if num_bars >= _LONGEST_ARCH:
        return [*_cycle(num_bars), *_closing("A", num_bars - CYCLE_BARS)]
    arch = next(arch for least, arch in _ARCHES if num_bars >= least)
    return [*arch, ("A", num_bars - sum(length for _, length in arch))]
