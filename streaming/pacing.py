"""The clock of the stream: 20 ms ticks of the monotonic clock, the same in the server process and the engines.

In: nothing; out: calls of `on_tick(tick)` at absolute deadlines. Remembers the last tick. Runs on the event loop.

A process may stand still: stopped, starved, or asleep with the machine. Whoever is then late by up to `MAX_LATE_TICKS`
makes up for it; whoever is later leaves out what was missed and goes on at the present: a gap is heard as a gap, and
nobody is sent, or stays behind by, what should have sounded long ago.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.audio import BLOCK_SECONDS

MAX_LATE_TICKS = 25
"""Half a second: about what a listener's player holds in store."""
SWITCH_S = 0.0005
"""How long a thread of Python waits for another at most: the event loop for one that encodes, the engine's loop for one
that publishes, which takes some 0.2 ms a block. Of Python's own 5 ms a few are a tick."""


def tick_at(monotonic_s: float) -> int:
    """The tick whose block is due last at this moment."""
    return math.floor(monotonic_s / BLOCK_SECONDS + 1e-9)


def time_of(tick: int) -> float:
    """The monotonic time, seconds, at which the tick's block is handed out."""
    return tick * BLOCK_SECONDS


def let_others_first() -> None:
    """Ask the system to run what waits for a moment in time before this process, until `prefer_to_others`."""
    _change_policy(0, "SCHED_OTHER", "SCHED_BATCH")


def prefer_to_others() -> None:
    """Ask the system to run this process before ordinary ones, where it lets us: it needs little, but in time."""
    with contextlib.suppress(OSError):  # Linux shares the time out among sessions first, then among their threads
        Path("/proc/self/autogroup").write_text("-10")
    threads = Path("/proc/self/task")  # where there are none to be seen the process counts as one
    for thread in [int(path.name) for path in threads.iterdir()] if threads.exists() else [0]:
        _change_policy(thread, "SCHED_BATCH", "SCHED_OTHER")
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, thread, -10)


def _change_policy(thread: int, old: str, new: str) -> None:
    """Where Linux has them; another policy is the choice of whoever runs the machine."""
    with contextlib.suppress(OSError, AttributeError):
        if os.sched_getscheduler(thread) == getattr(os, old):
            os.sched_setscheduler(thread, getattr(os, new), os.sched_param(0))


async def pace(on_tick: Callable[[int], None]) -> None:
    """Call `on_tick` at every tick until cancelled; after a delay at once, but only with the tick of that moment."""
    sys.setswitchinterval(SWITCH_S)
    tick = tick_at(time.monotonic())
    while True:
        await asyncio.sleep(max(0.0, time_of(tick + 1) - time.monotonic()))
        tick = max(tick + 1, tick_at(time.monotonic()))
        on_tick(tick)
