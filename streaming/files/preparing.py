"""What a piece is to do, as far as a clip says it. In: what was asked and a `Video`; out: a `Timeline`.

Remembers nothing; the calling thread looks at the picture while another process listens to the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from moods.timeline import Timeline, parse_timeline
from streaming.files.cuts import find_cuts
from streaming.files.speech import Listening
from streaming.files.video import Video, read_sound


def timeline_for(
    asked: Mapping[str, Any], video: Video, on_progress: Callable[[float], None] = lambda share: None
) -> Timeline:
    """The timeline that `asked` is, in JSON values, with what it leaves out and the clip says: how long it is, its
    rate, its cuts, and where somebody speaks. `on_progress` is told 0 … 1. Raises `BadVideo`, `CannotListen`,
    `MoodsError`.
    """
    found: dict[str, Any] = {"duration": float(video.duration)}
    if video.fps is not None:  # frames that come at no steady rate are met at the times at which they are shown
        found["fps"] = str(video.fps)
    parse_timeline({**found, **asked})  # a mistake is told at once, and not after the clip has been gone through
    with ExitStack() as beside:
        is_known = "speech" in asked or video.sound_index is None
        listening = None if is_known else beside.enter_context(Listening(read_sound(video)))
        if "cuts" not in asked:
            cuts = find_cuts(video, lambda frames: on_progress(min(1.0, frames / video.num_frames)))
            found["cuts"] = [{"at": cut.at, "weight": cut.weight} for cut in cuts]
        if listening is not None:
            found["speech"] = [list(span) for span in listening.spans()]
    end = float({**found, **asked}["duration"])
    if "cuts" in found:
        found["cuts"] = [cut for cut in found["cuts"] if cut["at"] < end]
    return parse_timeline({**found, **asked})
