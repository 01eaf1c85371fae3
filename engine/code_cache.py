"""Where compiled code is kept between two starts: files of our own under numba's dispatchers.

In: what was compiled; out: the same in a later process. Remembers the place that it writes to. Used while starting, by
the thread that compiles.

The places, in order: the folder that NUMBA_CACHE_DIR names, and then no other; beside the sources, as an image is
warmed; the user's cache folder. Code is read from the first place that has it and written to the first that can be
written, at worst to a temporary folder, with a warning. A file names all that its code depends on and begins with a
digest of the rest, so what is cut, foreign or of another version is compiled anew and written again. Code runs with our
rights: a place counts only if nobody else can write there, and the working folder is never one.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import pickle
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config
from numba.core.caching import _Cache
from numba.core.serialize import dumps

from engine.config import SPARE_CODE_FOLDER

log = logging.getLogger("undersong")

SETTING = "NUMBA_CACHE_DIR"
_NAME = "undersong"
_MAGIC = b"undersong code 1\n"
_DIGEST_BYTES = hashlib.sha256().digest_size
_MOST_VERSIONS = 8
"""So many files of one function are kept, of other processors or versions; the oldest go."""


def _home() -> Path | None:
    """The user's home; None where there is none, or one that depends on the working folder."""
    home = os.environ.get("HOME", "")
    if not home and os.name == "posix":
        import pwd

        with contextlib.suppress(KeyError):
            home = pwd.getpwuid(os.getuid()).pw_dir
    return Path(home) if os.path.isabs(home) else None


def places() -> list[Path]:
    """Where code may lie, the temporary folder aside."""
    if wanted := os.environ.get(SETTING):
        if wanted.startswith("~") and (home := _home()):
            wanted = str(home) + wanted[1:]
        return [Path(wanted) / _NAME] if os.path.isabs(wanted) else []
    found = [Path(__file__).resolve().parent / "__pycache__" / _NAME]
    caches = os.environ.get("XDG_CACHE_HOME", "")
    home = _home()
    if os.path.isabs(caches):
        found.append(Path(caches) / _NAME)
    elif home is not None:
        found.append(home / ".cache" / _NAME)
    return found


def _is_private(folder: Path) -> bool:
    """Can only we, root and who owns our sources write there?"""
    if os.name != "posix":
        return True
    try:
        place, sources = folder.stat(), Path(__file__).stat()
    except OSError:
        return False
    return place.st_uid in (os.geteuid(), 0, sources.st_uid) and not place.st_mode & 0o022


def _is_beside_sources(folder: Path) -> bool:
    """Then others, who run the same installation, may read what lies there."""
    return folder.parent.parent == Path(__file__).resolve().parent


def _make(folder: Path) -> None:
    """Raises `OSError` where nothing can be written to `folder`, or others may write there too."""
    if not folder.is_dir():
        is_new = not folder.parent.exists()
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755 if _is_beside_sources(folder) else 0o700)  # whatever umask says
        if is_new and _is_beside_sources(folder):
            folder.parent.chmod(0o755)
    if not _is_private(folder):
        raise PermissionError(0, "others may write there", str(folder))
    tempfile.TemporaryFile(dir=folder).close()


def _spare() -> Path | None:
    spare = os.environ.get(SPARE_CODE_FOLDER)
    return Path(spare) if spare else None


