"""Motifs and themes of a lead. In: an idiom's lead, chords, a random source; out: bars of notes on a ladder of tones.

A motif is two bars of rhythm from the idiom's beat cells, on a line that goes mostly by step along a contour. A theme
is eight bars, each new or made of an earlier one: again, moved by steps of the ladder, inverted, in longer notes, in
its rhythm alone, or closed. No note is bent to its chord, so that what comes again is the same; instead many themes are
drawn, and the one is taken that goes best with the chords under it and reaches its highest note once.

Pure functions but for `Material`, which remembers what a piece has drawn.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.notes import TICKS_PER_BEAT
from engine.training.arranger.idioms import Lead
from engine.training.arranger.rhythm import STEPS_PER_BAR, parse_row
from moods.intent import BEATS_PER_BAR

BARS_PER_THEME = 8
_CONTOURS = {  # heights at even distances over the two bars
    "arch": ((0.0, 0.5, 1.0, 0.6, 0.2), (0.2, 0.6, 1.0, 0.5, 0.0), (0.0, 0.3, 0.6, 1.0, 0.3)),
    "fall": ((1.0, 0.7, 0.6, 0.3, 0.0), (0.8, 1.0, 0.6, 0.4, 0.0), (1.0, 0.5, 0.8, 0.3, 0.0)),
    "rise": ((0.0, 0.3, 0.4, 0.7, 1.0), (0.2, 0.0, 0.4, 0.8, 1.0), (0.0, 0.4, 0.2, 0.6, 1.0)),
    "wave": ((0.3, 1.0, 0.3, 0.9, 0.0), (0.5, 0.0, 0.4, 1.0, 0.4), (0.6, 1.0, 0.3, 0.0, 0.4)),
    "level": ((0.0, 0.0, 0.6, 0.0, 0.0), (0.4, 0.4, 0.0, 0.4, 0.4), (0.0, 0.5, 0.0, 0.5, 0.0)),
}
_MOVES = ((-3, 0.25), (-2, 0.5), (-1, 1.0), (0, 0.15), (1, 1.0), (2, 0.5), (3, 0.25))
"""Steps from note to note, and how likely each is where the contour does not mind."""
# A theme bar by bar. Letters are bars of motifs: ab the first of the piece, pq the second; r has a motif's rhythm on a
# new line and leads on. A letter that has come before comes again as it was, but for what follows it: a digit moves it
# so many times as far as `1`, i inverts it. g is the first motif in notes of twice the length (two bars: gg), e leads
# into an ending in a motif's rhythm; o is an open and z a closed ending, - is silence. What is shorter than eight bars
# is played twice.
_SCHEMES = {
    "A": (
        "a b a b a1 a2 a z",  # sentences
        "a b a1 b1 a2 b2 e z",
        "a b a1 o a b a1 z",  # periods
        "a b r o a b r z",
        "a b ai o a b a z",
        "a a r o a a r z",  # riffs and their answers
        "a a a1 o a a a2 z",
        "a a1 a o a a1 r z",
        "a r a o a r e z",
        "a b a b r a1 a z",
    ),
    "B": (
        "p q p q p1 p2 p z",
        "p q p1 q1 p q e z",
        "p p1 p2 o p p1 p2 z",
        "p q r o p q r z",
        "p q a b p q a z",
        "p q pi o p q p z",
        "p p r o p p r z",
        "p q p1 o p q p1 z",
    ),
    "intro": ("a b e o", "g g e o"),
    "break": ("g g r o", "a b a o", "p q p z", "g g a z", "g g - -"),
    "outro": ("a b a z", "a o a z", "g g a z"),
}  # fmt: skip
_ATTEMPTS = 10
_SECOND_RHYTHM_CHANCE = 0.5
"""Of a second motif whose rhythm is new in its first bar; the other bar has one that is known."""
_FIT, _LEAP, _TOP, _SPAN, _REPEAT = 1.6, 0.05, 0.05, 0.05, 0.6
"""What a theme is judged by: strong notes in their chords, leaps over a fourth, top notes but the first, steps of range
beyond an octave, pitches repeated."""
_WIDE_STEPS, _FAR_LEAP = 8, 4
_RARE = 0.6
"""Level of notes that are not counted: few bars are so busy."""
_SHORTEST_HOLD = 10
_PAIRS = ("ab", "pq")
_FIGURE_CHANCE = 0.75
_STRENGTH_OF_STEP = {0: 1.0, 8: 0.7, 4: 0.35, 12: 0.35}


class ThemeNote(NamedTuple):
    step: int  # sixteenth of its bar
    level: float  # sounds where the activity is at least this
    degree: int  # place on the ladder
    hold_steps: int  # longest length in sixteenths
    figure: str = ""  # how it is ornamented where it is long enough
    chance: float = 0.5  # 0 … 1: the lower, the sooner it is ornamented, or chromatic in tense bars
    bend: int = 1  # the half-tone up or down that it is chromatic by


Notes = tuple[ThemeNote, ...]
"""One bar."""
Places = frozenset[int]
"""Of a chord on the ladder."""
Theme = tuple[Notes, ...]
"""Eight bars."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What a theme stands on."""

    ladder: tuple[int, ...]  # pitches
    home: int  # the place on it about which motifs lie
    chords: tuple[tuple[tuple[Places, Places], ...], ...]  # [bars][beats] those of its tones, and those of its root

    def at(self, bar: int, step: int) -> tuple[Places, Places]:
        """The chord under a step of a bar; what stands on fewer bars stands on them again and again."""
        return self.chords[bar % len(self.chords)][step * BEATS_PER_BAR // STEPS_PER_BAR]


@dataclass
class Material:
    """What the themes of a piece are made of: rhythms of bars, few of them, and the motifs' bars by letter."""

    rows: dict[str, str]
    ending_step: int  # where the last note of an ending is
    ending_head: str  # the motif's bar that an ending begins like, if any
    bars: dict[str, Notes] = field(default_factory=dict)


def draw_material(rng: random.Random, lead: Lead) -> Material:
    cells = lead.cells.split()
    drawn = {letter: rng.choice(cells) for letter in "abcd"}
    if all(cell == "...." for cell in drawn.values()):
        drawn["a"] = cells[0]
    first, second = (
        "".join(drawn.get(letter, "....") for letter in shape) for shape in rng.sample(lead.shapes.split(), 2)
    )
    rows = {"a": first[:STEPS_PER_BAR], "b": first[STEPS_PER_BAR:]}
    known = [row for row in rows.values() if row.count(".") < STEPS_PER_BAR - 1] or [rows["a"]]
    is_new = rng.random() < _SECOND_RHYTHM_CHANCE
    rows |= {"p": second[:STEPS_PER_BAR] if is_new else rng.choice(known), "q": rng.choice(known)}
    rows |= {"r": rng.choice(known), "e": rng.choice(known)}
    return Material(rows, rng.choice((0, 4, 8)), rng.choice(("a", "a", "b", "")))


def compose(rng: random.Random, material: Material, lead: Lead, section: str, ground: Ground) -> Theme:
    """The theme of a section: of many that are drawn the best. Its new motifs are the piece's from then on."""
    scheme = rng.choice(_SCHEMES[section]).split()
    scheme *= BARS_PER_THEME // len(scheme)
    best = max((_Sketch(rng, material, lead, ground).draw(scheme) for _ in range(_ATTEMPTS)), key=_Sketch.rating)
    material.bars |= best.motifs
    return tuple(best.bars)


def with_other_ending(rng: random.Random, theme: Theme, material: Material, lead: Lead, ground: Ground) -> Theme:
    """The theme with its last two bars anew, closed."""
    kept = theme[: BARS_PER_THEME - 2]
    endings = (_Sketch(rng, material, lead, ground, [*kept]).draw(["e", "z"]) for _ in range(_ATTEMPTS))
    return tuple(max(endings, key=_Sketch.rating).bars)


def vary(rng: random.Random, theme: Theme, change: str, lead: Lead, ground: Ground) -> Theme:
    """The theme changed in one of the ways of plan.CHANGES that concern its notes; all others leave it as it is."""
    if change == "ornamented":
        return tuple(
            tuple(
                note._replace(level=note.level * 0.6, chance=note.chance * 0.7) if rng.random() < 0.6 else note
                for note in bar
            )
            for bar in theme
        )
    if change == "octave":
        octave, degrees = (5 if lead.folk else 7), [note.degree for bar in theme for note in bar]
        if max(degrees, default=0) + octave < len(ground.ladder):
            return tuple(_moved(bar, octave) for bar in theme)
        if min(degrees, default=0) >= octave:
            return tuple(_moved(bar, -octave) for bar in theme)
    return theme


# --- a theme ---------------------------------------------------------------------------------------------------------


class _Sketch:
    """One attempt at a theme. Remembers its bars, and the motifs that it has drawn."""

    def __init__(
        self, rng: random.Random, material: Material, lead: Lead, ground: Ground, bars: list[Notes] | None = None
    ) -> None:
        self._rng, self._material, self._lead, self._ground = rng, material, lead, ground
        self.bars = bars or []
        self.motifs = dict(material.bars)
        self._offsets: dict[str, int] = {}  # steps by which a motif that the piece had already is moved in this theme
        self._moves: dict[str, int] = {}  # steps from one member of a sequence to the next

    def draw(self, scheme: list[str]) -> _Sketch:
        """Add the bars of a scheme."""
        self._offsets = {pair: self._offset_of(pair, scheme) for pair in _PAIRS}
        for index, token in enumerate(scheme):
            is_known = token[0] == "r" and "r" in scheme[:index]
            self.bars.append(self.bars[scheme.index("r")] if is_known else self._bar(token, scheme))
        return self

    def rating(self) -> float:
        """How good the theme is."""
        ground = self._ground
        degrees = [note.degree for bar in self.bars for note in bar if note.level < _RARE]
        if len(degrees) < 2:
            return -1.0
        steps = [abs(after - before) for before, after in itertools.pairwise(degrees)]
        fits = [_fit(bar, place, ground) for place, bar in enumerate(self.bars) if bar]
        return (
            _FIT * sum(fits) / len(fits)
            - _LEAP * sum(max(0, step - _FAR_LEAP) for step in steps)
            - _TOP * (degrees.count(max(degrees)) - 1)
            - _SPAN * max(0, max(degrees) - min(degrees) - _WIDE_STEPS)
            - _REPEAT * sum(step == 0 for step in steps) / len(steps)
            - sum(not 0 <= degree < len(ground.ladder) for degree in degrees)
        )

    def _bar(self, token: str, scheme: list[str]) -> Notes:
        """The next bar."""
        letter, change, place = token[0], token[1:], len(self.bars)
        pair = _pair_of(letter)
        if letter == "-" or (letter == "o" and place < BARS_PER_THEME // 2 and self._rng.random() < self._lead.rests):
            return ()
        if letter in "oz":
            return self._ending(place, is_closed=letter == "z")
        if letter in "re":
            return self._leading_on(letter, place)
        notes = _moved(self._motif("a" if letter == "g" else letter, place), self._offsets[pair])
        if letter == "g":
            return _augmented(notes, place % 2)
        if change == "i":
            turned = _inverted(notes)
            moves = {move: _fit(turned, place, self._ground, move) - 0.1 * abs(move) for move in range(-2, 3)}
            return _moved(turned, max(moves, key=lambda move: moves[move]))
        if change and pair not in self._moves:
            self._moves[pair] = self._sequence_of(pair, scheme)
        return _moved(notes, self._moves[pair] * int(change)) if change else notes

    def _offset_of(self, pair: str, scheme: list[str]) -> int:
        """How far a motif is moved that the piece has already, for the chords of this theme may be others."""
        places = [(place, token) for place, token in enumerate(scheme) if token in pair and token in self.motifs]
        rated = {
            move: sum(_fit(self.motifs[token], place, self._ground, move) for place, token in places)
            - 0.12 * abs(move) * len(places)
            for move in range(-2, 3)
        }
        return max(rated, key=lambda move: rated[move]) if places else 0

    def _sequence_of(self, pair: str, scheme: list[str]) -> int:
        """Steps of the ladder from one member of a sequence to the next: those that suit the chords."""
        places = [(place, token) for place, token in enumerate(scheme) if token[0] in pair and token[1:].isdigit()]
        is_long = any(int(token[1:]) > 1 for _, token in places)
        rated = {}
        for move in (-2, -1, 1, 2) if is_long else (-3, -2, -1, 1, 2, 3):
            members = [
                (self.motifs[token[0]], place, self._offsets[pair] + move * int(token[1:])) for place, token in places
            ]
            is_inside = all(0 <= note.degree + by < len(self._ground.ladder) for bar, _, by in members for note in bar)
            fit = sum(_fit(bar, place, self._ground, by) for bar, place, by in members)
            rated[move] = fit + 0.5 * self._rng.random() if is_inside else -1.0
        return max(rated, key=lambda move: rated[move])

    # --- bars

    def _motif(self, letter: str, place: int) -> Notes:
        """A letter's bar; both bars of its motif are drawn at once, on one contour."""
        if letter not in self.motifs:
            rng, lead, pair = self._rng, self._lead, _pair_of(letter)
            contour = rng.choice(_CONTOURS[rng.choice(lead.contours.split())])
            height = rng.uniform(*lead.height)
            raised = rng.choice((-1, 0, 1)) + (rng.choice((-1, 1, 2)) if pair == _PAIRS[1] else 0)
            base = self._ground.home + raised - round(height / 2)
            last = None
            for half, name in enumerate(pair):
                heights = [base + height * value for value in contour[2 * half : 2 * half + 3]]
                self.motifs[name] = self._line(self._material.rows[name], heights, last, place + half)
                last = self.motifs[name][-1].degree if self.motifs[name] else last
        return self.motifs[letter]

    def _last_degree(self) -> int:
        return next((bar[-1].degree for bar in reversed(self.bars) if bar), self._ground.home)

    def _leading_on(self, letter: str, place: int) -> Notes:
        """A new line on a known rhythm: back home, to an ending (e), or away from there (r)."""
        last, rng = self._last_degree(), self._rng
        goal = self._ground.home + rng.choice((-1, 0, 1) if letter == "e" else (-3, -2, 2, 3))
        middle = (last + goal) / 2 + rng.choice((0, 1, 2))
        return self._line(self._material.rows[letter], (last, middle, goal), last, place)

    def _ending(self, place: int, is_closed: bool) -> Notes:
        """The head of a motif, or a step or two, to a long closing note on the chord's root or another of its tones."""
        beat, last, rng = self._material.ending_step, self._last_degree(), self._rng
        head = [note for note in self.motifs.get(self._material.ending_head, ()) if note.step < STEPS_PER_BAR // 2]
        if head:
            beat = STEPS_PER_BAR // 2
            moves = {
                move: _fit(head, place, self._ground, move)
                - 0.1 * abs(move)
                - _LEAP * max(0, abs(head[0].degree + move - last) - 2)
                for move in range(-3, 4)
            }
            head = [*_moved(tuple(head), max(moves, key=lambda move: moves[move]))]
            last = head[-1].degree
        chord, root = self._ground.at(place, beat)
        wanted = (root if is_closed else chord - root) or chord or {last}
        near = last if is_closed else last + rng.choice((-1, 1))
        goal = min(wanted, key=lambda degree: (abs(degree - near), degree))
        notes = head
        if beat and not head:
            middle = (last + goal) // 2
            notes.append(ThemeNote(0, 0.1, middle if middle != last else last + (1 if goal >= last else -1), 4))
            if beat == 8:
                notes.append(ThemeNote(4, 0.35, goal + (1 if middle > goal else -1), 4))
        return (*notes, ThemeNote(beat, 0.0, goal, rng.choice((4, 5, 6))))

    def _line(self, row: str, heights: Sequence[float], last: int | None, place: int) -> Notes:
        """One bar of a rhythm, drawn to `heights` at its beginning, middle and end; after a leap one step back."""
        (hits,) = parse_row(row)
        rng, lead, ground, last_move = self._rng, self._lead, self._ground, 0
        hold = max(_SHORTEST_HOLD, lead.hold_ticks * 4 // TICKS_PER_BEAT)
        notes: list[ThemeNote] = []
        for step, level in hits:
            share = 2 * step / STEPS_PER_BAR
            half = int(share)
            target = heights[half] * (1 - share + half) + heights[half + 1] * (share - half)
            chord, _ = ground.at(place, step)
            if last is None:
                last = min(chord or {round(target)}, key=lambda degree: (abs(degree - target), degree))
            elif abs(last_move) > 2:
                last_move = -1 if last_move > 0 else 1
                last += last_move
            else:
                pull = 5 * _STRENGTH_OF_STEP.get(step, 0.0)
                weights = [
                    likely * math.exp(-((last + move - target) ** 2) / 4) * (1 + pull * (last + move in chord)) + 1e-6
                    for move, likely in _MOVES
                ]
                (last_move,) = rng.choices([move for move, _ in _MOVES], weights)
                last += last_move
            last = min(max(last, 0), len(ground.ladder) - 1)
            notes.append(ThemeNote(step, level, last, hold))
        notes = self._with_own_figure(notes, place)
        return _ornamented(rng, _enriched(rng, _approaching(notes) if lead.approaches else notes), lead)

    def _with_own_figure(self, notes: list[ThemeNote], place: int) -> list[ThemeNote]:
        """Where the rhythm of a bar's halves is the same, the second one mostly has the first one's figure, moved."""
        half = STEPS_PER_BAR // 2
        first = [note for note in notes if note.step < half]
        rhythm = [note.step for note in notes[len(first) :]]
        if len(first) < 2 or rhythm != [note.step + half for note in first] or self._rng.random() > _FIGURE_CHANCE:
            return notes
        again = tuple(note._replace(step=note.step + half) for note in first)
        moves = {move: self._rng.random() + _fit(again, place, self._ground, move) for move in (-2, -1, 0, 1, 2)}
        return [*first, *_moved(again, max(moves, key=lambda move: moves[move]))]


def _pair_of(letter: str) -> str:
    return next((pair for pair in _PAIRS if letter in pair), _PAIRS[0])


def _fit(notes: Sequence[ThemeNote], place: int, ground: Ground, move: int = 0) -> float:
    """Share of the strong notes of a bar, moved by steps of the ladder, that are in their chords, 0 … 1."""
    weights = [_STRENGTH_OF_STEP.get(note.step, 0.0) * (1.5 if note.level < 0.3 else 0.5) for note in notes]
    borne = [note.degree + move in ground.at(place, note.step)[0] for note in notes]
    return sum(itertools.compress(weights, borne)) / sum(weights) if sum(weights) else 0.5


# --- notes of a bar --------------------------------------------------------------------------------------------------


def _approaching(notes: list[ThemeNote]) -> list[ThemeNote]:
    """Weak notes next to a strong one become its neighbour, from the side on which they are."""
    led = [
        note._replace(degree=after.degree + (1 if note.degree > after.degree else -1))
        if after.step % 8 == 0 and note.step % 4 and after.step - note.step <= 2
        else note
        for note, after in itertools.pairwise(notes)
    ]
    return [*led, *notes[-1:]]


def _enriched(rng: random.Random, notes: list[ThemeNote]) -> list[ThemeNote]:
    """Notes that only busy bars have, halving the gaps between the others: neighbours and passing tones."""
    for gap, level in ((8, 0.45), (4, 0.6), (2, 0.9)):
        denser: list[ThemeNote] = []
        for note, following in itertools.pairwise(notes):
            denser.append(note)
            if gap <= following.step - note.step <= 2 * gap and rng.random() < 0.5:
                middle = (note.degree + following.degree) // 2
                degree = middle if middle != note.degree else note.degree + rng.choice((-1, 1))
                half = (following.step - note.step) // 4 * 2 or 1
                denser.append(ThemeNote(note.step + half, max(note.level, level + rng.uniform(0, 0.1)), degree, gap))
        notes = [*denser, *notes[-1:]]
    return notes


def _ornamented(rng: random.Random, notes: Iterable[ThemeNote], lead: Lead) -> Notes:
    figures = lead.figures.split()
    return tuple(
        note._replace(
            figure=rng.choice(figures) if rng.random() < lead.ornaments else "",
            chance=rng.random(),
            bend=rng.choice((-1, 1)),
        )
        for note in notes
    )


def _moved(notes: Notes, degrees: int) -> Notes:
    return tuple(note._replace(degree=note.degree + degrees) for note in notes) if degrees else notes


def _inverted(notes: Notes) -> Notes:
    return tuple(note._replace(degree=2 * notes[0].degree - note.degree) for note in notes)


def _augmented(notes: Notes, half: int) -> Notes:
    """One of the two bars in which the notes of one take twice their time; busy bars' additions are left out."""
    first = half * STEPS_PER_BAR
    return tuple(
        note._replace(step=2 * note.step - first, hold_steps=2 * note.hold_steps)
        for note in notes
        if note.level < 0.5 and first <= 2 * note.step < first + STEPS_PER_BAR
    )
