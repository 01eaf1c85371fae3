"""Timecode, SMPTE ST 12-1. In: frames and a rate; out: their timecode, and back. Remembers nothing; any thread.

Editing programs count frames at the whole rate nearest to the true one, 30 for 29.97; drop-frame leaves out the first
two numbers (four at 59.94) of each minute but every tenth, so that an hour of timecode takes an hour.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from moods.errors import shown

TIMECODE = r"\d{1,3}[:;]\d\d[:;]\d\d[:;]\d{2,3}"
"""Hours to frames; the last mark is ; in drop-frame, and some programs write ; everywhere."""
_PARTS = re.compile(r"(\d{1,3})[:;](\d\d)[:;](\d\d)[:;](\d{2,3})")


def is_drop_frame(timecode: str) -> bool:
    return ";" in timecode


def last_field(timecode: str) -> int:
    """The frame within its second."""
    return int(re.split("[:;]", timecode)[-1])


def can_drop(rate: Fraction) -> bool:
    return rate.denominator == 1001 and rate.numerator % 30_000 == 0


@dataclass(frozen=True, slots=True)
class Timebase:
    """How a picture's frames are counted: `rate` frames a second, exactly."""

    rate: Fraction
    is_drop_frame: bool = False

    def __post_init__(self) -> None:
        assert not self.is_drop_frame or can_drop(self.rate), self.rate

    @property
    def counted_rate(self) -> int:
        return max(1, round(self.rate))

    @property
    def _num_dropped(self) -> int:
        """Numbers left out in each minute but every tenth."""
        return self.counted_rate // 15 if self.is_drop_frame else 0

    def frames(self, timecode: str) -> int:
        """Frames since 00:00:00:00. Raises `ValueError`, whose text says what is wrong and what is possible."""
        match = _PARTS.fullmatch(timecode.strip())
        if match is None:
            raise ValueError(f'{shown(timecode)} is no timecode; write for example "01:00:04:12"')
        hours, minutes, seconds, frame = map(int, match.groups())
        if minutes > 59 or seconds > 59:
            raise ValueError(f"{shown(timecode)} has more than 59 minutes or seconds; count them from 00 to 59")
        if frame >= self.counted_rate:
            raise ValueError(
                f"{shown(timecode)} has frame {frame}, which {float(self.rate):.6g} fps do not have; "
                "name the picture's own fps"
            )
        minute = hours * 60 + minutes
        if seconds == 0 and frame < self._num_dropped and minute % 10:
            raise ValueError(f"{shown(timecode)} is left out in drop-frame; take the next frame that there is")
        counted = (minute * 60 + seconds) * self.counted_rate + frame
        return counted - self._num_dropped * (minute - minute // 10)

    def timecode(self, frames: int) -> str:
        """Of a frame counted from 00:00:00:00; after a day it begins anew."""
        counted = frames
        if self._num_dropped:
            per_minute = self.counted_rate * 60 - self._num_dropped
            tens, rest = divmod(frames, per_minute * 10 + self._num_dropped)
            minutes = max(0, rest - self._num_dropped) // per_minute
            counted += self._num_dropped * (9 * tens + minutes)
        seconds, frame = divmod(counted, self.counted_rate)
        hours, seconds = divmod(seconds, 3600)
        mark = ";" if self.is_drop_frame else ":"
        width = len(str(self.counted_rate - 1)) if self.counted_rate > 100 else 2
        return f"{hours % 24:02}:{seconds // 60:02}:{seconds % 60:02}{mark}{frame:0{width}}"

    def whole_hour(self, frames: int) -> int:
        """The last whole hour of timecode at or before a frame: there a sequence begins, by custom."""
        per_hour = self.frames("01:00:00:00")
        return frames // per_hour * per_hour

    def at(self, seconds: Fraction) -> int:
        """The frame nearest to a place, both counted from the picture's beginning."""
        return round(seconds * self.rate)

    def seconds(self, frames: int) -> Fraction:
        return frames / self.rate
