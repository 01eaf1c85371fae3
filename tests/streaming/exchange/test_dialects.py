"""Files as Resolve, Premiere, Final Cut, Avid, spreadsheets and subtitle editors write them are read to the frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import opentimelineio as otio
import pytest

from streaming.files.exchange import Reading, read_exchange
from tests.streaming.exchange import otio_dialect

DIALECTS = Path(__file__).parent / "dialects"


def read(name: str, **known: Fraction) -> Reading:
    return read_exchange((DIALECTS / name).read_bytes(), name, **known)


def frames(reading: Reading, field: str) -> list[float]:
    """Of each place; they are whole."""
    places = [Fraction(place.at) * reading.timeline.frame_rate for place in getattr(reading.timeline, field)]
    assert all(abs(place - round(place)) < Fraction(1, 10**9) for place in places)
    return [round(place) for place in places]


def cuts(reading: Reading) -> dict[int, float]:
    return dict(zip(frames(reading, "cuts"), [cut.weight for cut in reading.timeline.cuts], strict=True))


def asked(reading: Reading, field: str) -> list[dict[str, object]]:
    return [{k: v for k, v in place.asked().items() if k != "at"} for place in getattr(reading.timeline, field)]


def test_a_cut_list_of_resolve() -> None:
    reading = read("resolve_cuts.edl")
    timeline = reading.timeline
    assert (timeline.duration, timeline.frame_rate, timeline.start_timecode) == (15.0, 24, "01:00:00:00")
    assert cuts(reading) == {72: 1.0, 144: 0.5, 240: 1.0, 264: 1.0}  # the second is a dissolve of a second
    assert frames(reading, "hits") == [96] and timeline.hits[0].name == "DOOR"
    assert reading.notes == ("its fps are not said; 24 was taken from its timecodes",)
    assert read("resolve_cuts.edl", fps=Fraction(24)).notes == ()


def test_markers_of_resolve_are_marks_and_no_cuts() -> None:
    reading = read("resolve_markers.edl", fps=Fraction(24), duration=Fraction(20))
    assert frames(reading, "hits") == [108] and asked(reading, "hits") == [{"name": "Reveal"}]
    assert frames(reading, "sections") == [0, 192]
    assert asked(reading, "sections") == [{"mood": "night", "energy": 0.3}, {"mood": "epic", "name": "The chase"}]
    assert cuts(reading) == {240: 1.0}  # a marker that says nothing is a place that matters


def test_a_drop_frame_list_of_premiere() -> None:
    reading = read("premiere_drop.edl")
    assert reading.timeline.drop_frame and reading.timeline.frame_rate == Fraction(30000, 1001)
    assert cuts(reading) == {1799: 1.0, 1827: 1.0}
    assert round(reading.timeline.duration * 30000 / 1001) == 17982


def test_a_list_of_avid_with_splits_wipes_keys_and_two_tracks() -> None:
    reading = read("avid.edl", fps=Fraction(25))
    assert cuts(reading) == {100: 1.0, 138: 0.4, 150: 0.4, 175: 0.8, 200: 1.0}
    assert reading.timeline.start_timecode == "02:00:00:00"
    assert reading.notes == ("lines of no known kind were left out: 1",)


def test_a_project_of_final_cut() -> None:
    reading = read("final_cut.fcpxml")
    timeline = reading.timeline
    assert timeline.frame_rate == Fraction(30000, 1001) and timeline.drop_frame
    assert timeline.num_frames == round(Fraction(720720, 30000) * 48000)
    assert cuts(reading) == {
        30: 0.4, 45: 1.0,  # a title, whose end is marked besides
        60: 0.8, 90: 0.8,  # B-roll of another rate, connected
        120: 1.0, 150: 0.8, 180: 1.0,  # a storyline over a gap
        360: 0.5,  # a dissolve
        390: 1.0, 450: 1.0,  # within a compound clip, as far as it is seen
        480: 1.0, 570: 1.0,  # an audition, a generator
    }  # fmt: skip
    assert frames(reading, "hits") == [30] and timeline.hits[0].name == "door"
    assert frames(reading, "sections") == [120] and timeline.sections[0].name == "Act two"
    assert timeline.speech == [(5.005, 5.5055)]  # a caption


def test_final_cut_xml_as_resolve_writes_it() -> None:
    reading = read("resolve.fcpxml")
    assert (reading.timeline.start_timecode, reading.timeline.duration) == ("01:00:00:00", 10.0)
    assert cuts(reading) == {100: 1.0, 175: 1.0, 200: 1.0}
    assert frames(reading, "hits") == [75] and reading.timeline.hits[0].name == "the door"


def test_a_sequence_of_premiere() -> None:
    reading = read("premiere.xml")
    timeline = reading.timeline
    assert timeline.frame_rate == Fraction(30000, 1001) and timeline.drop_frame and reading.notes == ()
    assert round(timeline.duration * 30000 / 1001) == 480
    assert cuts(reading) == {
        30: 0.4, 60: 0.4,  # a graphic
        90: 1.0,
        180: 0.5,  # a dissolve: both clips leave their place to it
        200: 1.0,  # a marker
        270: 1.0, 300: 1.0, 345: 1.0, 390: 1.0,  # a gap, a nested sequence with a cut; the disabled clip is none
    }  # fmt: skip
    assert frames(reading, "hits") == [30, 345]  # on a clip, whose media has timecode; a red one
    assert frames(reading, "sections") == [180]
    assert asked(reading, "sections") == [{"mood": "epic", "energy": 0.9, "name": "Chase"}]


@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(25), Fraction(60000, 1001)], ids=str)
def test_a_timeline_of_opentimelineio(rate: Fraction) -> None:
    reading = read_otio(otio_dialect.timeline(float(rate)))
    assert reading.timeline.frame_rate == rate
    assert cuts(reading) == otio_dialect.CUTS
    assert frames(reading, "hits") == otio_dialect.HITS
    assert frames(reading, "sections") == otio_dialect.SECTIONS


def test_red_says_nothing_where_all_markers_of_opentimelineio_have_that_default() -> None:
    whole = otio_dialect.timeline(25.0)
    whole.tracks.markers.clear()
    del whole.tracks[0][0].markers[1:]
    assert frames(read_otio(whole), "hits") == [30]
    whole.tracks.markers.append(otio.schema.Marker("zzz", otio.opentime.TimeRange(otio.opentime.RationalTime(95, 25))))
    whole.tracks[0][4].markers.clear()
    reading = read_otio(whole)
    assert reading.timeline.hits == [] and {30, 95} < cuts(reading).keys()
    assert reading.notes == ("all its markers are red, which was taken for nobody's choice",)


def read_otio(whole: otio.schema.Timeline) -> Reading:
    return read_exchange(otio.adapters.write_to_string(whole, "otio_json").encode(), "cut.otio")


def test_what_opentimelineio_reads_of_a_plain_list_is_what_we_read() -> None:
    text = (DIALECTS / "resolve_cuts.edl").read_text()
    plain = "".join(line + "\n" for line in text.splitlines() if not line.startswith("EFFECTS"))
    theirs = otio.adapters.read_from_string(plain, "cmx_3600", rate=24)
    track = next(track for track in theirs.tracks if track.name == "V")
    places = {round(track.range_of_child(clip).start_time.value) for clip in track.find_clips()}
    ours = cuts(read("resolve_cuts.edl")).keys()
    assert places - {0} == ours - {144} | {132}  # a dissolve begins at 132 and has changed the picture at 144


def test_scenes_as_pyscenedetect_writes_them() -> None:
    timeline = read("scenes.csv").timeline
    assert ([cut.at for cut in timeline.cuts], timeline.duration) == ([2.08, 5.0], 12.0)
    assert [cut.at for cut in read("scenes.csv", fps=Fraction(25)).timeline.cuts] == [2.08, 5.0]


def test_a_table_with_semicolons_decimal_commas_and_timecode() -> None:
    reading = read("mood.csv")
    assert (reading.timeline.start_timecode, reading.timeline.duration) == ("10:00:00:00", 20.0)
    assert frames(reading, "sections") == [0, 200] and asked(reading, "sections") == [
        {"mood": "healing", "energy": 0.3, "name": "opening"},
        {"mood": "epic", "energy": 0.9, "over": "2 bars"},
    ]
    assert frames(reading, "hits") == [112] and frames(reading, "cuts") == [301, 388]


def test_markers_of_premiere_as_a_table() -> None:
    document = (DIALECTS / "premiere_markers.csv").read_text().replace("\n", "\r\n").encode("utf-16")
    reading = read_exchange(document, "markers.csv", fps=Fraction(30000, 1001), duration=Fraction(70))
    assert frames(reading, "hits") == [300] and frames(reading, "sections") == [1800]
    assert reading.notes == ()


@pytest.mark.parametrize(
    "table",
    [
        "4.2\n12.4\n", "4,2;\r\n12,4;\r\n", "\ufeffat\n4.2\n12.4\n", "0:04.2\tfirst look at zzz\n0:12.4\tzzz\n",
        "# a list\n\n00:00:04.200\n00:00:12.400\n", '"at","weight"\n"12.4","1"\n"4.2","1"\n',
        "Start,End,Label\n0,4.2,\n4.2,12.4,\n12.4,20,\n", "0.0\t4.2\t\n4.2\t12.4\t\n12.4\t20.0\t\n",
    ],
)  # fmt: skip
def test_a_cut_list_however_a_spreadsheet_writes_it(table: str) -> None:
    timeline = read_exchange(table.encode(), "cuts.csv", duration=Fraction(20)).timeline
    assert ([cut.at for cut in timeline.cuts], timeline.duration) == ([4.2, 12.4], 20.0)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_subtitles_tell_where_somebody_speaks(encoding: str, line_end: str) -> None:
    text = (DIALECTS / "talk.srt").read_text("utf-8").replace("♪", "#").replace("began", "bégân")
    timeline = read_exchange(text.replace("\n", line_end).encode(encoding), "talk.srt").timeline
    assert timeline.speech == [(1.0, 5.2), (20.0, 21.0)] and timeline.duration == 21.0


def test_subtitles_of_china_are_read_in_their_encoding() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n（掌声）\n\n2\n00:00:03,000 --> 00:00:04,000\n你好吗\n"
    assert read_exchange(text.encode("gb18030"), "x.srt").timeline.speech == [(3.0, 4.0)]


def test_webvtt_is_read_as_subtitles_are() -> None:
    text = "WEBVTT\n\nNOTE a --> b\n\nintro\n00:01.000 --> 00:02.500 align:start\n<v Ann>Hello\n"
    assert read_exchange(text.encode(), "x.vtt").timeline.speech == [(1.0, 2.5)]


def test_a_timeline_in_json_is_what_it_says() -> None:
    timeline = read_exchange('\ufeff{"duration": 30, "mood": "治愈", "hits": [4.2]}'.encode(), "x.json").timeline
    assert (timeline.duration, timeline.mood, timeline.hits[0].at) == (30.0, "healing", 4.2)
