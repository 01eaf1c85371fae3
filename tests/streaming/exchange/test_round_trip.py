"""Markers that are written come back at the same frame: to us, and to whoever reads them by OpenTimelineIO."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from random import Random
from xml.etree import ElementTree

import opentimelineio as otio
import pytest

from streaming.files.exchange import BadMarkers, Marker, Markers, markers_document, read_exchange, write_markers
from streaming.files.exchange.markers import KINDS
from streaming.files.exchange.writing import FORMATS

NTSC = Fraction(1000, 1001)
COUNTS = [
    (24 * NTSC, False, "00:00:00:00"), (Fraction(25), False, "10:00:00:00"), (30 * NTSC, False, "01:00:00:00"),
    (30 * NTSC, True, "01:00:00;00"), (60 * NTSC, True, "01:00:00;00"), (Fraction(120), False, None),
]  # fmt: skip


def hour(rate: Fraction, is_drop: bool, start: str | None, media: Path | None = None) -> Markers:
    """An hour with marks at frames drawn by lot, a little beside them as music is, and the last frame."""
    count = round(3600 * rate)
    places = sorted({0, count - 1, *Random(3).sample(range(1, count), 200)})
    beside = [0, *((frame + Random(frame).uniform(-0.4, 0.4)) / rate for frame in places[1:])]
    kinds = ("section", "hit", "bar", "beat")
    markers = tuple(
        Marker(Fraction(at), f"{kinds[i % 4]} {i}.{i % 4}" if i % 4 > 1 else f"no. {i}", kinds[i % 4])
        for i, at in enumerate(beside)
    )
    return Markers(rate, is_drop, start, Fraction(3600), 'An "hour" & more', markers, media)


def frames_of(markers: Markers, kind: str) -> list[int]:
    return [markers.frame(marker) for marker in markers.markers if marker.kind == kind]


@pytest.mark.parametrize("rate, is_drop, start", COUNTS, ids=str)
@pytest.mark.parametrize("ending", FORMATS)
def test_markers_come_back_at_the_same_frame(ending: str, rate: Fraction, is_drop: bool, start: str | None) -> None:
    markers = hour(rate, is_drop, start)
    if ending == "xml" and rate == 120:
        with pytest.raises(BadMarkers, match="xml has no timecode at 120 fps; write fcpxml, otio, csv or json"):
            markers_document(markers, ending)
        return
    document = markers_document(markers, ending)
    timeline = read_exchange(document, f"x.{ending}", fps=rate, duration=Fraction(3600)).timeline
    assert (timeline.frame_rate, timeline.drop_frame) == (rate, is_drop and ending != "txt")
    assert round(Fraction(timeline.duration) * rate) == markers.length_frames
    for kind, places in (("hit", timeline.hits), ("section", timeline.sections)):
        named = {marker.name: markers.frame(marker) for marker in markers.markers if marker.kind == kind}
        assert {place.name: round(Fraction(place.at) * rate) for place in places} == named
    assert timeline.cuts == []  # bars and beats are nothing to us


@pytest.mark.parametrize("rate, is_drop, start", COUNTS[:-1], ids=str)
@pytest.mark.parametrize("ending, adapter", [("otio", "otio_json"), ("xml", "fcp_xml")])
def test_opentimelineio_finds_them_at_the_same_frame(
    ending: str, adapter: str, rate: Fraction, is_drop: bool, start: str
) -> None:
    markers = hour(rate, is_drop, start, Path("/music/a b.wav"))
    read = otio.adapters.read_from_string(markers_document(markers, ending).decode(), adapter)
    assert round(read.global_start_time.value) == markers.start_frame
    assert abs(read.global_start_time.rate - float(rate)) < 1e-6 and read.duration().value == markers.length_frames
    found = [(round(marker.marked_range.start_time.value), marker.name) for marker in read.tracks.markers]
    expected = [(markers.frame(marker), marker.label) for marker in markers.markers if marker.kind != "beat"]
    assert found == expected
    clip = read.find_clips()[0]
    assert clip.media_reference.target_url == "file:///music/a%20b.wav"


@pytest.mark.parametrize("rate, is_drop, start", COUNTS[:-1], ids=str)
def test_the_adapter_of_edit_lists_reads_markers_as_events(rate: Fraction, is_drop: bool, start: str) -> None:
    markers = hour(rate, is_drop, start)
    read = otio.adapters.read_from_string(markers_document(markers, "edl").decode(), "cmx_3600", rate=float(rate))
    track = read.tracks[0]
    first = track.source_range.start_time.value if track.source_range else 0
    found = [round(track.range_of_child(clip).start_time.value - first) for clip in track.find_clips()]
    shift = found[0]
    assert [frame - shift for frame in found] == [
        markers.frame(marker) for marker in markers.markers if marker.kind != "beat"
    ]


def test_the_adapter_of_final_cut_reads_markers_at_whole_rates() -> None:
    """At others it rounds the rate itself: 29.97 is 29 to it."""
    markers = hour(Fraction(25), False, "00:00:00:00", Path("/music/a.wav"))
    collection = otio.adapters.read_from_string(markers_document(markers, "fcpxml").decode(), "fcpx_xml")
    clip = next(iter(collection[0].find_clips()))
    found = [marker.marked_range.start_time.value for marker in clip.markers]
    expected = [markers.frame(marker) for marker in markers.markers if marker.kind != "beat"]
    assert all(abs(one - other) <= 1 for one, other in zip(found, expected, strict=True))  # it cuts floats off


def test_final_cut_times_are_whole_frames() -> None:
    markers = hour(30 * NTSC, True, "01:00:00;00", Path("/music/a.wav"))
    root = ElementTree.fromstring(markers_document(markers, "fcpxml"))
    for element in root.iter():
        for name in ("start", "offset", "duration", "tcStart"):
            time = Fraction((element.get(name) or "0s").rstrip("s"))
            assert (time * 30 * NTSC).denominator == 1


def test_beats_are_written_where_they_do_not_bury_a_timeline_or_are_asked_for() -> None:
    markers = Markers(Fraction(25), False, None, Fraction(8), "a", tuple(bars_of_beats()))
    for ending in FORMATS:
        counts = [
            sum(markers_document(markers, ending, kinds).decode().count(f"beat {i}.") for i in range(1, 5))
            for kinds in (None, ("beat",), ("bar",))
        ]
        assert counts[2] == 0 and counts[1] == (16 if ending not in ("csv", "json") else counts[1])
        assert counts[0] == (counts[1] if ending in ("csv", "json", "txt") else 0)
    rows = json.loads(markers_document(markers, "json"))["markers"]
    assert [row["kind"] for row in rows].count("beat") == 16


def bars_of_beats() -> Iterator[Marker]:
    for beat in range(16):
        yield Marker(Fraction(beat, 2), f"{beat // 4 + 1}.{beat % 4 + 1}", "beat")
        if beat % 4 == 0:
            yield Marker(Fraction(beat, 2), str(beat // 4 + 1), "bar")


def test_a_frame_has_one_marker_in_a_list_for_resolve() -> None:
    marks = (
        Marker(Fraction(2), "3", "bar"),
        Marker(Fraction(2), "door | left", "hit"),
        Marker(Fraction(1), "B", "section", Fraction(2)),
    )
    text = markers_document(Markers(Fraction(25), False, None, Fraction(8), "a\nb", marks), "edl").decode()
    assert text.startswith(
        "TITLE: a b\r\nFCM: NON-DROP FRAME\r\n\r\n001  001      V     C        00:00:01:00 00:00:01:01 "
    )
    assert " |C:ResolveColorBlue |M:section: B |D:50\r\n" in text
    assert " |C:ResolveColorRed |M:hit: door / left, bar 3 |D:1\r\n" in text


def test_hits_are_red_in_premiere_and_bars_green() -> None:
    marks = tuple(Marker(Fraction(i), str(i), kind) for i, kind in enumerate(("hit", "section", "bar", "beat")))
    document = markers_document(Markers(Fraction(25), False, None, Fraction(8), "a", marks), "xml", KINDS)
    found = ElementTree.fromstring(document).iter("marker")
    colours = [(marker.findtext("name"), marker.findtext("pproColor"), marker.findtext("out")) for marker in found]
    assert colours == [
        ("hit: 0", "4281740498", "-1"), ("section: 1", "4294741314", "-1"), ("bar 2", None, "-1"),
        ("beat 3", "4292277273", "-1"),
    ]  # fmt: skip


def test_a_marker_of_the_end_is_not_written() -> None:
    markers = Markers(Fraction(25), False, None, Fraction(8), "a", (Marker(Fraction(799, 100), "5", "bar"),))
    assert json.loads(markers_document(markers, "json"))["markers"] == []


def test_labels_of_audacity_are_seconds_and_tabs() -> None:
    markers = Markers(
        Fraction(25), False, None, Fraction(8), "a", (Marker(Fraction(1, 3), "B", "section", Fraction(2)),)
    )
    assert markers_document(markers, ".txt") == b"0.333333\t2.333333\tsection: B\n"


def test_a_file_is_written_by_its_ending(tmp_path: Path) -> None:
    markers = Markers(Fraction(25), False, None, Fraction(8), "a", ())
    write_markers(tmp_path / "a.CSV", markers)
    assert (tmp_path / "a.CSV").read_bytes().startswith(b"\xef\xbb\xbf# fps: 25\r\n")
    with pytest.raises(BadMarkers, match=r'"\.aaf"; expected otio, fcpxml, xml, edl, csv, json, txt'):
        write_markers(tmp_path / "a.aaf", markers)
