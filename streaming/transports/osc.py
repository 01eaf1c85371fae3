"""Open Sound Control: controls in, what is heard out, over UDP. In: datagrams, a station's events; out: datagrams.

Remembers who asks how much, and what is to be told and when. Event loop only. The addresses are in docs/live.md.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message import ParseError as NoMessage
from pythonosc.osc_message_builder import build_msg
from pythonosc.parsing.osc_types import ParseError, get_date, get_int, get_string

from engine.audio import SAMPLE_RATE
from moods.errors import BadControl, shown
from streaming.conductor import Conductor
from streaming.errors import PortUnavailable, StreamingError
from streaming.journal import about
from streaming.limits import Bucket
from streaming.live import Hearing
from streaming.messages import Answer, LiveMessage
from streaming.pacing import time_of
from streaming.reading import parse_json
from streaming.session import LiveClient
from streaming.station import Station
from streaming.transports.settings import Osc, address_of

log = logging.getLogger(__name__)

ROOT = "undersong"
EVERY = "*"
"""In place of a station: all of them."""
_ARGUMENTS = {
    "state": ("name", "at"),
    "hit": ("strength", "at"),
    "stinger": ("name", "at"),
    "section": ("do", "to", "at"),
    "skip": ("at",),
    "transport": ("do", "rate", "over"),
    "duck": ("gain_db", "over"),
    "volume": ("gain_db", "over"),
    "end": ("how", "at"),
    "countdown": ("seconds", "ending"),
    "cancel": ("target",),
    "panic": (),
}
"""What the arguments of a control are, in their order; words may stand in the address instead."""
_BUTTONS = frozenset(_ARGUMENTS) - {"duck", "volume", "countdown"}
_TAGS = frozenset(",ifhdsTFN")
"""Of arguments that JSON has too; the library writes a line for each other one, and nests lists without end."""
_BUNDLE = b"#bundle\0"
_MAX_WAITING = 512
"""Messages of one asker that wait for one station; and as many of all that wait for the time of their bundle."""
_MAX_DATAGRAM_BYTES = 8192
_MESSAGE_BYTES = 64
"""A longer datagram counts as several messages before it is read: reading it takes as long."""
_MAX_ASKERS = 256
_MESSAGES_PER_S = 1000.0
_COMPLAINT_S = 1.0
_TOO_MANY = "more messages came than can be taken"
_LOOK_S = 0.2
_LONGEST_WAIT_S = 60.0
"""A bundle for later is not kept for longer."""


def split_datagram(datagram: bytes) -> dict[float, list[bytes]]:
    """The messages of a datagram, unread, by the time that their bundle is for; 0: at once. Raises `BadControl`.

    The library's own reader tells how much there is when it has read all, and never ends where a length is negative.
    """
    if len(datagram) > _MAX_DATAGRAM_BYTES:
        raise BadControl(f"a datagram has {len(datagram)} bytes; allowed are up to {_MAX_DATAGRAM_BYTES}")
    found: dict[float, list[bytes]] = {}
    unread = [(0.0, datagram)]
    while unread:
        due_s, part = unread.pop()
        if not part.startswith(_BUNDLE):
            found.setdefault(due_s, []).append(part)
            continue
        inner = []
        try:
            due_s, at = get_date(part, len(_BUNDLE))
            while at < len(part):
                size, at = get_int(part, at)
                if not 0 < size <= len(part) - at:
                    raise BadControl(f"a part of a bundle has {size} bytes; expected 1 … {len(part) - at}")
                inner.append((due_s, part[at : at + size]))
                at += size
        except ParseError as error:
            raise BadControl(f"a bundle cannot be read: {error}") from None
        unread += reversed(inner)
    return found


def parse_message(part: bytes) -> tuple[str, list[Any]]:
    """Address and arguments of an OSC message. Raises `BadControl`."""
    try:
        address, at = get_string(part, 0)
        tags = get_string(part, at)[0] if at < len(part) else ","
        arguments = OscMessage(part).params if _TAGS.issuperset(tags) else None
    except (ParseError, NoMessage, UnicodeError) as error:
        raise BadControl(f"a message cannot be read: {error}; expected Open Sound Control 1.0") from None
    if arguments is None:
        raise BadControl(f"{shown(address)} has arguments of the types {shown(tags)}; expected numbers and texts")
    return address, arguments


def read_message(address: str, arguments: Sequence[Any]) -> tuple[str, dict[str, Any] | None]:
    """The station that an OSC message is for, and the control that it asks for, None where a button is let go.

    Raises `BadControl`, `StreamingError`.
    """
    words = address.strip("/").split("/")
    if len(words) < 3 or words[0] != ROOT:
        raise BadControl(f"the address is {shown(address)}; expected /{ROOT}/STATION/CONTROL")
    _, station, kind, *names = words
    values = [_value(argument) for argument in arguments]
    if kind == "control":
        if len(values) != 1 or not isinstance(values[0], str):
            raise BadControl(f"{address} has {shown(values)}; expected one text, a control as JSON")
        return station, parse_json(values[0])
    if kind in ("steer", "parameter", "layer"):
        return station, _setting(address, kind, names, values)
    if kind not in _ARGUMENTS:
        known = ", ".join(("steer", "parameter", "layer", *_ARGUMENTS, "control"))
        raise BadControl(f"the address is {shown(address)}; expected /{ROOT}/STATION/ and one of {known}")
    if kind in _BUTTONS and (names or kind in ("hit", "panic")) and values == [0]:
        return station, None
    if kind in _BUTTONS and kind != "hit" and names[:1] != ["slow"] and values in ([1], [True]):
        values = []  # a button is pressed
    given = [*names, *values]
    if len(given) > len(_ARGUMENTS[kind]):
        raise BadControl(f"{address} has {shown(values)}; expected {', '.join(_ARGUMENTS[kind]) or 'no argument'}")
    return station, {"type": kind} | dict(zip(_ARGUMENTS[kind], given, strict=False))


def _setting(address: str, kind: str, names: list[str], values: list[Any]) -> dict[str, Any]:
    """A control that sets one field, and may say over how long."""
    if len(names) != 1 or not 1 <= len(values) <= (1 if kind == "parameter" else 2):
        raise BadControl(f"{address} has {shown(values)}; expected /{ROOT}/STATION/{kind}/NAME with a value")
    fields = {"layers": {names[0]: values[0]}} if kind == "layer" else {names[0]: values[0]}
    control = {"type": "parameter" if kind == "parameter" else "steer", "set": fields}
    return control if len(values) == 1 else control | {"over": values[1]}


def _value(argument: Any) -> Any:
    """As JSON would have it; OSC's numbers have 32 bits, and would be told as 0.800000011920929."""
    if isinstance(argument, float):
        return float(f"{argument:.7g}")
    if isinstance(argument, str | int | None):
        return argument
    raise BadControl(f"an argument is {shown(argument)}; expected a number or a text")


