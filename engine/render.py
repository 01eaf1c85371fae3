"""Music without a clock: the same `Generator.step()` as live, as fast as it goes.

In: an opening and a length; out: blocks. Remembers nothing between calls; the calling thread does the work.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE, Block
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from moods.control import Opening, parse_control
from moods.controller import Controller

_RAMP_FRAMES = 192
"""4 ms: short enough to leave a stop abrupt, long enough not to click."""


def end_at(controller: Controller, num_frames: int, how: str) -> None:
    """Ask a controller that has not begun for an ending whose last sound is over at `num_frames`.

    `how` is one of `cadence`, `ring`, `fade`, `stop`. Raises `moods.errors.BadControl` for another word.
    """
    control = parse_control({"type": "end", "how": how, "at": {"seconds": num_frames / SAMPLE_RATE}})
    controller.apply(control, 0)


def perform(generator: Generator, controller: Controller, num_frames: int) -> Iterator[Block]:
    """Play `controller` in slot 0 of `generator`: float32 [1, 2, BLOCK_FRAMES or less] each, `num_frames` in all.

    The generator's latency is cut off, so that frame 0 is the music's: beats lie in a file where the clock has them.
    Music that is to end at `num_frames` is brought to zero there: its own fade moves by whole blocks.
    The slot is free again when the iterator ends or is closed.
    """
    generator.open(0, controller)
    first, last = generator.traits.latency_frames, generator.traits.latency_frames + num_frames
    try:
        for frame in range(0, last, BLOCK_FRAMES):
            block = generator.step((0,)).block[:, :, max(0, first - frame) : last - frame]
            if controller.end_frame == num_frames and frame + BLOCK_FRAMES > last - _RAMP_FRAMES:
                frames_left = np.arange(block.shape[2] - 1, -1, -1) + max(0, last - frame - BLOCK_FRAMES)
                block = block * np.minimum(frames_left / _RAMP_FRAMES, 1.0).astype(np.float32)
            if block.shape[2]:
                yield block
    finally:
        generator.close(0)


def render(
    opening: Opening, seed: int, num_frames: int, config: EngineConfig, ending: str = "cadence"
) -> Iterator[Block]:
    """`perform` with a generator and a controller of its own, ending at `num_frames` as `end_at` says."""
    controller = Controller(opening, seed)
    end_at(controller, num_frames, ending)
    yield from perform(open_generator(config), controller, num_frames)
