"""Looks into a picture that somebody has sent, in a process of its own: whatever the file does to a decoder, the server
and its music live on. In: a path; out: its length, or what is wrong. Remembers nothing. Any thread, which waits.
"""

from __future__ import annotations

import json
import resource
import subprocess
from pathlib import Path

from moods.errors import OutOfRange
from streaming.errors import NotAPicture, StreamingError
from streaming.files.errors import BadVideo
from streaming.terminal import tell
from undersong_launch import child_command, child_environment

_PATIENCE_S = 120.0
_MOST_BYTES = 4 << 30
"""Of memory."""


class _BadPicture(StreamingError):
    """As the process found it."""

    title = BadVideo.title

    def __init__(self, code: str, status: int, detail: str) -> None:
        super().__init__(detail, field="video")
        self.code, self.status = code, status


def seconds_of(picture: Path, max_s: float) -> float:
    """How long a clip is. Raises `NotAPicture`, `moods.errors.OutOfRange`, and as `BadVideo` says."""
    command = child_command("streaming.jobs.probing:main", str(picture))
    try:
        done = subprocess.run(command, env=child_environment(), capture_output=True, timeout=_PATIENCE_S)
        found = json.loads(done.stdout or b"null")
    except (subprocess.TimeoutExpired, ValueError):
        found = None
    if found is None:
        raise NotAPicture("what was sent as video cannot be read; send a whole mp4, mov, mkv or webm", field="video")
    if "seconds" not in found:
        raise _BadPicture(found["code"], found["status"], found["detail"])
    if found["seconds"] > max_s:
        raise OutOfRange("seconds of video", round(found["seconds"], 3), 1, max_s)
    return found["seconds"]


def main(path: str) -> int:
    """Tell on stdout what the file at `path` is, as one JSON object."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (round(_PATIENCE_S), round(_PATIENCE_S)))
    from streaming.files.video import open_video, probe

    is_opened = False
    try:
        with open_video(Path(path)):
            is_opened = True
        found: dict[str, object] = {"seconds": float(probe(Path(path)).duration)}
    except BadVideo as error:
        kind = error if is_opened else NotAPicture
        found = {
            "code": kind.code,
            "status": kind.status,
            "detail": error.detail.replace(repr(Path(path).name), "video"),
        }
    tell(json.dumps(found))
    return 0
