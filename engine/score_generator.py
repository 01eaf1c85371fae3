"""The default generator: a composer and a synth. In: courses; out: blocks. One thread calls it."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.audio import BLOCK_FRAMES
from engine.compile import compiled_beside, is_compiled
from engine.config import EngineConfig
from engine.device import choose_device
from engine.generator import Made, Model, Snapshot, Traits
from engine.notes import TICKS_PER_BEAT, notes_to_sounds
from engine.score.composer import ComposedBeat, Composer, num_rows
from engine.score.overlay import Overlay
from engine.score.rules import strike_tick
from engine.score.sampling import choose_events, pack_heads
from engine.score.trunk import CpuTrunk, TorchTrunk, Trunk
from engine.synth.errors import PatchError
from engine.synth.mixer import compile_parts, render_slot
from engine.synth.patching.tables import SHIPPED, PatchTables, load_tables, shipped_tables
from engine.synth.synth import Synth
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.controller import Controller
from moods.intent import Intent

_LEAD_FRAMES = 3 * BLOCK_FRAMES
"""Time to compose a beat anew that begins thereafter, while the blocks until then are made."""
_URGENT_FRAMES = 5 * BLOCK_FRAMES
"""A beat that is not composed this long before it begins is urgent."""
_SETTLE_FRAMES = 5 * BLOCK_FRAMES
"""After a revision composing waits this long, unless it is urgent: a hand that drags revises again and again."""
_CPU_PIECE_SLOTS = 2
"""On the CPU each row is computed by itself: one event of so many slots takes about a millisecond."""


class ScoreGenerator:
    """Implements `engine.generator.Generator`. `piece_slots` are composed for at a time in a piece of work."""

    def __init__(
        self,
        composer: Composer,
        synth: Synth,
        max_slots: int,
        piece_slots: int = _CPU_PIECE_SLOTS,
        *,
        model: Model | None = None,
        device: str = "cpu",
        patches: str | None = None,
    ) -> None:
        self.max_slots = max_slots
        self.traits = Traits(
            name="score",
            latency_frames=synth.latency_frames,
            lead_frames=_LEAD_FRAMES,
            block_multiple=1,
            has_notes=True,
            has_stems=True,
            model=model,
            device=device,
            patches=patches,
        )
        self._composer, self._synth, self._piece_slots = composer, synth, piece_slots
        self._controllers: dict[int, Controller] = {}
        self._overlays: dict[int, Overlay] = {}
        self._frames: dict[int, int] = {}
        self._revised: dict[int, int] = {}

    def counters(self) -> Mapping[str, int]:
        return {"composer_resets": self._composer.num_resets}

    def open(self, slot: int, controller: Controller) -> None:
        self._controllers[slot], self._overlays[slot] = controller, Overlay(controller)
        self._frames[slot] = 0
        self._revised[slot] = -_SETTLE_FRAMES
        self._composer.open(slot, controller)
        self._synth.open(slot, controller.seed)

    def work(self, slots: Sequence[int]) -> bool:
        waits = {slot: wait for slot in slots if (wait := self._wait_frames(slot)) is not None}
        most_urgent = sorted(waits, key=waits.__getitem__)[: self._piece_slots]
        self._composer.compose(most_urgent, 1)
        return bool(most_urgent)

    def _wait_frames(self, slot: int) -> int | None:
        """How long from now until the beat begins that the slot would compose; None where that has time."""
        if not self._composer.is_behind(slot):
            return None
        frame = self._frames[slot]
        wait = self._controllers[slot].frame_of_beat(self._composer.frontier(slot)) - frame
        is_settled = frame >= self._revised[slot] + _SETTLE_FRAMES
        return wait if is_settled or wait < _URGENT_FRAMES else None

    def is_ready(self, slot: int) -> bool:
        return self._composer.is_ready(slot) or not self._begins_a_beat(slot)

    def step(self, slots: Sequence[int], *, stems: bool = False, notes: bool = False) -> Made:
        while due := [slot for slot in slots if self._begins_a_beat(slot)]:
            self._composer.prepare(due)
            for slot in due:
                self._sound_beat(slot, self._composer.take(slot))
        for slot in slots:
            frame = self._frames[slot]
            self._synth.play(slot, self._overlays[slot].sounds(frame, frame + BLOCK_FRAMES))
        begun = [self._synth.due(slot, BLOCK_FRAMES) for slot in slots] if notes else None
        if stems:
            block, layers = self._synth.render_stems(slots, self._intent_of, BLOCK_FRAMES)
            made = Made(block, layers, begun)
        else:
            made = Made(self._synth.render(slots, self._intent_of, BLOCK_FRAMES), None, begun)
        for slot in slots:
            self._frames[slot] += BLOCK_FRAMES
        return made

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

    def _begins_a_beat(self, slot: int) -> bool:
        """Does a beat that has not been handed over begin in the next block?"""
        begins = self._controllers[slot].clock.frame_of_beat(self._composer.next_beat(slot))
        return begins < self._frames[slot] + BLOCK_FRAMES

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


def _read_tables(folder: Path | None) -> tuple[PatchTables, str | None]:
    """The shipped patches with those of `folder`, and the sum of those: or without them and a warning, for no patch
    keeps music from playing."""
    if folder is None:
        return shipped_tables(), None
    try:
        return load_tables(SHIPPED, folder), _sum_of(folder)
    except PatchError as error:
        logging.getLogger("undersong").warning("%s (patches of %s); the shipped ones play instead", error, folder)
        return shipped_tables(), None


def _sum_of(folder: Path) -> str:
    """sha256 of the patch files, their names included."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.toml")):
        total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def open_score(config: EngineConfig) -> ScoreGenerator:
    """Load the checkpoint, and compile what has not been compiled. Raises `BadCheckpoint`, `DeviceMissing`."""
    device = choose_device(config.device)
    sizes, tensors, manifest = read_checkpoint(config.checkpoint or shipped_checkpoint())
    trunk: Trunk
    if device == "cpu":
        trunk = CpuTrunk(tensors, sizes, num_rows(config.max_slots))
    else:
        trunk = TorchTrunk(tensors, sizes, num_rows(config.max_slots), device)
    composer = Composer(trunk, pack_heads(tensors), config.max_slots)
    if device == "cpu" and not (is_compiled(render_slot) and is_compiled(choose_events)):
        with compiled_beside("engine.synth.synth"):
            compile_parts()
            composer.warm_up()
    # More threads would only queue behind the front process and the encoders.
    num_threads = config.num_threads or min(4, os.cpu_count() or 1)
    tables, patches = _read_tables(config.patches)
    synth = Synth(config.max_slots, device=device, num_threads=num_threads, tables=tables)
    piece_slots = _CPU_PIECE_SLOTS if device == "cpu" else config.max_slots
    model = Model(Path(manifest["file"]).stem, manifest["sha256"])
    return ScoreGenerator(composer, synth, config.max_slots, piece_slots, model=model, device=device, patches=patches)
