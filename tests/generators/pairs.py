"""A generator of another kind than the score: 40 ms at a time, made from the texts of the prompt alone.

In: controllers, of which it reads `Intent.texts`; out: blocks in pairs, one tone a text, as loud as the text weighs. It
has no notes and no stems. Remembers, for each slot, its frame and the weights reached; for all of them, the texts that
it has listened to, of which one at a time can be done ahead.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.config import EngineConfig
from engine.generator import Made, Snapshot, Traits
from moods.controller import Controller

PAIR_FRAMES = 2 * BLOCK_FRAMES
LATENCY_FRAMES = 12
_LEVEL = 0.5

Weights = dict[str, float]


def pitch_hz(text: str) -> float:
    """The tone that stands for a text; it takes whole periods of a second, so that no two texts share it by chance."""
    return 200.0 + zlib.crc32(text.encode()) % 1800


@dataclass
class _Slot:
    controller: Controller
    frame: int
    reached: Weights
    """How loud each text was at the end of the last pair."""


class Pairs:
    """Implements `engine.generator.Generator`."""

    traits = Traits(
        name="pairs",
        latency_frames=LATENCY_FRAMES,
        lead_frames=PAIR_FRAMES,
        block_multiple=2,
        has_notes=False,
        has_stems=False,
    )

    def __init__(self, max_slots: int) -> None:
        self.max_slots = max_slots
        self._slots: dict[int, _Slot] = {}
        self._tones: dict[str, float] = {}

    def counters(self) -> Mapping[str, int]:
        return {"texts": len(self._tones)}

    def novelty(self, slot: int) -> Mapping[str, float]:
        return {}

    def open(self, slot: int, controller: Controller) -> None:
        self._put(slot, _Slot(controller, 0, dict(controller.intent(0).texts)))

    def work(self, slots: Sequence[int]) -> bool:
        unknown = [text for slot in slots for text in self._texts(slot) if text not in self._tones]
        for text in unknown[:1]:
            self._tone(text)
        return bool(unknown)

    def is_ready(self, slot: int) -> bool:
        return all(text in self._tones for text in self._texts(slot))

    def step(self, slots: Sequence[int], *, stems: bool = False, notes: bool = False) -> Made:
        assert not stems and not notes, "it has neither"
        return Made(np.stack([self._step(self._slots[slot]) for slot in slots]))

    def revise(self, slot: int, changed_since: int) -> None:
        assert changed_since >= self._slots[slot].frame, (changed_since, self._slots[slot].frame)

    def snapshot(self, slot: int) -> Snapshot:
        return {"frame": self._slots[slot].frame, "reached": dict(self._slots[slot].reached)}

    def restore(self, slot: int, controller: Controller, snapshot: Snapshot) -> None:
        self._put(slot, _Slot(controller, snapshot["frame"], dict(snapshot["reached"])))

    def close(self, slot: int) -> None:
        del self._slots[slot]

    def _put(self, slot: int, state: _Slot) -> None:
        assert slot not in self._slots and 0 <= slot < self.max_slots, slot
        self._slots[slot] = state

    def _texts(self, slot: int) -> Weights:
        state = self._slots[slot]
        return dict(state.controller.intent(state.frame).texts)

    def _tone(self, text: str) -> float:
        return self._tones.setdefault(text, pitch_hz(text))

    def _step(self, state: _Slot) -> npt.NDArray[np.float32]:
        """[2, PAIR_FRAMES]: each text's tone glides to its weight of now; left and right differ by seed."""
        weights = dict(state.controller.intent(state.frame).texts)
        times_s = (state.frame - LATENCY_FRAMES + np.arange(PAIR_FRAMES)) / SAMPLE_RATE
        pan = 0.25 + state.controller.seed % 8 / 16
        pair = np.zeros((2, PAIR_FRAMES))
        for text in sorted({*state.reached, *weights}):
            level = np.linspace(state.reached.get(text, 0.0), weights.get(text, 0.0), PAIR_FRAMES, endpoint=False)
            tone = _LEVEL * level * np.sin(2 * np.pi * self._tone(text) * times_s)
            pair += np.outer((pan, 1 - pan), np.where(times_s >= 0, tone, 0.0))
        state.frame += PAIR_FRAMES
        state.reached = weights
        return pair.astype(np.float32)


def open_pairs(config: EngineConfig) -> Pairs:
    return Pairs(config.max_slots)
