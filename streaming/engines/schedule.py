"""What an engine does next, and whether it has too much to do. Decisions only: the time is passed in.

In: the turns of the stations that play, how long blocks took, how busy the engine was; out: which blocks are due, how
long before its tick a block is made (the lead), who gives way. Remembers the last seconds. One thread.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from engine.audio import BLOCK_SECONDS
from streaming.pacing import time_of

MOST_LEAD_S = 0.15
_WINDOW_S = 20.0
"""How long a slow block is remembered."""
_MARGIN_S, _MARGIN_SHARE = 0.005, 0.125
"""What the lead adds to the slowest block that it remembers."""

JUDGE_S = 0.5
"""How often the engine asks whether it has too much to do."""
_FULL, _ROOMY = 0.95, 0.85
_SHARE_THAT_FITS = 0.93
"""Of what a full engine makes, as much goes to those that go on."""
_QUIET_S, _MOST_QUIET_S = 5.0, 60.0
"""How long it has to be roomy before one comes back; twice as long after one that came back too soon."""
_PROBATION_S = 10.0


class Turn(Protocol):
    """A station as the schedule sees it."""

    @property
    def order(self) -> int:
        """Stations that opened later have more."""

    @property
    def due_tick(self) -> int:
        """When its next block is to be sent."""

    @property
    def since_s(self) -> float:
        """Since when its blocks can be made at all: it was opened, or caught up."""

    @property
    def is_behind(self) -> bool:
        """It was brought back and is not yet where it would have been."""

    @property
    def is_heard(self) -> bool:
        """Somebody listens."""

    @property
    def is_resting(self) -> bool:
        """It has given way."""


AnyTurn = TypeVar("AnyTurn", bound=Turn)


class Lead:
    """How long before it is to be sent a block is made: as long as the slowest of late took, and a margin."""

    def __init__(self, least_s: float) -> None:
        self._least_s = least_s
        self.seconds = least_s
        self.raised_s = -math.inf
        """When it last grew: what it then asks for at once could not be made earlier."""
        self._slowest: deque[tuple[float, float]] = deque()  # when, how long: each slower than all after it

    @property
    def _most_s(self) -> float:
        return max(self._least_s, MOST_LEAD_S)

    def note(self, took_s: float, now_s: float) -> None:
        """A block was ready so long after it could have been begun."""
        while self._slowest and self._slowest[-1][1] <= took_s:
            self._slowest.pop()
        self._slowest.append((now_s, took_s))
        while self._slowest[0][0] < now_s - _WINDOW_S:
            self._slowest.popleft()
        wanted_s = self._slowest[0][1] * (1 + _MARGIN_SHARE) + _MARGIN_S
        seconds = min(self._most_s, max(self._least_s, wanted_s))
        if seconds > self.seconds:
            self.raised_s = now_s
        self.seconds = seconds

    def begins_s(self, turn: Turn) -> float:
        """When the next block of a station may be begun."""
        return time_of(turn.due_tick) - self.seconds

    def could_begin_s(self, turn: Turn) -> float:
        """When it might have been begun, had the engine been free."""
        return max(self.begins_s(turn), self.raised_s, turn.since_s)


def due(turns: Iterable[AnyTurn], lead: Lead, now_s: float) -> list[AnyTurn]:
    """The stations whose blocks are to be made now, side by side: of those that are due the ones to be sent first."""
    ready = [turn for turn in turns if not turn.is_behind and lead.begins_s(turn) <= now_s]
    first_tick = min((turn.due_tick for turn in ready), default=0)
    return [turn for turn in ready if turn.due_tick == first_tick]


def next_due_s(turns: Iterable[Turn], lead: Lead) -> float:
    """When there will be something due; infinity where nothing plays."""
    return min((lead.begins_s(turn) for turn in turns if not turn.is_behind), default=math.inf)


def next_behind(turns: Iterable[AnyTurn]) -> AnyTurn | None:
    """Of the stations that are behind the one to catch up first: it takes least, and is then out of the way."""
    return max((turn for turn in turns if turn.is_behind), key=lambda turn: (turn.due_tick, -turn.order), default=None)


@dataclass(slots=True)
class Tally:
    """What an engine has done since a moment."""

    since_s: float
    idle_s: float = 0.0
    """Spent waiting."""
    due_s: float = 0.0
    """Spent on blocks that were due."""
    ahead_s: float = 0.0
    """Spent on composing ahead."""
    num_blocks: int = 0
    """Blocks that were due, of those who do not rest."""
    num_late: int = 0
    """Blocks that were ready after they were due."""
    num_left_out: int = 0
    """Blocks that were so late that they were left out."""
    lag_s: float = 0.0
    """How long after it was due the last block was ready; below 0 where it was ready before."""
    step_ms: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    encode_ms: deque[float] = field(default_factory=lambda: deque(maxlen=1000))

    def share(self, seconds: float, now_s: float) -> float:
        """Of the time until now, 0 … 1."""
        return min(1.0, seconds / max(1e-9, now_s - self.since_s))

    def load(self, now_s: float) -> float:
        """The share of the time that was not spent waiting."""
        return 1.0 - self.share(self.idle_s, now_s)


class Burden:
    """Whether the engine has too much to do for good, and how many give way or come back."""

    def __init__(self, now_s: float) -> None:
        self._full_s = self._lag_s = 0.0
        """For how long it has been full and losing ground; how late it was when it was last asked."""
        self._roomy_since_s, self._returned_s = now_s, -math.inf
        self._quiet_s = _QUIET_S

    def judge(self, tally: Tally, lead_s: float, turns: Sequence[Turn], now_s: float) -> int:
        """After every JUDGE_S, of which the tally tells: how many more stations have to give way, -1 where one may come
        back, else 0."""
        num_playing = sum(not turn.is_resting for turn in turns)
        is_losing = tally.num_left_out > 0 or tally.lag_s > max(self._lag_s, -lead_s / 2)
        is_full = tally.share(tally.due_s, now_s) >= _FULL and is_losing
        self._lag_s = tally.lag_s
        self._full_s = self._full_s + JUDGE_S if is_full else 0.0
        if tally.num_late or tally.load(now_s) * (num_playing + 1) > _ROOMY * max(1, num_playing):
            self._roomy_since_s = now_s
        if self._full_s > JUDGE_S and num_playing > 1:
            if now_s - self._returned_s < _PROBATION_S:
                self._quiet_s = min(_MOST_QUIET_S, 2 * self._quiet_s)
            self._full_s = 0.0
            num_that_fit = math.floor(_SHARE_THAT_FITS * tally.num_blocks * BLOCK_SECONDS / (now_s - tally.since_s))
            return max(1, num_playing - max(1, num_that_fit))
        if num_playing < len(turns) and now_s - self._roomy_since_s >= self._quiet_s:
            if now_s - self._returned_s >= 2 * self._quiet_s + _PROBATION_S:
                self._quiet_s = _QUIET_S
            self._roomy_since_s = self._returned_s = now_s
            return -1
        return 0


def who_gives_way(turns: Iterable[AnyTurn], number: int) -> list[AnyTurn]:
    """The newest of those that nobody hears, then the newest."""
    playing = [turn for turn in turns if not turn.is_resting]
    return sorted(playing, key=lambda turn: (turn.is_heard, -turn.order))[:number]


def who_comes_back(turns: Iterable[AnyTurn]) -> AnyTurn | None:
    """The oldest of those that rest."""
    return min((turn for turn in turns if turn.is_resting), key=lambda turn: turn.order, default=None)
