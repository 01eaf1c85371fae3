"""Sound on its way into a file: chunk after chunk, so that memory stays flat however long a piece is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS, SAMPLE_RATE
from streaming.files.errors import CannotKeep, naming
from streaming.scratch import nameless_file

Samples = npt.NDArray[np.float32]
"""float32 [frames, channels]; full scale is ±1."""
Sound = Iterable[Samples]
"""Chunks of any length, one after another."""

FRAME_BYTES = CHANNELS * np.dtype(np.float32).itemsize
CHUNK_FRAMES = SAMPLE_RATE // 2


class StoredSound:
    """Sound in a nameless file of `folder`: stored once, then gone through as often as needed. Use as `with`.

    It is read and written, not mapped: a disk that is full or breaks is then an error, `CannotKeep`, and no signal.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with naming(folder, CannotKeep):
            self._file = nameless_file(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # what could not be written cannot be flushed either
            self._file.close()

    def append(self, samples: Samples) -> None:
        with naming(self._folder, CannotKeep):
            self._file.write(np.ascontiguousarray(samples, np.float32).data)

    def __iter__(self) -> Iterator[Samples]:
        with naming(self._folder, CannotKeep):
            self._file.seek(0)
        while True:
            with naming(self._folder, CannotKeep):
                read = self._file.read(CHUNK_FRAMES * FRAME_BYTES)
            if not read:
                return
            yield np.frombuffer(read, np.float32).reshape(-1, CHANNELS)


def to_av_frames(sound: Sound) -> Iterator[av.AudioFrame]:
    position = 0
    for samples in sound:
        packed = np.ascontiguousarray(samples).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, position, Fraction(1, SAMPLE_RATE)
        position += len(samples)
        yield frame


def from_av_frame(frame: av.AudioFrame) -> Samples:
    """The samples of a frame in packed float."""
    return frame.to_ndarray().reshape(-1, CHANNELS).astype(np.float32, copy=False)
