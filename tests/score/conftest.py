"""A composer on the shipped weights, and what stands for a synth."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from engine.score.composer import Composer, num_rows
from engine.score.sampling import Heads, pack_heads
from engine.score.trunk import CpuTrunk
from engine.weights import read_checkpoint, shipped_checkpoint

SLOTS = 8


@pytest.fixture(scope="module")
def parts() -> tuple[CpuTrunk, Heads]:
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    return CpuTrunk(tensors, sizes, num_rows(SLOTS)), pack_heads(tensors)


@pytest.fixture
def composer(parts: tuple[CpuTrunk, Heads]) -> Composer:
    return Composer(*parts, SLOTS)


class Recorder:
    """Stands for the synth: keeps what it is given to play, by slot."""

    latency_frames = 0

    def __init__(self) -> None:
        self.sounds: defaultdict[int, list[np.ndarray]] = defaultdict(list)

    def open(self, slot: int, seed: int) -> None:
        pass

    def play(self, slot: int, sounds: np.ndarray) -> None:
        self.sounds[slot].append(sounds)

    def play_all(self, slots: np.ndarray, sounds: np.ndarray) -> None:
        for slot in np.unique(slots).tolist():
            self.play(slot, sounds[slots == slot])

    def render_rows(self, slots: np.ndarray, *_: object, **__: object) -> tuple[np.ndarray, None]:
        return np.zeros((len(slots), 2, BLOCK_FRAMES), np.float32), None
