"""Fitting: tempo and bars chosen so that beats fall on the places that matter. In: a timeline; out: a `Plan`.

What matters, from the most: where the piece ends, where a section begins (a bar line is wanted there), what is to be
struck, cuts by their weights. `moods.pace` says which tempo is asked for, `moods.pulse` lays the beats; tempo never
leaves its range around what is asked, but for a loop that no whole number of bars would fill. Remembers nothing;
any thread.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Literal

from moods.clock import FRAMES_PER_SECOND
from moods.ending import chord_window
from moods.intent import BEATS_PER_BAR
from moods.outline import Mark, plan_sections
from moods.pace import Pace, energies_of, pace_of
from moods.plan import Anchor, Plan, PlannedSection
from moods.pulse import Met, Spot, glide, meet

if TYPE_CHECKING:
    from moods.timeline import Timeline

HIT_WEIGHT, SECTION_WEIGHT, STOP_WEIGHT = 4.0, 6.0, 2.0
"""Against 1 for a cut."""
SECTION_BAR_WEIGHT, END_BAR_WEIGHT, HIT_BAR_WEIGHT = 5.0, 1.0, 0.3
"""What it costs if the beat that is met begins no bar."""
_CHORD_STEP_S = 0.1
_CHORD_COST = 1.0
"""Of a last chord at the border of where it may be."""
_UNSEEN_S = 1 / 60
"""A beat so near to a cut is on it, where the picture's frames are not known."""
_SHARE_OF_FRAME = 0.98
"""Of a frame of the picture, that a beat may be away from a cut."""
_WIDER = 1.5
"""So much wider becomes the range of tempo, again and again, until the end of a loop can be met."""
_BPM = (40.0, 240.0)


@dataclass(frozen=True, slots=True)
class _Wish:
    """A place that a beat should fall on, in seconds."""

    at_s: float
    kind: Literal["hit", "cut", "section", "end"]
    weight: float
    tolerance_s: float = 0.0
    bar_weight: float = 0.0


def fit(timeline: Timeline) -> Plan:
    """The plan of a timeline: pure, and the same for every seed."""
    pace = pace_of(timeline)
    wishes = _wishes(timeline)
    places = sorted(_spots(wishes, pace) | _last_spots(timeline, wishes, pace), key=lambda place: place[1].at)
    met, slowest, fastest = _meet([spot for _, spot in places], timeline, pace)
    num_beats = ceil(pace.beats_at(timeline.num_frames / FRAMES_PER_SECOND) * fastest) + BEATS_PER_BAR
    beats = glide(met, max(num_beats, met[-1].beat + 1), slowest, fastest)
    frames = [round(pace.seconds_at(beat) * FRAMES_PER_SECOND) for beat in beats]
    end_beat = None
    for index, beat, _ in met[1:]:
        at_s, spot = places[index]
        if spot.tolerance == 0:  # to the frame, whatever rounding says
            frames[beat] = round(at_s * FRAMES_PER_SECOND)
        end_beat = beat if spot.is_last else None
    steps = _tempo_of(frames)
    heard = [bpm for beat, bpm in steps if frames[beat] < timeline.num_frames]
    asked = [float(round(pace.bpm_at(frame / FRAMES_PER_SECOND))) for frame in frames]
    return Plan(
        steps,
        tuple((beat, bpm) for beat, bpm in enumerate(asked) if beat == 0 or bpm != asked[beat - 1]),
        _sections(timeline, frames, end_beat),
        end_beat,
        _anchors(wishes, frames, end_beat),
        pace.bpm_at(0.0),
        min(heard),
        max(heard),
    )


# --- what is wished ---------------------------------------------------------------------------------------------------


def _wishes(timeline: Timeline) -> list[_Wish]:
    """By their place; none at the beginning, where there is a beat anyway."""
    tolerance_s = _UNSEEN_S if timeline.fps is None else _SHARE_OF_FRAME / float(timeline.frame_rate)
    wishes = [_Wish(hit.at, "hit", HIT_WEIGHT, 0.0, HIT_BAR_WEIGHT) for hit in timeline.hits]
    wishes += [_Wish(cut.at, "cut", cut.weight, tolerance_s) for cut in timeline.cuts if cut.weight]
    wishes += [_Wish(section.at, "section", SECTION_WEIGHT, 0.0, SECTION_BAR_WEIGHT) for section in timeline.sections]
    if timeline.ending == "stop":
        wishes.append(_Wish(timeline.num_frames / FRAMES_PER_SECOND, "end", STOP_WEIGHT))
    return sorted((wish for wish in wishes if wish.at_s > 0), key=lambda wish: wish.at_s)


_Places = set[tuple[float, Spot]]
"""Spots, each with its second."""


def _spots(wishes: Iterable[_Wish], pace: Pace) -> _Places:
    """What is wished, in beats; wishes that lie together are one, placed where the strictest of them is."""
    together: list[list[_Wish]] = []
    for wish in wishes:
        strictest = min(together[-1], key=lambda other: other.tolerance_s) if together else None
        if strictest is not None and wish.at_s - strictest.at_s <= max(wish.tolerance_s, strictest.tolerance_s):
            together[-1].append(wish)
        else:
            together.append([wish])
    places: _Places = set()
    for group in together:
        strictest = min(group, key=lambda wish: wish.tolerance_s)
        at_s, tolerance = strictest.at_s, strictest.tolerance_s * pace.bpm_at(strictest.at_s) / 60
        weight, bar_weight = sum(wish.weight for wish in group), max(wish.bar_weight for wish in group)
        places.add((at_s, Spot(pace.beats_at(at_s), tolerance, weight, bar_weight)))
    return places


