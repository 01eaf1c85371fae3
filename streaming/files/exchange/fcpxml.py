"""Final Cut Pro's XML, versions 1.8 to 1.13, as it, Resolve and others write it.

Times are fractions of seconds there and stay such here. OpenTimelineIO's adapter makes whole rates of them, so that
29.97 becomes 29 frames a second, and knows neither transitions, titles, nor markers of gaps: it is not used. Remembers
nothing; any thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from moods.errors import MoodsError, shown
from moods.timeline import read_fps
from streaming.files.exchange.markers import Markers
from streaming.files.exchange.markup import parse
from streaming.files.exchange.sequence import EditedSequence, Mark, Span, Track, extent
from streaming.files.exchange.source import Source
from streaming.files.exchange.timecode import Timebase, can_drop

MAX_ITEMS, MAX_DEPTH = 100_000, 30
_CONTAINERS = ("clip", "asset-clip", "ref-clip", "sync-clip", "mc-clip")
_CLIPS = (*_CONTAINERS, "video", "title", "audio", "gap")
_TIME = re.compile(r"(-?\d{1,18}(?:\.\d{1,12})?)(?:/(\d{1,12}))?s?")
_MARKERS = ("marker", "chapter-marker")


@dataclass(frozen=True, slots=True)
class _Window:
    """Where a container's own time lies in the sequence, and how much of it is seen."""

    offset: Fraction
    """Of the sequence where the container's time is 0."""
    start: Fraction
    end: Fraction


def read(source: Source) -> EditedSequence:
    """Read the first project, or the first sequence there is."""
    root = parse(source)
    projects = list(root.iter("project"))
    sequences = [sequence for project in projects for sequence in project.findall("./sequence")] or list(
        root.iter("sequence")
    )
    if not sequences:
        raise source.bad("", "it holds no project with a sequence", "export the project, not a clip of the browser")
    walk = _Walk(root, sequences[0], source)
    if len(projects) > 1:
        walk.notes.append(f"it holds {len(projects)} projects; the first, {projects[0].get('name', '')!r}, was read")
    return walk.read()


