"""The shape of sound everywhere in Undersong. 48 kHz, stereo, float32, 20 ms blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 48_000
CHANNELS = 2
BLOCK_FRAMES = 960
BLOCK_SECONDS = BLOCK_FRAMES / SAMPLE_RATE

Block = npt.NDArray[np.float32]
"""float32 [S, C, T]: slots, channels, frames; full scale is ±1."""

Stems = npt.NDArray[np.float32]
"""float32 [S, L, C, T]: every layer, in the order of moods.intent.LAYERS; their sum is the block."""
