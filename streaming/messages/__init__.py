"""Every message that clients receive, typed; what they send is in `moods.control`. Remembers nothing; any thread.

In: nothing; out: types, each in the file of its subject; `schema` makes JSON schemas from them and from what is sent.
Acks, events and answers are plain dicts, made many times a second on both sides of the pipe and never checked there:
the types are `TypedDict`s, so that writing a message costs nothing more. A message is made as its type, which a type
checker holds, and the tests hold every message that a real server sends against it.

Every file of the server's may import this one, which knows none of them but `streaming.roles`.
"""

from streaming.messages.audio import AUDIO_FORMATS, STREAM_KINDS, AudioHeader
from streaming.messages.chat import ChatAnswer, ChatDecision, ChatDecisions, ChatOutcome, ChatRequest, ChatRequests
from streaming.messages.job import (
    Anchor,
    FileKind,
    Job,
    JobError,
    JobFile,
    JobLinks,
    Jobs,
    JobState,
    Plan,
    PlannedSection,
    TempoRange,
    WebhookState,
)
from streaming.messages.kinds import ControlId, Frame, OneOf, Place, Style, Unit, Valence
from streaming.messages.live import (
    MAX_CONTROLS,
    Ack,
    Answer,
    Beat,
    Clock,
    Closed,
    Controls,
    Dropped,
    Effect,
    Error,
    LiveMessage,
    Marker,
    SectionBegan,
    SessionBegan,
    SessionState,
    Skip,
    StateBegan,
    Status,
    Told,
    status_of,
)
from streaming.messages.mood import Clip, ExplainedPrompt, Layer, Mood, Moods, Preset, StingerName, StyleName, explained
from streaming.messages.server import Alive, Connection, Connections, DoorWord, NewToken, Problem, Readiness, Token
from streaming.messages.station import (
    AskedBy,
    CountingDown,
    Level,
    Links,
    Novelty,
    Pending,
    Playing,
    Programme,
    ProgrammeTurn,
    Reached,
    States,
    Station,
    StationHealth,
    StationKind,
    Stations,
    StationState,
    Wandering,
)
from streaming.messages.take import TakeLine
from streaming.messages.vote import Vote, VoteOption, Votes, VoteTopic
