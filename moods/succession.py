"""Which state a station is in, beat by beat. In: `State` controls; out: where each state begins, and what that asks
of the other parts.

Remembers the states that are still to begin, the one that sounds and the one before it. One thread at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import Any

from moods.clock import FRAMES_PER_SECOND, Clock
from moods.control import Cancel, Control, Section, State, Steer, Stinger, Theme
from moods.errors import BadControl
from moods.fields import At, MoodFields, OnBeat, Seconds
from moods.glide import NEVER, Moment, Span
from moods.intent import BEATS_PER_BAR
from moods.part import Change, Edge, Lent, Pending, Reach, at_once, joined
from moods.places import EARLY_FRAMES, frame_of_second, next_beat
from moods.sections import Sections
from moods.states import PREVIOUS, GameState, Passage, StateMatrix, check_known

FILL_BEATS = 2
STATE_KEY = "/state/"
"""What the ids begin with of what states ask for."""


Ask = Callable[[Control, Edge], list[Change]]


@dataclass(frozen=True, slots=True)
class Entrance:
    """A state that begins, or began."""

    name: str
    previous: str | None
    beat: int  # from 0
    id: str | None  # of the control that asked for it
    key: str  # the id of what it asks of other parts
    frame: int  # where it begins
    fill_beat: int | None = None  # from where on the drums lead into it
    is_return: bool = False  # it comes back by itself


class Succession:
    """Implements `moods.part.Part`: the states of a station, one after another.

    A state that waits is replaced by one that is asked for later; one of lower priority waits until it has lasted.
    """

    name = "states"

    def __init__(
        self, clock: Clock, form: Sections, matrix: StateMatrix, ask: Ask, driven: Callable[[MoodFields], MoodFields]
    ) -> None:
        """`ask` has the other parts take a control; `driven` puts into a state's fields what parameters drive."""
        self._clock, self._form, self._matrix, self._ask, self._driven = clock, form, matrix, ask, driven
        self._num_asked = 0
        self._entrances: list[Entrance] = []
        if matrix.initial is not None:
            self._entrances.append(Entrance(matrix.initial, None, 0, None, "", 0))

    # --- reads -----------------------------------------------------------------------------------------------------

    def at(self, beat: int) -> Entrance | None:
        """The state that `beat` is in, None where it is in none."""
        index = self._index_after(beat)
        return self._entrances[index - 1] if index else None

    def within(self, first_beat: int, last_beat: int) -> list[Entrance]:
        """What begins on the beats `first_beat` … `last_beat`."""
        return [entrance for entrance in self._entrances if first_beat <= entrance.beat <= last_beat]

    @property
    def heading(self) -> Entrance | None:
        """The state that it will be in if nothing more is asked."""
        return self._entrances[-1] if self._entrances else None

    def _index_after(self, beat: int) -> int:
        """Of the first state that begins after `beat`."""
        return bisect_right(self._entrances, beat, key=lambda entrance: entrance.beat)

    def lend(self, lent: Lent, at: Moment) -> None:
        if not self._entrances:
            return
        beat = int(at.beat)
        index = self._index_after(beat)
        if index:
            self._fit_section(lent, self._entrances[index - 1], beat)
        if index < len(self._entrances) and lent.cue == "none":
            fill_beat = self._entrances[index].fill_beat
            if fill_beat is not None and fill_beat <= beat:
                lent.cue = "fill"

    def _fit_section(self, lent: Lent, entrance: Entrance, beat: int) -> None:
        """A state that drives has no break and no phrase without drums, and one that the music has come to no intro,
        unless they are asked for."""
        section, is_driving = lent.position.section, self._matrix.is_driving(entrance.name)
        if is_driving and lent.position.resting == "drums":
            lent.position = replace(lent.position, resting=None)
        is_unfit = section == "break" and is_driving
        is_late = section == "intro" and entrance.beat > 0
        own_section = self._matrix.states[entrance.name].section
        is_asked = section == own_section or self._form.is_asked_since(entrance.beat, beat)
        if (is_unfit or is_late) and not is_asked:
            lent.position = replace(lent.position, section="A")

    def holds_until(self, at: Moment) -> int:
        return NEVER  # what is heard at once follows from the tracks

    # --- changes ---------------------------------------------------------------------------------------------------

    def apply(self, control: Control, edge: Edge) -> Change | None:
        match control:
            case State():
                return self._go_to(control, edge)
            case Cancel():
                return self._cancel(control, edge)
            case _:
                return None

    def begin(self, edge: Edge) -> None:
        """The section of the state that the music begins in; its fields and its theme are the opening's."""
        if self._matrix.initial is not None:
            state = self._matrix.states[self._matrix.initial]
            is_there = state.section in (None, self._form.position_of(0).section)
            self._ask_for_section(state if not is_there else state.model_copy(update={"section": None}), None, edge)

    def _go_to(self, control: State, edge: Edge) -> Change | None:
        """Let a state begin; None where it is the one that was asked for last."""
        asked = self._asked(edge)
        name = self._read(control.name, asked)
        is_as_ever = control.at is control.over is control.how is None
        if asked is not None and asked.name == name and (is_as_ever or asked.beat < edge.beat):
            return None
        num_kept = self._num_kept(name, is_as_ever, edge)
        before = self._entrances[num_kept - 1] if num_kept else None
        if before is not None and before.name == name:
            return self._stay_in(before, num_kept, edge)
        left = None if before is None else before.name
        passage = self._matrix.passage(left, name).asked(control.how, control.over)
        earliest = self._earliest(before, name, passage, edge)
        if passage.how == "bridge":
            earliest = max(earliest, edge.beat + BEATS_PER_BAR)
        beat = self._place(passage.at if control.at is None else control.at, earliest, edge)
        coming = self._entrances[num_kept:][:1]
        if coming and coming[0].is_return and coming[0].name == name and coming[0].beat <= beat:
            return None  # it comes back by itself before that
        besides = self._drop(num_kept, edge)
        entrance = Entrance(name, left, beat, control.id, self._next_key(), self._clock.frame_of_beat(beat))
        changes = self._enter(entrance, passage, control.at == "now", edge)
        if passage.return_after is not None and left is not None:
            besides += self._come_back(passage.return_after, edge)
        return self._began(changes, besides, beat)

    def _stay_in(self, entrance: Entrance, num_kept: int, edge: Edge) -> Change | None:
        """Take back what was to come after a state that is asked for again: it is there, or comes as it was to."""
        change = joined(self._drop(num_kept, edge))
        there = at_once(max(edge.frame, entrance.frame))
        return change and replace(change, fields={"state": there}, effective_frame=there.begin)

    def _come_back(self, after: Span, edge: Edge) -> list[Change]:
        """Let the state before come back so long after the one that was entered last began."""
        entered = self._entrances[-1]
        assert entered.previous is not None
        passage = self._matrix.passage(entered.name, entered.previous)
        earliest = max(entered.beat + BEATS_PER_BAR, self._after(entered, after, edge))
        beat = next_beat(self._form, passage.at, earliest)
        frame = self._clock.frame_of_beat(beat)
        entrance = Entrance(entered.previous, entered.name, beat, entered.id, self._next_key(), frame, is_return=True)
        return self._enter(entrance, passage, False, edge)

    def _began(self, changes: list[Change], besides: list[Change], beat: int) -> Change | None:
        """All that follows from a state. It is heard from `beat` on, though something may lead into it before; of what
        changes besides, before or after it, nothing is told."""
        frame = self._clock.frame_of_beat(beat)
        change = joined([*changes, *(replace(each, fields={}) for each in besides)])
        assert change is not None, beat
        arrived = max(reach.arrive for reach in change.fields.values())
        return replace(change, fields=change.fields | {"state": Reach(frame, arrived)}, effective_frame=frame)

    def _next_key(self) -> str:
        self._num_asked += 1
        return f"{STATE_KEY}{self._num_asked}"

    def _asked(self, edge: Edge) -> Entrance | None:
        """The state that was asked for last, or came back; that one will come back nobody asked for."""
        entrances = (each for each in reversed(self._entrances) if not (each.is_return and self._waits(each, edge)))
        return next(entrances, None)

    @staticmethod
    def _waits(entrance: Entrance, edge: Edge) -> bool:
        return entrance.beat >= max(edge.beat, 1)

    def _read(self, name: str, asked: Entrance | None) -> str:
        """Raises `UnknownState`, and `BadControl` where there has been no state before."""
        if name != PREVIOUS:
            return check_known(name, self._matrix.states)
        if asked is None or asked.previous is None:
            raise BadControl('name is "previous"; there has been no state before this one, name one')
        return asked.previous

    def _num_kept(self, name: str, is_as_ever: bool, edge: Edge) -> int:
        """How many entrances stay: those that have begun, and those that wait and are not replaced by this state. One
        that comes back by itself is, and so is the same state where it is to come otherwise."""
        priority, count = self._matrix.priority(name), len(self._entrances)
        while count and self._waits(waiting := self._entrances[count - 1], edge):
            is_same = waiting.name == name and is_as_ever
            if not waiting.is_return and (is_same or self._matrix.priority(waiting.name) > priority):
                break
            count -= 1
        return count

    def _earliest(self, before: Entrance | None, name: str, passage: Passage, edge: Edge) -> int:
        """The first beat from which on a state may follow the one before."""
        earliest = edge.beat + BEATS_PER_BAR if passage.how == "bridge" else edge.beat
        if before is None:
            return earliest
        if before.beat >= edge.beat:
            earliest = max(earliest, before.beat + BEATS_PER_BAR)
        if self._matrix.priority(name) > self._matrix.priority(before.name):
            return earliest
        return max(earliest, self._after(before, passage.min_dwell, edge))

    def _after(self, entrance: Entrance, span: Span, edge: Edge) -> int:
        """The first beat so long after a state began that has not begun at `edge`."""
        if span.in_beats:
            return entrance.beat + ceil(span.length)
        frame = entrance.frame + round(span.length * FRAMES_PER_SECOND)
        return self._clock.first_beat_from(max(edge.frame, frame))

    def _place(self, at: At, earliest: int, edge: Edge) -> int:
        """Raises `OutOfRange`."""
        if isinstance(at, str | OnBeat):
            return next_beat(self._form, at, earliest)
        assert isinstance(at, Seconds), at
        return max(earliest, self._clock.first_beat_from(frame_of_second(at, edge) - EARLY_FRAMES))

    def _enter(self, entrance: Entrance, passage: Passage, is_now: bool, edge: Edge) -> list[Change]:
        """Ask the other parts for what belongs to a state, and remember it."""
        state, beat = self._matrix.states[entrance.name], entrance.beat
        left = None if entrance.previous is None else self._matrix.states[entrance.previous]
        edge = edge._replace(number=-self._num_asked)  # each state is asked for by itself, also one that comes back
        there = edge._replace(frame=max(edge.frame, self._clock.frame_of_beat(beat)), beat=beat)
        is_now = is_now and beat == edge.beat
        # A cut knows what is open before it, and so whether something can lead there; a glide begins on its beat.
        is_sudden = passage.how != "glide"
        at: At = Seconds(seconds=there.frame / FRAMES_PER_SECOND) if is_sudden else "now" if is_now else "beat"
        steer = Steer(
            set=self._driven(self._matrix.fields(entrance.name)),
            at=at,
            over=passage.over,
            how=passage.how,
            id=entrance.key,
        )
        # However long it has to wait for its dwell: nobody asked for so late a second.
        late = edge._replace(ahead_s=there.frame / FRAMES_PER_SECOND)
        changes = self._ask(steer, late if is_sudden else edge if is_now else there)
        changes += self._ask_for_section(state, entrance.key, there)
        if state.section is None and left is not None and left.hold and passage.how == "glide":
            changes += self._ask(Section(do="leave", at="beat", id=entrance.key), there)
        if state.theme is not None or (left is not None and left.theme is not None):
            changes += self._ask(Theme(name=state.theme, at="beat", id=entrance.key), there)
        if passage.stinger is not None:
            with suppress(BadControl):  # the music ends before
                changes += self._ask(Stinger(name=passage.stinger, at="beat", id=entrance.key), there)
        if passage.has_fill and passage.how == "glide" and edge.beat < beat:
            fill_beat = max(edge.beat, beat - FILL_BEATS)
            entrance = replace(entrance, fill_beat=fill_beat)
            changes.append(Change({"fill": Reach(*map(self._clock.frame_of_beat, (fill_beat, beat)))}, fill_beat))
        self._entrances.append(entrance)
        return changes

    def _ask_for_section(self, state: GameState, key: str | None, there: Edge) -> list[Change]:
        changes: list[Change] = []
        if state.section is not None:
            changes += self._ask(Section(do="go", to=state.section, at="beat", id=key), there)
        if state.hold:
            changes += self._ask(Section(do="stay", at="beat", id=key), there)
        return changes

    def _drop(self, num_kept: int, edge: Edge) -> list[Change]:
        """Take back the states from index `num_kept` on, none of which has begun, and what was asked for them."""
        dropped, self._entrances = self._entrances[num_kept:], self._entrances[:num_kept]
        changes = [
            Change({}, entrance.fill_beat, replaces=() if entrance.id is None else (entrance.id,))
            for entrance in dropped
        ]
        for entrance in dropped:
            changes += self._ask(Cancel(target=entrance.key), edge)
        return changes

    def _cancel(self, control: Cancel, edge: Edge) -> Change | None:
        """Take back what a control asked for and has not begun."""
        asked = [index for index, each in enumerate(self._entrances) if each.id == control.cancelled]
        waiting = [index for index in asked if self._waits(self._entrances[index], edge)]
        if not waiting:
            return None
        return joined(self._drop(waiting[0], edge))

    def replan(self, edge: Edge) -> Change | None:
        self._entrances = [
            replace(each, frame=self._clock.frame_of_beat(each.beat)) if each.beat >= edge.beat else each
            for each in self._entrances
        ]
        return None

    # --- memory ----------------------------------------------------------------------------------------------------

    def pending(self, frame: int) -> Iterator[Pending]:
        for entrance in self._entrances:
            if entrance.frame > frame:
                yield Pending(None, entrance.id, "state", "state", at_once(entrance.frame))

    def id_of(self, key: str) -> str | None:
        """The id of the control that asked for the state which asked for something by `key`."""
        return next((entrance.id for entrance in self._entrances if entrance.key == key), None)

    def forget_before(self, at: Moment) -> None:
        del self._entrances[: max(0, self._index_after(int(at.beat)) - 1)]

    def snapshot(self) -> dict[str, Any]:
        return {"num_asked": self._num_asked, "entrances": [asdict(entrance) for entrance in self._entrances]}

    def restore(self, snapshot: dict[str, Any]) -> None:
        self._num_asked = snapshot["num_asked"]
        self._entrances = [Entrance(**row) for row in snapshot["entrances"]]
