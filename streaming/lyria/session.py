"""One client of the Lyria protocol: its messages in, its music out. In: an open socket; out: chunks, and how it ends.

Remembers what the client wishes and the station that plays it: one from PLAY to STOP, another after RESET_CONTEXT.
Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS, CHANNELS
from moods.prompt import Prompt, resolve_prompt
from streaming.conductor import Conductor
from streaming.encoders.pcm import to_s16le
from streaming.errors import BadMessage, EngineUnavailable, StreamingError, TooManyStations
from streaming.journal import about
from streaming.lyria import protocol
from streaming.lyria.deck import Deck, Source
from streaming.lyria.protocol import Asked, MusicConfig, Playback, Prompts, Setup
from streaming.lyria.wishes import Fields, Wishes, moved
from streaming.messages import LiveMessage
from streaming.reading import read_asked
from streaming.session import FAULT, Ending

log = logging.getLogger(__name__)

FRAME_BYTES = 2 * CHANNELS
CHUNK_BYTES = 5 * BLOCK_FRAMES * FRAME_BYTES
"""100 ms to a chunk, but for one with which something begins: that is as short as it can be."""
_STEER_S = 0.05
"""How often the music is steered at most: a stream of weights is a glide from each to the next."""
_AGAIN_S = 0.5
_READING_S = 0.1
_READING_SHARE, _LONGEST_PAUSE_S = 3.0, 1.0
"""Where prompts took long to read, a client waits so many times as long before its next are, the newest only: one
thread reads those of all clients."""
_MAX_REASON_BYTES = 123
_OUT = np.cos(np.linspace(0, np.pi / 2, BLOCK_FRAMES, dtype=np.float32))[:, None]
"""Amplitude of what a new context takes the place of, over one block; that of what comes is its mirror image."""


class Session:
    """Serves one socket with `run`. `buffer_s` is how far ahead of its time the music is sent."""

    def __init__(self, conductor: Conductor, socket: WebSocket, buffer_s: float, tells_events: bool) -> None:
        self._conductor, self._socket, self._tells_events = conductor, socket, tells_events
        self._ahead_blocks = round(buffer_s / BLOCK_SECONDS)
        self._wishes = Wishes()
        self._has_wished = asyncio.Event()
        """There are wishes that the station may not know."""
        self._is_set_up = False
        self._deck: Deck | None = None
        self._has_deck, self._changed = asyncio.Event(), asyncio.Event()
        self._is_leaving = False
        """The deck's next block is its last."""
        self._next_deck: Deck | None = None
        """What takes its place then."""
        self._begins = True
        """The next block is not to wait for others."""
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        """How the station ended, if somebody else has ended it."""
        self._num_sent_frames = 0
        self._reading: asyncio.Task[Prompt] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Serve the client until either side ends."""
        await self._socket.accept()
        ending: Ending | None = None
        try:
            ending = await self._serve()
        except StreamingError as error:
            ending = Ending(_close_code(error), error.detail)
            log.info("a client of the Lyria endpoint is refused", extra=about(code=error.code, detail=error.detail))
        except Exception:  # the client is told so much of a fault of ours
            log.exception("a session of the Lyria endpoint failed")
            ending = FAULT
        finally:
            await _end_all(self._tasks)
            for deck in (self._deck, self._next_deck):
                if deck is not None:
                    deck.close()
        if ending is not None:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # or both at once
                await self._socket.close(ending.code, _short(ending.reason))

    async def _serve(self) -> Ending | None:
        """Do all until one thing ends; a client that has gone is a normal end. Raises what a client is told."""
        all_: list[asyncio.Future[Any]] = [self._start(each) for each in (self._hear(), self._play(), self._steer())]
        done, _ = await asyncio.wait([*all_, self._ended], return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            if type(each.exception()) not in (WebSocketDisconnect, RuntimeError):  # none else is a socket's
                each.result()
        return self._ended.result() if self._ended in done else None

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- what the client asks ----------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        """Raises `BadMessage`, `TooManyStations` and `EngineUnavailable`."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            for asked in protocol.read(message.get("text") or message.get("bytes") or ""):
                await self._do(asked)

    async def _do(self, asked: Asked) -> None:
        if not self._is_set_up and not isinstance(asked, Setup):
            raise BadMessage('setup is missing; the first message is {"setup": {"model": "…"}}')
        match asked:
            case Setup() if not self._is_set_up:
                self._is_set_up = True
                await self._socket.send_text(protocol.SETUP_COMPLETE)
            case Setup():
                log.debug("a second setup says nothing new")
            case MusicConfig():
                self._wish(replace(self._wishes, config=asked))
            case Playback():
                await self._control(asked)
            case prompts:
                self._wish(replace(self._wishes, prompts=prompts))

    def _wish(self, wishes: Wishes) -> None:
        self._wishes = wishes
        self._has_wished.set()

    async def _control(self, control: Playback) -> None:
        deck = None if self._is_leaving and self._next_deck is None else self._deck
        if control is Playback.PLAY and deck is None:
            await self._begin(self._ahead_blocks)
        elif deck is None:
            return
        elif control is Playback.PLAY:
            deck.play()
            self._begins = True
            self._has_wished.set()
        elif control is Playback.PAUSE:
            deck.pause()
        elif control is Playback.RESET_CONTEXT and not deck.is_paused:
            await self._begin(0)  # the client has what was sent ahead
        elif control in (Playback.STOP, Playback.RESET_CONTEXT):  # PLAY begins another
            self._stop(deck)

    def _stop(self, deck: Deck) -> None:
        if self._next_deck is not None:
            self._next_deck.close()
            self._next_deck = None
        if deck.is_paused:
            self._change_decks()
        else:
            self._is_leaving = True

    async def _begin(self, ahead_blocks: int) -> None:
        """Begin a context: at once, or in the place of the one that plays."""
        self._wishes = self._wishes.afresh()
        wishes = replace(self._wishes, prompts=await self._read_in_time(self._wishes.prompts))
        fields = wishes.fields()
        opening = wishes.opening(fields)
        try:
            station = await self._conductor.open_station(opening, kind="lyria", ahead_blocks=ahead_blocks)
        except (TooManyStations, EngineUnavailable):
            if self._deck is None:
                raise
            await self._leave()  # there may be room for the one that goes
            station = await self._conductor.open_station(opening, kind="lyria", ahead_blocks=ahead_blocks)
        deck = Deck(self._conductor, station, fields, Source(wishes.prompts, wishes.config), self._ahead_blocks)
        self._start(self._tell(deck))
        if self._next_deck is not None:
            self._next_deck.close()
        self._next_deck = deck
        self._has_wished.set()  # what was not read in time, or asked meanwhile, the music comes to
        if self._deck is None:
            self._change_decks()
        else:
            self._is_leaving = True

    async def _leave(self) -> None:
        self._is_leaving = True
        while self._deck is not None:
            self._changed.clear()
            await self._changed.wait()

    def _change_decks(self) -> None:
        if self._deck is not None:
            self._deck.close()
        self._deck, self._next_deck = self._next_deck, None
        self._is_leaving, self._begins = False, True
        self._changed.set()
        if self._deck is None:
            self._has_deck.clear()
        else:
            self._has_deck.set()

    # --- steering ----------------------------------------------------------------------------------------------------

    async def _steer(self) -> None:
        """Ask of the station what is wished, the latest only, and again what it could not take."""
        while True:
            await self._has_wished.wait()
            self._has_wished.clear()
            wishes = self._wishes
            began_s = time.monotonic()
            await self._read(wishes.prompts)
            reading_s = time.monotonic() - began_s
            fields, deck = wishes.fields(), self._next_deck or self._deck
            if deck is None or deck.is_paused:  # it begins with them, or goes on with them
                continue
            change = moved(fields, deck.fields)
            pause_s = _STEER_S if change else 0.0
            try:
                await self._ask(deck, wishes, change)
            except StreamingError as error:
                log.info("control refused", extra=about(station=deck.station.id, code=error.code, detail=error.detail))
                pause_s = _AGAIN_S
                self._has_wished.set()
            await asyncio.sleep(max(pause_s, min(_READING_SHARE * reading_s, _LONGEST_PAUSE_S)))

    async def _read(self, prompts: Prompts) -> None:
        """Have prompts read; if it is given up, no more than the one that is read now keeps others from reading."""
        for prompt in prompts:
            while self._reading is not None and not self._reading.done():
                await asyncio.wait([self._reading])
            self._reading = asyncio.create_task(read_asked(resolve_prompt, prompt.text))
            await asyncio.shield(self._reading)

    async def _read_in_time(self, prompts: Prompts) -> Prompts:
        """Those that are understood as soon as music is to begin: the first sentence of all takes a second or two."""
        num_read = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READING_S):
                for prompt in prompts:
                    await self._read((prompt,))
                    num_read += 1
        return prompts[:num_read]

    async def _ask(self, deck: Deck, wishes: Wishes, fields: Fields) -> None:
        frames: list[int] = []
        for control in wishes.controls(fields):
            ack = await self._conductor.control(deck.station, control)
            frames.append(ack["effective_at"]["frame"])
            await self._tell_event(ack)
        deck.on_steered(min(frames, default=None), fields, Source(wishes.prompts, wishes.config))

    async def _tell(self, deck: Deck) -> None:
        """Tell what the station tells; end with it, if it is not we who end it."""
        while (event := await deck.next_event()) is not None:
            await self._tell_event(event)
        if deck.ending is not None and not self._ended.done():
            self._ended.set_result(deck.ending)

    async def _tell_event(self, event: LiveMessage) -> None:
        if self._tells_events:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):  # it has gone, as whoever hears it will know
                await self._socket.send_text(json.dumps({"undersong": event}, ensure_ascii=False))

    # --- sound -------------------------------------------------------------------------------------------------------

    async def _play(self) -> None:
        """Send what plays, without a gap."""
        pending: _Pending | None = None
        source: Source | None = None
        while True:
            if (deck := self._deck) is None:
                await self._has_deck.wait()
                continue
            chunk = await deck.next_chunk()
            if chunk is None or deck is not self._deck:  # it was stopped in a pause
                continue
            pcm = chunk.pcm
            if self._is_leaving:
                pcm = pcm * _OUT
                self._change_decks()
                if (following := self._deck) is not None and (first := await following.next_chunk()) is not None:
                    deck, chunk, pcm = following, first, pcm + first.pcm * _OUT[::-1]
            last, source = source, deck.source(chunk)
            if pending is not None and (pending.deck is not deck or pending.source != source):
                await self._send(pending)
                pending = None
            self._begins |= source != last
            pending = pending or _Pending(deck, source, chunk.frame)
            pending.samples += to_s16le(pcm)
            if self._begins or self._deck is None or len(pending.samples) >= CHUNK_BYTES:
                await self._send(pending)
                pending, self._begins = None, False

    async def _send(self, pending: _Pending) -> None:
        place = pending.deck.place(pending.frame) | {"sent": self._num_sent_frames}
        source = pending.source
        await self._socket.send_text(protocol.chunk(bytes(pending.samples), source.prompts, source.config, place))
        self._num_sent_frames += len(pending.samples) // FRAME_BYTES


@dataclass(slots=True)
class _Pending:
    """A chunk to be sent: of which station, made from what, from which of its frames on."""

    deck: Deck
    source: Source
    frame: int
    samples: bytearray = field(default_factory=bytearray)


async def _end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel until all have ended: Python 3.11's `wait_for` forgets a cancellation that meets what it waits for."""
    all_ = running = list(tasks)
    while running := [task for task in running if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=_AGAIN_S)
    await asyncio.gather(*all_, return_exceptions=True)  # where a client has gone several fail alike


def _close_code(error: StreamingError) -> int:
    """Of RFC 6455 and its registry: the message is wrong; try again later; the server cannot go on."""
    match error:
        case BadMessage():
            return 1007
        case TooManyStations() | EngineUnavailable():
            return 1013
        case _:
            return 1011


def _short(reason: str) -> str:
    """As much as a close frame holds."""
    return reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
