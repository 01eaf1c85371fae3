"""A film clip that is read: what it holds, when each of its pictures is shown, and the sound that came with it.

In: a path; out: a `Video`, and its sound as long as the picture. The clip's packets are gone through, none is decoded
to probe it; sound is decoded chunk by chunk. Remembers nothing; the calling thread does the work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.stream import Disposition

from engine.audio import CHANNELS, SAMPLE_RATE
from moods.timeline import LONGEST_S, SHORTEST_S, read_fps
from streaming.files.errors import BadVideo
from streaming.files.filters import filtered_frames
from streaming.files.sound import CHUNK_FRAMES, Samples, from_av_frame

MOST_PIXELS = 8192 * 8192
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,avi,mpeg,flv,asf,ogg,mxf"
"""None of them names other files, as playlists do, or is a single picture."""
_USUAL_FPS = [
    *(Fraction(whole * 1000, 1001) for whole in (24, 30, 48, 60, 120)),
    *(Fraction(whole) for whole in (24, 25, 30, 48, 50, 60, 100, 120)),
]
_MOST_MISSING_S = 1
"""Seconds by which a file may be shorter than it says; containers round, and sound may end later than the picture."""
_JITTER_S = 1.01e-3
"""By how much frames at a steady rate may be told wrong: some containers count milliseconds."""
_NEGLIGIBLE_GAP_S = 0.02
"""Timestamps of sound are often rounded to milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A clip's picture; its first frame is at 0, wherever the container's clock begins."""

    path: Path
    codec: str
    width: int
    height: int
    """As they are coded, before the rotation."""
    rotation: int
    """Degrees by which a player turns the picture, anticlockwise: 0, 90, 180 or 270."""
    fps: Fraction | None
    """Frames a second; None where they come at no steady rate."""
    time_base: Fraction
    ticks: npt.NDArray[np.int64] = field(repr=False, compare=False)
    """[num_frames + 1] When each frame begins and when the last one ends, on the container's clock."""
    has_preroll: bool
    """Pictures stand before the first one shown, only because others need them to be decoded."""
    most_waiting: int | None
    """How many pictures are decoded before one that is shown before them; None: the container says when to decode."""
    stream_index: int
    sound_index: int | None
    """The stream with the sound that players play; None: the clip is silent."""
    sound_starts_s: float
    """When its sound begins, after the picture or before it."""

    @property
    def num_frames(self) -> int:
        return len(self.ticks) - 1

    @property
    def start(self) -> Fraction:
        """Where the first frame is on the container's clock, in seconds."""
        return int(self.ticks[0]) * self.time_base

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        if self.fps is not None:
            return self.num_frames / self.fps
        return int(self.ticks[-1] - self.ticks[0]) * self.time_base

    @property
    def average_fps(self) -> Fraction:
        return self.fps or self.num_frames / self.duration

    @property
    def num_sound_frames(self) -> int:
        """48 kHz frames of a sound that is as long as the picture."""
        return round(self.duration * SAMPLE_RATE)

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height as a viewer sees them."""
        return (self.height, self.width) if self.rotation % 180 else (self.width, self.height)

    def time_of(self, frame: int) -> Fraction:
        """Seconds at which `frame` is first shown."""
        if self.fps is not None:
            return frame / self.fps
        return int(self.ticks[frame] - self.ticks[0]) * self.time_base

    def decode_ticks(self) -> Iterator[int]:
        """When the pictures are to be decoded, one after another, where the container does not say it."""
        waiting = self.most_waiting or 0
        usual = int(np.median(np.diff(self.ticks)))
        return itertools.chain(
            range(int(self.ticks[0]) - waiting * usual, int(self.ticks[0]), usual), map(int, self.ticks)
        )

    def frame_at(self, tick: int) -> int:
        """The frame whose picture is shown at a tick of the container's clock."""
        return int(np.clip(np.searchsorted(self.ticks, tick, "right") - 1, 0, self.num_frames - 1))


@contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """Open by libav, which follows no reference to another file. Raises `BadVideo`, also for what is met within."""
    options = {
        "format_whitelist": _CONTAINERS,
        "protocol_whitelist": "file",
        "max_pixels": str(MOST_PIXELS),
        "fflags": "+genpts",
    }
    try:
        with av.open(f"file:{path}", "r", options=options, metadata_errors="replace") as container:
            yield container
    except av.FFmpegError as error:
        raise BadVideo(path, f"cannot be read: {error.strerror}", "name a whole mp4, mov, mkv or webm") from None


def probe(path: Path) -> Video:
    """Read what the clip holds. Raises `BadVideo`: no picture, cut off, too long, too large."""
    with open_video(path) as container:
        pictures = [stream for stream in container.streams.video if not stream.disposition & _STILL]
        if not pictures:
            raise BadVideo(path, "has no video stream", "name a film clip, or leave the picture out")
        shown = next((stream for stream in pictures if stream.disposition & Disposition.default), pictures[0])
        if not 0 < shown.width * shown.height <= MOST_PIXELS:
            raise BadVideo(
                path, f"is {shown.width}x{shown.height} pixels", f"at most {MOST_PIXELS} are read; scale it down"
            )
        time_base = shown.time_base
        assert time_base is not None
        heard = _default_sound(container)
        starts = [] if heard is None or heard.start_time is None else [heard.start_time * (heard.time_base or 1)]
        clock = _read_clock(path, container, shown)
        first = int(clock.ticks[0])
        duration = (int(clock.ticks[-1]) - first) * time_base
        if not SHORTEST_S <= duration <= LONGEST_S:
            raise BadVideo(path, f"is {float(duration):g} s long", f"{SHORTEST_S:g} … {LONGEST_S:g} s are allowed")
        rates = [shown.guessed_rate, shown.base_rate, shown.average_rate]
        return Video(
            path=path,
            codec=shown.codec_context.name,
            width=shown.width,
            height=shown.height,
            rotation=_rotation(path),
            fps=_steady_rate(clock.ticks, time_base, [rate for rate in rates if rate]),
            time_base=time_base,
            ticks=clock.ticks,
            has_preroll=clock.has_preroll,
            most_waiting=clock.most_waiting,
            stream_index=shown.index,
            sound_index=None if heard is None else heard.index,
            sound_starts_s=float(starts[0] - first * time_base) if starts else 0.0,
        )


_STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def _default_sound(container: InputContainer) -> av.AudioStream | None:
    streams = container.streams.audio
    return next((stream for stream in streams if stream.disposition & Disposition.default), next(iter(streams), None))


@dataclass(frozen=True, slots=True)
class _Clock:
    """What the packets say of time; the fields are those of `Video`."""

    ticks: npt.NDArray[np.int64]
    has_preroll: bool
    most_waiting: int | None


def _read_clock(path: Path, container: InputContainer, shown: av.VideoStream) -> _Clock:
    """Go through all packets. Raises `BadVideo` for a file that is cut off."""
    indexed_bytes = max((entry.pos + entry.size for entry in shown.index_entries), default=0)
    if indexed_bytes > (there_bytes := path.stat().st_size):
        raise BadVideo(path, f"is cut off: of {indexed_bytes} bytes or more {there_bytes} are there", "copy it again")
    begins: list[int] = []
    last, lasts = -1, 0
    end_s = Fraction(0)
    has_preroll, is_told_when_to_decode = False, True
    for packet in container.demux():
        if packet.pts is None or packet.time_base is None:
            continue
        end_s = max(end_s, (packet.pts + (packet.duration or 0)) * packet.time_base)
        if packet.stream_index != shown.index:
            continue
        if packet.is_discard:
            has_preroll = True
            continue
        begins.append(packet.pts)
        last, lasts = max((last, lasts), (packet.pts, packet.duration or 0))
        is_told_when_to_decode &= packet.dts is not None
    if len(begins) < 2:
        raise BadVideo(path, f"holds {len(begins)} pictures", "it is empty, cut off or a still; export it again")
    read_s = end_s
    if "matroska" not in container.format.name:  # whose length counts from 0, wherever the first picture is
        read_s -= Fraction(container.start_time or 0, av.time_base)
    promised_s = Fraction(container.duration or 0, av.time_base)
    if read_s < promised_s - _MOST_MISSING_S:
        found = f"of {float(promised_s):.1f} s {float(read_s):.1f} are there"
        raise BadVideo(path, f"is cut off: {found}", "copy it again")
    ticks, ranks = np.unique(np.array(begins, np.int64), return_inverse=True)
    return _Clock(
        ticks=np.append(ticks, ticks[-1] + (lasts or int(np.median(np.diff(ticks))))),
        has_preroll=has_preroll,
        most_waiting=None if is_told_when_to_decode else int((np.arange(len(ranks)) - ranks).max()),
    )


