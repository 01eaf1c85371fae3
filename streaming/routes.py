"""Stations, controls, moods and audio over HTTP and WebSocket. In: requests; out: responses. Remembers nothing.

Event loop only.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, WebSocket
from fastapi.responses import JSONResponse, Response, StreamingResponse

from moods.control import Opening, parse_opening
from moods.mood import list_moods, styles
from moods.stinger import list_stingers
from streaming import live
from streaming.conductor import Conductor
from streaming.errors import (
    BadRequest,
    StreamingError,
    TooLarge,
    TooManyControls,
    TooManySessions,
    WrongContentType,
)
from streaming.protocol import MAX_MESSAGE_BYTES, parse_json
from streaming.session import Session
from streaming.station import Station
from streaming.transports import http_audio, websocket

router = APIRouter()

_MAX_CONTROLS = 100


def json_body(schema: dict[str, Any]) -> dict[str, Any]:
    """Documentation of a body that we read ourselves, so that mistakes get our own problems."""
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


_OPENING = json_body(Opening.model_json_schema())
_CONTROL = json_body({"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]})


def conductor_of(request: Request | WebSocket) -> Conductor:
    return request.app.state.conductor


def prefix_of(request: Request) -> str:
    """The path under which the asker sees this server, empty or with a slash before and none behind it."""
    return request.scope.get("root_path", "")


def new_session(conductor: Conductor, station: Station, kind: str, max_chunks: int) -> Session:
    """Raises `TooManySessions`."""
    if sum(len(other.sessions) for other in conductor.stations.values()) >= conductor.config.max_sessions:
        raise TooManySessions(conductor.config.max_sessions)
    return station.add_session(kind, max_chunks)


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
    content_type = request.headers.get("content-type", "application/json").split(";")[0].strip()
    if content_type != "application/json":
        raise WrongContentType(content_type, "application/json")
    return parse_json(body)


@router.get("/v1/moods", tags=["moods"])
async def get_moods() -> JSONResponse:
    """The presets, styles and stingers, with English and Chinese names."""
    moods = [mood.to_dict() | {"zh": mood.name_zh} for mood in list_moods()]
    named = [{"name": style.name, "zh": style.name_zh} for style in styles()]
    return JSONResponse({"moods": moods, "styles": named, "stingers": [each.to_dict() for each in list_stingers()]})


@router.post("/v1/stations", status_code=201, tags=["stations"], openapi_extra=_OPENING)
async def post_station(request: Request) -> JSONResponse:
    """Open a station; it plays at once."""
    station = await conductor_of(request).open_station(await read_json(request))
    prefix = prefix_of(request)
    return JSONResponse(station.state(prefix), 201, {"Location": station.links(prefix)["self"]})


@router.get("/v1/stations", tags=["stations"])
async def get_stations(request: Request) -> JSONResponse:
    """All stations and their state."""
    stations, prefix = conductor_of(request).stations.values(), prefix_of(request)
    return JSONResponse({"stations": [station.state(prefix) for station in stations]})


@router.get("/v1/stations/{station_id}", tags=["stations"])
async def get_station(request: Request, station_id: str) -> JSONResponse:
    """Position, mood now and mood heading, listeners, health."""
    return JSONResponse(conductor_of(request).station(station_id).state(prefix_of(request)))


@router.patch("/v1/stations/{station_id}", tags=["stations"], openapi_extra=_OPENING)
async def patch_station(request: Request, station_id: str) -> JSONResponse:
    """Set mood fields, as a `steer` does, or the name."""
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    changes = await read_json(request)
    opening = parse_opening(changes)
    fields = {name: value for name, value in changes.items() if name != "name"}
    if fields:
        await conductor.control(station, {"type": "steer", "set": fields})
    if "name" in changes:
        station.name = opening.name or station.id
    return JSONResponse(station.state(prefix_of(request)))


@router.delete("/v1/stations/{station_id}", status_code=204, tags=["stations"])
async def delete_station(request: Request, station_id: str) -> Response:
    """End the music for everyone who listens."""
    conductor = conductor_of(request)
    conductor.close_station(conductor.station(station_id))
    return Response(status_code=204)


@router.post("/v1/stations/{station_id}/controls", tags=["stations"], openapi_extra=_CONTROL)
async def post_controls(request: Request, station_id: str) -> JSONResponse:
    """Apply one control, answered with its ack; or a list of up to 100, answered with an ack or error for each."""
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    controls = await read_json(request)
    if isinstance(controls, list):
        if len(controls) > _MAX_CONTROLS:
            raise TooManyControls(len(controls), _MAX_CONTROLS)
        return JSONResponse([await live.apply_control(conductor, station, control) for control in controls])
    return JSONResponse(await conductor.control(station, controls))


@router.get("/v1/stations/{station_id}/take", tags=["stations"])
async def get_take(request: Request, station_id: str) -> StreamingResponse:
    """The take so far, JSON lines: opening and seed, then controls with their stream frames."""
    station = conductor_of(request).station(station_id)
    return StreamingResponse(station.take(), media_type="application/jsonl")


@router.get("/v1/stations/{station_id}/audio.{kind}", tags=["audio"])
async def get_audio(request: Request, station_id: str, kind: str) -> Response:
    """Endless audio for media players: ogg (the station's own Opus packets), mp3 or wav."""
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    if kind not in http_audio.MEDIA_TYPES:
        raise _unknown_format(kind, http_audio.MEDIA_TYPES)
    headers, media_type = {"Cache-Control": "no-store"}, http_audio.MEDIA_TYPES[kind]
    is_head = getattr(request.state, "is_head", False)
    range_ = None if is_head else request.headers.get("range")
    peeked = range_ and await asyncio.to_thread(http_audio.peek, kind, range_)
    if peeked:
        headers["Content-Range"] = f"bytes 0-{len(peeked) - 1}/*"
        return Response(peeked, 206, headers, media_type)
    headers |= {"Accept-Ranges": "none", "X-Accel-Buffering": "no"}  # nginx would hold back what is to be heard now
    if is_head:
        return StreamingResponse(iter(()), 200, headers, media_type)
    session = new_session(conductor, station, kind, http_audio.MAX_QUEUED_CHUNKS)
    return StreamingResponse(http_audio.stream(station, session, kind), 200, headers, media_type)


@router.websocket("/v1/stations/{station_id}/live")
async def live_socket(socket: WebSocket, station_id: str, session: str | None = None) -> None:
    conductor = conductor_of(socket)
    await websocket.serve_live(conductor, conductor.station(station_id), socket, session)


@router.websocket("/v1/stations/{station_id}/audio")
async def audio_socket(
    socket: WebSocket, station_id: str, audio_format: Annotated[str, Query(alias="format")] = "pcm_s16le"
) -> None:
    conductor = conductor_of(socket)
    station = conductor.station(station_id)
    if audio_format not in websocket.PAYLOADS:
        raise _unknown_format(audio_format, websocket.PAYLOADS)
    session = new_session(conductor, station, "websocket", websocket.MAX_QUEUED_CHUNKS)
    await websocket.serve_audio(station, session, socket, audio_format)


def _unknown_format(value: str, known: dict[str, Any]) -> StreamingError:
    error = BadRequest(f"format is {value!r}; allowed is {', '.join(known)}", field="format", value=value)
    error.status, error.code = 422, "unknown_format"
    return error
