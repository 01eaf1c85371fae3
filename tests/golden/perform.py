"""Perform a golden take as the engine process does. In: a `GoldenTake` and a generator; out: its samples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.generator import Generator
from engine.performance import Performance
from engine.take import Entry, Take, read_control
from moods.opening import parse_opening
from tests.golden.takes import GoldenTake
from tests.streams import stream_up_to


def perform(take: GoldenTake, generator: Generator) -> npt.NDArray[np.float32]:
    """The stream of a take, [T, 2], in slot 0."""
    asked = [(block, control) for block, row in sorted(take.controls.items()) for control in row]
    entries = tuple(Entry(index, block, read_control(control)) for index, (block, control) in enumerate(asked))
    performance = Performance.of(generator, 0, Take(parse_opening(take.opening), take.seed, entries))
    stream = stream_up_to(performance, take.num_blocks)
    performance.close()
    return stream
