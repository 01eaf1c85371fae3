"""The synth: notes and intents in, blocks of sound out, for many slots, on the CPU or on a CUDA card.

Remembers the queue of every slot; its renderer remembers the rest. One thread calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, Block, Stems
from engine.notes import SOUND
from engine.synth.cpu import CpuRenderer
from engine.synth.effects.limiter import LATENCY_FRAMES
from engine.synth.patching.tables import PatchTables, shipped_tables
from engine.synth.queue import Queue
from engine.synth.ragged import Ragged
from engine.synth.sizes import NUM_LAYERS
from engine.synth.state import (
    FRAME,
    SlotState,
    new_state,
)
from engine.synth.targets import NUM_COLOURS
from moods.harmony import Key
from moods.intent import LAYERS, NO_RECALL, STYLES, Intent

IntentOf = Callable[[int, int], Intent]
"""(slot, frame) -> what is heard from that frame on; asked at every multiple of BLOCK_FRAMES, before rendering."""


_NO_NOTES = np.zeros(0, SOUND)


class Renderer(Protocol):
    """Runs the kernels on one processor and keeps the slots' states there."""

    def open(self, slot: int, state: SlotState) -> None:
        """Take `state` over for an empty slot."""

    def close(self, slot: int) -> None:
        """Forget the slot."""

    def state(self, slot: int) -> SlotState:
        """A copy of what the slot remembers."""

    def keep_stems(self, slots: Sequence[int]) -> None:
        """From now on keep effects of every layer of `slots`."""

    def render(
        self,
        slots: Sequence[int],
        sounds: Ragged,
        controls: Ragged,
        num_frames: int,
        stem_frames: int,
        is_mastered: bool,
    ) -> tuple[Block, Block]:
        """Make the next frames: the block [S, 2, num_frames] and stems [S, layers, 2, stem_frames].

        `sounds` [N] SOUND of each slot begin in these frames; `controls` [B, NUM_COLOURS] has a row for every multiple
        of BLOCK_FRAMES among them. `stem_frames` is `num_frames`, or 0 for none; stems are
        taken behind the master if `is_mastered`, or else before it.
        """


def colour_row(intent: Intent) -> tuple[float, ...]:
    """An intent in the order of targets.C_LOUDNESS and so on."""
    return (
        intent.loudness_lufs, intent.brightness, intent.energy, intent.bpm, intent.gain_db, intent.voice_room,
        intent.piece, *intent.layer_gains_db, *intent.style,
    )  # fmt: skip


