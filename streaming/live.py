"""The live channel, whatever carries it: controls in, acks and errors out to the asker, events out to everyone.

In: JSON texts of one client; out: JSON texts. Remembers nothing. Event loop only.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from moods.control import parse_control
from moods.errors import MoodsError
from streaming.conductor import Conductor
from streaming.errors import BadRequest, StreamingError
from streaming.journal import about
from streaming.messages import Answer, Error
from streaming.reading import parse_json, read_asked
from streaming.session import LiveClient
from streaming.station import Station

log = logging.getLogger(__name__)


async def apply_control(conductor: Conductor, station: Station, message: Any) -> Answer:
    """Read and apply one control; a mistake is answered with an `Error` and never raised."""
    try:
        return await conductor.control(station, await read_asked(parse_control, message))
    except (MoodsError, StreamingError) as error:
        log.info("control refused", extra=about(station=station.id, code=error.code, detail=str(error)))
        return _error(error.code, str(error), message)


def _error(code: str, detail: str, message: object = None) -> Error:
    control_id = message.get("id") if isinstance(message, dict) else None
    return Error(type="error", id=control_id if isinstance(control_id, str) else None, code=code, detail=detail)


async def hear(conductor: Conductor, station: Station, client: LiveClient, text: str | bytes) -> None:
    """Take one message of `client`; the answer goes to its mailbox."""
    try:
        message = parse_json(text)
    except StreamingError as error:
        code = "bad_json" if isinstance(error, BadRequest) else error.code
        client.mailbox.put(_error(code, str(error)))
        return
    client.mailbox.put(await apply_control(conductor, station, message))


async def tell(client: LiveClient, send: Callable[[str], Awaitable[None]]) -> None:
    """Send the client's events until its mailbox closes."""
    while (event := await client.mailbox.get()) is not None:
        await send(json.dumps(event, ensure_ascii=False))
