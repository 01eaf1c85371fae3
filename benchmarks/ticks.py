"""A generator for benchmarks whose sound tells where beats are: one sample at each, and nothing else."""

from __future__ import annotations

from engine.config import EngineConfig
from tests.streaming.test_told_ahead import Ticks

SETTING = 'generator = "benchmarks.ticks:open_ticks"\n'


def open_ticks(config: EngineConfig) -> Ticks:
    return Ticks(config.max_slots)
