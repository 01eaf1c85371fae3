"""The leitmotif: which theme the lead plays, and where it comes back. In: `Theme` controls; out: the theme of a beat.

Remembers the themes that were asked for, from the one that sounds on. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from moods.clock import FRAMES_PER_SECOND, Clock
from moods.control import Cancel, Control, Theme
from moods.errors import OutOfRange
from moods.fields import OnBeat, Seconds
from moods.form import FormPosition
from moods.glide import NEVER, Moment
from moods.intent import BEATS_PER_BAR
from moods.part import Change, Edge, Lent, Pending, at_once, change_from
from moods.places import next_beat
from moods.sections import Sections
from moods.theme import Melody, find_theme
from moods.tune import Tune

MAX_AHEAD_SECONDS = 3600.0
_AGAIN_BARS = 16
"""In a section that goes on for longer the theme comes back after so many bars."""
_CADENCE_BEATS = 2
"""The end's own harmony: no theme goes into it."""


class Asked(NamedTuple):
    """From `beat` on a theme is played."""

    beat: int
    name: str | None  # None: none is
    id: str | None = None
    frame: int | None = None  # where it was asked for in seconds: there it stays when the tempo changes


class Leitmotif:
    """Implements `moods.part.Part`: the theme is stated where it is asked for, to its end, and then at the beginning of
    every section A and B."""

    name = "leitmotif"

    def __init__(self, clock: Clock, form: Sections, themes: Mapping[str, Melody], first: str | None) -> None:
        self._clock, self._form, self._themes = clock, form, themes
        self._asked: list[Asked] = [] if first is None else [Asked(0, first)]

    def theme_at(self, beat: int, position: FormPosition) -> tuple[Tune, int] | None:
        """The theme that is being stated at `beat`, and the beats since it began; it may rest there."""
        asked = max((asked for asked in self._asked if asked.beat <= beat), default=None, key=_place_of)
        if asked is None or asked.name is None:
            return None
        tune, since = self._themes[asked.name].tune, beat - asked.beat
        if since < tune.beats:
            return tune, since
        bars_in = position.bar_in_section % _AGAIN_BARS
        again = beat - beat % BEATS_PER_BAR - bars_in * BEATS_PER_BAR
        is_again = position.section in ("A", "B") and again >= asked.beat + tune.beats
        return (tune, beat - again) if is_again and beat - again < tune.beats else None

    def lend(self, lent: Lent, at: Moment) -> None:
        is_ending = lent.beats_to_end is not None and lent.beats_to_end <= _CADENCE_BEATS
        if self._asked and lent.stinger is None and not is_ending:
            lent.theme = self.theme_at(int(at.beat), lent.position)

    def holds_until(self, at: Moment) -> int:
        return NEVER  # what is heard at once follows from no theme

    def apply(self, control: Control, edge: Edge) -> Change | None:
        match control:
            case Theme():
                return self._ask(control, edge)
            case Cancel():
                gone = [asked for asked in self._asked if asked.id == control.cancelled and asked.beat >= edge.beat]
                self._asked = [asked for asked in self._asked if asked not in gone]
                return change_from([asked.beat for asked in gone], self._clock, "theme")
            case _:
                return None

    def _ask(self, control: Theme, edge: Edge) -> Change:
        """What was asked for from there on, or for later, is forgotten. Raises `UnknownTheme`, `OutOfRange`."""
        if control.name is not None:
            find_theme(control.name, self._themes)
        frame = None
        if isinstance(control.at, Seconds):
            frame = round(control.at.seconds * FRAMES_PER_SECOND)
            soonest, ahead_s = self._clock.frame_of_beat(edge.beat), max(MAX_AHEAD_SECONDS, edge.ahead_s)
            if not edge.frame <= frame <= soonest + ahead_s * FRAMES_PER_SECOND:
                low = edge.frame / FRAMES_PER_SECOND
                raise OutOfRange("at.seconds", control.at.seconds, low, low + ahead_s)
            beat = self._beat_from(frame, edge)
        else:
            assert isinstance(control.at, str | OnBeat), control.at
            beat = next_beat(self._form, control.at, edge.beat)
        self._asked = [asked for asked in self._asked if asked.beat < beat]
        self._asked.append(Asked(beat, control.name, control.id, frame))
        return Change({"theme": at_once(self._clock.frame_of_beat(beat))}, beat)

    def _beat_from(self, frame: int, edge: Edge) -> int:
        return max(edge.beat, self._clock.first_beat_from(frame))

    def replan(self, edge: Edge) -> Change | None:
        """Fit what was asked for in seconds to a changed tempo."""
        beats = []
        for index, asked in enumerate(self._asked):
            if asked.frame is not None and asked.beat >= edge.beat:
                beat = self._beat_from(asked.frame, edge)
                if beat != asked.beat:
                    self._asked[index] = asked._replace(beat=beat)
                    beats += [asked.beat, beat]
        return change_from(beats, self._clock, "theme")

    def pending(self, frame: int) -> Iterator[Pending]:
        for asked in self._asked:
            if asked.id is not None and asked.beat >= self._clock.beat_at(frame):
                at = at_once(self._clock.frame_of_beat(asked.beat))
                if at.arrive > frame:
                    yield Pending(None, asked.id, "theme", "theme", at)

    def forget_before(self, at: Moment) -> None:
        sounding = max((asked.beat for asked in self._asked if asked.beat <= at.beat), default=0)
        self._asked = [asked for asked in self._asked if asked.beat >= sounding]

    def snapshot(self) -> list[Any]:
        return [list(asked) for asked in self._asked]

    def restore(self, snapshot: list[Any]) -> None:
        self._asked = [Asked(*asked) for asked in snapshot]


def _place_of(asked: Asked) -> int:
    return asked.beat
