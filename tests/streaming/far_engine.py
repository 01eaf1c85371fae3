"""An engine as if on another machine: all that it shares with the server process is a TCP connection.

`FarEngine` is the server's side. `python -m tests.streaming.far_engine PORT` is the other: its clock is another one,
its rings lie in a folder that the server never learns of. Requests, reports and blocks cross as length-prefixed bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from streaming.config import Config
from streaming.engines.link import Link, Owner
from streaming.engines.ring import NUM_BLOCKS, Chunk, Ring
from streaming.engines.wire import Close, Open, Request, Slept
from streaming.scratch import ring_path

CLOCK_OFFSET_S = 86_400.0 + 0.0137
"""By how much the far clock is ahead: no whole number of ticks."""
_LENGTH = struct.Struct("<I")


class FarEngines:
    """Leads to engines that have nothing in common."""

    def __init__(self, config: Config) -> None: ...

    def link(self, name: str, owner: Owner) -> Link:
        return FarEngine(name, owner)

    def close(self) -> None: ...


class FarEngine(Link):
    """The server's side: starts the far engine, as nobody else does it for a test, and speaks with it."""

    keeps_through_death = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.process: subprocess.Popen[bytes] | None = None
        self._talk: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._blocks: dict[str, dict[int, Chunk]] = {}

    def _begin(self) -> None:
        self._talk = asyncio.create_task(self._talk_to_it())

    async def _talk_to_it(self) -> None:
        arrived: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        server = await asyncio.start_server(lambda *streams: arrived.put_nowait(streams), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.process = subprocess.Popen([sys.executable, "-m", "tests.streaming.far_engine", str(port)])
        reader, self._writer = await arrived.get()
        server.close()
        self._write(self._config)
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                self._take(pickle.loads(await reader.readexactly(length)))
        self._on_end()

    def _take(self, message: Any) -> None:
        if isinstance(message, tuple):
            station_id, chunk = message
            if station_id in self._blocks:
                blocks, number = self._blocks[station_id], chunk.frame // len(chunk.pcm)
                blocks[number] = chunk
                blocks.pop(number - NUM_BLOCKS, None)
        else:
            self._hear(message, time.monotonic())  # sent when it arrived: nobody here can tell better

    def _write(self, message: Any) -> None:
        if self._writer is not None:
            encoded = pickle.dumps(message)
            self._writer.write(_LENGTH.pack(len(encoded)) + encoded)

    def _transmit(self, request: Request, sent_s: float) -> None:
        self._write(request)

    def _kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    async def _end(self) -> None:
        talk, self._talk = self._talk, None
        if talk is not None and talk is not asyncio.current_task():
            talk.cancel()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self.process is not None:
            await asyncio.to_thread(self.process.wait)

    def _make_room(self, station_id: str) -> None:
        self._blocks[station_id] = {}

    def _free_room(self, station_id: str) -> None:
        del self._blocks[station_id]

    def has_kept(self, station_id: str) -> bool:
        return False

    def forget(self, station_id: str) -> None: ...

    def read(self, station_id: str, block: int) -> Chunk | None:
        return self._blocks[station_id].get(block)


class FarPipe:
    """The other side's end of the connection, in place of a pipe: rings are read here, and their blocks sent on."""

    def __init__(self, connection: socket.socket, folder: Path) -> None:
        self._socket, self._folder = connection, folder
        self._lock = threading.Lock()
        self._rings: dict[str, tuple[Ring, int]] = {}
        """Each with the number of the block that is to be sent next."""

    def send(self, message: Any, sent_s: float | None = None) -> None:
        encoded = pickle.dumps(message)
        with self._lock:
            self._socket.sendall(_LENGTH.pack(len(encoded)) + encoded)
            if isinstance(message, Slept):
                self._remove_ring(message.station)

    def _remove_ring(self, station: str) -> None:
        if self._rings.pop(station, None) is not None:
            ring_path(self._folder, station).unlink()

    def receive(self) -> tuple[float, Any]:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        request = pickle.loads(self._read(length))
        with self._lock:
            if isinstance(request, Open):
                ring = Ring(ring_path(self._folder, request.station), create=True)
                num_over = 0 if request.resume is None else -int(request.resume.due_in_s / 0.02)
                self._rings[request.station] = ring, max(0, num_over - 10)
            elif isinstance(request, Close):
                self._remove_ring(request.station)
        return time.monotonic(), request

    def _read(self, length: int) -> bytes:
        received = b""
        while len(received) < length:
            if not (piece := self._socket.recv(length - len(received))):
                raise EOFError
            received += piece
        return received

    def relay(self) -> None:
        while True:
            time.sleep(0.002)
            with self._lock:
                rings = dict(self._rings)
            for station, (ring, block) in rings.items():
                newest = int(ring._sequences.max()) - 1  # after a gap
                number = block if newest - block < 20 else newest
                if (chunk := ring.read(number)) is not None:
                    self.send((station, chunk))
                    with self._lock:
                        if station in self._rings:
                            self._rings[station] = ring, number + 1

    def poll(self, timeout_s: float = 0.0) -> bool:
        return bool(select.select([self._socket], [], [], timeout_s)[0])

    def fileno(self) -> int:
        return self._socket.fileno()


def main(port: int) -> None:
    ours = time.monotonic
    time.monotonic = lambda: ours() + CLOCK_OFFSET_S
    from streaming.engines.worker import Worker
    from tests.streaming.sines import Sines

    with socket.create_connection(("127.0.0.1", port)) as connection, tempfile.TemporaryDirectory() as folder:
        pipe = FarPipe(connection, Path(folder))
        _, config = pipe.receive()
        assert isinstance(config, Config)
        threading.Thread(target=pipe.relay, daemon=True).start()
        Worker(Sines(config.max_playing), config, pipe, Path(folder), Path(folder)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
