"""The ring between two processes: what is read is what was written, or nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from streaming.engines.ring import NUM_BLOCKS, Ring

WRITER = """
import sys
import numpy as np
from pathlib import Path
from streaming.engines.ring import Ring
ring = Ring(Path(sys.argv[1]))
for block in range(int(sys.argv[2])):
    ring.write(block, block.to_bytes(8, "little") * 20, np.full((960, 2), block, np.float32))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "station.ring"


def test_reader_gets_whole_blocks_while_another_process_writes(path: Path) -> None:
    ring = Ring(path, create=True)
    num_blocks, num_read = 4000, 0
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(num_blocks)])
    while writer.poll() is None:
        newest = int(ring._sequences.max()) - 1  # read where the writer writes
        for block in range(max(0, newest - 2), newest + 2):
            chunk = ring.read(block)
            if chunk is not None:
                num_read += 1
                assert chunk.frame == block * 960
                assert chunk.packet == block.to_bytes(8, "little") * 20
                assert (chunk.pcm == block).all()
    assert writer.returncode == 0
    assert num_read > 100
    ring.close()


def test_block_that_is_not_written_or_written_over_is_not_there(path: Path) -> None:
    ring = Ring(path, create=True)
    pcm = np.linspace(-0.5, 0.5, 1920, dtype=np.float32).reshape(960, 2)
    assert ring.read(0) is None
    ring.write(0, b"first", pcm)
    chunk = ring.read(0)
    assert chunk is not None
    assert (chunk.packet, chunk.peak) == (b"first", 0.5)
    assert np.array_equal(chunk.pcm, pcm)
    ring.write(NUM_BLOCKS, b"over", pcm)
    assert ring.read(0) is None
    assert ring.read(NUM_BLOCKS) is not None
    assert np.array_equal(chunk.pcm, pcm)  # a chunk is a copy
    ring.close()


def test_a_ring_that_has_no_room_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError):
        Ring(path, create=True)
    assert not path.exists()


def test_room_is_taken_when_the_ring_is_made(path: Path) -> None:
    Ring(path, create=True).close()
    assert path.stat().st_blocks * 512 >= NUM_BLOCKS * 960 * 2 * 4
    with pytest.raises(FileExistsError):
        Ring(path, create=True)
