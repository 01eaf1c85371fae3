"""What leaves a performance inside the engine process: packets into a ring, snapshots onto the disk.

In: blocks of PCM, snapshots; out: a ring and files. Remembers the encoder. `publish` and `close` belong to one thread,
`keep` and `forget` to another.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streaming.encoders.opus import OpusEncoder
from streaming.engines.ring import Ring
from streaming.engines.snapshots import write_snapshot
from streaming.journal import about
from streaming.scratch import remove_kept

log = logging.getLogger(__name__)

_LASTING_S = 10.0
"""How often a station is kept on the disk: what is done again after a power cut is at most so long."""


class Publisher:
    """The way out of one station. Raises OSError where the ring cannot be mapped."""

    def __init__(
        self, ring_path: Path, snapshot_path: Path, bit_rate: int, maker: bytes, lasting_path: Path | None = None
    ) -> None:
        """Snapshots are `maker`'s. `lasting_path` is where the station is to outlast the server, if it is to."""
        self._snapshot_path, self._lasting_path, self._maker = snapshot_path, lasting_path, maker
        self._next_lasting_s = 0.0
        self._encoder = OpusEncoder(bit_rate)
        self._ring = Ring(ring_path)
        self._is_kept = True
        """The last attempt to keep a snapshot went well; said once when that changes."""

    def publish(self, block: int, pcm: npt.NDArray[np.float32]) -> None:
        """Encode block number `block`, [960, 2], and write it into the ring."""
        self._ring.write(block, self._encoder.encode(pcm), pcm)

    def keep(self, snapshot: dict[str, Any], num_controls: int) -> bool:
        """Replace the snapshot on disk, with the effect of so many controls, at once or not at all; whether that went
        well.

        Where there is no room the one before stays: the station comes back from there and replays more controls.
        """
        try:
            write_snapshot(self._snapshot_path, snapshot, self._maker, num_controls)
            if self._lasting_path is not None and time.monotonic() >= self._next_lasting_s:
                write_snapshot(self._lasting_path, snapshot, self._maker, num_controls, is_lasting=True)
                self._next_lasting_s = time.monotonic() + _LASTING_S
        except Exception as error:  # what a generator copies may be anything
            if self._is_kept:
                station = about(station=self._snapshot_path.stem)
                log.warning("a station cannot be kept for a recovery: %s", error, extra=station)
            self._is_kept = False
        else:
            self._is_kept = True
        return self._is_kept

    def forget(self) -> None:
        """Throw the snapshot away."""
        remove_kept(self._snapshot_path)

    def close(self) -> None:
        self._ring.close()
