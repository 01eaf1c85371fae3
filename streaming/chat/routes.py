"""Chat over HTTP: messages of bots, requests to decide on, votes, what became of it all. In: requests; out: responses.

Remembers nothing. Event loop only.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from moods.errors import BadControl
from moods.fields import parse_part
from streaming import messages
from streaming.access import Role, allowed
from streaming.chat import said
from streaming.chat.asked import ChatMessage, RequestDecision
from streaming.chat.chats import Chats
from streaming.chat.desk import Desk
from streaming.chat.requests import UnknownRequest
from streaming.errors import RateLimited, UnknownStation
from streaming.openapi import BAD_BODY, answer, body, refusals
from streaming.reading import read_json
from streaming.routes import StationId, conductor_of

router = APIRouter()

RequestNumber = Annotated[int, Path(ge=1, description="The request's `n`.", examples=[3])]
_COLUMNS = tuple(messages.ChatDecision.__annotations__)


def _chats(request: Request) -> Chats:
    return request.app.state.chats


def _desk(request: Request, station_id: str) -> Desk:
    """Raises `UnknownStation`."""
    return _chats(request).desk(conductor_of(request).station(station_id))


@router.post(
    "/v1/stations/{station_id}/chat",
    dependencies=[Depends(allowed(Role.CONTROL))],
    tags=["chat"],
    operation_id="postChatMessage",
    response_model=messages.ChatAnswer,
    responses=refusals(UnknownStation, *BAD_BODY, BadControl, RateLimited),
    openapi_extra=body("ChatMessage", is_required=True, a_mood={"user": "Anna", "text": "!mood epic"}),
)
async def post_message(request: Request, station_id: StationId) -> JSONResponse:
    """Hand over a message of a chat.

    For bots of any platform: all that people write may be handed over, also what is no command. `reply` is what can be
    written back.
    """
    desk = _desk(request, station_id)
    _chats(request).check_rate()
    asked = parse_part(ChatMessage, await read_json(request), "message")
    message = said.Message(asked.id or asked.user.casefold(), asked.user, said.Role[asked.role], asked.text)
    heard = await desk.hear(asked.room, message)
    decision, reply = heard if heard is not None else (None, None)
    return JSONResponse(messages.ChatAnswer(decision=decision, reply=reply))


@router.get(
    "/v1/stations/{station_id}/chat",
    dependencies=[Depends(allowed(Role.CONTROL))],
    tags=["chat"],
    operation_id="listChatDecisions",
    response_model=messages.ChatDecisions,
    responses={
        200: answer("A line for each decision.", "text/csv", {"type": "string"}),
        **refusals(UnknownStation),
    },
)
async def get_decisions(
    request: Request,
    station_id: StationId,
    as_: Annotated[Literal["json", "csv"], Query(alias="format")] = "json",
) -> Response:
    """Tell what became of the last thousand commands and events, the newest first."""
    decisions = list(_desk(request, station_id).decisions)
    if as_ == "csv":
        return PlainTextResponse(_csv(decisions), media_type="text/csv")
    return JSONResponse(messages.ChatDecisions(decisions=decisions))


def _csv(decisions: Iterable[messages.ChatDecision]) -> str:
    """No cell is a formula to a spreadsheet, whatever somebody is called."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(_COLUMNS)
    for decision in decisions:
        cells = ("" if value is None else str(value) for value in decision.values())
        rows.writerow(f"'{cell}" if cell[:1] in ("=", "+", "-", "@") else cell for cell in cells)
    return out.getvalue()


@router.get(
    "/v1/stations/{station_id}/votes",
    dependencies=[Depends(allowed(Role.LISTEN))],
    tags=["chat"],
    operation_id="listVotes",
    response_model=messages.Votes,
    responses=refusals(UnknownStation),
)
async def get_votes(request: Request, station_id: StationId) -> JSONResponse:
    """Tell how votes stand and stood."""
    desk = _desk(request, station_id)
    return JSONResponse(messages.Votes(running=desk.running_votes, ended=desk.ended_votes))


@router.get(
    "/v1/stations/{station_id}/requests",
    dependencies=[Depends(allowed(Role.CONTROL))],
    tags=["chat"],
    operation_id="listRequests",
    response_model=messages.ChatRequests,
    responses=refusals(UnknownStation),
)
async def get_requests(request: Request, station_id: StationId) -> JSONResponse:
    """List the free texts that wait for approval."""
    return JSONResponse(messages.ChatRequests(requests=_desk(request, station_id).requests))


@router.post(
    "/v1/stations/{station_id}/requests/{n}",
    dependencies=[Depends(allowed(Role.CONTROL))],
    tags=["chat"],
    operation_id="decideRequest",
    response_model=messages.ChatDecision,
    responses=refusals(UnknownStation, UnknownRequest, *BAD_BODY, BadControl),
    openapi_extra=body("RequestDecision", is_required=True, approve={"do": "approve"}, refuse={"do": "refuse"}),
)
async def post_decision(request: Request, station_id: StationId, n: RequestNumber) -> JSONResponse:
    """Approve or refuse a request.

    Approved, the music is steered to its text. A text of which nothing is understood changes nothing, and the decision
    says so.
    """
    desk = _desk(request, station_id)
    decision = parse_part(RequestDecision, await read_json(request), "decision")
    return JSONResponse(await desk.approve(n) if decision.do == "approve" else desk.refuse(n))
