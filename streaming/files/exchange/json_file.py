"""Timelines in JSON, and our markers in JSON. Remembers nothing; any thread."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from moods.errors import MoodsError
from moods.timeline import read_fps
from streaming.files.exchange.markers import KINDS, Markers
from streaming.files.exchange.sequence import EditedSequence, Mark
from streaming.files.exchange.source import Source
from streaming.files.exchange.timecode import Timebase, can_drop

_WAY_OUT = 'a timeline is, for example, {"duration": 30, "sections": [{"at": 0, "mood": "epic"}]}'


def read_object(source: Source) -> dict[str, Any]:
    try:
        whole = json.loads(source.text())
    except json.JSONDecodeError as error:
        problem = f"it is no JSON: {error.msg}"
        raise source.bad(f"line {error.lineno}", problem, _WAY_OUT) from None
    except (ValueError, RecursionError):
        raise source.bad("", "its values lie too deep or are too long", "a timeline needs neither") from None
    if not isinstance(whole, dict):
        raise source.bad("", "it holds no object", _WAY_OUT)
    return whole


def read(source: Source, whole: dict[str, Any]) -> EditedSequence:
    """Read what `write` has written."""
    try:
        rate, is_drop_frame = read_fps(whole["fps"]), bool(whole.get("drop_frame", False))
        timebase = Timebase(rate, is_drop_frame and can_drop(rate))
        marks = [
            Mark(timebase.seconds(int(row["frame"])), str(row["name"]), kind=str(row["kind"]))
            for row in whole["markers"]
        ]
        start, duration = str(whole.get("start_timecode") or "00:00:00:00"), Fraction(float(whole["duration"]))
    except (KeyError, TypeError, ValueError, OverflowError, MoodsError) as error:
        problem = f"its markers are not as we write them ({type(error).__name__}: {error})"
        raise source.bad("", problem, "give a timeline, or markers as they were written") from None
    if unknown := [mark.kind for mark in marks if mark.kind not in KINDS]:
        raise source.bad("", f"a marker is a {unknown[0]!r}", f"expected {', '.join(KINDS)}")
    return EditedSequence(timebase, duration, source.frames(timebase, start, "start_timecode"), marks=marks)


def write(markers: Markers) -> str:
    rows = [
        {
            "at": round(float(marker.at), 6), "frame": markers.frame(marker), "kind": marker.kind, "name": marker.name,
            "timecode": markers.timebase.timecode(markers.start_frame + markers.frame(marker)),
            "duration": round(float(marker.duration), 6),
        }
        for marker in markers.markers
    ]  # fmt: skip
    whole = {
        "title": markers.title,
        "duration": float(markers.duration),
        "fps": str(markers.frame_rate),
        "drop_frame": markers.drop_frame,
        "start_timecode": markers.timebase.timecode(markers.start_frame),
        "media": None if markers.media is None else markers.media.name,
        "markers": rows,
    }
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"
