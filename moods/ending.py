"""How a station ends. In: an `End` or `Countdown`; out: where the last chord falls and when the sound is over.

Remembers the ending that was asked for last; of a countdown after which the music goes on, until it does. One thread at
a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from moods.clock import FRAMES_PER_SECOND, Clock
from moods.control import Cancel, Control, Countdown, End
from moods.errors import BadControl, OutOfRange
from moods.fields import Seconds
from moods.glide import NEVER, Moment
from moods.intent import BEATS_PER_BAR, MUTE_DB
from moods.outline import outro_bars
from moods.part import Change, Edge, Lent, Pending, Reach, at_once, change_from, least
from moods.places import next_beat
from moods.sections import Sections

DEFAULT_AT = {"cadence": "phrase", "ring": "bar", "fade": "now", "stop": "now", "loop": "bar"}
RING_SECONDS = {"cadence": 4.0, "ring": 6.0}
FADE_SECONDS = {"fade": 4.0, "stop": 0.04}
SHORTEST_RING_SECONDS = 1.5
LONGEST_RING_SECONDS = 8.0
"""A piece's own last chord is kept for an end that leaves it so long at most."""
_CHORD_WINDOWS = {"cadence": (1.5, 2.2, 3.5), "ring": (2.5, 4.0, 6.0)}
_SHORT_PIECE_SECONDS = 20.0
_FADED = 0.06
"""Amplitude that a fade comes down to (-24 dB) before it falls silent in its last moment, so that it is heard to its
end."""
_RELEASE_FRAMES = FRAMES_PER_SECOND * 60 // 1000
_BREATH_FRAMES = FRAMES_PER_SECOND
"""Silence between an ending and the music that goes on after it, at least."""
NEAR_FRAMES = 60 * FRAMES_PER_SECOND
"""So long before its end a countdown's ending is laid on beats: those before it may have any tempo until then."""
MAX_AHEAD_SECONDS = 7200.0
"""How far ahead an ending may lie: the tempo map is worked out up to there at once."""


@dataclass(frozen=True, slots=True)
class PlannedEnding:
    """`control` worked out in frames and beats; a countdown's is the end that it asks for."""

    control: End
    first_beat: int | None  # where the outro begins; None: the notes go on
    last_beat: int | None  # the last chord's beat, or where a loop is cut; None: there is none
    fade_frame: int
    end_frame: int  # silence from here on
    ring_beats: float = 0.0  # how long the last chord rings
    zero_frame: int | None = None  # where a countdown reaches 0:00
    is_laid: bool = True  # on beats; one that is far is not yet
    goes_on: bool = False  # after the end there is more
    rest_beat: int | None = None  # until then it is silent from this beat on
    back_beat: int | None = None  # the first beat of what there is more
    back_frame: int | None = None  # and where it begins

    def is_left(self, beat: int) -> bool:
        """The music has gone on at `beat`."""
        return self.back_beat is not None and beat >= self.back_beat

    def gain_db(self, frame: int, block_frames: int) -> float:
        """Gain of the fade that is reached a block after `frame`, MUTE_DB … 0 dB: a straight line of amplitude.

        It is silent at `end_frame`, and nothing changes before `fade_frame`.
        """
        left_frames = self.end_frame - frame - block_frames
        if frame < self.fade_frame or (self.back_frame is not None and frame + 2 * block_frames > self.back_frame):
            return 0.0
        if left_frames <= 0:
            return MUTE_DB
        length = self.end_frame - self.fade_frame
        amplitude = (_FADED + (1 - _FADED) * left_frames / length) * min(
            1.0, left_frames / min(_RELEASE_FRAMES, length)
        )
        return max(MUTE_DB, 20 * math.log10(amplitude))


