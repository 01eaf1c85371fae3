"""How a station ends. In: an `End` and the clock; out: where the last chord falls and when the sound is over.

Remembers nothing; any thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from moods.clock import BEATS_PER_PHRASE, FRAMES_PER_SECOND, Clock
from moods.control import End
from moods.errors import OutOfRange
from moods.glide import NEVER
from moods.intent import BEATS_PER_BAR, MUTE_DB

BEATS = {"now": 1, "beat": 1, "bar": BEATS_PER_BAR, "phrase": BEATS_PER_PHRASE}
DEFAULT_AT = {"cadence": "phrase", "ring": "bar", "fade": "now", "stop": "now", "loop": "bar"}
RING_SECONDS = {"cadence": 4.0, "ring": 6.0}
FADE_SECONDS = {"fade": 4.0, "stop": 0.04}
SHORTEST_RING_SECONDS = 1.5
MAX_AHEAD_SECONDS = 7200.0
"""How far ahead an ending may lie: the tempo map is worked out up to there at once."""


@dataclass(frozen=True, slots=True)
class Ending:
    """`control` worked out in frames and beats."""

    control: End
    first_beat: int | None  # where the outro begins; None: the notes go on
    last_beat: int | None  # the last chord's beat, or where a loop is cut; None: there is none
    fade_frame: int
    end_frame: int  # silence from here on

    def gain_db(self, frame: int, block_frames: int) -> float:
        """Gain of the fade that is reached a block after `frame`, MUTE_DB … 0 dB: a straight line of the fader,
        40 log10. It is silent at `end_frame`, and nothing changes before `fade_frame`."""
        left_frames = self.end_frame - frame - block_frames
        if frame >= self.fade_frame and left_frames <= 0:
            return MUTE_DB
        if frame < self.fade_frame:
            return 0.0
        return max(MUTE_DB, 40 * math.log10(left_frames / (self.end_frame - self.fade_frame)))

    def holds_until(self, frame: int, block_frames: int) -> int:
        """The first frame after `frame` at which the gain may be another, NEVER where none is."""
        if frame < self.fade_frame:
            return self.fade_frame
        return frame + 1 if self.end_frame - frame - block_frames > 0 else NEVER


def plan_ending(control: End, clock: Clock, frame: int, earliest_beat: int, planned: Ending | None = None) -> Ending:
    """Work out an ending asked when `frame` was the next to be rendered and `earliest_beat` the first still open.

    `planned` is the same ending as worked out before the tempo changed: what has begun stays as it was.
    Raises `OutOfRange` if all is to be over sooner than a click-free stop takes, or too far ahead.
    """
    how = control.how
    stop_frame = None
    if control.seconds is not None:
        stop_frame = round(control.seconds * FRAMES_PER_SECOND)
        soonest = (frame / FRAMES_PER_SECOND) + FADE_SECONDS["stop"]
        if planned is None and not soonest <= control.seconds <= soonest + MAX_AHEAD_SECONDS:
            raise OutOfRange("at.seconds", control.seconds, soonest, soonest + MAX_AHEAD_SECONDS)
    at = control.at if isinstance(control.at, str) else DEFAULT_AT[how]
    beat = -(-earliest_beat // BEATS[at]) * BEATS[at]
    is_begun = planned is not None and planned.first_beat is not None and planned.first_beat < earliest_beat
    if planned is not None and planned.last_beat is not None and (stop_frame is None or is_begun):
        beat = planned.last_beat
    if how in FADE_SECONDS:
        return _fade(control, frame if at == "now" else clock.frame_of_beat(beat), frame, stop_frame)
    if how == "loop":
        end_frame = clock.frame_of_beat(beat) if stop_frame is None else stop_frame
        return Ending(control, None, beat if stop_frame is None else None, end_frame, end_frame)
    last_beat = beat if stop_frame is None or is_begun else _last_beat(clock, frame, earliest_beat, stop_frame)
    if last_beat is None:
        assert stop_frame is not None
        return _fade(control, frame, frame, stop_frame)
    last_frame = clock.frame_of_beat(last_beat)
    end_frame = last_frame + round(RING_SECONDS[how] * FRAMES_PER_SECOND) if stop_frame is None else stop_frame
    first_beat = last_beat if how == "ring" else max(earliest_beat, last_beat - BEATS_PER_PHRASE)
    if is_begun:
        first_beat = planned.first_beat
    fade_frame = max(frame, (min(last_frame, end_frame) + end_frame) // 2)
    return Ending(control, first_beat, last_beat, fade_frame, end_frame)


def _fade(control: End, start_frame: int, frame: int, stop_frame: int | None) -> Ending:
    length = round(FADE_SECONDS.get(control.how, FADE_SECONDS["fade"]) * FRAMES_PER_SECOND)
    if stop_frame is not None:
        return Ending(control, None, None, max(frame, stop_frame - length), stop_frame)
    return Ending(control, None, None, start_frame, start_frame + length)


def _last_beat(clock: Clock, frame: int, earliest_beat: int, stop_frame: int) -> int | None:
    """The last bar that leaves the chord time to ring until `stop_frame`; failing that a beat; None: no room."""
    ring_frame = stop_frame - round(SHORTEST_RING_SECONDS * FRAMES_PER_SECOND)
    if ring_frame >= clock.frame_of_beat(earliest_beat):
        beat = clock.beat_at(ring_frame)
        bar_beat = beat // BEATS_PER_BAR * BEATS_PER_BAR
        return bar_beat if bar_beat >= earliest_beat else beat
    return earliest_beat if clock.frame_of_beat(earliest_beat) < stop_frame - FRAMES_PER_SECOND // 4 else None
