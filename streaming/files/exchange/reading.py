"""Exchange files in. In: a file's bytes and its name; out: a checked `Timeline`, and what was not read of the file.

Remembers nothing; any thread, but never the event loop's: a long file takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from moods.errors import MoodsError, shown
from moods.fields import parse
from moods.timeline import MOST_CUTS, MOST_SECTIONS, SHORTEST_S, Timeline, TimelineSection, parse_timeline
from streaming.files.exchange import cutlist, edl, fcp7, fcpxml, json_file, otio_file, subtitles
from streaming.files.exchange.errors import BadExchange
from streaming.files.exchange.marks import Asked, read_mark
from streaming.files.exchange.markup import root_of
from streaming.files.exchange.sequence import SEEN, EditedSequence, Mark
from streaming.files.exchange.source import Source

MAX_BYTES = 16 << 20
MAX_NAME = 200
ENDINGS = ("json", "otio", "fcpxml", "xml", "edl", "csv", "tsv", "txt", "srt", "vtt")
"""What can be read; `txt` are Audacity's labels."""

_SPEECH_GAP_S = Fraction(3, 10)


@dataclass(frozen=True, slots=True)
class Reading:
    """A file read."""

    timeline: Timeline
    notes: tuple[str, ...]
    """What was left out or guessed, a line each."""


def read_exchange(
    document: bytes, name: str, *, fps: Fraction | None = None, duration: Fraction | None = None
) -> Reading:
    """Read a timeline; `name` is the file's, or its ending alone, which tells the format.

    `fps` and `duration` (seconds) are the picture's, where they are known: they count where the file does not say.
    Raises `BadExchange`, and for a timeline in JSON what `parse_timeline` raises.
    """
    source = Source(document, name, fps, duration)
    if len(document) > MAX_BYTES:
        raise source.bad("", f"{len(document) / 1e6:.1f} MB are too much", f"allowed are {MAX_BYTES / 1e6:.1f} MB")
    if source.ending == "json":
        whole = json_file.read_object(source)
        if "markers" not in whole:
            return Reading(parse_timeline(whole), ())
        return _reading(json_file.read(source, whole), source)
    return _reading(_reader(source)(source), source)


def _reader(source: Source) -> Callable[[Source], EditedSequence]:
    if source.ending in ("xml", "fcpxml"):
        root = root_of(source)
        if root not in ("xmeml", "fcpxml"):
            raise source.bad("", f"its root is {shown(root)}", "expected fcpxml or xmeml, as editing programs write")
        return fcpxml.read if root == "fcpxml" else fcp7.read
    readers = {
        "otio": otio_file.read, "edl": edl.read, "csv": cutlist.read, "tsv": cutlist.read, "txt": cutlist.read,
        "srt": subtitles.read, "vtt": subtitles.read,
    }  # fmt: skip
    if source.ending not in readers:
        raise source.bad("", "its format is not known by its ending", f"end the name with one of {', '.join(ENDINGS)}")
    return readers[source.ending]


def _reading(sequence: EditedSequence, source: Source) -> Reading:
    if sequence.duration is None:
        sequence.duration = source.duration
    if sequence.duration is None:
        raise source.bad("", "it does not say how long the piece is", "say the seconds, or give the picture with it")
    timeline = _Assembly(sequence, source).timeline()
    return Reading(timeline, tuple(sequence.notes))