def _steady_rate(ticks: npt.NDArray[np.int64], time_base: Fraction, told: list[Fraction]) -> Fraction | None:
    """The rate at which the frames come, if each is where that puts it, as near as a container's clock tells it."""
    begins = (ticks[:-1] - ticks[0]) * float(time_base)
    for rate in [*told, *_USUAL_FPS]:
        if 1 <= rate <= 240 and read_fps(float(rate)) == rate:
            away_s = np.abs(begins - np.arange(len(begins)) / float(rate))
            if away_s.max() <= max(_JITTER_S, 1.01 * float(time_base)):
                return rate
    return None


def _rotation(path: Path) -> int:
    """The turn is told with the first frame."""
    with open_video(path) as container:
        stream = next(stream for stream in container.streams.video if not stream.disposition & _STILL)
        for frame in container.decode(stream):
            return round(frame.rotation / 90) * 90 % 360
    return 0


@dataclass(frozen=True, slots=True)
class OriginalSound:
    """The sound that came with a picture: 48 kHz stereo from the first frame to the end of the last.

    Surround is mixed down; where it has none, before it begins and after it ends, it is silent. Decoded anew whenever
    it is gone through; raises `BadVideo`.
    """

    video: Video

    def __iter__(self) -> Iterator[Samples]:
        missing = self.video.num_sound_frames
        for samples in _decoded(self.video):
            yield samples[:missing]
            missing -= min(missing, len(samples))
            if not missing:
                return
        while missing:
            silent = np.zeros((min(missing, CHUNK_FRAMES), CHANNELS), np.float32)
            yield silent
            missing -= len(silent)


def read_sound(video: Video) -> OriginalSound:
    return OriginalSound(video)


def _decoded(video: Video) -> Iterator[Samples]:
    if video.sound_index is None:
        return
    with open_video(video.path) as container:
        stream = container.streams[video.sound_index]
        assert isinstance(stream, av.AudioStream)
        position = 0
        for _, run in itertools.groupby(_audio_frames(container, stream, video.start), _kind):
            for samples in _placed(run, position):
                yield samples
                position += len(samples)


def _kind(frame: av.AudioFrame) -> tuple[str, str, int]:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _audio_frames(container: InputContainer, stream: av.AudioStream, start: Fraction) -> Iterator[av.AudioFrame]:
    """What can be decoded, on a clock that is 0 at `start`; a damaged packet leaves a gap."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                frame.pts -= round(start / frame.time_base)
                yield frame


def _placed(run: Iterator[av.AudioFrame], position: int) -> Iterator[Samples]:
    """Frames of one kind at the places that their clock says, from 48 kHz frame `position` on; gaps are filled."""
    first = next(run)
    chain = [
        *([("pan", "stereo|c0=c0|c1=c0")] if first.layout.nb_channels == 1 else []),  # players play it at full level
        ("aresample", f"{SAMPLE_RATE}:async=1:min_hard_comp={_NEGLIGIBLE_GAP_S}:first_pts={position}"),
        ("aformat", f"flt:{SAMPLE_RATE}:stereo"),
    ]
    yield from map(from_av_frame, filtered_frames(itertools.chain([first], run), chain))
