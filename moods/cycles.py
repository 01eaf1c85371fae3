"""What rounds of themes are made of: cycles of sections, and what each of them is for.

In: a generator of random numbers; out: sections by name, length and role. Remembers nothing; any thread.

A round begins plainly, has calm cycles between lively ones and one climax, and closes with its first theme. Over its
minutes the music so grows, rests and comes home, whatever level the mood asks for.
"""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

CYCLE_BARS, CYCLES_PER_ROUND = 32, 7
_LETTER_CYCLES = (2, 4)
"""Which cycles of a round, from 0, have its first theme to the letter, as its last does: it is never far away."""
NEUTRAL = 0.5
"""The intensity of what is neither held back nor lifted."""


class Role(NamedTuple):
    """What a section is for, whatever its name."""

    begins: float  # the intensity of its first bar, 0 … 1
    ends: float  # and of its last; a straight line lies between
    without: tuple[tuple[str, float], ...] = ()  # layers that it does without, each for this share of its bars
    states: Literal["theme", "letter", "changes", "other"] = "theme"
    """A theme of its name; the piece's first to the letter; a theme's harmony under a free tune; music of its own."""
    is_half_time: bool = False  # the backbeat is on the third beat
    is_lifted: bool = False  # the key may be a higher one
    is_led_home: bool = False  # a dominant leads into it

    def intensity(self, bar: int, num_bars: int) -> float:
        """Of bar `bar` (from 0) of `num_bars`."""
        return round(self.begins + (self.ends - self.begins) * bar / max(1, num_bars - 1), 3)

    def layers_without(self, bar: int, num_bars: int) -> tuple[str, ...]:
        return tuple(layer for layer, until in self.without if bar < until * num_bars)


INTRO = Role(0.3, 0.45)
THEME, ANSWER = Role(0.45, 0.55), Role(0.55, 0.65)
OPENING = Role(0.4, 0.5, (("bass", 1 / 8), ("drums", 2 / 8), ("texture", 4 / 8)))
BREATH = Role(0.25, 0.1, (("texture", 0.5),))
WHISPER = Role(0.15, 0.25, (("drums", 1.0), ("texture", 1.0)))
HALF_TIME = Role(0.3, 0.4, (("texture", 0.5),), is_half_time=True)
BRIDGE = Role(0.3, 0.5, (("drums", 1.0),), states="other")
SOLO = Role(0.6, 0.75, states="changes")
BUILD = Role(0.3, 0.9, (("drums", 0.5), ("texture", 0.5)))
DROP = Role(0.95, 0.85, is_led_home=True)
CLIMAX = Role(1.0, 1.0, is_lifted=True, is_led_home=True)
RETURN = Role(0.7, 0.75)
REPRISE = Role(0.55, 0.6, states="letter", is_led_home=True)
CODA = Role(0.45, 0.25)


class Part(NamedTuple):
    """One section of a cycle."""

    name: str  # one of SECTIONS
    num_bars: int
    role: Role


def _cycle(*parts: tuple[str, int, Role]) -> tuple[Part, ...]:
    cycle = tuple(Part(*part) for part in parts)
    assert sum(part.num_bars for part in cycle) == CYCLE_BARS, parts
    return cycle


# Every section begins on a four-bar phrase, and any bar is found without counting from the start.
_OPENINGS = (
    _cycle(("A", 8, THEME), ("B", 8, ANSWER), ("break", 4, BREATH), ("A", 8, RETURN), ("B", 4, ANSWER)),
    _cycle(("A", 16, THEME), ("B", 8, ANSWER), ("break", 4, BREATH), ("B", 4, ANSWER)),
    _cycle(("A", 8, THEME), ("break", 4, BREATH), ("B", 8, ANSWER), ("A", 8, RETURN), ("B", 4, ANSWER)),
    _cycle(("A", 8, THEME), ("B", 4, ANSWER), ("A", 8, THEME), ("break", 4, BREATH), ("B", 8, ANSWER)),
)
_LIVELY = (
    _cycle(("A", 4, THEME), ("B", 8, ANSWER), ("A", 8, RETURN), ("break", 4, BREATH), ("B", 8, DROP)),
    _cycle(("A", 8, RETURN), ("A", 8, SOLO), ("B", 8, ANSWER), ("B", 4, BUILD), ("A", 4, DROP)),
    _cycle(("B", 8, ANSWER), ("B", 4, BUILD), ("A", 8, DROP), ("B", 8, ANSWER), ("break", 4, BREATH)),
    _cycle(("A", 8, THEME), ("break", 4, BREATH), ("B", 4, BUILD), ("A", 8, DROP), ("B", 8, ANSWER)),
    _cycle(("B", 8, ANSWER), ("A", 8, SOLO), ("B", 8, BUILD), ("A", 8, DROP)),
)
_CALM = (
    _cycle(("A", 8, HALF_TIME), ("B", 8, BRIDGE), ("break", 4, BREATH), ("A", 8, THEME), ("B", 4, WHISPER)),
    _cycle(("break", 8, BREATH), ("A", 8, WHISPER), ("B", 8, HALF_TIME), ("A", 8, THEME)),
    _cycle(("B", 8, WHISPER), ("A", 8, HALF_TIME), ("break", 4, BREATH), ("A", 8, THEME), ("B", 4, HALF_TIME)),
    _cycle(("A", 8, WHISPER), ("B", 8, BRIDGE), ("break", 8, BREATH), ("A", 8, THEME)),
)
_CLIMAXES = (
    _cycle(("B", 8, BUILD), ("A", 8, CLIMAX), ("B", 8, CLIMAX), ("A", 8, RETURN)),
    _cycle(("A", 8, SOLO), ("B", 8, BUILD), ("A", 16, CLIMAX)),
    _cycle(("A", 8, RETURN), ("B", 4, BUILD), ("A", 8, CLIMAX), ("B", 8, CLIMAX), ("break", 4, BREATH)),
)
_CLOSINGS = (
    _cycle(("B", 8, ANSWER), ("break", 4, BREATH), ("A", 8, WHISPER), ("B", 4, BUILD), ("A", 8, REPRISE)),
    _cycle(("A", 8, SOLO), ("B", 8, ANSWER), ("break", 8, BREATH), ("A", 8, REPRISE)),
    _cycle(("A", 8, HALF_TIME), ("B", 8, BRIDGE), ("B", 8, BUILD), ("A", 8, REPRISE)),
)


def draw_round(rng: random.Random) -> list[Part]:
    """The sections of a round, in order."""
    lively, calm = rng.sample(_LIVELY, 2), rng.sample(_CALM, 2)
    ascent = [lively[0], calm[0], lively[1]]
    peak = [rng.choice(_CLIMAXES), calm[1]]
    if rng.random() < 0.5:
        peak.reverse()
    cycles = [rng.choice(_OPENINGS), *ascent, *peak, rng.choice(_CLOSINGS)]
    assert len(cycles) == CYCLES_PER_ROUND
    return [
        part
        for index, cycle in enumerate(cycles)
        for part in (_with_letter(cycle) if index in _LETTER_CYCLES else cycle)
    ]


def _with_letter(cycle: tuple[Part, ...]) -> tuple[Part, ...]:
    """The cycle with the last of its longer statements of A as one to the letter."""
    last = max(
        index
        for index, part in enumerate(cycle)
        if part.name == "A" and part.num_bars >= 8 and part.role.states == "theme" and not part.role.is_half_time
    )
    part = cycle[last]
    return (*cycle[:last], part._replace(role=part.role._replace(states="letter")), *cycle[last + 1 :])
