"""A child process of the server and the pipe to it. In: messages; out: messages, and that it has ended.

Remembers one run of the process. Made and called on the event loop; a thread writes and a thread reads the pipe, so
that the event loop never waits for the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from streaming.engines.wire import Pipe
from undersong_launch import child_command, child_environment


class Child:
    """A process that has been started. Raises OSError where none can be had."""

    def __init__(self, function: str, environment: dict[str, str], first_message: object) -> None:
        """`function`, "module:name", is called there with the number of an inherited socket, on which it is told
        `first_message`."""
        self.socket, theirs = socket.socketpair()
        with contextlib.ExitStack() as on_failure, theirs:
            on_failure.enter_context(self.socket)
            self.pipe = on_failure.enter_context(contextlib.closing(Pipe(os.dup(self.socket.fileno()))))
            self.process = subprocess.Popen(
                child_command(function, str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                env=child_environment() | environment,
                process_group=0,  # Ctrl-C is for the server process, which ends it in its own time
            )
            on_failure.pop_all()
        with contextlib.suppress(OSError):  # that it has ended already is noticed by whoever reads
            self.pipe.send(first_message)

    def abandon(self) -> None:
        """End it at once, and wait until it has ended."""
        self.process.kill()
        self.process.wait()
        self.pipe.close()
        self.socket.close()


class ChildProcess:
    """One run of a child. Made on the event loop, where `on_report` and `on_exit` are called."""

    def __init__(
        self,
        child: Child,
        on_report: Callable[[ChildProcess, Any, float], None],
        on_exit: Callable[[ChildProcess], None],
    ) -> None:
        """`on_report` is told the message and when it was sent."""
        self._loop = asyncio.get_running_loop()
        self._on_report, self._on_exit = on_report, on_exit
        self._socket, self._process, self._pipe = child.socket, child.process, child.pipe
        self._requests: queue.SimpleQueue[tuple[Any, float] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """As `subprocess` tells it; None while it runs."""
        return self._process.returncode

    def send(self, request: object, sent_s: float) -> None:
        """Queue a request; requests arrive in order."""
        self._requests.put((request, sent_s))

    def kill(self) -> None:
        """End it at once; `on_exit` follows."""
        self._process.kill()

    def stop(self, patience_s: float) -> None:
        """End it in good order, or at once where there is no patience; waits, so not for the event loop's thread."""
        self._requests.put(None)
        if not patience_s:
            self._process.kill()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(patience_s or None)
        except subprocess.TimeoutExpired:
            self._process.kill()
        for thread in self._threads:
            thread.join()
        self._close()

    def close(self) -> None:
        """After `on_exit`, where nobody stops it: leave nothing open."""
        self._requests.put(None)
        self._threads[0].join()
        self._close()

    def _close(self) -> None:
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
                self._call(self._on_report, report, sent_s)
        self._process.wait()
        self._call(self._on_exit)

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(function, self, *arguments)


def end_with_parent(parent: int, *folders: Path, patience_s: float = 0.0) -> None:
    """In the child, on a thread of its own: end when the server process has, whatever this one is doing.

    The server process may be killed while this one is deep in a compiler: then nobody reads the pipe. Whoever reads it
    and has something left to do has `patience_s` for it.
    """
    while os.getppid() == parent:
        time.sleep(0.5)
    time.sleep(patience_s)
    remove_folders(*folders)
    os._exit(0)


def remove_folders(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
