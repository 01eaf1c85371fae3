"""What is sent over HTTP of a chat. In: JSON values; out: checked objects. Remembers nothing; any thread."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from moods.fields import Model
from streaming.chat.said import MAX_TEXT, RoleName


class ChatMessage(Model):
    """What somebody wrote in a chat, handed over by a bot."""

    user: Annotated[str, Field(min_length=1, max_length=200)] = Field(examples=["Anna"])
    """The name that they show."""
    text: Annotated[str, Field(max_length=4 * MAX_TEXT)] = Field(examples=["!mood epic"])
    """What they wrote; of more than 500 characters the rest is not looked at."""
    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Theirs, which stays when they rename; null or left out: the name."""
    role: RoleName = "viewer"
    """What they are there."""
    room: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,32}$")] = "bot"
    """Which chat that is, for the audit."""


class RequestDecision(Model):
    """What the streamer decides on a request."""

    do: Literal["approve", "refuse"]
