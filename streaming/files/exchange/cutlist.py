"""Tables: cut lists and marker lists with or without a header, Audacity's labels. Remembers nothing; any thread.

Separated by commas, semicolons or tabs, as spreadsheets and editing programs write them; lines that begin with # say
`# fps: 25`, `# duration: 32.5` or `# start: 01:00:00:00`, or nothing to us. docs/timelines.md lists the columns.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType

from moods.errors import MoodsError, shown
from moods.timeline import read_fps
from streaming.files.exchange.markers import KINDS, Markers
from streaming.files.exchange.marks import NUMBERS, WORDS, read_value
from streaming.files.exchange.sequence import EditedSequence, Mark
from streaming.files.exchange.source import Source
from streaming.files.exchange.timecode import TIMECODE, Timebase, is_drop_frame

MAX_ROWS = 20_000
_ALIASES = {
    "at": "at time seconds start in position tc timecode label_start 时间 開始 start_time_(seconds) start_time "
    "start_timecode record_in cut",
    "frame": "frame start_frame frame_in",
    "end": "end out stop label_end end_time_(seconds) end_time end_timecode record_out",
    "end_frame": "end_frame frame_out",
    "length": "length duration dur length_(seconds)",
    "": "scene_number length_(timecode) length_(frames) # reel source_in source_out match v c scene",
    "kind": "kind type what marker_type",
    "name": "name label title text marker_name",
    "comment": "comment comments note notes description",
    "weight": "weight",
    "strength": "strength",
    "over": "over",
    "bpm": "bpm tempo",
    **{name: name for name in (*NUMBERS, *WORDS) if name != "bpm"},
}
COLUMNS: Mapping[str, str] = MappingProxyType({alias: name for name, of in _ALIASES.items() for alias in of.split()})

_TIMECODE = re.compile(TIMECODE)
_NUMBER = re.compile(r"\d{1,9}(?:[.,]\d{1,12})?")
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:[.,]\d{1,12})?)")
_SAID = re.compile(r"#\s*(fps|duration|start)\s*[:=]\s*(\S+)", re.IGNORECASE)
_FIELDS = (*NUMBERS, *WORDS, "over")


@dataclass(slots=True)
class _Table:
    header: list[str]
    rows: list[tuple[str, dict[str, str]]]
    """Where each stands, and its cells by column."""
    said: dict[str, str]
    notes: list[str] = field(default_factory=list)


def read(source: Source) -> EditedSequence:
    table = _read_table(source)
    cells = [row[column] for _, row in table.rows for column in ("at", "end") if row.get(column)]
    timecodes = [cell for cell in [*cells, *table.said.values()] if _TIMECODE.fullmatch(cell)]
    has_frames = any("at" not in row and "frame" in row for _, row in table.rows)
    fps = _fps(table, source)
    if has_frames and not timecodes and fps is None and source.fps is None:
        raise source.bad("", "it counts frames and does not say its fps", "write a line such as # fps: 25")
    timebase = None
    if timecodes or has_frames or fps is not None or source.fps is not None:
        timebase = source.timebase(timecodes, fps, any(map(is_drop_frame, timecodes)), table.notes)
    return _Rows(table, timebase, source).sequence()


def _fps(table: _Table, source: Source) -> Fraction | None:
    if "fps" not in table.said:
        return None
    try:
        return read_fps(table.said["fps"])
    except MoodsError as error:
        raise source.bad("# fps", *str(error).split("; ", 1)) from None


def _read_table(source: Source) -> _Table:
    said: dict[str, str] = {}
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(source.text().splitlines(), 1):
        if (match := _SAID.match(line.strip())) is not None:
            said[match[1].casefold()] = match[2].strip('",;')
        elif line.strip(' \t,;"') and not line.lstrip().startswith(("#", "Timecode List:")):
            lines.append((number, line))
    if not lines:
        raise source.bad("", "it has no rows", "write a place in seconds or timecode on each line")
    if len(lines) > MAX_ROWS:
        raise source.bad("", f"it has {len(lines)} rows", f"allowed are {MAX_ROWS}")
    delimiter = _delimiter([line for _, line in lines])
    read = csv.reader(io.StringIO("\n".join(line for _, line in lines)), delimiter=delimiter, skipinitialspace=True)
    try:
        rows = [(lines[min(read.line_num, len(lines)) - 1][0], [cell.strip() for cell in row]) for row in read]
    except csv.Error as error:
        raise source.bad(f"line {lines[read.line_num - 1][0]}", f"it is no table: {error}", "export it anew") from None
    if any(_is_time(cell) for cell in rows[0][1][:1]):
        return _headless(rows, said, source)
    return _headed(rows, said, source)


def _delimiter(lines: list[str]) -> str:
    """A semicolon within a timecode, or a comma beside semicolons, separates nothing."""
    bare = [_TIMECODE.sub("T", line) for line in lines[:50]]
    return next((mark for mark in "\t;" if all(mark in line for line in bare)), ",")


def _headed(rows: list[tuple[int, list[str]]], said: dict[str, str], source: Source) -> _Table:
    notes: list[str] = []
    header: list[str] = []
    for title in rows[0][1]:
        column = COLUMNS.get("_".join(title.casefold().split()))
        header.append("" if column is None or column in header else column)  # seconds beside timecode: the first counts
        if column is None:
            notes.append(f"column {shown(title)} is not known and was left out")
    if not {"at", "frame"} & set(header):
        raise source.bad(
            f"line {rows[0][0]}", f"no column says where: {shown(', '.join(rows[0][1]))}",
            "name one at, or write a place first on each line",
        )  # fmt: skip
    return _Table(header, list(_cells(rows[1:], header, source)), said, notes)


def _headless(rows: list[tuple[int, list[str]]], said: dict[str, str], source: Source) -> _Table:
    """Place, name; or start, end, name."""
    seconds = [row[1] for _, row in rows if len(row) > 1]
    header = ["at", "name", "comment"]
    if seconds and all(map(_is_time, seconds)):
        header = ["at", "end", "name"]
        if not all(_TIMECODE.fullmatch(cell) or ":" in cell or "." in cell for cell in seconds):
            raise source.bad("", "its second column are bare numbers", "write a header: at, end or at, weight")
    return _Table(header, list(_cells(rows, header, source)), said)


def _cells(
    rows: list[tuple[int, list[str]]], header: list[str], source: Source
) -> Iterator[tuple[str, dict[str, str]]]:
    for number, row in rows:
        if any(row[len(header) :]):
            raise source.bad(f"line {number}", f"it has {len(row)} cells", f"the table has {len(header)} columns")
        yield f"line {number}", {name: cell for name, cell in zip(header, row, strict=False) if name and cell}


def _is_time(cell: str) -> bool:
    return any(pattern.fullmatch(cell) for pattern in (_NUMBER, _TIMECODE, _CLOCK))


class _Rows:
    """Reads the rows of a table into a sequence."""

    def __init__(self, table: _Table, timebase: Timebase | None, source: Source) -> None:
        self._table, self._timebase, self._source = table, timebase, source
        self._first = self._first_frame()
        self._out = EditedSequence(timebase, None, self._first, notes=table.notes)
        self._end = Fraction(0)

    def _first_frame(self) -> int:
        """Said, or the whole hour before the first timecode."""
        timebase, said = self._timebase, self._table.said.get("start")
        if timebase is None:
            return 0
        if said is not None:
            return self._source.frames(timebase, said, "# start")
        codes = [(where, row["at"]) for where, row in self._table.rows if _TIMECODE.fullmatch(row.get("at", ""))]
        return min(
            (timebase.whole_hour(self._source.frames(timebase, code, where)) for where, code in codes), default=0
        )

    def sequence(self) -> EditedSequence:
        for where, row in self._table.rows:
            if row:
                self._read(where, row)
        said = self._table.said.get("duration")
        if said is not None:
            self._out.duration = self._seconds(said, "# duration")
        elif self._out.duration is None and self._end:
            self._out.duration = self._end
        return self._out

    def _read(self, where: str, row: dict[str, str]) -> None:
        at, end = self._place(row, "at", "frame", where), self._place(row, "end", "end_frame", where)
        if at is None:
            raise self._source.bad(where, "it does not say where", "write seconds or timecode in the column at")
        if end is None and "length" in row:
            end = at + self._seconds(row["length"], where)
        if end is not None and end < at:
            raise self._source.bad(where, f"it ends at {float(end):g} s, before {float(at):g} s", "write the later end")
        kind = row.get("kind", "").casefold()
        if kind in ("end", "duration"):
            self._out.duration = at
        elif kind == "speech":
            if end is None:
                raise self._source.bad(where, "speech has no end", "write one in the column end")
            self._out.speech.append((at, end))
        elif kind == "cut" or self._is_bare(row):
            self._out.cuts[at] = self._number(row, "weight", 1.0, where)
            self._end = max(self._end, end or Fraction(0))
        else:
            self._out.marks.append(self._mark(at, kind, row, where))

    @staticmethod
    def _is_bare(row: dict[str, str]) -> bool:
        return not row.keys() & {"kind", "name", "comment", "strength", *_FIELDS}

    def _mark(self, at: Fraction, kind: str, row: dict[str, str], where: str) -> Mark:
        try:
            fields = {name: read_value(name, row[name]) for name in _FIELDS if name in row}
        except ValueError as error:
            raise self._source.bad(where, *str(error).split("; ", 1)) from None
        strength = self._number(row, "strength", 1.0, where) if "strength" in row else None
        own = kind if kind in KINDS else ""  # other programs have kinds of their own
        return Mark(
            at, row.get("name", ""), row.get("comment", ""),
            is_chapter=kind == "chapter", kind=own, fields=fields, strength=strength,
        )  # fmt: skip

    def _number(self, row: dict[str, str], column: str, otherwise: float, where: str) -> float:
        cell = row.get(column)
        if cell is None:
            return otherwise
        if _NUMBER.fullmatch(cell) is None:
            raise self._source.bad(where, f"{column} is {shown(cell)}", "write a number from 0 to 1")
        return float(cell.replace(",", "."))

    def _place(self, row: dict[str, str], column: str, frames: str, where: str) -> Fraction | None:
        if column in row:
            return self._seconds(row[column], where, self._first)
        cell = row.get(frames)
        if cell is None:
            return None
        if re.fullmatch(r"\d{1,9}", cell) is None or self._timebase is None:
            raise self._source.bad(where, f"{frames} is {shown(cell)}", "write a whole number")
        return self._timebase.seconds(int(cell))

    def _seconds(self, cell: str, where: str, first: int = 0) -> Fraction:
        if self._timebase is not None and _TIMECODE.fullmatch(cell):
            return self._timebase.seconds(self._source.frames(self._timebase, cell, where) - first)
        if _NUMBER.fullmatch(cell):
            return Fraction(cell.replace(",", "."))
        match = _CLOCK.fullmatch(cell)
        if match is None:
            raise self._source.bad(where, f"{shown(cell)} is no place", "write 12.4, 0:12.4 or 00:00:12:10")
        return int(match[1] or 0) * 3600 + int(match[2]) * 60 + Fraction(match[3].replace(",", "."))


def write(markers: Markers) -> str:
    """Seconds, frame, timecode, kind, name and length of each marker, for spreadsheets and scripts."""
    out = io.StringIO()
    start = markers.timebase.timecode(markers.start_frame)
    out.write(f"# fps: {markers.frame_rate}\r\n# start: {start}\r\n# duration: {_exact(markers.duration)}\r\n")
    table = csv.writer(out)
    table.writerow(("at", "frame", "timecode", "kind", "name", "duration"))
    for marker in markers.markers:
        frame = markers.frame(marker)
        timecode = markers.timebase.timecode(markers.start_frame + frame)
        table.writerow((_exact(marker.at), frame, timecode, marker.kind, marker.name, _exact(marker.duration)))
    return out.getvalue()


def write_labels(markers: Markers) -> str:
    """Audacity's labels: start, end and text, separated by tabs."""
    rows = ((marker.at, marker.at + marker.duration, marker.label) for marker in markers.markers)
    return "".join(f"{_exact(start)}\t{_exact(end)}\t{label}\n" for start, end, label in rows)


def _exact(seconds: Fraction) -> str:
    """To the microsecond, which is far less than a sample."""
    return f"{float(seconds):.6f}"
