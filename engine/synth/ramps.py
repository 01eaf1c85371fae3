"""Targets that glide through a block. In: the targets at a block's beginning and end; out: the value in between.

Remembers nothing. Called inside the slot kernel.
"""

from __future__ import annotations

import numpy as np

from engine.audio import BLOCK_FRAMES
from engine.synth.compile import kernel


@kernel
def value(targets: np.ndarray, index: int, offset: int) -> float:
    """A target `offset` frames into the block: a straight line from the last block's to this one's."""
    before, after = targets[0, index], targets[1, index]
    return before + (after - before) * (offset * (1.0 / BLOCK_FRAMES))
