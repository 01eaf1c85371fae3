"""What there is in files that clients have sent. In: a clip, an editing program's file; out: its length, its timeline.

Each is read in a process of its own. Remembers nothing. Event loop only, but for what those processes call.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, TypedDict, cast

from moods.errors import OutOfRange
from streaming.errors import NotAPicture, StreamingError
from streaming.files.errors import BadVideo
from streaming.files.exchange import BadExchange, read_exchange
from streaming.jobs.apart import look_apart, tell_apart


async def seconds_of(picture: Path, max_s: float) -> float:
    """How long a clip is. Raises `NotAPicture`, `moods.errors.OutOfRange`, and as `BadVideo` says."""
    seconds: float | None = await look_apart("streaming.jobs.probing:tell_seconds", str(picture))
    if seconds is None:
        raise NotAPicture("what was sent as video cannot be read; send a whole mp4, mov, mkv or webm", field="video")
    if seconds > max_s:
        raise OutOfRange("seconds of video", round(seconds, 3), 1, max_s)
    return seconds


def tell_seconds(path: str) -> int:
    def look() -> float:
        from streaming.files.video import open_video, probe

        picture, kind = Path(path), cast(type[StreamingError], NotAPicture)
        try:
            with open_video(picture):
                kind = BadVideo
            return float(probe(picture).duration)
        except BadVideo as error:
            error.code, error.status = kind.code, kind.status
            error.detail, error.members = error.detail.replace(repr(picture.name), "video"), {"field": "video"}
            raise

    return tell_apart(look)


class Reading(TypedDict):
    """What an editing program's file says, in JSON values."""

    timeline: dict[str, Any]
    notes: list[str]
    """What was left out or guessed, a line each."""


def reading_of(document: bytes, name: str, duration: Fraction | None, fps: Fraction | None) -> Reading:
    """Read a file; `duration`, in seconds, and `fps` count where it says none. Raises `BadExchange`."""
    reading = read_exchange(document, name, fps=fps, duration=duration)
    return {"timeline": reading.timeline.asked(), "notes": list(reading.notes)}


async def reading_apart(document: bytes, name: str, duration: Fraction | None, fps: Fraction | None) -> Reading:
    """The same in a process of its own. Raises as `BadExchange` says."""
    words = ["" if value is None else str(value) for value in (duration, fps)]
    reading: Reading | None = await look_apart("streaming.jobs.probing:tell_reading", name, *words, document=document)
    if reading is None:
        raise BadExchange(name, "", "reading it takes too much time or memory", "export a part of it")
    return reading


def tell_reading(name: str, duration: str, fps: str) -> int:
    def look() -> Reading:
        seconds, rate = (Fraction(word) if word else None for word in (duration, fps))
        return reading_of(sys.stdin.buffer.read(), name, seconds, rate)

    return tell_apart(look)
