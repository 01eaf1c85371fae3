"""The synth: notes and intents in, blocks of sound out, for many slots. Remembers one `SlotState` and a queue per slot.

One thread calls it; with `num_threads` above 1 the slots of one call are rendered side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS, Block
from engine.synth.master import LATENCY_FRAMES
from engine.synth.mixer import Tables, new_scratch, render_slot
from engine.synth.patch import PatchTables, shipped_tables
from engine.synth.sound import SOUND
from engine.synth.state import (
    C_BPM,
    C_BRIGHTNESS,
    C_ENERGY,
    C_GAIN_DB,
    C_LAYERS,
    C_LOUDNESS,
    C_STYLES,
    C_VOICE_ROOM,
    FRAME,
    NEXT_SOUND,
    NUM_CONTROLS,
    NUM_LAYERS,
    SlotState,
    new_state,
    with_stem_effects,
)
from moods.harmony import Key
from moods.intent import LAYERS, NO_RECALL, STYLES, Intent

IntentOf = Callable[[int, int], Intent]
"""(slot, frame) -> what is heard from that frame on; asked at every multiple of BLOCK_FRAMES, before rendering."""

_NO_SOUNDS = np.zeros(0, SOUND)


class _Slot:
    """A slot's memory and its queue; `sounds` holds what has not begun, and what began since the last `play`."""

    def __init__(self, state: SlotState, sounds: npt.NDArray[np.void]) -> None:
        self.state, self.sounds = state, sounds
        self.scratch = new_scratch()

    @property
    def waiting(self) -> npt.NDArray[np.void]:
        return self.sounds[self.state.clock[NEXT_SOUND] :]


def _write_control(row: npt.NDArray[np.float64], intent: Intent) -> None:
    row[C_LOUDNESS], row[C_BRIGHTNESS], row[C_ENERGY] = intent.loudness_lufs, intent.brightness, intent.energy
    row[C_BPM], row[C_GAIN_DB], row[C_VOICE_ROOM] = intent.bpm, intent.gain_db, intent.voice_room
    row[C_LAYERS : C_LAYERS + NUM_LAYERS] = intent.layer_gains_db
    row[C_STYLES:] = intent.style


