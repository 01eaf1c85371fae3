"""A composer on the shipped weights."""

from __future__ import annotations

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
