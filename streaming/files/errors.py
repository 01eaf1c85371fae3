"""What can be wrong with a file to be written, or to be read for it.

StreamingError
└── ExportError
    ├── UnknownFormat        the file's suffix is none of ours
    ├── CannotWrite          the file system says no
    ├── WouldReplace         it is what is read for it
    ├── CannotKeep           it says no to what is kept meanwhile
    ├── NoRoom               what is to be written does not fit
    ├── TooLong              its format cannot hold so much
    ├── BadCredentials       what is to sign it cannot
    ├── BadVideo             a clip that cannot be scored
    ├── CannotListen         what looks for speech in it has died
    ├── CannotHold           a container that cannot take what the clip holds
    ├── NoStems              the generator makes the mix alone
    └── Cancelled            whoever wanted it does not any more
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streaming.errors import StreamingError


class ExportError(StreamingError):
    """Base of what can be wrong with a file to be written."""

    code, title = "export_error", "The file cannot be made"


class UnknownFormat(ExportError):
    code, status = "unknown_format", 422

    def __init__(self, path: Path, known: Iterable[str]) -> None:
        super().__init__(
            f"{path.name!r} has no format that can be written; end the name with one of: {', '.join(known)}"
        )


class CannotWrite(ExportError):
    code = "cannot_write"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{str(path)!r} cannot be written: {why}; name another place for it")


class WouldReplace(ExportError):
    code, status = "would_replace", 422

    def __init__(self, path: Path) -> None:
        super().__init__(f"{str(path)!r} is read for what is to be made, and would be replaced; name another file")


class CannotKeep(ExportError):
    code = "cannot_keep"

    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"no scratch file can be kept in {str(folder)!r}: {why}; name another folder in TMPDIR")


class NoRoom(ExportError):
    code, status = "no_room", 507

    def __init__(self, folder: Path, needed_bytes: int, free_bytes: float) -> None:
        sizes = f"{needed_bytes / 1e6:.1f} MB are needed in {str(folder)!r}, {free_bytes / 1e6:.1f} MB are free"
        super().__init__(f"{sizes}; make room, name another --out, or another folder for scratch in TMPDIR")


class TooLong(ExportError):
    code, status = "too_long", 422

    def __init__(self, path: Path, seconds: float, most_s: float) -> None:
        super().__init__(
            f"{path.name!r} would hold {seconds:g} s; a file of this format holds {most_s:.0f} s at most; choose flac"
        )


class Cancelled(ExportError):
    code, title = "cancelled", "The work was given up"

    def __init__(self) -> None:
        super().__init__("it was cancelled; nothing of it is left")


class BadCredentials(ExportError):
    code, status = "bad_credentials", 422

    def __init__(self, what: Path | str, why: str) -> None:
        super().__init__(f"{str(what)!r} cannot sign files: {why}; name a certificate and its key, both in PEM")


class BadVideo(ExportError):
    code, status, title = "bad_video", 422, "The clip cannot be scored"

    def __init__(self, path: Path, what: str, way_out: str) -> None:
        super().__init__(f"{path.name!r} {what}; {way_out}")


class CannotListen(ExportError):
    code = "cannot_listen"

    def __init__(self, how: str) -> None:
        super().__init__(f"the process that looks for speech {how}; try again, or say with a timeline where speech is")


class NoStems(ExportError):
    code, status = "no_stems", 422

    def __init__(self, backend: str) -> None:
        super().__init__(f"the generator {backend!r} makes no stems; leave them out, or choose another --backend")


class CannotHold(ExportError):
    code, status = "cannot_hold", 422

    def __init__(self, path: Path, codec: str, allowed: Iterable[str]) -> None:
        super().__init__(
            f"{path.name!r} cannot hold {codec} pictures as they are; end the name with one of: {', '.join(allowed)}"
        )


@contextmanager
def naming(path: Path, kind: type[CannotWrite] | type[CannotKeep] = CannotWrite) -> Iterator[None]:
    """Turn what the system says about a file, an OSError, into our error for `path`."""
    try:
        yield
    except OSError as error:
        raise kind(path, error.strerror or str(error)) from error
