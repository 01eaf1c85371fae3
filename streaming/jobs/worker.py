"""A worker process as the server process knows it. In: `Work`; out: how it ended. Remembers the process and its job.

Started for its first job and kept; one that has died is started again for the next. Event loop only.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable

from streaming.children import Child, ChildProcess
from streaming.config import Config
from streaming.jobs.store import Store
from streaming.jobs.wire import Cancel, Done, Failed, Progress, Report, Work
from streaming.journal import about
from streaming.messages import JobError

log = logging.getLogger(__name__)

_PATIENCE_S = 3.0
"""How long a job that is cancelled may take to notice."""
_SILENCE_S = 900.0
"""A worker that has told no progress for so long is taken for dead."""


class Worker:
    """Does one job at a time."""

    def __init__(self, config: Config, store: Store) -> None:
        self._config, self._store = config, store
        self._process: ChildProcess | None = None
        self._ended: asyncio.Future[Done | Failed] | None = None
        self._job, self._is_cancelled = "", False
        self._on_progress: Callable[[Progress], None]
        self._heard_s = 0.0

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._process is None else self._process.pid

    async def perform(self, work: Work, on_progress: Callable[[Progress], None]) -> Done | Failed:
        """Do a job. That the process died is a failure like others."""
        assert self._ended is None, "one job at a time"
        self._ended = asyncio.get_running_loop().create_future()
        self._job, self._is_cancelled = work.job, False
        self._on_progress, self._heard_s = on_progress, time.monotonic()
        try:
            if self._process is None:
                self._process = ChildProcess(await asyncio.to_thread(self._start), self._on_report, self._on_exit)
            if self._is_cancelled:  # while the process was started
                return Failed(work.job, None)
            self._process.send(work, time.monotonic())
            while not (await asyncio.wait([self._ended], timeout=_SILENCE_S / 10))[0]:
                if time.monotonic() - self._heard_s > _SILENCE_S:
                    self._kill()
            return self._ended.result()
        except OSError as error:
            return Failed(work.job, _death(f"no process for it can be started: {error.strerror}"))
        finally:
            self._ended = None

    def cancel(self) -> None:
        """Have the job end; `perform` answers soon, for it is not waited for long."""
        self._is_cancelled = True
        if self._process is not None and self._ended is not None:
            self._process.send(Cancel(self._job), time.monotonic())
            asyncio.get_running_loop().call_later(_PATIENCE_S, self._kill_if_at, self._ended)

    async def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(process.stop, 0.0)

    def _start(self) -> Child:
        folders = (self._store.folder,) if self._store.is_temporary else ()
        return Child("streaming.jobs.process:main", {}, (self._config, folders, os.getpid()))

    def _kill_if_at(self, job: asyncio.Future[Done | Failed]) -> None:
        if job is self._ended and not job.done():
            self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _on_report(self, process: ChildProcess, report: Report, sent_s: float) -> None:
        self._heard_s = time.monotonic()
        if self._ended is None or self._ended.done() or report.job != self._job:
            return
        if isinstance(report, Progress):
            self._on_progress(report)
        else:
            self._ended.set_result(report)

    def _on_exit(self, process: ChildProcess) -> None:
        if process is not self._process:
            return
        self._process = None
        status = process.exit_status or 0
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        log.warning("a worker process ended", extra=about(how=how, job=self._job))
        process.close()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(Failed(self._job, _death(f"the process that made it {how}; ask again")))


def _death(detail: str) -> JobError:
    return JobError(code="worker_died", title="The work was broken off", status=500, detail=detail)
