"""The streams that the server sends elsewhere. In: the settings; out: each as one of the doors.

Each begins anew for ever, whether its station, its target or the network has ended; none holds up the music, and one
without a target costs nothing. Event loop only.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Self

from streaming.conductor import Conductor
from streaming.doors import DoorState
from streaming.errors import UnknownStation
from streaming.journal import about
from streaming.push.film import Film
from streaming.push.icecast import Icecast
from streaming.push.settings import Push
from streaming.push.target import PushFailed, PushRefused, Target
from streaming.retrying import retrying
from streaming.station import Station
from streaming.transports.whip import Whip

log = logging.getLogger(__name__)

_TARGETS: dict[str, Callable[[Push], Target]] = {"icecast": Icecast, "rtmp": Film, "srt": Film, "whip": Whip}


class Pushing:
    """One stream that is sent, one of the conductor's doors."""

    def __init__(self, conductor: Conductor, push: Push) -> None:
        self.name = f"push of {push.station} to {push.told}"
        self.state = DoorState(self.name, conductor.metrics)
        self._conductor, self._push = conductor, push
        self._target = _TARGETS[push.kind](push)

    async def run(self) -> None:
        """Send until cancelled."""
        async for attempt in retrying():
            try:
                attempt.has_worked = await self._send(self._conductor.station(self._push.station))
            except UnknownStation as error:
                self.state.waiting(error)

    async def _send(self, station: Station) -> bool:
        """Whether it was connected. Raises `UnknownStation`."""
        was_connected = False

        def on_connected() -> None:
            nonlocal was_connected
            was_connected = True
            self.state.connected()

        try:
            await self._target.send(station, on_connected)
            self.state.waiting("the station has ended")
        except PushRefused as error:
            self.state.refused(error)
        except TimeoutError:
            self.state.waiting("the other side did not answer, or took nothing more")
        except (PushFailed, OSError) as error:
            self.state.waiting(error)
        except UnknownStation:
            raise
        except Exception as error:  # a fault of ours is no reason not to try again
            log.exception("a push failed", extra=about(door=self.name))
            self.state.waiting(error)
        return was_connected


class Pushes:
    """All of one server's settings, while entered: `async with Pushes(conductor)`."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._pushings = [Pushing(conductor, push) for push in conductor.config.push]
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._conductor.doors += self._pushings
        self._tasks = [asyncio.create_task(pushing.run()) for pushing in self._pushings]
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for pushing in self._pushings:
            self._conductor.doors.remove(pushing)
