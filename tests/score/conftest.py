"""A composer on the shipped weights, and what stands for a synth."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

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
        assert (np.diff(sounds["frame"]) >= 0).all()
        self.sounds[slot].append(sounds)

    def render(self, slots: list[int], intent_of: object, num_frames: int) -> np.ndarray:
        return np.zeros((len(slots), 2, num_frames), np.float32)
