"""What clients send along with a request: files of any size, read straight to the disk. In: requests; out: parts.

Remembers nothing. Event loop only; each piece is parsed, summed and written by a thread. Limits hold while it is read,
and whatever happens nothing is left of what has not come whole. No name that a client gives reaches the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from moods.errors import shown
from streaming.errors import BadParameter, BadRequest, NoRoomForJobs, TooLarge, TooSlow, WrongContentType

_PIECE_BYTES = 1 << 20
_PATIENCE_S = 60.0
_LEAST_BYTES_S = 20_000.0
"""An upload may take `_PATIENCE_S`, and as long besides as its bytes take at this rate."""
_EVERYTHING_ELSE_BYTES = 1 << 20
"""Of a body, for the heads of its parts."""
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, and what turns the direction of writing: a name with such may look like another."""


@dataclass(slots=True)
class Part:
    """A part of a form as it has been received; the file is gone when the request has been answered."""

    path: Path
    limit_bytes: int
    filename: str = ""
    """As its sender calls it, for people."""
    num_bytes: int = 0
    kept_bytes: int = 0
    """Of them, so many are somebody else's to count."""
    sum: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def sha256(self) -> str:
        return self.sum.hexdigest()

    def take(self) -> int:
        """Its file will be moved away: the room that was reserved for it, in bytes, goes with it."""
        self.kept_bytes = self.num_bytes
        return self.num_bytes


def shown_name(name: str) -> str:
    """The name of a client's file for people: without folders, and without what cannot be seen."""
    last = re.split(r"[/\\]", _UNSEEN.sub("", name))[-1].strip(" .")
    return last[:120]


class _Receiver:
    """Takes a form apart while it comes. Called by one thread at a time."""

    def __init__(self, boundary: bytes, folder: Path, limits: Mapping[str, int]) -> None:
        self.parts: dict[str, Part] = {}
        self.is_whole = False
        self._folder, self._limits = folder, limits
        self._field = self._value = b""
        self._head: dict[bytes, bytes] = {}
        self._part: Part | None = None
        self._file: BinaryIO | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._open,
                "on_part_data": self._write,
                "on_part_end": self.close,
                "on_end": self._end,
            },
            max_header_count=16,
            max_header_size=8192,
        )

    def feed(self, piece: bytes) -> None:
        """Raises `BadRequest`, `BadParameter`, `TooLarge`, OSError."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise BadRequest(f"the form cannot be read: {error}") from None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._part = self._file = None

    def remove(self) -> None:
        """Leave nothing."""
        with contextlib.suppress(OSError):  # what could not be written cannot be flushed either
            self.close()
        for part in self.parts.values():
            part.path.unlink(missing_ok=True)

    def _begin_part(self) -> None:
        self._head, self._field, self._value = {}, b"", b""

    def _on_field(self, piece: bytes, start: int, end: int) -> None:
        self._field += piece[start:end]

    def _on_value(self, piece: bytes, start: int, end: int) -> None:
        self._value += piece[start:end]

    def _end_header(self) -> None:
        self._head[self._field.lower()] = self._value
        self._field = self._value = b""

    def _open(self) -> None:
        _, options = parse_options_header(self._head.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name not in self._limits:
            raise BadParameter(
                f"the form has a part {shown(name)}; expected {', '.join(self._limits)}", field="form", value=name
            )
        if name in self.parts:
            raise BadParameter(f"the form has two parts {shown(name)}; expected one", field=name)
        path = self._folder / secrets.token_hex(8)
        filename = shown_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        self._part = self.parts[name] = Part(path, self._limits[name], filename)
        self._file = open(path, "xb")  # noqa: SIM115  # it is written over many calls

    def _write(self, piece: bytes, start: int, end: int) -> None:
        assert self._part is not None and self._file is not None
        self._part.num_bytes += end - start
        if self._part.num_bytes > self._part.limit_bytes:
            raise TooLarge(self._part.limit_bytes)
        view = memoryview(piece)[start:end]
        self._part.sum.update(view)
        self._file.write(view)

    def _end(self) -> None:
        self.is_whole = True


async def pieces(request: Request, limit_bytes: int) -> AsyncIterator[bytes]:
    """The body in large pieces. Raises `TooLarge` as soon as it is, `TooSlow`, `ClientDisconnect`."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit_bytes:
        raise TooLarge(limit_bytes)
    began_s, num_bytes, piece = time.monotonic(), 0, bytearray()
    stream = request.stream()
    while True:
        patience_s = began_s + _PATIENCE_S + num_bytes / _LEAST_BYTES_S - time.monotonic()
        try:
            chunk = await asyncio.wait_for(anext(stream, None), max(0.0, patience_s))
        except TimeoutError:
            raise TooSlow(_PATIENCE_S) from None
        if chunk is None:
            break
        num_bytes += len(chunk)
        if num_bytes > limit_bytes:
            raise TooLarge(limit_bytes)
        piece += chunk
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


@asynccontextmanager
async def received_form(
    request: Request, folder: Path, limits: Mapping[str, int], reserve: Callable[[int], None]
) -> AsyncIterator[dict[str, Part]]:
    """The parts of a form, each in a file of `folder` while the block lasts; it may be moved away.

    `limits` are the bytes of each part that may come, by its name; `reserve` is asked for room, and given it back.
    Raises `BadRequest`, `BadParameter`, `TooLarge`, `TooSlow`, `NoRoomForJobs`.
    """
    boundary = _boundary_of(request)
    limit_bytes = sum(limits.values()) + _EVERYTHING_ELSE_BYTES
    receiver = _Receiver(boundary, folder, limits)
    reserved = 0
    try:
        async for piece in pieces(request, limit_bytes):
            reserve(len(piece))
            reserved += len(piece)
            await asyncio.to_thread(receiver.feed, piece)
        if not receiver.is_whole:
            raise BadRequest("the form is cut off: its last boundary has not come")
        yield receiver.parts
    except OSError as error:
        raise NoRoomForJobs(f"what was sent cannot be kept: {error.strerror}; try later") from error
    finally:
        if reserved:
            reserve(sum(part.kept_bytes for part in receiver.parts.values()) - reserved)
        await asyncio.shield(asyncio.to_thread(receiver.remove))


def is_form(request: Request) -> bool:
    return _content_type(request)[0] == b"multipart/form-data"


def _content_type(request: Request) -> tuple[bytes, dict[bytes, bytes]]:
    return parse_options_header(request.headers.get("content-type", ""))


def _boundary_of(request: Request) -> bytes:
    content_type, options = _content_type(request)
    if content_type != b"multipart/form-data":
        raise WrongContentType(content_type.decode("latin-1"), "multipart/form-data")
    if not (boundary := options.get(b"boundary", b"")) or len(boundary) > 200:
        raise BadRequest("Content-Type names no boundary; send multipart/form-data as RFC 7578 has it")
    return boundary
