"""CMX 3600 edit decision lists, as Resolve, Premiere and Avid write them, and markers in Resolve's way.

Only the record side matters here. OpenTimelineIO's adapter asks that the source side be as long, that events be in
order and apart, and that every line be known; what editing programs write is often otherwise, and no cut may be lost
for it. So events are read here, line by line. Remembers nothing; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

from moods.errors import MoodsError
from moods.timeline import read_fps
from streaming.files.exchange.markers import Marker, Markers
from streaming.files.exchange.sequence import EditedSequence, Mark, Span, Track
from streaming.files.exchange.source import Source
from streaming.files.exchange.timecode import TIMECODE, Timebase, is_drop_frame

COLOURS = {"hit": "Red", "section": "Blue", "bar": "Green", "beat": "Cyan"}
"""Resolve's, by what a marker marks."""
MAX_EVENTS = 20_000

_EVENT = re.compile(
    rf"\s*(?P<number>\d+)\s+(?:(?P<reel>.*?)\s+)?(?P<channel>\S+)\s+(?P<how>C|D|W\d+|K(?:\s?[BO])?)"
    rf"(?:\s+(?P<length>\d{{1,4}}))?\s+{TIMECODE}\s+{TIMECODE}\s+(?P<start>{TIMECODE})\s+(?P<end>{TIMECODE})\s*"
)
_FCM = re.compile(r"\s*FCM\s*:\s*(NON[- ]?DROP|DROP)", re.IGNORECASE)
_FPS = re.compile(r"\s*\*?\s*(?:FPS|FRAME ?RATE)\s*[:=]?\s*(\d+(?:[./]\d+)?)", re.IGNORECASE)
_LOCATOR = re.compile(rf"\s*\*\s*LOC\s*:\s*({TIMECODE})(?:\s+([A-Z]+)(?=\s|$))?\s*(.*)")
_RESOLVE_MARKER = re.compile(
    r"\s*(?P<note>.*?)\s*\|C:(?:ResolveColor)?(?P<colour>\w*)\s*\|M:(?P<name>.*?)\s*\|D:\d+\s*"
)
_KNOWN = re.compile(
    r"\s*(?:$|[*>|]|TITLE\b|FCM\b|M2\b|SPLIT\b|AUD\b|EFFECTS?\b|FINAL CUT PRO|BLEND|REEL)", re.IGNORECASE
)
_START_WITHIN_S = 60


@dataclass(slots=True)
class _Event:
    where: str
    channel: str
    how: str
    length: int
    start: str
    end: str
    marks: list[Mark] = field(default_factory=list)
    """Of Resolve: the event is a marker then, and no clip; their place is the event's."""

    @property
    def is_picture(self) -> bool:
        return not self.marks and ("V" in self.channel or self.channel == "B")


@dataclass(slots=True)
class _List:
    """What the lines say, before it is known how timecodes count."""

    events: list[_Event] = field(default_factory=list)
    locators: list[tuple[str, str, Mark]] = field(default_factory=list)
    """Where it stands, its timecode, the rest."""
    is_drop: bool | None = None
    fps: Fraction | None = None
    num_unknown: int = 0


def read(source: Source) -> EditedSequence:
    lines = _read_lines(source)
    if not any(event.is_picture or event.marks for event in lines.events) and not lines.locators:
        raise source.bad("", "it holds no event of a picture", "export the list of a video track, or of markers")
    notes: list[str] = []
    if lines.num_unknown:
        notes.append(f"lines of no known kind were left out: {lines.num_unknown}")
    timecodes = [timecode for event in lines.events for timecode in (event.start, event.end)]
    timecodes += [timecode for _, timecode, _ in lines.locators]
    is_drop = any(map(is_drop_frame, timecodes)) if lines.is_drop is None else lines.is_drop
    timebase = source.timebase(timecodes, lines.fps, is_drop, notes)
    return _sequence(lines, timebase, source, notes)


