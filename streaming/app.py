"""The HTTP interface over one conductor. In: a `Config`; out: an ASGI application. Event loop only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.cors import ALL_METHODS
from starlette.routing import Match, Mount

from moods.errors import MoodsError, shown
from streaming import access_routes, action_routes, messages, render_routes, routes, whep
from streaming.access import LOOPBACK_ORIGIN, Access, Role, allowed, open_to_all
from streaming.chat import routes as chat_routes
from streaming.chat.chats import Chats
from streaming.conductor import Conductor
from streaming.config import Config
from streaming.errors import BadParameter, ServerEnds, StreamingError, Unauthorized, UnknownStation
from streaming.guards import EndsWithToken, KnownHosts, SafeHeaders, TokenToCookie, page_policy
from streaming.limits import Limits
from streaming.lyria import routes as lyria_routes
from streaming.middleware import HeadAsGet, UnderPrefix, WithRequestId
from streaming.openapi import answer, describe
from streaming.problems import Refusals, problem, problem_of, tell_refusal

_EXPOSED_HEADERS = (
    *("Accept-Patch", "Accept-Post", "Accept-Ranges", "Allow", "Content-Range", "ETag", "Link", "Location"),
    *("Retry-After", "Undersong-Began-Frame", "Undersong-Notes", "X-Request-Id"),
)


def create_app(config: Config, conductor: Conductor | None = None) -> FastAPI:
    """The application over `conductor`; without one it starts and stops a conductor of its own with its lifespan."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if conductor is not None:
            yield
            return
        async with Conductor(config) as own, Chats(own) as chats:
            app.state.conductor, app.state.chats = own, chats
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, root_path_in_servers=False)
    app.state.conductor = conductor
    app.state.chats = None if conductor is None else Chats(conductor)
    app.state.limits = Limits(config.controls_per_s)
    app.state.access = access = Access(config)
    app.state.refusals = Refusals()
    describe(app)
    app.include_router(access_routes.router)
    app.include_router(routes.router)
    app.include_router(action_routes.router)
    app.include_router(render_routes.router)
    app.include_router(whep.router)
    app.include_router(lyria_routes.router)
    app.include_router(chat_routes.router)
    web = resources.files("streaming") / "web"
    app.mount("/web", StaticFiles(directory=str(web), check_dir=False))
    client = resources.files("streaming") / "client"
    app.mount("/client", StaticFiles(directory=str(client), check_dir=False))

    listeners, admins = Depends(allowed(Role.LISTEN)), Depends(allowed(Role.ADMIN))

    @app.get("/", include_in_schema=False, dependencies=[listeners])
    async def studio() -> FileResponse:
        return FileResponse(str(web / "index.html"))

    @app.get("/score", include_in_schema=False, dependencies=[listeners])
    async def score() -> FileResponse:
        return FileResponse(str(web / "score.html"))

    @app.get("/overlay/{station}", include_in_schema=False, dependencies=[listeners])
    async def overlay(station: str) -> FileResponse:
        policy = page_policy(config.frame_ancestors, takes_styles=True)
        return FileResponse(str(web / "overlay.html"), headers={"Content-Security-Policy": policy})

    @app.get("/dock/{station}", include_in_schema=False, dependencies=[Depends(allowed(Role.CONTROL))])
    async def dock(station: str) -> FileResponse:
        return FileResponse(str(web / "dock.html"))

    @app.get(
        "/healthz",
        dependencies=[Depends(open_to_all)],
        tags=["server"],
        operation_id="isAlive",
        response_model=messages.Alive,
    )
    async def healthz() -> JSONResponse:
        """Is the server alive?"""
        return JSONResponse({"alive": True})

    @app.get(
        "/readyz",
        dependencies=[Depends(open_to_all)],
        tags=["server"],
        operation_id="isReady",
        response_model=messages.Readiness,
        responses={
            503: {"model": messages.Readiness, "description": "It does not: the engine starts, or starts again."}
        },
    )
    async def readyz(request: Request) -> JSONResponse:
        """Does the engine take work?"""
        is_ready = request.app.state.conductor.is_ready
        return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)

    metrics_text = answer("Prometheus' text format.", "text/plain", {"type": "string"})

    @app.get(
        "/metrics",
        dependencies=[admins],
        tags=["server"],
        operation_id="getMetrics",
        response_class=Response,
        responses={200: metrics_text},
    )
    async def metrics(request: Request) -> PlainTextResponse:
        """Tell the server's figures."""
        return PlainTextResponse(request.app.state.conductor.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get(
        "/v1/doors",
        dependencies=[admins],
        tags=["server"],
        operation_id="listDoors",
        response_model=messages.Connections,
    )
    async def doors(request: Request) -> JSONResponse:
        """Tell how the server's connections to others fare.

        Chats, OBS, and streams that are sent elsewhere: each comes back by itself, but for what somebody has to mend.
        """
        return JSONResponse({"doors": [door.state.message() for door in request.app.state.conductor.doors]})

    answers: dict[type[Exception], Any] = {
        StreamingError: _streaming_problem,
        MoodsError: _moods_problem,
        HTTPException: _http_problem,
        RequestValidationError: _parameter_problem,
        Exception: _crash_problem,
    }
    for kind, answer_to in answers.items():
        app.add_exception_handler(kind, answer_to)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=config.origins,
        allow_origin_regex=LOOPBACK_ORIGIN.pattern,
        allow_methods=["*"],
        allow_headers=["*"],
        allow_private_network=True,
        expose_headers=_EXPOSED_HEADERS,
    )
    app.add_middleware(EndsWithToken, access=access)
    app.add_middleware(HeadAsGet)
    app.add_middleware(TokenToCookie, access=access)
    app.add_middleware(UnderPrefix, public_url=config.public_url)
    app.add_middleware(KnownHosts, config=config)
    app.add_middleware(SafeHeaders, config=config)
    app.add_middleware(WithRequestId)
    app.openapi()  # else the first request would wait for FastAPI to read all routes, and everybody's sound with it
    return app


