"""The worker process from its beginning to its end. In: a socket, `Work` and `Cancel`; out: `Report`s.

Started by `streaming.jobs.worker` by way of `undersong_launch`; it ends when the server process does. One job at a
time, on the main thread; another thread reads the pipe, so that a job can be cancelled while it runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import threading
import time
from pathlib import Path

from engine.errors import EngineError
from moods.errors import MoodsError
from streaming.children import end_with_parent
from streaming.config import Config
from streaming.engines.wire import Pipe
from streaming.errors import StreamingError
from streaming.files.errors import Cancelled, CannotKeep, CannotWrite, NoRoom
from streaming.jobs.wire import Cancel, Done, Failed, Progress, Report, Work
from streaming.jobs.work import analyse, render
from streaming.journal import open_journal
from streaming.messages import JobError
from streaming.pacing import let_others_first

log = logging.getLogger(__name__)

_NICENESS = 10
_TELL_S = 0.2
"""Progress is told no oftener."""


class _Jobs:
    """The jobs that were sent and those that were cancelled, as a thread of its own reads them."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                _, request = self._pipe.receive()
                if isinstance(request, Cancel):
                    self._cancelled.add(request.job)
                else:
                    self._queue.put(request)
        self._queue.put(None)

    def next(self) -> Work | None:
        """Wait for the next one; None where there will be none."""
        return self._queue.get()

    def is_cancelled(self, job: str) -> bool:
        return job in self._cancelled

    def forget(self, job: str) -> None:
        self._cancelled.discard(job)


def perform(work: Work, config: Config, pipe: Pipe, jobs: _Jobs) -> Report:
    """Do a job, telling how far it is. Raises nothing that a job can be the cause of."""
    told_s, told_stage = 0.0, ""

    def on_progress(stage: str, share: float) -> None:
        nonlocal told_s, told_stage
        now_s = time.monotonic()
        if stage != told_stage or now_s - told_s >= _TELL_S:
            told_s, told_stage = now_s, stage
            try:
                pipe.send(Progress(work.job, stage, min(1.0, max(0.0, share))))
            except OSError:  # the server process has gone
                raise Cancelled() from None

    try:
        do = render if work.kind == "render" else analyse
        report, files = do(work, config, on_progress, lambda: jobs.is_cancelled(work.job))
        return Done(work.job, report, files)
    except Cancelled:
        return Failed(work.job, None)
    except (CannotWrite, CannotKeep, NoRoom) as error:  # their text is for whoever has the disk
        log.error("a job cannot be kept: %s", error)
        detail = "the server's disk does not take its files; delete a render, or try later"
        return Failed(work.job, JobError(code=error.code, title=error.title, status=error.status, detail=detail))
    except StreamingError as error:
        return Failed(work.job, JobError(code=error.code, title=error.title, status=error.status, detail=error.detail))
    except (MoodsError, EngineError) as error:
        title = "The music cannot be made as asked"
        code = error.code if isinstance(error, MoodsError) else "engine_error"
        return Failed(work.job, JobError(code=code, title=title, status=422, detail=str(error)))
    except Exception:
        log.exception("a job failed")
        title, detail = "The server failed", "this is a fault of the server's own"
        return Failed(work.job, JobError(code="internal_error", title=title, status=500, detail=detail))


def main(descriptor: str) -> int:
    """Run a worker over the inherited socket `descriptor`.

    The first message holds config, folders to remove when the server process is gone, and its id.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server process ends us in its own time
    let_others_first()
    os.setpriority(os.PRIO_PROCESS, 0, _NICENESS)  # live music goes first; what we inherit is the server's own
    pipe = Pipe(int(descriptor))
    config: Config
    folders: tuple[Path, ...]
    _, (config, folders, parent) = pipe.receive()
    open_journal(config.log_level, config.log_json)
    threading.Thread(target=end_with_parent, args=(parent, *folders), daemon=True).start()
    jobs = _Jobs(pipe)
    while (work := jobs.next()) is not None:
        report = perform(work, config, pipe, jobs)
        jobs.forget(work.job)
        with contextlib.suppress(OSError):
            pipe.send(report)
    return 0
