"""Every message that clients receive, typed; what they send is in `moods.control`. Remembers nothing; any thread.

In: nothing; out: types, and JSON schemas made from them. Acks, events and answers are plain dicts, made many times a
second on both sides of the pipe and never checked there: the types are `TypedDict`s, so that writing a message costs
nothing more. A message is made as its type, which a type checker holds, and the tests hold every message that a real
server sends against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, JsonValue, TypeAdapter, with_config
from pydantic_core.core_schema import CoreSchema, literal_schema
from typing_extensions import TypedDict

from engine.take import TakeOpening
from moods.control import Control
from moods.intent import LAYERS, SECTIONS, STYLES
from moods.mood import style_names
from moods.opening import Changes, Copying, Opening
from moods.prompt import Prompt
from moods.timeline import Timeline
from streaming.chat.asked import ChatMessage, RequestDecision
from streaming.jobs.asked import RenderRequest
from streaming.roles import ROLES, TokenRequest

AUDIO_FORMATS = ("pcm_s16le", "pcm_f32le", "opus")
STREAM_KINDS = ("ogg", "mp3", "aac", "wav")

MAX_CONTROLS = 100
"""The longest list of controls that is taken at once."""


@dataclass(frozen=True)
class OneOf:
    """Beside str: only these."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return literal_schema(list(self.names))


Unit = Annotated[float, Field(ge=0, le=1)]
Valence = Annotated[float, Field(ge=-1, le=1)]
Frame = Annotated[int, Field(ge=0)]
Style = dict[Annotated[str, OneOf(STYLES)], float]
ControlId = Annotated[str, Field(max_length=128)]

_RULES = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)
_exact = with_config(_RULES)
_extensible = with_config(_RULES | ConfigDict(extra="allow"))
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


# --- positions and moods ---------------------------------------------------------------------------------------------


@_exact
class Place(TypedDict):
    """A position in the stream and in the music."""

    frame: Frame
    """Counted from the station's opening, 48,000 a second."""
    seconds: Annotated[float, Field(ge=0)]
    """The same in seconds."""
    bar: Annotated[int, Field(ge=1)]
    """Bars count from 1."""
    beat: Annotated[int, Field(ge=1, le=4)]
    """Beats of the bar count from 1."""
    bpm: float
    """Tempo there, beats a minute."""


@_exact
class Layer(TypedDict):
    """One layer of the mix."""

    gain_db: float
    plays: bool
    """The form, energy and gain let it play now."""


@_exact
class Mood(TypedDict):
    """A mood as it sounds."""

    valence: Valence
    energy: Unit
    tension: Unit
    style: Style
    bpm: float
    key: str
    density: Unit
    brightness: Unit
    layers: dict[Annotated[str, OneOf(LAYERS)], Layer]
    temperature: float
    section: Annotated[str, OneOf(SECTIONS)]


@_exact
class ExplainedPrompt(TypedDict):
    """What a prompt was taken to mean."""

    prompt: str
    understood: bool
    """False: nothing was, and a steer by it leaves the mood as it is."""
    mood: dict[str, float]
    """The presets nearest to it, and their weights; none where it leads to no mood, and then no point is told."""
    valence: NotRequired[Valence]
    energy: NotRequired[Unit]
    tension: NotRequired[Unit]
    style: NotRequired[Style]
    bpm: NotRequired[float]
    """Where the words name one, or a preset has one."""
    key: NotRequired[str]
    """Where the words name one."""
    layers: NotRequired[dict[Annotated[str, OneOf(LAYERS)], float | Literal["mute"]]]
    """The layers that the words name: a gain in dB, or that they are left out."""
    instruments: NotRequired[dict[str, Annotated[str, OneOf(STYLES)]]]
    """The instruments that the words name, and the style brought in for each: it has them in its band, and the seed
    chooses among those."""
    seconds: NotRequired[float]
    """The length that the words name; a file is made so long where nothing else says how long."""
    unknown: list[str]
    """Words that changed nothing."""


def explained(prompt: Prompt) -> ExplainedPrompt:
    point = prompt.point
    out = ExplainedPrompt(
        prompt=prompt.text, understood=prompt.is_understood, mood=dict(prompt.moods), unknown=list(prompt.unknown)
    )
    if prompt.moods:
        out["valence"], out["energy"], out["tension"] = (
            round(value, 3) for value in (point.valence, point.energy, point.tension)
        )
        out["style"] = style_names(point.style)
    if (bpm := prompt.bpm or (point.bpm if prompt.moods else None)) is not None:
        out["bpm"] = bpm
    if prompt.key is not None:
        out["key"] = str(prompt.key)
    if prompt.layers:
        out["layers"] = dict(prompt.layers)
    if prompt.instruments:
        out["instruments"] = dict(prompt.instruments)
    if prompt.seconds is not None:
        out["seconds"] = prompt.seconds
    return out


