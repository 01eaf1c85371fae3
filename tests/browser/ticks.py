"""A small generator for pages: a soft sine all the time, and a short tick on it every half second of the music.

In: controllers; out: blocks. Remembers what sines do.
"""

from __future__ import annotations

import numpy as np

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE, Block
from engine.config import EngineConfig
from tests.streaming.sines import Sines

TICK_EVERY_FRAMES = SAMPLE_RATE // 2
_DECAY_FRAMES = 96
_HERTZ = 3000


class Ticks(Sines):
    def _step(self, slot: int) -> Block:
        frame, _ = self._places[slot]
        block = 0.2 * super()._step(slot)
        since = (frame + np.arange(BLOCK_FRAMES)) % TICK_EVERY_FRAMES
        tick = 0.7 * np.exp(-since / _DECAY_FRAMES) * np.sin(2 * np.pi * _HERTZ * since / SAMPLE_RATE)
        return block + tick.astype(np.float32)


def open_ticks(config: EngineConfig) -> Ticks:
    return Ticks(config.max_slots)
