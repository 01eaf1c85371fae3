"""What the server process and an engine say to each other, and the pipe between two processes of one machine.

Requests go to the engine, reports come back; nothing in them is a path, a process id or a time of one side's clock:
times are seconds from the message's sending. Pickled between our own processes only. Remembers nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from engine.generator import Traits
from engine.take import Entry
from moods.control import Control
from moods.opening import Opening
from streaming.messages import Effect, Mood, Playing, Told

# --- requests: server process to engine ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a station goes on that has played before."""

    due_in_s: float | None
    """Seconds until its block 0 is due, counted from the sending; far below 0. None for one that was asleep: the block
    with which it goes on is due when it is ready."""
    log: tuple[Entry, ...]
    """Its controls since an engine last said that it has kept them."""
    next_block: int = 0
    """The block with which one that was asleep goes on, unless what is kept of it is younger."""
    is_whole: bool = False
    """The log holds all its controls that are known: where nothing is kept, it can be made anew from its beginning."""


@dataclass(frozen=True, slots=True)
class Open:
    """Begin a station, or bring one back from what the engine has kept of it."""

    station: str
    opening: Opening
    seed: int
    resume: Resume | None = None
    is_heard: bool = False
    """As `Heard` tells later."""
    ahead_blocks: int = 0
    """How many blocks of it are to be there at once, wherever its clock begins to run."""


@dataclass(frozen=True, slots=True)
class Apply:
    station: str
    request: int
    control: Control


@dataclass(frozen=True, slots=True)
class Close:
    station: str


@dataclass(frozen=True, slots=True)
class Heard:
    """Somebody listens to the station, or nobody does: whoever is not heard gives way first."""

    station: str
    is_heard: bool


@dataclass(frozen=True, slots=True)
class Sleep:
    """Keep the station as it is and play it no more. `Slept` follows; where it cannot be kept it plays on instead."""

    station: str


@dataclass(frozen=True, slots=True)
class Copy:
    """Keep the station as it is under another id too, as if it slept there; it plays on. `Copied` follows."""

    station: str
    request: int
    copy: str


@dataclass(frozen=True, slots=True)
class Fade:
    """Let the station's sound, not its music, fade out over so many blocks: from number `from_block` on, or as soon as
    may be later. From there on it is silent until it is closed; `Faded` follows when the fade begins."""

    station: str
    request: int
    from_block: int
    num_blocks: int
    is_kept: bool
    """Keep it as it is before the fade, as if it slept there, and no later."""


Request = Open | Apply | Close | Heard | Sleep | Copy | Fade


# --- reports: engine to server process -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Compiling:
    """The engine is starting; so many of its kernels are compiled."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The generator is loaded and warm."""

    traits: Traits


@dataclass(frozen=True, slots=True)
class Failed:
    """The generator cannot be had; the engine ends."""

    detail: str


@dataclass(frozen=True, slots=True)
class Opened:
    """The station plays."""

    station: str
    due_in_s: float
    """Seconds until its block 0 is due, counted from the sending."""
    playing: Playing


@dataclass(frozen=True, slots=True)
class Applied:
    station: str
    request: int
    entry: Entry
    effect: Effect
    heading: Mood
    """Where the mood goes from now on."""
    volume_db: float
    """Likewise the lasting level."""
    is_idle: bool = False
    """It asked for what is so anyway, and stands in no log."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that failed for the asker's reasons, a control's or, where there is no number, that of an opening.

    `code`, `detail` and `members` are those of a problem that clients are told."""

    station: str
    request: int | None
    code: str
    detail: str
    members: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Happened:
    """An event for all clients of a station."""

    station: str
    event: Told


@dataclass(frozen=True, slots=True)
class Plays:
    """How a station plays now; sent every second, and at once where it begins or stops to sound."""

    station: str
    playing: Playing


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of the station holds the effect of its first `num_controls` controls."""

    station: str
    num_controls: int


@dataclass(frozen=True, slots=True)
class Slept:
    """The station is kept and plays no more, as was asked or because the engine has too much to do and nobody hears it.

    What was asked of it since is not answered: it is to be asked again when the station is opened again.
    """

    station: str
    next_block: int
    """The block with which it goes on; later ones may have been sent, and were heard by nobody."""
    num_controls: int
    """As in `Kept`."""


@dataclass(frozen=True, slots=True)
class Copied:
    station: str
    request: int
    next_block: int
    num_controls: int
    """Both as in `Slept`, of the copy."""
    copy: str
    """Under which id."""


@dataclass(frozen=True, slots=True)
class Faded:
    station: str
    request: int
    next_block: int
    """The first that fades, and the one with which it goes on where it is kept."""
    num_controls: int
    """As in `Kept`."""


@dataclass(frozen=True, slots=True)
class GaveWay:
    """The engine has too much to do: the station rests from now on, or goes on. `entry` belongs into its log."""

    station: str
    is_resting: bool
    entry: Entry


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The station came too late and left out blocks. `entries`, a skip and what was done after it, stand in its log
    from the index of the first on."""

    station: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Health:
    """Sent several times a second: the engine is alive."""

    load: float
    """Share of the last moments spent making blocks, 0 … 1."""
    step_ms: tuple[float, ...]
    """Wall time of each batch step since the last report."""
    encode_ms: tuple[float, ...]
    """Of encoding and writing each block."""
    late_blocks: int
    """Blocks published after they were due, since the last report."""
    counters: Mapping[str, int]
    """By how much the generator's own counters have grown since the last report."""
    lead_ms: float
    """How long before they are due blocks are made."""


OfStation = Opened | Applied | Refused | Happened | Plays | Kept | Slept | Copied | Faded | GaveWay | LeftOut
Report = Compiling | Ready | Failed | Health | OfStation


# --- the pipe --------------------------------------------------------------------------------------------------------


class Pipe:
    """One end of a pipe to another process of this machine, whose monotonic clock is ours.

    One thread may send while another receives. Both raise OSError, `receive` also EOFError, when the other end is gone.
    """

    def __init__(self, descriptor: int) -> None:
        self._connection = Connection(descriptor)

    def send(self, message: Any, sent_s: float | None = None) -> None:
        """Send a message of this moment, or of the moment that its times are counted from."""
        self._connection.send((time.monotonic() if sent_s is None else sent_s, message))

    def receive(self) -> tuple[float, Any]:
        """Wait for the next message; answer when it was sent, by our clock, and the message."""
        sent_s, message = self._connection.recv()
        return sent_s, message

    def poll(self, timeout_s: float = 0.0) -> bool:
        """Whether a message is there, or the other end is gone, within `timeout_s`."""
        return self._connection.poll(timeout_s)

    def fileno(self) -> int:
        return self._connection.fileno()

    def close(self) -> None:
        self._connection.close()
