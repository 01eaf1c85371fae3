"""The plan of sections, and what each bar of them returns to. In: a seed, and the sections of a piece of known length;
out: the `FormPosition` of each bar, its key, the fills between sections, the layers that a section lets in.

A `Form` remembers the piece and a few of the plans that it made last; one thread at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

from moods.cycles import (
    ANSWER,
    BREATH,
    BRIDGE,
    BUILD,
    CODA,
    CYCLE_BARS,
    CYCLES_PER_ROUND,
    DROP,
    HALF_TIME,
    INTRO,
    NEUTRAL,
    OPENING,
    RETURN,
    SOLO,
    THEME,
    Part,
    Role,
    draw_round,
)
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, LANES, LAYERS, NO_LINES, Lines, Recall
from moods.plan import PlannedSection
from moods.statements import NOTHING_STATED, Stated, Theme, echo_of, first_statement, other_of, pick_theme, return_of

INTRO_BARS = 4
"""Of an intro, which is heard where it is asked for: by itself music begins with its theme."""

_REST_CHANCE = 0.36
_RESTS = {"lead": 0.15, "texture": 0.4, "drums": 0.15, "bass": 0.15, "harmony": 0.15}
"""How often a phrase goes without a layer, and without which: what has been away is heard when it returns."""
_KEY_SHIFTS = {5: 0.3, 7: 0.3, 2: 0.15, 3: 0.15, -2: 0.1}
_AWAY_CHANCE = 0.4
"""How often a cycle leaves the home key, and for where (semitones); the next one is at home again."""
_LIFTS = (0, 1, 2, 2, 3)
"""Semitones by which a round's climax is higher."""
_FILL_SHARE = 0.6
"""Share of the section changes that a drum fill leads into."""
_SHORT_BARS = 48
"""A piece that is not longer has one theme of each name, and no section without one."""
THEME_BARS = CYCLE_BARS * CYCLES_PER_ROUND
"""As long as themes live: what is further back is forgotten by who composes."""
_UNRESTING_BARS = 16
"""At the beginning of a piece all play."""
TUNEFUL = ("A", "B")
"""Sections that have a tune, however still the mood."""
_RHYTHM = {"drums", "bass"}
_HALF_BAR, _GROUP_BARS = BEATS_PER_BAR // 2, 2 * BARS_PER_PHRASE
_NUM_KEPT = 2
"""Plans that are remembered: the one that sounds and the one that is composed ahead."""

Plan = TypeVar("Plan")


@dataclass(frozen=True, slots=True)
class FormPosition:
    """Where one bar stands in the form."""

    section: str  # one of SECTIONS
    bar_in_section: int  # from 0
    bars_to_change: int | None  # bars of the section that follow; None: nobody knows
    recall: Recall  # in the order of LANES
    resting: str | None = None  # the layer that pauses in this phrase
    lines: Lines = NO_LINES  # what the lead's beats are made of
    intensity: float = NEUTRAL  # 0 held back … 1 lifted, under whatever energy is asked for
    without: tuple[str, ...] = ()  # layers that the section does without here, unless the mood drives
    is_half_time: bool = False
    lift: int = 0  # semitones above the key that the cycle has
    leads_home: bool = False  # what comes after the section is led into by a dominant


