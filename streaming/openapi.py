"""The description of the interface: what `/openapi.json` and `/docs` say beside the routes themselves.

In: the application, error classes; out: OpenAPI parts. Remembers nothing; any thread.
"""

from __future__ import annotations

from importlib import resources
from importlib.metadata import version
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles

from moods.errors import (
    BadControl,
    MoodsError,
    NotUnderstood,
    OutOfRange,
    UnknownKey,
    UnknownMood,
    UnknownStinger,
    UnknownStyle,
    UnknownTheme,
)
from streaming.access import Role, allowed
from streaming.errors import (
    BadRequest,
    BadText,
    Forbidden,
    OriginRefused,
    StreamingError,
    TokenExpired,
    TokenInvalid,
    TokenMissing,
    TokenRevoked,
    TooLarge,
    TooManyFailures,
    TooManyRequests,
    TooSlow,
    WrongContentType,
)
from streaming.messages.schema import schemas

_COMPONENT = "#/components/schemas/{model}"
_PROBLEM = {"application/problem+json": {"schema": {"$ref": _COMPONENT.format(model="Problem")}}}

BAD_BODY = (BadRequest, BadText, TooLarge, TooSlow, WrongContentType)
BAD_VALUE = (OutOfRange, UnknownMood, UnknownStyle, UnknownKey, NotUnderstood, BadControl)
BAD_CONTROL = (*BAD_VALUE, UnknownStinger, UnknownTheme)

_DESCRIPTION = """
Endless background music, composed note by note and played live, that follows the mood it is steered to.

`POST /v1/stations` opens a **station**: one sounding music, for one ear or many. Its `links` lead to the audio (WHEP,
WebSocket, or an endless Ogg, MP3 or WAV stream) and to the **live channel**, where controls go in and acks, beats and
sections come out. `POST …/controls` takes the same controls.

* A **frame** is a sample for each channel. Frames count 48,000 a second from the station's opening, the same for all
  its listeners; an ack names the frame before which nothing changes.
* Every mistake is answered with a problem (RFC 9457), whose `code` is stable: 422 for a value that can never be taken,
  409 for a control that does not fit what the station is doing just now, 503 with `Retry-After` where waiting helps.
* A server that is not for its own machine alone asks for a **token**, as `Authorization: Bearer …` or `?token=…`: its
  role is `listen`, `control` or `admin`.
* [`/v1/schema.json`](v1/schema.json) holds every message, those of the WebSockets too, as one JSON schema.
"""
_TAGS = {
    "stations": "Open, steer and close music.",
    "live": "WebSocket: controls in; acks, beats, sections, markers and status out, all as JSON text.",
    "actions": "Controls by opening an address, for button boxes, hotkeys and bookmarks.",
    "audio": "What a station sounds like: endless streams for media players, frames over a WebSocket.",
    "whep": "WebRTC for browsers and players, by the WebRTC-HTTP egress protocol; audio is Opus, 48 kHz, stereo. "
    "The data channel `live`, if offered, carries what the live WebSocket does.",
    "renders": "Music into files: what takes longer than an answer may is a job, with progress, files and a queue.",
    "chat": "Viewers' commands, votes and requests, from whatever platform.",
    "moods": "What can be asked for by name, and what a prompt means.",
    "server": "For whoever runs it.",
}


