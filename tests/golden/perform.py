"""Perform a golden take as the engine process does. In: a `GoldenTake` and a generator; out: its samples."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.generator import Generator
from streaming.engines.ring import Ring
from streaming.engines.wire import Open, Resume
from streaming.player import Player
from streaming.protocol import LogEntry
from tests.golden.takes import GoldenTake


def perform(take: GoldenTake, generator: Generator) -> npt.NDArray[np.float32]:
    """The stream of a take, [T, 2], in slot 0."""
    controls = [(block, control) for block, row in sorted(take.controls.items()) for control in row]
    log = tuple(LogEntry(index, block, control) for index, (block, control) in enumerate(controls))
    out: list[npt.NDArray[np.float32]] = []
    with tempfile.TemporaryDirectory() as folder:
        ring = Ring(Path(folder) / "ring", create=True)
        request = Open("golden", take.opening, take.seed, Resume(0.0, log))
        player = Player(generator, 0, request, ring.path, Path(folder) / "none", 160_000)
        while player.state.next_block < take.num_blocks:
            player.replay_due()
            block = generator.step((0,)).block[0] if player.state.is_sounding else None
            out.append(player.advance(block))
        player.close()
        ring.close()
    return np.concatenate(out)
