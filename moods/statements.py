"""Themes as they are stated: for the first time, again, or as an echo. In: a seed; out: bar by bar what each lane, and
each beat of the lead, returns to.

Remembers nothing; any thread. A `Theme` is where a piece has one; who plans the piece keeps its themes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

from moods.intent import BARS_PER_PHRASE, LANES, NO_LINES, NO_RECALL, Lines, Recall
from moods.motifs import again, bars_repeated, first_lines, stretched_lines

# The strength of recall of each lane when a theme comes back: share, (chords, drums, bass, harmony, texture, lead).
_RETURNS = (
    (0.40, (1.0, 0.95, 1.0, 1.0, 1.0, 1.0)),  # as it was
    (0.35, (0.9, 0.75, 0.7, 0.65, 0.5, 0.85)),  # in other clothes
    (0.25, (0.8, None, 0.5, None, None, 0.7)),  # only tune and harmony
)
_TO_THE_LETTER = (1.0,) * len(LANES)
_JITTER = 0.08
_NEW_THEME_CHANCE, _OLD_THEME_CHANCE = 0.3, 0.3
"""After two statements of a theme a section brings a new one, or goes back to an older one."""
_ECHO = (None, 0.6, 0.5, 0.5, 0.5, 0.75)
"""What an outro keeps of the theme, in the order of LANES: harmony goes its own way home."""
_SAME_CHORDS_CHANCE, _SAME_CHORDS = 0.8, 0.9
"""How often a theme has the same chords under what its lead repeats from another phrase, and how strongly they are
recalled; within a phrase what is repeated has other chords under it."""


class Stated(NamedTuple):
    """What a bar of a theme is made of."""

    recall: Recall
    lines: Lines


NOTHING_STATED = Stated(NO_RECALL, NO_LINES)


@dataclass(slots=True)
class Theme:
    """Where a theme was first stated, and how often it has been."""

    first_bar: int
    num_bars: int
    statements: int = 1

    @property
    def span(self) -> tuple[int, int]:
        """Its first bar and how many it has."""
        return self.first_bar, self.num_bars


def pick_theme(
    rng: random.Random, known: list[Theme], first_bar: int, num_bars: int, *, may_be_new: bool = True
) -> Theme | None:
    """The theme that a section of this name states again, or None: it brings a new one, which is put with the known."""
    is_worn = bool(known) and known[-1].statements >= 2
    if not known or (is_worn and may_be_new and rng.random() < _NEW_THEME_CHANCE):
        known.append(Theme(first_bar, num_bars))
        return None
    theme = known[-1]
    if is_worn and len(known) > 1 and rng.random() < _OLD_THEME_CHANCE:
        theme = rng.choice(known[:-1])
    theme.statements += 1
    return theme


def other_of(name: str, themes: dict[str, list[Theme]], first_bar: int) -> int | None:
    """How far before `first_bar` the theme begins from which a new one of another name may take a motif."""
    known = [] if name == "A" else themes.get("A", [])
    return first_bar - known[-1].first_bar if known else None


def return_of(
    rng: random.Random, theme: tuple[int, int], first_bar: int, num_bars: int, *, is_exact: bool = False
) -> list[Stated]:
    """A theme, its first bar and how many it has, bar by bar once more; `is_exact`: to the letter."""
    (lanes,) = rng.choices([lanes for _, lanes in _RETURNS], [share for share, _ in _RETURNS])
    strengths = [None if strength is None else _jittered(rng, strength) for strength in lanes]
    if is_exact:
        strengths = list(_TO_THE_LETTER)
    backs = _backs(*theme, first_bar, num_bars)
    recalls = [tuple(None if strength is None else (back, strength) for strength in strengths) for back in backs]
    is_literal = is_exact or lanes is _RETURNS[0][1]
    return list(map(Stated, recalls, again(backs, None if is_literal else rng)))


def first_statement(
    rng: random.Random, num_bars: int, other_bars: int | None = None, is_break: bool = False
) -> list[Stated]:
    """A new theme refers to itself: drums keep their groove, the second half of a phrase answers the first, the next
    phrase begins like the one before. The lead is made of motifs, and chords return with the bars that it repeats.

    `other_bars`: how far before it the theme begins that it may take a motif from.
    """
    phrase_returns = {
        lane: rng.random() < share for lane, share in zip(LANES[:-1], (0.7, 1, 0.8, 0.8, 0.7), strict=True)
    }
    half_returns = {lane: rng.random() < share for lane, share in zip(LANES[:-1], (0.1, 1, 0.6, 0.6, 0.7), strict=True)}
    strengths = {lane: _jittered(rng, 0.75) for lane in LANES[:-1]}
    keeps_chords = rng.random() < _SAME_CHORDS_CHANCE
    lines = stretched_lines(rng, num_bars, other_bars) if is_break and other_bars is not None else None
    if lines is None:
        lines = first_lines(rng, num_bars, other_bars)
    stated: list[Stated] = []
    for bar in range(num_bars):
        lanes: list[tuple[int, float] | None] = []
        for lane in LANES[:-1]:
            in_phrase, same_bar = bar % BARS_PER_PHRASE, bars_repeated(lines[bar])
            if lane == "drums":
                back = (0, 1, 2, 2)[in_phrase] if bar < BARS_PER_PHRASE else BARS_PER_PHRASE
                lanes.append((back, min(0.95, strengths[lane] + 0.1)) if back else None)
            elif lane == "chords" and keeps_chords and same_bar is not None and BARS_PER_PHRASE <= same_bar <= bar:
                lanes.append((same_bar, _SAME_CHORDS))
            elif bar >= BARS_PER_PHRASE and phrase_returns[lane]:
                lanes.append((BARS_PER_PHRASE, strengths[lane]))
            elif in_phrase >= BARS_PER_PHRASE // 2 and half_returns[lane]:
                lanes.append((BARS_PER_PHRASE // 2, strengths[lane] - 0.2))
            elif in_phrase == 1 and lane in ("bass", "harmony", "texture"):
                lanes.append((1, 0.4))
            else:
                lanes.append(None)
        stated.append(Stated((*lanes, None), lines[bar]))
    return stated


def _jittered(rng: random.Random, strength: float) -> float:
    return round(min(1.0, max(0.2, strength + rng.uniform(-_JITTER, _JITTER))), 2)


def echo_of(theme: tuple[int, int] | None, first_bar: int, num_bars: int) -> list[Stated]:
    """The beginning of the theme, its first bar and how many it has, once more while the music goes home, but for the
    last chord's bar."""
    if theme is None:
        return [NOTHING_STATED] * num_bars
    backs = _backs(*theme, first_bar, num_bars - 1)
    recalls = [tuple(None if strength is None else (back, strength) for strength in _ECHO) for back in backs]
    return [*map(Stated, recalls, again(backs)), NOTHING_STATED]


def _backs(theme_bar: int, theme_bars: int, first_bar: int, num_bars: int) -> list[int]:
    """How far the bars of a theme lie before `num_bars` that state it again from `first_bar` on."""
    return [first_bar + bar - (theme_bar + bar % theme_bars) for bar in range(num_bars)]
