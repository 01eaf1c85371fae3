"""Tokens over HTTP: what one's own may do, and others made or taken back. In: requests; out: responses.

Remembers nothing. Event loop only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, Response

from moods.fields import parse
from streaming import messages
from streaming.access import access_of, allowed
from streaming.openapi import BAD_BODY, BAD_VALUE, body, refusals
from streaming.reading import read_json
from streaming.roles import Grant, Role, TokenRequest, role_named

router = APIRouter(tags=["server"])

TokenId = Annotated[str, Path(pattern="^[0-9a-f]{1,64}$", description="The token's `id`.", examples=["9b1d3c5e7f20"])]


@router.get("/v1/token", operation_id="getToken", response_model=messages.Token)
async def get_token(grant: Annotated[Grant, Depends(allowed(Role.LISTEN))]) -> JSONResponse:
    """Tell what the asker may do.

    By the token that came along; on a server that is open to everybody, all.
    """
    return JSONResponse(_told(grant))


@router.post(
    "/v1/tokens",
    status_code=201,
    operation_id="makeToken",
    response_model=messages.NewToken,
    responses=refusals(*BAD_BODY, *BAD_VALUE),
    openapi_extra=body("TokenRequest", for_an_overlay={"role": "listen", "station": "main", "days": 7}),
)
async def post_token(request: Request, grant: Annotated[Grant, Depends(allowed(Role.ADMIN))]) -> JSONResponse:
    """Make a token for somebody else.

    `links` holds addresses that work as they stand, for an overlay say.
    """
    asked = parse(TokenRequest, await read_json(request))
    token, made = access_of(request).tokens.sign(role_named(asked.role), asked.station, asked.days, asked.note)
    return JSONResponse({**_told(made), "token": token, "links": _links(request, token, made)}, 201)


@router.delete(
    "/v1/tokens/{token_id}",
    status_code=204,
    operation_id="revokeToken",
    dependencies=[Depends(allowed(Role.ADMIN))],
)
async def delete_token(request: Request, token_id: TokenId) -> Response:
    """Take a token back.

    It lets nobody in from now on, and what it has opened ends.
    """
    access_of(request).tokens.revoke(token_id)
    return Response(status_code=204)


def _told(grant: Grant) -> messages.Token:
    expires = None if grant.expires is None else datetime.fromtimestamp(grant.expires, UTC).isoformat()
    return messages.Token(role=str(grant.role), station=grant.station, id=grant.id, expires=expires, note=grant.note)


def _links(request: Request, token: str, grant: Grant) -> dict[str, str]:
    base = access_of(request).config.public_url or str(request.base_url).rstrip("/")
    pages = {"studio": "/"}
    if grant.station is not None:
        pages["overlay"] = f"/overlay/{quote(grant.station)}"
        if grant.may_steer:
            pages["dock"] = f"/dock/{quote(grant.station)}"
    return {name: f"{base}{path}?token={token}" for name, path in pages.items()}
