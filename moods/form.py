"""The plan of sections, and what each bar of them returns to. In: a seed, and the sections of a piece of known length;
out: the `FormPosition` of each bar, its key, the fills between sections, the layers that a section lets in.

A `Form` remembers the piece and a few of the plans that it made last; one thread at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

from moods.intent import BARS_PER_PHRASE, LANES, LAYERS, NO_LINES, NO_RECALL, Lines, Recall
from moods.motifs import again, bars_repeated, first_lines, stretched_lines
from moods.plan import PlannedSection

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

# The strength of recall of each lane when a theme comes back: share, (chords, drums, bass, harmony, texture, lead).
_RETURNS = (
    (0.40, (1.0, 0.95, 1.0, 1.0, 1.0, 1.0)),  # as it was
    (0.35, (0.9, 0.75, 0.7, 0.65, 0.5, 0.85)),  # in other clothes
    (0.25, (0.8, None, 0.5, None, None, 0.7)),  # only tune and harmony
)
_JITTER = 0.08
_REST_CHANCE = 0.3
_RESTS = {"lead": 0.4, "texture": 0.3, "drums": 0.12, "bass": 0.1, "harmony": 0.08}
"""How often a phrase goes without a layer, and without which: what has been away is heard when it returns."""
_KEY_SHIFTS = {5: 0.3, 7: 0.3, 2: 0.15, 3: 0.15, -2: 0.1}
_AWAY_CHANCE = 0.4
"""How often a cycle leaves the home key, and for where (semitones); the next one is at home again."""
_NEW_THEME_CHANCE, _OLD_THEME_CHANCE = 0.3, 0.3
"""After two statements of a theme a section brings a new one, or goes back to an older one."""
_FILL_SHARE = 0.6
"""Share of the section changes that a drum fill leads into."""
_SHORT_BARS = 48
"""A piece that is not longer has one theme of each name, and its lead plays the first however still the mood."""
THEME_BARS = CYCLE_BARS * len(_CYCLES)
"""As long as themes live: what is further back is forgotten by who composes."""
_UNRESTING_BARS = 16
"""At the beginning of a piece all play."""
_ECHO = (None, 0.6, 0.5, 0.5, 0.5, 0.75)
"""What an outro keeps of the theme, in the order of LANES: harmony goes its own way home."""
_SAME_CHORDS_CHANCE, _SAME_CHORDS = 0.8, 0.9
"""How often a theme has the same chords under what its lead repeats, and how strongly they are recalled."""
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
    has_theme: bool = False  # of a short piece: the lead plays, however still the mood
    lines: Lines = NO_LINES  # what the lead's beats are made of


class Stated(NamedTuple):
    """What a bar of a theme is made of."""

    recall: Recall
    lines: Lines


NOTHING_STATED = Stated(NO_RECALL, NO_LINES)


@dataclass(slots=True)
class _Theme:
    first_bar: int
    num_bars: int
    statements: int = 1


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
        if self._piece:
            bar += INTRO_BARS - len(self._piece)
        if bar < INTRO_BARS:
            return FormPosition("intro", bar, INTRO_BARS - 1 - bar, NO_RECALL)
        number, index = divmod(bar - INTRO_BARS, THEME_BARS)
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
        return (len(self._piece) or INTRO_BARS) + number * THEME_BARS

    def section_bars(self, bar: int) -> int:
        """How many bars the section has that begins at `bar`."""
        assert self.position_at(bar).bar_in_section == 0, bar
        end = bar + 1
        while self.position_at(end).bar_in_section:
            end += 1
        return end - bar

    def key_shift(self, bar: int) -> int:
        """Semitones from the home key to the key of the cycle that `bar` lies in. A piece ends at home."""
        cycle = (bar - INTRO_BARS) // CYCLE_BARS
        if (cycle + 1) * CYCLE_BARS + INTRO_BARS > len(self._piece) > bar:
            return 0
        return _kept(self._shifts, cycle, self._plan_shift)

    def is_filled(self, bar: int) -> bool:
        """Does a drum fill lead from `bar` (from 0) into a section that begins after it?"""
        if self.position_at(bar).bars_to_change != 0:
            return False
        is_marked = bar + 1 < len(self._piece) and self._piece[bar + 1].section in ("A", "B")
        return is_marked or self.draws_fill(bar)

    def draws_fill(self, bar: int) -> bool:
        """Is there a fill in `bar`, if a section begins after it?"""
        return _kept(self._fills, bar, self._plan_fill)

    def _plan_round(self, number: int) -> tuple[FormPosition, ...]:
        """All cycles once, shuffled. A round has themes of its own; within it they come back."""
        rng = random.Random(f"form/{self._seed}/{number}")
        cycles = list(_CYCLES)
        rng.shuffle(cycles)
        themes: dict[str, list[_Theme]] = {}
        positions: list[FormPosition] = []
        made: dict[Stated, Stated] = {}  # bars that are made of the same share it
        for name, num_bars in (section for cycle in cycles for section in cycle):
            source = _pick_theme(rng, themes.setdefault(name, []), len(positions), num_bars)
            if source is None:
                stated = first_statement(rng, num_bars, _other_of(name, themes, len(positions)), name == "break")
            else:
                stated = _statement_of(rng, source, len(positions), num_bars)
            rests = [_rest(rng, name, is_new=source is None) for _ in range(0, num_bars, BARS_PER_PHRASE)]
            positions += [
                FormPosition(
                    name,
                    bar,
                    num_bars - 1 - bar,
                    made.setdefault(each, each).recall,
                    rests[bar // BARS_PER_PHRASE],
                    lines=made[each].lines,
                )
                for bar, each in enumerate(stated)
            ]
        return tuple(positions)

    def _plan_fill(self, bar: int) -> bool:
        return random.Random(f"fill/{self._seed}/{bar}").random() < _FILL_SHARE

    def _plan_shift(self, cycle: int) -> int:
        rng = random.Random(f"key/{self._seed}/{cycle}")
        if cycle < 1 or cycle % 2 == 0 or rng.random() >= _AWAY_CHANCE:
            return 0
        return rng.choices(list(_KEY_SHIFTS), list(_KEY_SHIFTS.values()))[0]


def _plan_piece(seed: int, sections: Sequence[PlannedSection]) -> tuple[FormPosition, ...]:
    """The bars of a piece. How a theme is stated depends on the seed alone, not on how long the piece is."""
    num_bars = sum(section.num_bars for section in sections)
    is_short = num_bars <= _SHORT_BARS
    last = max((index for index, section in enumerate(sections) if section.name != "outro"), default=None)
    themes: dict[str, list[_Theme]] = {}
    positions: list[FormPosition] = []
    for index, section in enumerate(sections):
        rng, name, first, length = (
            random.Random(f"section/{seed}/{index}"),
            section.name,
            len(positions),
            section.num_bars,
        )
        assert section.first_bar == first, section
        known = themes.setdefault("A" if name == "outro" else name, [])
        known[:] = [theme for theme in known if first + length - theme.first_bar <= THEME_BARS]
        if name == "outro":
            stated = _echo_of(known, first, length)
        elif known and (is_short or index == last):
            stated = _statement_of(rng, known[0], first, length)
        elif theme := _pick_theme(rng, known, first, length):
            stated = _statement_of(rng, theme, first, length)
        else:
            theme_rng = random.Random(f"theme/{seed}/{name}/{len(known)}")
            stated = first_statement(theme_rng, length, _other_of(name, themes, first), name == "break")
        may_rest = first >= _UNRESTING_BARS and name != "outro" and index != last
        is_new = not known or known[-1].first_bar == first
        rests = [_rest(rng, name, is_new=is_new) if may_rest else None for _ in range(0, length, BARS_PER_PHRASE)]
        positions += [
            FormPosition(
                name,
                bar,
                None if name == "outro" else _bars_to_change(length - 1 - bar, is_first=index == 0),
                each.recall,
                rests[bar // BARS_PER_PHRASE],
                has_theme=is_short and name == "A",
                lines=each.lines,
            )
            for bar, each in enumerate(stated)
        ]
    return tuple(positions)


def _bars_to_change(bars: int, *, is_first: bool) -> int:
    """The first statement of the theme does not know how long it is before its last bar: it is to be the same music in
    pieces of other lengths."""
    return max(bars, BARS_PER_PHRASE) if is_first and bars else bars


def _echo_of(known: list[_Theme], first_bar: int, num_bars: int) -> list[Stated]:
    """The beginning of the theme once more while the music goes home, but for the last chord's bar."""
    if not known:
        return [NOTHING_STATED] * num_bars
    backs = _backs(known[0].first_bar, known[0].num_bars, first_bar, num_bars - 1)
    recalls = [tuple(None if strength is None else (back, strength) for strength in _ECHO) for back in backs]
    return [*map(Stated, recalls, again(backs)), NOTHING_STATED]