def refusals(*kinds: type[StreamingError] | type[MoodsError]) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with, by title and code, as FastAPI's `responses`."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        status, title, retry_after_s = 422, "A value cannot be used", None
        if issubclass(kind, StreamingError):
            status, title, retry_after_s = kind.status, kind.title, kind.retry_after_s
        told = by_status.setdefault(status, {"titles": {}, "content": _PROBLEM})
        told["titles"].setdefault(title, []).append(f"`{kind.code}`")
        if retry_after_s is not None:
            told["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    for told in by_status.values():
        told["description"] = "; ".join(f"{title}: {', '.join(codes)}" for title, codes in told.pop("titles").items())
    return by_status


def answer(description: str, media_type: str, schema: dict[str, Any], **headers: str) -> dict[str, Any]:
    """An answer that is no JSON; `headers` are what its headers mean, `_` in a name stands for `-`."""
    told = {name.replace("_", "-"): {"description": text, "schema": {"type": "string"}, "required": True}
            for name, text in headers.items()}  # fmt: skip
    content = {media_type: {"schema": schema}} if media_type else {}
    return {"description": description, "content": content, "headers": told}


def body(*messages: str, is_required: bool = False, **examples: Any) -> dict[str, Any]:
    """A JSON body that we read ourselves, so that mistakes get our own problems: one of `messages`."""
    named = [{"$ref": _COMPONENT.format(model=name)} for name in messages]
    content = {
        "schema": named[0] if len(named) == 1 else {"oneOf": named},
        "examples": {name.replace("_", " "): {"value": value} for name, value in examples.items()},
    }
    return {"requestBody": {"required": is_required, "content": {"application/json": content}}}


def form(message: str | None, parts: dict[str, str], **examples: Any) -> dict[str, Any]:
    """A body that is a form with `parts`, by what they mean; or, where there is a message, this as JSON."""
    properties: dict[str, Any] = {
        name: {"type": "string", "format": "binary", "description": text} for name, text in parts.items()
    }
    encoding = {name: {"contentType": "application/octet-stream"} for name in parts}
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    contents: dict[str, Any] = {"multipart/form-data": {"schema": schema, "encoding": encoding}}
    if message is None:
        schema["required"] = list(parts)
    else:
        properties["request"] = {"$ref": _COMPONENT.format(model=message)}
        encoding["request"] = {"contentType": "application/json"}
        contents = body(message, **examples)["requestBody"]["content"] | contents
    return {"requestBody": {"required": True, "content": contents}}


def text_body(media_type: str, description: str) -> dict[str, Any]:
    """A body of another type."""
    content = {media_type: {"schema": {"type": "string", "description": description}}}
    return {"requestBody": {"required": True, "content": content}}


def socket(sent: str, received: str | None) -> dict[str, Any]:
    """What a WebSocket carries as text, by the names of messages; OpenAPI itself knows no sockets."""
    carried = {"server": {"$ref": _COMPONENT.format(model=sent)}}
    if received is not None:
        carried["client"] = {"$ref": _COMPONENT.format(model=received)}
    return {"x-websocket": carried}


def describe(app: FastAPI) -> None:
    """Let `app` answer with its description, and with a page that shows it without any other host's help."""
    app.mount("/docs/viewer", StaticFiles(directory=str(resources.files("fastapi_offline") / "static")))

    listeners = Depends(allowed(Role.LISTEN))

    @app.get("/docs", include_in_schema=False, dependencies=[listeners])
    async def docs() -> FileResponse:
        return FileResponse(str(resources.files("streaming") / "web" / "docs.html"))

    @app.get("/openapi.json", include_in_schema=False, dependencies=[listeners])
    async def description() -> JSONResponse:
        return JSONResponse(app.openapi())

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


_DOORS = refusals(
    TokenMissing, TokenInvalid, TokenExpired, TokenRevoked, Forbidden, OriginRefused, TooManyFailures, TooManyRequests
)
"""What may be answered wherever a role is asked for."""
_OPEN = ("/healthz", "/readyz")
_TOKENS = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "query": {"type": "apiKey", "in": "query", "name": "token"},
}


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title="Undersong",
        version=version("undersong"),
        summary="Background music, composed live, that follows a mood.",
        description=_DESCRIPTION.strip(),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": ".", "description": "This server, under whatever prefix this description was found at."}],
        tags=[{"name": name, "description": text} for name, text in _TAGS.items()],
        routes=app.routes,
    )
    document["components"] = {"schemas": schemas(_COMPONENT), "securitySchemes": _TOKENS}
    document["security"] = [{name: []} for name in _TOKENS]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in _OPEN:
                operation["security"] = []
            if operation["responses"].get("422", {}).get("description") == "Validation Error":
                del operation["responses"]["422"]  # FastAPI adds it wherever a path has a parameter
            for status, told in ({} if path in _OPEN else _DOORS).items():
                operation["responses"].setdefault(str(status), told)
            summary, _, more = operation.pop("description").partition("\n\n")
            operation |= {"summary": summary.rstrip("."), "description": more or summary}
    return document
