"""JSON schemas of all messages, sent and received. In: the types; out: schemas. Remembers nothing; any thread."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import TypeAdapter

from engine.take import TakeOpening
from moods.control import Control
from moods.opening import Changes, Copying, Opening
from moods.timeline import Timeline
from streaming.chat.asked import ChatMessage, RequestDecision
from streaming.jobs.asked import RenderRequest
from streaming.messages.audio import AudioHeader
from streaming.messages.chat import ChatAnswer, ChatDecisions, ChatRequests
from streaming.messages.job import Job, Jobs, Plan
from streaming.messages.live import Answer, Controls, Dropped, LiveMessage
from streaming.messages.mood import ExplainedPrompt, Moods
from streaming.messages.server import Alive, Connection, Connections, NewToken, Problem, Readiness, Token
from streaming.messages.station import Station, Stations
from streaming.messages.take import TakeLine
from streaming.messages.vote import Votes
from streaming.roles import TokenRequest

GROUPS: dict[str, dict[str, Any]] = {
    "sent by clients": {
        "Control": Control,
        "Controls": Controls,
        "Opening": Opening,
        "Copying": Copying,
        "Changes": Changes,
    }
    | {"RenderRequest": RenderRequest, "Timeline": Timeline, "TokenRequest": TokenRequest}
    | {"ChatMessage": ChatMessage, "RequestDecision": RequestDecision},
    "sent over the live channel": {"LiveMessage": LiveMessage, "Answer": Answer},
    "sent over an audio WebSocket": {"AudioHeader": AudioHeader, "Dropped": Dropped},
    "lines of a take": {"TakeOpening": TakeOpening, "TakeLine": TakeLine},
    "answers over HTTP": {
        each.__name__: each
        for each in (
            *(Station, Stations, Moods, ExplainedPrompt, Plan, Job, Jobs),
            *(Token, NewToken, Connection, Connections, Alive, Readiness, Problem),
            *(Votes, ChatRequests, ChatAnswer, ChatDecisions),
        )
    },
}
"""The messages by who sends them, each under its public name."""


def schemas(reference: str = "#/$defs/{model}") -> dict[str, Any]:
    """JSON schemas of all messages and their parts by name; `reference` is where they will stand."""
    named = {name: message for group in GROUPS.values() for name, message in group.items()}
    adapters: list[tuple[str, Literal["validation"], TypeAdapter[Any]]] = [
        (name, "validation", TypeAdapter(message)) for name, message in named.items()
    ]
    made, shared = TypeAdapter.json_schemas(adapters, ref_template=reference)
    own = {name: schema for (name, _), schema in made.items() if "$ref" not in schema}
    out: dict[str, Any] = own | shared["$defs"]
    for schema in out.values():
        for field in schema.get("properties", {}).values():
            field.pop("title", None)  # it only repeats the name
    return out


def schema_document() -> dict[str, Any]:
    """One JSON schema that holds every message under `$defs` and fits whatever crosses a WebSocket as text."""
    groups = {group: [f"#/$defs/{name}" for name in messages] for group, messages in GROUPS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Messages of Undersong",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in ("Control", "LiveMessage", "AudioHeader")],
        "x-groups": groups,
        "$defs": schemas(),
    }
