"""Where in the music something is to begin. In: `at` of controls; out: beats and frames.

Remembers nothing; one thread at a time, that of the course.
"""

from __future__ import annotations

import math

from moods.clock import FRAMES_PER_SECOND
from moods.control import Section, SkipPiece, Steer
from moods.course import Course
from moods.errors import OutOfRange
from moods.fields import OnBeat, Seconds, grid_beats
from moods.intent import BEATS_PER_BAR
from moods.part import Edge
from moods.sections import Sections

MAX_AHEAD_SECONDS = 3600.0
"""How far ahead a position in seconds may lie: the tempo map is worked out up to there at once."""
_MAX_SEAM_SECONDS = 600.0
"""The same of a section or cut: with each all that comes after it is worked out anew."""
EARLY_FRAMES = FRAMES_PER_SECOND // 40
"""Notes that are to change at a second change with a beat that begins so shortly before it, too."""


def next_beat(form: Sections, at: str | OnBeat, earliest_beat: int) -> int:
    """The first beat from `earliest_beat` on that lies on the grid `at`. Where a section begins, all counting does."""
    if isinstance(at, OnBeat):
        return max(earliest_beat, at.beat)
    multiple = grid_beats(at)
    if multiple is not None and BEATS_PER_BAR % multiple == 0:
        return -(-earliest_beat // multiple) * multiple
    first, end = form.section_of(earliest_beat)
    if earliest_beat == first or multiple is None:
        return first if earliest_beat == first else end
    bar_beat = first // BEATS_PER_BAR * BEATS_PER_BAR
    return min(end, bar_beat - (bar_beat - earliest_beat) // multiple * multiple)


def frame_of_second(at: Seconds, edge: Edge, max_ahead_s: float = MAX_AHEAD_SECONDS) -> int:
    """Where that second begins. Raises `OutOfRange` for one that has passed or lies too far ahead."""
    frame, soonest = round(at.seconds * FRAMES_PER_SECOND), edge.frame / FRAMES_PER_SECOND
    furthest = soonest + max(max_ahead_s, edge.ahead_s)
    if not edge.frame <= frame <= furthest * FRAMES_PER_SECOND:
        raise OutOfRange("at.seconds", at.seconds, math.ceil(soonest * 100) / 100, furthest)
    return frame


def note_beat(course: Course, frame: int, edge: Edge) -> int:
    """The beat with which notes change that are to change at `frame`."""
    return max(edge.beat, course.clock.first_beat_from(max(edge.frame, frame - EARLY_FRAMES)))


def seam_beat(course: Course, control: Section | SkipPiece | Steer, edge: Edge) -> int:
    """Where a section or piece begins or a cut is made; what is bridged leaves a bar for that. Raises `OutOfRange`."""
    earliest_beat, at = edge.beat, control.at or "bar"
    if isinstance(control, Steer) and control.how == "bridge":
        earliest_beat += BEATS_PER_BAR
    if isinstance(at, Seconds):
        return max(earliest_beat, note_beat(course, frame_of_second(at, edge, _MAX_SEAM_SECONDS), edge))
    assert isinstance(at, str | OnBeat), at
    return next_beat(course.form, at, earliest_beat)
