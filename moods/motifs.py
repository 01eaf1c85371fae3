"""Themes as songs are made: motifs that are stated, moved and answered. In: a seed; out: of each bar of a theme the
`Lines` that the lead is made of.

Remembers nothing; any thread. Nothing here is a note: the composer invents the bars that are new, and takes all others
from those that were heard, so that a repeat a bar later and a reprise after minutes are one thing.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, Line, Lines

SCHEME_BARS = 2 * BARS_PER_PHRASE
"""A theme that is longer states its first bars again."""

# Of what the eight bars of a theme are made: share, then bar by bar ". ": a new idea; ", ": a new close; else an
# earlier bar's number and what becomes of it, ">" moved by an interval, "~" its rhythm alone, "%" upside down, "?" its
# first half and a new end, ":" its first half twice.
_SCHEMES = (
    (0.22, ". . 0 , 0 1 2 3?"),  # period
    (0.16, ". 0~ 0> , 0 1 2 3?"),
    (0.20, ". 0 0> 0? 0 1 2 3?"),  # riff and variation
    (0.16, ". 0> 0: , 0 1 2 3?"),  # sentence, twice
    (0.12, ". . 0> 1> 0 1 0: ,"),  # sentence
    (0.14, ". . 0 1? 0> 1> 0 1"),  # call and response
)
_INTERVALS = (-1, 1, -2, 2, 3)
"""Steps of the scale by which a theme moves its sequences."""
_OTHERS = ((0.5, "~"), (0.25, "%"), (0.25, ">"))
"""What becomes of the motif that one theme takes from another, and how often."""
_BORROW_CHANCE, _STRETCH_CHANCE = 0.5, 0.6
"""How often a theme takes its first motif from another, and how often a break is the other theme at half speed."""
_ANSWER_CHANCE = 0.35
"""How often the end of a phrase is new where a theme comes back in other clothes."""
_NEVER_DENSE = 9.0
_IDEA, _CLOSE = (0.0, 0.0, 0.25, 0.42), (0.0, 0.2, 0.5, _NEVER_DENSE)
"""From which density on so many beats of a new bar have an onset."""
_PHRASE_ENDS, _HALF_ENDS, _HALF_ENDS_CHANCE = (3, 7), (1, 5), 0.3
"""Bars of a theme in whose last beat the lead takes breath: in those of phrases always, in others so often."""
_HALF = BEATS_PER_BAR // 2


def first_lines(rng: random.Random, num_bars: int, other_bars: int | None = None) -> list[Lines]:
    """The bars of a new theme. The first of them are the same, however many there are.

    `other_bars`: how far before it the theme begins of which it may take a motif; None: it is the first.
    """
    scheme = _drawn(rng, _SCHEMES).split()
    interval = rng.choice(_INTERVALS)
    borrowed = _drawn(rng, _OTHERS) if rng.random() < _BORROW_CHANCE else None
    orders = [rng.sample((1, 3), 2) for _ in scheme]
    breathes = (*_PHRASE_ENDS, *(_HALF_ENDS if rng.random() < _HALF_ENDS_CHANCE else ()))
    bars: list[Lines] = []
    for bar in range(num_bars):
        place = bar % SCHEME_BARS
        if bar >= SCHEME_BARS:  # again, with another end
            bars.append(_made(f"{place}?" if place == SCHEME_BARS - 1 else f"{place}", SCHEME_BARS + place, 0))
        elif bar == 0 and borrowed is not None and other_bars is not None:
            bars.append(_made(f"0{borrowed}", other_bars, interval))
        elif scheme[bar] in ".,":
            bars.append(_new(_IDEA if scheme[bar] == "." else _CLOSE, orders[bar]))
        else:
            bars.append(_made(scheme[bar], bar, interval))
        if place in breathes:
            bars[-1] = _with_breath(bars[-1])
    return bars


def stretched_lines(rng: random.Random, num_bars: int, other_bars: int) -> list[Lines] | None:
    """The bars of a break that has the first bars of another theme, which began `other_bars` before it, at half speed;
    None: it has a theme of its own."""
    if rng.random() >= _STRETCH_CHANCE:
        return None
    bars: list[Lines] = []
    for bar in range(num_bars):
        place = bar % BARS_PER_PHRASE
        first = _HALF * (place % 2) + BEATS_PER_BAR * (place // 2 - other_bars - bar)
        bars.append(tuple(Line(beat - beat // 2 - first, "stretch") for beat in range(BEATS_PER_BAR)))
    return bars


def again(backs: Sequence[int], answers: random.Random | None = None) -> list[Lines]:
    """Bars that are those of `backs` bars before to the letter; the ends of phrases may be new by `answers`."""
    bars = []
    for bar, back in enumerate(backs):
        is_end = bar % BARS_PER_PHRASE == BARS_PER_PHRASE - 1
        is_new = is_end and answers is not None and answers.random() < _ANSWER_CHANCE
        bars.append(_with_breath(_made("0?", back, 0)) if is_new else _made("0", back, 0))
    return bars


def bars_repeated(lines: Lines) -> int | None:
    """How many bars back the bar lies that begins to the letter like this one; None: there is none."""
    line = lines[0]
    is_literal = line is not None and line.back_beats > 0 and line.do == "repeat" and line.steps == 0
    if line is None or not is_literal or line.back_beats % BEATS_PER_BAR:
        return None
    return line.back_beats // BEATS_PER_BAR


def _new(densities: Sequence[float], order: Sequence[int]) -> Lines:
    """A bar of new notes, with onsets on more and more of its beats the denser the music is: 1, 3, then `order`."""
    least = dict(zip((0, _HALF, *order), densities, strict=True))
    return tuple(Line(0, density=least[beat]) for beat in range(BEATS_PER_BAR))


def _with_breath(lines: Lines) -> Lines:
    """The bar with a rest of the lead's in its last beat."""
    last = BEATS_PER_BAR - 1
    return tuple(
        (line or Line(0, density=_NEVER_DENSE))._replace(beats_to_breath=last - beat)
        for beat, line in enumerate((*lines[:last], None))
    )


def _made(recipe: str, bar: int, interval: int) -> Lines:
    """The bar that is number `bar`, counted as the recipe's bars are, made by a recipe."""
    number, marks = int(recipe[0]), recipe[1:]
    back, steps = BEATS_PER_BAR * (bar - number), interval * marks.count(">")
    do = "rhythm" if "~" in marks else "invert" if "%" in marks else "repeat"
    if ":" in marks:
        halves = (steps, steps + (1 if interval > 0 else -1))
        return tuple(Line(back + _HALF * (beat // _HALF), do, halves[beat // _HALF]) for beat in range(BEATS_PER_BAR))
    lines: list[Line | None] = [Line(back, do, steps)] * BEATS_PER_BAR
    if "?" in marks:
        lines[_HALF:] = Line(0, density=0.0), None
    return tuple(lines)


def _drawn(rng: random.Random, shares: Sequence[tuple[float, str]]) -> str:
    (found,) = rng.choices([what for _, what in shares], [share for share, _ in shares])
    return found
