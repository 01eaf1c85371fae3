"""Where a picture is cut: the first frame of each new shot. In: a `Video`; out: `TimelineCut`s.

Every picture is decoded once, made small, and shown to PySceneDetect; a few are kept. Hard cuts are told to the frame;
fades and dissolves have no such frame and are left out. The calling thread does the work; the decoder has threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import av
import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from moods.timeline import MOST_CUTS, TimelineCut
from streaming.files.errors import BadVideo
from streaming.files.video import Video, open_video

Picture = npt.NDArray[np.uint8]
"""uint8 [height, width, 3], blue first."""

_WIDTH = 96
_LOOK_AROUND = 4
"""Frames on both sides of a cut that must differ: a flash of fewer frames is none."""
_ALIKE = 0.5
"""Pictures that differ by less than this share of what the cut changes are of one shot."""
_RATIO, _LEAST_CHANGE = 2.7, 6.0
"""Of PySceneDetect's adaptive detector: how far a change stands out from those around it, and how large it is."""
_LARGEST_CHANGE = 80.0
"""Mean difference of a colour's value, of 255, from which a cut weighs most."""
_LEAST_SHOT_S = 0.2


def find_cuts(video: Video, on_progress: Callable[[int], None] = lambda frames: None) -> list[TimelineCut]:
    """Find the cuts; `on_progress` is told how many frames have been seen. Raises `BadVideo`.

    A cut weighs by how much the picture changes there, 0 … 1.
    """
    # It brings OpenCV along, which nobody who has no clip should wait for.
    from scenedetect.common import FrameTimecode
    from scenedetect.detectors import AdaptiveDetector

    detector = AdaptiveDetector(adaptive_threshold=_RATIO, min_content_val=_LEAST_CHANGE, min_scene_len=1)
    fps = float(video.average_fps)
    kept: deque[_Seen] = deque(maxlen=detector.event_buffer_length + 2 * _LOOK_AROUND + 1)
    told: deque[int] = deque()
    cuts: list[TimelineCut] = []
    for seen in _pictures(video):
        kept.append(seen)
        told.extend(code.frame_num for code in detector.process_frame(FrameTimecode(seen.frame, fps), seen.picture))
        if told and seen.frame >= told[0] + _LOOK_AROUND:
            _judge(told.popleft(), kept, video, cuts)
        on_progress(seen.frame + 1)
    if not kept:
        raise BadVideo(video.path, "holds no picture that can be decoded", "export it again")
    for frame in told:
        _judge(frame, kept, video, cuts)
    if len(cuts) > MOST_CUTS:
        least = sorted(cut.weight for cut in cuts)[-MOST_CUTS]
        cuts = [cut for cut in cuts if cut.weight >= least][:MOST_CUTS]
    return cuts


@dataclass(frozen=True, slots=True)
class _Seen:
    frame: int
    picture: Picture


def _pictures(video: Video) -> Iterator[_Seen]:
    """The pictures in the order in which they are shown, made small; what is damaged is left out."""
    height = max(2, round(_WIDTH * video.height / video.width))
    small = VideoReformatter()
    with open_video(video.path) as container:
        stream = container.streams[video.stream_index]
        assert isinstance(stream, av.VideoStream)
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"skip_loop_filter": "all"}  # blocks are not seen at this size
        last = -1
        for frame in _frames(container, stream):
            if frame.pts is None or frame.pts < video.ticks[0] or (number := video.frame_at(frame.pts)) <= last:
                continue
            last = number
            scaled = small.reformat(frame, width=_WIDTH, height=height, format="bgr24", interpolation="AREA", threads=1)
            yield _Seen(number, cast(Picture, scaled.to_ndarray()))


def _frames(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.InvalidDataError:
            continue


def _judge(frame: int, kept: Sequence[_Seen], video: Video, cuts: list[TimelineCut]) -> None:
    """Add a cut at `frame` to `cuts`, unless the shot before it goes on after it."""
    before = [seen.picture for seen in kept if seen.frame < frame][-_LOOK_AROUND:]
    after = [seen.picture for seen in kept if seen.frame >= frame][:_LOOK_AROUND]
    change = _distance(before[-1], after[0])
    if min(_distance(one, other) for one in before for other in after) < _ALIKE * change:
        return
    cut = TimelineCut(at=float(video.time_of(frame)), weight=round(min(1.0, change / _LARGEST_CHANGE), 3))
    if cuts and cut.at - cuts[-1].at < _LEAST_SHOT_S:
        if cut.weight <= cuts[-1].weight:
            return
        cuts.pop()
    cuts.append(cut)


def _distance(one: Picture, other: Picture) -> float:
    """Mean difference of a colour's value, of 255."""
    return float(np.abs(one.astype(np.int16) - other).mean())
