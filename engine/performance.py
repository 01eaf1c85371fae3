"""One music being performed on one slot of a generator: live, into a file, in tests and benchmarks alike.

In: an opening and controls; out: blocks with their fades, acks, and events told ahead. Remembers the controller, where
the stream is, and what was made and not yet handed out. One thread calls a generator and all its performances.

Stream frames count what was handed out, music frames what was composed: while a performance pauses or rests, only the
stream goes on.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from engine.errors import BadTake
from engine.generator import Generator
from engine.take import Act, Entry, Rest, Resume, Skip, Take
from moods.clock import Position
from moods.control import Control, Countdown, Panic, State, Steer, Transport
from moods.controller import Controller, Reached
from moods.errors import MoodsError, OutOfRange
from moods.fields import Seconds
from moods.intent import Intent
from moods.opening import Opening
from moods.succession import Entrance

_KEEP_FRAMES = 10 * SAMPLE_RATE
"""How much of the course's past a performance that forgets still knows."""
_HEADING_FRAMES = 8 * SAMPLE_RATE
_MOST_AT_ONCE = 500
"""So many controls, of some 0.2 ms each, are done at once where they come too late to be done at their places."""

Samples = npt.NDArray[np.float32]


def _fade_out(num_frames: int) -> npt.NDArray[np.float64]:
    """Gain of one block, [960, 1]: a raised cosine over `num_frames`, flat at both ends, then silence."""
    falling = 0.5 + 0.5 * np.cos(np.pi * (np.arange(num_frames) + 0.5) / num_frames)
    return np.concatenate([falling, np.zeros(BLOCK_FRAMES - num_frames)])[:, None]


