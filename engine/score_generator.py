"""The default generator: a composer and a synth. In: courses; out: blocks. One thread calls it."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES
from engine.compile import compiled_beside, is_compiled
from engine.config import EngineConfig
from engine.device import choose_device
from engine.generator import Made, Model, Snapshot, Traits
from engine.notes import TICKS_PER_BEAT, notes_to_sounds
from engine.score.columns import Bools, Column, Ints, make_columns, reset_row
from engine.score.composer import ComposedBeats, Composer, num_rows
from engine.score.overlay import Overlay
from engine.score.rules import strike_tick
from engine.score.sampling import choose_events, pack_heads
from engine.score.trunk import CpuTrunk, TorchTrunk, Trunk
from engine.synth.errors import PatchError, SoundFontError
from engine.synth.general_midi import programs
from engine.synth.mixer import compile_parts, render_slot
from engine.synth.patching.tables import SHIPPED, PatchTables, load_tables, shipped_tables
from engine.synth.ragged import Ragged
from engine.synth.synth import Synth, colour_row
from engine.synth.targets import NUM_COLOURS
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.controller import Controller

_LEAD_FRAMES = 3 * BLOCK_FRAMES
"""Time to compose a beat anew that begins thereafter, while the blocks until then are made."""
_URGENT_FRAMES = 5 * BLOCK_FRAMES
"""A beat that is not composed this long before it begins is urgent."""
_SETTLE_FRAMES = 5 * BLOCK_FRAMES
"""After a revision composing waits this long, unless it is urgent: a hand that drags revises again and again."""
_CPU_PIECE_SLOTS = 2
"""On the CPU each row is computed by itself: one event of so many slots takes about a millisecond."""


_NONE_NOTICED = -1


class _Slots(NamedTuple):
    """What is known of each slot's course; frames count its music."""

    frame: Annotated[Ints, Column()]  # the next to be made; below 0 where the music begins within a block
    origin: Annotated[Ints, Column()]  # the synth's frame at which the music began
    revised: Annotated[Ints, Column(initial=-_SETTLE_FRAMES)]  # the frame at which the course was revised last
    beat_begins: Annotated[Ints, Column()]  # the beat that the composer hands over next
    beat_frames: Annotated[Ints, Column()]  # how long the one before it is
    num_controls: Annotated[Ints, Column(initial=_NONE_NOTICED)]  # that have been noticed
    colour: Annotated[npt.NDArray[np.float64], Column(NUM_COLOURS)]
    colour_holds_until: Annotated[Ints, Column()]
    is_laid_over: Annotated[Bools, Column()]  # cues may be laid over the music


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
        tables: PatchTables | None = None,
        patches: str | None = None,
    ) -> None:
        self.max_slots = max_slots
        self._tables = tables or shipped_tables()
        self.traits = Traits(
            name="score",
            latency_frames=synth.latency_frames,
            lead_frames=_LEAD_FRAMES,
            block_multiple=1,
            has_notes=True,
            has_stems=True,
            has_loops=True,
            model=model,
            device=device,
            patches=patches,
        )
        self._composer, self._synth, self._piece_slots = composer, synth, piece_slots
        self._overlay = Overlay(max_slots)
        self._controllers: dict[int, Controller] = {}
        self._slots = make_columns(_Slots, max_slots)

    def counters(self) -> Mapping[str, int]:
        return {"composer_resets": self._composer.num_resets, "composer_renewals": self._composer.num_renewals}

    def novelty(self, slot: int) -> Mapping[str, float]:
        return self._composer.novelty(slot)._asdict()

    def open(self, slot: int, controller: Controller) -> None:
        reset_row(self._slots, slot)
        self._slots.beat_frames[slot] = controller.frame_of_beat(1)
        self._controllers[slot] = controller
        self._overlay.open(slot, controller)
        self._composer.open(slot, controller)
        self._synth.open(slot, controller.seed)

    def begin_anew(self, slot: int, controller: Controller, at_frame: int) -> None:
        state = self._slots
        frame, origin = int(state.frame[slot]), int(state.origin[slot])
        assert frame <= at_frame < frame + BLOCK_FRAMES, (frame, at_frame)
        self._composer.close(slot)
        self._overlay.close(slot)
        reset_row(state, slot)
        state.frame[slot], state.origin[slot] = frame - at_frame, origin + at_frame
        state.beat_frames[slot] = controller.frame_of_beat(1)
        self._controllers[slot] = controller
        self._overlay.open(slot, controller)
        self._composer.open(slot, controller)

    def work(self, slots: Sequence[int]) -> bool:
        state, behind = self._slots, self._composer.behind(slots)
        frames = state.frame[behind]
        wait_frames = state.beat_begins[behind] - frames
        wait_frames += self._composer.num_ahead(behind) * state.beat_frames[behind]
        is_settled = frames >= state.revised[behind] + _SETTLE_FRAMES
        may_wait = ~is_settled & (wait_frames >= _URGENT_FRAMES)
        behind, wait_frames = behind[~may_wait], wait_frames[~may_wait]
        if len(behind) > self._piece_slots:
            behind = behind[np.argsort(wait_frames, kind="stable")[: self._piece_slots]]
        self._composer.compose(behind, 1)
        return len(behind) > 0

    def is_ready(self, slot: int) -> bool:
        state = self._slots
        begins_a_beat = state.beat_begins[slot] < state.frame[slot] + BLOCK_FRAMES
        return not begins_a_beat or bool(self._composer.num_ahead(slot) > 0)

    def step(self, slots: Sequence[int], *, stems: bool = False, notes: bool = False) -> Made:
        rows, state = np.asarray(slots, np.int64), self._slots
        self._notice_controls(rows)
        ends = state.frame[rows] + BLOCK_FRAMES
        while len(due := rows[state.beat_begins[rows] < ends]):
            self._composer.prepare(due)
            self._sound_beats(due, self._composer.take_all(due))
        for slot in rows[state.is_laid_over[rows]].tolist():
            self._lay_over(slot)
        begun = [self._due(slot) for slot in slots] if notes else None
        colours = Ragged(self._colours(rows), np.arange(len(rows) + 1))
        block, layers = self._synth.render_rows(rows, colours, BLOCK_FRAMES, stems=stems, is_mastered=True)
        state.frame[rows] = ends
        return Made(block, layers if stems else None, begun)

    def programs(self, slot: int) -> tuple[int, ...]:
        controller = self._controllers[slot]
        intent = controller.intent(int(self._slots.frame[slot]))
        return programs(self._tables, controller.seed, intent.style.index(max(intent.style)), intent.piece)

    def revise(self, slot: int, changed_since: int) -> None:
        self._composer.revise(slot, self._controllers[slot].clock.first_beat_from(changed_since))
        self._slots.revised[slot] = self._slots.frame[slot]

    def close(self, slot: int) -> None:
        self._composer.close(slot)
        self._overlay.close(slot)
        self._synth.close(slot)
        del self._controllers[slot]

    def snapshot(self, slot: int) -> Snapshot:
        return {
            "slot": [array[slot].copy() for array in self._slots],
            "composer": self._composer.snapshot(slot),
            "overlay": self._overlay.snapshot(slot),
            "synth": self._synth.snapshot(slot),
        }

    def restore(self, slot: int, controller: Controller, snapshot: Snapshot) -> None:
        for array, saved in zip(self._slots, snapshot["slot"], strict=True):
            array[slot] = saved
        self._slots.num_controls[slot] = _NONE_NOTICED
        self._controllers[slot] = controller
        self._overlay.restore(slot, controller, snapshot["overlay"])
        self._composer.restore(slot, controller, snapshot["composer"])
        self._synth.restore(slot, snapshot["synth"])

    def _notice_controls(self, slots: Ints) -> None:
        """Whatever was read of a course that has had a control since is read anew."""
        controllers, state = self._controllers, self._slots
        num_controls = np.array([controllers[slot].revision for slot in slots.tolist()])
        changed = slots[num_controls != state.num_controls[slots]]
        state.num_controls[slots] = num_controls
        state.colour_holds_until[changed], state.is_laid_over[changed] = 0, True

    def _sound_beats(self, slots: Ints, beats: ComposedBeats) -> None:
        """Give the synth the notes of the next beats of `slots` [N], ticks turned into frames by the beats' tempo."""
        controllers, state = self._controllers, self._slots
        begins = state.beat_begins[slots]
        after = zip(slots.tolist(), (beats.beat + 1).tolist(), strict=True)
        ends = np.array([controllers[slot].frame_of_beat(beat) for slot, beat in after])
        of, notes = beats_to_sounds(beats, begins, ends)
        state.beat_begins[slots], state.beat_frames[slots] = ends, ends - begins
        notes["frame"] += state.origin[slots][of]
        self._overlay.hear(slots, beats)
        self._synth.play_all(slots[of], notes)

    def _due(self, slot: int) -> npt.NDArray[np.void]:
        """The notes that begin in the next block, in music frames."""
        notes = self._synth.due(slot, BLOCK_FRAMES)
        notes["frame"] -= self._slots.origin[slot]
        return notes

    def _lay_over(self, slot: int) -> None:
        """Give the synth what is laid over the music and begins in the next block."""
        frame = int(self._slots.frame[slot])
        sounds = self._overlay.sounds(slot, frame, frame + BLOCK_FRAMES)
        sounds["frame"] += self._slots.origin[slot]
        self._synth.play(slot, sounds)
        self._slots.is_laid_over[slot] = not self._overlay.is_empty(slot)

    def _colours(self, slots: Ints) -> npt.NDArray[np.float64]:
        """The synth's rows [N, NUM_COLOURS]; a course is asked only where its colour may have changed."""
        state = self._slots
        frames = np.maximum(0, state.frame[slots])
        is_stale = frames >= state.colour_holds_until[slots]
        for slot, frame in zip(slots[is_stale].tolist(), frames[is_stale].tolist(), strict=True):
            controller = self._controllers[slot]
            state.colour[slot] = colour_row(controller.intent(frame))
            state.colour_holds_until[slot] = controller.holds_until(frame)
        return state.colour[slots]