class OscDoor:
    """Hears and tells by OSC while entered: `async with OscDoor(conductor)`. Raises `PortUnavailable`."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor, self._config = conductor, conductor.config.osc
        self._told: dict[str, asyncio.Task[None]] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        try:
            if self._config.port:
                await self._listen()
            if self._config.targets:
                await self._begin_to_tell()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def _listen(self) -> None:
        ear = _Ear(self._conductor)
        host, port = self._config.host, self._config.port
        try:
            transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: ear, local_addr=(host, port)
            )
        except OSError as error:
            reason = f"cannot listen for OSC on {host}:{port}: {error.strerror or error}"
            raise PortUnavailable(f"{reason}; choose another port under [osc]") from error
        self._stack.callback(transport.close)
        log.info("OSC is heard", extra=about(host=host, port=port))

    async def _begin_to_tell(self) -> None:
        mouths = []
        for target in self._config.targets:
            try:
                transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                    asyncio.DatagramProtocol, remote_addr=address_of(target)
                )
            except OSError as error:
                reason = f"cannot send OSC to {target}: {error.strerror or error}"
                raise PortUnavailable(f"{reason}; change targets under [osc]") from error
            self._stack.callback(transport.close)
            mouths.append(transport)
        self._stack.callback(asyncio.create_task(self._tell_all(mouths)).cancel)
        self._stack.callback(lambda: [task.cancel() for task in self._told.values()])

    async def _tell_all(self, mouths: list[asyncio.DatagramTransport]) -> None:
        """Begin to tell of each station that is opened."""
        while True:
            for station in self._conductor.stations.values():
                if station.id not in self._told:
                    task = asyncio.create_task(_Teller(station, self._config, mouths).run())
                    self._told[station.id] = task
                    task.add_done_callback(lambda _, key=station.id: self._told.pop(key, None))  # type: ignore[misc]
            await asyncio.sleep(_LOOK_S)


class _Line:
    """What one asker has asked of one station and is not yet heard."""

    _running: ClassVar[set[asyncio.Task[None]]] = set()
    """Those of all lines: the event loop itself holds its tasks weakly."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._waiting: deque[Any] = deque()
        self._is_working = False

    def put(self, control: Any) -> bool:
        """Have a control heard after those before it; false where too many wait."""
        if len(self._waiting) >= _MAX_WAITING:
            return False
        self._waiting.append(control)
        if not self._is_working:
            self._is_working = True
            task = asyncio.create_task(self._work_off())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return True

    async def _work_off(self) -> None:
        while self._waiting:
            await self._hearing.take(self._waiting.popleft())
        self._is_working = False


