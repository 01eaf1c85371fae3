"""What tests of jobs have in common: asking for one, waiting for its end, hearing what it made."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
from pydantic import TypeAdapter

from streaming import messages
from tests.streaming.conftest import Running

JOB = TypeAdapter(messages.Job)
SHELVES = {"jobs", "uploads", "incoming"}


def kept(server: Running) -> list[str]:
    """What jobs and uploads have on the disk."""
    folder = server.conductor.jobs.store.folder
    return [str(path) for path in sorted(folder.rglob("*")) if path.parent != folder or path.name not in SHELVES]


def submit(server: Running, **request: Any) -> dict[str, Any]:
    response = server.http.post("/v1/renders", json=request)
    assert response.status_code == 202, response.text
    return response.json()


def ended(server: Running, job: dict[str, Any]) -> dict[str, Any]:
    """The job when it has ended."""
    told = list(events(server, job))
    assert told[-1]["state"] in ("done", "failed", "cancelled")
    return JOB.validate_python(told[-1])


def events(server: Running, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The job whenever it has changed."""
    with server.http.stream("GET", job["links"]["events"]) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def music_of(server: Running, job: dict[str, Any], number: int = 0) -> np.ndarray:
    """The samples of a file of the job: float32 [T, 2]."""
    content = server.http.get(job["files"][number]["url"]).content
    return soundfile.read(io.BytesIO(content), dtype="float32")[0]
