"""The live channel, whatever carries it: controls in, acks and errors out to the asker, events out to everyone.

In: JSON texts of one client; out: JSON texts. A `Hearing` remembers what its client may still send, and the wishes that
came too fast. Event loop only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, cast

from moods.control import Control, Duck, Panic, Section, Transport, parse_control
from moods.errors import MoodsError
from streaming.conductor import Conductor
from streaming.errors import BadRequest, Forbidden, RateLimited, StreamingError
from streaming.journal import about
from streaming.limits import Bucket
from streaming.messages import Answer, Error
from streaming.reading import parse_json, read_asked, takes_long
from streaming.session import LiveClient
from streaming.station import Station

log = logging.getLogger(__name__)

_MAX_UNANSWERED = 256
"""So many controls of one client may wait for the engine; the next is not read before."""
_READ_FACTOR = 8
"""So many times faster than controls are applied they are read, be it only to refuse them."""
_TELL_S = 1.0
"""How often a client is told that it sends too much, beside what is refused."""
_WISHES = frozenset(
    {"steer", "parameter", "state", "section", "duck", "volume", "transport", "panic", "end", "countdown"}
)
"""Controls that say how the music is to be from now on, so that a later one makes up for an earlier one; the others are
events of their own."""
_RESERVE = 0.1
"""The share of a full bucket that wishes leave to events: a stream of parameters does not hold up hits."""
_LONGEST_WAIT_S = 0.25
"""After so long a wish is applied though a flood of events leaves nothing for it; they pay for it afterwards."""
_PANICS_PER_S = 1.0
"""So many are applied at once in any flood."""
_ONLY_LISTENS = Forbidden("a control takes the role control, and this connection's token gives listen; ask for another")
_PLAYING = "playing"
_PRESETS = frozenset({"mood", "prompt"})
"""Fields that decide others."""
_tasks: set[asyncio.Task[None]] = set()
"""The event loop itself holds its tasks weakly; what was asked is done, whether its client is still there or not."""


async def apply_control(conductor: Conductor, station: Station, message: Any) -> Answer:
    """Read and apply one control; a mistake is answered with an `Error` and never raised."""
    try:
        control = await read_asked(parse_control, message)
    except (MoodsError, StreamingError) as error:
        return _refusal(station, error, _id_of(message))
    return await _apply(conductor, station, control)


async def _apply(conductor: Conductor, station: Station, control: Control) -> Answer:
    try:
        return await conductor.control(station, control)
    except (MoodsError, StreamingError) as error:
        return _refusal(station, error, control.id)
    except Exception:
        return _fault(station, control.id)


def _fault(station: Station, control_id: str | None) -> Error:
    """What is answered in the midst of an exception that nobody foresaw: it is no reason to leave the asker without."""
    log.exception("a control failed", extra=about(station=station.id))
    detail = "this is a fault of the server's own; the control may have been applied"
    return Error(type="error", id=control_id, code="internal_error", detail=detail)


def _refusal(station: Station, error: MoodsError | StreamingError, control_id: str | None) -> Error:
    log.info("control refused", extra=about(station=station.id, code=error.code, detail=str(error)))
    return _error(error, control_id)


def _error(error: MoodsError | StreamingError, control_id: str | None) -> Error:
    told = Error(type="error", id=control_id, code=error.code, detail=str(error))
    if isinstance(error, RateLimited):
        told["retry_after_s"] = error.wait_s
    return told


def _id_of(message: object) -> str | None:
    control_id = message.get("id") if isinstance(message, dict) else None
    return control_id if isinstance(control_id, str) else None


class _Wish:
    """A control that came too fast, and what later ones have added to it."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.ids = [control.id]

    def take_in(self, control: Control) -> bool:
        """Become both wishes at once, the later one winning; or answer that it cannot be."""
        both = _merged(self.control, control)
        if both is None:
            return False
        self.control = both
        if control.id not in self.ids:
            self.ids.append(control.id)
        return True