class _Ear(asyncio.DatagramProtocol):
    """Takes datagrams, as many as it can work off."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._bucket = Bucket(_MESSAGES_PER_S)
        self._lines: OrderedDict[tuple[str, str], _Line] = OrderedDict()
        """By who asks, and the station's id."""
        self._complained_s, self._num_silent = -_COMPLAINT_S, 0
        self._num_later = 0
        """Messages that wait for the time of their bundle."""

    def datagram_received(self, data: bytes, address: tuple[Any, ...]) -> None:
        asker, num_paid = str(address[0]), 1 + len(data) // _MESSAGE_BYTES
        if not self._bucket.take(time.monotonic(), num_paid):
            self._complain(asker, _TOO_MANY)
            return
        try:
            messages = split_datagram(data)
        except BadControl as error:
            self._complain(asker, str(error))
            return
        if not self._bucket.take(time.monotonic(), max(0, sum(map(len, messages.values())) - num_paid)):
            self._complain(asker, _TOO_MANY)
            return
        for due_s, parts in sorted(messages.items()):
            wait_s = min(due_s - time.time(), _LONGEST_WAIT_S)
            if wait_s > 0 and self._num_later + len(parts) > _MAX_WAITING:
                self._complain(asker, _TOO_MANY)
            elif wait_s > 0:
                self._num_later += len(parts)
                asyncio.get_running_loop().call_later(wait_s, self._put_later, asker, parts)
            else:
                for part in parts:
                    self._put(asker, part)

    def _put_later(self, asker: str, parts: list[bytes]) -> None:
        self._num_later -= len(parts)
        for part in parts:
            self._put(asker, part)

    def _put(self, asker: str, part: bytes) -> None:
        """Hand a message over to the stations that it is for; none of them holds up another."""
        try:
            name, control = read_message(*parse_message(part))
            stations = list(self._conductor.stations.values()) if name == EVERY else [self._conductor.station(name)]
        except (BadControl, StreamingError) as error:
            self._complain(asker, str(error))
            return
        except Exception:  # a fault of ours in one message is no reason to hear no other
            log.exception("an OSC message failed", extra=about(client=asker))
            return
        for station in stations if control is not None else ():
            if not self._line(asker, station).put(control):
                self._complain(asker, _TOO_MANY)

    def _line(self, asker: str, station: Station) -> _Line:
        key = asker, station.id

        def answer(answer: Answer) -> None:
            if answer["type"] == "error":
                self._complain(asker, answer["detail"])

        if key not in self._lines:
            self._lines[key] = _Line(Hearing(self._conductor, station, answer, may_steer=True))
        self._lines.move_to_end(key)
        if len(self._lines) > _MAX_ASKERS:
            self._lines.popitem(last=False)
        return self._lines[key]

    def _complain(self, asker: str, detail: str) -> None:
        """One line a second at most: whoever sends nonsense sends much of it."""
        now_s = time.monotonic()
        if now_s - self._complained_s < _COMPLAINT_S:
            self._num_silent += 1
            return
        facts = about(client=asker, detail=detail, others=self._num_silent or None)
        log.info("OSC message refused", extra=facts)
        self._complained_s, self._num_silent = now_s, 0


