"""Blocks to the bytes of endless streams: wav, ogg, mp3, aac.

In: chunks of a station; out: bytes that end where a frame of the format does, so that a reader may begin behind any of
them. An encoder remembers its codec; one thread at a time, and not the event loop's.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import av
from av.audio.resampler import AudioResampler

from engine.audio import SAMPLE_RATE
from streaming.encoders.opus import wrap_packet
from streaming.encoders.pcm import endless_wav_header
from streaming.engines.ring import Chunk

MEDIA_TYPES = {"wav": "audio/wav", "ogg": "audio/ogg; codecs=opus", "mp3": "audio/mpeg", "aac": "audio/aac"}
BIT_RATES = {"mp3": 192_000, "aac": 160_000}
_MPEG: dict[str, tuple[str, dict[str, str], str, dict[str, str], int]] = {
    "mp3": ("mp3", {"write_xing": "0", "id3v2_version": "0"}, "libmp3lame", {"reservoir": "0"}, 1152),
    "aac": ("adts", {}, "aac", {}, 1024),
}
"""Muxer and codec with their options, and the frames of a frame."""


class Coding(NamedTuple):
    """A format, and the bit/s where it has a choice of them; 0 where it has none."""

    kind: str
    bit_rate: int = 0


def coding_of(kind: str, bit_rate: int = 0) -> Coding:
    """One of MEDIA_TYPES, at `bit_rate` or what is usual."""
    return Coding(kind, (bit_rate or BIT_RATES[kind]) if kind in BIT_RATES else 0)


class Encoder(Protocol):
    header: bytes
    """What a reader is sent before all else, whenever it comes."""

    def encode(self, chunk: Chunk) -> bytes:
        """What stands for a chunk in the stream; nothing while a frame of the format is not full."""


def open_encoder(coding: Coding, title: str) -> Encoder:
    """`title` names the whole stream, where the format tells it."""
    if coding.kind == "wav":
        return _Samples()
    return _Pages(title) if coding.kind == "ogg" else _Frames(coding)


class _Written:
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


class _Samples:
    header = endless_wav_header()

    def encode(self, chunk: Chunk) -> bytes:
        return chunk.s16le


class _Pages:
    """The station's own Opus packets, each in a page of its own; granules are the station's frames."""

    def __init__(self, title: str) -> None:
        self._written = _Written()
        options = {"page_duration": "1", "flush_packets": "1"}
        self._container: Any = av.open(self._written, "w", format="ogg", options=options)
        self._container.metadata["title"] = title
        self._track = self._container.add_stream("libopus", rate=SAMPLE_RATE, layout="stereo")
        self._container.start_encoding()
        self.header = self._written.take()

    def encode(self, chunk: Chunk) -> bytes:
        packet = wrap_packet(chunk.packet, chunk.frame)
        packet.stream = self._track
        self._container.mux(packet)
        return self._written.take()


class _Frames:
    """Frames of MPEG audio, none of which needs the bits of another."""

    header = b""

    def __init__(self, coding: Coding) -> None:
        self._written = _Written()
        muxer, options, codec, codec_options, num_frames = _MPEG[coding.kind]
        self._container: Any = av.open(self._written, "w", format=muxer, options={**options, "flush_packets": "1"})
        self._track: Any = self._container.add_stream(
            codec, rate=SAMPLE_RATE, options=codec_options, layout="stereo", bit_rate=coding.bit_rate
        )
        self._resampler = AudioResampler("fltp", "stereo", SAMPLE_RATE, num_frames)

    def encode(self, chunk: Chunk) -> bytes:
        frame = av.AudioFrame.from_ndarray(chunk.pcm.reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        for full in self._resampler.resample(frame):
            self._container.mux(self._track.encode(full))
        return self._written.take()