class Synth:
    """Renders up to `max_slots` slots on `device`, "cpu" or "cuda"; the threads are the CPU's.

    Raises `DeviceMissing` where the card or the package for it is not there, `PatchError` for patches that cannot be.
    """

    latency_frames = LATENCY_FRAMES
    """The limiter's look-ahead, 70 frames (1.5 ms). A note's attack begins within [onset, onset + latency_frames], and
    where its patch is strummed or played loosely up to playing.MAX_LATE_FRAMES (30 ms) later."""

    def __init__(
        self, max_slots: int, *, device: str = "cpu", num_threads: int = 1, tables: PatchTables | None = None
    ) -> None:
        self.max_slots = max_slots
        flat = (tables or shipped_tables()).flat()
        self._renderer: Renderer
        if device == "cpu":
            self._renderer = CpuRenderer(flat, num_threads)
        else:
            # Here and not above: its package is an extra, and takes a second to import.
            from engine.synth.cuda import CudaRenderer

            self._renderer = CudaRenderer(flat, max_slots)
        self._open_slots: set[int] = set()
        self._frames = np.zeros(max_slots, np.int64)  # the next that each slot will render
        self._queue = Queue(max_slots)

    def open(self, slot: int, seed: int) -> None:
        """Begin at frame 0 in an empty slot; `seed` chooses among each style's instruments."""
        self._open(slot, new_state(seed), _NO_NOTES)

    def _open(self, slot: int, state: SlotState, queue: npt.NDArray[np.void]) -> None:
        assert 0 <= slot < self.max_slots and slot not in self._open_slots, slot
        self._renderer.open(slot, state)
        self._open_slots.add(slot)
        self._frames[slot] = state.clock[FRAME]
        self.play(slot, queue)

    def frame(self, slot: int) -> int:
        """The next frame that the slot will render."""
        return int(self._frames[slot])

    def play(self, slot: int, notes: npt.NDArray[np.void]) -> None:
        """Queue notes [N] SOUND, none earlier than the slot's frame."""
        self.play_all(np.full(len(notes), slot), notes)

    def play_all(self, slots: npt.NDArray[np.int64], notes: npt.NDArray[np.void]) -> None:
        """Queue notes [N] SOUND of slots [N], none earlier than its slot's frame."""
        if len(notes):
            assert (notes["frame"] >= self._frames[slots]).all(), "a note came too late"
            self._queue.put(slots, notes)

    def due(self, slot: int, num_frames: int) -> npt.NDArray[np.void]:
        """The queued notes [N] SOUND that begin within the next `num_frames` frames."""
        notes = self._queue.of(slot)
        return notes[: np.searchsorted(notes["frame"], self._frames[slot] + num_frames)]

    def render(self, slots: Sequence[int], intent_of: IntentOf, num_frames: int) -> Block:
        """Make the next `num_frames` frames of each of `slots`: float32 [S, 2, T], true peak at most -1 dBTP."""
        return self.render_rows(slots, self._colours(slots, intent_of, num_frames), num_frames)[0]

    def render_stems(self, slots: Sequence[int], intent_of: IntentOf, num_frames: int) -> tuple[Block, Stems]:
        """The same and, as float32 [S, 5, 2, T], every layer with its own effects before the master.

        The sum of the stems is the mix that the master takes. The block is the same to the bit as from `render`.
        A slot's stems have effect tails from its first `render_stems` on; call it from frame 0.
        """
        return self.render_rows(slots, self._colours(slots, intent_of, num_frames), num_frames, stems=True)

    def _colours(self, slots: Sequence[int], intent_of: IntentOf, num_frames: int) -> Ragged:
        rows: list[tuple[float, ...]] = []
        first = [0]
        for slot in slots:
            start = self.frame(slot)
            for frame in range(-(-start // BLOCK_FRAMES) * BLOCK_FRAMES, start + num_frames, BLOCK_FRAMES):
                rows.append(colour_row(intent_of(slot, frame)))
            first.append(len(rows))
        return Ragged(np.array(rows, np.float64).reshape(-1, NUM_COLOURS), np.array(first))

    def render_rows(
        self,
        slots: Sequence[int] | npt.NDArray[np.int64],
        colours: Ragged,
        num_frames: int,
        *,
        stems: bool = False,
        is_mastered: bool = False,
    ) -> tuple[Block, Stems]:
        """The same from rows of colour: `colour_row` of every multiple of BLOCK_FRAMES in these frames. Stems have no
        frames where they are not wanted; if `is_mastered`, they have gone through the master and sum to the block."""
        slots = np.asarray(slots, np.int64)
        if stems:
            self._renderer.keep_stems(slots.tolist())
        ends = self._frames[slots] + num_frames
        self._frames[slots] = ends
        return self._renderer.render(
            slots.tolist(), self._queue.take(slots, ends), colours, num_frames, num_frames if stems else 0, is_mastered
        )

    def snapshot(self, slot: int) -> dict[str, Any]:
        """Copy all that the slot remembers; picklable, independent of the slot's number and of the device."""
        return {**self._renderer.state(slot)._asdict(), "sounds": self._queue.of(slot)}

    def restore(self, slot: int, snapshot: dict[str, Any]) -> None:
        """Continue a snapshot in an empty slot, bit-exact on the same device."""
        arrays = {name: array.copy() for name, array in snapshot.items()}
        sounds = arrays.pop("sounds")
        self._open(slot, SlotState(**arrays), sounds)

    def close(self, slot: int) -> None:
        """Forget the slot."""
        self._renderer.close(slot)
        self._open_slots.remove(slot)
        self._queue.drop(slot)


def compile_ahead() -> None:
    """Compile the kernels: a short sound of every layer in every style."""
    synth = Synth(1)
    synth.open(0, 0)
    length = 4 * BLOCK_FRAMES
    sounds = np.zeros(len(LAYERS) * len(STYLES), SOUND)
    for index in range(len(sounds)):
        style, layer = divmod(index, len(LAYERS))
        sounds[index] = (style * BLOCK_FRAMES, length, layer, 36 if layer == 0 else 48 + 3 * layer, 90, 0)
    synth.play(0, sounds)

    def intent_of(_: int, frame: int) -> Intent:
        weights = [0.0] * len(STYLES)
        weights[min(frame // BLOCK_FRAMES, len(STYLES) - 1)] = 1.0
        return Intent(
            0, 0.5, 0, tuple(weights), 100, Key(0, "major"), 0.5, 0.5, (0.0,) * NUM_LAYERS, (True,) * NUM_LAYERS, 1,
            -16, 0, 1, 1, "A", 0, None, NO_RECALL, "none", None,
        )  # fmt: skip

    synth.render([0], intent_of, BLOCK_FRAMES * (len(STYLES) + 1))