def _read_lines(source: Source) -> _List:
    lines = _List()
    for number, line in enumerate(source.text().splitlines(), 1):
        where = f"line {number}"
        if (match := _EVENT.fullmatch(line)) is not None:
            lines.events.append(
                _Event(
                    where,
                    match["channel"].upper(),
                    match["how"],
                    int(match["length"] or 0),
                    match["start"],
                    match["end"],
                )
            )
            if len(lines.events) > MAX_EVENTS:
                raise source.bad(where, f"it holds more than {MAX_EVENTS} events", "export fewer at a time")
        elif (match := _RESOLVE_MARKER.fullmatch(line)) is not None:
            if not lines.events:
                raise source.bad(where, "a marker stands before the first event", "export the markers anew")
            is_red = match["colour"].casefold() == "red"
            mark = Mark(Fraction(0), match["name"], match["note"].lstrip("*").strip(), is_red)
            lines.events[-1].marks.append(mark)
        elif (match := _LOCATOR.fullmatch(line)) is not None:
            mark = Mark(Fraction(0), match[3].strip(), is_red=match[2] == "RED")
            lines.locators.append((where, match[1], mark))
        elif (match := _FCM.match(line)) is not None:
            lines.is_drop = match[1].upper() == "DROP" if lines.is_drop is None else lines.is_drop
        elif (match := _FPS.match(line)) is not None:
            lines.fps = _fps(match[1], where, source)
        elif line.lstrip()[:1].isdigit():
            raise source.bad(
                where, f"it begins like an event and is none: {line.strip()[:60]!r}",
                "an event has a number, a reel, a channel, C, D or W, and four timecodes",
            )  # fmt: skip
        elif _KNOWN.match(line) is None:
            lines.num_unknown += 1
    return lines


def _fps(text: str, where: str, source: Source) -> Fraction:
    try:
        return read_fps(text)
    except MoodsError as error:
        raise source.bad(where, *str(error).split("; ", 1)) from None


def _sequence(lines: _List, timebase: Timebase, source: Source, notes: list[str]) -> EditedSequence:
    tracks: dict[str, list[tuple[int, int, int]]] = {}
    marks: list[tuple[int, Mark]] = []
    for event in lines.events:
        start, end = (source.frames(timebase, timecode, event.where) for timecode in (event.start, event.end))
        if end < start:
            raise source.bad(event.where, f"it ends at {event.end}, before {event.start}", "correct its record side")
        marks += [(start, mark) for mark in event.marks]
        if event.is_picture:
            length = event.length if event.how[0] in "DW" else 0
            tracks.setdefault(event.channel if event.channel[1:].isdigit() else "V", []).append((start, end, length))
    marks += [(source.frames(timebase, timecode, where), mark) for where, timecode, mark in lines.locators]

    def seconds(frame: int) -> Fraction:
        return timebase.seconds(frame - first)

    first = _first_frame([start for events in tracks.values() for start, _, _ in events], marks, timebase)
    last = max((end for events in tracks.values() for _, end, _ in events), default=None)
    return EditedSequence(
        timebase,
        None if last is None else seconds(last),
        first,
        [
            Track(
                [Span(seconds(start), seconds(end)) for start, end, _ in events],
                [Span(seconds(start), seconds(start + length)) for start, _, length in events if length],
            )
            for _, events in sorted(tracks.items())
        ],
        marks=[Mark(seconds(frame), mark.name, mark.comment, mark.is_red) for frame, mark in marks],
        notes=notes,
    )


def _first_frame(starts: list[int], marks: list[tuple[int, Mark]], timebase: Timebase) -> int:
    """A list does not say where its sequence begins: with its first event, or at the whole hour shortly before it;
    where there are but markers, at the whole hour before them."""
    first = min(starts or [frame for frame, _ in marks])
    hour = timebase.whole_hour(first)
    return hour if not starts or timebase.seconds(first - hour) < _START_WITHIN_S else first


def write(markers: Markers) -> str:
    """Markers as Resolve imports them, by "Import, Timeline Markers from EDL": one a frame."""
    timebase, start = markers.timebase, markers.start_frame
    lines = [f"TITLE: {' '.join(markers.title.split())}", f"FCM: {'' if markers.drop_frame else 'NON-'}DROP FRAME", ""]
    for number, (frame, name, kind, length) in enumerate(_one_a_frame(markers), 1):
        here, after = (timebase.timecode(start + place) for place in (frame, frame + 1))
        lines.append(f"{number:03}  001      V     C        {here} {after} {here} {after}  ")
        lines.append(f" |C:ResolveColor{COLOURS[kind]} |M:{name} |D:{length}")
        lines.append("")
    return "\r\n".join(lines)


def _one_a_frame(markers: Markers) -> Iterator[tuple[int, str, str, int]]:
    """Frame, name, kind and length; Resolve keeps one marker of a frame: names are joined, the first kind counts."""
    by_frame: dict[int, list[Marker]] = {}
    for marker in markers.markers:
        by_frame.setdefault(markers.frame(marker), []).append(marker)
    for frame, here in sorted(by_frame.items()):
        here.sort(key=lambda marker: list(COLOURS).index(marker.kind))
        name = ", ".join(marker.label.replace("|", "/") for marker in here)
        yield frame, name, here[0].kind, max(1, *map(markers.num_frames, here))
