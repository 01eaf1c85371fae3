"""What became of a chat's messages."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

from streaming.messages.kinds import Frame, exact


@exact
class ChatRequest(TypedDict):
    """A free text that somebody in the chat asked for, and that waits for the streamer. Show it as text alone."""

    n: Annotated[int, Field(ge=1)]
    by: str
    text: str
    asked: str
    """RFC 3339, UTC."""


@exact
class ChatRequests(TypedDict):
    """What waits for the streamer's approval, the oldest first."""

    requests: list[ChatRequest]


ChatOutcome = Literal["done", "voted", "waits", "refused", "answered"]


@exact
class ChatDecision(TypedDict):
    """What became of a command or event of the chat."""

    when: str
    """RFC 3339, UTC."""
    room: str
    id: str
    user: str
    role: str
    what: str
    """The command or event."""
    text: str
    """What stood behind it."""
    outcome: ChatOutcome
    """`voted`: it counts in a vote. `waits`: for approval. `answered`: it only asked something."""
    why: str
    """Why it was refused, or what followed."""
    frame: Frame | None
    """Where what it did is heard first; null: nothing is."""


@exact
class ChatAnswer(TypedDict):
    """What became of a message that was handed over: nothing, where it was no command."""

    decision: ChatDecision | None
    reply: str | None
    """What can be written back, where the settings would have it."""


@exact
class ChatDecisions(TypedDict):
    """What became of the last commands and events, the newest first."""

    decisions: list[ChatDecision]
