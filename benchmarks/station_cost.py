"""What does one station cost: which share of one core do composing, synthesis, mastering and Opus take?

Process CPU time, all threads, over a minute of audio per mood, from quiet to dense, through the same step, encoder
and controller reads as the engine process. Nothing else runs in the process; nothing of the path is left out.
"""

from __future__ import annotations

import statistics
import sys
import time

from benchmarks.harness import record
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.performance import Performance, step
from moods.opening import Opening
from streaming.encoders.opus import OpusEncoder

MOODS = ("night", "focus", "epic")
SECONDS, WARM_SECONDS = 60, 10


def play(
    generator: Generator, performance: Performance, encoder: OpusEncoder, num_blocks: int
) -> tuple[float, list[float]]:
    """CPU seconds for these blocks, and each block's wall milliseconds."""
    wall_ms = []
    began = time.process_time()
    for _ in range(num_blocks):
        block_began = time.perf_counter()
        encoder.encode(step(generator, [performance])[0].pcm)
        generator.work((0,))
        performance.forget()
        wall_ms.append(1000 * (time.perf_counter() - block_began))
    return time.process_time() - began, wall_ms


def measure(generator: Generator, mood: str) -> tuple[float, list[float]]:
    performance, encoder = Performance(generator, 0, Opening(mood=mood), seed=7), OpusEncoder()
    per_second = SAMPLE_RATE // BLOCK_FRAMES
    play(generator, performance, encoder, WARM_SECONDS * per_second)
    cpu_s, wall_ms = play(generator, performance, encoder, SECONDS * per_second)
    performance.close()
    return 100 * cpu_s / SECONDS, wall_ms


def main() -> None:
    generator = open_generator(EngineConfig(max_slots=1))
    shares, wall_ms = zip(*(measure(generator, mood) for mood in MOODS), strict=True)
    ordered = sorted(value for values in wall_ms for value in values)
    record("station_cost", {
        "share_percent": round(statistics.fmean(shares), 2),
        "by_mood_percent": dict(zip(MOODS, (round(share, 2) for share in shares), strict=True)),
        "block_ms": {"p50": round(ordered[len(ordered) // 2], 2), "p99": round(ordered[-len(ordered) // 100], 2),
                     "max": round(ordered[-1], 2)},
    })  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
