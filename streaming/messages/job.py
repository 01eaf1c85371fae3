"""Jobs and plans of timelines."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from moods.intent import SECTIONS
from streaming.messages.kinds import OneOf, Unit, exact


@exact
class PlannedSection(TypedDict):
    """A section of the form."""

    at: Annotated[float, Field(ge=0)]
    name: Annotated[str, OneOf(SECTIONS)]


@exact
class Anchor(TypedDict):
    """A place of the timeline that a beat should fall on."""

    at: Annotated[float, Field(ge=0)]
    kind: Literal["hit", "cut", "section", "end"]
    error_ms: float
    """How much later the nearest beat begins; below 0, earlier."""


@exact
class TempoRange(TypedDict):
    """The trade-off made, beats a minute."""

    asked: float
    lowest: float
    highest: float


@exact
class Plan(TypedDict):
    """What is made of a timeline; places are seconds."""

    duration: float
    beats: list[float]
    bars: list[float]
    sections: list[PlannedSection]
    anchors: list[Anchor]
    tempo: TempoRange


JobState = Literal["queued", "running", "done", "failed", "cancelled"]
FileKind = Literal["music", "video", "unducked", "stem", "midi", "markers", "notices"]


@exact
class JobLinks(TypedDict):
    """Where everything of a job is found."""

    self: str
    events: str
    """Server-sent events: the job, whenever it has changed."""
    audition: NotRequired[str]
    """Of a render: the music as WAV while it is composed, before it is brought to its level."""


@exact
class JobFile(TypedDict):
    """A file that a job has made."""

    name: str
    kind: FileKind
    """`video`: the clip with its music; `stem`: one layer; `notices`: licences and sources."""
    bytes: Annotated[int, Field(ge=0)]
    media_type: str
    url: str


@exact
class WebhookState(TypedDict):
    """Whether somebody has been told."""

    state: Literal["waiting", "delivered", "failed"]
    attempts: Annotated[int, Field(ge=0)]
    detail: NotRequired[str]
    """Why the last attempt failed."""


@exact
class JobError(TypedDict):
    """Why a job failed, as a problem would say it."""

    code: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str


@exact
class Job(TypedDict):
    """Work that takes longer than an answer may: a render, or an analysis of a picture."""

    id: str
    kind: Literal["render", "analysis"]
    state: JobState
    """`cancelled` is said once, as the last event of a job that has been deleted."""
    progress: Unit
    stage: str
    """What is being done, for people; empty before and after."""
    ahead: NotRequired[Annotated[int, Field(ge=0)]]
    """Of one that is queued: so many jobs come first."""
    created: str
    """RFC 3339, UTC."""
    seed: NotRequired[Annotated[int, Field(ge=0)]]
    """Of a render."""
    upload: NotRequired[str]
    """The picture, for a `video` of further renders."""
    report: dict[str, JsonValue] | None
    """What was made, or found: null until it is done, and in a list."""
    files: list[JobFile]
    error: JobError | None
    webhook: NotRequired[WebhookState]
    links: JobLinks


@exact
class Jobs(TypedDict):
    """All jobs, the newest first."""

    renders: list[Job]
