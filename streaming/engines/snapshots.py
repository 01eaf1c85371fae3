"""Snapshots on the disk. In: what a performance remembers; out: a file, and the same again for whom it was made by.

Remembers nothing; any thread, one at a time for a file.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import struct
from importlib import resources
from importlib.metadata import version
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from engine.generator import Traits
from streaming.scratch import open_private, partial_path

_MAGIC = b"undersong snapshot\n"
_SOURCES = (".py", ".toml")
_OFFLINE = ("training", "__pycache__")


def maker_of(traits: Traits) -> bytes:
    """Who can go on with a snapshot, 32 bytes: the same sources with a generator of the same kind.

    Another version may remember other things, or make other music of the same.
    """
    kind = (traits.name, traits.model, traits.device, traits.patches, traits.latency_frames, traits.lead_frames)
    return hashlib.sha256(_sources_digest() + repr(kind).encode()).digest()


@functools.cache
def _sources_digest() -> bytes:
    digest = hashlib.sha256(version("undersong").encode())
    for package in ("engine", "moods"):
        _add_sources(digest, resources.files(package))
    return digest.digest()


def _add_sources(digest: hashlib._Hash, folder: Traversable) -> None:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            if entry.name not in _OFFLINE:
                _add_sources(digest, entry)
        elif entry.name.endswith(_SOURCES):
            digest.update(entry.read_bytes())


def write_snapshot(
    path: Path, snapshot: dict[str, Any], maker: bytes, num_controls: int = 0, *, is_lasting: bool = False
) -> None:
    """Write a snapshot, or leave what is there as it is. Raises OSError, and what pickling raises.

    It holds the effect of `num_controls` controls. One that is `lasting` is there after a power cut too.

    Its arrays are written from where they are: pickling them into one piece would hold up the other threads.
    """
    buffers: list[pickle.PickleBuffer] = []
    plain = pickle.dumps(snapshot, protocol=5, buffer_callback=buffers.append)
    pieces = [memoryview(plain), *(buffer.raw() for buffer in buffers)]
    partial = partial_path(path)
    try:
        with open_private(partial) as file:
            file.write(_MAGIC + maker + struct.pack("<Q", num_controls))
            file.write(struct.pack(f"<{1 + len(pieces)}Q", len(pieces), *(piece.nbytes for piece in pieces)))
            for piece in pieces:
                file.write(piece)
            if is_lasting:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def num_controls_in(path: Path, maker: bytes) -> int:
    """Of how many controls a snapshot holds the effect; 0 where there is none that `maker` can go on with."""
    begin = _MAGIC + maker
    try:
        with path.open("rb") as file:
            content = file.read(len(begin) + 8)
    except OSError:
        return 0
    if len(content) < len(begin) + 8 or not content.startswith(begin):
        return 0
    num_controls: int = struct.unpack("<Q", content[len(begin) :])[0]
    return num_controls


def read_snapshot(path: Path, maker: bytes) -> dict[str, Any] | None:
    """What was written last; None where nothing was, or somebody else wrote it.

    Raises OSError where it cannot be read. What is damaged is removed besides: it would only be met again.
    """
    try:
        with path.open("rb") as file:
            if (magic := file.read(len(_MAGIC))) != _MAGIC:
                raise ValueError(f"it begins with {magic!r}")
            if file.read(len(maker)) != maker:
                return None
            _, num_pieces = struct.unpack("<2Q", file.read(16))
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
