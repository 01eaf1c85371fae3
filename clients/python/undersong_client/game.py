"""Music for a game with a loop of its own: nothing here waits, and what has happened is asked for once a frame.

In: wishes from the game's thread; out: what was heard since it was asked last. Remembers that, and a thread on which
all else happens.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Self

from undersong_client.music import At, Over, Undersong
from undersong_client.player import Message

log = logging.getLogger(__name__)

_EVENTS = ("section", "state", "marker", "error", "gone", "back")
_MAX_WAITING = 256


class Music:
    """A station, from the game's thread: `music = Music(station="game", states=…).start()`."""

    def __init__(
        self, url: str = "http://127.0.0.1:8400", *, station: str = "game", wait_s: float = 0.0, **options: Any
    ):
        """`options` are those of `Undersong`. `wait_s` 0: the game begins whether or not the server is there, and the
        music comes when it is."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="undersong", daemon=True)
        self._beats: deque[Message] = deque(maxlen=_MAX_WAITING)
        self._events: deque[Message] = deque(maxlen=_MAX_WAITING)
        self._undersong = Undersong(url, station=station, wait_s=wait_s, **options)
        self._undersong.on("beat", self._beats.append)
        for kind in _EVENTS:
            self._undersong.on(kind, self._events.append)

    def start(self) -> Self:
        """Begin to play. Raises `NoSound`; and where it was to wait for the server, `Refused` and `Unreachable`."""
        self._thread.start()
        try:
            self._do(self._undersong.start()).result()
        except BaseException:
            self._stop_loop()
            raise
        return self

    def close(self) -> None:
        """Stop playing."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
            self._stop_loop()

    async def _end(self) -> None:
        """Wishes that still wait for the server are given up, and their futures cancelled."""
        await self._undersong.close()
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- wishes: each answers at once; who wants the ack asks the future for it --------------------------------------

    def state(
        self, name: str, *, at: At | None = None, over: Over | None = None, how: str | None = None
    ) -> Future[Message]:
        """Enter a state of the game."""
        return self._do(self._undersong.state(name, at=at, over=over, how=how))

    def parameter(self, **values: float) -> None:
        """Set parameters of the game; every frame, if you like."""
        self._loop.call_soon_threadsafe(lambda: self._undersong.parameter(**values))

    def steer(self, **fields: Any) -> Future[Message]:
        """Change fields of the mood; `at`, `over` and `how` say where and how."""
        return self._do(self._undersong.steer(**fields))

    def stinger(self, name: str, at: At = "beat") -> Future[Message]:
        """Play a short figure over the music."""
        return self._do(self._undersong.stinger(name, at))

    def hit(self, at: At = "beat", strength: float = 1.0) -> Future[Message]:
        """Have all layers strike together."""
        return self._do(self._undersong.hit(at, strength))

    def section(self, do: str, to: str | None = None, at: At | None = None) -> Future[Message]:
        """`next`, `stay`, `leave`, or `go` to a section."""
        return self._do(self._undersong.section(do, to, at))

    def duck(self, gain_db: float, over: Over = 0.2) -> Future[Message]:
        """Lower the music under speech; 0 gives it back."""
        return self._do(self._undersong.duck(gain_db, over))

    def pause(self) -> Future[Message]:
        """Stop the music with the game; `play` goes on."""
        return self._do(self._undersong.transport("pause"))

    def play(self) -> Future[Message]:
        """Go on after `pause`."""
        return self._do(self._undersong.transport("play"))

    def slow(self, rate: float, over: Over = "1 beat") -> Future[Message]:
        """Slow motion: 0.25 … 1; 1 gives the tempo back."""
        return self._do(self._undersong.transport("slow", rate=rate, over=over))

    def control(self, kind: str, **fields: Any) -> Future[Message]:
        """Send any control of the interface."""
        return self._do(self._undersong.control(kind, **fields))

    def _do(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        done = asyncio.run_coroutine_threadsafe(work, self._loop)
        done.add_done_callback(_log_failure)
        return done

    # --- what happens ------------------------------------------------------------------------------------------------

    def beats(self) -> list[Message]:
        """The beats heard since this was asked last: `bar`, `beat` (1 … 4), `bpm`, `frame`, `time_s`."""
        return _drained(self._beats)

    def events(self) -> list[Message]:
        """Since this was asked last: `section`, `state` and `marker` as they were heard, `error`, `gone` and `back`."""
        return _drained(self._events)

    def ahead(self) -> list[Message]:
        """What is told and not yet heard, each with its `time_s` by `time.monotonic()`."""
        return self._undersong.ahead()

    def beat_at(self, time_s: float) -> tuple[Message, float] | None:
        """The beat that sounds at a time by `time.monotonic()` and how much of it is over, 0 … 1; None before music."""
        return self._undersong.player.beat_at(time_s)

    @property
    def is_connected(self) -> bool:
        """The server is there; where it is not, the last bars go on."""
        return self._undersong.is_connected

    @property
    def volume(self) -> float:
        """0 … 1."""
        return self._undersong.volume

    @volume.setter
    def volume(self, gain: float) -> None:
        self._undersong.volume = gain


def _log_failure(done: Future[Any]) -> None:
    """For those who do not ask what became of their wish."""
    if not done.cancelled() and (error := done.exception()) is not None:
        log.warning("%s: %s", type(error).__name__, error)


def _drained(waiting: deque[Message]) -> list[Message]:
    return [waiting.popleft() for _ in range(len(waiting))]
