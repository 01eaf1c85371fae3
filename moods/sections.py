"""The form as it is heard: the one that a seed makes, with the sections that were asked for live.

In: turns, each a beat and what the form does there; out: where each beat stands, and where sections begin. Remembers
the sections of the last bars that a theme may come back from, as they were or will be heard. One thread at a time.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from moods.cycles import CODA, NEUTRAL
from moods.form import INTRO_BARS, THEME_BARS, TUNEFUL, Form, FormPosition, intro_position
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, Line
from moods.statements import NOTHING_STATED, Stated, echo_of, first_statement, return_of

_ROUND_BARS = 2 * BARS_PER_PHRASE
"""A section that stays comes round after so many bars at least."""
_NUM_KEPT = 8
"""Statements of themes that are kept as they were made last."""
_KEPT_BEATS = (THEME_BARS + 32) * BEATS_PER_BAR
_NEIGHBOURS = (-5, -3, -2, 2, 3, 5)
"""Semitones from one piece's key to that of the next."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What was asked of the form at one beat."""

    number: int  # of the control
    id: str | None
    beat: int
    do: str  # go, next, skip, stay or leave
    to: str | None = None  # where it goes
    fill_beat: int | None = None  # from here on something leads there; None: nothing does

    @property
    def begins(self) -> bool:
        """A section begins there, whatever sounds before."""
        return self.do in ("go", "next", "skip")


