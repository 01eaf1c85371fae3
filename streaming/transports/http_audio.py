"""Endless audio over plain HTTP, for media players, OBS and curl. In: a session of an outlet; out: bytes of its format.

A response remembers where its next title stands. Event loop only.
"""

from __future__ import annotations

import functools
import re
from collections.abc import AsyncIterator, Callable, Mapping

import numpy as np
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from engine.audio import BLOCK_FRAMES, CHANNELS
from streaming.encoders.endless import BIT_RATES, MEDIA_TYPES, coding_of, open_encoder
from streaming.engines.ring import make_chunk
from streaming.outlet import Outlet
from streaming.session import Session
from streaming.station import Station
from streaming.titles import ARTIST

ICY_KINDS = frozenset(BIT_RATES)
"""Those in which players look for titles between the bytes; Ogg has a place of its own for them."""
ICY_INTERVAL_BYTES = 16_000
_MAX_ICY_BYTES = 255 * 16
_SILENT_PACKET = bytes([0xFC, 0xFF, 0xFE])
"""20 ms of stereo Opus: CELT, full band (RFC 6716, section 3.1)."""
_PEEK = re.compile(r"bytes=0-(\d{1,4})")


class AudioResponse(StreamingResponse):
    """What `outlet` hands out to `session`, until either side ends.

    The session ends with it, even where the listener is gone before a byte was sent.
    """

    def __init__(
        self,
        station: Station,
        session: Session,
        outlet: Outlet,
        headers: Mapping[str, str],
        *,
        has_titles: bool = False,
    ) -> None:
        """Where it `has_titles` what plays is told between the bytes, as ICY clients ask for it."""
        bytes_ = _stream(session, outlet)
        if has_titles:
            headers = {**headers, **icy_headers(station, outlet.coding.bit_rate)}
            bytes_ = _with_titles(bytes_, station.title)
        super().__init__(bytes_, 200, headers, MEDIA_TYPES[outlet.coding.kind])
        self._station, self._session = station, session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._station.remove_session(self._session)


async def _stream(session: Session, outlet: Outlet) -> AsyncIterator[bytes]:
    written = await outlet.header()
    if written:
        yield written  # the first block of a station that sleeps takes its time
    written = b""
    while (chunk := await session.next_chunk()) is not None:
        written += chunk.coded
        if written and not session.mailbox:
            yield written
            written = b""


# --- titles between the bytes, the ICY protocol of SHOUTcast and Icecast ----------------------------------------------


def icy_headers(station: Station, bit_rate: int) -> dict[str, str]:
    return {
        "icy-name": f"{ARTIST}: {station.name}",
        "icy-br": str(bit_rate // 1000),
        "icy-pub": "0",
        "icy-metaint": str(ICY_INTERVAL_BYTES),
    }


def icy_block(title: str) -> bytes:
    """A title as it stands between the bytes: a length in units of 16, text, zeros."""
    quoted = title.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}").encode()  # nothing there escapes the quote's end
    text = b"StreamTitle='" + quoted[: _MAX_ICY_BYTES - 16] + b"';"
    num_units = -(-len(text) // 16)
    return bytes([num_units]) + text.ljust(16 * num_units, b"\0")


async def _with_titles(stream: AsyncIterator[bytes], title: Callable[[], str]) -> AsyncIterator[bytes]:
    told, room = "", ICY_INTERVAL_BYTES
    async for written in stream:
        parts, at = [], 0
        while len(written) - at >= room:
            parts.append(written[at : at + room])
            at, room = at + room, ICY_INTERVAL_BYTES
            now = title()
            parts.append(b"\0" if now == told else icy_block(now))
            told = now
        room -= len(written) - at
        yield b"".join((*parts, written[at:]))


# --- looks at the beginning ------------------------------------------------------------------------------------------


def peek(kind: str, range_: str) -> bytes | None:
    """The first bytes of the stream `kind` where the header Range asks for no more than its beginning, else None.

    Some players look at two bytes before they listen; any other range of an endless stream is answered with the stream,
    as RFC 9110 (section 14.2) allows. Not for the event loop.
    """
    match = _PEEK.fullmatch(range_)
    if match is None or int(match[1]) >= len(beginning := _beginning(kind)):
        return None
    return beginning[: int(match[1]) + 1]


@functools.cache
def _beginning(kind: str) -> bytes:
    """What all streams of `kind` begin with."""
    encoder = open_encoder(coding_of(kind), ARTIST)
    beginning = encoder.header
    silence = make_chunk(0, _SILENT_PACKET, np.zeros((BLOCK_FRAMES, CHANNELS), np.float32))
    while not beginning:
        beginning = encoder.encode(silence)
    return beginning


# --- playlists -------------------------------------------------------------------------------------------------------


PLAYLIST_TYPES = {"m3u": "audio/x-mpegurl", "pls": "audio/x-scpls"}


def playlist(kind: str, url: str, title: str) -> str:
    """A file that leads a media player to the stream at `url`."""
    if kind == "m3u":
        return f"#EXTM3U\n#EXTINF:-1,{title}\n{url}\n"
    return f"[playlist]\nNumberOfEntries=1\nFile1={url}\nTitle1={title}\nLength1=-1\nVersion=2\n"
