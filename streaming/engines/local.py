"""An engine on this machine: a process of ours, a pipe to it, and a ring of blocks for each of its stations.

In: requests; out: reports, blocks. Remembers the process and the rings. Event loop only; a thread writes and a thread
reads the pipe, so that the event loop never waits for the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.config import SPARE_CODE_FOLDER
from streaming.config import Config
from streaming.engines.link import Link, Owner
from streaming.engines.ring import RING_BYTES, Chunk, Ring
from streaming.engines.wire import Pipe, Ready, Report, Request
from streaming.errors import EngineUnavailable
from streaming.scratch import (
    SHARED_MEMORY,
    remove_kept,
    ring_path,
    roomy_folder,
    sleeper_path,
    snapshot_path,
    temporary_folder,
)
from undersong_launch import child_command, child_environment

_GOODBYE_S = 2.0
_SNAPSHOT_BYTES = 2_800_000
"""About what is kept of a station, for its engine's death or while it sleeps."""


class _Child:
    """A process that has been started and told its settings. Raises OSError where none can be had."""

    def __init__(self, config: Config, runtime_folder: Path, sleepers_folder: Path) -> None:
        self.config, self.runtime_folder, self.sleepers_folder = config, runtime_folder, sleepers_folder
        self.socket, theirs = socket.socketpair()
        with contextlib.ExitStack() as on_failure, theirs:
            on_failure.enter_context(self.socket)
            self.pipe = on_failure.enter_context(contextlib.closing(Pipe(os.dup(self.socket.fileno()))))
            self.process = subprocess.Popen(
                child_command("streaming.engines.process:main", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                env=child_environment() | {SPARE_CODE_FOLDER: str(runtime_folder / "code")},
                process_group=0,  # Ctrl-C is for the server process, which ends it in its own time
            )
            on_failure.pop_all()
        with contextlib.suppress(OSError):  # that it has ended already is noticed by whoever reads
            self.pipe.send((config, runtime_folder, sleepers_folder, os.getpid()))


_ahead: _Child | None = None


def start_ahead(config: Config) -> None:
    """Start the first engine before there is a loop: it loads while the server process imports its web server."""
    global _ahead
    _ahead = _Child(config, _make_runtime_folder(config), _make_sleepers_folder(config))


def abandon_ahead() -> None:
    """End the engine that was started ahead if no link has taken it, and leave nothing of it."""
    global _ahead
    if _ahead is None:
        return
    child, _ahead = _ahead, None
    child.process.kill()
    child.process.wait()
    child.pipe.close()
    child.socket.close()
    for folder in (child.runtime_folder, child.sleepers_folder):
        shutil.rmtree(folder, ignore_errors=True)


def _take_ahead(config: Config) -> _Child | None:
    global _ahead
    if _ahead is None or _ahead.config is not config:
        return None
    child, _ahead = _ahead, None
    return child


def _make_runtime_folder(config: Config) -> Path:
    """A new folder for rings and snapshots. Raises `OSError` where there is none."""
    # Each station has a ring and what is kept of it; what is kept anew stands beside the old one for a moment.
    num_bytes = config.max_playing * (RING_BYTES + _SNAPSHOT_BYTES) + _SNAPSHOT_BYTES
    return _make_folder(roomy_folder(num_bytes, SHARED_MEMORY, temporary_folder()))


def _make_sleepers_folder(config: Config) -> Path:
    """A new folder for stations that sleep, on a disk if there is room. Raises `OSError` where there is none."""
    return _make_folder(roomy_folder(config.max_stations * _SNAPSHOT_BYTES, temporary_folder(), SHARED_MEMORY))


def _make_folder(place: Path) -> Path:
    """A new folder that tells whose it is."""
    return Path(tempfile.mkdtemp(prefix=f"undersong-{os.getpid()}-", dir=place))


class LocalEngines:
    """Leads to engines of this machine: a station that one of them has put to sleep any of them can wake.

    Raises `OSError` where no folder can be made for those that sleep.
    """

    def __init__(self, config: Config) -> None:
        self._ahead = _take_ahead(config)
        ahead = self._ahead
        self._sleepers_folder = _make_sleepers_folder(config) if ahead is None else ahead.sleepers_folder
        # Whoever cleans up temporary files that nobody has touched for long leaves alone what is locked.
        self._lock = contextlib.ExitStack()
        folder = os.open(self._sleepers_folder, os.O_RDONLY | os.O_DIRECTORY)
        self._lock.callback(os.close, folder)
        fcntl.flock(folder, fcntl.LOCK_SH)

    def link(self, name: str, owner: Owner) -> LocalEngine:
        """Raises `OSError` where no folder can be made for its rings."""
        ahead, self._ahead = self._ahead, None
        return LocalEngine(name, owner, self._sleepers_folder, ahead)

    def close(self) -> None:
        shutil.rmtree(self._sleepers_folder, ignore_errors=True)
        self._lock.close()


class LocalEngine(Link):
    """An engine process, its pipe and its stations' rings."""

    def __init__(self, name: str, owner: Owner, sleepers_folder: Path, ahead: _Child | None) -> None:
        """`ahead` is the process if it has been started. Raises `OSError` where no folder can be made for the rings."""
        super().__init__(name, owner)
        self._folder = _make_runtime_folder(self._config) if ahead is None else ahead.runtime_folder
        self._sleepers_folder, self._ahead = sleepers_folder, ahead
        self._process: _Process | None = None
        self._rings: dict[str, Ring] = {}

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    async def stop(self) -> None:
        await super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def read(self, station_id: str, block: int) -> Chunk | None:
        return self._rings[station_id].read(block)

    def _begin(self) -> None:
        child, self._ahead = self._ahead or self._start_child(), None
        self._process = _Process(child, self._on_report, self._on_exit)

    def _start_child(self) -> _Child:
        return _Child(self._config, self._folder, self._sleepers_folder)

    def _on_report(self, process: _Process, report: Report, sent_s: float) -> None:
        if process is self._process:
            self._hear(report, sent_s)

    def _on_exit(self, process: _Process) -> None:
        if process is self._process:
            self._on_end()

    def _transmit(self, request: Request, sent_s: float) -> None:
        if self._process is not None:
            self._process.send(request, sent_s)

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.stop)

    def _make_room(self, station_id: str) -> None:
        try:
            self._rings[station_id] = Ring(ring_path(self._folder, station_id), create=True)
        except OSError as error:
            raise EngineUnavailable(f"no room for another station in {self._folder}: {error.strerror}") from error

    def _free_room(self, station_id: str) -> None:
        self._rings.pop(station_id).close()
        ring_path(self._folder, station_id).unlink(missing_ok=True)
        kept_path = snapshot_path(self._folder, station_id)
        kept_path.unlink(missing_ok=True)
        if not self.is_ready:  # an engine that is there does it itself when it has done writing
            remove_kept(kept_path)

    def has_kept(self, station_id: str) -> bool:
        return sleeper_path(self._sleepers_folder, station_id).exists()

    def forget(self, station_id: str) -> None:
        remove_kept(sleeper_path(self._sleepers_folder, station_id))


