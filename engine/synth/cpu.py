"""The CPU's renderer: one call of the slot kernel a slot. In: sounds and rows of controls; out: blocks.

Remembers the state of every open slot. One thread calls it; with `num_threads` above 1 the slots of one call are
rendered side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from engine.audio import CHANNELS, Block
from engine.synth.mixer import Scratch, new_scratch, render_slot
from engine.synth.patching.tables import Tables
from engine.synth.ragged import Ragged
from engine.synth.sizes import NUM_LAYERS
from engine.synth.state import SlotState, with_stem_effects


class CpuRenderer:
    """Implements `engine.synth.synth.Renderer`; memory is taken when a slot opens, about 1.6 MB each."""

    def __init__(self, tables: Tables, num_threads: int) -> None:
        self._tables = tables
        self._states: dict[int, SlotState] = {}
        self._scratch: dict[int, Scratch] = {}
        self._pool = ThreadPoolExecutor(num_threads, "synth") if num_threads > 1 else None

    def open(self, slot: int, state: SlotState) -> None:
        self._states[slot], self._scratch[slot] = state, new_scratch()

    def close(self, slot: int) -> None:
        del self._states[slot], self._scratch[slot]

    def state(self, slot: int) -> SlotState:
        return SlotState._make(array.copy() for array in self._states[slot])

    def keep_stems(self, slots: Sequence[int]) -> None:
        for slot in slots:
            self._states[slot] = with_stem_effects(self._states[slot])

    def render(
        self,
        slots: Sequence[int],
        sounds: Ragged,
        controls: Ragged,
        num_frames: int,
        stem_frames: int,
        is_mastered: bool,
    ) -> tuple[Block, Block]:
        block = np.empty((len(slots), CHANNELS, num_frames), np.float32)
        stems = np.empty((len(slots), NUM_LAYERS, CHANNELS, stem_frames), np.float32)
        jobs: list[tuple[Any, ...]] = [
            (self._states[slot], self._tables, sounds.of(row), controls.of(row), self._scratch[slot], block[row],
             stems[row], is_mastered)
            for row, slot in enumerate(slots)
        ]  # fmt: skip
        if self._pool is None or len(jobs) == 1:
            for job in jobs:
                render_slot(*job)
        else:
            for done in [self._pool.submit(render_slot, *job) for job in jobs]:
                done.result()
        return block, stems
