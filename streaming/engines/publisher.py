"""What leaves a performance inside the engine process: packets into a ring, snapshots onto the disk.

In: blocks of PCM, snapshots; out: a ring and a file. Remembers the encoder. Methods run on one pool thread at a time.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streaming.encoders.opus import OpusEncoder
from streaming.engines.ring import Ring

log = logging.getLogger(__name__)


class Publisher:
    """The way out of one station. Raises OSError where the ring cannot be mapped."""

    def __init__(self, ring_path: Path, snapshot_path: Path, bit_rate: int) -> None:
        self._snapshot_path = snapshot_path
        self._encoder = OpusEncoder(bit_rate)
        self._ring = Ring(ring_path)
        self._is_kept = True
        """The last attempt to keep a snapshot went well; said once when that changes."""

    def publish(self, block: int, pcm: npt.NDArray[np.float32]) -> None:
        """Encode block number `block`, [960, 2], and write it into the ring."""
        self._ring.write(block, self._encoder.encode(pcm), pcm)

    def keep(self, snapshot: dict[str, Any], report: Callable[[], None]) -> None:
        """Replace the snapshot on disk at once or not at all, then report.

        Where there is no room the one before stays: the station comes back from there and replays more controls.
        """
        partial = self._snapshot_path.with_suffix(".partial")
        try:
            partial.write_bytes(pickle.dumps(snapshot, protocol=5))
            os.replace(partial, self._snapshot_path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            if self._is_kept:
                log.warning("%s cannot be kept for a recovery: %s", self._snapshot_path, error.strerror)
            self._is_kept = False
        else:
            self._is_kept = True
            report()

    def close(self) -> None:
        self._ring.close()


def read_snapshot(path: Path) -> dict[str, Any] | None:
    """What was kept last; None where nothing was."""
    try:
        return pickle.loads(path.read_bytes())
    except FileNotFoundError:
        return None
