"""What leaves a performance inside the engine process: packets into a ring, snapshots onto the disk.

In: blocks of PCM, snapshots; out: a ring and a file. Remembers the encoder. `publish` and `close` belong to one thread,
`keep` and `forget` to another.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streaming.encoders.opus import OpusEncoder
from streaming.engines.ring import Ring
from streaming.scratch import partial_path, remove_kept

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

    def keep(self, snapshot: dict[str, Any]) -> bool:
        """Replace the snapshot on disk at once or not at all; whether that went well.

        Where there is no room the one before stays: the station comes back from there and replays more controls.
        """
        try:
            write_snapshot(self._snapshot_path, snapshot)
        except Exception as error:  # what a generator copies may be anything
            if self._is_kept:
                log.warning("%s cannot be kept for a recovery: %s", self._snapshot_path, error)
            self._is_kept = False
        else:
            self._is_kept = True
        return self._is_kept

    def forget(self) -> None:
        """Throw the snapshot away."""
        remove_kept(self._snapshot_path)

    def close(self) -> None:
        self._ring.close()


def write_snapshot(path: Path, snapshot: dict[str, Any]) -> None:
    """Write a snapshot, or leave what is there as it is. Raises OSError, and what pickling raises.

    Its arrays are written from where they are: pickling them into one piece would hold up the other threads.
    """
    buffers: list[pickle.PickleBuffer] = []
    plain = pickle.dumps(snapshot, protocol=5, buffer_callback=buffers.append)
    pieces = [memoryview(plain), *(buffer.raw() for buffer in buffers)]
    partial = partial_path(path)
    try:
        with partial.open("wb") as file:
            file.write(struct.pack(f"<{1 + len(pieces)}Q", len(pieces), *(piece.nbytes for piece in pieces)))
            for piece in pieces:
                file.write(piece)
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def read_snapshot(path: Path) -> dict[str, Any] | None:
    """What was written last; None where nothing was.

    Raises OSError where it cannot be read. What is damaged is removed besides: it would only be met again.
    """
    try:
        with path.open("rb") as file:
            (num_pieces,) = struct.unpack("<Q", file.read(8))
            pieces = [bytearray(size) for size in struct.unpack(f"<{num_pieces}Q", file.read(8 * num_pieces))]
            for piece in pieces:
                if file.readinto(piece) < len(piece):
                    raise EOFError("it is cut off")
        snapshot: dict[str, Any] = pickle.loads(pieces[0], buffers=pieces[1:])
    except FileNotFoundError:
        return None
    except OSError:
        raise
    except Exception as error:  # bytes that are not as written may fail in any way
        path.unlink()
        raise OSError(f"{path} is damaged: {error}") from error
    return snapshot
