"""Votes of a chat."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from streaming.messages.kinds import Place, Unit, exact

VoteTopic = Literal["mood", "energy", "skip"]


@exact
class VoteOption(TypedDict):
    """One of what can be voted for."""

    name: str
    share: Unit
    """Of all weight."""
    votes: Annotated[int, Field(ge=0)]


@exact
class Vote(TypedDict):
    """A vote of the chat, told as it begins, as its shares change, and with its outcome as it ends."""

    type: Literal["vote"]
    topic: VoteTopic
    options: list[VoteOption]
    closes_at: Place
    """As things stand: it closes at this bar, wherever that comes to lie."""
    quorum: Annotated[int, Field(ge=1)]
    """So many votes are needed."""
    outcome: NotRequired[str | None]
    """What most wanted; null: too few have voted, or it was called off. Not there while it runs."""


@exact
class Votes(TypedDict):
    """The votes that run, and those that ended last, the newest first."""

    running: list[Vote]
    ended: list[Vote]
