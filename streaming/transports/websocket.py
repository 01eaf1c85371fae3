"""WebSockets: the live channel and raw audio. In: an open socket of a station; out: messages. Remembers nothing.

Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Coroutine
from operator import attrgetter
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from streaming import live
from streaming.conductor import Conductor
from streaming.messages import AudioHeader
from streaming.session import BINARY, Ending, LiveClient, Session
from streaming.station import Station

PAYLOADS = {"pcm_s16le": attrgetter("s16le"), "pcm_f32le": attrgetter("f32le"), "opus": attrgetter("packet")}
BUFFER_MS = (40, 10_000)
DEFAULT_BUFFER_MS = 1000
_GOODBYE_S = 2.0
"""How long one that does not read is given for its close frame."""


async def serve_live(
    conductor: Conductor, station: Station, socket: WebSocket, session_id: str | None, may_steer: bool
) -> None:
    """Carry the live channel until either side ends."""
    await socket.accept()
    client = LiveClient(session_id)
    hearing = live.Hearing(conductor, station, client.tell, may_steer=may_steer)
    station.add_client(client)
    try:
        await _until_first(live.tell(client, socket.send_text), _hear(hearing, client, socket), client.is_cut_off())
    finally:
        station.remove_client(client)
    await _close(socket, client.mailbox.ending)


async def serve_audio(station: Station, session: Session, socket: WebSocket, audio_format: str) -> None:
    """Send the station's audio, one message for every 20 ms, until either side ends."""
    try:
        await socket.accept()
        await _until_first(_send_audio(session, socket, audio_format), _drain(socket))
    finally:
        station.remove_session(session)
    await _close(socket, session.mailbox.ending)


async def _close(socket: WebSocket, ending: Ending | None) -> None:
    """Tell the client why; without an ending it was the client that went."""
    if ending is not None:
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):  # or both at once
            await asyncio.wait_for(socket.close(ending.code, ending.reason), _GOODBYE_S)


async def _hear(hearing: live.Hearing, client: LiveClient, socket: WebSocket) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is None:
            client.cut(BINARY)
            return
        await hearing.hear(message["text"])


async def _send_audio(session: Session, socket: WebSocket, audio_format: str) -> None:
    payload = PAYLOADS[audio_format]
    while (chunk := await session.next_chunk()) is not None:
        if chunk.frame == session.began_frame:
            await socket.send_text(_header(audio_format, session))
        if session.dropped is not None:
            await socket.send_text(json.dumps(session.dropped))
        await socket.send_bytes(_message(chunk.frame, payload(chunk)))


def _header(audio_format: str, session: Session) -> str:
    assert session.began_frame is not None, session.id
    header = AudioHeader(
        format=audio_format,
        rate=SAMPLE_RATE,
        channels=CHANNELS,
        block_frames=BLOCK_FRAMES,
        first_frame=session.began_frame,
        session=session.id,
        buffer_ms=session.buffer_ms,
    )
    return json.dumps(header)


def _message(frame: int, payload: bytes) -> bytes:
    """The frame as an unsigned 64-bit little-endian number, then the payload."""
    return struct.pack("<Q", frame) + payload


async def _drain(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


async def _until_first(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends; a client that has gone is a normal end."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    for task in done:
        if type(task.exception()) not in (WebSocketDisconnect, RuntimeError):  # no other RuntimeError is the socket's
            task.result()
