"""What crosses the border to clients. No I/O; remembers nothing; any thread."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from moods.errors import MoodsError
from streaming.errors import BadRequest, BadText, TooLarge

Event = dict[str, Any]
"""A JSON object with a `type`, as clients receive it."""

MAX_MESSAGE_BYTES = 64 * 1024
"""The longest body or message that a client may send."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A control that was applied before block `block` of the stream; `index` counts a station's controls from 0."""

    index: int
    block: int
    control: dict[str, Any]


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


def problem_of(error: MoodsError) -> dict[str, Any]:
    """The members of an RFC 9457 problem that describe a mistake in a mood or control."""
    return {"code": error.code, "detail": str(error), **error.members}


def error_event(code: str, detail: str, control_id: str | None = None) -> Event:
    return {"type": "error", "id": control_id, "code": code, "detail": detail}


def audio_header(audio_format: str, first_frame: int) -> str:
    """The JSON text that opens an audio WebSocket."""
    header = {
        "format": audio_format,
        "rate": SAMPLE_RATE,
        "channels": CHANNELS,
        "block_frames": BLOCK_FRAMES,
        "first_frame": first_frame,
    }
    return json.dumps(header)


def audio_message(frame: int, payload: bytes) -> bytes:
    """A binary message of an audio WebSocket: frame position, unsigned 64-bit little-endian, then the payload."""
    return struct.pack("<Q", frame) + payload
