"""What clients send, read no further than is allowed. In: bodies and messages; out: bytes, JSON values.

Remembers a thread of its own. Event loop only.
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
_PROMPT_READER = ThreadPoolExecutor(1, thread_name_prefix="prompts")
"""One, as prompts that are read at once only take the time from one another."""

MAX_MESSAGE_BYTES = 64 * 1024
"""The longest body or message that a client may send."""


def parse_json(message: str | bytes) -> Any:
    """Read what a client sent; all text in the result can be sent on as UTF-8.

    Raises `TooLarge`, `BadRequest` (not JSON) and `BadText` (half of a surrogate pair, written as an escape).
    """
    encoded = message.encode("utf-8", "surrogatepass") if isinstance(message, str) else message
    if len(encoded) > MAX_MESSAGE_BYTES:
        raise TooLarge(MAX_MESSAGE_BYTES)
    try:
        parsed = json.loads(encoded.decode("utf-8-sig"))  # some clients begin with a mark
        text = json.dumps(parsed, ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"what was sent is not JSON: {error}") from error
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadText(text[max(0, error.start - 20) : error.end]) from None
    return parsed


async def read_body(request: Request) -> bytes:
    """The body, read no further than is allowed. Raises `TooLarge`."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_MESSAGE_BYTES:
        raise TooLarge(MAX_MESSAGE_BYTES)
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_MESSAGE_BYTES:
            raise TooLarge(MAX_MESSAGE_BYTES)
    return bytes(body)


async def read_json(request: Request) -> Any:
    """The body as JSON; an empty one is an empty object. Raises `WrongContentType` and as `parse_json`."""
    body = await read_body(request)
    if not body.strip():
        return {}
    content_type = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if content_type != "application/json":
        raise WrongContentType(content_type, "application/json")
    return parse_json(body)


async def read_asked(read: Callable[[Any], _T], asked: Any) -> _T:
    """What `read` makes of `asked`, beside the event loop where there is a prompt in it: that may take a second.

    Raises what `read` raises.
    """
    if isinstance(asked, str) or _names_prompt(asked):
        return await asyncio.get_running_loop().run_in_executor(_PROMPT_READER, read, asked)
    return read(asked)


def _names_prompt(asked: Any) -> bool:
    if isinstance(asked, dict):
        return "prompt" in asked or any(map(_names_prompt, asked.values()))
    return isinstance(asked, list) and any(map(_names_prompt, asked))