Controls = Annotated[list[Control | Any], Field(max_length=MAX_CONTROLS)]
"""Several controls; one that cannot be read is answered with an `Error`, and does not hold up the others."""


# --- stations --------------------------------------------------------------------------------------------------------


@_exact
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


@_exact
class Level(TypedDict):
    """Of the 20 ms that left last; 1 is full scale."""

    peak: Annotated[float, Field(ge=0)]
    rms: Annotated[float, Field(ge=0)]


@_exact
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


@_exact
class States(TypedDict):
    """Where a station is among its states."""

    now: str | None
    """The state that sounds; null: none."""
    previous: str | None
    """The state before."""
    heading: str
    """The state that it will be in if nothing more is asked."""


@_exact
class Reached(Place):
    """Where a field begins to change."""

    arrived_at: Place
    """Where it has arrived, as things stand: a later control may change that."""


@_exact
class Pending(TypedDict):
    """A control of which something has not begun, or has not arrived."""

    id: ControlId | None
    type: str
    """Its own."""
    fields: dict[str, Reached]
    """As in its ack, as things stand now."""
    by: NotRequired[str]
    """Who asked, where the control named somebody."""


@_exact
class AskedBy(TypedDict):
    """Whose wish the music follows. Texts of anybody's: show them as text alone."""

    by: str
    what: str
    """A mood, a prompt, fields with their values, a state or stinger, or a control's type."""
    at_frame: Frame
    """Where it is heard first, as the control's ack said."""


@_exact
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


@_exact
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


@_exact
class Countdown(TypedDict):
    """A countdown that runs."""

    ends_at: Place
    """Where it reaches 0:00."""
    remaining_s: Annotated[float, Field(ge=0)]
    """Until then, from the sound that leaves the server now."""


@_exact
class ProgrammeTurn(TypedDict):
    """What the programme asks for at a time of day."""

    begins: str
    """RFC 3339, in the time zone of the programme."""
    asks: dict[str, JsonValue]
    """Mood fields and controls, as in the settings."""


@_exact
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
    states: NotRequired[States]
    parameters: NotRequired[dict[str, float]]
    countdown: NotRequired[Countdown]
    asked_by: NotRequired[AskedBy]
    autopilot: NotRequired[Wandering]
    novelty: NotRequired[Novelty]


StationKind = Literal["station", "lyria"]


@_exact
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
    listeners: Annotated[int, Field(ge=0)]
    level: Level
    health: StationHealth
    understood: NotRequired[ExplainedPrompt]
    """How the prompt was read that the station was opened with."""
    states: NotRequired[States]
    """Where it is among its states, once it is in one."""
    parameters: NotRequired[dict[str, float]]
    """Its parameters that have a value; one that moved too little to be followed is not told."""
    countdown: NotRequired[Countdown]
    """While one runs: the music ends at its 0:00."""
    asked_by: NotRequired[AskedBy]
    """Who asked last, by a control's `by`; not there once a steer or state has come by which nobody is named."""
    autopilot: NotRequired[Wandering]
    """Where it has one."""
    novelty: NotRequired[Novelty]
    """How much it repeats itself, where its generator knows."""
    programme: NotRequired[Programme]
    """What is on by the time of day, and what comes next."""


@_exact
class Station(StationState):
    """The state of a station."""

    links: Links


@_exact
class Stations(TypedDict):
    """All stations."""

    stations: list[Station]


# --- answers and events of the live channel --------------------------------------------------------------------------


class Effect(TypedDict):
    """What a control does, as the engine tells it; an `Ack` passes it on."""

    effective_at: Place
    fields: dict[str, Reached]
    replaces: list[str]
    lead_ms: float


@_exact
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


@_exact
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


@_exact
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


@_exact
class SectionBegan(TypedDict):
    """A section of the form begins, told ahead of its sound."""

    type: Literal["section"]
    name: Annotated[str, OneOf(SECTIONS)]
    bar: Annotated[int, Field(ge=1)]
    beat: Annotated[int, Field(ge=1, le=4)]
    frame: Frame
    seconds: Annotated[float, Field(ge=0)]


@_exact
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


