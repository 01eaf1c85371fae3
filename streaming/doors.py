"""How the server's connections to others fare: chat, OBS, pushes. In: what becomes of each; out: its state.

Each change is a line in the log and a figure. Event loop only.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import Protocol

from streaming.journal import about
from streaming.messages import Connection, DoorWord
from streaming.metrics import Metrics

log = logging.getLogger(__name__)


class Door(Protocol):
    """A connection to others that lives as long as the server; entered with it, and one of `Conductor.doors`."""

    @property
    def name(self) -> str:
        """Which one it is, of all that the server has."""

    @property
    def state(self) -> DoorState:
        """How it fares."""


class DoorState:
    """How one door fares, and since when."""

    def __init__(self, door: str, metrics: Metrics) -> None:
        self.door = door
        self.now: DoorWord = "starting"
        self.since_s = time.time()
        """Of the wall clock."""
        self.last_error: str | None = None
        self._is_connected = metrics.doors_connected.labels(door)
        self._failures = metrics.door_failures.labels(door)

    def message(self) -> Connection:
        since = datetime.fromtimestamp(self.since_s, UTC).isoformat(timespec="milliseconds")
        return Connection(name=self.door, state=self.now, since=since, error=self.last_error)

    def connected(self) -> None:
        """It does what it is there for."""
        if self._become("connected"):
            log.info("connected", extra=about(door=self.door))

    def waiting(self, error: object) -> None:
        self._fail("waiting", error)

    def refused(self, error: object) -> None:
        self._fail("refused", error)

    def ended(self) -> None:
        self._become("ended")

    def _fail(self, word: DoorWord, error: object) -> None:
        self._failures.inc()
        self.last_error = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        if self._become(word):
            log.warning("not connected", extra=about(door=self.door, state=word, detail=self.last_error))

    def _become(self, word: DoorWord) -> bool:
        """Whether that is news."""
        if self.now == word:
            return False
        self.now, self.since_s = word, time.time()
        self._is_connected.set(word == "connected")
        return True
