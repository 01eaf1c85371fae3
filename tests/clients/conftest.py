"""A real server for the clients, a wire to it that can be cut, and a sink that keeps what it is given."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from tests.streaming.conftest import make_server as make_server
from tests.streaming.conftest import no_stations_left as no_stations_left
from tests.streaming.conftest import server as server
from undersong_client.sinks import Paced


class Tape(Paced):
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[np.ndarray] = []

    def take(self, pcm: np.ndarray) -> None:
        self.blocks.append(pcm)

    @property
    def pcm(self) -> np.ndarray:
        """float32 [T, 2]"""
        return np.concatenate(self.blocks)


class Wire:
    """A TCP port that leads to another, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to_port, self._is_cut = port, False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread.start()
        self._server = self._call(self._open())
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _open(self) -> asyncio.Server:
        return await asyncio.start_server(self._carry, "127.0.0.1", 0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers |= {writer, far_writer}
        both = asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        with contextlib.suppress(OSError):
            await both

    async def _cut(self, is_cut: bool) -> None:
        self._is_cut = is_cut
        if is_cut:
            for writer in self._writers:
                writer.transport.abort()
            self._writers.clear()

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self._call(self._cut(True))

    def mend(self) -> None:
        self._call(self._cut(False))

    async def _close(self) -> None:
        await self._cut(True)
        self._server.close()
        await asyncio.sleep(0.05)

    def close(self) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65_536):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


@pytest.fixture
def wire(server) -> Iterator[Wire]:
    wire = Wire(int(server.address.rpartition(":")[2]))
    yield wire
    wire.close()
