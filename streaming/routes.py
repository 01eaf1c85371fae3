"""Stations, controls, moods and audio over HTTP and WebSocket. In: requests; out: responses. Remembers nothing.

Event loop only.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

from fastapi import APIRouter, Depends, Header, Path, Query, Request, WebSocket
from fastapi.responses import JSONResponse, Response, StreamingResponse

from engine.audio import BLOCK_SECONDS
from moods.control import parse_control
from moods.errors import BadControl, NotUnderstood, UnknownTheme, shown
from moods.listing import listing
from moods.opening import parse_changes, parse_copying, parse_opening
from moods.prompt import resolve_prompt
from streaming import live, messages
from streaming.access import Grant, Role, allowed, check_grant, token_query
from streaming.conductor import Conductor
from streaming.encoders.endless import MEDIA_TYPES, coding_of
from streaming.errors import (
    BadParameter,
    ControlRefused,
    EngineUnavailable,
    NameTaken,
    RateLimited,
    TooManyControls,
    TooManySessions,
    TooManyStations,
    UnknownFormat,
    UnknownStation,
    UpgradeRequired,
)
from streaming.limits import Limits
from streaming.messages.schema import schema_document
from streaming.middleware import is_head
from streaming.openapi import BAD_BODY, BAD_CONTROL, BAD_VALUE, answer, body, refusals, socket
from streaming.outlet import MAX_UNREAD_BLOCKS, STORE_BLOCKS, Outlet
from streaming.reading import read_asked, read_json
from streaming.session import Session
from streaming.station import Station
from streaming.titles import ARTIST
from streaming.transports import http_audio, websocket

router = APIRouter()

StationId = Annotated[str, Path(description="The station's id or name.", examples=["3f9c2a61b04d"])]
AudioFormat = Annotated[
    str,
    messages.OneOf(messages.AUDIO_FORMATS),
    Query(alias="format", description="Interleaved samples, or Opus packets."),
]
BufferMs = Annotated[
    int,
    Query(
        ge=websocket.BUFFER_MS[0], le=websocket.BUFFER_MS[1],
        description="How far it may fall behind before it loses what it has not read: 100 is snappy, 1000 is safe.",
    ),
]  # fmt: skip
_STEER = {"type": "steer", "set": {"mood": "epic", "energy": 0.8}, "over": "2 bars", "at": "bar", "id": "c1"}


def conductor_of(request: Request | WebSocket) -> Conductor:
    return request.app.state.conductor


def prefix_of(request: Request) -> str:
    """The path under which the asker sees this server, empty or with a slash before and none behind it."""
    return request.scope.get("root_path", "")


def limit(request: Request, count: int = 1) -> None:
    """Count controls over HTTP, by the asker's address. Raises `RateLimited`."""
    limits: Limits = request.app.state.limits
    limits.take(request.client.host if request.client else "", time.monotonic(), count)


def new_session(
    conductor: Conductor,
    station: Station,
    kind: str,
    max_chunks: int,
    lag_blocks: int = 0,
    outlet: Outlet | None = None,
) -> Session:
    """Raises `TooManySessions`, `NoHeadroom`, `ServerEnds`."""
    conductor.check_stays()
    conductor.headroom.check()
    if conductor.num_sessions >= conductor.config.max_sessions:
        raise TooManySessions(conductor.config.max_sessions)
    return station.add_session(kind, max_chunks, lag_blocks, outlet)


@router.get(
    "/v1/moods",
    dependencies=[Depends(allowed(Role.LISTEN))],
    tags=["moods"],
    operation_id="listMoods",
    response_model=messages.Moods,
)
async def get_moods() -> JSONResponse:
    """List the presets of moods and clips, styles and stingers.

    All can be asked for by their English and Chinese names.
    """
    return JSONResponse(listing())


@router.get(
    "/v1/moods/explain",
    dependencies=[Depends(allowed(Role.LISTEN))],
    tags=["moods"],
    operation_id="explainPrompt",
    response_model=messages.ExplainedPrompt,
    responses=refusals(BadParameter, NotUnderstood),
)
async def get_explanation(
    prompt: Annotated[str, Query(max_length=2000, description="A free text.", examples=["雨夜"])],
    strict: Annotated[bool, Query(description="Refuse it where nothing of it is understood.")] = False,
) -> JSONResponse:
    """Explain what a prompt means.

    The point in mood space that it leads to, and the words that were not understood.
    """
    understood = await read_asked(resolve_prompt, prompt)
    if strict and not understood.is_understood:
        raise NotUnderstood(prompt)
    return JSONResponse(messages.explained(understood))


