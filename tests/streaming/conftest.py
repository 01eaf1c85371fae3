"""A real server for the tests: conductor, engine process and uvicorn, on an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import functools
import logging
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import pytest
from websockets.sync.client import connect

from engine.generator import Generator
from engine.performance import Performance
from engine.take import read_take
from streaming.app import create_app
from streaming.conductor import Conductor
from streaming.config import Config
from streaming.engines.link import Engines
from streaming.engines.local import LocalEngines
from streaming.jobs.jobs import Jobs
from streaming.server import Server, bind
from streaming.tls import server_context
from tests.streams import stream_up_to

Result = TypeVar("Result")

dial = functools.partial(connect, close_timeout=0.2, max_queue=None)
"""Open a WebSocket; leaving it does not wait for what has not been read."""


class Running:
    """A server under test. `call` runs a coroutine or function on the server's own loop."""

    def __init__(self, config: Config, engines: Callable[[Config], Engines] = LocalEngines) -> None:
        self._config, self._make_engines = config, engines
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        self.call(self._start())
        verify = ssl.create_default_context(cafile=self._config.tls_cert) if self._config.tls_cert else True
        self.http = httpx.Client(base_url=self.address, timeout=60, verify=verify)

    async def _start(self) -> None:
        self._socket = bind(self._config.host, self._config.port)
        certificate, key = Path(self._config.tls_cert), Path(self._config.tls_key)
        tls = server_context(certificate, key) if self._config.tls_cert else None
        self.address = "http{}://{}:{}".format("s" if tls else "", *self._socket.getsockname())
        self.conductor = await Conductor(self._config, self._make_engines).__aenter__()
        self.app = create_app(self._config, self.conductor)
        self._server = Server(self.app, self.conductor, tls)
        self._serving = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started:
            await asyncio.sleep(0.01)

    async def _stop(self) -> None:
        self._server.should_exit = True
        await self._serving
        self._socket.close()

    def stop(self) -> None:
        self.http.close()
        self.call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def call(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def open(self, **opening: Any) -> dict[str, Any]:
        """Open a station and answer its state."""
        response = self.http.post("/v1/stations", json={"mood": "epic", "seed": 1} | opening)
        assert response.status_code == 201, response.text
        return response.json()

    @property
    def engines(self) -> list[Any]:
        """The links to the engines that have been started."""
        return self.conductor._links

    @property
    def engine(self) -> Any:
        """The link to the one engine."""
        (engine,) = self.engines
        return engine

    def performed(self, station: dict[str, Any], generator: Generator, num_blocks: int) -> np.ndarray:
        """The station's take, performed again in this process and undisturbed up to a block: float32 [T, 2]."""
        take = read_take(self.http.get(station["links"]["take"]).text)
        performance = Performance.of(generator, 0, take)
        stream = stream_up_to(performance, num_blocks)
        performance.close()
        return stream

    def ws(self, path: str) -> str:
        return self.address.replace("http", "ws") + path


SINES = Config(port=0, engines=1, generator="tests.streaming.sines:open_sines", snapshot_s=0.5)


@pytest.fixture(scope="module")
def make_server() -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def make(config: Config, engines: Callable[[Config], Engines] = LocalEngines) -> Running:
        server = Running(config, engines)
        server.start()
        running.append(server)
        return server

    yield make
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def server(make_server: Callable[[Config], Running]) -> Running:
    return make_server(SINES)


@pytest.fixture
def complaints(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the server logs meanwhile; uvicorn's loggers do not propagate."""
    logger = logging.getLogger("uvicorn")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture(autouse=True)
def no_stations_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test finds the shared server empty."""
    yield
    if "server" in request.fixturenames:
        server: Running = request.getfixturevalue("server")
        for station in server.http.get("/v1/stations").json()["stations"]:
            server.http.delete(f"/v1/stations/{station['id']}")


@pytest.fixture(autouse=True)
def no_jobs_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test finds the server for renders without jobs and uploads, and what it has cancelled leaves nothing."""
    yield
    if "renders" in request.fixturenames:
        server: Running = request.getfixturevalue("renders")
        server.call(_forget_all(server.conductor.jobs))


async def _forget_all(jobs: Jobs) -> None:
    for job in list(jobs.all.values()):
        jobs.forget(job)
    for upload in list(jobs.uploads.values()):
        await jobs._drop(upload)
    while any((jobs.store.folder / "jobs").iterdir()):
        await asyncio.sleep(0.01)