@dataclass(frozen=True, slots=True)
class _Coming:
    """A message that is yet to sound."""

    kind: str
    words: tuple[str | int | float, ...]
    frame: int


class _Teller:
    """Tells a station's events to all targets, each when it sounds or by as much before as was asked."""

    def __init__(self, station: Station, config: Osc, mouths: list[asyncio.DatagramTransport]) -> None:
        self._station, self._mouths = station, mouths
        self._ahead_s = config.ahead_ms / 1000
        self._client = LiveClient(keeps_awake=False)
        self._coming: dict[_Coming, asyncio.TimerHandle] = {}

    async def run(self) -> None:
        self._station.add_client(self._client)
        try:
            while (event := await self._client.mailbox.get()) is not None:
                self._take(event)
        finally:
            self._station.remove_client(self._client)
            self._forget(lambda each: True)

    def _take(self, event: LiveMessage) -> None:
        if event["type"] == "status" and "still_from" in event:
            since = event["still_from"]
            self._forget(lambda each: each.frame >= since)  # it comes later or never, and is told again
        elif (coming := _read(event)) is not None and (first_tick := self._station.first_tick) is not None:
            self._forget(lambda each: _takes_the_place_of(coming, each))
            due_s = time_of(first_tick) + coming.frame / SAMPLE_RATE
            wait_s = max(0.0, due_s - self._ahead_s - time.monotonic())
            handle = asyncio.get_running_loop().call_later(wait_s, self._tell, coming, due_s)
            self._coming[coming] = handle

    def _forget(self, is_void: Callable[[_Coming], bool]) -> None:
        for each in [each for each in self._coming if is_void(each)]:
            self._coming.pop(each).cancel()

    def _tell(self, coming: _Coming, due_s: float) -> None:
        del self._coming[coming]
        self._send(coming.kind, coming.words, due_s)
        if coming.kind == "beat" and coming.words[1] == 1:
            bar, _, bpm = coming.words
            self._send("bar", (bar, bpm), due_s)

    def _send(self, kind: str, words: tuple[str | int | float, ...], due_s: float) -> None:
        message = build_msg(f"/{ROOT}/{self._station.name}/{kind}", list(words))
        datagram = message.dgram
        if self._ahead_s > 0:
            bundle = OscBundleBuilder(time.time() + due_s - time.monotonic())  # type: ignore[arg-type]  # seconds
            bundle.add_content(message)
            datagram = bundle.build().dgram
        for mouth in self._mouths:
            mouth.sendto(datagram)


def _read(event: Mapping[str, Any]) -> _Coming | None:
    """What is told of an event, if it is one that sounds."""
    words: tuple[str | int | float, ...]
    match event["type"]:
        case "beat":
            words = event["bar"], event["beat"], float(event["bpm"])
        case "section":
            words = event["name"], event["bar"]
        case "state":
            words = event["name"], event.get("previous") or ""
        case "marker":
            words = event.get("stinger", event["name"]), event.get("strength", 1.0), event["id"] or ""
        case _:
            return None
    return _Coming(event["type"], words, event["frame"])


def _takes_the_place_of(later: _Coming, earlier: _Coming) -> bool:
    """The last word counts: of two that are told for their frame or later, and of a marker wherever it was."""
    if later.kind != earlier.kind:
        return False
    return later.words == earlier.words if later.kind == "marker" else earlier.frame >= later.frame
