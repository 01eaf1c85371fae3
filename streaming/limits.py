"""How often a client may come. In: times of the monotonic clock; out: whether it is let in.

Remembers what each may still send. Event loop only.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from streaming.errors import RateLimited, StreamingError

BURST_S = 2.0
"""Who has sent nothing for so long may send all of that at once."""
_MAX_CLIENTS = 10_000


class Bucket:
    """A token bucket: `per_s` tokens a second, and at most those of `burst_s`."""

    def __init__(self, per_s: float, burst_s: float = BURST_S) -> None:
        self._per_s = per_s
        self.max_tokens = burst_s * per_s
        self._tokens = self.max_tokens
        self._filled_s = -math.inf

    def take(self, now_s: float, count: float = 1, leave: float = 0) -> bool:
        """Take tokens, if so many are there, and `leave` behind them."""
        self._fill(now_s)
        if self._tokens < count + leave:
            return False
        self._tokens -= count
        return True

    def owe(self, now_s: float) -> bool:
        """Take a token whether it is there or not; who comes next waits until it has been made up for."""
        self._fill(now_s)
        self._tokens -= 1
        return True

    def wait_s(self, now_s: float, count: float = 1, leave: float = 0) -> float:
        """How long until `take` would."""
        self._fill(now_s)
        return max(0.0, (min(count + leave, self.max_tokens) - self._tokens) / self._per_s)

    def _fill(self, now_s: float) -> None:
        self._tokens = min(self.max_tokens, self._tokens + self._per_s * (now_s - self._filled_s) + 1e-9)  # rounding
        self._filled_s = now_s


class Limits:
    """A bucket for each address or token, for clients that have no connection of their own."""

    def __init__(
        self,
        per_s: float,
        refusal: Callable[[float, float], StreamingError] = RateLimited,
        burst_s: float = BURST_S,
    ) -> None:
        """`refusal` is made of `per_s` and the seconds after which to try again."""
        self._per_s, self._refusal, self._burst_s = per_s, refusal, burst_s
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, client: str, now_s: float, count: int = 1) -> None:
        """Raises the refusal."""
        if client not in self._buckets:
            self._buckets[client] = Bucket(self._per_s, self._burst_s)
        bucket = self._buckets[client]
        self._buckets.move_to_end(client)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not bucket.take(now_s, count):
            raise self._refusal(self._per_s, bucket.wait_s(now_s, count))
