"""Encoded files: written by libav or libsndfile, read by libav. In: sound and a format; out: bytes in an open file.

A new format is a line in `FORMATS`. The calling thread does the work; Ctrl-C in the middle of a callback would be lost,
so it should not be the main thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import av
import soundfile
from av.container import OutputContainer

from engine.audio import CHANNELS, SAMPLE_RATE
from streaming.files.sound import CHUNK_FRAMES, Samples, Sound, from_av_frame, to_av_frames

_WAV_MAX_BYTES = 2**32
"""A WAV file counts its bytes in 32 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format(ABC):
    """How one kind of file is written; all decode to exactly the frames that were given, and `packet_frames` tells the
    exception."""

    least_bit_rate: int
    """No file of music is smaller: what the free room is compared with."""
    is_lossy: bool = True
    packet_frames: int = 1
    """libav leaves what the codec padded, so that a file decodes to a multiple of this."""

    @abstractmethod
    def write(self, file: BinaryIO, sound: Sound, comment: str) -> None:
        """Encode `sound` into an empty file that can seek."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Libav(Format):
    container: str
    codec: str
    sample_format: str
    bit_rate: int | None = None
    container_options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, str] = field(default_factory=dict)

    def write(self, file: BinaryIO, sound: Sound, comment: str) -> None:
        with av.open(file, "w", format=self.container, options=self.container_options) as container:
            container.metadata["comment"] = comment
            stream = self.add_stream(container)
            for frame in to_av_frames(sound):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    def add_stream(self, container: OutputContainer) -> av.AudioStream:
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

    def write(self, file: BinaryIO, sound: Sound, comment: str) -> None:
        kind = {"format": self.container, "subtype": self.codec, "compression_level": self.compression_level}
        with soundfile.SoundFile(file, "w", SAMPLE_RATE, CHANNELS, **kind) as written:
            if self.is_lossy:
                written.comment = comment
            for samples in sound:
                for start in range(0, len(samples), CHUNK_FRAMES):  # its Vorbis encoder keeps a chunk on the stack
                    written.write(samples[start : start + CHUNK_FRAMES])
            if not self.is_lossy:
                written.comment = comment  # behind the samples: simple readers of WAV stop where they expected them
        assert self.container != "WAV" or file.tell() < _WAV_MAX_BYTES, file.tell()


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
    ".wav": Sndfile(least_bit_rate=_PCM_BIT_RATE, is_lossy=False, container="WAV", codec="PCM_24"),
    # libavcodec takes 24 of the 32 bits.
    ".flac": Libav(
        least_bit_rate=_PCM_BIT_RATE // 4, is_lossy=False, container="flac", codec="flac", sample_format="s32"
    ),
    ".mp3": Libav(
        least_bit_rate=250_000, container="mp3", codec="libmp3lame", sample_format="fltp", bit_rate=256_000
    ),
    ".m4a": _aac("ipod"),
    ".mp4": _aac("mp4"),
    ".opus": Libav(
        least_bit_rate=100_000, container="ogg", codec="libopus", sample_format="flt", bit_rate=192_000
    ),
    ".ogg": _VORBIS,
    ".oga": _VORBIS,
}  # fmt: skip


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


def write_audio(file: BinaryIO, sound: Sound, file_format: Format, comment: str) -> None:
    """Fill `file`, open for writing and reading, from its beginning. Raises OSError."""
    file.seek(0)
    file.truncate()
    shielded = Shielded(file)
    try:
        file_format.write(cast(BinaryIO, shielded), shielded.checked(sound), comment)
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
