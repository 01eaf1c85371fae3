"""What clients send, read no further than is allowed. In: bodies and messages; out: bytes, JSON values.

Remembers threads of its own. Event loop only.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import Request

from streaming.errors import BadRequest, BadText, TooLarge, WrongContentType

_T = TypeVar("_T")
_PROMPTS, _MELODIES = frozenset({"prompt", "timeline"}), frozenset({"themes", "stingers"})
"""Fields that may take a second to read."""
_PROMPT_READER, _MELODY_READER = (ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("prompts", "melodies"))
"""One thread each, as those that are read at once only take the time from one another."""

MAX_MESSAGE_BYTES = 64 * 1024
"""The longest message that a client may send, and the longest body where no more is expected."""
_MAX_DEPTH = 32
"""So deep may lists and objects lie in one another: what reads them calls itself for each."""


def parse_json(message: str | bytes, max_bytes: int = MAX_MESSAGE_BYTES) -> Any:
    """Read what a client sent; all text in the result can be sent on as UTF-8.

    Raises `TooLarge`, `BadRequest` (not JSON, too deep) and `BadText` (half of a surrogate pair, written as an escape).
    """
    encoded = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message
    if len(encoded) > max_bytes:
        raise TooLarge(max_bytes)
    try:
        parsed = json.loads(encoded.decode("utf-8-sig"))  # some clients begin with a mark
        text = json.dumps(parsed, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"what was sent is not JSON: {error}") from error
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadText(text[max(0, error.start - 20) : error.end]) from None
    if encoded.count(b"[") + encoded.count(b"{") > _MAX_DEPTH and not _is_flat(parsed):
        raise BadRequest(f"lists and objects lie more than {_MAX_DEPTH} deep in one another; no message goes so deep")
    return parsed


def _is_flat(parsed: Any) -> bool:
    level = [parsed]
    for _ in range(_MAX_DEPTH + 1):
        groups = [each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list)]
        level = [inner for group in groups for inner in group]
    return not level


async def read_body(request: Request, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
    """The body, read no further than is allowed. Raises `TooLarge`."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise TooLarge(max_bytes)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > max_bytes:
            raise TooLarge(max_bytes)
    return bytes(body)


async def read_json(request: Request, max_bytes: int = MAX_MESSAGE_BYTES) -> Any:
    """The body as JSON; an empty one is an empty object. Raises `WrongContentType` and as `parse_json`."""
    body = await read_body(request, max_bytes)
    if not body.strip():
        return {}
    content_type = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise WrongContentType(content_type, "application/json")
    if len(body) <= MAX_MESSAGE_BYTES:
        return parse_json(body)
    return await asyncio.to_thread(parse_json, body, max_bytes)


async def read_asked(read: Callable[[Any], _T], asked: Any) -> _T:
    """What `read` makes of `asked`, beside the event loop where it may take a second: a prompt, a timeline, a melody.

    Raises what `read` raises.
    """
    if _has_field(asked, _MELODIES):
        reader = _MELODY_READER
    elif isinstance(asked, str) or _has_field(asked, _PROMPTS):
        reader = _PROMPT_READER
    else:
        return read(asked)
    return await asyncio.get_running_loop().run_in_executor(reader, read, asked)


def takes_long(asked: Any) -> bool:
    """Whether reading it may take a second."""
    return _has_field(asked, _PROMPTS | _MELODIES)


def _has_field(asked: Any, fields: frozenset[str]) -> bool:
    """Whether one of `fields` is anywhere in it."""
    if isinstance(asked, dict):
        return not asked.keys().isdisjoint(fields) or any(_has_field(value, fields) for value in asked.values())
    return isinstance(asked, list) and any(_has_field(value, fields) for value in asked)
