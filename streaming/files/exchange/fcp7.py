"""Final Cut Pro 7's XML, which Premiere and Resolve read and write, by OpenTimelineIO's adapter.

The adapter stops at some things that editing programs write; they are put right before. Remembers nothing; any thread.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from streaming.files.exchange.errors import BadMarkers
from streaming.files.exchange.markers import Markers
from streaming.files.exchange.markup import MAX_DEPTH, MAX_ELEMENTS, parse
from streaming.files.exchange.otio_file import OURS, sequence_of, timeline_of
from streaming.files.exchange.sequence import EditedSequence
from streaming.files.exchange.source import Source

PREMIERE_COLOURS = {"hit": 4281740498, "section": 4294741314, "beat": 4292277273}
"""By what a marker marks, red in the lowest byte; green is Premiere's own choice, for bars."""
_ITEMS = ("clipitem", "generatoritem", "transitionitem")


def read(source: Source) -> EditedSequence:
    """Read the first sequence."""
    import opentimelineio as otio

    root = parse(source)
    notes = _prepare(root, source)
    try:
        held = otio.adapters.read_from_string(ElementTree.tostring(root), "fcp_xml")
    except Exception as error:  # the adapter raises whatever it stumbles over
        problem = f"OpenTimelineIO cannot read it: {type(error).__name__} {error}"
        raise source.bad("", problem, "export the sequence alone, as Final Cut Pro XML") from None
    sequence = sequence_of(held, source, is_fcp7=True)
    sequence.notes[:0] = notes
    length = _first_sequence(root, source).findtext("./duration", "")
    if sequence.timebase is not None and length.isdigit() and sequence.duration is not None:
        sequence.duration = max(sequence.duration, sequence.timebase.seconds(int(length)))
    return sequence


def _first_sequence(root: ElementTree.Element, source: Source) -> ElementTree.Element:
    first = root.find("./sequence")
    if first is None:
        first = root.find(".//children/sequence")
    if first is None:
        raise source.bad("", "it holds no sequence", "export the sequence, not clips of the bin")
    return first


def _prepare(root: ElementTree.Element, source: Source) -> list[str]:
    """Put right what the adapter stumbles over, leave out what it does not need; refuse what it would misplace."""
    outermost = _first_sequence(root, source)
    _check_references(root, source)
    notes = []
    num_misplaced = 0
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "filter":
                parent.remove(child)
            elif child.tag == "marker" and _frame(child, "in") is None:
                parent.remove(child)
                num_misplaced += 1
            elif child.tag == "marker" and _frame(child, "out") is None:
                ElementTree.SubElement(child, "out").text = "-1"
        if parent.tag in ("clipitem", "generatoritem") and not any(
            parent.find(tag) is not None for tag in ("file", "sequence")
        ):
            ElementTree.SubElement(parent, "file")
        if parent.tag == "sequence" and parent is not outermost:
            for media in parent.findall("./media"):  # not where it looks if nested
                parent.extend(media)
                media.clear()
        if parent.tag == "track":
            _check_track(parent, source)
    if num_misplaced:
        notes.append(f"markers that do not say where were left out: {num_misplaced}")
    return notes


def _check_references(root: ElementTree.Element, source: Source) -> None:
    """The adapter puts an element in the place of each that has its id, in one another: that may not go on for ever."""
    alike: dict[str, list[ElementTree.Element]] = {}
    for element in root.iter():
        if element.get("id"):
            alike.setdefault(element.get("id", ""), []).append(element)
    sizes: dict[ElementTree.Element, int] = {}

    def size(element: ElementTree.Element, depth: int) -> int:
        """Of the largest that may come in its place: which one does depends on the way the adapter goes."""
        candidates = alike.get(element.get("id", ""), [element])
        if candidates[0] not in sizes:
            if depth > MAX_DEPTH:
                raise source.bad(str(element.tag), f"elements refer {depth} deep", f"allowed are {MAX_DEPTH}")
            sizes[candidates[0]] = MAX_ELEMENTS + 1  # of one within itself
            sizes[candidates[0]] = 1 + max(sum(size(child, depth + 1) for child in one) for one in candidates)
        return sizes[candidates[0]]

    if size(root, 0) > MAX_ELEMENTS:
        raise source.bad("", f"its elements are more than {MAX_ELEMENTS}, with those they refer to", "export a part")


def _check_track(track: ElementTree.Element, source: Source) -> None:
    """The adapter lays clips end to end: they have to come in order, and not to overlap."""
    end = 0
    items = [item for item in track if item.tag in _ITEMS]
    for index, item in enumerate(items):
        if len(item) == 0 and item.get("id"):
            continue  # refers to another
        where = f"{item.tag} {item.get('id') or item.findtext('./name', '')!r}".strip()
        start, stop = _frame(item, "start"), _frame(item, "end")
        if start is None or stop is None or (start >= 0 and 0 <= stop < start):
            raise source.bad(where, "its start and end are not whole numbers in order", "export the sequence anew")
        if item.tag == "transitionitem":
            continue
        for frame, neighbour in ((start, index - 1), (stop, index + 1)):
            if frame < 0 and not (0 <= neighbour < len(items) and items[neighbour].tag == "transitionitem"):
                raise source.bad(where, "its place is left to a transition, and there is none", "export it anew")
        if 0 <= start < end:
            raise source.bad(where, f"it starts at frame {start}, before the clip before it has ended at {end}",
                             "order the clips, and let none overlap in a track")  # fmt: skip
        end = max(end, stop)


def _frame(element: ElementTree.Element, tag: str) -> int | None:
    try:
        return int(float(element.findtext(tag, "")))
    except (ValueError, OverflowError):
        return None


def write(markers: Markers) -> str:
    """A sequence with the music in it and the markers on it. Raises `BadMarkers` at a rate without SMPTE timecode."""
    import opentimelineio as otio

    if not otio.opentime.RationalTime.is_valid_timecode_rate(float(markers.frame_rate)):
        raise BadMarkers(f"xml has no timecode at {float(markers.frame_rate):g} fps; write fcpxml, otio, csv or json")
    timeline: Any = timeline_of(markers)
    timecode = {"displayformat": "DF" if markers.drop_frame else "NDF"}
    timeline.metadata["fcp_xml"] = {"timecode": timecode}
    for marker in timeline.tracks.markers:
        if (colour := PREMIERE_COLOURS.get(marker.metadata[OURS]["kind"])) is not None:
            marker.metadata["fcp_xml"] = {"pproColor": colour}
    root = ElementTree.fromstring(otio.adapters.write_to_string(timeline, "fcp_xml"))
    for marker in root.iter("marker"):
        out = marker.find("./out")
        if out is not None and out.text == marker.findtext("./in"):
            out.text = "-1"  # a place, not a range
    ElementTree.indent(root)
    body = ElementTree.tostring(root, "unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE xmeml>\n{body}\n'