@router.get("/v1/schema.json", dependencies=[Depends(allowed(Role.LISTEN))], tags=["server"], operation_id="getSchema")
async def get_schema() -> dict[str, Any]:
    """Every message as JSON schema.

    All are under `$defs`; `x-groups` tells who sends which. The schema itself fits any text that crosses a WebSocket.
    """
    return schema_document()


@router.post(
    "/v1/stations",
    dependencies=[Depends(allowed(Role.ADMIN))],
    status_code=201,
    tags=["stations"],
    operation_id="openStation",
    response_model=messages.Station,
    responses=refusals(*BAD_BODY, *BAD_VALUE, UnknownTheme, NameTaken, TooManyStations, EngineUnavailable)
    | {201: {"description": "It plays.", "headers": {"Location": {"schema": {"type": "string"}}}}},
    openapi_extra=body(
        "Opening",
        a_mood={"mood": "night", "energy": 0.3, "seed": 7},
        a_prompt={"prompt": "rainy night, a little sad", "name": "desk"},
        styles_and_key={"style": {"lofi": 0.7, "jazz": 0.3}, "key": "A minor", "bpm": 84},
        states={
            "states": {"explore": {"mood": "night", "energy": 0.3}, "combat": {"mood": "epic", "energy": 0.9}},
            "transitions": [{"from": "combat", "to": "explore", "over": "2 bars", "fill": True, "min_dwell": 4}],
            "initial": "explore",
            "parameters": {"danger": {"to": [{"field": "brightness", "curve": [[0, 0.2], [1, 0.9]]}]}},
        },
    ),
)
async def post_station(request: Request) -> JSONResponse:
    """Open a station.

    It plays when this answers. Without a body it plays the mood `healing`. A `name` stands for its id in every address.
    """
    conductor = conductor_of(request)
    asked = conductor.config.furnished(await read_json(request))
    station = await conductor.open_station(await read_asked(parse_opening, asked))
    prefix = prefix_of(request)
    return JSONResponse(station.state(prefix), 201, {"Location": station.links(prefix)["self"]})


@router.post(
    "/v1/stations/{station_id}/copies",
    dependencies=[Depends(allowed(Role.ADMIN))],
    status_code=201,
    tags=["stations"],
    operation_id="copyStation",
    response_model=messages.Station,
    responses=refusals(UnknownStation, *BAD_BODY, BadControl, NameTaken, TooManyStations, EngineUnavailable)
    | {201: {"description": "It sleeps.", "headers": {"Location": {"schema": {"type": "string"}}}}},
    openapi_extra=body("Copying", a_saved_game={"name": "slot-1"}),
)
async def post_copy(request: Request, station_id: StationId) -> JSONResponse:
    """Copy a station, as for a saved game.

    The copy sleeps at the frame where the station is now, and goes on from there for whoever comes; a copy of the copy
    goes on from there again. The station itself is not disturbed.
    """
    conductor = conductor_of(request)
    copying = await read_asked(parse_copying, await read_json(request))
    station = await conductor.copy_station(conductor.station(station_id), copying.name)
    prefix = prefix_of(request)
    return JSONResponse(station.state(prefix), 201, {"Location": station.links(prefix)["self"]})


@router.get("/v1/stations", tags=["stations"], operation_id="listStations", response_model=messages.Stations)
async def get_stations(request: Request, grant: Annotated[Grant, Depends(allowed(Role.LISTEN))]) -> JSONResponse:
    """List all stations and their state; to who has a token for one, that one."""
    stations, prefix = conductor_of(request).stations.values(), prefix_of(request)
    seen = [each for each in stations if grant.station in (None, each.id, each.name)]
    return JSONResponse({"stations": [station.state(prefix) for station in seen]})


@router.get(
    "/v1/stations/{station_id}",
    dependencies=[Depends(allowed(Role.LISTEN))],
    tags=["stations"],
    operation_id="getStation",
    response_model=messages.Station,
    responses=refusals(UnknownStation),
)
async def get_station(request: Request, station_id: StationId) -> JSONResponse:
    """Tell a station's state.

    Position, mood now and mood heading, listeners, health.
    """
    return JSONResponse(conductor_of(request).station(station_id).state(prefix_of(request)))