class Synth:
    """Renders up to `max_slots` slots; memory is taken when a slot opens, about 1.6 MB each."""

    latency_frames = LATENCY_FRAMES
    """The limiter's look-ahead, 70 frames (1.5 ms): a note's attack begins within [onset, onset + latency_frames]."""

    def __init__(self, max_slots: int, *, num_threads: int = 1, tables: PatchTables | None = None) -> None:
        self.max_slots = max_slots
        tables = tables or shipped_tables()
        self._tables = Tables(tables.patches, tables.choices, tables.kits, tables.mix, tables.rooms)
        self._slots: dict[int, _Slot] = {}
        self._pool = ThreadPoolExecutor(num_threads, "synth") if num_threads > 1 else None

    def open(self, slot: int, seed: int) -> None:
        """Begin at frame 0 in an empty slot; `seed` chooses among each style's instruments."""
        assert 0 <= slot < self.max_slots and slot not in self._slots, slot
        self._slots[slot] = _Slot(new_state(seed), _NO_SOUNDS.copy())

    def frame(self, slot: int) -> int:
        """The next frame that the slot will render."""
        return int(self._slots[slot].state.clock[FRAME])

    def play(self, slot: int, sounds: npt.NDArray[np.void]) -> None:
        """Queue `sounds` [N] SOUND, sorted by frame, none earlier than the slot's frame."""
        assert sounds.dtype == SOUND, sounds.dtype
        if len(sounds) == 0:
            return
        entry = self._slots[slot]
        assert sounds["frame"][0] >= self.frame(slot), (int(sounds["frame"][0]), self.frame(slot))
        assert (np.diff(sounds["frame"]) >= 0).all(), "sounds must be sorted by frame"
        queue = np.concatenate([entry.waiting, sounds])
        entry.sounds = queue[np.argsort(queue["frame"], kind="stable")]
        entry.state.clock[NEXT_SOUND] = 0

    def render(self, slots: Sequence[int], intent_of: IntentOf, num_frames: int) -> Block:
        """Make the next `num_frames` frames of each of `slots`: float32 [S, 2, T], true peak at most -1 dBTP."""
        return self._render(slots, intent_of, num_frames, 0)[0]

    def render_stems(self, slots: Sequence[int], intent_of: IntentOf, num_frames: int) -> tuple[Block, Block]:
        """The same and, as float32 [S, 5, 2, T], every layer with its own effects before the master.

        The sum of the stems is the mix that the master takes. The block is the same to the bit as from `render`.
        A slot's stems have effect tails from its first `render_stems` on; call it from frame 0.
        """
        for slot in slots:
            entry = self._slots[slot]
            entry.state = with_stem_effects(entry.state)
        return self._render(slots, intent_of, num_frames, num_frames)

    def _render(
        self, slots: Sequence[int], intent_of: IntentOf, num_frames: int, stem_frames: int
    ) -> tuple[Block, Block]:
        block = np.empty((len(slots), CHANNELS, num_frames), np.float32)
        stems = np.empty((len(slots), NUM_LAYERS, CHANNELS, stem_frames), np.float32)
        jobs = []
        for row, slot in enumerate(slots):
            entry = self._slots[slot]
            start = self.frame(slot)
            first = -(-start // BLOCK_FRAMES) * BLOCK_FRAMES
            frames = range(first, start + num_frames, BLOCK_FRAMES)
            controls = np.empty((len(frames), NUM_CONTROLS))
            for control, frame in zip(controls, frames, strict=True):
                _write_control(control, intent_of(slot, frame))
            jobs.append((entry.state, self._tables, entry.sounds, controls, entry.scratch, block[row], stems[row]))
        if self._pool is None or len(jobs) == 1:
            for job in jobs:
                render_slot(*job)
        else:
            for done in [self._pool.submit(render_slot, *job) for job in jobs]:
                done.result()
        return block, stems

    def snapshot(self, slot: int) -> dict[str, Any]:
        """Copy all that the slot remembers; picklable, independent of the slot's number."""
        entry = self._slots[slot]
        arrays = {name: array.copy() for name, array in entry.state._asdict().items()}
        arrays["clock"][NEXT_SOUND] = 0
        return {**arrays, "sounds": entry.waiting.copy()}

    def restore(self, slot: int, snapshot: dict[str, Any]) -> None:
        """Continue a snapshot in an empty slot, bit-exact."""
        assert 0 <= slot < self.max_slots and slot not in self._slots, slot
        arrays = {name: array.copy() for name, array in snapshot.items()}
        sounds = arrays.pop("sounds")
        self._slots[slot] = _Slot(SlotState(**arrays), sounds)

    def close(self, slot: int) -> None:
        """Forget the slot."""
        del self._slots[slot]


def warm_up() -> None:
    """Compile the kernels, or load them from numba's cache: a short sound of every layer in every style."""
    synth = Synth(1)
    synth.open(0, 0)
    length = 4 * BLOCK_FRAMES
    sounds = np.zeros(len(LAYERS) * len(STYLES), SOUND)
    for index in range(len(sounds)):
        style, layer = divmod(index, len(LAYERS))
        sounds[index] = (style * BLOCK_FRAMES, length, layer, 36 if layer == 0 else 48 + 3 * layer, 90)
    synth.play(0, sounds)

    def intent_of(_: int, frame: int) -> Intent:
        weights = [0.0] * len(STYLES)
        weights[min(frame // BLOCK_FRAMES, len(STYLES) - 1)] = 1.0
        return Intent(
            0, 0.5, 0, tuple(weights), 100, Key(0, "major"), 0.5, 0.5, (0.0,) * NUM_LAYERS, (True,) * NUM_LAYERS, 1,
            -16, 0, 1, 1, "A", 0, None, NO_RECALL, "none", None,
        )  # fmt: skip

    synth.render([0], intent_of, BLOCK_FRAMES * (len(STYLES) + 1))
