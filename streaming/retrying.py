"""What connects to others connects again for ever. In: how it went; out: attempts, each when it is time for it.

Remembers nothing but the wait before the next one. Event loop only.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass


@dataclass(slots=True)
class Attempt:
    """One of a series; whoever makes it says whether it went well."""

    number: int
    """From 1."""
    has_worked: bool = False
    """After one that has, the next comes as soon as after the first."""
    least_wait_s: float = 0.0
    """The other side has asked to be left alone for so long."""


async def retrying(first_s: float = 1.0, max_s: float = 60.0) -> AsyncIterator[Attempt]:
    """Attempts without end: `async for attempt in retrying(): …`. The body catches what it expects to fail.

    Between two of them lies half to all of a wait that is twice as long each time, up to `max_s`: by chance, so that
    those who lost the same server do not all come back at once.
    """
    wait_s = first_s
    for number in itertools.count(1):
        attempt = Attempt(number)
        yield attempt
        if attempt.has_worked:
            wait_s = first_s
        await asyncio.sleep(max(attempt.least_wait_s, wait_s * random.uniform(0.5, 1)))
        wait_s = min(max_s, 2 * wait_s)
