"""What is made of a timeline, for people to look at. In: a timeline; out: a message. Remembers nothing; any thread.

The plan itself stays with the timeline.
"""

from __future__ import annotations

from moods.clock import FRAMES_PER_SECOND, Clock
from moods.intent import BEATS_PER_BAR
from moods.timeline import Timeline
from streaming.messages import Anchor, Plan, PlannedSection, TempoRange


def planned(timeline: Timeline) -> Plan:
    """Beats and bars within the piece, sections, and how well beats fall on the places that matter."""
    plan, end_frame = timeline.plan, timeline.num_frames
    clock = Clock(plan.bpm_at)

    def seconds_of(beat: int) -> float:
        return round(clock.frame_of_beat(beat) / FRAMES_PER_SECOND, 6)

    beats = [seconds_of(beat) for beat in range(clock.first_beat_from(end_frame))]
    sections = [(BEATS_PER_BAR * section.first_bar, section.name) for section in plan.sections]
    return Plan(
        duration=end_frame / FRAMES_PER_SECOND,
        beats=beats,
        bars=beats[::BEATS_PER_BAR],
        sections=[PlannedSection(at=beats[beat], name=name) for beat, name in sections if beat < len(beats)],
        anchors=[
            Anchor(at=anchor.at_s, kind=anchor.kind, error_ms=round(anchor.error_ms, 3)) for anchor in plan.anchors
        ],
        tempo=TempoRange(
            asked=round(plan.asked_bpm, 3), lowest=round(plan.lowest_bpm, 3), highest=round(plan.highest_bpm, 3)
        ),
    )