@router.patch(
    "/v1/stations/{station_id}",
    tags=["stations"],
    operation_id="changeStation",
    response_model=messages.Station,
    responses=refusals(UnknownStation, *BAD_BODY, *BAD_VALUE, NameTaken, RateLimited, EngineUnavailable),
    openapi_extra=body("Changes", energy={"energy": 0.9}, name={"name": "stage"}),
)
async def patch_station(
    request: Request, station_id: StationId, grant: Annotated[Grant, Depends(allowed(Role.CONTROL))]
) -> JSONResponse:
    """Change mood fields or the name.

    Fields change as by a `steer`, each at its own place; those left out stay as they are. Addresses and tokens hold by
    the name, so that a new one takes the role admin.
    """
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    limit(request)
    changes = await read_asked(parse_changes, await read_json(request))
    before = station.name
    if "name" in changes.model_fields_set:
        check_grant(request, grant, Role.ADMIN)
        conductor.rename(station, changes.name)
    if (steer := changes.steer()) is not None:
        try:
            await conductor.control(station, steer)
        except Exception:  # all of it or nothing
            conductor.rename(station, before)
            raise
    return JSONResponse(station.state(prefix_of(request)))


@router.delete(
    "/v1/stations/{station_id}",
    dependencies=[Depends(allowed(Role.ADMIN))],
    status_code=204,
    tags=["stations"],
    operation_id="closeStation",
    responses=refusals(UnknownStation),
)
async def delete_station(request: Request, station_id: StationId) -> Response:
    """Close a station.

    The music finishes its beat, fades out, and ends for everyone who listens; the station is found no more at once.
    """
    conductor = conductor_of(request)
    conductor.dismiss(conductor.station(station_id))
    return Response(status_code=204)


@router.post(
    "/v1/stations/{station_id}/controls",
    dependencies=[Depends(allowed(Role.CONTROL))],
    tags=["stations"],
    operation_id="control",
    response_model=messages.Ack | list[messages.Answer],
    responses=refusals(
        UnknownStation, *BAD_BODY, *BAD_CONTROL, TooManyControls, ControlRefused, RateLimited, EngineUnavailable
    )
    | {200: {"description": "One ack, or a list with an ack or error for each control of a list."}},
    openapi_extra=body(
        "Control", "Controls",
        is_required=True,
        steer=_STEER,
        hit={"type": "hit", "at": "bar", "strength": 0.8},
        stinger={"type": "stinger", "name": "reveal", "at": "beat"},
        theme={"type": "theme", "name": "hero", "at": "bar"},
        duck={"type": "duck", "gain_db": -9, "over": 0.2},
        volume={"type": "volume", "gain_db": -6, "over": 1},
        end={"type": "end", "how": "cadence", "at": "phrase"},
        countdown={"type": "countdown", "seconds": 300, "then": "go on"},
        transport={"type": "transport", "do": "pause"},
        state={"type": "state", "name": "combat"},
        parameter={"type": "parameter", "set": {"danger": 0.7}},
        section={"type": "section", "do": "go", "to": "B", "at": "bar"},
        skip={"type": "skip", "at": "bar"},
        slow_motion={"type": "transport", "do": "slow", "rate": 0.5, "over": 0.5},
        cancel={"type": "cancel", "target": "c1", "id": "c2"},
        panic={"type": "panic"},
        several=[{"type": "steer", "set": {"tension": 0.7}}, {"type": "hit", "at": "bar"}],
    ),
)  # fmt: skip
async def post_controls(request: Request, station_id: StationId) -> JSONResponse:
    """Apply one control, or a list of up to 100.

    One is answered with its ack, or a problem; a list with an ack or error for each, whatever became of the others.
    """
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    controls = await read_json(request)
    if isinstance(controls, list):
        if len(controls) > messages.MAX_CONTROLS:
            raise TooManyControls(len(controls), messages.MAX_CONTROLS)
        limit(request, len(controls))
        return JSONResponse([await live.apply_control(conductor, station, control) for control in controls])
    limit(request)
    return JSONResponse(await conductor.control(station, await read_asked(parse_control, controls)))


