"""What a push needs of where it goes: a `Target` that sends a station there, and why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from streaming.station import Station


class PushFailed(Exception):
    """It cannot be sent now, and why."""


class PushRefused(PushFailed):
    """Nor will it be until somebody has mended what is wrong: a password, an address."""


class Target(Protocol):
    async def send(self, station: Station, on_connected: Callable[[], None]) -> None:
        """Send the station until it ends. Raises `PushFailed`, `UnknownStation`, OSError, TimeoutError."""
