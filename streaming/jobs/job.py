"""A job as the server process knows it, and an upload. In: what becomes of it; out: messages, records.

Remembers all that is known of one job. Event loop only.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from streaming import messages
from streaming.jobs.asked import MEDIA_TYPES
from streaming.jobs.wire import Made
from streaming.messages import JobError, JobState, WebhookState

FINAL: frozenset[JobState] = frozenset({"done", "failed", "cancelled"})


@dataclass(slots=True)
class Upload:
    """A picture that has been received; it waits in its folder under `PICTURE`."""

    id: str
    name: str
    """As its sender calls it; for people only."""
    bytes: int
    sha256: str
    seconds: float
    wanted_s: float
    """Unix time."""

    def record(self) -> dict[str, Any]:
        return asdict(self)


PICTURE = "picture"


@dataclass(slots=True)
class Job:
    """Some of its fields are kept on disk: those of `record`. Times are Unix times."""

    id: str
    kind: Literal["render", "analysis"]
    asked: dict[str, Any]
    """The request, read and completed: whoever does it needs nothing else but the picture."""
    created_s: float = field(default_factory=time.time)
    upload: str | None = None
    title: str = "undersong"
    """Of which its files' names are made where they are saved."""
    key: str | None = None
    """The Idempotency-Key, and a sum of the request that it came with."""
    fingerprint: str | None = None
    state: JobState = "queued"
    starts: int = 0
    report: dict[str, Any] | None = None
    files: tuple[Made, ...] = ()
    error: JobError | None = None
    webhook: WebhookState | None = None
    wanted_s: float = field(default_factory=time.time)
    bytes: int = 0
    """Kept in its folder."""

    progress: float = 0.0
    stage: str = ""
    is_interrupted: bool = False
    """The server ends."""
    version: int = 0
    """Grows with whatever can be told of it."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Job:
        job = cls(**record | {"files": tuple(Made(**made) for made in record["files"])})
        if job.is_final:
            job._ended.set()
        return job

    def record(self) -> dict[str, Any]:
        """What is kept of it, as JSON values."""
        fields = (
            *("id", "kind", "asked", "created_s", "upload", "title", "key", "fingerprint", "state", "starts"),
            *("report", "error", "webhook", "wanted_s", "bytes"),
        )
        return {name: getattr(self, name) for name in fields} | {"files": [asdict(made) for made in self.files]}

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def seed(self) -> int | None:
        """That was asked for, or chosen when it was taken on."""
        return self.asked.get("seed", self.asked.get("timeline", {}).get("seed"))

    def put_away(self) -> None:
        """It will not be made again: a take, a timeline, which may be long, are kept no longer."""
        told = {"seed": self.seed, "variations": self.asked.get("variations"), "webhook": self.asked.get("webhook")}
        self.asked = {name: value for name, value in told.items() if value is not None}

    def tell(self) -> None:
        """Wake those that wait for a change."""
        self.version += 1
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        if self.is_final:
            self._ended.set()

    def interrupt(self) -> None:
        """Wake those that wait for its end, which does not come while this server runs."""
        self.is_interrupted = True
        self.tell()
        self._ended.set()

    async def change(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    async def end(self) -> None:
        """Wait until it is final."""
        await self._ended.wait()

    def message(self, prefix: str, ahead: int | None = None) -> messages.Job:
        """What GET answers; links are paths under `prefix`, which is where the asker sees this server."""
        base = f"{prefix}/v1/renders/{self.id}"
        links = messages.JobLinks(self=base, events=f"{base}/events")
        if self.kind == "render":
            links["audition"] = f"{base}/audition"
        files = [
            messages.JobFile(
                name=made.name, kind=made.kind, bytes=made.bytes, media_type=media_type_of(made.name),
                url=f"{base}/files/{quote(made.name)}",
            )
            for made in self.files
        ]  # fmt: skip
        message = messages.Job(
            id=self.id,
            kind=self.kind,
            state=self.state,
            progress=1.0 if self.state == "done" else round(self.progress, 4),
            stage=self.stage if self.state == "running" else "",
            created=datetime.fromtimestamp(self.created_s, UTC).isoformat(timespec="milliseconds"),
            report=self.report,
            files=files,
            error=self.error,
            links=links,
        )
        if ahead is not None:
            message["ahead"] = ahead
        if self.seed is not None:
            message["seed"] = self.seed
        if self.upload is not None:
            message["upload"] = self.upload
        if self.webhook is not None:
            message["webhook"] = self.webhook
        return message


def media_type_of(name: str) -> str:
    return MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
