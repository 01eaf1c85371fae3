"""Where clients of the Lyria RealTime protocol knock. In: requests; out: sockets that a `Session` serves.

Remembers nothing. Event loop only.
"""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends, Query, WebSocket
from starlette.exceptions import HTTPException

from streaming.access import Role, access_of, check_grant, open_to_all, tokens_given
from streaming.errors import BadParameter, KeyRefused, UpgradeRequired
from streaming.lyria.session import Session

router = APIRouter()

_METHOD = "ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateMusic"
MAX_BUFFER_S = 2.0


async def keyed(socket: WebSocket) -> None:
    """The access of this endpoint: a key of `lyria_keys`, or a token that may open stations, in its place.

    Raises `KeyRefused` where keys are asked for and none of them was given, and as `allowed`.
    """
    access, keys = access_of(socket), socket.app.state.conductor.config.lyria_keys
    given = [socket.headers.get("x-goog-api-key", ""), socket.query_params.get("key", ""), *tokens_given(socket)]
    pairs = [(key.encode(), each.encode()) for key in keys for each in given]
    if any([hmac.compare_digest(key, each) for key, each in pairs]):
        access.check_origin(socket)
        return
    if keys and access.is_open_to(socket):
        raise KeyRefused
    grant = access.grant(socket, *filter(None, given))
    check_grant(socket, grant, Role.ADMIN)
    access.check_origin(socket)
    socket.state.grant = grant


@router.get(f"/{{prefix:path}}{_METHOD}", include_in_schema=False, dependencies=[Depends(open_to_all)])
async def get_lyria(prefix: str, version: str) -> None:
    raise UpgradeRequired


@router.websocket(f"/{{prefix:path}}{_METHOD}", dependencies=[Depends(keyed)])
async def lyria_socket(
    socket: WebSocket,
    prefix: str,
    version: str,
    buffer_s: str | None = None,
    events: Annotated[bool, Query()] = False,
) -> None:
    """Some SDKs ask for `//ws/…`, or keep the path of their base address before it."""
    if prefix and not prefix.endswith("/"):
        raise HTTPException(404)
    conductor = socket.app.state.conductor
    seconds = conductor.config.lyria_buffer_s if buffer_s is None else _seconds(buffer_s)
    await Session(conductor, socket, seconds, events).run()


def _seconds(text: str) -> float:
    """Raises `BadParameter`."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_BUFFER_S:
        raise BadParameter(f"buffer_s is {text[:20]!r}; allowed is 0 … {MAX_BUFFER_S:g}", field="buffer_s", value=text)
    return seconds