class Ending:
    """Implements `moods.part.Part`: the outro, the last chord and the fade, once they are asked for.

    Gains are read where a block of `block_frames` begins and reached where it ends.
    """

    name = "ending"

    def __init__(self, clock: Clock, form: Sections, block_frames: int) -> None:
        self._clock, self._form, self._block_frames = clock, form, block_frames
        self._planned: PlannedEnding | None = None
        self._number = 0  # of the control that asked for it

    # --- reads -----------------------------------------------------------------------------------------------------

    @property
    def end_frame(self) -> int | None:
        """Silence from this frame on; None while no ending is asked."""
        return None if self._planned is None else self._planned.end_frame

    @property
    def goes_on(self) -> bool:
        """There is more after the end."""
        return self._planned is not None and self._planned.goes_on

    @property
    def zero_frame(self) -> int | None:
        """Where a countdown reaches 0:00; None while there is none."""
        return None if self._planned is None else self._planned.zero_frame

    @property
    def open_frame(self) -> int:
        """From here on an ending is near that is still to be laid on beats."""
        planned = self._planned
        return NEVER if planned is None or planned.is_laid else planned.end_frame - NEAR_FRAMES

    @property
    def loops(self) -> bool:
        """The music is to lead into its own beginning."""
        return self._planned is not None and self._planned.control.how == "loop"

    def is_after(self, beat: int, frame: int) -> bool:
        """Whether nothing is struck any more on `beat`, at `frame`."""
        planned = self._planned
        if planned is None or planned.is_left(beat):
            return False
        return (planned.last_beat is not None and beat > planned.last_beat) or frame >= planned.end_frame

    def lend(self, lent: Lent, at: Moment) -> None:
        planned, beat = self._planned, int(at.beat)
        if planned is None or planned.is_left(beat):
            return
        lent.gain_db += planned.gain_db(at.frame, self._block_frames)
        if planned.first_beat is not None and planned.last_beat is not None and beat >= planned.first_beat:
            if lent.position.section != "outro":
                lent.position = self._form.coda_at(
                    beat // BEATS_PER_BAR, planned.first_beat // BEATS_PER_BAR, planned.last_beat // BEATS_PER_BAR
                )
            lent.beats_to_end = planned.last_beat - beat
            if lent.beats_to_end == 0:
                lent.ring_beats = planned.ring_beats
        elif planned.rest_beat is not None and beat >= planned.rest_beat:
            lent.beats_to_end = -1

    def holds_until(self, at: Moment) -> int:
        planned = self._planned
        if planned is None:
            return NEVER
        if at.frame < planned.fade_frame:
            return planned.fade_frame
        if planned.end_frame - at.frame > self._block_frames:
            return at.frame + 1
        back_frame = NEVER if planned.back_frame is None else planned.back_frame - 2 * self._block_frames + 1
        return back_frame if at.frame < back_frame else NEVER

    # --- changes ---------------------------------------------------------------------------------------------------

    def apply(self, control: Control, edge: Edge) -> Change | None:
        match control:
            case End():
                return self._end(control, edge)
            case Countdown():
                zero_frame = edge.frame + round(control.seconds * FRAMES_PER_SECOND)
                end_frame = zero_frame + round(control.ring_s * FRAMES_PER_SECOND)
                end = End(id=control.id, how=control.ending, at=_at(end_frame))
                return self._end(end, edge, zero_frame, goes_on=control.then == "go on")
            case Cancel():
                return self._cancel(control, edge)
            case _:
                return None

    def _end(self, control: End, edge: Edge, zero_frame: int | None = None, *, goes_on: bool = False) -> Change:
        old, frame = self._planned, edge.frame
        if old is not None and old.back_beat is not None and old.back_beat < edge.beat:
            old = None
        is_outro = old is not None and old.first_beat is not None and old.first_beat < edge.beat
        if old is not None and (old.fade_frame <= frame or (is_outro and control.how not in FADE_SECONDS)):
            way_out = "" if old.fade_frame <= frame else "; it can still be cut short with fade or stop"
            seconds = old.end_frame / FRAMES_PER_SECOND
            kind = "end" if zero_frame is None else "countdown"
            raise BadControl(f"{kind} comes too late: an ending has begun and is over at {seconds:.2f} s{way_out}")
        planned = self._with_more(replace(self._plan(control, edge, None, zero_frame), goes_on=goes_on), edge)
        first_frame, changed = self._first_frame(planned), [planned.first_beat, planned.rest_beat]
        if old is not None and is_outro:
            planned = replace(planned, first_beat=old.first_beat, last_beat=old.last_beat, ring_beats=old.ring_beats)
        elif old is not None:
            first_frame = min(first_frame, self._first_frame(old))
            changed.append(old.first_beat)
        if old is not None:
            changed.append(old.rest_beat)
        self._planned, self._number = planned, edge.number
        replaces = () if old is None or old.control.id is None else (old.control.id,)
        return Change({"ending": Reach(first_frame, planned.end_frame)}, least(changed), replaces=replaces)

    def _cancel(self, control: Cancel, edge: Edge) -> Change | None:
        planned = self._planned
        if planned is None or planned.control.id != control.cancelled or planned.fade_frame <= edge.frame:
            return None
        if planned.first_beat is not None and planned.first_beat < edge.beat:
            return None
        self._planned = None
        first_beat = least((planned.first_beat, planned.rest_beat))
        return Change({"ending": at_once(self._first_frame(planned))}, first_beat)

    def replan(self, edge: Edge) -> Change | None:
        old = self._planned
        if old is None or old.is_left(edge.beat):
            return None
        planned, is_open = old, old.last_beat is not None and old.last_beat >= edge.beat and old.fade_frame > edge.frame
        if is_open and old.control.how not in FADE_SECONDS:
            planned = self._plan(old.control, edge, old, old.zero_frame)
        return self._take(planned, edge)

    def lay(self, edge: Edge) -> Change | None:
        """Lay the ending on beats that has come near; None where nothing changes."""
        planned = self._planned
        assert planned is not None and not planned.is_laid
        return self._take(self._plan(planned.control, edge, planned, planned.zero_frame), edge)

    def _plan(self, control: End, edge: Edge, planned: PlannedEnding | None, zero_frame: int | None) -> PlannedEnding:
        if zero_frame is None or control.seconds is None:
            return plan_ending(control, self._clock, self._form, edge, planned)
        end_frame = round(control.seconds * FRAMES_PER_SECOND)
        if end_frame - edge.frame > NEAR_FRAMES:
            return PlannedEnding(control, None, None, end_frame, end_frame, 0.0, zero_frame, is_laid=False)
        return plan_ending(control, self._clock, self._form, edge, planned, zero_frame=zero_frame)

    def hasten(self, num_frames: int, edge: Edge) -> Change | None:
        """A countdown has run on for `num_frames` while the music stood still: in the music it is over so much sooner.

        None where nothing changes; what is over by `edge` is over there.
        """
        old = self._planned
        if old is None or old.zero_frame is None or old.end_frame <= edge.frame:
            return None
        end_frame, zero_frame = max(edge.frame, old.end_frame - num_frames), old.zero_frame - num_frames
        moved = replace(old, control=old.control.model_copy(update={"at": _at(end_frame)}), zero_frame=zero_frame)
        if end_frame == edge.frame and old.goes_on:
            self._planned = None
            return change_from([edge.beat], self._clock, "ending")
        if end_frame == edge.frame:
            return self._take(replace(moved, end_frame=end_frame, fade_frame=min(old.fade_frame, end_frame)), edge)
        return self._take(self._plan(moved.control, edge, moved, zero_frame), edge)

    def _take(self, planned: PlannedEnding, edge: Edge) -> Change | None:
        """Have the same ending planned anew."""
        old = self._planned
        assert old is not None
        planned = replace(planned, goes_on=old.goes_on, rest_beat=old.rest_beat, back_beat=old.back_beat)
        self._planned = planned = self._with_more(planned, edge)
        changed: list[int | None] = []
        if (planned.first_beat, planned.last_beat) != (old.first_beat, old.last_beat):
            changed += [planned.first_beat, old.first_beat]
        for after in {(planned.rest_beat, planned.back_beat)} ^ {(old.rest_beat, old.back_beat)}:
            changed += after
        beat = least(changed)
        return None if beat is None else change_from([max(edge.beat, beat)], self._clock, "ending")

    def _with_more(self, planned: PlannedEnding, edge: Edge) -> PlannedEnding:
        """The same with the silence after the end, and the bar from which the music goes on, where they are open."""
        if not planned.goes_on or not planned.is_laid:
            return planned
        clock, rest_beat, back_beat = self._clock, planned.rest_beat, planned.back_beat
        if rest_beat is None or rest_beat >= edge.beat:
            rest_beat = max(edge.beat, clock.first_beat_from(planned.end_frame))
        if back_beat is None or back_beat >= edge.beat:
            soonest = max(planned.end_frame + _BREATH_FRAMES, clock.frame_of_beat(edge.beat))
            back_beat = clock.first_beat_from(soonest, BEATS_PER_BAR)
        back_frame = clock.frame_of_beat(back_beat)
        return replace(planned, rest_beat=rest_beat, back_beat=back_beat, back_frame=back_frame)

    def _first_frame(self, planned: PlannedEnding) -> int:
        if planned.first_beat is None:
            return planned.fade_frame
        return min(planned.fade_frame, self._clock.frame_of_beat(planned.first_beat))

    # --- memory ----------------------------------------------------------------------------------------------------

    def pending(self, frame: int) -> Iterator[Pending]:
        planned = self._planned
        if planned is not None and planned.end_frame > frame:
            first_beat = max(self._clock.oldest_beat, planned.first_beat or 0)
            begin = planned.fade_frame if planned.first_beat is None else self._clock.frame_of_beat(first_beat)
            reach = Reach(min(begin, planned.fade_frame), planned.end_frame)
            kind = "end" if planned.zero_frame is None else "countdown"
            yield Pending(self._number, planned.control.id, kind, "ending", reach)

    def forget_before(self, at: Moment) -> None:
        """The one ending is remembered for good, unless the music has gone on."""
        if self._planned is not None and self._planned.is_left(int(at.beat)):
            self._planned = None

    def snapshot(self) -> list[Any] | None:
        planned = self._planned
        if planned is None:
            return None
        control = planned.control.model_dump()
        where = planned.first_beat, planned.last_beat, planned.fade_frame, planned.end_frame, planned.ring_beats
        counted = planned.zero_frame, planned.is_laid
        after = planned.goes_on, planned.rest_beat, planned.back_beat, planned.back_frame
        return [self._number, control, *where, *counted, *after]

    def restore(self, snapshot: list[Any] | None) -> None:
        self._planned = None
        if snapshot is not None:
            self._number, control, *where = snapshot
            self._planned = PlannedEnding(End(**control), *where)


