"""A scored clip is written: its pictures as they are, packet by packet, with another sound. In: a `Video`, a `Sound`
as long, an open file; out: bytes in it.

The file begins with the first picture that is shown and ends with the last. Nothing is held but what the container
puts in order; the calling thread does the work, and it should not be the main one, see `media.py`.
"""

from __future__ import annotations

import heapq
import io
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from engine.audio import SAMPLE_RATE
from streaming.files.errors import CannotHold, UnknownFormat
from streaming.files.media import FORMATS, Libav, Shielded
from streaming.files.sound import Sound, to_av_frames
from streaming.files.video import Video, open_video

if TYPE_CHECKING:
    from av.container.core import Chapter

Packet: TypeAlias = "av.Packet[Any]"


@dataclass(frozen=True, slots=True)
class Film:
    """How one kind of file with pictures is written."""

    container: str
    sound: str
    """The suffix of the files of sound that are encoded alike."""
    is_indexed_first: bool
    """Its index stands before all else, so that it plays while it is fetched; and it can hide pictures that others
    need to be decoded."""


FILMS = {
    ".mp4": Film("mp4", ".mp4", True),
    ".m4v": Film("mp4", ".mp4", True),
    ".mov": Film("mov", ".mp4", True),
    ".mkv": Film("matroska", ".opus", False),
    ".webm": Film("webm", ".opus", False),
}
_TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "timecode"}
"""What a container says of itself."""
_BUFFER_BYTES = 2**20


def check_container(video: Video, out: Path) -> None:
    """See whether a file of this name can hold the pictures. Raises `UnknownFormat`, `CannotHold`."""
    film = FILMS.get(out.suffix.lower())
    if film is None:
        raise UnknownFormat(out, sorted(FILMS))
    with open_video(video.path) as there:
        if not _holds(film, video, there, []):
            able = [suffix for suffix, other in FILMS.items() if _holds(other, video, there, [])]
            raise CannotHold(out, video.codec, able)


def mux(video: Video, sound: Sound, file: BinaryIO, suffix: str, tags: Mapping[str, str]) -> None:
    """Fill `file`, open for writing and reading, from its beginning: a film of the kind that `suffix` names.

    `sound` is `video.num_sound_frames` long. Subtitles, chapters, turns, colours and the timecode stay as far as the
    container takes them. Raises OSError, `BadVideo`.
    """
    film = FILMS[suffix.lower()]
    file.seek(0)
    file.truncate()
    shielded = Shielded(file)
    try:
        with open_video(video.path) as there:
            others = [
                stream.index
                for stream in there.streams
                if stream.type in ("subtitle", "attachment") and _holds(film, video, there, [stream.index])
            ]
            with _open(film, video, cast(BinaryIO, shielded)) as here:
                copies, heard = _add_streams(film, video, there, here, others)
                here.metadata.update({**_without(there.metadata, _TECHNICAL), **tags})
                here.set_chapters(_chapters(video, there))
                encoded = _encoded(heard, shielded.checked(sound))
                for packet in _by_time(_copied(video, there, copies), encoded):
                    shielded.check()
                    here.mux_one(packet)
    finally:
        shielded.check()  # the first thing that went wrong, whatever the library made of it


def _open(film: Film, video: Video, file: BinaryIO) -> OutputContainer:
    options: dict[str, str] = {}
    if film.is_indexed_first:
        scale = math.lcm(SAMPLE_RATE, video.time_base.denominator)  # lengths are exact in it
        options["movie_timescale"] = str(scale if scale < 2**31 else SAMPLE_RATE)
        # Room for the index is left before the rest is written, so that nothing has to be moved.
        options["moov_size"] = str(2**16 + 48 * video.num_frames + round(64 * video.duration * SAMPLE_RATE / 1024))
    return av.open(file, "w", format=film.container, container_options=options, buffer_size=_BUFFER_BYTES)


def _add_streams(
    film: Film, video: Video, there: InputContainer, here: OutputContainer, others: Sequence[int]
) -> tuple[dict[int, Stream], av.AudioStream]:
    """The streams that are copied, by their index in the clip, and the sound's. Raises ValueError."""
    copies: dict[int, Stream] = {}
    for index in (video.stream_index, *others):
        source = there.streams[index]
        copy = here.add_stream_from_template(source, opaque=True)
        copy.metadata.update(_without(source.metadata, {"DURATION"}))
        copies[index] = copy
    picture, source = copies[video.stream_index], there.streams[video.stream_index]
    if "timecode" in there.metadata:
        picture.metadata.setdefault("timecode", there.metadata["timecode"])
    if film.is_indexed_first and source.codec_context.codec_tag == "hvc1":
        picture.codec_context.codec_tag = "hvc1"  # Apple's players take no other
    return copies, cast(Libav, FORMATS[film.sound]).add_stream(here)


def _holds(film: Film, video: Video, there: InputContainer, others: Sequence[int]) -> bool:
    """Whether such a file can be begun."""
    if video.has_preroll and not film.is_indexed_first:
        return False
    try:
        with _open(film, video, io.BytesIO()) as here:
            _add_streams(film, video, there, here, others)
            here.start_encoding()
    except (ValueError, av.FFmpegError):
        return False
    return True


def _without(metadata: Mapping[str, str], names: Set[str]) -> dict[str, str]:
    return {name: text for name, text in metadata.items() if name not in names}


def _chapters(video: Video, there: InputContainer) -> list[Chapter]:
    """The clip's chapters on a clock that is 0 at the first picture."""
    chapters = there.chapters()
    for chapter in chapters:
        shift = round(video.start / (chapter["time_base"] or 1))
        chapter["start"], chapter["end"] = max(0, chapter["start"] - shift), max(0, chapter["end"] - shift)
    return chapters


def _copied(video: Video, there: InputContainer, copies: Mapping[int, Stream]) -> Iterator[Packet]:
    """Packets as they are, on a clock that is 0 at the first picture."""
    decode_ticks = video.decode_ticks()
    for packet in there.demux([there.streams[index] for index in copies]):
        if packet.pts is None or packet.time_base is None:
            continue
        shift = round(video.start / packet.time_base)
        if packet.stream_index == video.stream_index and video.most_waiting is not None:
            packet.dts = next(decode_ticks, packet.dts)
        elif packet.stream_index != video.stream_index and packet.pts < shift:
            continue
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.stream = copies[packet.stream_index]
        yield packet


def _encoded(stream: av.AudioStream, sound: Sound) -> Iterator[Packet]:
    for frame in to_av_frames(sound):
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _by_time(*streams: Iterator[Packet]) -> Iterator[Packet]:
    """Packets of several streams as they are due, none asked for before."""
    return heapq.merge(*streams, key=lambda packet: (packet.dts or 0) * packet.time_base)
