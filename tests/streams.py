"""What a performance's listener hears. In: a performance; out: its stream as one array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS
from engine.performance import Performance, step


def stream_up_to(performance: Performance, num_blocks: int) -> npt.NDArray[np.float32]:
    """Play on to a block: float32 [T, 2] from frame 0, silent before its next block and where it skips."""
    stream = np.zeros((num_blocks, BLOCK_FRAMES, CHANNELS), np.float32)
    while (block := performance.next_block) < num_blocks:
        stream[block] = step(performance.generator, [performance])[0].pcm
    return stream.reshape(-1, CHANNELS)