class _Walk:
    """Goes through a sequence's storylines, what is connected to them, and what is nested in them."""

    def __init__(self, root: Element, sequence: Element, source: Source) -> None:
        self._sequence, self._source = sequence, source
        self._resources = {str(each.get("id")): each for resources in root.iter("resources") for each in resources}
        self._marks: list[Mark] = []
        self._speech: list[tuple[Fraction, Fraction]] = []
        self._lanes: dict[int, Track] = {}
        self._num_items = 0
        self.notes: list[str] = []

    def read(self) -> EditedSequence:
        spine = self._sequence.find("./spine")
        if spine is None:
            raise self._source.bad(_named(self._sequence), "it has no spine", "export the project anew")
        start = self._time(self._sequence, "tcStart") or Fraction(0)
        said = self._time(self._sequence, "duration")
        end = Fraction(10**9) if said is None else said
        self._storyline(spine, _Window(-start, Fraction(0), end), start, 0, self._lanes, 0)
        self._own_marks(self._sequence, _Window(-start, Fraction(0), end))
        tracks = [track for number, track in sorted(self._lanes.items()) if number >= 0]
        timebase = self._timebase()
        return EditedSequence(
            timebase, said or extent(tracks), timebase.at(start), tracks,
            marks=self._marks, speech=self._speech, notes=self.notes,
        )  # fmt: skip

    def _timebase(self) -> Timebase:
        is_drop = self._sequence.get("tcFormat") == "DF"
        form = self._resources.get(self._sequence.get("format", ""))
        frame = None if form is None else self._time(form, "frameDuration")
        if frame is None and self._source.fps is not None:
            return Timebase(self._source.fps, is_drop and can_drop(self._source.fps))
        if not frame or frame < 0:
            raise self._source.bad(
                _named(self._sequence), f"its format {shown(self._sequence.get('format'))} has no frameDuration",
                "give the picture with it",
            )  # fmt: skip
        try:
            rate = read_fps(str(1 / frame)) if (1 / frame).denominator in (1, 1001) else read_fps(float(1 / frame))
        except MoodsError as error:
            raise self._source.bad(_named(self._sequence), *str(error).split("; ", 1)) from None
        return Timebase(rate, is_drop and can_drop(rate))

    def _storyline(
        self, spine: Element, window: _Window, begin: Fraction, number: int, lanes: dict[int, Track], depth: int
    ) -> None:
        """Clips one after the other, the first at `begin` of the window's time, unless they say where."""
        lane = lanes.setdefault(number, Track())
        follows = begin
        for element in self._active(spine):
            offset = self._time(element, "offset")
            offset = follows if offset is None else offset
            if element.tag == "transition":
                length = self._time(element, "duration") or Fraction(0)
                lane.transitions.append(Span(window.offset + offset, window.offset + offset + length))
            elif element.tag in _CLIPS:
                follows = offset + self._clip(element, window, offset, number, lanes, depth)

    def _active(self, parent: Element) -> Iterator[Element]:
        """Of an audition the first is the one chosen."""
        for element in parent:
            self._num_items += 1
            if self._num_items > MAX_ITEMS:
                raise self._source.bad("", f"it holds more than {MAX_ITEMS} elements", "export a part of it")
            yield element[0] if element.tag == "audition" and len(element) else element

    def _clip(
        self, clip: Element, window: _Window, offset: Fraction, number: int, lanes: dict[int, Track], depth: int
    ) -> Fraction:
        """Read a clip that begins at `offset` of the window's time; how long it is."""
        length, start = self._length(clip), self._time(clip, "start") or Fraction(0)
        at = window.offset + offset
        seen = _Window(at - start, max(at, window.start), min(at + length, window.end))
        if depth > MAX_DEPTH:
            raise self._source.bad(_named(clip), f"clips are nested {depth} deep", f"allowed are {MAX_DEPTH}")
        if seen.start < seen.end:
            if clip.tag != "gap" and clip.get("enabled") != "0" and self._has_picture(clip):
                lanes.setdefault(number, Track()).clips.append(Span(seen.start, seen.end, clip.tag == "title"))
                self._nested(clip, seen, lanes.setdefault(number, Track()), depth)
            self._own_marks(clip, seen)
        self._connected(clip, _Window(seen.offset, window.start, window.end), number, lanes, depth)
        return length

    def _connected(self, clip: Element, window: _Window, number: int, lanes: dict[int, Track], depth: int) -> None:
        """What hangs on a clip lies where it says in the clip's time, also beyond the clip's end."""
        for element in self._active(clip):
            lane = _whole(element.get("lane"))
            if not lane:
                continue
            here = self._time(element, "offset") or Fraction(0)
            at = window.offset + here
            if element.tag == "spine":
                inner = _Window(at, window.start, window.end)
                self._storyline(element, inner, Fraction(0), number + lane, lanes, depth + 1)
            elif element.tag == "caption":
                self._speech.append((at, at + self._length(element)))
            elif element.tag in _CLIPS:
                self._clip(element, window, here, number + lane, lanes, depth + 1)

    def _nested(self, clip: Element, seen: _Window, into: Track, depth: int) -> None:
        """What is cut inside a compound clip is cut in the picture."""
        media = self._resources.get(clip.get("ref", "")) if clip.tag == "ref-clip" else None
        sequence = None if media is None else media.find("./sequence")
        spine = None if sequence is None else sequence.find("./spine")
        if sequence is None or spine is None:
            return
        if clip.find("./timeMap") is not None:
            self.notes.append(f"{_named(clip)} is retimed; the cuts inside it were not read")
            return
        begin = self._time(sequence, "tcStart") or Fraction(0)
        offset = seen.offset if clip.get("start") else seen.offset - begin
        inner: dict[int, Track] = {}
        num_marks, num_spoken = len(self._marks), len(self._speech)
        self._storyline(spine, _Window(offset, seen.start, seen.end), begin, 0, inner, depth + 1)
        del self._marks[num_marks:], self._speech[num_spoken:]  # for whoever opens the compound clip
        for number, track in inner.items():
            if number >= 0:
                into.take_in(track, seen.start, seen.end)

    def _own_marks(self, clip: Element, seen: _Window) -> None:
        for element in clip:
            if element.tag not in _MARKERS:
                continue
            at = seen.offset + (self._time(element, "start") or Fraction(0))
            if seen.start <= at < seen.end:
                name, note = element.get("value", ""), element.get("note", "")
                self._marks.append(Mark(at, name, note, is_chapter=element.tag == "chapter-marker"))

    def _length(self, clip: Element) -> Fraction:
        """Said; else as long as what it refers to."""
        length = self._time(clip, "duration")
        if length is None:
            of = self._resources.get(clip.get("ref", ""))
            if of is not None and of.tag == "media":
                of = of.find("./sequence")
            length = None if of is None else self._time(of, "duration")
        if length is None or length < 0:
            raise self._source.bad(_named(clip), "it does not say how long it is", "export the project anew")
        return length

    def _has_picture(self, clip: Element) -> bool:
        if clip.tag == "audio" or clip.get("srcEnable") == "audio":
            return False
        if clip.tag == "clip":
            return any(not each.get("lane") for each in clip if each.tag in ("video", "spine", *_CONTAINERS))
        asset = self._resources.get(clip.get("ref", ""))
        return clip.tag != "asset-clip" or asset is None or asset.get("hasVideo") == "1" or asset.get("hasAudio") != "1"

    def _time(self, element: Element, attribute: str) -> Fraction | None:
        value = element.get(attribute)
        if value is None:
            return None
        match = _TIME.fullmatch(value.strip())
        if match is None or match[2] is not None and int(match[2]) == 0:
            raise self._source.bad(
                _named(element), f"{attribute} is {shown(value, 40)}", "expected seconds such as 1001/30000s"
            )
        return Fraction(match[1]) / int(match[2] or 1)


