"""Perform a golden take as the engine process does. In: a `GoldenTake` and a generator; out: its samples."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from engine.generator import Generator
from streaming.player import Player
from streaming.protocol import LogEntry, Open
from streaming.ring import Ring
from tests.golden.takes import GoldenTake


def perform(take: GoldenTake, generator: Generator) -> npt.NDArray[np.float32]:
    """The stream of a take, [T, 2], in slot 0."""
    controls = [(block, control) for block, row in sorted(take.controls.items()) for control in row]
    log = tuple(LogEntry(index, block, control) for index, (block, control) in enumerate(controls))
    out: list[npt.NDArray[np.float32]] = []
    with tempfile.TemporaryDirectory() as folder:
        ring = Ring(Path(folder) / "ring", create=True)
        player = Player(
            generator, 0, Open("golden", take.opening, take.seed, str(ring.path), f"{folder}/none", 0, log), 160_000
        )
        while player.state.next_block < take.num_blocks:
            player.replay_due()
            block = generator.step((0,)).block[0] if player.state.is_sounding else None
            out.append(player.advance(block))
        player.close()
        ring.close()
    return np.concatenate(out)
