"""A timeline of OpenTimelineIO with what editing programs put into one, and where its places are."""

from __future__ import annotations

import opentimelineio as otio
from opentimelineio import schema

CUTS = {
    20: 0.4, 50: 0.4,  # a title on the second track
    60: 0.4,  # a cut of the first track under a clip of the second
    55: 0.8, 80: 0.8,
    102: 0.5,  # a dissolve, 8 frames before the cut to 12 after
    120: 1.0, 130: 1.0, 150: 1.0,  # a nested sequence with a cut, then a gap
    160: 1.0,
}  # fmt: skip
HITS, SECTIONS = [30, 70], [140]


def timeline(rate: float) -> schema.Timeline:
    def span(start: float, length: float) -> otio.opentime.TimeRange:
        return otio.opentime.TimeRange(
            otio.opentime.RationalTime(start, rate), otio.opentime.RationalTime(length, rate)
        )

    def clip(start: float, length: float, **more: object) -> schema.Clip:
        reference = schema.ExternalReference("file:///a.mov", span(0, 100_000))
        return schema.Clip("a", reference, span(start, length), **more)

    def marker(name: str, frame: float, color: str = "BLUE") -> schema.Marker:
        return schema.Marker(name, span(frame, 0), color)

    dissolve = schema.Transition(
        "d", "SMPTE_Dissolve", otio.opentime.RationalTime(8, rate), otio.opentime.RationalTime(12, rate)
    )
    inner = schema.Track("in", [clip(0, 25), clip(90, 60)], kind="Video")
    nested = schema.Stack("nested", [inner], span(15, 30), markers=[marker("mood: epic", 35)])
    first = schema.Track(
        "V1",
        [
            clip(1000, 60, markers=[marker("reveal", 1030, "RED"), marker("hit", 990), marker("hit", 1060)]),
            clip(0, 40), dissolve, clip(5000, 20), nested, schema.Gap(source_range=span(0, 10)), clip(0, 40),
        ],
        kind="Video",
    )  # fmt: skip
    off = clip(0, 10)
    off.enabled = False
    title = schema.Clip("t", schema.GeneratorReference("t", "Text", span(0, 30)), span(0, 30))
    second = schema.Track(
        "V2",
        [
            schema.Gap(source_range=span(0, 20)), title, schema.Gap(source_range=span(0, 5)), clip(300, 25),
            off,
        ],
        kind="Video",
    )  # fmt: skip
    sound = schema.Track("A1", [clip(7, 111)], kind="Audio")
    whole = schema.Timeline("cut", global_start_time=otio.opentime.RationalTime(round(rate) * 3600, rate))
    whole.tracks.extend([first, second, sound])
    whole.tracks.markers.append(marker("!", 70))
    return whole