class _Store:
    """The files of all functions. Remembers the place to write to, and whether it has complained."""

    def __init__(self) -> None:
        self.used: Path | None = None
        """Where code was last read or written."""
        self._target: Path | None = None
        self._has_complained = False

    def target(self) -> Path | None:
        """The place to write to; None where there is none at all."""
        if self._target is None:
            reasons = []
            for place in places():
                try:
                    _make(place)
                except OSError as error:
                    reasons.append(f"{place} ({error.strerror})")
                else:
                    self._target = place
                    return place
            wanted = os.environ.get(SETTING)
            if wanted and not reasons:
                reasons = [f"{wanted} (not an absolute path)"]
            self._target = self._make_spare(reasons)
        return self._target

    def _make_spare(self, reasons: list[str]) -> Path | None:
        tried = "no folder for compiled code can be written: " + (", ".join(reasons) or "no home is known")
        way_out = f"set {SETTING} to a folder of your own"
        try:
            folder = _spare()
            if folder is not None:
                _make(folder)
            else:
                folder = Path(tempfile.mkdtemp(prefix="undersong-code-"))
                atexit.register(shutil.rmtree, folder, ignore_errors=True)
                os.environ[SPARE_CODE_FOLDER] = str(folder)
        except OSError:
            self._complain("%s; every start compiles anew; %s", tried, way_out)
            return None
        self._complain("%s; it lies in %s until the end; %s", tried, folder, way_out)
        return folder

    def _complain(self, text: str, *values: object) -> None:
        if not self._has_complained:
            log.warning(text, *values)
        self._has_complained = True

    def _readable(self) -> Iterator[Path]:
        for place in (*places(), _spare()):
            if place is not None and _is_private(place):
                yield place

    def read(self, name: str) -> bytes | None:
        """What was written under `name`; None where it is not found whole."""
        for place in self._readable():
            try:
                content = (place / name).read_bytes()
            except OSError:
                continue
            digest, code = content[len(_MAGIC) :][:_DIGEST_BYTES], content[len(_MAGIC) + _DIGEST_BYTES :]
            if content.startswith(_MAGIC) and digest == hashlib.sha256(code).digest():
                self.used = place
                return code
        return None

    def names(self, beginning: str) -> set[str]:
        return {file.name for place in self._readable() for file in place.glob(f"{beginning}*.code")}

    def write(self, name: str, code: bytes) -> None:
        """Keep `code`; where that fails, say so once and go on."""
        folder = self.target()
        if folder is None:
            return
        partial = folder / f"{name}.{os.getpid()}.part"
        try:
            with partial.open("wb") as file:
                file.write(_MAGIC + hashlib.sha256(code).digest() + code)
                if _is_beside_sources(folder):
                    os.fchmod(file.fileno(), 0o644)
            os.replace(partial, folder / name)
            self.used = folder
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            self._complain(
                "compiled code cannot be kept in %s: %s; the next start compiles anew", folder, error.strerror
            )
            return
        with contextlib.suppress(OSError):
            versions = sorted(folder.glob(f"{name.split('-')[0]}-*.code"), key=lambda file: file.stat().st_mtime)
            for old in versions[:-_MOST_VERSIONS]:
                old.unlink(missing_ok=True)


_store = _Store()


def is_kept() -> bool:
    """Is there a place to write to? Makes it, with a warning in the log where it is temporary."""
    return _store.target() is not None


def kept_in() -> Path | None:
    """The folder of the code that was last read or written; None where no later start will find it."""
    return None if _store.used is None or _store.used == _spare() else _store.used


class CodeCache(_Cache):
    """The cache of one function, as numba's dispatchers want it."""

    def __init__(self, name: str, sources: int, rebuild: Callable[..., Any]) -> None:
        self._name, self._sources, self._rebuild = name, sources, rebuild
        self._is_enabled = True

    @property
    def cache_path(self) -> str:
        return str(_store.target())

    def _beginning(self, codegen: Any) -> str:
        depends_on = (
            numba.__version__, llvmlite.__version__, sys.implementation.cache_tag, sys.abiflags, codegen.magic_tuple(),
            int(config.OPT), self._sources,
        )  # fmt: skip
        version = hashlib.sha256(repr(depends_on).encode()).hexdigest()[:20]
        return f"{self._name}-{version}"

    def _file(self, signature: Any, codegen: Any) -> str:
        return f"{self._beginning(codegen)}-{hashlib.sha256(str(signature).encode()).hexdigest()[:20]}.code"

    def is_filled(self, codegen: Any) -> bool:
        """Is there whole code for any signature?"""
        return any(_store.read(name) is not None for name in _store.names(self._beginning(codegen)))

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        target_context.refresh()
        if not self._is_enabled:
            return None
        code = _store.read(self._file(signature, target_context.codegen()))
        return None if code is None else self._rebuild(target_context, *pickle.loads(code))

    def save_overload(self, signature: Any, compiled: Any) -> None:
        if self._is_enabled:
            _store.write(self._file(signature, compiled.codegen), dumps(compiled._reduce()))

    def enable(self) -> None:
        self._is_enabled = True

    def disable(self) -> None:
        self._is_enabled = False

    def flush(self) -> None:
        """Nothing is kept that could be forgotten: another version has another name."""
