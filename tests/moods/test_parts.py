"""A part that the controller has never heard of is a part like all others."""

from __future__ import annotations

from typing import Any

from moods.clock import Clock
from moods.control import Control, Panic, parse_control
from moods.controller import Controller
from moods.glide import NEVER, Moment
from moods.intent import BEATS_PER_BAR
from moods.opening import parse_opening
from moods.part import Change, Edge, Lent, at_once

SECOND = 48_000


class Hush:
    """From two bars after a panic on it is quieter, and the music holds its breath where that begins."""

    name = "hush"

    def __init__(self, clock: Clock) -> None:
        self._clock, self._beat, self.num_replans = clock, 1000, 0
        self.forgotten: Moment | None = None

    def apply(self, control: Control, edge: Edge) -> Change | None:
        if not isinstance(control, Panic):
            return None
        self._beat = edge.beat + 2 * BEATS_PER_BAR
        return Change({"hush": at_once(self._clock.frame_of_beat(self._beat))}, self._beat)

    def replan(self, edge: Edge) -> Change | None:
        self.num_replans += 1
        return None

    def lend(self, lent: Lent, at: Moment) -> None:
        if at.beat >= self._beat:
            lent.gain_db -= 6.0
        if int(at.beat) == self._beat:
            lent.cue = "cut"

    def holds_until(self, at: Moment) -> int:
        return self._clock.frame_of_beat(self._beat) if at.beat < self._beat else NEVER

    def forget_before(self, at: Moment) -> None:
        self.forgotten = at

    def snapshot(self) -> Any:
        return self._beat

    def restore(self, snapshot: Any) -> None:
        self._beat = snapshot


def test_a_further_part_is_asked_like_the_others() -> None:
    controller = Controller(parse_opening({"bpm": 120, "mood": "epic"}), 1)
    hush = Hush(controller.clock)
    controller._parts = (*controller._parts, hush)
    applied = controller.apply(parse_control({"type": "panic"}), SECOND)
    start = controller.frame_of_beat(11)
    assert applied.changed_since == applied.effective.frame == applied.fields["hush"].begin.frame == start
    assert controller.holds_until(start - 1000) == start
    assert [controller.intent(frame).gain_db for frame in (start - 1, start)] == [0, -6]
    assert [controller.beat_intent(beat).cue for beat in (10, 11)] == ["none", "cut"]
    controller.apply(parse_control({"type": "hit", "at": "bar"}), SECOND)
    assert hush.num_replans == 0
    controller.apply(parse_control({"type": "steer", "set": {"bpm": 90}, "at": "bar"}), SECOND)
    assert hush.num_replans == 1
    assert controller.beat_intent(11).gain_db == 0 and controller.intent(controller.frame_of_beat(11)).gain_db == -6
    controller.forget_before(2 * SECOND + 7)
    assert hush.forgotten == (2 * SECOND, 4.0)
    kept = controller.snapshot()
    own = {"sections", "course", "ending", "cues", "leitmotif", "pivots", "parameters", "states", "halts", "autopilot",
           "hush", "askers"}  # fmt: skip
    assert kept["hush"] == 11 and kept.keys() == {"seed", "num_asked", *own}
