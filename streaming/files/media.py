"""Encoded files: written by libav or libsndfile, read by libav. In: sound and a format; out: bytes in an open file.

A new format is a line in `FORMATS`. The calling thread does the work; Ctrl-C in the middle of a callback would be lost,
so it should not be the main thread.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
import soundfile
from av.container import OutputContainer

from engine.audio import CHANNELS, SAMPLE_RATE
from streaming.files.errors import UnknownFormat
from streaming.files.sound import CHUNK_FRAMES, Samples, Sound, from_av_frame, to_av_frames

_WAV_MOST_BYTES = 2**32 - 2**20
"""A WAV file counts its bytes in 32 bits; some are for what is said besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format(ABC):
    """How one kind of file is written; all decode to exactly the frames that were given, and `packet_frames` tells the
    exception."""

    least_bit_rate: int
    """No file of music is smaller: what the free room is compared with."""
    is_lossy: bool = True
    packet_frames: int = 1
    """libav leaves what the codec padded, so that a file decodes to a multiple of this."""
    bits: int | None = None
    """Of a sample, where the format has such: 16 or 24."""
    most_frames: int = sys.maxsize
    has_loops: bool = False
    has_free_tags: bool = False
    """Takes tags of any name; the others take a comment."""

    def bytes_of(self, num_frames: int) -> int:
        """What a file of so many frames takes at least."""
        return round(num_frames / SAMPLE_RATE * self.least_bit_rate / 8)

    @abstractmethod
    def write(self, file: BinaryIO, sound: Sound, tags: Mapping[str, str]) -> None:
        """Encode `sound` into an empty file that can seek."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Libav(Format):
    container: str
    codec: str
    sample_format: str
    bit_rate: int | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, str] = field(default_factory=dict)

    def write(self, file: BinaryIO, sound: Sound, tags: Mapping[str, str]) -> None:
        with av.open(file, "w", format=self.container, options=self.container_options) as container:
            container.metadata.update(tags)
            stream = self.add_stream(container)
            for frame in to_av_frames(dithered(sound) if self.bits == 16 else sound):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def add_stream(self, container: OutputContainer) -> av.AudioStream:
        """Add a stream to `container`, encoded as in a file of its own."""
        stream = container.add_stream(self.codec, rate=SAMPLE_RATE, options=self.codec_options)
        assert isinstance(stream, av.AudioStream)
        stream.layout, stream.format = "stereo", self.sample_format
        if self.bit_rate:
            stream.bit_rate = self.bit_rate
        return stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Sndfile(Format):
    container: str
    codec: str
    compression_level: float | None = None

    def write(self, file: BinaryIO, sound: Sound, tags: Mapping[str, str]) -> None:
        kind = {"format": self.container, "subtype": self.codec, "compression_level": self.compression_level}
        with soundfile.SoundFile(file, "w", SAMPLE_RATE, CHANNELS, **kind) as written:
            if self.is_lossy:
                written.comment = tags["comment"]
            for samples in dithered(sound) if self.bits == 16 else sound:
                # Its own way from floats to 16 bits would move samples that are whole numbers already.
                packed = (samples * 2**15).astype(np.int16) if self.bits == 16 else samples
                for start in range(0, len(samples), CHUNK_FRAMES):  # its Vorbis encoder keeps a chunk on the stack
                    written.write(packed[start : start + CHUNK_FRAMES])
            if not self.is_lossy:  # behind the samples: simple readers of WAV stop where they expected them
                written.comment = tags["comment"]


def _aac(container: str) -> Format:
    """AAC as libav makes it best: its preferred coder and tools that guess make single peaks of 3 dB and more noise."""
    plain = {"aac_coder": "fast", "aac_pns": "0", "aac_is": "0", "aac_tns": "0", "cutoff": "18000"}
    return Libav(
        least_bit_rate=200_000, container=container, codec="aac", sample_format="fltp", bit_rate=256_000,
        packet_frames=1024, codec_options=plain,
        container_options={"movie_timescale": str(SAMPLE_RATE)},  # so that the edit list names the exact length
    )  # fmt: skip


_PCM_BIT_RATE = 24 * CHANNELS * SAMPLE_RATE
_VORBIS = Sndfile(least_bit_rate=100_000, container="OGG", codec="VORBIS", compression_level=0.3)
FORMATS: dict[str, Format] = {
    ".wav": Sndfile(
        least_bit_rate=_PCM_BIT_RATE, is_lossy=False, bits=24, most_frames=_WAV_MOST_BYTES // (3 * CHANNELS),
        has_loops=True, container="WAV", codec="PCM_24",
    ),
    # libavcodec takes 24 of the 32 bits.
    ".flac": Libav(
        least_bit_rate=_PCM_BIT_RATE // 4, is_lossy=False, bits=24, has_free_tags=True, container="flac", codec="flac",
        sample_format="s32",
    ),
    ".mp3": Libav(
        least_bit_rate=250_000, has_free_tags=True, container="mp3", codec="libmp3lame",
        sample_format="fltp", bit_rate=256_000,
    ),
    ".m4a": _aac("ipod"),
    ".mp4": _aac("mp4"),
    ".opus": Libav(
        least_bit_rate=100_000, has_free_tags=True, container="ogg", codec="libopus",
        sample_format="flt", bit_rate=192_000,
    ),
    ".ogg": _VORBIS,
    ".oga": _VORBIS,
}  # fmt: skip
BITS = (16, 24)


def format_of(path: Path, bits: int = 24) -> Format:
    """How a file of this name is written, with samples of so many bits where it has such. Raises `UnknownFormat`."""
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UnknownFormat(path, sorted(FORMATS))
    if found.bits is None or found.bits == bits:
        return found
    assert bits in BITS, bits
    fewer = replace(found, bits=bits, least_bit_rate=found.least_bit_rate * bits // found.bits)
    match fewer:
        case Libav():
            return replace(fewer, sample_format="s16")
        case Sndfile():
            return replace(fewer, codec="PCM_16")
    raise AssertionError(fewer)


def in_floats(wav: Format) -> Format:
    """WAV of floats, for sound above full scale: layers may be louder by themselves than all of them together."""
    assert isinstance(wav, Sndfile) and wav.container == "WAV", wav
    return replace(wav, codec="FLOAT", bits=None)


def dithered(sound: Sound) -> Iterator[Samples]:
    """`sound` in steps of 16 bits, with triangular noise of a step's size, the same each time: so that what is lost is
    hiss, and does not follow the music."""
    generator = np.random.default_rng(0)
    for samples in sound:
        noise = generator.random((2, *samples.shape), np.float32)
        yield np.clip(np.rint(samples * 2**15 + noise[0] - noise[1]), -(2**15), 2**15 - 1) / np.float32(2**15)


class Shielded:
    """A file for a library to call back. What goes wrong in a callback would be lost there.

    It is kept for `check`, and the library is told that all went well.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: BaseException | None = None

    def check(self) -> None:
        """Raise what went wrong."""
        if self._error is not None:
            raise self._error

    def checked(self, sound: Sound) -> Iterator[Samples]:
        for samples in sound:
            self.check()
            yield samples

    def _call(self, method: str, arguments: tuple[Any, ...], otherwise: Any) -> Any:
        try:
            return getattr(self._file, method)(*arguments) if self._error is None else otherwise
        except BaseException as error:
            self._error = error
            return otherwise

    def write(self, packed: bytes) -> int:
        return self._call("write", (packed,), len(packed))

    def read(self, num_bytes: int) -> bytes:
        return self._call("read", (num_bytes,), b"")

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._call("seek", (offset, whence), 0)

    def tell(self) -> int:
        return self._call("tell", (), 0)


def write_audio(file: BinaryIO, sound: Sound, file_format: Format, tags: Mapping[str, str]) -> None:
    """Fill `file`, open for writing and reading, from its beginning. Raises OSError."""
    file.seek(0)
    file.truncate()
    shielded = Shielded(file)
    try:
        file_format.write(cast(BinaryIO, shielded), shielded.checked(sound), tags)
    finally:
        shielded.check()  # the first thing that went wrong, whatever the library made of it


def read_audio(file: BinaryIO) -> Iterator[Samples]:
    """Decode `file` as a player does. Raises OSError."""
    file.seek(0)
    shielded = Shielded(file)
    with av.open(shielded, "r") as container:
        resampler = av.AudioResampler(format="flt", layout="stereo", rate=SAMPLE_RATE)
        for frame in container.decode(audio=0):
            for packed in resampler.resample(frame):
                yield from_av_frame(packed)
    shielded.check()
