"""What clients send, read no further than is allowed. In: bodies and messages; out: bytes, JSON values.

Remembers a thread of its own. Event loop only.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from fastapi import Request

from streaming.errors import BadRequest, BadText, TooLarge, TooSlow, WrongContentType

_T = TypeVar("_T")
_PROMPT_READER = ThreadPoolExecutor(1, thread_name_prefix="prompts")
"""One, as prompts that are read at once only take the time from one another."""
_MELODY_READER = ThreadPoolExecutor(1, thread_name_prefix="melodies")
"""Beside it, as a MIDI file may take as long and has nothing to do with prompts."""
_MELODIES = ("themes", "stingers", "midi")
_SLOW = ("prompt", "timeline", *_MELODIES)

MAX_MESSAGE_BYTES = 64 * 1024
"""The longest message that a client may send, and the longest body where no more is expected."""
_BODY_S = 20.0
"""So long a body may take that is no upload."""
MAX_DEPTH = 32
"""So deep values may lie in one another: whoever looks into them need not fear for the stack."""


def parse_json(message: str | bytes, max_bytes: int = MAX_MESSAGE_BYTES) -> Any:
    """Read what a client sent; all text in the result can be sent on as UTF-8.

    Raises `TooLarge`, `BadRequest` (not JSON, or too deep) and `BadText` (half of a surrogate pair, as an escape).
    """
    encoded = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message
    if len(encoded) > max_bytes:
        raise TooLarge(max_bytes)
    try:
        parsed = json.loads(encoded.decode("utf-8-sig"))  # some clients begin with a mark
        _check_depth(parsed)
        text = json.dumps(parsed, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"what was sent is not JSON: {error}") from error
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadText(text[max(0, error.start - 20) : error.end]) from None
    return parsed


def _check_depth(parsed: Any) -> None:
    """Raises `BadRequest`."""
    level = [parsed]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return
    raise BadRequest(f"what was sent lies more than {MAX_DEPTH} objects or lists deep; nothing here needs so many")


async def read_body(request: Request, max_bytes: int = MAX_MESSAGE_BYTES) -> bytes:
    """The body, read no further and no longer than is allowed. Raises `TooLarge`, `TooSlow`."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise TooLarge(max_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > max_bytes:
                    raise TooLarge(max_bytes)
    except TimeoutError:
        raise TooSlow(_BODY_S) from None
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
    """What `read` makes of `asked`, beside the event loop where it may take a second: prompt, timeline, MIDI file.

    Raises what `read` raises.
    """
    if isinstance(asked, str) or takes_long(asked):
        reader = _MELODY_READER if _holds(asked, _MELODIES) else _PROMPT_READER
        return await asyncio.get_running_loop().run_in_executor(reader, read, asked)
    return read(asked)


def takes_long(asked: Any) -> bool:
    """Whether reading it may take a second."""
    return _holds(asked, _SLOW)


def _holds(asked: Any, keys: Collection[str]) -> bool:
    """Whether one of `keys` is somewhere in it; it lies no deeper than `parse_json` lets it."""
    if isinstance(asked, dict):
        return not asked.keys().isdisjoint(keys) or any(_holds(inner, keys) for inner in asked.values())
    return isinstance(asked, list) and any(_holds(inner, keys) for inner in asked)
