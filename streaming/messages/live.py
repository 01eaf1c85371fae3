"""The live channel: answers to controls, and events."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import Field
from typing_extensions import TypedDict

from moods.control import Control
from moods.intent import SECTIONS
from streaming.messages.kinds import ControlId, Frame, OneOf, Place, Unit, exact
from streaming.messages.mood import ExplainedPrompt
from streaming.messages.station import Reached, StationState
from streaming.messages.vote import Vote

MAX_CONTROLS = 100
"""The longest list of controls that is taken at once."""
Controls = Annotated[list[Control | Any], Field(max_length=MAX_CONTROLS)]
"""Several controls; one that cannot be read is answered with an `Error`, and does not hold up the others."""


class Effect(TypedDict):
    """What a control does, as the engine tells it; an `Ack` passes it on."""

    effective_at: Place
    fields: dict[str, Reached]
    replaces: list[str]
    lead_ms: float


@exact
class Ack(TypedDict):
    """A control has been applied."""

    type: Literal["ack"]
    id: ControlId | None
    """The control's own id."""
    effective_at: Place
    """Where it is heard first; only what leads there, which has fields of its own, comes before."""
    fields: dict[str, Reached]
    """Where each field begins to change and where it has arrived, by its name, `mood` for a prompt too; `ending`,
    `piece`, `hit`, `stinger`, `pickup`, `fill`, `cues`, `pivot` and `bridge` tell of what it sets off or moves."""
    replaces: list[str]
    """Ids of the controls of which something that was still to come does not, because of this one."""
    latency_ms: Annotated[float, Field(ge=0)]
    """From the control's arrival to the departure of the first packet that it can change."""
    lead_ms: Annotated[float, Field(ge=0)]
    """How long before its time the engine makes a block now."""
    understood: NotRequired[ExplainedPrompt]
    """How the control's prompt was read."""
    by: NotRequired[str]
    """Who asked, where the control named somebody."""


@exact
class Error(TypedDict):
    """A control that was refused; nothing has changed."""

    type: Literal["error"]
    id: ControlId | None
    """The control's id, where it had one that could be read."""
    code: str
    """Which kind of mistake; stable, as in a problem."""
    detail: str
    """What was wrong, its value, and the way out."""
    retry_after_s: NotRequired[Annotated[float, Field(ge=0)]]
    """When it can be taken: of `rate_limited`."""


Answer = Annotated[Ack | Error, Field(discriminator="type")]


@exact
class Beat(Place):
    """A beat, told ahead of its sound; told again where its frame has moved: the last word counts. Beat 1 begins a bar.

    `position_ms`, `tempo` and the time signature are what FMOD's callbacks call them, beside `bar` and `beat`."""

    type: Literal["beat"]
    position_ms: Annotated[int, Field(ge=0)]
    """The frame in milliseconds."""
    tempo: float
    """The same as `bpm`."""
    timesig_upper: Annotated[int, Field(ge=1)]
    timesig_lower: Annotated[int, Field(ge=1)]


@exact
class SectionBegan(TypedDict):
    """A section of the form begins, told ahead of its sound."""

    type: Literal["section"]
    name: Annotated[str, OneOf(SECTIONS)]
    bar: Annotated[int, Field(ge=1)]
    beat: Annotated[int, Field(ge=1, le=4)]
    frame: Frame
    seconds: Annotated[float, Field(ge=0)]


@exact
class Marker(Place):
    """A hit or stinger, told ahead of its sound; told again where its frame has moved."""

    type: Literal["marker"]
    id: ControlId | None
    """Of the control that asked for it."""
    name: Literal["hit", "stinger"]
    strength: NotRequired[Unit]
    """Of a hit."""
    stinger: NotRequired[str]
    """The stinger's name."""


@exact
class StateBegan(Place):
    """A state of the game begins, told ahead of its sound; told again where its frame has moved."""

    type: Literal["state"]
    name: str
    previous: str | None
    """The state that it comes after."""


@exact
class SessionState(TypedDict):
    """A listener's buffer in the server."""

    id: str
    kind: str
    """What carries it: `whep`, `websocket`, or the kind of an endless stream."""
    buffer_ms: Annotated[int, Field(ge=20)]
    """How far it may fall behind before it loses what it has not read."""
    waiting_ms: Annotated[int, Field(ge=0)]
    """How far it is behind now."""
    lag_ms: Annotated[int, Field(ge=0)]
    """How much later than others it hears the station by design."""
    dropped_frames: Annotated[int, Field(ge=0)]
    """What it has lost so far."""


@exact
class Status(StationState):
    """The station's state, told when a client begins to listen and then every second."""

    type: Literal["status"]
    session_began_frame: Frame | None
    """The frame with which the audio of this client's session began, if it named one and that has begun."""
    session: NotRequired[SessionState]
    """How this client's session fares, if it named one that listens."""
    reason: NotRequired[str]
    """Why the station is closed; a WebSocket closes with the same words."""


def status_of(state: StationState, session_began_frame: int | None, session: SessionState | None) -> Status:
    """The state of a station as one client of its live channel is told it."""
    status = cast(Status, {"type": "status", **state})
    status["session_began_frame"] = session_began_frame
    if session is not None:
        status["session"] = session
    return status


@exact
class SessionBegan(TypedDict):
    """A listener's audio begins."""

    type: Literal["session"]
    session: str
    began_frame: Frame


@exact
class Dropped(TypedDict):
    """Sound that a listener will not be sent, because it read too slowly or the server stood still; told to this
    client's session, on the audio WebSocket between the messages around the gap."""

    type: Literal["dropped"]
    session: str
    frame: Frame
    """The first that is missing."""
    frames: Annotated[int, Field(ge=1)]


@exact
class Clock(TypedDict):
    """How RTP time lies to frames, told to the clients of a WHEP session as its audio begins and every few seconds:
    `frame` = this frame + (the packet's RTP timestamp - `rtp_timestamp`), which wraps at 2^32."""

    type: Literal["clock"]
    session: str
    frame: Frame
    rtp_timestamp: Annotated[int, Field(ge=0, lt=1 << 32)]
    """Of the packet that begins with `frame`."""
    began_frame: Frame


@exact
class Closed(TypedDict):
    """The last message on a data channel, which has no close codes: why it ends, as a WebSocket would be told."""

    type: Literal["closed"]
    code: Annotated[int, Field(ge=1000, le=4999)]
    reason: str


@exact
class Skip(TypedDict):
    """Blocks that were left out because the engine came too late: the music goes on after them, where it was."""

    type: Literal["skip"]
    frame: Frame
    index: Annotated[int, Field(ge=0)]
    """Its number among the station's controls."""
    blocks: Annotated[int, Field(ge=1)]
    """Of 20 ms."""


Told = Beat | SectionBegan | Marker | StateBegan
"""What an engine tells of the music ahead, and everybody on the channel receives."""
LiveMessage = Annotated[
    Ack
    | Error
    | Beat
    | SectionBegan
    | Marker
    | StateBegan
    | Status
    | SessionBegan
    | Dropped
    | Clock
    | Skip
    | Vote
    | Closed,
    Field(discriminator="type"),
]
"""All that the live channel sends."""
