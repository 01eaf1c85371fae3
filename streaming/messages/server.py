"""The server: how it fares, tokens, problems."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, JsonValue, with_config
from typing_extensions import TypedDict

from streaming.messages.kinds import RULES, OneOf, exact
from streaming.roles import ROLES


@exact
class Alive(TypedDict):
    """The server is alive."""

    alive: Literal[True]


@exact
class Readiness(TypedDict):
    """Whether the engine takes work."""

    ready: bool


DoorWord = Literal["starting", "connected", "waiting", "refused", "ended"]


@exact
class Connection(TypedDict):
    """How a connection of the server's to others fares: a chat, OBS, a stream that is sent elsewhere."""

    name: str
    state: DoorWord
    """waiting: it failed, and is tried again; refused: it failed in a way that somebody has to mend."""
    since: str
    """RFC 3339, UTC."""
    error: str | None
    """The last one, however long ago; null where none has been."""


@exact
class Connections(TypedDict):
    """How the server's connections to others fare."""

    doors: list[Connection]


@exact
class Token(TypedDict):
    """What a token gives."""

    role: Annotated[str, OneOf(ROLES)]
    """listen hears, control steers as well, admin may do all."""
    station: str | None
    """The only station that it is for; null: all."""
    id: str | None
    """By which it can be taken back; null where none was needed."""
    expires: str | None
    """RFC 3339, UTC; null: not at all."""
    note: str


@exact
class NewToken(Token):
    """A token that was made."""

    token: str
    links: dict[str, str]
    """Addresses with it, by what they lead to."""


_A_PROBLEM: dict[str, JsonValue] = {
    "type": "urn:undersong:problem:out_of_range",
    "title": "A value cannot be used",
    "status": 422,
    "code": "out_of_range",
    "detail": "energy is 1.5; allowed is 0 … 1",
    "field": "energy",
    "value": 1.5,
    "range": [0, 1],
}


@with_config(RULES | ConfigDict(extra="allow", json_schema_extra={"examples": [_A_PROBLEM]}))
class Problem(TypedDict):
    """What went wrong, by RFC 9457; further members may come."""

    type: str
    """urn:undersong:problem: and the code."""
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    code: str
    """Which kind of mistake; stable."""
    detail: str
    """What was wrong, its value, and the way out."""
    field: NotRequired[str]
    """The field that was wrong."""
    value: NotRequired[JsonValue]
    """What it was."""
    range: NotRequired[Annotated[list[float], Field(min_length=2, max_length=2)]]
    """The lowest and highest value allowed."""
    nearest: NotRequired[list[str]]
    """Names that may have been meant."""
    limit: NotRequired[int]
    """How much is allowed."""
