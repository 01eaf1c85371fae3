"""The chunks of a RIFF file. In: its bytes; out: where each chunk lies. Remembers nothing; any thread."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.synth.errors import SoundFontError

_HEAD_BYTES = 8


class Chunk(NamedTuple):
    """Its content is [first, end) of the file."""

    name: str
    first: int
    end: int


def _chunks(data: npt.NDArray[np.uint8], first: int, end: int, file: Path) -> Iterator[Chunk]:
    while end - first >= _HEAD_BYTES:
        name = bytes(data[first : first + 4]).decode("latin-1")
        size = int.from_bytes(bytes(data[first + 4 : first + 8]), "little")
        left = end - first - _HEAD_BYTES
        if size > left:
            raise SoundFontError(
                file, f"its chunk {name!r} is {size} bytes long, and {left} are left: it is cut off or damaged"
            )
        yield Chunk(name, first + _HEAD_BYTES, first + _HEAD_BYTES + size)
        first += _HEAD_BYTES + size + size % 2


def _content(data: npt.NDArray[np.uint8], chunk: Chunk, file: Path) -> dict[str, Chunk]:
    """What is inside a list, whose content begins with its type, by name."""
    return {part.name: part for part in _chunks(data, chunk.first + 4, chunk.end, file)}


def read_chunks(data: npt.NDArray[np.uint8], file: Path) -> dict[str, Chunk]:
    """The chunks of a soundfont by name, of all its lists. Raises `SoundFontError`."""
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"sfbk":
        raise SoundFontError(file, "it begins with no 'RIFF' of type 'sfbk'")
    outermost = next(_chunks(data, 0, len(data), file))
    found: dict[str, Chunk] = {}
    for part in _chunks(data, outermost.first + 4, outermost.end, file):
        if part.name == "LIST":
            found |= _content(data, part, file)
    return found