def _backs(theme_bar: int, theme_bars: int, first_bar: int, num_bars: int) -> list[int]:
    """How far the bars of a theme lie before `num_bars` that state it again from `first_bar` on."""
    return [first_bar + bar - (theme_bar + bar % theme_bars) for bar in range(num_bars)]


def _other_of(name: str, themes: dict[str, list[_Theme]], first_bar: int) -> int | None:
    """How far before `first_bar` the theme begins from which a new one of another name may take a motif."""
    known = [] if name == "A" else themes.get("A", [])
    return first_bar - known[-1].first_bar if known else None


def _kept(plans: dict[int, Plan], number: int, make: Callable[[int], Plan]) -> Plan:
    """Plan `number`, made anew unless it is one of those remembered."""
    if number not in plans:
        if len(plans) == _NUM_KEPT:
            del plans[next(iter(plans))]
        plans[number] = make(number)
    return plans[number]


def _rest(rng: random.Random, section: str, *, is_new: bool) -> str | None:
    """`is_new`: the section states a theme for the first time, which is its lead's."""
    if section == "break" or rng.random() >= _REST_CHANCE:
        return None
    layer = rng.choices(list(_RESTS), list(_RESTS.values()))[0]
    return None if is_new and layer == "lead" else layer


def _pick_theme(rng: random.Random, known: list[_Theme], first_bar: int, num_bars: int) -> _Theme | None:
    """The theme that a section of this name states again, or None: it brings a new one, which is put with the known."""
    is_worn = bool(known) and known[-1].statements >= 2
    if not known or (is_worn and rng.random() < _NEW_THEME_CHANCE):
        known.append(_Theme(first_bar, num_bars))
        return None
    theme = known[-1]
    if is_worn and len(known) > 1 and rng.random() < _OLD_THEME_CHANCE:
        theme = rng.choice(known[:-1])
    theme.statements += 1
    return theme


def _statement_of(rng: random.Random, theme: _Theme, first_bar: int, num_bars: int) -> list[Stated]:
    return return_of(rng, theme.first_bar, theme.num_bars, first_bar, num_bars)


def return_of(rng: random.Random, theme_bar: int, theme_bars: int, first_bar: int, num_bars: int) -> list[Stated]:
    """Bar by bar the `theme_bars` bars of the theme that was first stated at `theme_bar`."""
    (lanes,) = rng.choices([lanes for _, lanes in _RETURNS], [share for share, _ in _RETURNS])
    strengths = [None if strength is None else _jittered(rng, strength) for strength in lanes]
    backs = _backs(theme_bar, theme_bars, first_bar, num_bars)
    recalls = [tuple(None if strength is None else (back, strength) for strength in strengths) for back in backs]
    is_literal = lanes is _RETURNS[0][1]
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
            elif lane == "chords" and keeps_chords and same_bar is not None and same_bar <= bar:
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
    elif section == "break":
        held_back |= {"drums"}
        if bar_in_section < 2 and not is_driving:
            held_back |= {"bass"}
    return tuple(layer not in held_back for layer in LAYERS)
