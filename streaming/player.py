"""One station inside the engine process: its controller, its place in the stream, its fades.

In: controls and the generator's blocks; out: PCM with fades, acks, events. Remembers `PlayerState` and the controller.
The engine loop's thread calls it; `publish` runs on one pool thread at a time.

Stream frames count what was sent, music frames what was composed: while a station pauses, only the stream goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from engine.generator import Generator
from moods.control import At, Control, End, Hit, Panic, Steer, Stinger, Transport, parse_control, parse_opening
from moods.controller import Controller
from moods.errors import OutOfRange
from moods.intent import LAYERS, STYLES, Intent
from moods.prompt import resolve_prompt
from streaming.encoders.opus import OpusEncoder
from streaming.engines.ring import Ring
from streaming.engines.wire import Open
from streaming.protocol import Event, LogEntry

log = logging.getLogger(__name__)

_FADE_FRAMES = {"in": BLOCK_FRAMES, "out": BLOCK_FRAMES, "restart": BLOCK_FRAMES, "panic": BLOCK_FRAMES // 2}
_SILENCE = np.zeros((BLOCK_FRAMES, CHANNELS), np.float32)
_KEEP_FRAMES = 10 * SAMPLE_RATE
"""How much of the course's past a controller keeps, for status reads."""
_HEADING_FRAMES = 8 * SAMPLE_RATE


def _fade_curve(fade: str) -> npt.NDArray[np.float32]:
    """Gain of one block, float32 [960, 1]: a raised cosine, flat at both ends, then the level reached."""
    num_frames = _FADE_FRAMES[fade]
    falling = 0.5 + 0.5 * np.cos(np.pi * (np.arange(num_frames) + 0.5) / num_frames)
    curve = np.concatenate([falling, np.zeros(BLOCK_FRAMES - num_frames)])
    return (1.0 - curve if fade == "in" else curve).astype(np.float32)[:, None]


_FADES = {fade: _fade_curve(fade) for fade in _FADE_FRAMES}


@dataclass
class PlayerState:
    """All that a player remembers besides controller and generator; picklable."""

    next_block: int = 0
    paused_frames: int = 0
    """Stream frame minus music frame."""
    num_controls: int = 0
    is_sounding: bool = True
    fade: str | None = None
    """What happens to the next block: a key of `_FADE_FRAMES`, or None."""
    next_beat: int = 0
    """The first beat that has not been announced, from 0."""
    told: dict[tuple[str, int], Event] = field(default_factory=dict)
    """Events whose sound had not begun when they were last told, by kind and number."""
    told_at: tuple[int, int, int] | None = None
    """What their frames depend on, as it was then: controls, pauses, beats."""