def _last_spots(timeline: Timeline, wishes: Sequence[_Wish], pace: Pace) -> _Places:
    """Where the last beat may fall: one of these is met, whatever it costs."""
    end_s, how = timeline.num_frames / FRAMES_PER_SECOND, timeline.ending
    if how == "loop":
        return {(end_s, Spot(pace.beats_at(end_s), 0.0, 0.0, bar_weight=1e6, is_last=True))}
    window = chord_window(how, end_s)
    if window is None:
        return set()
    latest_s, best_s, earliest_s = window
    cuts = {wish.at_s: wish.weight for wish in wishes if end_s - earliest_s <= wish.at_s <= end_s - latest_s}
    num_steps = max(1, round((earliest_s - latest_s) / _CHORD_STEP_S))
    step_s = (earliest_s - latest_s) / num_steps
    grid = {end_s - earliest_s + (step + 0.5) * step_s: 0.0 for step in range(num_steps)}
    places: _Places = set()
    for at_s, weight in (grid | cuts).items():
        side_s = best_s - latest_s if end_s - at_s < best_s else earliest_s - best_s
        cost = _CHORD_COST * ((end_s - at_s - best_s) / max(side_s, 1e-9)) ** 2 - weight
        tolerance = 0.0 if at_s in cuts else step_s / 2 * pace.bpm_at(at_s) / 60
        places.add((at_s, Spot(pace.beats_at(at_s), tolerance, 0.0, END_BAR_WEIGHT, is_last=True, cost=cost)))
    return places


# --- what becomes of it -----------------------------------------------------------------------------------------------


def _meet(spots: list[Spot], timeline: Timeline, pace: Pace) -> tuple[list[Met], float, float]:
    """The spots that are met, and the slowest and the fastest tempo as shares of the asked one."""
    width = timeline.tempo_width
    while True:
        slowest = min(1.0, max(1 - width, _BPM[0] / pace.lowest_bpm))
        fastest = max(1.0, min(1 + width, _BPM[1] / pace.highest_bpm))
        met = meet(spots, slowest, fastest)
        is_bar = timeline.ending != "loop" or (met is not None and met[-1].beat % BEATS_PER_BAR == 0)
        if met is not None and is_bar:
            return met, slowest, fastest
        if width >= 4:  # too short for a bar, at any tempo
            return met or [Met(-1, 0, 0.0)], slowest, fastest
        width = max(width, 0.02) * _WIDER


def _tempo_of(frames: list[int]) -> tuple[tuple[int, float], ...]:
    """From which beat on which tempo, so that a clock counts to the very frames."""
    lengths = [end - start for start, end in pairwise(frames)]
    return tuple(
        (beat, 60 * FRAMES_PER_SECOND / length)
        for beat, length in enumerate(lengths)
        if beat == 0 or length != lengths[beat - 1]
    )


def _sections(timeline: Timeline, frames: list[int], end_beat: int | None) -> tuple[PlannedSection, ...]:
    """The form of the piece: a section begins on the bar next to where the timeline has one."""
    if end_beat is None:
        num_bars = ceil(bisect_left(frames, timeline.num_frames) / BEATS_PER_BAR)
    else:
        num_bars = end_beat // BEATS_PER_BAR + (timeline.ending != "loop")
    energy, later = energies_of(timeline)
    marks: dict[int, Mark] = {}
    for at_s, level in later:
        bar = round(_nearest(frames, round(at_s * FRAMES_PER_SECOND)) / BEATS_PER_BAR)
        if bar > 0:
            marks[bar] = Mark(bar, level)
    return plan_sections(max(1, num_bars), energy, list(marks.values()), timeline.ending)


def _nearest(frames: list[int], frame: int) -> int:
    """The beat that begins nearest to `frame`."""
    after = bisect_left(frames, frame)
    return min(
        (beat for beat in (after - 1, after) if 0 <= beat < len(frames)), key=lambda beat: abs(frames[beat] - frame)
    )


def _anchors(wishes: list[_Wish], frames: list[int], end_beat: int | None) -> tuple[Anchor, ...]:
    """What became of each wish, and the end."""
    anchors: list[Anchor] = []
    for wish in wishes:
        frame = round(wish.at_s * FRAMES_PER_SECOND)
        beat = _nearest(frames, frame)
        error_s = (frames[beat] - frame) / FRAMES_PER_SECOND
        rounding_s = 1 / FRAMES_PER_SECOND if wish.tolerance_s else 0.0
        is_met = abs(error_s) <= wish.tolerance_s + rounding_s
        anchors.append(Anchor(wish.at_s, wish.kind, wish.weight, beat if is_met else None, round(error_s * 1000, 3)))
    if end_beat is not None:
        anchors.append(Anchor(frames[end_beat] / FRAMES_PER_SECOND, "end", SECTION_WEIGHT, end_beat, 0.0))
    return tuple(sorted(anchors, key=lambda anchor: anchor.at_s))
