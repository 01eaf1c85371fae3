"""Endless audio over plain HTTP, for media players, OBS and curl. In: a session; out: bytes of wav, ogg or mp3.

Each listener's generator remembers its container; ogg carries the station's own Opus packets, mp3 is encoded on a
thread. Event loop only.
"""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import AsyncIterator, Callable, Mapping
from operator import attrgetter

import av
import numpy as np
from av.audio.resampler import AudioResampler
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from streaming.encoders.opus import wrap_packet
from streaming.encoders.pcm import endless_wav_header
from streaming.engines.ring import Chunk, make_chunk
from streaming.session import Session
from streaming.station import Station

MEDIA_TYPES = {"wav": "audio/wav", "ogg": "audio/ogg; codecs=opus", "mp3": "audio/mpeg"}
MAX_QUEUED_CHUNKS = 100
LAG_BLOCKS = 50
"""Players of such streams keep a second or more in store, and have no hand on the music: to them a block that comes
within a second of its time is no gap."""
_MP3_BIT_RATE = 192_000
_MP3_FRAME = 1152


_SILENT_PACKET = bytes([0xFC, 0xFF, 0xFE])
"""20 ms of stereo Opus: CELT, full band (RFC 6716, section 3.1)."""
_PEEK = re.compile(r"bytes=0-(\d{1,4})")


class _Outlet:
    """A file for a muxer, read by `take`."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, written: bytes) -> int:
        self._bytes += written
        return len(written)

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken


class AudioResponse(StreamingResponse):
    """The station's audio as `kind`, one of MEDIA_TYPES, until either side ends.

    The session ends with it, even where the listener is gone before a byte was sent.
    """

    def __init__(self, station: Station, session: Session, kind: str, headers: Mapping[str, str]) -> None:
        super().__init__(_stream(session, kind), 200, headers, MEDIA_TYPES[kind])
        self._station, self._session = station, session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._station.remove_session(self._session)


async def _stream(session: Session, kind: str) -> AsyncIterator[bytes]:
    header, convert = _CONTAINERS[kind]()
    if header:
        yield header  # the first block of a young station comes a second later
    while (chunk := await session.next_chunk()) is not None:
        written = await asyncio.to_thread(convert, chunk) if kind == "mp3" else convert(chunk)
        if written:
            yield written


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
    beginning, convert = _CONTAINERS[kind]()
    silence = make_chunk(0, _SILENT_PACKET, np.zeros((BLOCK_FRAMES, CHANNELS), np.float32))
    while not beginning:
        beginning = convert(silence)
    return beginning


Container = tuple[bytes, Callable[[Chunk], bytes]]
"""The header of a stream, and a function that makes what stands in it for a chunk."""


def _wav() -> Container:
    return endless_wav_header(), attrgetter("s16le")


def _ogg() -> Container:
    """Each Opus packet has a page of its own."""
    outlet = _Outlet()
    container = av.open(outlet, "w", format="ogg", options={"page_duration": "1", "flush_packets": "1"})
    track = container.add_stream("libopus", rate=SAMPLE_RATE, layout="stereo")
    container.start_encoding()
    header = outlet.take()
    first_frame: int | None = None

    def convert(chunk: Chunk) -> bytes:
        nonlocal first_frame
        first_frame = chunk.frame if first_frame is None else first_frame
        packet = wrap_packet(chunk.packet, chunk.frame - first_frame)
        packet.stream = track
        container.mux(packet)
        return outlet.take()

    return header, convert


def _mp3() -> Container:
    outlet = _Outlet()
    container = av.open(outlet, "w", format="mp3", options={"write_xing": "0", "flush_packets": "1"})
    track = container.add_stream("libmp3lame", rate=SAMPLE_RATE, layout="stereo")
    track.bit_rate = _MP3_BIT_RATE
    resampler = AudioResampler(format="fltp", layout="stereo", rate=SAMPLE_RATE, frame_size=_MP3_FRAME)

    def convert(chunk: Chunk) -> bytes:
        frame = av.AudioFrame.from_ndarray(chunk.pcm.reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        for resampled in resampler.resample(frame):
            container.mux(track.encode(resampled))
        return outlet.take()

    return b"", convert


_CONTAINERS: dict[str, Callable[[], Container]] = {"wav": _wav, "ogg": _ogg, "mp3": _mp3}
