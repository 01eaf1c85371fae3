"""A station of an Undersong server as a program has it: heard, steered, and followed beat by beat.

In: wishes; out: acks, calls back, and sound into a sink. Remembers the last state and the parameters wished for, and
connects again for as long as it is open. All of it runs on one event loop; sinks read on their own thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import struct
import time
import urllib.parse
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, Self

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from undersong_client.bed import CHANNELS
from undersong_client.errors import Refused, Replaced, Unreachable
from undersong_client.player import Message, Player
from undersong_client.sinks import Loudspeaker, Sink
from undersong_client.stations import bearer, find_or_open

log = logging.getLogger(__name__)

At = str | float | Mapping[str, Any]
Over = str | float
Callback = Callable[[Message], object]

PARAMETERS_A_SECOND = 30
_FIRST_DELAY_S, _MAX_DELAY_S = 0.1, 2.0
"""Between two attempts to connect: twice as long after each that failed."""
_OPEN_S = 3.0
_SILENT_S = {"audio": 2.0, "live": 5.0}
"""A connection that says nothing for so long is dead: sound comes every 20 ms, a status every second."""
_ANSWER_S = 10.0
_MAX_SLEEP_S = 0.02
"""A beat that was moved to an earlier time is called back no later than this after it."""
_TOLD_AHEAD = ("beat", "section", "state", "marker")


class Undersong:
    """One station, heard and steered: `async with Undersong(station="game") as music: await music.state("combat")`."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8400",
        *,
        token: str | None = None,
        station: str | None = None,
        sink: Sink | None | Literal["loudspeaker"] = "loudspeaker",
        buffer_s: float = 0.08,
        wait_s: float = 5.0,
        **opening: Any,
    ) -> None:
        """`token` is what lets in, where the server asks for one. `station` is its name, under which it is found again;
        `opening` (`mood`, `states`, `transitions` …) is what it is opened with where there is none of that name. `sink`
        None: steer and follow without sound; events then come when they are told, ahead of their sound. `wait_s`: how
        long `start` waits for the server, 0 not at all."""
        self.player = Player(buffer_s)
        self._url, self._token = url.rstrip("/"), token
        self._name, self._opening, self._wait_s = station, opening, wait_s
        self._sink: Sink | None = Loudspeaker() if sink == "loudspeaker" else sink
        self._station_id: str | None = None
        self._links: Mapping[str, str] | None = None
        self._finding = asyncio.Lock()
        self._sockets: dict[str, ClientConnection] = {}
        self._is_complete = asyncio.Event()
        self._problem: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._background: set[asyncio.Task[Any]] = set()
        self._callbacks: defaultdict[str, list[Callback]] = defaultdict(list)
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._ids = f"{secrets.token_hex(4)}-"
        self._num_ids = 0
        self._state_wish: dict[str, Any] | None = None
        self._is_state_answered = False
        self._parameters: dict[str, float] = {}
        self._changed: dict[str, float] = {}
        self._complaints: set[str] = set()
        self._has_changed = asyncio.Event()
        self.status: Message | None = None
        """What the server said last of the station; a second old at most while it is there."""

    # --- begin and end -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the station and play. Raises `Refused`, `NoSound`, and after `wait_s` `Unreachable`."""
        self._problem = asyncio.get_running_loop().create_future()
        if self._sink is not None:
            self._sink.start(self.player.read)
            self._begin(self._keep("audio", self._hear_audio))
        for coroutine in (self._keep("live", self._hear_live), self._send_parameters(), self._call_back()):
            self._begin(coroutine)
        if self._wait_s > 0:
            complete = asyncio.ensure_future(self._is_complete.wait())
            try:
                either: list[asyncio.Future[Any]] = [complete, self._problem]
                await asyncio.wait(either, timeout=self._wait_s, return_when=asyncio.FIRST_COMPLETED)
                if self._problem.done():
                    self._problem.result()
                if not complete.done():
                    raise Unreachable(
                        f"{self._url} did not answer within {self._wait_s:g} s; is `undersong serve` running?"
                    )
            except BaseException:
                await self.close()
                raise
            finally:
                complete.cancel()

    def _begin(self, coroutine: Any) -> None:
        self._tasks.append(asyncio.create_task(coroutine))

    async def close(self) -> None:
        """Stop playing and leave the station; it goes on for others, or sleeps. Nothing more is called back."""
        self._callbacks.clear()
        for task in [*self._tasks, *self._background]:
            task.cancel()
        await asyncio.gather(*self._tasks, *self._background, return_exceptions=True)
        self._tasks.clear()
        self._fail_answers()
        if self._problem is not None and self._problem.done():
            self._problem.exception()
        if self._sink is not None:
            await asyncio.to_thread(self._sink.close)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    # --- what is wished ----------------------------------------------------------------------------------------------

    async def control(self, kind: str, **fields: Any) -> Message:
        """Send any control and await its ack. Raises `Refused`, or `Unreachable` where the server is not there."""
        socket = self._sockets.get("live")
        if socket is None:
            raise Unreachable(f"{kind} was not sent: {self._url} is not there now")
        control_id = fields.get("id") or self._next_id()
        message = {"type": kind, "id": control_id} | {
            name: value for name, value in fields.items() if value is not None
        }
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[control_id] = answer
        try:
            await socket.send(json.dumps(message))
            return await asyncio.wait_for(answer, _ANSWER_S)
        except (ConnectionClosed, TimeoutError) as error:
            raise Unreachable(f"{kind} was not answered: {self._url} went away") from error
        finally:
            self._answers.pop(control_id, None)

    async def state(
        self, name: str, *, at: At | None = None, over: Over | None = None, how: str | None = None
    ) -> Message:
        """Enter a state of the game; what is left out the matrix of transitions says.

        While the server is away it waits, and is sent when it is back; a later `state` takes its place (`Replaced`).
        """
        wish = {"name": name, "at": at, "over": over, "how": how}
        self._state_wish, self._is_state_answered = wish, False
        while True:
            try:
                ack = await self.control("state", **wish)
                self._is_state_answered = self._is_state_answered or self._state_wish is wish
                return ack
            except Unreachable:
                await asyncio.sleep(0)  # the connection's end is noticed by its own task
                await self._until_live()
                if self._state_wish is not wish:
                    raise Replaced(f"state {name!r} gave way to a later one before it could be sent") from None

    def parameter(self, **values: float) -> None:
        """Set parameters of the game, as often as you like: 30 times a second the newest values are sent."""
        self._parameters |= values
        self._changed |= values
        self._has_changed.set()

    async def steer(
        self, *, at: At | None = None, over: Over | None = None, how: str | None = None, **fields: Any
    ) -> Message:
        """Change fields of the mood: `await music.steer(mood="epic", energy=0.8, at="bar", over="2 bars")`."""
        return await self.control("steer", set=fields, at=at, over=over, how=how)

    async def stinger(self, name: str, at: At = "beat") -> Message:
        """Play a short figure over the music, in its key."""
        return await self.control("stinger", name=name, at=at)

    async def hit(self, at: At = "beat", strength: float = 1.0) -> Message:
        """Have all layers strike together."""
        return await self.control("hit", at=at, strength=strength)

    async def section(self, do: str, to: str | None = None, at: At | None = None) -> Message:
        """`next`, `stay`, `leave`, or `go` to a section of the form."""
        return await self.control("section", do=do, to=to, at=at)

    async def duck(self, gain_db: float, over: Over = 0.2, voice: bool | None = None) -> Message:
        """Lower the music under speech; 0 gives it back."""
        return await self.control("duck", gain_db=gain_db, over=over, voice=voice)

    async def transport(self, do: str, **fields: Any) -> Message:
        """`play`, `pause`, `restart`, or `slow` with `rate` and `over`."""
        return await self.control("transport", do=do, **fields)

    async def cancel(self, target: str) -> Message:
        """Take back what was asked and has not begun, by the `id` of its ack."""
        return await self.control("cancel", target=target)

    # --- what happens ------------------------------------------------------------------------------------------------

    def on(self, kind: str, callback: Callback) -> None:
        """Call `callback` with every event of a kind.

        `beat`, `bar`, `section`, `state`, `marker`: when they are heard, with `time_s`; `ack`, `error`, `status`,
        `dropped` …: when they come; `gone`, `back`: the server went away (the last bars go on), and is there again.
        """
        self._callbacks[kind].append(callback)

    def on_beat(self, callback: Callback) -> None:
        """Call `callback` on every beat, as it is heard."""
        self.on("beat", callback)

    def ahead(self) -> list[Message]:
        """What is told and not yet heard, the nearest first, each with its `time_s` by `time.monotonic()`."""
        return self.player.ahead()

    def time_of(self, frame: int) -> float | None:
        """When a frame of the station is heard here, by `time.monotonic()`."""
        return self.player.time_of(frame)

    @property
    def is_connected(self) -> bool:
        return self._is_complete.is_set()

    @property
    def volume(self) -> float:
        """0 … 1, here and not on the server."""
        return self.player.gain

    @volume.setter
    def volume(self, gain: float) -> None:
        self.player.gain = min(1.0, max(0.0, gain))

    def _emit(self, event: Message) -> None:
        kinds = [event["type"]]
        if kinds == ["beat"] and event["beat"] == 1:
            kinds.append("bar")
        for callback in [each for kind in kinds for each in self._callbacks[kind]]:
            try:
                result = callback(event)
                if isinstance(result, Awaitable):
                    self._go(result)
            except Exception:
                log.exception("a callback for %s failed", event["type"])

    def _go(self, work: Awaitable[Any]) -> None:
        """Do it beside all else; a failure is logged."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._on_gone_through)

    def _on_gone_through(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("%s: %s", type(error).__name__, error)

    async def _call_back(self) -> None:
        while True:
            for event in self.player.heard(time.monotonic()):
                self._emit(event)
            ahead = self.player.ahead()
            wait_s = ahead[0]["time_s"] - time.monotonic() if ahead else _MAX_SLEEP_S
            await asyncio.sleep(min(_MAX_SLEEP_S, max(0.001, wait_s)))

    # --- connections -------------------------------------------------------------------------------------------------

    async def _keep(self, channel: str, hear: Callable[[ClientConnection], Awaitable[None]]) -> None:
        """Connect and hear, for ever."""
        delay_s = _FIRST_DELAY_S
        query = "?format=pcm_s16le" if channel == "audio" else ""
        while True:
            try:
                links = await self._find_station()
                address = urllib.parse.urljoin(self._url, links[channel]).replace("http", "ws", 1) + query
                async with connect(
                    address,
                    additional_headers=bearer(self._token),
                    open_timeout=_OPEN_S,
                    close_timeout=0.2,
                    ping_interval=None,
                    compression=None,
                ) as socket:
                    delay_s = _FIRST_DELAY_S
                    self._on_connected(channel, socket)
                    await hear(socket)
            except Refused as error:
                log.warning("the station was refused: %s", error)
                if self._problem is not None and not self._problem.done():
                    self._problem.set_exception(error)
            except (Unreachable, OSError, TimeoutError, WebSocketException) as error:
                log.info("no %s: %s", channel, error)
            except Exception:  # what a proxy sends may be anything, and the next attempt may find the server
                log.exception("%s failed", channel)
            finally:
                self._on_disconnected(channel)
            self._links = None
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _MAX_DELAY_S)

    def _on_connected(self, channel: str, socket: ClientConnection) -> None:
        self._sockets[channel] = socket
        if len(self._sockets) == (1 if self._sink is None else 2) and not self._is_complete.is_set():
            self._is_complete.set()
            self._emit({"type": "back"})

    def _on_disconnected(self, channel: str) -> None:
        self._sockets.pop(channel, None)
        if channel == "live":
            self._fail_answers()
        if self._is_complete.is_set():
            self._is_complete.clear()
            self._emit({"type": "gone"})

    def _fail_answers(self) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Unreachable(f"{self._url} went away before it answered"))

    async def _until_live(self) -> None:
        while "live" not in self._sockets:
            await asyncio.sleep(_MAX_SLEEP_S)

    async def _find_station(self) -> Mapping[str, str]:
        """The links of the station, which is opened where it is not there."""
        async with self._finding:
            if self._links is None:
                ids = [each for each in (self._station_id, self._name) if each is not None]
                asked = self._url, self._token, ids, self._name, self._opening
                station, is_new = await asyncio.to_thread(find_or_open, *asked)
                self._links, self._station_id = station["links"], station["id"]
                if is_new and self._state_wish is not None and self._is_state_answered:
                    self._go(self.state(**self._state_wish))
            return self._links

    async def _hear_audio(self, socket: ClientConnection) -> None:
        while True:
            message = await _next(socket, "audio")
            if isinstance(message, str):  # its format first, then what was dropped
                if (event := json.loads(message)).get("type"):
                    self._emit(event)
                continue
            (frame,) = struct.unpack_from("<Q", message)
            pcm = np.frombuffer(message, "<i2", offset=8).reshape(-1, CHANNELS)
            self.player.write(frame, pcm * np.float32(1 / 32_768))

    async def _hear_live(self, socket: ClientConnection) -> None:
        self._changed |= self._parameters
        if self._changed:
            self._has_changed.set()
        while True:
            event = json.loads(await _next(socket, "live"))
            kind = event["type"]
            if kind in _TOLD_AHEAD and self._sink is not None:
                self.player.tell(event)
                continue
            if kind == "status":
                self.status = event
                if "still_from" in event:
                    self.player.take_back(event["still_from"])
            elif kind in ("ack", "error"):
                self._answer(event)
            self._emit(event)

    def _answer(self, event: Message) -> None:
        """Give an ack or an error to whoever awaits it."""
        answer = self._answers.get(event["id"] or "")
        if answer is None:
            # A parameter is sent thirty times a second, and so it is refused: once for each kind of mistake is enough.
            if event["type"] == "error" and event["code"] not in self._complaints:
                self._complaints.add(event["code"])
                log.warning("the server refused a control: %s", event["detail"])
        elif answer.done():
            pass
        elif event["type"] == "ack":
            answer.set_result(event)
        else:
            answer.set_exception(Refused(event["code"], event["detail"]))

    async def _send_parameters(self) -> None:
        while True:
            await self._has_changed.wait()
            await self._until_live()
            self._has_changed.clear()
            changed, self._changed = self._changed, {}
            with contextlib.suppress(KeyError, ConnectionClosed):  # all are sent again when it is back
                await self._sockets["live"].send(
                    json.dumps({"type": "parameter", "set": changed, "id": self._next_id()})
                )
            await asyncio.sleep(1 / PARAMETERS_A_SECOND)

    def _next_id(self) -> str:
        self._num_ids += 1
        return f"{self._ids}{self._num_ids}"


async def _next(socket: ClientConnection, channel: str) -> str | bytes:
    """The next message. Raises `TimeoutError` where a connection has fallen silent."""
    async with asyncio.timeout(_SILENT_S[channel]):
        return await socket.recv()
