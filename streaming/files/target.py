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
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from streaming.files.errors import CannotKeep, CannotWrite, naming
from streaming.scratch import nameless_file


class Target:
    """A path that can be written. Raises `CannotWrite`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with naming(path):
            self.real = Path(os.path.realpath(path))  # a link stays; what it leads to is written
            try:
                self._old: os.stat_result | None = os.stat(path)
            except FileNotFoundError:
                self._old = None
                _try_new(path, self.real)
            else:
                _try_old(path, self._old)
        self.folder = self.real.parent
        self.is_replaced = self._old is None or (_is_plain(self._old) and os.access(self.folder, os.W_OK | os.X_OK))
        """A file made beside it takes its place; otherwise the bytes are copied into what is there."""

    def is_file(self, path: Path) -> bool:
        """Whether `path` leads to what is there now."""
        try:
            return self._old is not None and os.path.samestat(self._old, os.stat(path))
        except OSError:
            return False

    @contextmanager
    def open(self, scratch_folder: Path) -> Iterator[BinaryIO]:
        """Yield a file to fill, which goes to the target when the block ends; an error there leaves all as it was.

        Raises `CannotWrite`, `CannotKeep`.
        """
        with open_together([self], scratch_folder) as parts:
            yield parts[0].file

    @contextmanager
    def part(self, scratch_folder: Path) -> Iterator[Part]:
        """Yield what is on its way to the target, and is gone after the block unless it was delivered."""
        path = self.folder / f".undersong-{secrets.token_hex(4)}" if self.is_replaced else None
        try:
            file = self._nameless(scratch_folder) if path is None else self._create(path)
            try:
                yield Part(self, file, path, scratch_folder)
            finally:
                with contextlib.suppress(OSError):  # what could not be written cannot be flushed either
                    file.close()
        finally:
            if path is not None:
                path.unlink(missing_ok=True)

    def _nameless(self, scratch_folder: Path) -> BinaryIO:
        with naming(scratch_folder, CannotKeep):
            return nameless_file(scratch_folder)

    def _create(self, part: Path) -> BinaryIO:
        """A new file with the permissions that any new file has here."""
        with naming(self.path):
            return os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "w+b")

    def take(self, file: BinaryIO, part: Path | None) -> None:
        """Have the content of `file`, whose name is `part`, at the path. Raises OSError."""
        if part is not None:
            if self._old is not None:
                _make_like(file, self._old)
            try:
                os.replace(part, self.real)
                return
            except OSError:  # a file that is mounted by itself is busy, but can be filled
                if self._old is None:
                    raise
        file.seek(0)
        with open(self.path, "wb") as there:
            shutil.copyfileobj(file, there, 2**20)

    def take_back(self) -> None:
        """Remove what was delivered, where there was nothing before."""
        if self._old is None:
            self.real.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Part:
    """A file on its way to its target."""

    target: Target
    file: BinaryIO
    path: Path | None
    """Its name meanwhile; None where it has none and lies in `scratch_folder`."""
    scratch_folder: Path

    def naming(self) -> AbstractContextManager[None]:
        """Turn an OSError that comes of filling the file into one of ours."""
        return naming(self.target.path) if self.path is not None else naming(self.scratch_folder, CannotKeep)


@contextmanager
def open_together(targets: Sequence[Target], scratch_folder: Path) -> Iterator[list[Part]]:
    """Yield files to fill, one for each target, to appear together when the block ends; an error leaves all as it was.

    As far as a file system can: what has been replaced already when another target fails stays. Raises `CannotWrite`,
    `CannotKeep`.
    """
    with ExitStack() as stack:
        parts = [stack.enter_context(target.part(scratch_folder)) for target in targets]
        yield parts
        for part in parts:
            with naming(part.target.path):
                part.file.flush()
        delivered: list[Target] = []
        try:
            for part in sorted(parts, key=lambda part: part.path is not None):  # a pipe's reader may leave
                with naming(part.target.path):
                    part.target.take(part.file, part.path)
                delivered.append(part.target)
        except BaseException:
            for target in delivered:
                target.take_back()
            raise


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
