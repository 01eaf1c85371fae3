"""Where jobs and uploads are kept. In: records as JSON values; out: the same after a restart, and folders to fill.

A folder for each job and each upload, under names of our own. Remembers the lock of its folder. Any thread, one at a
time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from moods.errors import shown
from streaming.errors import BadConfig
from streaming.scratch import partial_path, temporary_folder

log = logging.getLogger(__name__)

Shelf = Literal["jobs", "uploads"]
_RECORD = "record.json"


class Store:
    """A folder of one server. Raises `BadConfig` where it cannot be had."""

    def __init__(self, folder: str) -> None:
        """`folder` is as the setting `renders` names it; empty: a temporary one, which `close` removes."""
        self.is_temporary = not folder
        try:
            if folder:
                self.folder = Path(folder)
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            else:
                self.folder = Path(tempfile.mkdtemp(prefix=f"undersong-renders-{os.getpid()}-", dir=temporary_folder()))
            self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(self.incoming, ignore_errors=True)
            for name in ("jobs", "uploads", "incoming"):
                (self.folder / name).mkdir(mode=0o700, exist_ok=True)
        except BlockingIOError:
            os.close(self._lock)
            raise BadConfig(
                f"renders is {shown(folder)}, which another server uses; name another folder", field="renders"
            ) from None
        except OSError as error:
            raise BadConfig(
                f"renders is {shown(folder)}: {error.strerror}; name a folder that can be written", field="renders"
            ) from error

    @property
    def incoming(self) -> Path:
        """For what is being received; emptied at the start."""
        return self.folder / "incoming"

    def close(self) -> None:
        if self.is_temporary:
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def folder_of(self, shelf: Shelf, name: str) -> Path:
        return self.folder / shelf / name

    def load(self, shelf: Shelf) -> Iterator[dict[str, Any]]:
        """The records that can be read; what has none is removed: it was being made or taken away."""
        for folder in sorted((self.folder / shelf).iterdir()):
            try:
                yield json.loads((folder / _RECORD).read_text(encoding="utf-8"))
            except (OSError, ValueError) as error:
                log.warning("what is kept in %s cannot be read and is removed: %s", folder, error)
                shutil.rmtree(folder, ignore_errors=True)

    def save(self, shelf: Shelf, name: str, record: dict[str, Any]) -> None:
        """Raises OSError; then the old record is still whole."""
        folder = self.folder_of(shelf, name)
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / _RECORD
        partial = partial_path(path)
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                json.dump(record, file)  # plain ASCII: halves of surrogate pairs pass
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    def empty(self, shelf: Shelf, name: str) -> None:
        """Remove all but the record; idempotent."""
        with contextlib.suppress(FileNotFoundError):
            for entry in list(os.scandir(self.folder_of(shelf, name))):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                elif entry.name != _RECORD:
                    os.unlink(entry.path)

    def disown(self, shelf: Shelf, name: str) -> None:
        """Take the record away: the rest is removed at the next start at the latest."""
        with contextlib.suppress(OSError):
            (self.folder_of(shelf, name) / _RECORD).unlink(missing_ok=True)

    def remove(self, shelf: Shelf, name: str) -> None:
        """Idempotent."""
        self.disown(shelf, name)
        shutil.rmtree(self.folder_of(shelf, name), ignore_errors=True)

    def size(self, shelf: Shelf, name: str) -> int:
        """Bytes in its folder."""
        total = 0
        for parent, _, names in os.walk(self.folder_of(shelf, name)):
            for each in names:
                with contextlib.suppress(OSError):
                    total += os.lstat(os.path.join(parent, each)).st_size
        return total
