"""Whether this process has time for another listener, by how late its ticks are. In: delays; out: a verdict.

Remembers those of the last seconds. A process that stands still once, as a machine may, is not one that is full: what
counts is what one tick in ten exceeds. Event loop only.
"""

from __future__ import annotations

from collections import deque

from engine.audio import BLOCK_SECONDS
from streaming.errors import NoHeadroom

_WINDOW_S = 5.0
_SHARE = 0.9


class Headroom:
    """There is room while nine in ten ticks are no later than `most_lag_s`."""

    def __init__(self, most_lag_s: float) -> None:
        self._most_lag_s = most_lag_s
        self._lags_s: deque[tuple[float, float]] = deque()
        """When each tick was noticed, and how late it was."""

    def note(self, lag_s: float, now_s: float) -> None:
        """A tick came so late."""
        self._lags_s.append((now_s, lag_s))
        while self._lags_s[0][0] < now_s - _WINDOW_S:
            self._lags_s.popleft()

    @property
    def lag_s(self) -> float:
        """What one tick in ten exceeds; 0 before there is a second's worth of them."""
        if len(self._lags_s) < 1 / BLOCK_SECONDS:
            return 0.0
        lags_s = sorted(lag_s for _, lag_s in self._lags_s)
        return lags_s[int(_SHARE * (len(lags_s) - 1))]

    def check(self) -> None:
        """Raises `NoHeadroom`."""
        if self.lag_s > self._most_lag_s:
            raise NoHeadroom(self.lag_s, self._most_lag_s)