def chord_window(how: str, duration_s: float) -> tuple[float, float, float] | None:
    """How long before the end of a piece of `duration_s` the last chord may fall, in seconds: at least, best and at
    most. None: the ending has none."""
    if how not in _CHORD_WINDOWS:
        return None
    least, best, most = _CHORD_WINDOWS[how]
    share = min(1.0, duration_s / _SHORT_PIECE_SECONDS)
    return least * share, best * share, most * share


def _at(frame: int) -> Seconds:
    return Seconds(seconds=frame / FRAMES_PER_SECOND)


def plan_ending(
    control: End,
    clock: Clock,
    form: Sections,
    edge: Edge,
    planned: PlannedEnding | None = None,
    *,
    zero_frame: int | None = None,
) -> PlannedEnding:
    """Work out an ending that is asked for at `edge`.

    `planned` is the same ending as worked out before the tempo changed: what has begun stays as it was. Of a countdown
    the last chord falls at its `zero_frame` or before.
    Raises `OutOfRange` if all is to be over sooner than a click-free stop takes, or too far ahead.
    """
    how, frame, earliest_beat = control.how, edge.frame, edge.beat
    stop_frame = None
    if control.seconds is not None:
        stop_frame = round(control.seconds * FRAMES_PER_SECOND)
        soonest = (frame / FRAMES_PER_SECOND) + FADE_SECONDS["stop"]
        furthest = soonest + max(MAX_AHEAD_SECONDS, edge.ahead_s)
        if planned is None and not soonest <= control.seconds <= furthest:
            raise OutOfRange("at.seconds", control.seconds, soonest, furthest)
    at = control.at if isinstance(control.at, str) else DEFAULT_AT[how]
    beat = next_beat(form, at, earliest_beat)
    begun_beat = None if planned is None else planned.first_beat
    if begun_beat is not None and begun_beat >= earliest_beat:
        begun_beat = None
    if planned is not None and planned.last_beat is not None and (stop_frame is None or begun_beat is not None):
        beat = planned.last_beat
    if how in FADE_SECONDS:
        start_frame = frame if at == "now" else clock.frame_of_beat(beat)
        return replace(_fade(control, start_frame, frame, stop_frame), zero_frame=zero_frame)
    if how == "loop":
        end_frame = clock.frame_of_beat(beat) if stop_frame is None else stop_frame
        return PlannedEnding(control, None, beat if stop_frame is None else None, end_frame, end_frame)
    last_beat: int | None = beat
    if stop_frame is not None and begun_beat is None:
        last_beat = _last_beat(clock, form, earliest_beat, stop_frame, zero_frame)
    if last_beat is None:
        return replace(_fade(control, frame, frame, stop_frame), zero_frame=zero_frame)
    last_frame = clock.frame_of_beat(last_beat)
    end_frame = last_frame + round(RING_SECONDS[how] * FRAMES_PER_SECOND) if stop_frame is None else stop_frame
    num_outro_beats = BEATS_PER_BAR * (outro_bars(last_beat // BEATS_PER_BAR + 1, how) - 1)
    first_beat = max(earliest_beat, last_beat - num_outro_beats)
    if last_beat == form.end_beat and form.outro_bar is not None:
        first_beat = max(earliest_beat, min(last_beat, form.outro_bar * BEATS_PER_BAR))
    if begun_beat is not None:
        first_beat = begun_beat
    fade_frame = max(frame, (3 * min(last_frame, end_frame) + end_frame) // 4)
    ring_beats = clock.beats_at(max(last_frame, end_frame)) - last_beat
    return PlannedEnding(control, first_beat, last_beat, fade_frame, end_frame, ring_beats, zero_frame)


def _fade(control: End, start_frame: int, frame: int, stop_frame: int | None) -> PlannedEnding:
    length = round(FADE_SECONDS.get(control.how, FADE_SECONDS["fade"]) * FRAMES_PER_SECOND)
    if stop_frame is not None:
        length = min(length, stop_frame // 5)
        return PlannedEnding(control, None, None, max(frame, stop_frame - length), stop_frame)
    return PlannedEnding(control, None, None, start_frame, start_frame + length)


def _last_beat(clock: Clock, form: Sections, earliest_beat: int, stop_frame: int, zero_frame: int | None) -> int | None:
    """The piece's own last beat; without such the last bar that leaves the chord time to ring until `stop_frame`;
    failing that a beat; None: no room."""
    if form.end_beat is not None and form.end_beat >= earliest_beat:
        ring_frames = stop_frame - clock.frame_of_beat(form.end_beat)
        if 0 < ring_frames <= LONGEST_RING_SECONDS * FRAMES_PER_SECOND:
            return form.end_beat
    ring_frame = stop_frame - round(SHORTEST_RING_SECONDS * FRAMES_PER_SECOND)
    ring_frame = ring_frame if zero_frame is None else min(ring_frame, zero_frame)
    if ring_frame >= clock.frame_of_beat(earliest_beat):
        beat = clock.beat_at(ring_frame)
        bar_beat = beat // BEATS_PER_BAR * BEATS_PER_BAR
        return bar_beat if bar_beat >= earliest_beat else beat
    return earliest_beat if clock.frame_of_beat(earliest_beat) < stop_frame - FRAMES_PER_SECOND // 4 else None
