"""What a supervisor is told, systemd or another that speaks sd_notify. In: states; out: datagrams.

Where no supervisor has named its socket in NOTIFY_SOCKET nothing is said. Remembers nothing. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

READY, STOPPING = "READY=1", "STOPPING=1"
_ALIVE = "WATCHDOG=1"


def notify(state: str) -> None:
    """Tell a state; one that is not heard stops nothing."""
    if not (address := os.environ.get("NOTIFY_SOCKET")):
        return
    if address.startswith("@"):  # a name in Linux's abstract space
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_supervisor:
        to_supervisor.setblocking(False)
        to_supervisor.sendto(state.encode(), address)


@contextlib.asynccontextmanager
async def supervised() -> AsyncIterator[None]:
    """Tell that the server is ready, and as long as the event loop goes round, as often as is asked, that it lives."""
    notify(READY)
    asked_us = os.environ.get("WATCHDOG_USEC", "")
    living = asyncio.create_task(_live(int(asked_us) / 3e6)) if asked_us.isdecimal() and int(asked_us) else None
    try:
        yield
    finally:
        if living is not None:
            living.cancel()


async def _live(every_s: float) -> None:
    while True:
        notify(_ALIVE)
        await asyncio.sleep(every_s)