class _Assembly:
    """Makes a timeline of a sequence; the notes of the sequence grow."""

    def __init__(self, sequence: EditedSequence, source: Source) -> None:
        assert sequence.duration is not None
        self._sequence, self._source = sequence, source
        self._timebase = sequence.timebase
        self._duration = self._on_frame(sequence.duration)
        self._sections: dict[Fraction, dict[str, Any]] = {}
        self._hits: dict[Fraction, dict[str, Any]] = {}
        self._cuts: dict[Fraction, float] = {}
        self._num_outside = 0

    def timeline(self) -> Timeline:
        if self._duration < SHORTEST_S:
            raise self._source.bad(
                "", f"it is {float(self._duration):g} s long", f"allowed is {SHORTEST_S:g} s or more"
            )
        for at, weight in self._sequence.edits():
            self._cut(self._on_frame(at), weight)
        for mark in self._sequence.marks:
            self._place(self._on_frame(mark.at), mark)
        if self._num_outside:
            self._sequence.notes.append(f"places outside the sequence were left out: {self._num_outside}")
        return self._parse(self._values())

    def _on_frame(self, at: Fraction) -> Fraction:
        return at if self._timebase is None else self._timebase.seconds(self._timebase.at(at))

    def _where(self, at: Fraction) -> str:
        if self._timebase is None:
            return f"at {float(at):.3f} s"
        return f"at {self._timebase.timecode(self._sequence.start_frame + self._timebase.at(at))}"

    def _asked(self, mark: Mark) -> Asked:
        try:
            return read_mark(mark)
        except ValueError as error:
            raise self._bad(error, f"marker {self._where(mark.at)}") from None

    def _bad(self, error: ValueError, where: str) -> BadExchange:
        problem, _, way_out = str(error).partition("; ")
        return self._source.bad(where, problem, way_out or "say it otherwise")

    def _cut(self, at: Fraction, weight: float) -> None:
        """Neither the first frame nor the end is a cut."""
        if 0 < at < self._duration:
            self._cuts[at] = max(weight, self._cuts.get(at, 0.0))
        elif at < 0 or at > self._duration:
            self._num_outside += 1

    def _place(self, at: Fraction, mark: Mark) -> None:
        if not 0 <= at < self._duration:
            self._num_outside += 1
            return
        asked = self._asked(mark)
        name = {"name": asked.name[:MAX_NAME]} if asked.name else {}
        if asked.fields or asked.is_section:
            self._sections[at] = self._sections.get(at, {}) | asked.fields | name
            self._check(self._sections[at], mark)
        if asked.is_hit:
            strength = {} if asked.strength is None else {"strength": asked.strength}
            self._hits[at] = self._hits.get(at, {}) | name | strength
        if not asked:
            self._cut(at, SEEN)

    def _check(self, fields: dict[str, Any], mark: Mark) -> None:
        """Tell of a value that cannot be where the marker is, which the whole timeline no longer knows."""
        try:
            parse(TimelineSection, {name: value for name, value in fields.items() if name != "prompt"} | {"at": 0})
        except MoodsError as error:
            raise self._bad(error, f"marker {self._where(mark.at)}") from None

    def _values(self) -> dict[str, Any]:
        sequence, timebase = self._sequence, self._timebase
        values: dict[str, Any] = {"duration": float(self._duration)}
        if timebase is not None:
            rate = timebase.rate
            values["fps"] = str(rate) if rate.denominator in (1, 1001) else float(rate)
            values["drop_frame"] = timebase.is_drop_frame
            if sequence.start_frame and timebase.counted_rate <= 100:  # such as have two digits for frames
                values["start_timecode"] = timebase.timecode(sequence.start_frame)
        values["sections"] = [{"at": float(at)} | fields for at, fields in sorted(self._sections.items())]
        values["hits"] = [{"at": float(at)} | fields for at, fields in sorted(self._hits.items())]
        values["cuts"] = [{"at": float(at), "weight": weight} for at, weight in sorted(self._cuts.items())]
        values["speech"] = [
            (float(start), float(end)) for start, end in joined(sequence.speech) if start < self._duration
        ]
        return values

    def _parse(self, values: dict[str, Any]) -> Timeline:
        for field, most in (("cuts", MOST_CUTS), ("sections", MOST_SECTIONS)):
            if len(values[field]) > most:
                raise self._source.bad("", f"it has {len(values[field])} {field}", f"allowed are {most}")
        try:
            return parse_timeline(values)
        except MoodsError as error:
            raise self._bad(error, "") from None


def joined(spans: list[tuple[Fraction, Fraction]]) -> list[tuple[Fraction, Fraction]]:
    """Spans in order; those that overlap, or lie nearer than 0.3 s, are one."""
    out: list[tuple[Fraction, Fraction]] = []
    for start, end in sorted(spans):
        if out and start - out[-1][1] < _SPEECH_GAP_S:
            out[-1] = (out[-1][0], max(out[-1][1], end))
        elif start < end:
            out.append((start, end))
    return out


def read_timeline(
    document: bytes | Path, name: str = "", *, fps: Fraction | None = None, duration: Fraction | None = None
) -> Timeline:
    """Read the timeline alone, of a file or of its bytes. Raises like `read_exchange`, and `OSError`."""
    if isinstance(document, Path):
        with document.open("rb") as file:
            return read_exchange(file.read(MAX_BYTES + 1), name or document.name, fps=fps, duration=duration).timeline
    return read_exchange(document, name, fps=fps, duration=duration).timeline