@_exact
class StateBegan(Place):
    """A state of the game begins, told ahead of its sound; told again where its frame has moved."""

    type: Literal["state"]
    name: str
    previous: str | None
    """The state that it comes after."""


@_exact
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


@_exact
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


@_exact
class SessionBegan(TypedDict):
    """A listener's audio begins."""

    type: Literal["session"]
    session: str
    began_frame: Frame


@_exact
class Dropped(TypedDict):
    """Sound that a listener will not be sent, because it read too slowly or the server stood still; told to this
    client's session, on the audio WebSocket between the messages around the gap."""

    type: Literal["dropped"]
    session: str
    frame: Frame
    """The first that is missing."""
    frames: Annotated[int, Field(ge=1)]


@_exact
class Clock(TypedDict):
    """How RTP time lies to frames, told to the clients of a WHEP session as its audio begins and every few seconds:
    `frame` = this frame + (the packet's RTP timestamp - `rtp_timestamp`), which wraps at 2^32."""

    type: Literal["clock"]
    session: str
    frame: Frame
    rtp_timestamp: Annotated[int, Field(ge=0, lt=1 << 32)]
    """Of the packet that begins with `frame`."""
    began_frame: Frame


@_exact
class Closed(TypedDict):
    """The last message on a data channel, which has no close codes: why it ends, as a WebSocket would be told."""

    type: Literal["closed"]
    code: Annotated[int, Field(ge=1000, le=4999)]
    reason: str


@_exact
class Skip(TypedDict):
    """Blocks that were left out because the engine came too late: the music goes on after them, where it was."""

    type: Literal["skip"]
    frame: Frame
    index: Annotated[int, Field(ge=0)]
    """Its number among the station's controls."""
    blocks: Annotated[int, Field(ge=1)]
    """Of 20 ms."""


VoteTopic = Literal["mood", "energy", "skip"]


@_exact
class VoteOption(TypedDict):
    """One of what can be voted for."""

    name: str
    share: Unit
    """Of all weight."""
    votes: Annotated[int, Field(ge=0)]


@_exact
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


@_exact
class AudioHeader(TypedDict):
    """The first message of an audio WebSocket. Binary messages follow, one for every 20 ms: the frame as an unsigned
    64-bit little-endian number, then interleaved samples or one Opus packet."""

    format: Annotated[str, OneOf(AUDIO_FORMATS)]
    rate: Annotated[int, Field(ge=1)]
    """Frames a second."""
    channels: Annotated[int, Field(ge=1)]
    block_frames: Annotated[int, Field(ge=1)]
    """Frames in one message."""
    first_frame: Frame
    session: str
    """Of this listener, for `?session=` of the live channel."""
    buffer_ms: Annotated[int, Field(ge=20)]
    """How far this listener may fall behind before it loses what it has not read."""


# --- chat ------------------------------------------------------------------------------------------------------------


@_exact
class Votes(TypedDict):
    """The votes that run, and those that ended last, the newest first."""

    running: list[Vote]
    ended: list[Vote]


@_exact
class ChatRequest(TypedDict):
    """A free text that somebody in the chat asked for, and that waits for the streamer. Show it as text alone."""

    n: Annotated[int, Field(ge=1)]
    by: str
    text: str
    asked: str
    """RFC 3339, UTC."""


@_exact
class ChatRequests(TypedDict):
    """What waits for the streamer's approval, the oldest first."""

    requests: list[ChatRequest]


ChatOutcome = Literal["done", "voted", "waits", "refused", "answered"]


@_exact
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


@_exact
class ChatAnswer(TypedDict):
    """What became of a message that was handed over: nothing, where it was no command."""

    decision: ChatDecision | None
    reply: str | None
    """What can be written back, where the settings would have it."""


@_exact
class ChatDecisions(TypedDict):
    """What became of the last commands and events, the newest first."""

    decisions: list[ChatDecision]


# --- takes -----------------------------------------------------------------------------------------------------------


@_extensible
class TakeLine(TypedDict):
    """A further line of a take: a control; of an engine with too much to do, a `skip` of `blocks`, `rest`, `resume`.

    `frame`: before which it was applied."""

    type: Literal[
        "steer", "state", "parameter", "section", "end", "countdown", "transport", "panic", "duck", "volume", "cancel",
        "hit", "stinger", "theme", "skip", "rest", "resume",
    ]  # fmt: skip
    frame: Frame


# --- moods -----------------------------------------------------------------------------------------------------------


