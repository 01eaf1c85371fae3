"""When music steps back for a voice. In: levels of a microphone, as they are measured; out: gains, and how they come.

Remembers whether it has stepped back, and when somebody spoke last; its clock is whoever asks. One thread at a time.
"""

from __future__ import annotations

from typing import NamedTuple

HYSTERESIS_DB = 6.0
"""So far below the threshold a voice may fall and still be one: between words nothing moves."""


class Step(NamedTuple):
    """Music is to go to this level within so long."""

    gain_db: float
    over_s: float


class Ducking:
    """An envelope: down at the first level above the threshold, up when none came for the hold."""

    def __init__(
        self, *, threshold_db: float, depth_db: float, attack_s: float, hold_s: float, release_s: float
    ) -> None:
        self._threshold_db, self._hold_s = threshold_db, hold_s
        self._down, self._up = Step(depth_db, attack_s), Step(0.0, release_s)
        self._is_down, self._spoke_s = False, 0.0

    @property
    def due_s(self) -> float | None:
        """When to ask again though nothing has been measured; None: not before the next level."""
        return self._spoke_s + self._hold_s if self._is_down else None

    def hear(self, level_db: float, now_s: float) -> Step | None:
        """Take in a level, and answer what is to be done."""
        if level_db >= self._threshold_db - (HYSTERESIS_DB if self._is_down else 0.0):
            self._spoke_s = now_s
            if not self._is_down:
                self._is_down = True
                return self._down
        return self.look(now_s)

    def look(self, now_s: float) -> Step | None:
        """Answer what is to be done where nothing has been measured."""
        if (due_s := self.due_s) is not None and now_s >= due_s:
            self._is_down = False
            return self._up
        return None