@dataclass(frozen=True, slots=True)
class Heard:
    """A section as it is heard, up to where the next one begins."""

    beat: int  # its first
    name: str
    num_bars: int  # that it has of itself, the bar of its first beat among them
    seed_bar: int | None  # the first of these in the seed's form; None: an intro, to which no form comes back
    next_bar: int  # the seed's bar that follows it
    shift: int  # semitones from the seed's key to the one that is heard
    is_asked: bool = False  # it states a theme that was heard, or a new one, whatever the seed's form says
    is_named: bool = False  # it was asked for by its name
    theme: tuple[int, int] | None = None  # that theme's first bar and how many it has
    piece: int = 0  # how many pieces were asked for before it
    piece_beat: int = 0  # the first of its piece, asked for or a new round of the form's themes
    fill_beat: int | None = None  # from here on something leads into it
    holds: tuple[tuple[int, bool], ...] = ()  # from which beat on it stays, or no more

    @property
    def bar(self) -> int:
        return self.beat // BEATS_PER_BAR

    @property
    def round_bars(self) -> int:
        return max(self.num_bars, _ROUND_BARS)

    def end_bar(self, beat: int | None = None) -> int | None:
        """Where the next one begins as things stand at `beat`, or in the end; None: it stays."""
        holds = [hold for hold in self.holds if beat is None or hold[0] <= beat]
        if not holds:
            return self.bar + self.num_bars
        since, stays = holds[-1]
        if stays:
            return None
        num_bars = -(-since // BEATS_PER_BAR) - self.bar
        rounds = -(-num_bars // self.round_bars) * self.round_bars
        return self.bar + (rounds if num_bars > self.num_bars else self.num_bars)


class Sections:
    """The form as it is heard; as long as nothing is asked of it, it is the seed's."""

    def __init__(self, form: Form, seed: int) -> None:
        self._form, self._seed = form, seed
        self.end_beat, self.outro_bar = form.end_beat, form.outro_bar
        self._statements: dict[tuple[int, tuple[int, int] | None], Sequence[Stated]] = {}
        self._codas: dict[int, tuple[int, int] | None] = {}  # the theme of an outro, by its first bar
        self._heard: list[Heard] = []  # from the first that was asked for on, or the oldest remembered
        self.turns: list[Turn] = []
        """Those that may still be taken back, and some that are over, by beat, then in the order of asking."""

    # --- reads -----------------------------------------------------------------------------------------------------

    def position_of(self, beat: int) -> FormPosition:
        """Where `beat` (from 0) stands."""
        bar, heard = beat // BEATS_PER_BAR, self._heard_at(beat)
        if heard is None or self._is_outro(bar):
            return self._form.position_at(bar)
        number = bar - heard.bar
        own_bar = min(number, heard.num_bars - 1)
        if heard.seed_bar is None:
            position = intro_position(own_bar)
        else:
            position = self._form.position_at(heard.seed_bar + own_bar)
        if heard.is_asked and heard.name in TUNEFUL:  # for itself, and not for what the seed meant it to be
            intensity = max(NEUTRAL, position.intensity)
            position = replace(position, intensity=intensity, without=(), is_half_time=False)
        if number >= heard.num_bars:
            position = replace(position, bars_to_change=None, resting=None)
        left = position.bars_to_change
        if heard.holds and heard.holds[0][0] <= beat:
            end_bar = heard.end_bar(beat)
            left = None if end_bar is None else end_bar - 1 - bar
        stated = self._made_of(heard, number, Stated(position.recall, position.lines))
        return replace(position, bar_in_section=number, bars_to_change=left, recall=stated.recall, lines=stated.lines)

    def position_at(self, bar: int) -> FormPosition:
        """Where the first beat of `bar` (from 0) stands."""
        return self.position_of(bar * BEATS_PER_BAR)

    def coda_at(self, bar: int, first_bar: int, last_bar: int) -> FormPosition:
        """Where `bar` stands in an outro that is asked for, from `first_bar` to `last_bar`: it is made of the theme
        that was heard last."""
        if first_bar not in self._codas:
            if len(self._codas) >= _NUM_KEPT:
                self._codas.clear()
            self._codas[first_bar] = self._last_theme(first_bar)
        number, num_bars = bar - first_bar, last_bar - first_bar + 1
        stated = echo_of(self._codas[first_bar], first_bar, max(num_bars, number + 1))[number]
        intensity = CODA.intensity(min(number, num_bars - 1), num_bars)
        return FormPosition("outro", number, None, stated.recall, lines=stated.lines, intensity=intensity)

    def section_beat(self, beat: int) -> int:
        """Where the section began that sounds at `beat`."""
        heard, bar = self._heard_at(beat), beat // BEATS_PER_BAR
        if heard is None or self._is_outro(bar):
            return (bar - self._form.position_at(bar).bar_in_section) * BEATS_PER_BAR
        return heard.beat

    def piece_of(self, beat: int) -> int:
        """How many pieces were asked for up to `beat`."""
        heard = self._heard_at(beat)
        return 0 if heard is None else heard.piece

    def piece_beat(self, beat: int) -> int:
        """Where the piece began that sounds at `beat`, asked for or a new round of the form's themes."""
        heard, bar = self._heard_at(beat), beat // BEATS_PER_BAR
        if heard is None or self._is_outro(bar):
            return self._form.piece_bar(bar) * BEATS_PER_BAR
        return heard.piece_beat

    def is_asked_since(self, since_beat: int, beat: int) -> bool:
        """Was the section at `beat` asked for by its name, and begins it with `since_beat` or later?"""
        heard = self._heard_at(beat)
        return heard is not None and heard.is_named and heard.beat >= since_beat

    def section_of(self, beat: int) -> tuple[int, int]:
        """The first beat of the section that `beat` lies in, and the first after it; of one that stays, its round."""
        first, bar = self.section_beat(beat), beat // BEATS_PER_BAR
        heard = self._heard_at(beat)
        if heard is not None and heard.end_bar() is None and not self._is_outro(bar):
            rounds_beat = heard.bar * BEATS_PER_BAR
            round_beats = heard.round_bars * BEATS_PER_BAR
            end = rounds_beat + ((beat - rounds_beat) // round_beats + 1) * round_beats
            return max(first, end - round_beats), min([end, *(each.beat for each in self._heard if each.beat > beat)])
        end_bar = bar + 1
        last_bar = self._form.num_bars if self._is_outro(bar) else None  # whatever stays behind it
        while end_bar != last_bar and self.section_beat(end_bar * BEATS_PER_BAR) == first:
            end_bar += 1
        end = self.section_beat(end_bar * BEATS_PER_BAR)
        return first, end if end > beat else end_bar * BEATS_PER_BAR  # an outro lies over what goes on

    def begins_phrase(self, beat: int) -> bool:
        """Phrases are counted from where their section begins."""
        if beat % BEATS_PER_BAR and self.section_beat(beat) != beat:
            return False
        return self.position_of(beat).bar_in_section % BARS_PER_PHRASE == 0

    def key_shift(self, bar: int) -> int:
        """Semitones from the home key to the key that `bar` has. A piece ends at home."""
        heard = self._heard_at(bar * BEATS_PER_BAR)
        if heard is None or bar < self._form.num_bars:
            return self._form.key_shift(bar)
        return self._shift(heard, bar)

    def is_filled(self, beat: int, num_beats: int) -> bool:
        """Does `beat` lead into a section that begins after it, where a fill takes `num_beats`?"""
        bar, beat_in_bar = divmod(beat, BEATS_PER_BAR)
        index = bisect_right(self._heard, beat, key=_beat_of)
        if index < len(self._heard):
            following = self._heard[index]
            if following.fill_beat is not None and max(following.fill_beat, following.beat - num_beats) <= beat:
                return True
        if beat_in_bar < BEATS_PER_BAR - num_beats:
            return False
        heard = self._heard_at(beat)
        if heard is None or self._is_outro(bar):
            return self._form.is_filled(bar)
        return self.position_of(beat).bars_to_change == 0 and self._form.draws_fill(bar)

    def _heard_at(self, beat: int) -> Heard | None:
        """The section at `beat`; None where it is the seed's own."""
        if not self._heard or beat < self._heard[0].beat:
            return None
        self._extend(beat)
        return self._heard[bisect_right(self._heard, beat, key=_beat_of) - 1]

    def _is_outro(self, bar: int) -> bool:
        """Is it a bar of a piece's own outro, which stays where it is?"""
        return self.outro_bar is not None and self.outro_bar <= bar < self._form.num_bars

    def _shift(self, heard: Heard, bar: int) -> int:
        if heard.seed_bar is None:
            return heard.shift
        number = min(bar - heard.bar, heard.num_bars - 1)
        return self._form.key_shift(heard.seed_bar + number) + heard.shift

    # --- what returns ------------------------------------------------------------------------------------------------

    def _made_of(self, heard: Heard, number: int, planned: Stated) -> Stated:
        """What a bar of a section is made of; `planned` is that of the seed's bar."""
        bar = heard.bar + number
        round_number, bar_in_round = divmod(number, heard.round_bars)
        if number >= heard.num_bars and round_number:
            # Round after round is the first once more, or a later one before that is forgotten.
            rounds = max(1, THEME_BARS // heard.round_bars - 1)
            first_bar = heard.bar + (round_number - 1) // rounds * rounds * heard.round_bars
            return self._stated(bar - bar_in_round, bar_in_round, (first_bar, heard.round_bars))
        if heard.seed_bar is None:
            return NOTHING_STATED
        if heard.is_asked:
            return self._stated(heard.bar, number, heard.theme)
        if number >= heard.num_bars:
            return self._stated(heard.bar, number, None)
        lanes: list[tuple[int, float] | None] = []
        for lane in planned.recall:
            back = None if lane is None else self._back_heard(heard, number, lane[0])
            lanes.append(None if lane is None or back is None else (back, lane[1]))
        lines: list[Line | None] = []
        for beat, line in enumerate(planned.lines):
            if line is not None and line.back_beats:
                bars, beats = divmod(line.back_beats - beat + BEATS_PER_BAR - 1, BEATS_PER_BAR)
                back = self._back_heard(heard, number, bars)
                beats += beat - BEATS_PER_BAR + 1
                line = None if back is None else line._replace(back_beats=BEATS_PER_BAR * back + beats)
            lines.append(line)
        return Stated(tuple(lanes), tuple(lines))

    def _back_heard(self, heard: Heard, number: int, back: int) -> int | None:
        """How far before a section's bar that bar was heard which lies `back` bars before it in the seed's form; None:
        it is not remembered."""
        if back <= number:
            return back
        assert heard.seed_bar is not None
        bar, source = heard.bar + number, self._bar_heard(heard.seed_bar + number - back, heard.beat)
        return bar - source if source is not None and bar - source <= THEME_BARS else None

    def _stated(self, first_bar: int, number: int, theme: tuple[int, int] | None) -> Stated:
        """Bar `number` of a theme that begins at `first_bar`: a new one, or one that was heard."""
        if theme is not None and number % max(theme[1], BARS_PER_PHRASE) >= theme[1]:
            return NOTHING_STATED
        bars = self._statements.get((first_bar, theme), ())
        if number >= len(bars):
            rng, num_bars = random.Random(f"live/{self._seed}/{first_bar}"), number + _ROUND_BARS
            if theme is None:
                bars = first_statement(rng, num_bars)
            else:
                bars = return_of(rng, (theme[0], max(theme[1], BARS_PER_PHRASE)), first_bar, num_bars)
            if len(self._statements) >= _NUM_KEPT:
                self._statements.clear()
            self._statements[first_bar, theme] = bars
        return bars[number]

    def _bar_heard(self, seed_bar: int, before_beat: int) -> int | None:
        """Where a bar of the seed's form was heard last before a beat; None: it was left out."""
        for index in range(bisect_right(self._heard, before_beat - 1, key=_beat_of) - 1, -1, -1):
            heard = self._heard[index]
            if heard.seed_bar is not None and 0 <= (number := seed_bar - heard.seed_bar) < self._num_heard(index):
                return heard.bar + number
        first_bar = self._heard[0].bar
        return seed_bar if seed_bar < first_bar else None

    def _num_heard(self, index: int, until_bar: int | None = None) -> int:
        """How many of a section's own bars are heard until the next, or until a bar."""
        heard = self._heard[index]
        if index + 1 < len(self._heard):
            until_bar = self._heard[index + 1].bar
        return heard.num_bars if until_bar is None else min(heard.num_bars, until_bar - heard.bar)

    def _theme_of(self, name: str, bar: int) -> tuple[int, int] | None:
        """The theme of the sections of a name as it was first heard, before `bar`: its first bar and how many it has.

        That of the last statement that has a whole phrase, else of the longest; None where none is remembered.
        """
        stated: list[tuple[int, tuple[int, int]]] = []
        piece = self._heard[-1].piece if self._heard else 0
        for index in range(len(self._heard) - 1, -1, -1):
            heard, num_bars = self._heard[index], self._num_heard(index, bar)
            if heard.name == name and heard.piece == piece and num_bars:
                theme = heard.theme if heard.theme is not None else self._source(heard.bar, num_bars)
                stated.append((num_bars, theme if bar - theme[0] <= THEME_BARS else (heard.bar, num_bars)))
        first = end = self._heard[0].bar if self._heard else bar
        while first > max(0, bar - THEME_BARS) and not piece:
            first -= 1
            if (position := self._form.position_at(first)).bar_in_section == 0:
                if position.section == name:
                    stated.append((end - first, self._source(first, end - first)))
                end = first
        near = [row for row in stated if bar - row[1][0] <= THEME_BARS]
        return max(near, key=lambda row: min(row[0], BARS_PER_PHRASE), default=(0, None))[1]

    def _last_theme(self, bar: int) -> tuple[int, int] | None:
        """The theme A of the piece at `bar` of which a phrase or more was heard last before it."""
        end, first_bar = bar, max(self.piece_beat(bar * BEATS_PER_BAR) // BEATS_PER_BAR, bar - THEME_BARS)
        while end > first_bar:
            first = self.section_beat(end * BEATS_PER_BAR - 1) // BEATS_PER_BAR
            is_whole = first >= first_bar and end - first >= BARS_PER_PHRASE
            if is_whole and self.position_at(first).section == "A":
                theme = self._source(first, end - first)
                return theme if theme[0] >= first_bar else (first, end - first)
            end = min(first, end - 1)
        return None

    def _source(self, first_bar: int, num_bars: int) -> tuple[int, int]:
        """Where the theme comes from that a section of so many bars states."""
        lane = self.position_at(first_bar).recall[0]
        if lane is None:
            return first_bar, num_bars
        first, end = (beat // BEATS_PER_BAR for beat in self.section_of((first_bar - lane[0]) * BEATS_PER_BAR))
        return first_bar - lane[0], min(num_bars, end - first)

    # --- changes -----------------------------------------------------------------------------------------------------

    def turn(self, edge_beat: int, turns: Iterable[Turn]) -> None:
        """Let the form take these turns from `edge_beat` on; those before it are as they were."""
        self.turns = sorted(turns, key=lambda turn: (turn.beat, turn.number))
        self._codas.clear()
        self._cut(edge_beat)
        for turn in self.turns:
            if turn.beat >= edge_beat:
                if not self._heard:
                    self._heard.append(self._seeds_at(turn.beat))
                self._extend(turn.beat)
                self._take(turn)

    def _cut(self, edge_beat: int) -> None:
        """Forget what was to come from a beat on."""
        while self._heard and self._heard[-1].beat >= edge_beat:
            self._heard.pop()
        if self._heard:
            heard = self._heard[-1]
            self._heard[-1] = replace(heard, holds=tuple(hold for hold in heard.holds if hold[0] < edge_beat))

    def _extend(self, beat: int) -> None:
        """Go on by the seed's form up to a beat."""
        while (end_bar := self._heard[-1].end_bar()) is not None and end_bar * BEATS_PER_BAR <= beat:
            before = self._heard[-1]
            shift = before.shift
            if before.seed_bar is None:
                shift -= self._form.key_shift(before.next_bar)
            after = self._of_seed(end_bar * BEATS_PER_BAR, before.next_bar, shift)
            self._heard.append(self._in_piece(after, before, before.piece))

    def _take(self, turn: Turn) -> None:
        heard, bar = self._heard[-1], turn.beat // BEATS_PER_BAR
        if not turn.begins:
            self._heard[-1] = replace(heard, holds=(*heard.holds, (turn.beat, turn.do == "stay")))
            return
        shift, seed_bar = self._shift(heard, bar), heard.next_bar
        if heard.beat == turn.beat:  # nothing of it is heard
            self._heard.pop()
            seed_bar = heard.next_bar if heard.seed_bar is None else heard.seed_bar
        if turn.do == "skip":
            sounding_bar = heard.next_bar if heard.seed_bar is None else heard.seed_bar
            seed_bar = self._form.next_piece_bar(sounding_bar)
            shift += random.Random(f"piece/{self._seed}/{heard.piece + 1}").choice(_NEIGHBOURS)
            begun = self._of_seed(turn.beat, seed_bar, shift - self._form.key_shift(seed_bar))
        elif turn.to == "intro":
            begun = Heard(turn.beat, "intro", INTRO_BARS, None, seed_bar, shift)
        else:
            while turn.to is not None and self._form.position_at(seed_bar).section != turn.to:
                seed_bar = self._after(seed_bar)
            begun = self._of_seed(turn.beat, seed_bar, shift - self._form.key_shift(seed_bar))
            begun = replace(begun, is_asked=True, theme=self._theme_of(begun.name, bar))
        begun = replace(begun, is_named=turn.to is not None, fill_beat=turn.fill_beat)
        self._heard.append(self._in_piece(begun, heard, heard.piece + (turn.do == "skip")))

    def _in_piece(self, begun: Heard, before: Heard, piece: int) -> Heard:
        """A section that begins, in the piece that it belongs to."""
        is_same = piece == before.piece and self._round_of(begun) == self._round_of(before)
        return replace(begun, piece=piece, piece_beat=before.piece_beat if is_same else begun.beat)

    def _round_of(self, heard: Heard) -> int:
        return self._form.piece_bar(heard.next_bar if heard.seed_bar is None else heard.seed_bar)

    def _of_seed(self, beat: int, seed_bar: int, shift: int) -> Heard:
        """The section that begins at a bar of the seed's form, heard from `beat` on."""
        name, after = self._form.position_at(seed_bar).section, self._after(seed_bar)
        return Heard(beat, name, self._form.section_bars(seed_bar), seed_bar, after, shift)

    def _after(self, seed_bar: int) -> int:
        """The seed's bar at which the section after the one that begins at `seed_bar` does; no piece's outro."""
        after = seed_bar + self._form.section_bars(seed_bar)
        return self._form.num_bars if self.outro_bar == after else after

    def _seeds_at(self, beat: int) -> Heard:
        """The section of the seed's form at `beat`, where nothing was asked of it yet."""
        bar = beat // BEATS_PER_BAR
        first = bar - self._form.position_at(bar).bar_in_section
        seeds = self._of_seed(first * BEATS_PER_BAR, first, 0)
        return replace(seeds, piece_beat=self._form.piece_bar(first) * BEATS_PER_BAR)

    # --- memory ----------------------------------------------------------------------------------------------------

    def forget_before(self, beat: int) -> None:
        """Forget the sections from which no theme comes back at `beat` or later."""
        index = bisect_right(self._heard, beat - _KEPT_BEATS, key=_beat_of) - 1
        del self._heard[: max(0, index)]
        self.turns = [turn for turn in self.turns if turn.beat >= beat]

    def snapshot(self) -> dict[str, Any]:
        return {"heard": [asdict(heard) for heard in self._heard], "turns": [asdict(turn) for turn in self.turns]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._codas.clear()
        self._heard = [_heard_of(row) for row in snapshot["heard"]]
        self.turns = [Turn(**row) for row in snapshot["turns"]]


def _beat_of(heard: Heard) -> int:
    return heard.beat


def _heard_of(row: dict[str, Any]) -> Heard:
    theme = None if row["theme"] is None else tuple(row["theme"])
    return Heard(**row | {"theme": theme, "holds": tuple((beat, stays) for beat, stays in row["holds"])})
