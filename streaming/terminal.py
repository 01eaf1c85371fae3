"""What a command says: its answer on stdout, everything else on stderr. In: text in any script; out: lines that the
terminal can show. Remembers nothing; any thread."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from streaming.errors import StreamingError


class OutputLost(StreamingError):
    """The answer could not be printed."""

    code, title = "output_lost", "Standard output cannot be written"

    def __init__(self, why: str) -> None:
        super().__init__(f"standard output cannot be written: {why}; what was to be printed is lost")


def prepare_streams() -> None:
    """Have the standard streams escape what their encoding lacks, and no file take the number of a closed one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)  # print() would take stdout instead
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def tell(text: str) -> None:
    """Print a command's answer. Raises `OutputLost`, and BrokenPipeError where its reader has left."""
    if sys.stdout is None:
        raise OutputLost("it is closed")
    try:
        print(text, flush=True)
    except OSError as error:
        _let_go(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputLost(error.strerror or str(error)) from error


def note(text: object) -> None:
    """Print one line on stderr, if there is anybody to read it."""
    try:
        print(f"undersong: {printable(' '.join(str(text).split()))}", file=sys.stderr, flush=True)
    except OSError:
        _let_go(sys.stderr)


def printable(text: str) -> str:
    """`text` with what would move a terminal's cursor, or is no character, written as an escape."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _let_go(stream: TextIO) -> None:
    """Send what the stream still holds nowhere; Python would fail over it once more when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
