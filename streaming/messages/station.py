"""Stations, and how they play."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from streaming.messages.kinds import ControlId, Frame, Place, Style, Unit, exact
from streaming.messages.mood import ExplainedPrompt, Mood


@exact
class Links(TypedDict):
    """Where everything of a station is found."""

    self: str
    controls: str
    live: str
    """WebSocket: controls in, acks and events out."""
    audio: str
    """WebSocket: samples or Opus packets with their frames."""
    take: str
    whep: str
    ogg: str
    mp3: str
    aac: str
    wav: str
    m3u: str
    """A playlist for media players, of the mp3."""
    pls: str


@exact
class Level(TypedDict):
    """Of the 20 ms that left last; 1 is full scale."""

    peak: Annotated[float, Field(ge=0)]
    rms: Annotated[float, Field(ge=0)]


@exact
class StationHealth(TypedDict):
    """Whether the music comes in time."""

    is_filling: bool
    """The engine is missing: a bridge of what was heard last sounds."""
    underruns: Annotated[int, Field(ge=0)]
    """Blocks of 20 ms that were not there in time for a listener."""
    lead_ms: Annotated[float, Field(ge=0)]
    """How long before its time the engine makes a block now; more after it was late, less when all is quiet."""
    gives_way: bool
    """The engine has too much to do: this station is silent, its music waits, and goes on as soon as there is room."""


@exact
class States(TypedDict):
    """Where a station is among its states."""

    now: str | None
    """The state that sounds; null: none."""
    previous: str | None
    """The state before."""
    heading: str
    """The state that it will be in if nothing more is asked."""


@exact
class Reached(Place):
    """Where a field begins to change."""

    arrived_at: Place
    """Where it has arrived, as things stand: a later control may change that."""


@exact
class Pending(TypedDict):
    """A control of which something has not begun, or has not arrived."""

    id: ControlId | None
    type: str
    """Its own."""
    fields: dict[str, Reached]
    """As in its ack, as things stand now."""
    by: NotRequired[str]
    """Who asked, where the control named somebody."""


@exact
class AskedBy(TypedDict):
    """Whose wish the music follows. Texts of anybody's: show them as text alone."""

    by: str
    what: str
    """A mood, a prompt, fields with their values, a state or stinger, or a control's type."""
    at_frame: Frame
    """Where it is heard first, as the control's ack said."""


@exact
class Novelty(TypedDict):
    """How much of the last hour was heard again; tunes that return within their piece do not count."""

    repeated_share_last_hour: Unit
    """Of its tunes, the share that an earlier piece of the hour before had, too; without tunes, of its chords."""
    repeated_chords: Unit
    """The same of progressions of four bars."""
    repeated_drums: Unit
    """The same of bars of drums."""
    figures_last_hour: Annotated[int, Field(ge=0)]
    """Tunes, progressions and drum bars that were compared."""
    likeness_to_hour: Unit
    """Of each bar of the last four minutes to the bar of the hour before them that is most like it."""
    likeness_to_mood: Unit
    """Of the last four minutes to what is usual in their mood, of any piece."""
    likeness_to_learnt: Unit
    """Of the lead's last four minutes, the share of runs of eight notes that the model was taught."""
    longest_learnt: Annotated[int, Field(ge=0)]
    """Notes of the lead in a row, of the last hour, that the model was taught; 0: fewer than eight."""


@exact
class Wandering(TypedDict):
    """What the autopilot is about."""

    drift: Unit
    novelty: Unit
    mood: str | None
    """The preset around which it wanders."""
    heading: dict[str, float | Style]
    """The point that it heads for; a field that somebody has set stays."""
    since: Place
    """Where it set out for that; it may lie ahead."""
    held_s: dict[str, Annotated[float, Field(ge=0)]]
    """The fields that it leaves alone, and for how many seconds."""


@exact
class CountingDown(TypedDict):
    """A countdown that runs."""

    ends_at: Place
    """Where it reaches 0:00."""
    remaining_s: Annotated[float, Field(ge=0)]
    """Until then, from the sound that leaves the server now."""


@exact
class ProgrammeTurn(TypedDict):
    """What the programme asks for at a time of day."""

    begins: str
    """RFC 3339, in the time zone of the programme."""
    asks: dict[str, JsonValue]
    """Mood fields and controls, as in the settings."""


@exact
class Programme(TypedDict):
    """Of a station that has one: `now` is on, whatever was steered since."""

    now: NotRequired[ProgrammeTurn]
    next: NotRequired[ProgrammeTurn]


class Playing(TypedDict):
    """How a station plays, as its engine tells it; a `Status` passes it on."""

    state: Literal["playing", "paused", "ended"]
    mood: Mood
    heading: Mood
    position: Place
    pending: list[Pending]
    volume_db: float
    target_lufs: float
    states: NotRequired[States]
    parameters: NotRequired[dict[str, float]]
    countdown: NotRequired[CountingDown]
    asked_by: NotRequired[AskedBy]
    autopilot: NotRequired[Wandering]
    novelty: NotRequired[Novelty]


StationKind = Literal["station", "lyria"]


@exact
class StationState(TypedDict):
    """What is told of a station, asked or not."""

    id: str
    name: str
    kind: StationKind
    """`lyria`: it belongs to a client of the Lyria RealTime protocol, and goes with it."""
    seed: Annotated[int, Field(ge=0)]
    state: Literal["playing", "paused", "ended", "asleep", "closed"]
    """`asleep`: nobody listens; the music stands still and goes on for whoever comes. `closed` is said once, as the
    last message before the station and this connection are gone."""
    mood: Mood
    """What sounds now."""
    heading: Mood
    """What will sound in 8 s if nothing more is asked."""
    position: Place
    """Where the sound that leaves the server now is."""
    still_from: NotRequired[Annotated[int, Field(ge=0)]]
    """While it is paused or over: the frame from which it is. What was told for that frame or later comes later, if at
    all, and is told anew."""
    pending: list[Pending]
    """What was asked for and is still to come, the soonest first."""
    volume_db: float
    """The lasting level that a `volume` has asked for, -60 … 6; where it glides, the one that it is on its way to."""
    target_lufs: float
    """The loudness that what sounds now is brought to, before `volume` and `duck`: -19 … -14 as the energy asks, up to
    5 LU less in a break, up to 3 more in a climax."""
    listeners: Annotated[int, Field(ge=0)]
    level: Level
    health: StationHealth
    understood: NotRequired[ExplainedPrompt]
    """How the prompt was read that the station was opened with."""
    states: NotRequired[States]
    """Where it is among its states, once it is in one."""
    parameters: NotRequired[dict[str, float]]
    """Its parameters that have a value; one that moved too little to be followed is not told."""
    countdown: NotRequired[CountingDown]
    """While one runs: the music ends at its 0:00."""
    asked_by: NotRequired[AskedBy]
    """Who asked last, by a control's `by`; not there once a steer or state has come by which nobody is named."""
    autopilot: NotRequired[Wandering]
    """Where it has one."""
    novelty: NotRequired[Novelty]
    """How much it repeats itself, where its generator knows."""
    programme: NotRequired[Programme]
    """What is on by the time of day, and what comes next."""


@exact
class Station(StationState):
    """The state of a station."""

    links: Links


@exact
class Stations(TypedDict):
    """All stations."""

    stations: list[Station]