# --- errors, RFC 9457 ------------------------------------------------------------------------------------------------


async def _streaming_problem(asker: Request | WebSocket, error: StreamingError) -> Response:
    if isinstance(error, UnknownStation):
        try:
            asker.app.state.conductor.check_stays()
        except ServerEnds as ending:  # what is gone with the server may come back with it
            error = ending
    tell_refusal(asker, error.status, error.code, error.detail)
    if isinstance(error, Unauthorized) and "text/html" in asker.headers.get("accept", ""):
        return _ask_for_token(asker, error)
    return problem_of(error)


def _ask_for_token(asker: Request | WebSocket, error: Unauthorized) -> Response:
    """A page instead of a problem, for who reads it in a browser."""
    headers = {**error.headers, "Cache-Control": "no-store"}
    if asker.headers.get("sec-fetch-site") == "cross-site":
        headers["Refresh"] = "0"  # who has followed a link is not sent our cookie along; of our own accord it is
    return FileResponse(str(resources.files("streaming") / "web" / "token.html"), error.status, headers)


async def _moods_problem(asker: Request | WebSocket, error: MoodsError) -> Response:
    tell_refusal(asker, 422, error.code, str(error))
    return problem(422, error.code, "A value cannot be used", str(error), error.members)


async def _parameter_problem(asker: Request | WebSocket, error: RequestValidationError) -> Response:
    row = error.errors()[0]
    name, text = str(row["loc"][-1]), row["msg"].replace("'", '"')  # pydantic quotes as Python does
    if row["type"] == "missing":
        return await _streaming_problem(asker, BadParameter(f"{name} is missing", field=name))
    detail = f"{name} is {shown(row['input'])}; {text[:1].lower()}{text[1:]}"
    return await _streaming_problem(asker, BadParameter(detail, field=name, value=row["input"]))


async def _crash_problem(request: Request, error: Exception) -> Response:
    """The traceback goes to the log, as ever."""
    return problem(500, "internal_error", "The server failed", "this is a fault of the server's own")


async def _http_problem(request: Request, error: HTTPException) -> Response:
    detail = f"{request.method} {request.url.path}: {error.detail}"
    tell_refusal(request, error.status_code, "http_error", str(error.detail))
    response = problem(error.status_code, "http_error", str(error.detail), detail)
    response.headers.update(error.headers or {})
    if error.status_code == 405:  # Starlette names those of one route; a path has several
        response.headers["Allow"] = ", ".join(_allowed_methods(request))
    return response


def _allowed_methods(request: Request) -> list[str]:
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]

    def is_allowed(method: str) -> bool:
        scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    return [method for method in ALL_METHODS if is_allowed(method)] or ["GET", "HEAD"]  # a folder of files