@_exact
class Preset(TypedDict):
    """A mood that has a name; fields that are absent are left to the style."""

    name: str
    name_zh: str
    zh: str
    """The same as `name_zh`."""
    aliases: list[str]
    valence: Valence
    energy: Unit
    tension: Unit
    style: Style
    bpm: NotRequired[float]
    density: NotRequired[Unit]
    brightness: NotRequired[Unit]
    temperature: NotRequired[float]
    key: NotRequired[str]


@_exact
class StyleName(TypedDict):
    """A style in English and Chinese."""

    name: Annotated[str, OneOf(STYLES)]
    zh: str


@_exact
class StingerName(TypedDict):
    """A stinger in English and Chinese."""

    name: str
    zh: str
    beats: Annotated[int, Field(ge=1)]
    """How long it is."""


@_exact
class Clip(TypedDict):
    """A clip as platforms have them, by the `preset` of a render."""

    name: str
    timeline: Timeline
    """What it says where nothing else is asked."""


@_exact
class Moods(TypedDict):
    """Everything that can be asked for by name."""

    moods: list[Preset]
    styles: list[StyleName]
    stingers: list[StingerName]
    clips: list[Clip]


# --- timelines --------------------------------------------------------------------------------------------------------


@_exact
class PlannedSection(TypedDict):
    """A section of the form."""

    at: Annotated[float, Field(ge=0)]
    name: Annotated[str, OneOf(SECTIONS)]


@_exact
class Anchor(TypedDict):
    """A place of the timeline that a beat should fall on."""

    at: Annotated[float, Field(ge=0)]
    kind: Literal["hit", "cut", "section", "end"]
    error_ms: float
    """How much later the nearest beat begins; below 0, earlier."""


@_exact
class TempoRange(TypedDict):
    """The trade-off made, beats a minute."""

    asked: float
    lowest: float
    highest: float


@_exact
class Plan(TypedDict):
    """What is made of a timeline; places are seconds."""

    duration: float
    beats: list[float]
    bars: list[float]
    sections: list[PlannedSection]
    anchors: list[Anchor]
    tempo: TempoRange


# --- jobs ------------------------------------------------------------------------------------------------------------

JobState = Literal["queued", "running", "done", "failed", "cancelled"]
FileKind = Literal["music", "video", "unducked", "stem", "midi", "markers", "notices"]


@_exact
class JobLinks(TypedDict):
    """Where everything of a job is found."""

    self: str
    events: str
    """Server-sent events: the job, whenever it has changed."""
    audition: NotRequired[str]
    """Of a render: the music as WAV while it is composed, before it is brought to its level."""


@_exact
class JobFile(TypedDict):
    """A file that a job has made."""

    name: str
    kind: FileKind
    """`video`: the clip with its music; `stem`: one layer; `notices`: licences and sources."""
    bytes: Annotated[int, Field(ge=0)]
    media_type: str
    url: str


@_exact
class WebhookState(TypedDict):
    """Whether somebody has been told."""

    state: Literal["waiting", "delivered", "failed"]
    attempts: Annotated[int, Field(ge=0)]
    detail: NotRequired[str]
    """Why the last attempt failed."""


@_exact
class JobError(TypedDict):
    """Why a job failed, as a problem would say it."""

    code: str
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str


@_exact
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


@_exact
class Jobs(TypedDict):
    """All jobs, the newest first."""

    renders: list[Job]


# --- the server ------------------------------------------------------------------------------------------------------


@_exact
class Alive(TypedDict):
    """The server is alive."""

    alive: Literal[True]


@_exact
class Readiness(TypedDict):
    """Whether the engine takes work."""

    ready: bool


DoorWord = Literal["starting", "connected", "waiting", "refused", "ended"]


@_exact
class Connection(TypedDict):
    """How a connection of the server's to others fares: a chat, OBS, a stream that is sent elsewhere."""

    name: str
    state: DoorWord
    """waiting: it failed, and is tried again; refused: it failed in a way that somebody has to mend."""
    since: str
    """RFC 3339, UTC."""
    error: str | None
    """The last one, however long ago; null where none has been."""


@_exact
class Connections(TypedDict):
    """How the server's connections to others fare."""

    doors: list[Connection]


@_exact
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


@_exact
class NewToken(Token):
    """A token that was made."""

    token: str
    links: dict[str, str]
    """Addresses with it, by what they lead to."""


@with_config(_RULES | ConfigDict(extra="allow", json_schema_extra={"examples": [_A_PROBLEM]}))
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


# --- schemas ---------------------------------------------------------------------------------------------------------

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
