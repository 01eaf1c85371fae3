"""OpenTimelineIO. In: its JSON; out: the sequence in it; and the other way round for markers.

The library is imported when a file is read: it takes a fifth of a second. Remembers nothing; any thread.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import islice
from typing import Any

from moods.errors import MoodsError
from moods.timeline import read_fps
from streaming.files.exchange.json_file import read_object
from streaming.files.exchange.markers import Markers
from streaming.files.exchange.sequence import EditedSequence, Mark, Span, Track, extent
from streaming.files.exchange.source import Source
from streaming.files.exchange.timecode import Timebase, can_drop

COLOURS = {"hit": "RED", "section": "BLUE", "bar": "GREEN", "beat": "CYAN"}
MAX_DEPTH, MAX_ITEMS = 60, 100_000
OURS = "undersong"
"""Under this name the metadata of an OTIO file holds what only we know, for an exact way back."""


def read(source: Source) -> EditedSequence:
    import opentimelineio as otio

    read_object(source)  # the library tells neither the line of an error nor how deep it goes
    try:
        held = otio.adapters.read_from_string(source.text(), "otio_json")
    except Exception as error:  # the library raises whatever its parts raise
        raise source.bad("", f"OpenTimelineIO cannot read it: {error}", "save it anew") from None
    return sequence_of(held, source)


def sequence_of(held: Any, source: Source, *, is_fcp7: bool = False) -> EditedSequence:
    """The first timeline of what OpenTimelineIO has read, or its adapter of Final Cut Pro 7's XML."""
    import opentimelineio as otio

    timelines = [held] if isinstance(held, otio.schema.Timeline) else _timelines(held, otio)
    if not timelines:
        raise source.bad("", f"it holds no timeline but {type(held).__name__}", "export the timeline itself")
    timeline = timelines[0]
    try:
        return _Walk(timeline, source, otio, is_fcp7, len(timelines)).sequence()
    except (
        otio.exceptions.OTIOError,
        ValueError,
        TypeError,
        AttributeError,
        ZeroDivisionError,
        OverflowError,
    ) as error:
        raise source.bad("", f"its timeline is not whole: {error}", "save it anew") from None


def _timelines(held: Any, otio: Any) -> list[Any]:
    if not isinstance(held, otio.schema.SerializableCollection):
        return []
    found: list[Any] = []
    for part in held:
        found += [part] if isinstance(part, otio.schema.Timeline) else _timelines(part, otio)
    return found


