"""What the server process and a worker say to each other. Pickled between our own processes; remembers nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from streaming.messages import FileKind, JobError

# --- server process to worker ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Work:
    """Do this job. `folder` is its own: files go to `files_folder` of it."""

    job: str
    kind: Literal["render", "analysis"]
    asked: dict[str, Any]
    """The request, as it was read."""
    folder: Path
    picture: Path | None


@dataclass(frozen=True, slots=True)
class Cancel:
    job: str


# --- worker to server process ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    job: str
    stage: str
    share: float
    """Of the whole job, 0 … 1."""


@dataclass(frozen=True, slots=True)
class Made:
    """A file by its name in the job's folder."""

    name: str
    kind: FileKind
    bytes: int


@dataclass(frozen=True, slots=True)
class Done:
    job: str
    report: dict[str, Any]
    files: tuple[Made, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """It cannot be done. `error` says why; None where it was cancelled."""

    job: str
    error: JobError | None


Report = Progress | Done | Failed


def files_folder(job_folder: Path) -> Path:
    """Where a job's files are."""
    return job_folder / "files"


def audition_path(job_folder: Path, variation: int) -> Path:
    """Where the music of a variation, from 1 on, is written while it is composed."""
    return job_folder / f"audition-{variation}.wav"
