"""The clock of the stream: 20 ms ticks of the monotonic clock, the same in the front and in the engine process.

In: nothing; out: calls of `on_tick(tick)` at absolute deadlines. Remembers the last tick. Runs on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable

from engine.audio import BLOCK_SECONDS


def tick_at(monotonic_s: float) -> int:
    """The tick whose block is due last at this moment."""
    return math.floor(monotonic_s / BLOCK_SECONDS + 1e-9)


def time_of(tick: int) -> float:
    """The monotonic time, seconds, at which the tick's block is handed out."""
    return tick * BLOCK_SECONDS


def prefer_to_others() -> None:
    """Ask the system to run this process before ordinary ones, where it lets us: it needs little, but in time."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)


async def pace(on_tick: Callable[[int], None]) -> None:
    """Call `on_tick` for every tick, late ones at once and in order, until cancelled."""
    tick = tick_at(time.monotonic())
    while True:
        tick += 1
        delay_s = time_of(tick) - time.monotonic()
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        on_tick(tick)
