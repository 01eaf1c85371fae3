"""Perform a golden take as the engine process does. In: a `GoldenTake` and a generator; out: its samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.generator import Generator
from engine.performance import Performance, step
from engine.take import Entry, Skip
from moods.control import parse_control, parse_opening
from tests.golden.takes import GoldenTake


def perform(take: GoldenTake, generator: Generator) -> npt.NDArray[np.float32]:
    """The stream of a take, [T, 2], in slot 0."""
    asked = [(block, control) for block, row in sorted(take.controls.items()) for control in row]
    performance = Performance(generator, 0, parse_opening(take.opening), take.seed)
    performance.replay(
        Entry(index, block, Skip(control["blocks"]) if control["type"] == "skip" else parse_control(control))
        for index, (block, control) in enumerate(asked)
    )
    out: list[npt.NDArray[np.float32]] = []
    while performance.next_block < take.num_blocks:
        out.append(step(generator, [performance])[0].pcm)
    performance.close()
    return np.concatenate(out)
