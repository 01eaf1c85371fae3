"""Folders and files for what is kept. In: folders in the order of preference; out: one of them. Any thread."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

SHARED_MEMORY = Path("/dev/shm")


def temporary_folder() -> Path:
    """TMPDIR or the system's folder for temporary files; a container that can write none still has shared memory."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:
        return SHARED_MEMORY


def make_private_folder(folder: Path) -> None:
    """Make a folder that others cannot look into; one that is there stays as it is.

    Raises OSError where we cannot write there.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))


def open_private(path: Path) -> BinaryIO:
    """Begin a file that others cannot read, whatever folder it lies in."""
    return open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: PTH123 - Path has no opener


def nameless_file(folder: Path) -> BinaryIO:
    """A file that is gone when it is closed, however we end."""
    return tempfile.TemporaryFile(dir=folder)


def ring_path(folder: Path, station: str) -> Path:
    """Where an engine writes the station's blocks."""
    return folder / f"{station}.ring"


def snapshot_path(folder: Path, station: str) -> Path:
    """Where an engine keeps what it needs to bring the station back."""
    return folder / f"{station}.snapshot"


def sleeper_path(folder: Path, station: str) -> Path:
    """Where an engine keeps a station that sleeps."""
    return folder / f"{station}.asleep"


def partial_path(path: Path) -> Path:
    """Where it is written what is to replace `path`."""
    return path.with_suffix(".partial")


def remove_kept(path: Path) -> None:
    """Throw away what is kept in `path`, and what a writer that died has left beside it; idempotent."""
    path.unlink(missing_ok=True)
    partial_path(path).unlink(missing_ok=True)


def free_bytes(folder: Path) -> float:
    """Bytes that we may still write in `folder`: 0 where it is not ours to write, infinite where nobody can tell."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return 0.0
    if not os.access(folder, os.W_OK | os.X_OK):
        return 0.0
    return usage.free if usage.total else float("inf")  # some file systems count nothing


def roomy_folder(num_bytes: int, *folders: Path) -> Path:
    """The first of `folders` with room for `num_bytes`; without one, the roomiest."""
    fitting = [folder for folder in folders if free_bytes(folder) >= num_bytes]
    return fitting[0] if fitting else max(folders, key=free_bytes)
