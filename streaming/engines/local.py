"""The engine process as the front sees it: start it, send requests, hear reports, end it.

In: requests from the event loop; out: `on_report` and `on_exit` called on the event loop. Remembers the child process.
A thread writes and a thread reads the pipe, so that the event loop never waits for the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.config import SPARE_CODE_FOLDER
from streaming.config import Config
from streaming.engines.ring import RING_BYTES
from streaming.scratch import SHARED_MEMORY, roomy_folder, temporary_folder
from undersong_launch import child_command, child_environment

_GOODBYE_S = 2.0


class _Child:
    """A process that has been started and told its settings."""

    def __init__(self, config: Config, runtime_folder: Path) -> None:
        self.config, self.runtime_folder = config, runtime_folder
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                child_command("streaming.worker:main", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                env=child_environment() | {SPARE_CODE_FOLDER: str(runtime_folder / "code")},
                process_group=0,  # Ctrl-C is for the front, which ends it in its own time
            )
        self.pipe = Connection(os.dup(self.socket.fileno()))
        self.pipe.send((config, runtime_folder, os.getpid()))


_ahead: _Child | None = None


def start_ahead(config: Config) -> None:
    """Start the first engine before there is a loop: it loads while the front imports its web server."""
    global _ahead
    _ahead = _Child(config, make_runtime_folder(config))


def abandon_ahead() -> None:
    """End the engine that was started ahead if no conductor has taken it, and leave nothing of it."""
    global _ahead
    if _ahead is None:
        return
    child, _ahead = _ahead, None
    child.process.kill()
    child.process.wait()
    child.pipe.close()
    child.socket.close()
    shutil.rmtree(child.runtime_folder, ignore_errors=True)


def make_runtime_folder(config: Config) -> Path:
    """Where rings and snapshots lie: a new folder, or that of the engine that was started ahead.

    Raises `OSError` where there is none.
    """
    if _ahead is not None and _ahead.config is config:
        return _ahead.runtime_folder
    place = roomy_folder(config.max_stations * RING_BYTES, SHARED_MEMORY, temporary_folder())
    return Path(tempfile.mkdtemp(prefix="undersong-", dir=place))


def _take_child(config: Config, runtime_folder: Path) -> _Child:
    global _ahead
    if _ahead is not None and _ahead.runtime_folder == runtime_folder:
        child, _ahead = _ahead, None
        return child
    return _Child(config, runtime_folder)


class EngineProcess:
    """One run of `streaming.worker`. Make it on the event loop."""

    def __init__(
        self,
        config: Config,
        runtime_folder: Path,
        on_report: Callable[[EngineProcess, Any], None],
        on_exit: Callable[[EngineProcess], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_report, self._on_exit = on_report, on_exit
        child = _take_child(config, runtime_folder)
        self._socket, self._process, self._pipe = child.socket, child.process, child.pipe
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: Any) -> None:
        """Queue a request; requests arrive in order."""
        self._requests.put(request)

    def kill(self) -> None:
        """End it at once; `on_exit` follows."""
        self._process.kill()

    def stop(self) -> None:
        """End it in good order; waits, so not for the event loop's thread. `on_exit` is not called any more."""
        self._on_exit = lambda engine: None
        self._requests.put(None)
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
            while (request := self._requests.get()) is not None:
                self._pipe.send(request)

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                self._call(self._on_report, self._pipe.recv())
        self._process.wait()
        self._call(lambda engine: self._on_exit(engine))

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(function, self, *arguments)