_OUT = _fade_out(BLOCK_FRAMES).astype(np.float32)
_ABRUPTLY_OUT = _fade_out(BLOCK_FRAMES // 2).astype(np.float32)
_IN = (1.0 - _fade_out(BLOCK_FRAMES)).astype(np.float32)


@dataclass(slots=True)
class Sound:
    """One block of a performance's stream."""

    pcm: Samples
    """[960, 2], faded where the performance begins or stops to sound."""
    stems: Samples | None = None
    """[5, 2, 960], faded alike: their sum is `pcm`; None where none were asked for or there is no music."""
    notes: npt.NDArray[np.void] | None = None
    """The notes that begin in this block, in stream frames; None as above."""

    def under(self, gain: npt.NDArray[np.floating]) -> Sound:
        """The same under a gain, [960, 1]."""
        stems = None if self.stems is None else self.stems * gain[:, 0]
        return replace(self, pcm=self.pcm * gain, stems=stems)

    def between(self, start: int, end: int | None = None) -> Sound:
        """Its frames `start` … before `end`, and all its notes."""
        stems = None if self.stems is None else self.stems[:, :, start:end]
        return replace(self, pcm=self.pcm[start:end], stems=stems)


_SILENCE = Sound(np.zeros((BLOCK_FRAMES, CHANNELS), np.float32))
_SILENCE.pcm.flags.writeable = False


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """A position in the stream and what is there in the music; bars and beats count from 1."""

    frame: int
    bar: int
    beat: int
    bpm: float

    @property
    def seconds(self) -> float:
        return self.frame / SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class StreamReach:
    """Where a field begins to change and where it has arrived, as things stand."""

    begin: StreamPosition
    arrive: StreamPosition


@dataclass(frozen=True, slots=True)
class Waits:
    """A control of which something has not begun, or not arrived."""

    id: str | None
    type: str
    fields: dict[str, StreamReach]
    by: str | None


@dataclass(frozen=True, slots=True)
class AskedBy:
    """Who asked for what the music does now, or will do."""

    by: str
    wish: str
    frame: int
    """Where it is heard first in the stream, as its ack said."""


@dataclass(frozen=True, slots=True)
class Ack:
    """What became of a control."""

    id: str | None
    effective: StreamPosition
    """The earliest audible change."""
    fields: dict[str, StreamReach]
    """Where each field begins to change, and where it has arrived."""
    replaces: tuple[str, ...]
    """Ids of the controls of which something that was to come does not."""
    is_idle: bool = False
    """It asked for what is so anyway: it has no place among the controls that are done again."""


@dataclass(frozen=True, slots=True)
class Beat:
    at: StreamPosition


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the form begins."""

    at: StreamPosition
    name: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A hit (then `stinger` is None) or a stinger sounds."""

    at: StreamPosition
    id: str | None
    stinger: str | None
    strength: float


@dataclass(frozen=True, slots=True)
class StateBegan:
    """A state of the game begins."""

    at: StreamPosition
    name: str
    previous: str | None


Event = Beat | Section | Marker | StateBegan


@dataclass(slots=True)
class _State:
    """All that a performance remembers besides controller and generator; picklable."""

    next_block: int = 0
    num_controls: int = 0
    silent_frames: int = 0
    """Stream frame minus music frame."""
    counted_frames: int = 0
    """The same as a countdown, which runs on in silence, knows it."""
    made: list[Sound] = field(default_factory=list)
    """What the generator has made and the stream has not had."""
    is_up: bool = True
    """What was handed out last ended at full level."""
    is_paused: bool = False
    is_resting: bool = False
    is_abrupt: bool = False
    """It is to fall silent within half a block."""
    is_restarting: bool = False
    """It begins again once it has faded out."""
    next_beat: int = 0
    """The first beat that has not been announced, from 0."""
    told: dict[tuple[str, int], Event] = field(default_factory=dict)
    """Events whose sound had not begun when they were last told, by kind and number."""
    told_at: tuple[int, int] | None = None
    """What their frames depend on, as it was then: controls and pauses."""
    told_frame: int = 0
    """Where the last beat that has been announced begins, as it was then."""
    asked_by: AskedBy | None = None


def _limits_of(generator: Generator) -> dict[str, int]:
    """What a controller is told of whoever makes its sound."""
    traits = generator.traits
    return {"lead_frames": traits.lead_frames, "block_frames": traits.block_multiple * BLOCK_FRAMES}


class Performance:
    """One music on one slot of a generator, handed out by `step` block by block."""

    def __init__(
        self,
        generator: Generator,
        slot: int,
        opening: Opening,
        seed: int,
        *,
        tail_frames: int = 0,
        num_forgotten: int = 0,
    ) -> None:
        """Begin at frame 0 in an empty slot. An asked ending is over `tail_frames` after the music's.

        Of the controls that will be replayed so many were before the first.
        """
        controller, state = Controller(opening, seed, **_limits_of(generator)), _State(num_controls=num_forgotten)
        self._enter(generator, slot, opening, controller, state, tail_frames)
        generator.open(slot, self.controller)

    @classmethod
    def of(cls, generator: Generator, slot: int, take: Take, *, tail_frames: int = 0) -> Self:
        """Begin what is to go as `take` says, in an empty slot. Raises as `replay` does."""
        performance = cls(generator, slot, take.opening, take.seed, tail_frames=tail_frames)
        performance.replay(take.entries)
        return performance

    @classmethod
    def restore(cls, generator: Generator, slot: int, opening: Opening, snapshot: dict[str, Any]) -> Self:
        """Go on, in an empty slot, from where `snapshot` was taken."""
        performance = cls.__new__(cls)
        performance._resume(generator, slot, opening, snapshot, 0)
        return performance

    def _resume(
        self, generator: Generator, slot: int, opening: Opening, snapshot: dict[str, Any], tail_frames: int
    ) -> None:
        state = replace(snapshot["state"], made=list(snapshot["state"].made))
        controller = Controller.restore(snapshot["controller"], opening, **_limits_of(generator))
        self._enter(generator, slot, opening, controller, state, tail_frames)
        generator.restore(slot, controller, snapshot["generator"])

    def return_to(self, snapshot: dict[str, Any]) -> None:
        """Be as it was when `snapshot` of it was taken; what is to be replayed from there on will be."""
        entries = self._entries
        self.generator.close(self.slot)
        self._resume(self.generator, self.slot, self._opening, snapshot, self._tail_frames)
        self.replay(entries)

    def _enter(
        self,
        generator: Generator,
        slot: int,
        opening: Opening,
        controller: Controller,
        state: _State,
        tail_frames: int,
    ) -> None:
        self.slot, self.controller = slot, controller
        self.generator, self._opening, self._state, self._tail_frames = generator, opening, state, tail_frames
        self._entries: tuple[Entry, ...] = ()
        self._to_replay: list[Entry] = []

    # --- time --------------------------------------------------------------------------------------------------------

    @property
    def next_block(self) -> int:
        """The number of the stream's next block."""
        return self._state.next_block

    @property
    def num_controls(self) -> int:
        """Of controls applied so far, skips and rests among them."""
        return self._state.num_controls

    @property
    def music_frame(self) -> int:
        """The first music frame that has not been handed out."""
        return self._state.next_block * BLOCK_FRAMES - self._state.silent_frames

    @property
    def _made_frame(self) -> int:
        """The first music frame that has not been made: what is made does not change any more."""
        return self.music_frame + len(self._state.made) * BLOCK_FRAMES

    @property
    def end_frame(self) -> int | None:
        """The stream frame at which the asked ending is over; None while none is asked."""
        end = self.controller.end_frame
        return None if end is None else end + self._state.silent_frames

    @property
    def zero(self) -> StreamPosition | None:
        """Where a countdown will reach 0:00; None without one that runs."""
        zero_frame, counted_frames = self.controller.zero_frame, self._state.counted_frames
        if zero_frame is None or zero_frame + counted_frames <= self.next_block * BLOCK_FRAMES:
            return None
        at = self.controller.foreseen(zero_frame, self.music_frame)
        return StreamPosition(zero_frame + counted_frames, at.bar, at.beat, at.bpm)

    @property
    def is_over(self) -> bool:
        """The music has reached the ending that was asked."""
        end = self.controller.end_frame
        return end is not None and self.music_frame >= end + self._tail_frames

    @property
    def is_resting(self) -> bool:
        return self._state.is_resting

    @property
    def is_sounding(self) -> bool:
        """The next block has music in it."""
        return self._state.is_up or self._is_to_sound

    @property
    def _is_to_sound(self) -> bool:
        return not (self._state.is_paused or self._state.is_resting or self.is_over)

    def position(self) -> StreamPosition:
        """Where the next block is. In silence this holds as if play went on now."""
        return self.in_stream(self.controller.position(self.music_frame))

    def in_stream(self, position: Position) -> StreamPosition:
        """Where a position of the music is in the stream, as things stand."""
        frame = position.frame + self._state.silent_frames
        return StreamPosition(frame, position.bar, position.beat, position.bpm)

    def mood(self) -> Intent:
        """What sounds now."""
        return self.controller.intent(self.music_frame)

    def state(self) -> Entrance | None:
        """The state of the game that sounds now; None where the station is in none."""
        return self.controller.state(self.controller.beat_at(self.music_frame))

    @property
    def asked_by(self) -> AskedBy | None:
        """Whose wish it follows; None where nobody was named."""
        return self._state.asked_by

    def heading(self) -> Intent:
        """What will sound in a moment if nothing more is asked."""
        return self.controller.intent(self.music_frame + _HEADING_FRAMES)

    # --- controls ----------------------------------------------------------------------------------------------------

    def apply(self, control: Control) -> Ack:
        """Apply a control before the next block. Raises `MoodsError` and changes nothing."""
        if isinstance(control, Countdown):
            self._count_silence()
        try:
            applied = self.controller.apply(self._in_music_time(control), self._made_frame)
        except OutOfRange as error:
            raise self._in_stream_time(error, control) from error
        if applied.changed_since is not None:
            self.generator.revise(self.slot, applied.changed_since)
        self._state.num_controls += not applied.is_idle
        effective = self.in_stream(applied.effective)
        if isinstance(control, Panic) or (
            isinstance(control, Transport) and control.do != "slow" and control.at == "now"
        ):
            self._transport("panic" if isinstance(control, Panic) else control.do)
            effective = self.position()
        if control.wish is not None and control.by is not None:
            self._state.asked_by = AskedBy(control.by, control.wish, effective.frame)
        elif isinstance(control, Steer | State) and not applied.is_idle:
            self._state.asked_by = None
        return Ack(applied.id, effective, self._reaches(applied.fields), applied.replaces, applied.is_idle)

    def pending(self) -> list[Waits]:
        """What was asked for and has not begun, or not arrived, the soonest first."""
        return [
            Waits(each.id, each.type, self._reaches(each.fields), each.by)
            for each in self.controller.pending(self.music_frame)
        ]

    def _reaches(self, fields: Mapping[str, Reached]) -> dict[str, StreamReach]:
        return {
            name: StreamReach(self.in_stream(reached.begin), self.in_stream(reached.arrive))
            for name, reached in fields.items()
        }

    def _in_music_time(self, control: Control) -> Control:
        """Clients count seconds of the stream, the controller those of the music."""
        at = getattr(control, "at", None)
        if isinstance(at, Seconds):
            seconds = max(0.0, at.seconds - self._state.silent_frames / SAMPLE_RATE)
            return control.model_copy(update={"at": Seconds(seconds=seconds)})
        return control

    def _in_stream_time(self, error: OutOfRange, control: Control) -> OutOfRange:
        """The same mistake in the asker's seconds."""
        at = getattr(control, "at", None)
        if not isinstance(at, Seconds):
            return error
        silent_s = self._state.silent_frames / SAMPLE_RATE
        return OutOfRange(error.field, at.seconds, error.low + silent_s, error.high + silent_s)

    def _transport(self, action: str) -> None:
        state = self._state
        state.is_abrupt = action == "panic"
        state.is_paused = action in ("pause", "panic")
        if action == "play":
            self._count_silence()
        if action == "restart" or action == "play" and self.is_over:
            if state.is_up:
                state.is_restarting = True
            else:
                self._restart()

    def _count_silence(self) -> None:
        """Tell a countdown how long the music has stood still, before it goes on."""
        state = self._state
        stood_frames, state.counted_frames = state.silent_frames - state.counted_frames, state.silent_frames
        changed_since = self.controller.hasten(stood_frames, self._made_frame) if stood_frames else None
        if changed_since is not None:
            self.generator.revise(self.slot, changed_since)

    def _restart(self) -> None:
        """The same opening and seed again, from the next block on; the level is no part of the music, and stays."""
        self.generator.close(self.slot)
        volume_db = self.controller.volume_db
        self.controller = Controller(self._opening, self.controller.seed, **_limits_of(self.generator))
        self.controller.keep_volume(volume_db)
        self.generator.open(self.slot, self.controller)
        state = self._state
        state.silent_frames = state.counted_frames = state.next_block * BLOCK_FRAMES
        state.made, state.is_up, state.is_restarting = [], False, False
        state.asked_by = None
        state.next_beat, state.told, state.told_at = 0, {}, None

    def begin_anew(self) -> None:
        """Begin the same opening again where its ending is over, within the next block, while what sounds rings on."""
        end_frame, state = self.controller.end_frame, self._state
        assert end_frame is not None and not state.made
        self.controller = Controller(self._opening, self.controller.seed, **_limits_of(self.generator))
        self.generator.begin_anew(self.slot, self.controller, end_frame)
        state.silent_frames += end_frame
        state.next_beat, state.told, state.told_at = 0, {}, None

    def skip(self, num_blocks: int) -> None:
        """Leave out blocks of the stream, as a pause would: the music goes on later, where it was."""
        state = self._state
        state.num_controls += 1
        state.next_block += num_blocks
        state.silent_frames += num_blocks * BLOCK_FRAMES
        state.is_up = False
        if state.is_restarting:
            self._restart()
        self._count_silence()

    def rest(self) -> None:
        """Fall silent while the stream goes on, whatever is asked, until `resume`."""
        self._state.num_controls += 1
        self._state.is_resting = True

    def resume(self) -> None:
        """Go on with the music, unless it is paused besides."""
        self._state.num_controls += 1
        self._state.is_resting = False
        self._count_silence()

    def replay(self, entries: Iterable[Entry]) -> None:
        """Do all this before the blocks it belongs to; what has been done already is left out.

        Raises `BadTake` for a control that cannot be applied where it is; later, `step` does.
        """
        self._entries = tuple(entries)
        self._to_replay = sorted(
            (entry for entry in self._entries if entry.index >= self.num_controls),
            key=lambda entry: entry.index,
            reverse=True,
        )
        self._replay_due()

    @property
    def is_replaying(self) -> bool:
        """There are entries still to be done."""
        return bool(self._to_replay)

    def _replay_due(self) -> None:
        while self._to_replay and self._to_replay[-1].block <= self.next_block:
            try:
                self._do(self._to_replay.pop().control)
            except MoodsError as error:
                at = f"control {self.num_controls + 1}, before frame {self.next_block * BLOCK_FRAMES}"
                raise BadTake(f"{at}, cannot be applied: {error}") from error

    def _do(self, act: Act) -> None:
        match act:
            case Skip(blocks):
                self.skip(blocks)
            case Rest():
                self.rest()
            case Resume():
                self.resume()
            case control:
                self.apply(control)

    def leave_out(self, num_blocks: int) -> list[Entry]:
        """Skip, and do at once what was still to be replayed; answer all that was done instead of it.

        What was to be skipped within these blocks is, and what can only be done where it was, is dropped; so is all but
        the last of very much, for it takes time in which nothing is made.
        """
        waiting, self._to_replay = self._to_replay[:_MOST_AT_ONCE][::-1], []
        done = [Entry(self.num_controls, self.next_block, Skip(num_blocks))]
        self.skip(num_blocks)
        for each in waiting:
            entry = Entry(self.num_controls, self.next_block, each.done)
            with contextlib.suppress(MoodsError):
                if not isinstance(entry.control, Skip):
                    self._do(entry.control)
                    done.append(entry)
        return done

    # --- sound -------------------------------------------------------------------------------------------------------

    @property
    def _needs_music(self) -> bool:
        return self.is_sounding and not self._state.made

    def _plan_ahead(self) -> None:
        """Let the music plan what it asks for by itself."""
        if (changed_since := self.controller.advance(self._made_frame)) is not None:
            self.generator.revise(self.slot, changed_since)

    def _take_in(self, pcm: Samples, stems: Samples | None, notes: npt.NDArray[np.void] | None) -> None:
        """Keep what the generator has made: [T, 2], stems [L, 2, T], notes in music frames."""
        blocks = [Sound(pcm[at : at + BLOCK_FRAMES]) for at in range(0, len(pcm), BLOCK_FRAMES)]
        if stems is not None:
            for number, block in enumerate(blocks):
                block.stems = stems[:, :, number * BLOCK_FRAMES : (number + 1) * BLOCK_FRAMES]
        if notes is not None:
            numbers = (notes["frame"] - self._made_frame) // BLOCK_FRAMES
            for number, block in enumerate(blocks):
                block.notes = notes[numbers == number]
        self._state.made += blocks

    def _hand_out(self) -> Sound:
        """The stream's next block, faded where sound begins or ends."""
        state = self._state
        # It is over where the halt is, or less than a block before.
        if self.is_sounding and (halt := self.controller.halt_before(self.music_frame + 2 * BLOCK_FRAMES)):
            self._transport(halt)
        if self.is_sounding:
            sound, is_to_sound = state.made.pop(0), self._is_to_sound and not state.is_restarting
            if sound.notes is not None:
                notes = sound.notes.copy()
                notes["frame"] += state.silent_frames
                sound = replace(sound, notes=notes)
            if not state.is_up:
                sound = sound.under(_IN)
            elif not is_to_sound:
                sound = sound.under(_ABRUPTLY_OUT if state.is_abrupt else _OUT)
            state.next_block += 1
            state.is_up = is_to_sound and not self.is_over
            if state.is_restarting:
                self._restart()
        else:
            sound = _SILENCE
            state.next_block += 1
            state.silent_frames += BLOCK_FRAMES
        if self._to_replay:
            self._replay_due()
        return sound

    # --- events ------------------------------------------------------------------------------------------------------

    def announcements(self) -> list[Event]:
        """Beats, sections and markers ahead whose frames are now fixed: each beat, and what sounds in it, is told when
        the one before it is about to begin; a hit that comes later than that, at once; what has moved, again.

        Asked after every change and before every block, it leaves nothing to begin at another frame than the one told.
        """
        state, controller = self._state, self.controller
        at, end = (state.num_controls, state.silent_frames), self.music_frame + BLOCK_FRAMES
        if at == state.told_at and end <= state.told_frame or not self.is_sounding:
            return []
        # Whoever has not asked for long finds the beats between forgotten: they are past.
        state.next_beat = max(state.next_beat, controller.beat_at(self.music_frame))
        while state.next_beat == 0 or controller.frame_of_beat(state.next_beat - 1) < end:
            state.next_beat += 1
        ahead = self._events(state.next_beat - 1)
        told, state.told = state.told, ahead
        state.told_at, state.told_frame = at, controller.frame_of_beat(state.next_beat - 1)
        return [event for key, event in ahead.items() if told.get(key) != event]

    def beginning(self) -> list[Event]:
        """What begins within the next block."""
        if not self.is_sounding:
            return []
        ahead = self._events(self.controller.beat_at(self.music_frame + BLOCK_FRAMES - 1))
        end = (self.next_block + 1) * BLOCK_FRAMES
        return [event for event in ahead.values() if event.at.frame < end]

    def _events(self, last_beat: int) -> dict[tuple[str, int], Event]:
        """All that begins from the next block on, up to a beat."""
        controller, end = self.controller, self.controller.end_frame
        still_to_sound = range(self.music_frame, sys.maxsize if end is None else end)
        first_beat = controller.beat_at(self.music_frame)
        ahead: dict[tuple[str, int], Event] = {}
        section = None
        for beat in range(first_beat, last_beat + 1):
            frame = controller.frame_of_beat(beat)
            if frame not in still_to_sound:
                continue
            at = self.in_stream(controller.position(frame))
            before = controller.section(beat - 1) if section is None and beat else section
            section = controller.section(beat)
            if section != before:
                ahead["section", beat] = Section(at, section[0])
            ahead["beat", beat] = Beat(at)
        for entrance in controller.states_within(first_beat, last_beat):
            if (frame := controller.frame_of_beat(entrance.beat)) in still_to_sound:
                at = self.in_stream(controller.position(frame))
                ahead["state", entrance.beat] = StateBegan(at, entrance.name, entrance.previous)
        for cue, position in controller.cues_within(first_beat, last_beat):
            if position.frame in still_to_sound:
                at = self.in_stream(position)
                ahead["marker", cue.number] = Marker(at, cue.id, cue.stinger, cue.strength)
        return ahead

    # --- keeping and leaving -----------------------------------------------------------------------------------------

    def compose_anew(self, beats: Sequence[tuple[range, int]]) -> None:
        """Let the notes of beats, none of which has begun, be drawn by other seeds."""
        self.controller.draw_by(beats)
        self.generator.revise(self.slot, self.controller.frame_of_beat(beats[0][0].start))

    def forget(self, keep_frames: int = _KEEP_FRAMES) -> None:
        """Let go of what is known of the course longer than `keep_frames` ago, so that memory stays flat."""
        self.controller.forget_before(max(0, self.music_frame - keep_frames))

    def snapshot(self) -> dict[str, Any]:
        """Copy all that the performance remembers, between two blocks; picklable."""
        return {
            "state": replace(self._state, made=list(self._state.made)),
            "controller": self.controller.snapshot(),
            "generator": self.generator.snapshot(self.slot),
        }

    def close(self) -> None:
        """Leave the slot empty."""
        self.generator.close(self.slot)


def step(
    generator: Generator, performances: Sequence[Performance], *, stems: bool = False, notes: bool = False
) -> list[Sound]:
    """Make and hand out the next block of each of `performances`, which play on `generator`.

    Stems and notes may be asked for only where the generator has them, and from the first block on.
    """
    needy = [performance for performance in performances if performance._needs_music]
    for performance in needy:
        performance._plan_ahead()
    if needy:
        made = generator.step([performance.slot for performance in needy], stems=stems, notes=notes)
        pcm = np.empty((len(needy), made.block.shape[2], CHANNELS), np.float32)
        for channel in range(CHANNELS):  # ten times quicker than a transposed copy
            pcm[:, :, channel] = made.block[:, channel]
        for row, performance in enumerate(needy):
            own_stems = None if made.stems is None else made.stems[row]
            performance._take_in(pcm[row], own_stems, None if made.notes is None else made.notes[row])
    return [performance._hand_out() for performance in performances]