@router.get(
    "/v1/stations/{station_id}/take",
    dependencies=[Depends(allowed(Role.ADMIN))],
    tags=["stations"],
    operation_id="getTake",
    response_class=StreamingResponse,
    responses={
        200: answer("A `TakeOpening`, then `TakeLine`s, a line each.", "application/jsonl", {"type": "string"}),
        **refusals(UnknownStation),
    },
)
async def get_take(request: Request, station_id: StationId) -> StreamingResponse:
    """Get the take so far.

    JSON lines: a header with opening, seed and what made the music, then controls with their stream frames.
    `undersong render --take` performs the same music again.
    """
    station = conductor_of(request).station(station_id)
    return StreamingResponse(station.take(), media_type="application/jsonl")


async def _playlist(request: Request, station_id: str, kind: str, stream_kind: str) -> Response:
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    path = f"{prefix_of(request)}/v1/stations/{station_id}/audio.{stream_kind}"
    url = urlunsplit((*urlsplit(conductor.config.public_url or str(request.base_url))[:2], path, "", "")) + token_query(
        request
    )
    text = http_audio.playlist(kind, url, f"{ARTIST}: {station.name}")
    return Response(text, 200, {"Cache-Control": "no-store"}, http_audio.PLAYLIST_TYPES[kind])


StreamKind = Annotated[
    str,
    messages.OneOf(messages.STREAM_KINDS),
    Query(alias="format", description="The stream that it leads to."),
]


@router.get(
    "/v1/stations/{station_id}/audio.m3u", dependencies=[Depends(allowed(Role.LISTEN))],
    tags=["audio"], operation_id="getPlaylist", response_class=Response,
    responses={
        200: answer("A playlist.", http_audio.PLAYLIST_TYPES["m3u"], {"type": "string"}),
        **refusals(UnknownStation, BadParameter),
    },
)  # fmt: skip
async def get_m3u(request: Request, station_id: StationId, stream_kind: StreamKind = "mp3") -> Response:
    """Get a playlist, M3U, that leads a media player to a stream.

    The address in it is whole, and has the token that this one was asked for with.
    """
    return await _playlist(request, station_id, "m3u", stream_kind)


@router.get(
    "/v1/stations/{station_id}/audio.pls", dependencies=[Depends(allowed(Role.LISTEN))],
    tags=["audio"], operation_id="getPls", response_class=Response,
    responses={
        200: answer("A playlist.", http_audio.PLAYLIST_TYPES["pls"], {"type": "string"}),
        **refusals(UnknownStation, BadParameter),
    },
)  # fmt: skip
async def get_pls(request: Request, station_id: StationId, stream_kind: StreamKind = "mp3") -> Response:
    """Get the same as PLS."""
    return await _playlist(request, station_id, "pls", stream_kind)


_AUDIO: dict[str, Any] = dict.fromkeys(MEDIA_TYPES.values(), {"schema": {"type": "string", "format": "binary"}})


@router.get(
    "/v1/stations/{station_id}/audio.{kind}",
    dependencies=[Depends(allowed(Role.LISTEN))],
    tags=["audio"],
    operation_id="streamAudio",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Sound, until either side ends.", "content": _AUDIO},
        206: {
            "description": "The first bytes, for players that look at them before they listen; asked for by `Range`.",
            "content": _AUDIO,
        },
        **refusals(UnknownStation, UnknownFormat, TooManySessions),
    },
)
async def get_audio(
    request: Request,
    station_id: StationId,
    kind: Annotated[str, Path(json_schema_extra={"enum": list(messages.STREAM_KINDS)})],
    icy_metadata: Annotated[str | None, Header(description="`1` has titles told between the bytes.")] = None,
) -> Response:
    """Stream audio for a media player, without end.

    `ogg` holds the station's own Opus packets; `mp3`, `aac` and `wav` are there for players without Opus. A stream
    begins with the last second at once, so that a player has it in store and no gap where the engine is late by less.
    """
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    if kind not in MEDIA_TYPES:
        raise UnknownFormat(kind, MEDIA_TYPES)
    headers, media_type = {"Cache-Control": "no-store"}, MEDIA_TYPES[kind]
    has_no_body = is_head(request)
    range_ = None if has_no_body else request.headers.get("range")
    peeked = await asyncio.to_thread(http_audio.peek, kind, range_) if range_ else None
    if peeked:
        headers["Content-Range"] = f"bytes 0-{len(peeked) - 1}/*"
        return Response(peeked, 206, headers, media_type)
    headers |= {"Accept-Ranges": "none", "X-Accel-Buffering": "no"}  # nginx would hold back what is to be heard now
    coding, has_titles = coding_of(kind), icy_metadata == "1" and kind in http_audio.ICY_KINDS
    if has_no_body:
        headers |= http_audio.icy_headers(station, coding.bit_rate) if has_titles else {}
        return StreamingResponse(iter(()), 200, headers, media_type)
    outlet = station.outlet(coding)
    session = new_session(conductor, station, kind, MAX_UNREAD_BLOCKS, STORE_BLOCKS, outlet)
    return http_audio.AudioResponse(station, session, outlet, headers, has_titles=has_titles)