class Player:
    """Plays one station on one slot of the generator."""

    def __init__(
        self, generator: Generator, slot: int, request: Open, ring: Path, snapshot: Path, bit_rate: int
    ) -> None:
        """Begin at frame 0, or where the snapshot of a station that is brought back left off.

        Raises `moods.errors.MoodsError` for an opening that cannot be read, OSError where the ring cannot be mapped.
        """
        self.station, self.slot, self.first_tick = request.station, slot, 0
        self._generator, self._opening, self._seed = generator, parse_opening(request.opening), request.seed
        self._snapshot_path = snapshot
        self._encoder = OpusEncoder(bit_rate)
        self._is_kept = True
        """The last attempt to keep a snapshot went well; said once when that changes."""
        kept = self._read_snapshot() if request.resume is not None else None
        if kept is None:
            self.state = PlayerState()
            self.controller = Controller(self._opening, self._seed)
            generator.open(slot, self.controller)
        else:
            self.state = kept["state"]
            self.controller = Controller.restore(kept["controller"])
            generator.restore(slot, self.controller, kept["generator"])
        entries = () if request.resume is None else request.resume.log
        self._replay = [entry for entry in entries if entry.index >= self.state.num_controls]
        self.is_behind = request.resume is not None
        """Brought back and not yet where it would have been: new controls wait, they belong to the present."""
        self._ring = Ring(ring)
        self.is_told_sounding = True
        """Whether it sounded at the last `status`."""

    # --- time --------------------------------------------------------------------------------------------------------

    @property
    def due_tick(self) -> int:
        return self.first_tick + self.state.next_block

    @property
    def music_frame(self) -> int:
        """The first music frame that has not been rendered."""
        return self.state.next_block * BLOCK_FRAMES - self.state.paused_frames

    def _place(self, music_frame: int) -> dict[str, Any]:
        """Where a music frame is: fields of events. While paused this holds as if play went on now."""
        position = self.controller.position(music_frame)
        frame = music_frame + self.state.paused_frames
        return {
            "frame": frame,
            "seconds": frame / SAMPLE_RATE,
            "bar": position.bar,
            "beat": position.beat,
            "bpm": position.bpm,
        }

    # --- controls ----------------------------------------------------------------------------------------------------

    def apply(self, message: dict[str, Any]) -> tuple[LogEntry, Event]:
        """Apply a control before the next block; answer its log entry and its ack. Raises `MoodsError`."""
        control = self._in_music_time(parse_control(message))
        try:
            applied = self.controller.apply(control, self.music_frame)
        except OutOfRange as error:
            raise self._in_stream_time(error, message) from error
        if isinstance(control, Transport | Panic):
            self._transport("panic" if isinstance(control, Panic) else control.do)
            effective = self._place(self.music_frame)
        else:
            effective = self._place(applied.effective.frame)
        if applied.changed_since is not None:
            self._generator.revise(self.slot, applied.changed_since)
        entry = LogEntry(self.state.num_controls, self.state.next_block, message)
        self.state.num_controls += 1
        fields = {name: self._place(position.frame) for name, position in applied.fields.items()}
        ack = {"type": "ack", "id": applied.id, "effective_at": effective, "fields": fields}
        if isinstance(control, Steer) and control.set.prompt is not None:
            ack["understood"] = resolve_prompt(control.set.prompt).to_dict()
        return entry, ack

    def _in_music_time(self, control: Control) -> Control:
        """Clients count seconds of the stream, the controller those of the music."""
        if isinstance(control, End | Hit | Stinger) and isinstance(control.at, At):
            seconds = max(0.0, control.at.seconds - self.state.paused_frames / SAMPLE_RATE)
            return control.model_copy(update={"at": At(seconds=seconds)})
        return control

    def _in_stream_time(self, error: OutOfRange, message: dict[str, Any]) -> OutOfRange:
        """The same mistake in the asker's seconds."""
        if error.field != "at.seconds":
            return error
        paused_s = self.state.paused_frames / SAMPLE_RATE
        return OutOfRange(error.field, message["at"]["seconds"], error.low + paused_s, error.high + paused_s)

    def _transport(self, action: str) -> None:
        state = self.state
        end = self.controller.end_frame
        if action == "restart" or (action == "play" and end is not None and self.music_frame >= end):
            if state.is_sounding and state.fade != "in":
                state.fade = "restart"
            else:
                self._reopen()
        elif action == "play":
            if not state.is_sounding:
                state.is_sounding, state.fade = True, "in"
            elif state.fade in ("out", "panic"):
                state.fade = None
        elif state.is_sounding:
            if state.fade == "in":
                state.is_sounding, state.fade = False, None
            else:
                state.fade = "panic" if action == "panic" else "out"

    def _reopen(self) -> None:
        """The same opening and seed again, from the next block on."""
        self._generator.close(self.slot)
        self.controller = Controller(self._opening, self._seed)
        self._generator.open(self.slot, self.controller)
        self.state.paused_frames = self.state.next_block * BLOCK_FRAMES
        self.state.is_sounding, self.state.fade = True, "in"
        self.state.next_beat, self.state.told, self.state.told_at = 0, {}, None

    def skip(self, num_blocks: int) -> Event:
        """Leave out blocks of the stream, as a pause would: the music goes on later, where it was."""
        state = self.state
        message = {"type": "skip", "blocks": num_blocks}
        event = {"frame": state.next_block * BLOCK_FRAMES, "index": state.num_controls, **message}
        state.num_controls += 1
        state.next_block += num_blocks
        state.paused_frames += num_blocks * BLOCK_FRAMES
        if state.is_sounding and state.fade is None:
            state.fade = "in"
        return event

    def replay_due(self) -> None:
        """Do again, after a recovery, what was done before the next block the first time."""
        while self._replay and self._replay[0].block <= self.state.next_block:
            message = self._replay.pop(0).control
            if message["type"] == "skip":
                self.skip(message["blocks"])
            else:
                self.apply(message)

    # --- sound -------------------------------------------------------------------------------------------------------

    def advance(self, block: npt.NDArray[np.float32] | None) -> npt.NDArray[np.float32]:
        """Turn the generator's block, float32 [2, 960], or None while silent, into the stream's next: [960, 2]."""
        state = self.state
        state.next_block += 1
        if block is None:
            state.paused_frames += BLOCK_FRAMES
            return _SILENCE
        pcm = np.ascontiguousarray(block.T)
        fade, state.fade = state.fade, None
        if fade is not None:
            pcm *= _FADES[fade]
        if fade in ("out", "panic"):
            state.is_sounding = False
        elif fade == "restart":
            self._reopen()
        end = self.controller.end_frame
        if end is not None and self.music_frame >= end:
            state.is_sounding = False
        return pcm

    def publish(self, block: int, pcm: npt.NDArray[np.float32]) -> None:
        """Encode block number `block` and write it into the ring."""
        self._ring.write(block, self._encoder.encode(pcm), pcm)

    # --- events ------------------------------------------------------------------------------------------------------

    def announcements(self) -> list[Event]:
        """Beats, sections and markers ahead whose frames are now fixed: each beat, and what sounds in it, is told when
        the one before it is about to begin; a hit that comes later than that, at once; what has moved, again.

        Asked after every change and before every block, it leaves nothing to begin at another frame than the one told.
        """
        state, controller = self.state, self.controller
        if not state.is_sounding:
            return []
        while state.next_beat == 0 or controller.frame_of_beat(state.next_beat - 1) < self.music_frame + BLOCK_FRAMES:
            state.next_beat += 1
        at = (state.num_controls, state.paused_frames, state.next_beat)
        if at == state.told_at:
            return []
        ahead = self._ahead()
        told, state.told, state.told_at = state.told, ahead, at
        return [event for key, event in ahead.items() if told.get(key) != event]

    def _ahead(self) -> dict[tuple[str, int], Event]:
        """All that begins on the beats announced so far, from the next block on."""
        controller, end = self.controller, self.controller.end_frame
        still_to_sound = range(self.music_frame, sys.maxsize if end is None else end)
        first_beat, last_beat = controller.beat_at(self.music_frame), self.state.next_beat - 1
        ahead: dict[tuple[str, int], Event] = {}
        for beat in range(first_beat, last_beat + 1):
            frame = controller.frame_of_beat(beat)
            if frame not in still_to_sound:
                continue
            place = self._place(frame)
            section = controller.beat_intent(beat).section
            if beat == 0 or controller.beat_intent(beat - 1).section != section:
                where = {name: place[name] for name in ("bar", "beat", "frame", "seconds")}
                ahead["section", beat] = {"type": "section", "name": section, **where}
            ahead["beat", beat] = {"type": "beat", **place}
        for cue, position in controller.cues_within(first_beat, last_beat):
            if position.frame not in still_to_sound:
                continue
            what = {"name": "hit", "strength": cue.strength} if cue.stinger is None else {"name": "stinger"}
            if cue.stinger is not None:
                what["stinger"] = cue.stinger
            ahead["marker", cue.number] = {"type": "marker", "id": cue.id, **what, **self._place(position.frame)}
        return ahead

    def status(self) -> Event:
        """What is sounding and where it is going; the front adds what it knows of listeners."""
        frame = self.music_frame
        self.is_told_sounding = self.state.is_sounding
        playing = "playing" if self.is_told_sounding else "paused"
        end = self.controller.end_frame
        return {
            "type": "status",
            "state": "ended" if end is not None and frame >= end else playing,
            "position": self._place(frame),
            "mood": _describe(self.controller.intent(frame)),
            "heading": self.heading(),
        }

    def heading(self) -> dict[str, Any]:
        """Where the music will be in a moment."""
        return _describe(self.controller.intent(self.music_frame + _HEADING_FRAMES))

    # --- keeping and leaving -----------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Copy all that the station remembers, between two blocks."""
        self.controller.forget_before(max(0, self.music_frame - _KEEP_FRAMES))
        return {
            "state": replace(self.state),
            "controller": self.controller.snapshot(),
            "generator": self._generator.snapshot(self.slot),
        }

    def keep(self, snapshot: dict[str, Any], report: Callable[[], None]) -> None:
        """Replace the snapshot on disk at once or not at all, then report; for a pool thread.

        Where there is no room the one before stays: the station comes back from there and replays more controls.
        """
        partial = self._snapshot_path.with_suffix(".partial")
        try:
            partial.write_bytes(pickle.dumps(snapshot, protocol=5))
            os.replace(partial, self._snapshot_path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            if self._is_kept:
                log.warning("%s cannot be kept for a recovery: %s", self._snapshot_path, error.strerror)
            self._is_kept = False
        else:
            self._is_kept = True
            report()

    def _read_snapshot(self) -> dict[str, Any] | None:
        try:
            return pickle.loads(self._snapshot_path.read_bytes())
        except FileNotFoundError:
            return None

    def close(self) -> None:
        self._generator.close(self.slot)
        self._ring.close()


def _describe(intent: Intent) -> dict[str, Any]:
    """An intent in the words of the public interface."""
    return {
        "valence": round(intent.valence, 4),
        "energy": round(intent.energy, 4),
        "tension": round(intent.tension, 4),
        "style": {name: round(weight, 4) for name, weight in zip(STYLES, intent.style, strict=True) if weight > 1e-4},
        "bpm": round(intent.bpm, 2),
        "key": str(intent.key),
        "density": round(intent.density, 4),
        "brightness": round(intent.brightness, 4),
        "layers": {
            name: {"gain_db": round(gain_db, 2), "plays": plays}
            for name, gain_db, plays in zip(LAYERS, intent.layer_gains_db, intent.active_layers, strict=True)
        },
        "temperature": round(intent.temperature, 4),
        "section": intent.section,
    }
