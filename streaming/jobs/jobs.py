"""The jobs of a server: a queue, those who work it off, and what is kept of it. In: requests; out: `Job`s, files.

Remembers jobs and uploads, also over a restart where the setting `renders` names a folder: what waited, or was being
made, is made then; the same request makes the same files. Event loop only; the disk is read and written by a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

from moods.errors import shown
from streaming.config import Config
from streaming.errors import (
    BadConfig,
    KeyReused,
    NoRoomForJobs,
    ServerEnds,
    TooManyJobs,
    UnknownJob,
    UnknownJobFile,
    UnknownUpload,
)
from streaming.files.credentials import read_credentials
from streaming.files.errors import BadCredentials
from streaming.jobs.job import PICTURE, Job, Upload
from streaming.jobs.store import Shelf, Store
from streaming.jobs.uploads import Part
from streaming.jobs.webhooks import Webhooks
from streaming.jobs.wire import Done, Failed, Progress, Work, audition_path, files_folder
from streaming.jobs.worker import Worker
from streaming.journal import about
from streaming.messages import JobError, WebhookState
from streaming.metrics import Metrics
from streaming.scratch import free_bytes

log = logging.getLogger(__name__)

Result = TypeVar("Result")
_MOST_STARTS = 2
"""A job during which the server ended so often may be why it did."""
_TIDY_S = 10.0
_LOOK_S = 0.1
_MOST_PROBES = 2
_MOST_KEPT = 1000
"""Jobs that have ended and uploads, as long as their files have room: their reports are in memory."""
_SPARE_BYTES = 64 << 20
"""Of the disk, for others."""
_KINDS: tuple[Literal["render", "analysis"], ...] = ("render", "analysis")


class Jobs:
    """`start` it before use, and `stop` it."""

    def __init__(self, config: Config, metrics: Metrics) -> None:
        self.config, self._metrics = config, metrics
        self.all: dict[str, Job] = {}
        self.uploads: dict[str, Upload] = {}
        self._by_key: dict[str, Job] = {}
        self._waiting: dict[str, deque[Job]] = {kind: deque() for kind in _KINDS}
        """By kind, so that whoever waits for an analysis waits for no render."""
        self._has_come: dict[str, asyncio.Condition] = {}
        self._working: dict[str, Worker] = {}
        """By the job that is being done."""
        self._workers: list[Worker] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._removals: set[asyncio.Task[None]] = set()
        self._deliveries: set[asyncio.Task[None]] = set()
        self._webhooks = Webhooks(config)
        self.check_webhook = self._webhooks.check
        self.probing = asyncio.Semaphore(_MOST_PROBES)
        """Held by whoever has a file looked into."""
        self.planning = asyncio.Semaphore(1)
        """Held by whoever plans a timeline, which may take seconds: two would take the time from the music."""
        self._reserved_bytes = 0
        """For uploads that are being received."""
        self._is_refusing = False

    async def start(self) -> None:
        """Raises `BadConfig` where the folder cannot be had."""
        self._disk = ThreadPoolExecutor(1, "renders")
        if self.config.c2pa_certificate:
            try:
                await self._on_disk(read_credentials, Path(self.config.c2pa_certificate), Path(self.config.c2pa_key))
            except BadCredentials as error:
                raise BadConfig(f"c2pa_certificate, c2pa_key: {error}", field="c2pa_certificate") from None
        self.store = await self._on_disk(Store, self.config.renders)
        for record in await self._on_disk(lambda: list(self.store.load("uploads"))):
            upload = Upload(**record)
            self.uploads[upload.id] = upload
        loaded = [Job.of_record(record) for record in await self._on_disk(lambda: list(self.store.load("jobs")))]
        for job in sorted(loaded, key=lambda job: job.created_s):
            self._add(job)
            if not job.is_final:
                await self._begin_again(job)
            elif job.webhook is not None and job.webhook["state"] == "waiting":
                self._notify(job)
        num_workers = {"render": self.config.render_workers, "analysis": 1}
        self._has_come = {kind: asyncio.Condition() for kind in _KINDS}
        self._workers = []
        for kind in _KINDS:
            for _ in range(num_workers[kind]):
                worker = Worker(self.config, self.store)
                self._workers.append(worker)
                self._tasks.append(asyncio.create_task(self._serve(kind, worker)))
        self._tasks.append(asyncio.create_task(self._tidy_now_and_then()))

    def refuse(self) -> None:
        """Take on and begin nothing more: the server is about to end."""
        self._is_refusing = True

    async def finish(self) -> None:
        """Wait for what is being done; nothing more may be begun."""
        assert self._is_refusing
        while self._working:
            await asyncio.sleep(_LOOK_S)

    async def stop(self) -> None:
        """End the work; what is not done is done after the next start. Idempotent."""
        for task in (*self._tasks, *self._deliveries):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._deliveries, return_exceptions=True)
        self._tasks.clear()
        await asyncio.gather(*(worker.stop() for worker in self._workers))
        self._workers.clear()
        for job in self.all.values():
            if not job.is_final:
                job.interrupt()  # whoever follows it does so no longer
            if job.state == "running":
                job.state, job.starts = "queued", job.starts - 1  # it is not its fault
                with contextlib.suppress(OSError):
                    await self._save(job)
        await asyncio.gather(*self._removals, return_exceptions=True)
        if hasattr(self, "store"):
            await self._on_disk(self.store.close)
            del self.store
        if hasattr(self, "_disk"):
            await asyncio.to_thread(self._disk.shutdown)
            del self._disk

    # --- jobs --------------------------------------------------------------------------------------------------------

    def check_room_in_queue(self, kind: Literal["render", "analysis"]) -> None:
        """Raises `TooManyJobs`."""
        if len(self._waiting[kind]) >= self.config.max_renders_waiting:
            raise TooManyJobs(self.config.max_renders_waiting)

    def find_again(self, key: str | None, fingerprint: str | None) -> Job | None:
        """The job of the same request under the same Idempotency-Key. Raises `KeyReused`."""
        job = self._by_key.get(key) if key is not None else None
        if job is not None and job.fingerprint != fingerprint:
            raise KeyReused(str(key))
        return job

    async def submit(self, job: Job) -> Job:
        """Take on a job; answers the one that has its key if there is such.

        Raises `TooManyJobs`, `NoRoomForJobs`, `ServerEnds`, and `UnknownUpload` where its picture has had to make room
        since.
        """
        if self._is_refusing:
            raise ServerEnds
        if (earlier := self.find_again(job.key, job.fingerprint)) is not None:
            return earlier
        self.check_room_in_queue(job.kind)
        if job.upload is not None:
            self.upload(job.upload)
        self._add(job)  # before there is room: its upload is in use, and does not make any
        try:
            self._make_room(0)
            self._waiting[job.kind].append(job)
            await self._save(job)
        except NoRoomForJobs:
            self.forget(job)
            raise
        except OSError as error:
            self.forget(job)
            raise _no_room(error) from error
        self._measure()
        facts = about(job=job.id, kind=job.kind, upload=job.upload, waiting=len(self._waiting[job.kind]))
        log.info("job accepted", extra=facts)
        async with self._has_come[job.kind]:
            self._has_come[job.kind].notify()
        return job

    def job(self, job_id: str) -> Job:
        """Raises `UnknownJob`."""
        try:
            return self.all[job_id]
        except KeyError:
            raise UnknownJob(job_id) from None

    def num_ahead(self, job: Job) -> int | None:
        """How many come before it; None of one that does not wait."""
        waiting = self._waiting[job.kind]
        return waiting.index(job) if job in waiting else None

    def forget(self, job: Job) -> None:
        """Cancel it, and remove all that there is of it; idempotent."""
        if self.all.pop(job.id, None) is None:
            return
        if job.key is not None:
            self._by_key.pop(job.key, None)
        if job in self._waiting[job.kind]:
            self._waiting[job.kind].remove(job)
        if not job.is_final:
            job.state = "cancelled"
            log.info("job cancelled", extra=about(job=job.id, kind=job.kind))
        job.tell()
        if (worker := self._working.get(job.id)) is not None:
            worker.cancel()  # what there is of it is removed when the worker has let go
        remove = self.store.disown if worker else self.store.remove
        self._leave(self._on_disk(remove, "jobs", job.id), self._removals)
        self._measure()

    def file(self, job: Job, name: str) -> Path:
        """Where a file of a job is. Raises `UnknownJobFile`."""
        if name not in {made.name for made in job.files}:
            raise UnknownJobFile(name, [made.name for made in job.files])
        job.wanted_s = time.time()
        return files_folder(self._folder(job)) / name

    def audition(self, job: Job, variation: int) -> Path:
        return audition_path(self._folder(job), variation)

    def _folder(self, job: Job) -> Path:
        return self.store.folder_of("jobs", job.id)

    def _add(self, job: Job) -> None:
        self.all[job.id] = job
        if job.key is not None:
            self._by_key[job.key] = job

    async def _begin_again(self, job: Job) -> None:
        """After a restart: what was being made is made anew."""
        await self._on_disk(self.store.empty, "jobs", job.id)
        if job.starts >= _MOST_STARTS:
            detail = f"the server ended {job.starts} times while it was made; it is not tried again"
            await self._end(job, Failed(job.id, JobError(
                code="worker_died", title="The work was broken off", status=500, detail=detail)))  # fmt: skip
            return
        job.state = "queued"
        self._waiting[job.kind].append(job)

    # --- the work ----------------------------------------------------------------------------------------------------

    async def _serve(self, kind: str, worker: Worker) -> None:
        waiting = self._waiting[kind]
        while True:
            async with self._has_come[kind]:
                await self._has_come[kind].wait_for(lambda: bool(waiting) and not self._is_refusing)
                job = waiting.popleft()
            self._working[job.id] = worker
            try:
                await self._do(job, worker)
            except Exception:  # whatever becomes of one, others are waiting
                log.exception("a job cannot be ended", extra=about(job=job.id))
                self._fail(job)
            finally:
                del self._working[job.id]
                if self.all.get(job.id) is not job:
                    self._leave(self._on_disk(self.store.remove, "jobs", job.id), self._removals)
                self._measure()

    async def _do(self, job: Job, worker: Worker) -> None:
        began_s = time.monotonic()
        for other in self._waiting[job.kind]:
            other.tell()  # it has come nearer
        job.state, job.starts, job.stage = "running", job.starts + 1, "beginning"
        job.tell()
        self._measure()

        def on_progress(progress: Progress) -> None:
            job.stage, job.progress = progress.stage, max(job.progress, progress.share)
            job.tell()

        picture = None if job.upload is None else self.picture(job.upload)
        try:
            await self._save(job)
            if self.all.get(job.id) is not job:  # it was forgotten in this moment
                return
            work = Work(job.id, job.kind, job.asked, self._folder(job), picture)
            ended = await worker.perform(work, on_progress)
        except OSError as error:
            ended = Failed(job.id, _error_of(_no_room(error)))
        if self.all.get(job.id) is not job:
            return
        self._metrics.render_seconds.labels(job.kind).observe(time.monotonic() - began_s)
        await self._end(job, ended)

    def _fail(self, job: Job) -> None:
        """By a fault of our own, of which nothing is kept."""
        if self.all.get(job.id) is job and not job.is_final:
            job.state, job.stage, job.wanted_s = "failed", "", time.time()
            job.error = JobError(code="internal_error", title="The server failed", status=500,
                                 detail="this is a fault of the server's own")  # fmt: skip
            job.put_away()
            self._notify(job)
            job.tell()

    async def _end(self, job: Job, ended: Done | Failed) -> None:
        if isinstance(ended, Failed):
            await self._on_disk(self.store.empty, "jobs", job.id)
        num_bytes = await self._on_disk(self.store.size, "jobs", job.id)
        if self.all.get(job.id) is not job:  # it was forgotten in this moment
            return
        if isinstance(ended, Done):
            job.state, job.report, job.files = "done", ended.report, ended.files
        else:
            job.state, job.error = "failed", ended.error
        job.stage, job.wanted_s, job.bytes = "", time.time(), num_bytes
        job.put_away()
        self._notify(job)
        job.tell()
        self._metrics.renders_ended.labels(job.kind, job.state).inc()
        detail = None if job.error is None else job.error["detail"]
        log.info("job ended", extra=about(job=job.id, kind=job.kind, state=job.state, bytes=job.bytes, detail=detail))
        try:
            await self._save(job)
        except OSError as error:
            log.warning("the end of a job cannot be kept: %s", error)
        self._evict(0)

    def _notify(self, job: Job) -> None:
        webhook = job.asked.get("webhook")
        if webhook is None:
            return
        job.webhook = WebhookState(state="waiting", attempts=0)

        async def deliver() -> None:
            async for state in self._webhooks.deliver(job.id, webhook, lambda: job.message("")):
                job.webhook = state
                job.tell()
            if self.all.get(job.id) is job:
                await self._save(job)

        self._leave(deliver(), self._deliveries)

    # --- uploads and room --------------------------------------------------------------------------------------------

    def upload(self, upload_id: str) -> Upload:
        """Raises `UnknownUpload`."""
        try:
            upload = self.uploads[upload_id]
        except KeyError:
            raise UnknownUpload(upload_id) from None
        upload.wanted_s = time.time()
        return upload

    def picture(self, upload_id: str) -> Path:
        return self.store.folder_of("uploads", upload_id) / PICTURE

    async def keep(self, part: Part, seconds: float) -> Upload:
        """Take in a picture that has been received; one that is here already is kept once. Raises `NoRoomForJobs`."""
        for upload in list(self.uploads.values()):
            if upload.sha256 == part.sha256 and await self._on_disk(self.picture(upload.id).exists):
                upload.wanted_s, upload.name = time.time(), part.filename
                return upload
        upload = Upload(secrets.token_hex(8), part.filename, part.num_bytes, part.sha256, seconds, time.time())
        self.uploads[upload.id] = upload
        self.reserve(-part.take())  # from now on it counts as kept

        def move() -> None:
            self.picture(upload.id).parent.mkdir(mode=0o700)
            part.path.replace(self.picture(upload.id))
            self.store.save("uploads", upload.id, upload.record())  # last: what has a record is whole

        try:
            await self._on_disk(move)
        except OSError as error:
            await self._drop(upload)
            raise _no_room(error) from error
        return upload

    def reserve(self, num_bytes: int) -> None:
        """Make room for an upload; give it back with a negative number. Raises `NoRoomForJobs`."""
        if num_bytes > 0:
            self._make_room(num_bytes)
        self._reserved_bytes += num_bytes

    @property
    def kept_bytes(self) -> int:
        kept: list[Job | Upload] = [*self.all.values(), *self.uploads.values()]
        return sum(each.bytes for each in kept) + self._reserved_bytes

    def _make_room(self, num_bytes: int) -> None:
        """Raises `NoRoomForJobs`."""
        self._evict(num_bytes)
        limit_bytes = self.config.max_renders_mb * 1_000_000
        if self.kept_bytes + num_bytes > limit_bytes:
            raise NoRoomForJobs(
                f"{self.kept_bytes / 1e6:.0f} MB are kept and {num_bytes / 1e6:.0f} MB more are needed; allowed are "
                f"{limit_bytes / 1e6:.0f} MB (max_renders_mb): delete a render, or try later"
            )
        if (free := free_bytes(self.store.folder)) < num_bytes + _SPARE_BYTES:
            raise NoRoomForJobs(f"the disk has {free / 1e6:.0f} MB left; delete a render, or try later")

    def _evict(self, num_bytes: int) -> None:
        """Let go of what was wanted longest ago until `num_bytes` more may be kept, and not too many are."""
        over = self.kept_bytes + num_bytes - self.config.max_renders_mb * 1_000_000
        used = self._uploads_in_use()
        idle: list[Job | Upload] = [job for job in self.all.values() if job.is_final]
        idle += [upload for upload in self.uploads.values() if upload.id not in used]
        for number, each in enumerate(sorted(idle, key=lambda each: each.wanted_s)):
            if over <= 0 and len(idle) - number <= _MOST_KEPT:
                return
            over -= each.bytes
            self._let_go(each)

    def _uploads_in_use(self) -> set[str | None]:
        return {job.upload for job in self.all.values() if not job.is_final}

    def _let_go(self, kept: Job | Upload) -> None:
        log.info("no longer kept", extra=about(id=kept.id, bytes=kept.bytes))
        if isinstance(kept, Job):
            self.forget(kept)
        else:
            self._leave(self._drop(kept), self._removals)

    def _drop(self, upload: Upload) -> Coroutine[Any, Any, None]:
        """Forget it at once; await what this gives for its removal."""
        self.uploads.pop(upload.id, None)
        return self._on_disk(self.store.remove, "uploads", upload.id)

    async def _tidy_now_and_then(self) -> None:
        while True:
            since_s, used = time.time() - self.config.keep_renders_s, self._uploads_in_use()
            for job in [job for job in self.all.values() if job.is_final and job.wanted_s < since_s]:
                self._let_go(job)
            for upload in [each for each in self.uploads.values() if each.wanted_s < since_s and each.id not in used]:
                self._let_go(upload)
            self._measure()
            await asyncio.sleep(_TIDY_S)

    # --- the disk ----------------------------------------------------------------------------------------------------

    async def _on_disk(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._disk, lambda: function(*arguments))

    async def _save(self, job: Job) -> None:
        """Raises OSError."""
        shelf: Shelf = "jobs"
        await self._on_disk(self.store.save, shelf, job.id, job.record())

    def _leave(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[None]]) -> None:
        """Have something done that nobody waits for but `stop`."""
        task = asyncio.get_running_loop().create_task(work)
        tasks.add(task)

        def on_done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("housekeeping failed", exc_info=error)

        task.add_done_callback(on_done)

    def _measure(self) -> None:
        for kind in _KINDS:
            self._metrics.renders_waiting.labels(kind).set(len(self._waiting[kind]))
        self._metrics.renders_running.set(len(self._working))
        self._metrics.renders_kept_bytes.set(self.kept_bytes)


def _no_room(error: OSError) -> NoRoomForJobs:
    why = error.strerror or str(error)
    way_out = "delete a render, or try later" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "look at its folder"
    return NoRoomForJobs(f"it cannot be kept: {shown(why)}; {way_out}")


def _error_of(error: NoRoomForJobs) -> JobError:
    return JobError(code=error.code, title=error.title, status=error.status, detail=error.detail)
