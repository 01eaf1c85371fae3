"""The tempo that a timeline asks for, second by second, before any beat is moved. In: a timeline; out: a `Pace`.

Remembers nothing; any thread.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import TYPE_CHECKING

from moods.course import MAX_TEMPO_STEP, TEMPO_DEAD_ZONE
from moods.fields import MoodFields, read_over
from moods.mood import style_bpm
from moods.targets import opening_point, targets_of

if TYPE_CHECKING:
    from moods.timeline import Timeline

_GLIDE_STEP_S = 0.1
"""A glide of the tempo is drawn in steps of this length."""


class Pace:
    """Tempo over time in steps; its beats are counted from 0, with fractions, and tell how much music there is."""

    def __init__(self, steps: list[tuple[float, float]]) -> None:
        """`steps`: from which second on which tempo, in order, the first from 0 on."""
        self._seconds, self._bpm = [at for at, _ in steps], [bpm for _, bpm in steps]
        self._beats = [0.0]
        for at, until, bpm in zip(self._seconds, self._seconds[1:], self._bpm, strict=False):
            self._beats.append(self._beats[-1] + (until - at) * bpm / 60)

    @property
    def lowest_bpm(self) -> float:
        return min(self._bpm)

    @property
    def highest_bpm(self) -> float:
        return max(self._bpm)

    def bpm_at(self, second: float) -> float:
        return self._bpm[bisect_right(self._seconds, second) - 1]

    def beats_at(self, second: float) -> float:
        """Beats from the beginning to `second`."""
        step = bisect_right(self._seconds, second) - 1
        return self._beats[step] + (second - self._seconds[step]) * self._bpm[step] / 60

    def seconds_at(self, beats: float) -> float:
        """Where so many beats are over."""
        step = bisect_right(self._beats, beats) - 1
        return self._seconds[step] + (beats - self._beats[step]) * 60 / self._bpm[step]


def pace_of(timeline: Timeline) -> Pace:
    """The tempo of the moods asked for. It changes where a section asks for another, as quickly as a glide may."""
    wanted = _Wanted(timeline)
    steps: list[tuple[float, float]] = []
    for section in timeline.sections:
        before, at_once = wanted.bpm, section.at == 0
        wanted.hear(section)
        if at_once:
            wanted.settle()
        else:
            steps = steps or [(0.0, before)]
            over_s = _seconds(section.over, before)
            steps += _glide(section.at, over_s, _running(steps, section.at), wanted.bpm)
    return Pace(steps or [(0.0, wanted.bpm)])


def energies_of(timeline: Timeline) -> tuple[float, list[tuple[float, float]]]:
    """The energy at the beginning, and from which second on which, for each later section."""
    wanted = _Wanted(timeline)
    energy, later = wanted.energy, list[tuple[float, float]]()
    for section in timeline.sections:
        wanted.hear(section)
        if section.at == 0:
            energy = wanted.energy
        else:
            later.append((section.at, wanted.energy))
    return energy, later


class _Wanted:
    """What the fields heard so far ask of the tempo."""

    def __init__(self, opening: MoodFields) -> None:
        point = opening_point(opening)
        self._style, self._energy, self._of_mood, self._asked = point.style, point.energy, point.bpm, opening.bpm
        self.bpm = 0.0
        self.hear(opening)
        self.settle()

    def hear(self, fields: MoodFields) -> None:
        targets = targets_of(fields)
        self._style = targets.get("style", self._style)
        self._energy = targets.get("energy", self._energy)
        self._of_mood = targets.get("mood.bpm", self._of_mood)
        self._asked = targets.get("bpm", self._asked)
        wanted = self._now()
        if not self._is_left_open or abs(wanted / self.bpm - 1) >= TEMPO_DEAD_ZONE:
            self.bpm = wanted

    def settle(self) -> None:
        """There is no tempo before this one, that a small change could leave as it is."""
        self.bpm = self._now()

    @property
    def energy(self) -> float:
        return self._energy

    @property
    def _is_left_open(self) -> bool:
        return self._asked is None and self._of_mood is None and self.bpm > 0

    def _now(self) -> float:
        return self._asked or self._of_mood or float(round(style_bpm(self._style, self._energy)))


def _seconds(over: float | str | None, bpm: float) -> float:
    if over is None:
        return 0.0
    length, in_beats = read_over(over)
    return length * 60 / bpm if in_beats else length


def _running(steps: list[tuple[float, float]], at_s: float) -> float:
    """The tempo at `at_s`; what would have come later is dropped."""
    while steps[-1][0] >= at_s:
        steps.pop()
    return steps[-1][1]


def _glide(at_s: float, over_s: float, start_bpm: float, bpm: float) -> list[tuple[float, float]]:
    beats = abs(math.log(bpm / start_bpm)) / math.log1p(MAX_TEMPO_STEP)
    length_s = max(over_s, beats * 60 / max(bpm, start_bpm))
    num_steps = round(length_s / _GLIDE_STEP_S) if bpm != start_bpm else 0
    ratio = bpm / start_bpm
    return [
        (at_s + step * length_s / num_steps, start_bpm * ratio ** ((step + 0.5) / num_steps))
        for step in range(num_steps)
    ] + [(at_s + (length_s if num_steps else 0.0), bpm)]