# --- WebSockets: OpenAPI has none, so each stands there as the GET that begins it -------------------------------------

_UPGRADED: dict[int | str, dict[str, Any]] = {
    101: {"description": "The WebSocket is open; its texts are those of `x-websocket`."}
}


@router.get(
    "/v1/stations/{station_id}/live",
    dependencies=[Depends(allowed(Role.LISTEN))],
    tags=["live"],
    operation_id="openLive",
    status_code=101,
    response_class=Response,
    responses=_UPGRADED | refusals(UnknownStation, UpgradeRequired),
    openapi_extra=socket(sent="LiveMessage", received="Control"),
)
async def get_live(
    request: Request,
    station_id: StationId,
    session: Annotated[str | None, Query(description="A listening session of this client's own.")] = None,
) -> Response:
    """WebSocket: controls in; acks, events and status out.

    Send a `Control` as JSON text; it is answered with an `Ack` or `Error` that carries its `id`. Everyone on the
    channel is sent `Status` at first and every second, `Beat`, `SectionBegan` and `Marker` ahead of their sound,
    `SessionBegan` and `Skip`; a client that names a session is also sent its `Dropped` and `Clock`. The data channel
    `live` of a WHEP session carries the same.
    """
    conductor_of(request).station(station_id)
    raise UpgradeRequired


@router.get(
    "/v1/stations/{station_id}/audio",
    dependencies=[Depends(allowed(Role.LISTEN))],
    tags=["audio"],
    operation_id="openAudio",
    status_code=101,
    response_class=Response,
    responses=_UPGRADED | refusals(UnknownStation, BadParameter, UpgradeRequired),
    openapi_extra=socket(sent="AudioHeader", received=None),
)
async def get_audio_socket(
    request: Request,
    station_id: StationId,
    audio_format: AudioFormat = "pcm_s16le",
    buffer_ms: BufferMs = websocket.DEFAULT_BUFFER_MS,
) -> Response:
    """WebSocket: frames of audio.

    The first message is an `AudioHeader` as JSON text. Binary messages follow, one for every 20 ms: the frame as an
    unsigned 64-bit little-endian number, then 960 frames of interleaved samples, or one Opus packet. Who reads too
    slowly loses what has waited, and is told by a `Dropped` as JSON text.
    """
    conductor_of(request).station(station_id)
    raise UpgradeRequired


@router.websocket("/v1/stations/{station_id}/live")
async def live_socket(
    socket: WebSocket,
    station_id: str,
    grant: Annotated[Grant, Depends(allowed(Role.LISTEN))],
    session: str | None = None,
) -> None:
    conductor = conductor_of(socket)
    await websocket.serve_live(conductor, conductor.station(station_id), socket, session, grant.may_steer)


@router.websocket("/v1/stations/{station_id}/audio", dependencies=[Depends(allowed(Role.LISTEN))])
async def audio_socket(
    socket: WebSocket,
    station_id: str,
    audio_format: Annotated[str, Query(alias="format")] = "pcm_s16le",
    buffer_ms: str = str(websocket.DEFAULT_BUFFER_MS),
) -> None:
    conductor = conductor_of(socket)
    station = conductor.station(station_id)
    if audio_format not in websocket.PAYLOADS:
        raise UnknownFormat(audio_format, websocket.PAYLOADS)
    session = new_session(conductor, station, "websocket", _chunks_of(buffer_ms))
    await websocket.serve_audio(station, session, socket, audio_format)


def _chunks_of(buffer_ms: str) -> int:
    """Raises `BadParameter`."""
    low, high = websocket.BUFFER_MS
    if not (buffer_ms.isascii() and buffer_ms.isdigit() and low <= int(buffer_ms) <= high):
        raise BadParameter(
            f"buffer_ms is {shown(buffer_ms)}; allowed is {low} … {high}",
            field="buffer_ms", value=buffer_ms, range=[low, high],
        )  # fmt: skip
    return math.ceil(int(buffer_ms) / (1000 * BLOCK_SECONDS))