class _Process:
    """One run of the engine process. Made on the event loop, where `on_report` and `on_exit` are called."""

    def __init__(
        self,
        child: _Child,
        on_report: Callable[[_Process, Report, float], None],
        on_exit: Callable[[_Process], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_report, self._on_exit = on_report, on_exit
        self._socket, self._process, self._pipe = child.socket, child.process, child.pipe
        self._is_working = False
        self._requests: queue.SimpleQueue[tuple[Request, float] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: Request, sent_s: float) -> None:
        """Queue a request; requests arrive in order."""
        self._requests.put((request, sent_s))

    def kill(self) -> None:
        """End it at once; `on_exit` follows."""
        self._process.kill()

    def stop(self) -> None:
        """End it in good order, or at once if it has not begun to work; waits, so not for the event loop's thread."""
        self._requests.put(None)
        if not self._is_working:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(_GOODBYE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for thread in self._threads:
            thread.join()
        self._pipe.close()
        self._socket.close()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (queued := self._requests.get()) is not None:
                self._pipe.send(*queued)

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                sent_s, report = self._pipe.receive()
                self._is_working = self._is_working or isinstance(report, Ready)
                self._call(self._on_report, report, sent_s)
        self._process.wait()
        self._call(self._on_exit)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(function, self, *arguments)