def _named(element: Element) -> str:
    return f"{element.tag} {element.get('name') or element.get('value') or element.get('id') or ''}".strip()


def _whole(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,3}", text) else 0


def write(markers: Markers) -> str:
    """A project with the music in it and the markers on the music; without its file, on a gap."""
    root = Element("fcpxml", version="1.9")  # from 1.10 on assets are written otherwise; all read this
    resources = SubElement(root, "resources")
    rate = markers.frame_rate
    SubElement(resources, "format", id="r1", frameDuration=_seconds(1, rate), width="1920", height="1080")
    length, start = _seconds(markers.length_frames, rate), _seconds(markers.start_frame, rate)
    project = SubElement(SubElement(root, "event", name=markers.title), "project", name=markers.title)
    sequence = SubElement(
        project, "sequence", format="r1", duration=length, tcStart=start,
        tcFormat="DF" if markers.drop_frame else "NDF", audioLayout="stereo", audioRate="48k",
    )  # fmt: skip
    spine = SubElement(sequence, "spine")
    if markers.media is None:
        music = SubElement(spine, "gap", name=markers.title, offset=start, start="0s", duration=length)
    else:
        SubElement(
            resources, "asset", id="r2", name=markers.media.name, src=markers.media.absolute().as_uri(), start="0s",
            duration=length, hasAudio="1", audioSources="1", audioChannels="2", audioRate="48000",
        )  # fmt: skip
        music = SubElement(
            spine, "asset-clip", ref="r2", name=markers.title, offset=start, start="0s", duration=length,
            format="r1", audioRole="music",
        )  # fmt: skip
    for marker in markers.markers:
        SubElement(
            music, "marker", start=_seconds(markers.frame(marker), rate),
            duration=_seconds(max(1, markers.num_frames(marker)), rate), value=marker.label,
        )  # fmt: skip
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n' + ElementTree.tostring(root, "unicode") + "\n"


def _seconds(frames: int, rate: Fraction) -> str:
    """Frames as Final Cut Pro writes them: over the rate's own numerator, so that each is whole."""
    return f"{frames * rate.denominator}/{rate.numerator}s" if frames else "0s"
