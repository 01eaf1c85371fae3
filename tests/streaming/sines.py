"""A small generator with the engine's whole protocol: one sine a slot, its pitch by seed, its level by energy.

In: controllers; out: blocks. Remembers place and level of each slot: only a faithful snapshot continues it exactly.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence

import numpy as np

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE, Block
from engine.config import EngineConfig
from engine.errors import BadCheckpoint
from engine.generator import Made, Snapshot, Traits
from moods.controller import LEAD_FRAMES, Controller


class Sines:
    traits = Traits(
        name="sines", latency_frames=0, lead_frames=LEAD_FRAMES, block_multiple=1, has_notes=False, has_stems=False
    )

    def __init__(self, max_slots: int, step_s: float = 0.0, slot_s: float = 0.0) -> None:
        self.max_slots = max_slots
        self._step_s, self._slot_s = step_s, slot_s
        self._controllers: dict[int, Controller] = {}
        self._places: dict[int, tuple[int, float]] = {}  # music frame, level reached
        self._num_blocks = 0

    def open(self, slot: int, controller: Controller) -> None:
        assert slot not in self._controllers and 0 <= slot < self.max_slots
        self._controllers[slot] = controller
        self._places[slot] = (0, self._level(controller, 0))

    def counters(self) -> Mapping[str, int]:
        return {"blocks": self._num_blocks}

    def novelty(self, slot: int) -> Mapping[str, float]:
        return {}

    def work(self, slots: Sequence[int]) -> bool:
        return False

    def is_ready(self, slot: int) -> bool:
        return True

    def step(self, slots: Sequence[int], *, stems: bool = False, notes: bool = False) -> Made:
        assert not stems and not notes, "sines have neither"
        time.sleep(self._step_s + self._slot_s * len(slots))
        self._num_blocks += len(slots)
        return Made(np.stack([self._step(slot) for slot in slots]))

    def revise(self, slot: int, changed_since: int) -> None:
        assert changed_since >= self._places[slot][0], (changed_since, self._places[slot])

    def snapshot(self, slot: int) -> Snapshot:
        return {"place": self._places[slot]}

    def restore(self, slot: int, controller: Controller, snapshot: Snapshot) -> None:
        assert slot not in self._controllers
        self._controllers[slot] = controller
        self._places[slot] = snapshot["place"]

    def close(self, slot: int) -> None:
        del self._controllers[slot], self._places[slot]

    def _level(self, controller: Controller, frame: int) -> float:
        return 0.1 + 0.3 * controller.intent(frame).energy

    def _step(self, slot: int) -> Block:
        controller = self._controllers[slot]
        frame, level = self._places[slot]
        target = self._level(controller, frame)
        hertz = 200.0 + 50.0 * (controller.seed % 8)
        times = (frame + np.arange(BLOCK_FRAMES)) / SAMPLE_RATE
        levels = np.linspace(level, target, BLOCK_FRAMES, endpoint=False)
        left = levels * np.sin(2 * np.pi * hertz * times)
        right = levels * np.sin(2 * np.pi * 1.5 * hertz * times)
        self._places[slot] = (frame + BLOCK_FRAMES, target)
        block = np.stack([left, right]).astype(np.float32)
        assert block.shape == (CHANNELS, BLOCK_FRAMES)
        return block


def open_sines(config: EngineConfig) -> Sines:
    return Sines(config.max_slots)


def open_slow(config: EngineConfig) -> Sines:
    """Too slow: 30 ms for a block of 20 ms."""
    return Sines(config.max_slots, step_s=0.03)


def open_costly(config: EngineConfig) -> Sines:
    """Quick enough for two stations, not for three."""
    return Sines(config.max_slots, slot_s=0.0075)


def open_broken(config: EngineConfig) -> Sines:
    raise BadCheckpoint(os.path.join("nowhere", "weights"), "sha256 aa", "sha256 bb")


def open_faulty(config: EngineConfig) -> Sines:
    raise ValueError("there are no\nsines today")
