"""Action links: controls that are done by opening an address, from a button box, a hotkey, a browser's bookmark.

In: a path and a query; out: the control's ack. Remembers nothing. Event loop only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from moods.control import CONTROL_TYPES, Parameter, Steer, parse_control
from moods.errors import BadControl, shown
from moods.fields import MoodFields
from streaming import messages
from streaming.access import Role, allowed
from streaming.errors import BadRequest, ControlRefused, EngineUnavailable, RateLimited, UnknownAction, UnknownStation
from streaming.middleware import is_head
from streaming.openapi import BAD_CONTROL, refusals
from streaming.reading import parse_json, read_asked
from streaming.routes import StationId, conductor_of, limit

router = APIRouter()

_TRANSPORT = ("play", "pause", "restart", "slow")
_ARGUMENTS = {
    "state": "name", "stinger": "name", "theme": "name", "section": "do", "duck": "gain_db", "volume": "gain_db",
    "end": "how", "hit": "at", "cancel": "target", "countdown": "seconds",
}  # fmt: skip
"""The field that a word behind the action stands for; of a mood field, that field."""
_SETTING: dict[str, type[BaseModel]] = {"steer": Steer, "parameter": Parameter}
_ACTIONS = tuple(dict.fromkeys((*_TRANSPORT, *MoodFields.model_fields, *CONTROL_TYPES)))
_TEXTS = frozenset({"name", "mood", "prompt", "key", "id", "by", "target"})
"""Fields that stay texts, whatever they look like."""
_TOKEN = "token"

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Awaitable[Response]])
Action = Annotated[str, Path(description="What is to be done.", examples=["panic", "steer"])]
Argument = Annotated[str, Path(description="What it needs most: the mood, the stinger's name …", examples=["epic"])]


def control_of(action: str, argument: str | None, fields: Mapping[str, str]) -> dict[str, Any]:
    """The control that an address asks for, not yet checked. Raises `UnknownAction`, `BadControl`, `BadRequest`."""
    if action not in _ACTIONS:
        raise UnknownAction(action, _ACTIONS)
    is_field = action in MoodFields.model_fields
    kind = "transport" if action in _TRANSPORT else "steer" if is_field else action
    given = {name: _value(name, text) for name, text in fields.items() if name != _TOKEN}
    if action in _TRANSPORT:
        given["do"] = action
    if argument is not None:
        name = action if is_field else _ARGUMENTS.get(action, "")
        if not name or name in given:
            raise BadControl(f"the address ends with {shown(argument)}; expected fields behind {action}?")
        given[name] = _value(name, argument)
    if kind in _SETTING:
        own = _SETTING[kind].model_fields.keys()
        asked = {name: value for name, value in given.items() if name not in own}
        given = {name: value for name, value in given.items() if name in own} | ({"set": asked} if asked else {})
    return {"type": kind} | given


def _value(name: str, text: str) -> Any:
    """A number, a truth or an object where it reads as one. Raises `BadRequest` for half an object."""
    if name in _TEXTS:
        return text
    if name == "style" and "=" in text:
        weights = (each.partition("=") for each in text.split(","))
        return {style.strip(): _value("", weight) for style, _, weight in weights}
    try:
        return parse_json(text)
    except BadRequest:
        if text.startswith(("{", "[")):
            raise
        return text


async def _act(request: Request, station_id: str, action: str, argument: str | None = None) -> Response:
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    control = await read_asked(parse_control, control_of(action, argument, request.query_params))
    if is_head(request) or "sec-purpose" in request.headers:  # somebody looks at the link, or a browser guesses ahead
        return Response(status_code=204, headers=_NOT_KEPT)
    limit(request)
    return JSONResponse(await conductor.control(station, control), headers=_NOT_KEPT)


_NOT_KEPT = {"Cache-Control": "no-store"}
_FIELDS: dict[str, Any] = {
    "parameters": [
        {
            "name": "fields",
            "in": "query",
            "style": "form",
            "explode": True,
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            "description": "The control's fields, and mood fields of a `steer`, each as a parameter of its own: "
            "`gain_db=-9`, `mood=epic&over=2 bars`.",
            "example": {"over": "2 bars"},
        }
    ]
}
_RESPONSES = refusals(UnknownStation, UnknownAction, BadRequest, *BAD_CONTROL, ControlRefused, RateLimited,
                      EngineUnavailable)  # fmt: skip
_RESPONSES[204] = {"description": "Nothing was done: a browser only looks ahead (`Sec-Purpose`)."}


def _route(path: str, method: str, name: str) -> Callable[[_Endpoint], _Endpoint]:
    return router.api_route(
        f"/v1/stations/{{station_id}}/do/{path}",
        methods=[method],
        dependencies=[Depends(allowed(Role.CONTROL))],
        tags=["actions"],
        operation_id=name,
        response_model=messages.Ack,
        responses=_RESPONSES,
        openapi_extra=_FIELDS,
    )


@_route("{action}", "GET", "doAction")
@_route("{action}", "POST", "postAction")
async def act(request: Request, station_id: StationId, action: Action) -> Response:
    """Do what the address says.

    For buttons that can open a link: `do/panic`, `do/pause`, `do/duck?gain_db=-9`, `do/volume?by_db=-3`,
    `do/steer?mood=epic&over=2 bars`. The answer is the control's ack.
    """
    return await _act(request, station_id, action)


@_route("{action}/{argument}", "GET", "doActionWith")
@_route("{action}/{argument}", "POST", "postActionWith")
async def act_with(request: Request, station_id: StationId, action: Action, argument: Argument) -> Response:
    """Do what the address says, with what the action needs most behind it.

    `do/mood/epic`, `do/energy/0.8`, `do/stinger/reveal`, `do/state/combat`, `do/volume/-6`.
    """
    return await _act(request, station_id, action, argument)
