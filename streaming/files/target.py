"""Where a file goes. In: a path as a user gave it; out: a file to fill, which is at the path if all goes well.

A new file, or a plain one of ours, appears whole under its name. Whatever else has the name stays what it is, be it a
mount, a pipe, a device or another user's file, and is written through. The calling thread does the work.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from streaming.files.errors import CannotKeep, CannotWrite, naming
from streaming.scratch import nameless_file


class Target:
    """A path that can be written. Raises `CannotWrite`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with naming(path):
            self._real = Path(os.path.realpath(path))  # a link stays; what it leads to is written
            try:
                self._old: os.stat_result | None = os.stat(path)
            except FileNotFoundError:
                self._old = None
                _try_new(path, self._real)
            else:
                _try_old(path, self._old)
        self.folder = self._real.parent
        self.is_replaced = self._old is None or (_is_plain(self._old) and os.access(self.folder, os.W_OK | os.X_OK))
        """A file made beside it takes its place; otherwise the bytes are copied into what is there."""

    @contextmanager
    def open(self, scratch_folder: Path) -> Iterator[BinaryIO]:
        """Yield a file to fill, which goes to the target when the block ends; an error there leaves all as it was.

        Raises `CannotWrite`, `CannotKeep`.
        """
        part = self.folder / f".undersong-{secrets.token_hex(4)}" if self.is_replaced else None
        try:
            file = self._nameless(scratch_folder) if part is None else self._create(part)
            try:
                yield file
                with naming(self.path):
                    file.flush()
                    self._deliver(file, part)
            finally:
                with contextlib.suppress(OSError):  # what could not be written cannot be flushed either
                    file.close()
        finally:
            if part is not None:
                part.unlink(missing_ok=True)

    def _nameless(self, scratch_folder: Path) -> BinaryIO:
        with naming(scratch_folder, CannotKeep):
            return nameless_file(scratch_folder)

    def _create(self, part: Path) -> BinaryIO:
        """A new file with the permissions that any new file has here."""
        with naming(self.path):
            return os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "w+b")

    def _deliver(self, file: BinaryIO, part: Path | None) -> None:
        if part is not None:
            if self._old is not None:
                _make_like(file, self._old)
            try:
                os.replace(part, self._real)
                return
            except OSError:  # a file that is mounted by itself is busy, but can be filled
                if self._old is None:
                    raise
        file.seek(0)
        with open(self.path, "wb") as there:
            shutil.copyfileobj(file, there, 2**20)


def _is_plain(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1 and status.st_uid == os.geteuid()


def _try_new(path: Path, real: Path) -> None:
    """Make the file and take it away: only the file system knows which names it takes."""
    if not real.parent.is_dir():
        raise CannotWrite(path, f"there is no folder {str(real.parent)!r}")
    try:
        os.close(os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        os.unlink(real)
    except KeyboardInterrupt:
        real.unlink(missing_ok=True)
        raise


def _try_old(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise CannotWrite(path, "it is a folder")
    if stat.S_ISSOCK(status.st_mode):
        raise CannotWrite(path, "it is a socket")
    if not stat.S_ISFIFO(status.st_mode):  # to open a pipe is to wait for its reader
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    elif not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _make_like(file: BinaryIO, old: os.stat_result) -> None:
    """Give `file` the group and permissions of what it replaces, where the file system has such."""
    with contextlib.suppress(OSError):
        os.fchown(file.fileno(), -1, old.st_gid)
    with contextlib.suppress(OSError):
        os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