class _Walk:
    """Goes through a timeline's tracks and what is nested in them."""

    def __init__(self, timeline: Any, source: Source, otio: Any, is_fcp7: bool, count: int) -> None:
        self._timeline, self._source, self._otio = timeline, source, otio
        self._is_fcp7 = is_fcp7
        self._marks: list[Mark] = []
        self._notes: list[str] = []
        self._num_items = 0
        if count > 1:
            self._notes.append(f"it holds {count} timelines; the first, {timeline.name!r}, was read")

    def sequence(self) -> EditedSequence:
        tracks = self._timeline.tracks
        if tracks is None:
            raise self._source.bad("", "its timeline has no tracks", "export it with its clips")
        start = self._timeline.global_start_time
        timebase = Timebase(self._rate(), self._is_drop_frame())
        if tracks.source_range is not None:
            self._notes.append("its tracks are trimmed as a whole; they were read as far as they go")
        for mark in tracks.markers:
            self._mark(mark, Fraction(0), Fraction(0), None)
        gathered: list[Track] = []
        for track in self._video_tracks(tracks):
            gathered.append(Track())
            self._track(track, Fraction(0), gathered[-1], 0)
        for track in tracks:
            if track.kind != self._otio.schema.TrackKind.Video:
                self._marks_of(track)
        self._heed_colours()
        first = 0 if start is None else timebase.at(seconds_of(start))
        return EditedSequence(timebase, self._duration(gathered), first, gathered, marks=self._marks, notes=self._notes)

    def _heed_colours(self) -> None:
        """Red is also what OpenTimelineIO says where nobody has chosen: if all are red, it says nothing."""
        if not self._is_fcp7 and len(self._marks) > 1 and all(mark.is_red for mark in self._marks):
            self._marks = [replace(mark, is_red=False) for mark in self._marks]
            self._notes.append("all its markers are red, which was taken for nobody's choice")

    def _duration(self, gathered: list[Track]) -> Fraction:
        ours = self._timeline.metadata.get(OURS, {})
        if "duration" in ours:
            return int(ours["duration"]) / self._rate()
        return max(extent(gathered), seconds_of(self._timeline.tracks.duration()))

    def _video_tracks(self, stack: Any) -> list[Any]:
        return [
            track
            for track in stack
            if isinstance(track, self._otio.schema.Track)
            and track.kind == self._otio.schema.TrackKind.Video
            and self._is_enabled(track)
        ]

    def _rate(self) -> Fraction:
        """Of the sequence: of its start, else of the first thing in it."""
        tracks = sorted(self._timeline.tracks, key=lambda track: track.kind != self._otio.schema.TrackKind.Video)
        items = (child for track in tracks for child in track if isinstance(child, self._otio.core.Item))
        times = [self._timeline.global_start_time, *(item.duration() for item in islice(items, 1))]
        times = [time for time in times if time is not None and time.rate > 1]
        if not times and self._source.fps is not None:
            return self._source.fps
        rate = times[0].rate if times else 0.0
        try:
            return read_fps(rate)
        except MoodsError:
            raise self._source.bad(
                "", f"it counts {rate:g} frames a second", "export a timeline of a picture"
            ) from None

    def _is_drop_frame(self) -> bool:
        ours, timecode = self._timeline.metadata.get(OURS, {}), _fcp7(self._timeline).get("timecode") or {}
        return can_drop(self._rate()) and bool(ours.get("drop_frame") or timecode.get("displayformat") == "DF")

    def _track(self, track: Any, offset: Fraction, into: Track, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._source.bad("", f"its sequences are nested {depth} deep", f"allowed are {MAX_DEPTH}")
        trim = track.source_range
        zero = Fraction(0) if trim is None else seconds_of(trim.start_time)
        end = None if trim is None else offset + seconds_of(trim.duration)
        place = offset - zero
        self._marks_of(track, place)
        children = list(track)
        for index, child in enumerate(children):
            self._num_items += 1
            if self._num_items > MAX_ITEMS:
                raise self._source.bad("", f"it holds more than {MAX_ITEMS} clips", "export a part of it")
            if isinstance(child, self._otio.schema.Transition):
                is_between = 0 < index < len(children) - 1
                if is_between:
                    before, after = seconds_of(child.in_offset), seconds_of(child.out_offset)
                    into.transitions.append(Span(place - before, place + after))
                continue
            length = seconds_of(child.duration())
            start, stop = max(place, offset), place + length if end is None else min(place + length, end)
            if start <= stop and (start < stop or length == 0):
                self._item(child, place, Span(start, stop), into, depth)
            place += length

    def _item(self, item: Any, place: Fraction, seen: Span, into: Track, depth: int) -> None:
        """`place`: where the item begins, untrimmed by its track."""
        zero = seconds_of(item.trimmed_range().start_time)
        if self._is_fcp7 and isinstance(item, self._otio.schema.Clip):
            available = item.media_reference.available_range  # the adapter counts markers from the media's beginning
            zero -= Fraction(0) if available is None else seconds_of(available.start_time)
        for mark in item.markers:
            self._mark(mark, place, zero, seen)
        if isinstance(item, self._otio.schema.Gap) or not self._is_enabled(item):
            return
        reference = item.media_reference if isinstance(item, self._otio.schema.Clip) else None
        into.clips.append(Span(seen.start, seen.end, isinstance(reference, self._otio.schema.GeneratorReference)))
        if isinstance(item, self._otio.schema.Track):
            self._nested([item], place - zero, seen, into, depth)
        elif isinstance(item, self._otio.schema.Stack):
            self._nested(self._video_tracks(item), place - zero, seen, into, depth)

    def _nested(self, tracks: list[Any], offset: Fraction, seen: Span, into: Track, depth: int) -> None:
        """What is cut inside a nested sequence is cut in the picture, as far as it is seen."""
        inner, num_marks = Track(), len(self._marks)
        for track in tracks:
            self._track(track, offset, inner, depth + 1)
        self._marks[num_marks:] = [mark for mark in self._marks[num_marks:] if seen.start <= mark.at < seen.end]
        into.take_in(inner, seen.start, seen.end)

    def _marks_of(self, track: Any, offset: Fraction = Fraction(0)) -> None:
        for mark in track.markers:
            self._mark(mark, offset, Fraction(0), None)

    def _mark(self, mark: Any, place: Fraction, zero: Fraction, seen: Span | None) -> None:
        at = place + seconds_of(mark.marked_range.start_time) - zero
        if seen is None or seen.start <= at < seen.end:
            ours = mark.metadata.get(OURS, {})
            comment = mark.comment or str(_fcp7(mark).get("comment") or "")
            red = _is_red_in_fcp7(_fcp7(mark)) if self._is_fcp7 else str(mark.color or "").upper() == "RED"
            self._marks.append(Mark(at, mark.name or "", comment, red, kind=str(ours.get("kind", ""))))

    @staticmethod
    def _is_enabled(item: Any) -> bool:
        return item.enabled and _fcp7(item).get("enabled") != "FALSE"


def _fcp7(thing: Any) -> Any:
    """What the adapter of Final Cut Pro 7 keeps of an element and has no place for."""
    return thing.metadata.get("fcp_xml") or {}


def _is_red_in_fcp7(kept: Any) -> bool:
    """Premiere packs colours into one number, red lowest; Final Cut Pro writes each."""
    packed = str(kept.get("pproColor", ""))
    if packed.isdigit():
        red, green, blue = (int(packed) >> shift & 255 for shift in (0, 8, 16))
    else:
        colour = kept.get("color") or {}
        red, green, blue = (int(colour.get(name) or 0) for name in ("red", "green", "blue"))
    return red > 2 * max(green, blue)


def seconds_of(time: Any) -> Fraction:
    """An `opentime.RationalTime`, exactly: NTSC's rates are floats there."""
    return Fraction(time.value) / _exact_rate(time.rate)


def _exact_rate(rate: float) -> Fraction:
    try:
        return read_fps(rate)
    except MoodsError:
        return Fraction(rate)  # sound is counted in samples


def timeline_of(markers: Markers) -> Any:
    """A timeline of OpenTimelineIO with the music and its markers on the stack of tracks."""
    import opentimelineio as otio

    rate = float(markers.frame_rate)

    def time(frames: int) -> Any:
        return otio.opentime.RationalTime(frames, rate)

    def span(start: int, length: int) -> Any:
        return otio.opentime.TimeRange(time(start), time(length))

    whole = span(0, markers.length_frames)
    music = otio.schema.Gap(source_range=whole)
    if markers.media is not None:
        reference = otio.schema.ExternalReference(markers.media.absolute().as_uri(), whole)
        reference.name = markers.media.name
        music = otio.schema.Clip(markers.title, reference, whole)
    timeline = otio.schema.Timeline(
        markers.title,
        global_start_time=time(markers.start_frame),
        metadata={OURS: {"drop_frame": markers.drop_frame, "duration": markers.length_frames}},
    )
    timeline.tracks.append(otio.schema.Track("Music", [music], kind=otio.schema.TrackKind.Audio))
    timeline.tracks.markers.extend(
        otio.schema.Marker(
            marker.label,
            span(markers.frame(marker), markers.num_frames(marker)),
            COLOURS[marker.kind],
            metadata={OURS: {"kind": marker.kind, "at": str(marker.at)}},
        )
        for marker in markers.markers
    )
    return timeline


def write(markers: Markers) -> str:
    import opentimelineio as otio

    return otio.adapters.write_to_string(timeline_of(markers), "otio_json")
