"""Pushes a station by RTMP or SRT, as platforms for films take it: through the program ffmpeg.

In: samples of an outlet; out: the same to a child's standard input, which encodes and sends them, with a still picture
where one is wanted. Remembers the child. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from engine.audio import CHANNELS, SAMPLE_RATE
from streaming.encoders.endless import coding_of
from streaming.outlet import MAX_UNREAD_BLOCKS, STORE_BLOCKS
from streaming.push.settings import Push
from streaming.push.target import PushFailed, PushRefused
from streaming.station import Station

_FFMPEG = "ffmpeg"
_UNREAD_S = 15.0
"""A child that has taken nothing for so long is given up: the other side does not read, or has gone without a word."""
_GOODBYE_S = 1.5
_CONNECTING_S = 3.0
"""One that lives for so long has connected; it says so nowhere."""
_MAX_WORDS = 2000
_PICTURE_FPS = 5
_KEYFRAME_S = 2
_SIZE = "1280x720"


class Film:
    """One address of a platform."""

    def __init__(self, push: Push) -> None:
        self._push = push

    async def send(self, station: Station, on_connected: Callable[[], None]) -> None:
        """Send the station until it ends. Raises `PushFailed`, OSError, TimeoutError."""
        if shutil.which(_FFMPEG) is None:
            raise PushRefused("the program ffmpeg is not there, which sends RTMP and SRT; install it")
        child = await asyncio.create_subprocess_exec(
            *command(self._push), stdin=PIPE, stdout=DEVNULL, stderr=PIPE, process_group=0
        )  # fmt: skip
        ended = asyncio.create_task(_last_words(child))
        feeding = asyncio.create_task(self._feed(station, child, on_connected))
        try:
            await asyncio.wait([ended, feeding], return_when=asyncio.FIRST_COMPLETED)
            if feeding.done() and not feeding.exception():
                return
            feeding.cancel()
            with contextlib.suppress(TimeoutError):
                words = await asyncio.wait_for(asyncio.shield(ended), _GOODBYE_S)
                raise PushFailed(words.replace(self._push.key, "…") if self._push.key else words)
            await feeding
        finally:
            feeding.cancel()
            await _end(child)

    async def _feed(self, station: Station, child: Process, on_connected: Callable[[], None]) -> None:
        """Raises OSError, TimeoutError."""
        assert child.stdin is not None
        session = station.add_session(
            self._push.kind, MAX_UNREAD_BLOCKS, STORE_BLOCKS, station.outlet(coding_of("wav"))
        )  # fmt: skip
        connected = asyncio.get_running_loop().call_later(_CONNECTING_S, on_connected)
        try:
            while (chunk := await session.next_chunk()) is not None:
                child.stdin.write(chunk.coded)
                async with asyncio.timeout(_UNREAD_S):
                    await child.stdin.drain()
            child.stdin.close()
        finally:
            connected.cancel()
            station.remove_session(session)


def command(push: Push) -> list[str]:
    """What the child is started with. It reads samples, and ends when they do."""
    words = [_FFMPEG, "-hide_banner", "-nostdin", "-loglevel", "error"]
    words += ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", str(CHANNELS), "-i", "pipe:0"]
    if push.picture == "black":
        words += ["-f", "lavfi", "-i", f"color=black:size={_SIZE}:rate={_PICTURE_FPS}"]
    elif push.picture:
        words += ["-loop", "1", "-framerate", str(_PICTURE_FPS), "-i", push.picture]
    if push.picture:
        width, height = _SIZE.split("x")
        fitted = f"scale={width}:{height}:force_original_aspect_ratio=decrease,pad={width}:{height}:-1:-1"
        words += ["-map", "0:a", "-map", "1:v", "-vf", f"{fitted},format=yuv420p", "-c:v", "libx264"]
        words += ["-preset", "ultrafast", "-tune", "stillimage", "-g", str(_KEYFRAME_S * _PICTURE_FPS), "-shortest"]
    words += ["-c:a", "aac", "-b:a", str(push.bit_rate), "-flush_packets", "1"]
    return [*words, "-f", "flv" if push.kind == "rtmp" else "mpegts", address(push)]


def address(push: Push) -> str:
    """With the password where the protocol has a place for it: behind an RTMP address, SRT's passphrase."""
    if not push.key:
        return push.to
    if push.kind == "rtmp":
        return f"{push.to.rstrip('/')}/{push.key}"
    parts = urlsplit(push.to)
    query = "&".join(filter(None, (parts.query, urlencode({"passphrase": push.key}, quote_via=quote))))
    return urlunsplit(parts._replace(query=query))


async def _last_words(child: Process) -> str:
    """What it says last, when it has ended."""
    assert child.stderr is not None
    words = b""
    while part := await child.stderr.read(_MAX_WORDS):
        words = (words + part)[-_MAX_WORDS:]
    status = await child.wait()
    lines = words.decode(errors="replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else f"ffmpeg ended with status {status}"


async def _end(child: Process) -> None:
    """Let it say goodbye, then end it."""
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), _GOODBYE_S)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
