"""What crosses a border: messages between the two processes, and messages on the wire to clients. No I/O.

Requests and reports are pickled between our own two processes only. Remembers nothing; any thread.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
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


# --- requests: front to engine ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a station, or bring one back: then `first_tick` and `log` are given, a snapshot is read if there is one."""

    station: str
    opening: dict[str, Any]
    seed: int
    ring_path: str
    snapshot_path: str
    first_tick: int | None = None
    log: tuple[LogEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Apply:
    station: str
    request: int
    control: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Close:
    station: str


# --- reports: engine to front ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compiling:
    """The engine is starting; so many of its kernels are compiled."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The generator is loaded and warm."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The generator cannot be had; the engine process ends."""

    detail: str


@dataclass(frozen=True, slots=True)
class Opened:
    """Block n of the station is due at tick `first_tick + n`; `status` is the first one."""

    station: str
    first_tick: int
    status: Event


@dataclass(frozen=True, slots=True)
class Applied:
    station: str
    request: int
    entry: LogEntry
    ack: Event
    heading: dict[str, Any]
    """Where the mood goes from now on, as in a status."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that failed for the asker's reasons; `problem` is made by `problem_of`."""

    station: str
    request: int | None
    problem: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Happened:
    """An event for all clients of a station."""

    station: str
    event: Event


@dataclass(frozen=True, slots=True)
class Kept:
    """The snapshot on disk holds the effect of the first `num_controls` controls."""

    station: str
    num_controls: int


@dataclass(frozen=True, slots=True)
class Health:
    """Sent several times a second: the engine is alive."""

    load: float
    """Share of the last moments spent making blocks, 0 … 1."""
    step_ms: tuple[float, ...]
    """Wall time of each batch step since the last report."""
    late_blocks: int
    """Blocks published after they were due, since the last report."""
    counters: Mapping[str, int]
    """By how much the generator's own counters have grown since the last report."""


# --- the wire to clients ---------------------------------------------------------------------------------------------


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
