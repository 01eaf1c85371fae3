"""Blocks from the engine process to the server process: shared memory with one writer and one reader.

In: PCM and packet of block n; out: `Chunk`. Remembers the last NUM_BLOCKS blocks. The engine's publishing threads write
(one at a time for a ring), the server's event loop reads; neither ever waits. The server process owns the file.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS
from streaming.encoders.opus import MAX_PACKET_BYTES
from streaming.encoders.pcm import to_f32le, to_s16le

NUM_BLOCKS = 256
_RECORD = np.dtype(
    [
        ("sequence", "<u8"),  # block number + 1, written last; 0 while the record changes
        ("peak", "<f4"),
        ("rms", "<f4"),
        ("packet_length", "<u4"),
        ("packet", "u1", (MAX_PACKET_BYTES + 1,)),
        ("pcm", "<f4", (BLOCK_FRAMES, CHANNELS)),
    ]
)
RING_BYTES = NUM_BLOCKS * _RECORD.itemsize


@dataclass
class Chunk:
    """20 ms of a station, for any number of listeners; what a transport makes of it is made once."""

    frame: int  # of the station's stream, at which the block begins
    packet: bytes  # Opus
    pcm: npt.NDArray[np.float32]  # [960, 2]
    peak: float  # 0 … 1
    rms: float
    coded: bytes = b""  # what an outlet has made of it, which alone hands it out

    @cached_property
    def s16le(self) -> bytes:
        return to_s16le(self.pcm)

    @cached_property
    def f32le(self) -> bytes:
        return to_f32le(self.pcm)


def make_chunk(frame: int, packet: bytes, pcm: npt.NDArray[np.float32]) -> Chunk:
    return Chunk(frame, packet, pcm, float(np.abs(pcm).max()), float(np.sqrt(np.mean(pcm * pcm))))


class Ring:
    """A file of NUM_BLOCKS records, mapped into both processes."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Map the ring at `path`. Raises OSError where there is no room for it."""
        self.path = path
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if create:
                # Room is taken now: a full /dev/shm would otherwise kill the writer with SIGBUS later.
                os.posix_fallocate(descriptor, 0, RING_BYTES)
            self._memory = mmap.mmap(descriptor, RING_BYTES)
        except OSError:
            if create:
                path.unlink()
            raise
        finally:
            os.close(descriptor)
        self._records = np.frombuffer(self._memory, _RECORD)
        self._sequences = self._records["sequence"]

    def write(self, block: int, packet: bytes, pcm: npt.NDArray[np.float32]) -> None:
        """Publish float32 [960, 2] and its packet as block number `block` (from 0)."""
        assert len(packet) <= MAX_PACKET_BYTES, len(packet)
        at = block % NUM_BLOCKS
        record = self._records[at]
        self._sequences[at] = 0
        record["peak"] = np.abs(pcm).max()
        record["rms"] = np.sqrt(np.mean(pcm * pcm))
        record["packet_length"] = len(packet)
        record["packet"][: len(packet)] = np.frombuffer(packet, np.uint8)
        record["pcm"] = pcm
        self._sequences[at] = block + 1

    def read(self, block: int) -> Chunk | None:
        """Copy block number `block` out, or answer None where it is not there."""
        at = block % NUM_BLOCKS
        if self._sequences[at] != block + 1:
            return None
        record = self._records[at]
        packet = record["packet"][: record["packet_length"]].tobytes()
        chunk = Chunk(block * BLOCK_FRAMES, packet, record["pcm"].copy(), float(record["peak"]), float(record["rms"]))
        return chunk if self._sequences[at] == block + 1 else None

    def close(self) -> None:
        """Unmap; the owner removes the file itself."""
        del self._records, self._sequences
        self._memory.close()