class Hearing:
    """One client's controls on their way to the station: each is answered by one call of `answer`.

    At most `controls_per_s` are applied. Of what comes faster, wishes wait: the newest of a kind stands, takes in
    what it leaves open of the one before, and is applied as soon as may be. Events are refused.
    """

    def __init__(
        self, conductor: Conductor, station: Station, answer: Callable[[Answer], None], *, may_steer: bool
    ) -> None:
        self._conductor, self._station, self._answer, self._may_steer = conductor, station, answer, may_steer
        self._per_s = conductor.config.controls_per_s
        self._bucket = Bucket(self._per_s)
        self._reserve = _RESERVE * self._bucket.max_tokens
        self._panics = Bucket(_PANICS_PER_S)
        self._reading = Bucket(_READ_FACTOR * self._per_s)
        self._wishes: dict[str, _Wish] = {}
        """By what they govern, in the order in which they are to be applied."""
        self._told_s = 0.0
        self._num_unanswered = 0
        self._answered = asyncio.Event()

    async def hear(self, text: str | bytes) -> None:
        """Take one message; the next may be given when this returns."""
        while not self._reading.take(time.monotonic()):
            await asyncio.sleep(self._reading.wait_s(time.monotonic()))
        try:
            message = parse_json(text)
        except StreamingError as error:
            code = "bad_json" if isinstance(error, BadRequest) else error.code
            self._answer(Error(type="error", id=None, code=code, detail=str(error)))
            return
        await self.take(message)

    async def take(self, message: Any) -> None:
        """As `hear`, of a message that has been read as JSON. Nothing in it ends the hearing."""
        try:
            if self._may_steer:
                await self._take(message)
            else:
                self._answer(_error(_ONLY_LISTENS, _id_of(message)))
        except Exception:
            self._answer(_fault(self._station, _id_of(message)))

    async def _take(self, message: Any) -> None:
        is_wish, now_s = _is_wish(message), time.monotonic()
        if is_wish:
            is_in_time = not self._wishes and self._bucket.take(now_s, leave=self._reserve)
        else:
            is_in_time = self._bucket.take(now_s)
        if not is_in_time:
            self._tell_flood(now_s)
            if is_wish and message["type"] == "panic" and self._panics.take(now_s):
                is_in_time = True
                self._give_up(self._wishes.pop(_PLAYING, None))
        if not is_in_time and (not is_wish or takes_long(message)):
            self._answer(_error(self._limited(), _id_of(message)))
            return
        try:
            control = await read_asked(parse_control, message)
        except (MoodsError, StreamingError) as error:
            refuse = partial(_refusal, self._station) if is_in_time else _error  # a flood does not fill the log
            self._answer(refuse(error, _id_of(message)))
            return
        if is_in_time:
            await self._apply(control, [control.id])
        else:
            self._wait(control)

    def _wait(self, control: Control) -> None:
        kind = _governed(control)
        is_first = not self._wishes
        wish = self._wishes.pop(kind, None)
        if wish is None or not wish.take_in(control):
            self._give_up(wish)
            wish = _Wish(control)
        self._wishes[kind] = wish
        if is_first:
            _spawn(self._catch_up())

    def _give_up(self, wish: _Wish | None) -> None:
        for control_id in wish.ids if wish is not None else ():
            self._answer(_error(self._limited("; a later one has taken its place"), control_id))

    def _tell_flood(self, now_s: float) -> None:
        """Say now and then that too much comes, whatever becomes of each control."""
        if now_s - self._told_s > _TELL_S:
            self._told_s = now_s
            error = self._limited("; the newest wish of a kind waits until then, hits and stingers are refused")
            self._answer(_refusal(self._station, error, None))

    async def _catch_up(self) -> None:
        until_s = time.monotonic() + _LONGEST_WAIT_S
        while self._wishes:
            now_s = time.monotonic()
            await asyncio.sleep(min(self._bucket.wait_s(now_s, leave=self._reserve), max(0.0, until_s - now_s)))
            now_s = time.monotonic()
            if self._bucket.take(now_s, leave=self._reserve) or now_s >= until_s and self._bucket.owe(now_s):
                until_s = now_s + _LONGEST_WAIT_S
                wish = self._wishes.pop(next(iter(self._wishes)))
                await self._apply(wish.control, wish.ids)

    async def _apply(self, control: Control, ids: list[str | None]) -> None:
        """Have a control applied; the next follows it to the engine without waiting for its ack."""
        while self._num_unanswered >= _MAX_UNANSWERED:
            self._answered.clear()
            await self._answered.wait()
        self._num_unanswered += 1
        _spawn(self._apply_and_answer(control, ids))

    async def _apply_and_answer(self, control: Control, ids: list[str | None]) -> None:
        answer = await _apply(self._conductor, self._station, control)
        self._num_unanswered -= 1
        self._answered.set()
        for control_id in ids:
            self._answer(cast(Answer, {**answer, "id": control_id}))

    def _limited(self, what_follows: str = "") -> RateLimited:
        return RateLimited(self._per_s, self._bucket.wait_s(time.monotonic()), what_follows)


def _spawn(coroutine: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _is_wish(message: object) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        return False
    return message["type"] in _WISHES and "by_db" not in message  # a step is one of its own: two are no newer one


def _governed(control: Control) -> str:
    """What a wish decides: a later one of the same makes up for it."""
    match control:
        case Panic() | Transport(do="play" | "pause"):
            return _PLAYING
        case Transport() | Section(do="stay" | "leave"):
            return control.do
        case Duck():
            return f"duck {control.gain_db is not None} {control.voice is not None}"
        case _:
            return control.type


def _merged(earlier: Control, later: Control) -> Control | None:
    """One control that does what both do one after the other, or None where that takes two."""
    first, second = earlier.asked(), later.asked()
    fields, new = first.pop("set", None), second.pop("set", None)
    first.pop("id", None), second.pop("id", None)
    if first != second:
        return None
    if not isinstance(fields, dict) or not isinstance(new, dict) or fields.keys() <= new.keys() - {"layers"}:
        return later
    if not _PRESETS.isdisjoint(fields.keys() | new.keys()):
        return None
    if "layers" in fields and "layers" in new:
        new = {**new, "layers": {**fields["layers"], **new["layers"]}}
    try:
        return parse_control({**second, "id": later.id, "set": {**fields, **new}})
    except MoodsError:  # two that cannot be asked for at once
        return None


async def tell(client: LiveClient, send: Callable[[str], Awaitable[None]]) -> None:
    """Send the client's events until its mailbox closes."""
    while (event := await client.mailbox.get()) is not None:
        await send(json.dumps(event, ensure_ascii=False))
