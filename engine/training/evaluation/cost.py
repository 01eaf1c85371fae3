"""What composing costs. In: checkpoints or sizes; out: CPU time as a share of the music's time. One process, alone.

Process CPU time of `Composer` calls alone: no controller is made and no kernel compiled while the clock runs.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from engine.config import ModelConfig
from engine.score.composer import Composer
from engine.score.transformer import ScoreTransformer
from engine.training.evaluation.takes import compose, make_composer, seconds_of
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR

SIZES = (
    ModelConfig(),
    ModelConfig(num_layers=6, dim=384, num_heads=6, num_kv_heads=1, ffn_dim=1024),
    ModelConfig(num_layers=9, dim=512, num_heads=8, num_kv_heads=1, ffn_dim=1024),
)
"""Of about 5, 10 and 20 M parameters."""
COST_BARS = 12
"""Long enough to fill a window."""


def share_of_core(composer: Composer, controllers: Sequence[Controller]) -> float:
    """CPU seconds for each second of one station's music, composing all of `controllers` in one batch, in %."""
    began = time.process_time()
    pieces = compose(composer, controllers, COST_BARS)
    cpu_s = time.process_time() - began
    return 100 * cpu_s / sum(seconds_of(piece) for piece in pieces)


def cost_of_event_ms(sizes: ModelConfig, controllers: Sequence[Controller], tensors: dict[str, Any]) -> float:
    """CPU milliseconds of one event of one row, composing `controllers` in one batch.

    Events are beats, notes and the chords on bars and where they change; what a model writes does not matter here.
    """
    composer = make_composer(sizes, tensors, len(controllers))
    compose(composer, controllers, 1)
    began = time.process_time()
    pieces = compose(composer, controllers, COST_BARS)
    cpu_s = time.process_time() - began
    events = sum(len(p.notes) + len(p.bars) * (BEATS_PER_BAR + 1) for p in pieces)
    return 1000 * cpu_s / events


def random_tensors(sizes: ModelConfig) -> dict[str, Any]:
    """Weights that have learnt nothing, and the number of them is what costs."""
    return {name: tensor.numpy() for name, tensor in ScoreTransformer(sizes).state_dict().items()}


def num_parameters(tensors: dict[str, Any]) -> int:
    return sum(value.size for value in tensors.values())