class Form:
    """The form that a seed makes: of the sections of a piece of known length, then without end."""

    def __init__(self, seed: int, sections: Sequence[PlannedSection] = (), end_beat: int | None = None) -> None:
        self._seed, self.end_beat = seed, end_beat
        self._piece = _plan_piece(seed, sections)
        self.outro_bar = next((section.first_bar for section in sections if section.name == "outro"), None)
        """Where the piece's own outro begins; None: it has none. Its last chord is on `end_beat`."""
        self._rounds: dict[int, tuple[FormPosition, ...]] = {}
        self._shifts: dict[int, int] = {}
        self._fills: dict[int, bool] = {}

    def position_at(self, bar: int) -> FormPosition:
        """Where `bar` (from 0) stands. Never an outro but a piece's own: endings are asked for."""
        if bar < len(self._piece):
            return self._piece[bar]
        number, index = divmod(bar - len(self._piece), THEME_BARS)
        return _kept(self._rounds, number, self._plan_round)[index]

    @property
    def num_bars(self) -> int:
        """Of the piece; 0 where there is none."""
        return len(self._piece)

    def piece_bar(self, bar: int) -> int:
        """Where the piece begins that `bar` belongs to: all that returns in it was first heard in it."""
        number = self._piece_number(bar)
        return self._first_bar_of(number) if number > 0 or (self._piece and number == 0) else 0

    def next_piece_bar(self, bar: int) -> int:
        """Where the piece after that one begins."""
        return self._first_bar_of(self._piece_number(bar) + 1)

    def _piece_number(self, bar: int) -> int:
        """One of known length is -1, the round of themes after it 0."""
        first = -1 if self._piece else 0
        return max(first, (bar - self._first_bar_of(0)) // THEME_BARS)

    def _first_bar_of(self, number: int) -> int:
        return len(self._piece) + number * THEME_BARS

    def section_bars(self, bar: int) -> int:
        """How many bars the section has that begins at `bar`."""
        assert self.position_at(bar).bar_in_section == 0, bar
        end = bar + 1
        while self.position_at(end).bar_in_section:
            end += 1
        return end - bar

    def key_shift(self, bar: int) -> int:
        """Semitones from the home key to the key that `bar` has. A piece ends at home."""
        is_piece = bar < len(self._piece)
        cycle = (bar if is_piece else bar - len(self._piece)) // CYCLE_BARS
        if is_piece and (cycle + 1) * CYCLE_BARS > len(self._piece):
            return 0
        return _kept(self._shifts, cycle, self._plan_shift) + self.position_at(bar).lift

    def is_filled(self, bar: int) -> bool:
        """Does a drum fill lead from `bar` (from 0) into a section that begins after it?"""
        if self.position_at(bar).bars_to_change != 0:
            return False
        is_marked = bar + 1 < len(self._piece) and self._piece[bar + 1].section in ("A", "B")
        return is_marked or self.position_at(bar).leads_home or self.draws_fill(bar)

    def draws_fill(self, bar: int) -> bool:
        """Is there a fill in `bar`, if a section begins after it?"""
        return _kept(self._fills, bar, self._plan_fill)

    def _plan_round(self, number: int) -> tuple[FormPosition, ...]:
        """A round has themes of its own; within it they come back, and in the end the first to the letter."""
        rng = random.Random(f"form/{self._seed}/{number}")
        parts, lift = draw_round(rng), rng.choice(_LIFTS)
        if number == 0 and not self._piece:
            parts[0] = parts[0]._replace(role=OPENING)
        themes: dict[str, list[Theme]] = {}
        positions: list[FormPosition] = []
        shared: dict[Stated, Stated] = {}  # bars that are made of the same share it
        for part, following in zip(parts, [*parts[1:], None], strict=True):
            stated, is_new = _stated_in_round(rng, part, themes, len(positions))
            rests = [_rest(rng, part.role, is_new=is_new) for _ in range(0, part.num_bars, BARS_PER_PHRASE)]
            positions += [
                replace(
                    _position_of(part, bar, shared.setdefault(each, each)),
                    resting=rests[bar // BARS_PER_PHRASE],
                    lift=lift if part.role.is_lifted else 0,
                    leads_home=following is not None and following.role.is_led_home,
                )
                for bar, each in enumerate(stated)
            ]
        return tuple(positions)

    def _plan_fill(self, bar: int) -> bool:
        return random.Random(f"fill/{self._seed}/{bar}").random() < _FILL_SHARE

    def _plan_shift(self, cycle: int) -> int:
        rng = random.Random(f"key/{self._seed}/{cycle}")
        if cycle < 1 or cycle % CYCLES_PER_ROUND % 2 == 0 or rng.random() >= _AWAY_CHANCE:
            return 0
        return rng.choices(list(_KEY_SHIFTS), list(_KEY_SHIFTS.values()))[0]


def _position_of(part: Part, bar: int, stated: Stated) -> FormPosition:
    """Bar `bar` of a section."""
    name, num_bars, role = part
    return FormPosition(
        name,
        bar,
        num_bars - 1 - bar,
        stated.recall,
        lines=stated.lines,
        intensity=role.intensity(bar, num_bars),
        without=role.layers_without(bar, num_bars),
        is_half_time=role.is_half_time,
    )


def intro_position(bar: int) -> FormPosition:
    """Bar `bar` of an intro, from 0."""
    return _position_of(Part("intro", INTRO_BARS, INTRO), bar, NOTHING_STATED)


def _stated_in_round(
    rng: random.Random, part: Part, themes: dict[str, list[Theme]], first_bar: int
) -> tuple[list[Stated], bool]:
    """What the bars of a section of a round are made of, which begins at `first_bar` of it, and is its theme new?"""
    name, num_bars, role = part
    theme: Theme | None = None
    if role.states == "letter":
        theme = themes[name][0]
    elif role.states != "other":
        known, may_be_new = themes.setdefault(name, []), role in (OPENING, THEME, ANSWER)
        theme = pick_theme(rng, known, first_bar, num_bars, may_be_new=may_be_new)
    new = first_statement(rng, num_bars, other_of(name, themes, first_bar), name == "break")
    if theme is None:
        return new, True
    stated = return_of(rng, theme.span, first_bar, num_bars, is_exact=role.states == "letter")
    if role.states == "changes":
        stated = [Stated(_with_lane(old.recall, "lead", None), own.lines) for old, own in zip(stated, new, strict=True)]
    if role.is_half_time:
        drums = LANES.index("drums")
        grooves = [own.recall[drums] for own in new]
        stated = [
            old._replace(recall=_with_lane(old.recall, "drums", groove))
            for old, groove in zip(stated, grooves, strict=True)
        ]
    return stated, False


def _with_lane(recall: Recall, name: str, lane: tuple[int, float] | None) -> Recall:
    index = LANES.index(name)
    return (*recall[:index], lane, *recall[index + 1 :])


def _plan_piece(seed: int, sections: Sequence[PlannedSection]) -> tuple[FormPosition, ...]:
    """The bars of a piece. How a theme is stated depends on the seed alone, not on how long the piece is."""
    num_bars = sum(section.num_bars for section in sections)
    is_short = num_bars <= _SHORT_BARS
    last = max((index for index, section in enumerate(sections) if section.name != "outro"), default=None)
    themes: dict[str, list[Theme]] = {}
    positions: list[FormPosition] = []
    for index, section in enumerate(sections):
        rng, first = random.Random(f"section/{seed}/{index}"), len(positions)
        name, length = section.name, section.num_bars
        assert section.first_bar == first, section
        known = themes.setdefault("A" if name == "outro" else name, [])
        known[:] = [theme for theme in known if first + length - theme.first_bar <= THEME_BARS]
        if name == "outro":
            stated = echo_of(known[0].span if known else None, first, length)
        elif known and (is_short or index == last):
            stated = return_of(rng, known[0].span, first, length, is_exact=index == last)
        elif theme := pick_theme(rng, known, first, length):
            stated = return_of(rng, theme.span, first, length)
        else:
            theme_rng = random.Random(f"theme/{seed}/{name}/{len(known)}")
            stated = first_statement(theme_rng, length, other_of(name, themes, first), name == "break")
        may_rest = first >= _UNRESTING_BARS and name != "outro" and index != last
        is_new = not known or known[-1].first_bar == first
        part = Part(name, length, _role_in_piece(rng, sections, index, last, is_short=is_short))
        num_phrases = len(range(0, length, BARS_PER_PHRASE))
        rests = [_rest(rng, part.role, is_new=is_new) if may_rest else None for _ in range(num_phrases)]
        positions += [
            replace(
                _position_of(part, bar, each),
                bars_to_change=None if name == "outro" else _bars_to_change(length - 1 - bar, is_first=index == 0),
                resting=rests[bar // BARS_PER_PHRASE],
                leads_home=index + 1 == last,
            )
            for bar, each in enumerate(stated)
        ]
    return tuple(positions)


def _role_in_piece(
    rng: random.Random, sections: Sequence[PlannedSection], index: int, last: int | None, *, is_short: bool
) -> Role:
    """What a section of a piece is for: it begins plainly, and its first theme is the most when it comes back."""
    name = sections[index].name
    if index == 0 or name in ("break", "outro"):
        return {"break": BREATH, "outro": CODA}.get(name, THEME)
    if index == last:
        return RETURN
    if is_short:
        return ANSWER
    if sections[index - 1].name == "break":
        return DROP
    return rng.choice((THEME, SOLO, HALF_TIME, RETURN) if name == "A" else (ANSWER, ANSWER, BRIDGE, BUILD))


def _bars_to_change(bars: int, *, is_first: bool) -> int:
    """The first statement of the theme does not know how long it is before its last bar: it is to be the same music in
    pieces of other lengths."""
    return max(bars, BARS_PER_PHRASE) if is_first and bars else bars


def _kept(plans: dict[int, Plan], number: int, make: Callable[[int], Plan]) -> Plan:
    """Plan `number`, made anew unless it is one of those remembered."""
    if number not in plans:
        if len(plans) == _NUM_KEPT:
            del plans[next(iter(plans))]
        plans[number] = make(number)
    return plans[number]


def _rest(rng: random.Random, role: Role, *, is_new: bool) -> str | None:
    """`is_new`: the section states a theme for the first time, which is its lead's."""
    is_resting = rng.random() < _REST_CHANCE
    layer = rng.choices(list(_RESTS), list(_RESTS.values()))[0]
    is_whole = role.states != "letter" and not role.without and role.begins < DROP.begins
    return layer if is_resting and is_whole and not (is_new and layer == "lead") else None


@lru_cache(maxsize=256)
def layers_let_in(
    section: str, bar_in_section: int, is_driving: bool, without: tuple[str, ...] = ()
) -> tuple[bool, ...]:
    """Which layers the section lets play, in the order of LAYERS: the music breathes by letting them in one by one.

    `is_driving`: at high energy no section holds back its rhythm but the break its drums.
    """
    held_back = set(without) - (_RHYTHM if is_driving else set())
    if section == "intro":
        held_back |= {"lead"}
        if not is_driving:
            held_back |= {layer for layer, enters in (("bass", 1), ("drums", 2)) if bar_in_section < enters}
    elif section == "break":
        held_back |= {"drums"}
        if bar_in_section < 2 and not is_driving:
            held_back |= {"bass"}
    return tuple(layer not in held_back for layer in LAYERS)


def calls_lead(position: FormPosition) -> bool:
    """Does a new theme begin with this bar?"""
    return position.section == "A" and position.bar_in_section == 0 and position.recall[-1] is None


def cadence_at(position: FormPosition, beat_in_bar: int) -> str:
    """What the form asks of the harmony on a beat, one of CADENCES.

    Sections begin at home; the last bar of their phrases comes to rest there, and in its second half leads on.
    """
    number, left = position.bar_in_section, position.bars_to_change
    if number == 0 and beat_in_bar == 0 and position.section != "break":
        return "home"
    if position.section not in TUNEFUL:
        return "dominant" if left == 0 and position.leads_home and beat_in_bar >= _HALF_BAR else "none"
    is_round = number % _GROUP_BARS == _GROUP_BARS - 1
    if left == 0 or is_round:
        if beat_in_bar < _HALF_BAR:
            return "rest"
        if left == 0 or left is None:
            return "dominant" if position.leads_home else "plagal"
    return "none"
