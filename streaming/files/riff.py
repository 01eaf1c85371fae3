"""What a WAV says besides its samples. In: an open file; out: the same file with chunks more.

Chunks go behind the samples: the simplest readers look for `fmt ` and `data` at the beginning, and nothing else. The
calling thread does the work. Raises OSError.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import BinaryIO

from engine.audio import SAMPLE_RATE

_FORWARD, _FOR_EVER = 0, 0
_MIDDLE_C = 60


def append_loop(file: BinaryIO, num_frames: int) -> None:
    """Say that all of the file's frames are one loop, in a `smpl` chunk as samplers and game engines read it."""
    period_ns = round(1e9 / SAMPLE_RATE)
    header = struct.pack("<9I", 0, 0, period_ns, _MIDDLE_C, 0, 0, 0, 1, 0)
    _append(file, b"smpl", header + struct.pack("<6I", 0, _FORWARD, 0, num_frames - 1, 0, _FOR_EVER))


def append_cues(file: BinaryIO, cues: Sequence[tuple[int, str]]) -> None:
    """Name places of the file, each at a frame, in a `cue ` chunk and a `LIST` of labels."""
    rows = [struct.pack("<2I4s3I", number, frame, b"data", 0, 0, frame) for number, (frame, _) in enumerate(cues, 1)]
    _append(file, b"cue ", struct.pack("<I", len(rows)) + b"".join(rows))
    labels = b""
    for number, (_, label) in enumerate(cues, 1):
        text = label.encode("ascii", "replace") + b"\0"
        labels += b"labl" + struct.pack("<2I", 4 + len(text), number) + text + b"\0" * (len(text) % 2)
    _append(file, b"LIST", b"adtl" + labels)


def _append(file: BinaryIO, kind: bytes, content: bytes) -> None:
    end = file.seek(0, os.SEEK_END)
    file.write(b"\0" * (end % 2) + kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2))
    size = file.tell() - 8
    file.seek(4)
    file.write(struct.pack("<I", size))
