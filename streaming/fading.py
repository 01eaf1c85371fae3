"""How music ends for those who hear it: it finishes its beat, and fades out. In: a station; out: where it has faded.

Remembers nothing. Event loop only.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS
from streaming.engines.link import FellAsleep
from streaming.engines.wire import Faded
from streaming.errors import ControlRefused, EngineUnavailable, UnknownStation
from streaming.pacing import time_of
from streaming.station import Station

Result = TypeVar("Result")

_MOST_BEAT_BLOCKS = 35
"""A beat that takes no longer is finished before the sound fades out …"""
FADE_BLOCKS = 30
"""… over so long …"""
_SILENT_BLOCKS = 7
"""… and so much silence after it is sent along: streams are encoded several blocks at a time."""


async def fade_out(station: Station, hurry: asyncio.Event, *, is_kept: bool = False) -> Faded | None:
    """Have a station fade out from its next beat on; all have heard it when this returns. None where it cannot.

    `hurry` is set where this server is to wait for nothing more.
    """
    if not station.is_sounding:
        return None
    lead_blocks = 3 + math.ceil(station.link.lead_ms / 1000 / BLOCK_SECONDS) + station.ahead_blocks
    least = station.frame // BLOCK_FRAMES + lead_blocks
    from_block = station.next_beat_block(least, least + _MOST_BEAT_BLOCKS)
    fading = station.link.fade(station.id, from_block, FADE_BLOCKS, is_kept=is_kept)
    patience_s = BLOCK_SECONDS * (lead_blocks + _MOST_BEAT_BLOCKS + FADE_BLOCKS)
    try:
        faded: Faded | None = await unless_hurried(fading, hurry, patience_s)
    except (ControlRefused, EngineUnavailable, FellAsleep, TimeoutError, UnknownStation):
        return None
    if faded is not None and station.first_tick is not None:
        last_block = faded.next_block + FADE_BLOCKS + _SILENT_BLOCKS
        last_s = time_of(station.first_tick + last_block - station.ahead_blocks)
        await unless_hurried(asyncio.sleep(last_s - time.monotonic()), hurry)
    return faded


async def unless_hurried(
    awaited: Coroutine[Any, Any, Result], hurry: asyncio.Event, patience_s: float | None = None
) -> Result | None:
    """What is awaited; None where that takes too long, or this server is to `hurry`. Raises what it raises."""
    task, hurried = asyncio.create_task(awaited), asyncio.create_task(hurry.wait())
    try:
        await asyncio.wait([task, hurried], timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        hurried.cancel()