def beats_to_sounds(beats: ComposedBeats, begins: Ints, ends: Ints) -> tuple[Ints, npt.NDArray[np.void]]:
    """Notes [M] SOUND of beats that last from frames `begins` [N] to `ends` [N], and which beat each is of."""
    of = np.repeat(np.arange(len(begins)), beats.num_notes)
    frames_per_tick = (ends - begins) / TICKS_PER_BEAT
    notes = notes_to_sounds(beats.notes, begins[of], frames_per_tick[of])
    notes["frame"] += np.rint(beats.late * frames_per_tick[of]).astype(np.int64)
    if beats.is_hit.any():
        # Notes lie on ticks; what is struck at a hit sounds at the very frame that was acknowledged.
        is_struck = beats.is_hit[of] & (beats.notes["tick"] == strike_tick(beats.hit_offset)[of])
        struck = begins + np.rint(beats.hit_offset * TICKS_PER_BEAT * frames_per_tick).astype(np.int64)
        notes["frame"][is_struck], notes["is_struck"][is_struck] = struck[of][is_struck], 1
    return of, notes


def _read_tables(folder: Path | None, soundfont: Path | None) -> tuple[PatchTables, str | None]:
    """The shipped patches with those of `folder` and of `soundfont`, and the sum of those: or without them and a
    warning, for no patch keeps music from playing."""
    if folder is None and soundfont is None:
        return shipped_tables(), None
    folders = [SHIPPED] if folder is None else [SHIPPED, folder]
    try:
        tables = load_tables(*folders, soundfont=soundfont)
    except (PatchError, SoundFontError) as error:
        where = "" if folder is None else f" (patches of {folder})"
        logging.getLogger("undersong").warning("%s%s; the shipped instruments play instead", error, where)
        return shipped_tables(), None
    return tables, _sum_of(folder, tables.soundfonts)


def _sum_of(folder: Path | None, soundfonts: Sequence[Path]) -> str:
    """sha256 of the patch files, their names included, and of soundfonts, whatever they are called."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.toml")) if folder is not None else ():
        total.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    for file in soundfonts:
        with file.open("rb") as content:
            total.update(hashlib.file_digest(content, "sha256").digest())
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
    # More threads would only queue behind the server process and the encoders.
    num_threads = config.num_threads or min(4, os.cpu_count() or 1)
    tables, patches = _read_tables(config.patches, config.soundfont)
    synth = Synth(config.max_slots, device=device, num_threads=num_threads, tables=tables)
    piece_slots = _CPU_PIECE_SLOTS if device == "cpu" else config.max_slots
    model = Model(Path(manifest["file"]).stem, manifest["sha256"])
    return ScoreGenerator(
        composer, synth, config.max_slots, piece_slots, model=model, device=device, tables=tables, patches=patches
    )
