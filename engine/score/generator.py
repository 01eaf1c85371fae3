"""The default generator: a composer and a synth. In: courses; out: blocks. One thread calls it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, Block
from engine.generator import Snapshot
from engine.score.composer import ComposedBeat, Composer
from engine.score.overlay import Overlay
from engine.score.piece import TICKS_PER_BEAT
from engine.score.rules import strike_tick
from engine.synth.sound import SOUND
from engine.synth.synth import Synth
from moods.controller import Controller
from moods.intent import Intent

_STEPS_PER_BLOCK = 2
"""Events composed ahead per slot and block: 100 a second, four times what dense music needs."""
_URGENT_FRAMES = 5 * BLOCK_FRAMES
"""A beat that is not composed this long before it begins is hurried, so that no single block bears all of it."""
_SETTLE_FRAMES = 5 * BLOCK_FRAMES
"""After a revision composing waits this long, unless it is urgent: a hand that drags revises again and again."""


class ScoreGenerator:
    """Implements `engine.generator.Generator`."""

    def __init__(self, composer: Composer, synth: Synth, max_slots: int) -> None:
        self.max_slots, self.latency_frames = max_slots, synth.latency_frames
        self._composer, self._synth = composer, synth
        self._controllers: dict[int, Controller] = {}
        self._overlays: dict[int, Overlay] = {}
        self._frames: dict[int, int] = {}
        self._revised: dict[int, int] = {}

    @property
    def num_resets(self) -> int:
        return self._composer.num_resets

    def open(self, slot: int, controller: Controller) -> None:
        self._controllers[slot], self._overlays[slot] = controller, Overlay(controller)
        self._frames[slot] = 0
        self._revised[slot] = -_SETTLE_FRAMES
        self._composer.open(slot, controller)
        self._synth.open(slot, controller.seed)

    def step(self, slots: Sequence[int]) -> Block:
        while due := [slot for slot in slots if self._next_beat_frame(slot) < self._frames[slot] + BLOCK_FRAMES]:
            self._composer.prepare(due)
            for slot in due:
                self._sound_beat(slot, self._composer.take(slot))
        for slot in slots:
            frame = self._frames[slot]
            self._synth.play(slot, self._overlays[slot].sounds(frame, frame + BLOCK_FRAMES))
        self._compose_ahead(slots)
        block = self._synth.render(slots, self._intent_of, BLOCK_FRAMES)
        for slot in slots:
            self._frames[slot] += BLOCK_FRAMES
        return block

    def _compose_ahead(self, slots: Sequence[int]) -> None:
        """A few events for every slot; which ones and when changes what it costs, never what is heard."""
        urgent, settled = [], []
        for slot in slots:
            frame = self._frames[slot]
            if not self._composer.is_ready(slot) and self._next_beat_frame(slot) < frame + _URGENT_FRAMES:
                urgent.append(slot)
            elif frame >= self._revised[slot] + _SETTLE_FRAMES:
                settled.append(slot)
        self._composer.compose(urgent, 2 * _STEPS_PER_BLOCK)
        self._composer.compose(settled, _STEPS_PER_BLOCK)

    def revise(self, slot: int, changed_since: int) -> None:
        self._composer.revise(slot, self._controllers[slot].clock.first_beat_from(changed_since))
        self._revised[slot] = self._frames[slot]

    def close(self, slot: int) -> None:
        self._composer.close(slot)
        self._synth.close(slot)
        del self._controllers[slot], self._overlays[slot], self._frames[slot], self._revised[slot]

    def snapshot(self, slot: int) -> Snapshot:
        return {
            "frames": (self._frames[slot], self._revised[slot]),
            "composer": self._composer.snapshot(slot),
            "overlay": self._overlays[slot].snapshot(),
            "synth": self._synth.snapshot(slot),
        }

    def restore(self, slot: int, controller: Controller, snapshot: Snapshot) -> None:
        self._controllers[slot], self._overlays[slot] = controller, Overlay(controller)
        self._overlays[slot].restore(snapshot["overlay"])
        self._frames[slot], self._revised[slot] = snapshot["frames"]
        self._composer.restore(slot, controller, snapshot["composer"])
        self._synth.restore(slot, snapshot["synth"])

    def _intent_of(self, slot: int, frame: int) -> Intent:
        return self._controllers[slot].intent(frame)

    def _next_beat_frame(self, slot: int) -> int:
        return self._controllers[slot].clock.frame_of_beat(self._composer.next_beat(slot))

    def _sound_beat(self, slot: int, beat: ComposedBeat) -> None:
        """Give a beat's notes to the synth, ticks turned into frames by the tempo of this beat."""
        clock = self._controllers[slot].clock
        start = clock.frame_of_beat(beat.index)
        frames_per_tick = (clock.frame_of_beat(beat.index + 1) - start) / TICKS_PER_BEAT
        sounds = notes_to_sounds(beat.notes, start, frames_per_tick)
        intent = self._controllers[slot].beat_intent(beat.index)
        if intent.cue == "hit":
            # Notes lie on ticks; what is struck at a hit sounds at the very frame that was acknowledged.
            struck = beat.notes["tick"] == strike_tick(intent)
            sounds["frame"][struck] = start + round(intent.hit_offset * TICKS_PER_BEAT * frames_per_tick)
            sounds["is_struck"][struck] = 1
        self._overlays[slot].hear(beat)
        self._synth.play(slot, sounds)


def notes_to_sounds(notes: npt.NDArray[np.void], start: int, frames_per_tick: float) -> npt.NDArray[np.void]:
    """Notes counted in ticks from frame `start` as sounds counted in frames."""
    sounds = np.zeros(len(notes), SOUND)
    sounds["frame"] = start + np.rint(notes["tick"] * frames_per_tick).astype(np.int64)
    sounds["length"] = np.maximum(1, np.rint(notes["length"] * frames_per_tick)).astype(np.int32)
    for name in ("layer", "pitch", "velocity"):
        sounds[name] = notes[name]
    return sounds
