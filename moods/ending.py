"""How a station ends. In: an `End`; out: where the last chord falls and when the sound is over.

Remembers the ending that was asked for last. One thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from moods.clock import BEATS_PER_PHRASE, FRAMES_PER_SECOND, Clock
from moods.control import Cancel, Control, End
from moods.errors import BadControl, OutOfRange
from moods.form import FormPosition
from moods.glide import NEVER, Moment
from moods.intent import BEATS_PER_BAR, MUTE_DB, NO_RECALL
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
MAX_AHEAD_SECONDS = 7200.0
"""How far ahead an ending may lie: the tempo map is worked out up to there at once."""


@dataclass(frozen=True, slots=True)
class PlannedEnding:
    """`control` worked out in frames and beats."""

    control: End
    first_beat: int | None  # where the outro begins; None: the notes go on
    last_beat: int | None  # the last chord's beat, or where a loop is cut; None: there is none
    fade_frame: int
    end_frame: int  # silence from here on
    ring_beats: float = 0.0  # how long the last chord rings

    def gain_db(self, frame: int, block_frames: int) -> float:
        """Gain of the fade that is reached a block after `frame`, MUTE_DB … 0 dB: a straight line of amplitude.

        It is silent at `end_frame`, and nothing changes before `fade_frame`.
        """
        left_frames = self.end_frame - frame - block_frames
        if frame < self.fade_frame:
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
    def loops(self) -> bool:
        """The music is to lead into its own beginning."""
        return self._planned is not None and self._planned.control.how == "loop"

    def is_after(self, beat: int, frame: int) -> bool:
        """Whether nothing is struck any more on `beat`, at `frame`."""
        planned = self._planned
        if planned is None:
            return False
        return (planned.last_beat is not None and beat > planned.last_beat) or frame >= planned.end_frame

    def lend(self, lent: Lent, at: Moment) -> None:
        planned = self._planned
        if planned is None:
            return
        lent.gain_db += planned.gain_db(at.frame, self._block_frames)
        beat = int(at.beat)
        if planned.first_beat is not None and planned.last_beat is not None and beat >= planned.first_beat:
            if lent.position.section != "outro":
                bar_in_outro = beat // BEATS_PER_BAR - planned.first_beat // BEATS_PER_BAR
                lent.position = FormPosition("outro", bar_in_outro, None, NO_RECALL)
            lent.beats_to_end = planned.last_beat - beat
            if lent.beats_to_end == 0:
                lent.ring_beats = planned.ring_beats

    def holds_until(self, at: Moment) -> int:
        planned = self._planned
        if planned is None:
            return NEVER
        if at.frame < planned.fade_frame:
            return planned.fade_frame
        return at.frame + 1 if planned.end_frame - at.frame > self._block_frames else NEVER

    # --- changes ---------------------------------------------------------------------------------------------------

    def apply(self, control: Control, edge: Edge) -> Change | None:
        match control:
            case End():
                return self._end(control, edge)
            case Cancel():
                return self._cancel(control, edge)
            case _:
                return None

    def _end(self, control: End, edge: Edge) -> Change:
        old, frame = self._planned, edge.frame
        is_outro = old is not None and old.first_beat is not None and old.first_beat < edge.beat
        if old is not None and (old.fade_frame <= frame or (is_outro and control.how not in FADE_SECONDS)):
            way_out = "" if old.fade_frame <= frame else "; it can still be cut short with fade or stop"
            seconds = old.end_frame / FRAMES_PER_SECOND
            raise BadControl(f"end comes too late: an ending has begun and is over at {seconds:.2f} s{way_out}")
        planned = plan_ending(control, self._clock, self._form, edge)
        first_frame, changed = self._first_frame(planned), [planned.first_beat]
        if old is not None and is_outro:
            planned = replace(planned, first_beat=old.first_beat, last_beat=old.last_beat, ring_beats=old.ring_beats)
        elif old is not None:
            first_frame = min(first_frame, self._first_frame(old))
            changed.append(old.first_beat)
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
        return Change({"ending": at_once(self._first_frame(planned))}, planned.first_beat)

    def replan(self, edge: Edge) -> Change | None:
        old = self._planned
        if old is None or old.last_beat is None or old.control.how in FADE_SECONDS:
            return None
        if old.last_beat < edge.beat or old.fade_frame <= edge.frame:
            return None
        self._planned = planned = plan_ending(old.control, self._clock, self._form, edge, old)
        if planned.first_beat == old.first_beat and planned.last_beat == old.last_beat:
            return None
        beats = [beat for beat in (planned.first_beat, old.first_beat) if beat is not None]
        return change_from(beats, self._clock, "ending")

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
            yield Pending(self._number, planned.control.id, "end", "ending", reach)

    def forget_before(self, at: Moment) -> None:
        """Nothing: the one ending is remembered for good."""

    def snapshot(self) -> list[Any] | None:
        planned = self._planned
        if planned is None:
            return None
        control = planned.control.model_dump()
        where = planned.first_beat, planned.last_beat, planned.fade_frame, planned.end_frame, planned.ring_beats
        return [self._number, control, *where]

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


def plan_ending(
    control: End, clock: Clock, form: Sections, edge: Edge, planned: PlannedEnding | None = None
) -> PlannedEnding:
    """Work out an ending that is asked for at `edge`.

    `planned` is the same ending as worked out before the tempo changed: what has begun stays as it was.
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
        return _fade(control, frame if at == "now" else clock.frame_of_beat(beat), frame, stop_frame)
    if how == "loop":
        end_frame = clock.frame_of_beat(beat) if stop_frame is None else stop_frame
        return PlannedEnding(control, None, beat if stop_frame is None else None, end_frame, end_frame)
    last_beat: int | None = beat
    if stop_frame is not None and begun_beat is None:
        last_beat = _last_beat(clock, form, earliest_beat, stop_frame)
    if last_beat is None:
        return _fade(control, frame, frame, stop_frame)
    last_frame = clock.frame_of_beat(last_beat)
    end_frame = last_frame + round(RING_SECONDS[how] * FRAMES_PER_SECOND) if stop_frame is None else stop_frame
    first_beat = last_beat if how == "ring" else max(earliest_beat, last_beat - BEATS_PER_PHRASE)
    if last_beat == form.end_beat and form.outro_bar is not None:
        first_beat = max(earliest_beat, min(last_beat, form.outro_bar * BEATS_PER_BAR))
    if begun_beat is not None:
        first_beat = begun_beat
    fade_frame = max(frame, (3 * min(last_frame, end_frame) + end_frame) // 4)
    ring_beats = clock.beats_at(max(last_frame, end_frame)) - last_beat
    return PlannedEnding(control, first_beat, last_beat, fade_frame, end_frame, ring_beats)


def _fade(control: End, start_frame: int, frame: int, stop_frame: int | None) -> PlannedEnding:
    length = round(FADE_SECONDS.get(control.how, FADE_SECONDS["fade"]) * FRAMES_PER_SECOND)
    if stop_frame is not None:
        length = min(length, stop_frame // 5)
        return PlannedEnding(control, None, None, max(frame, stop_frame - length), stop_frame)
    return PlannedEnding(control, None, None, start_frame, start_frame + length)


def _last_beat(clock: Clock, form: Sections, earliest_beat: int, stop_frame: int) -> int | None:
    """The piece's own last beat; without such the last bar that leaves the chord time to ring until `stop_frame`;
    failing that a beat; None: no room."""
    if form.end_beat is not None and form.end_beat >= earliest_beat:
        ring_frames = stop_frame - clock.frame_of_beat(form.end_beat)
        if 0 < ring_frames <= LONGEST_RING_SECONDS * FRAMES_PER_SECOND:
            return form.end_beat
    ring_frame = stop_frame - round(SHORTEST_RING_SECONDS * FRAMES_PER_SECOND)
    if ring_frame >= clock.frame_of_beat(earliest_beat):
        beat = clock.beat_at(ring_frame)
        bar_beat = beat // BEATS_PER_BAR * BEATS_PER_BAR
        return bar_beat if bar_beat >= earliest_beat else beat
    return earliest_beat if clock.frame_of_beat(earliest_beat) < stop_frame - FRAMES_PER_SECOND // 4 else None
