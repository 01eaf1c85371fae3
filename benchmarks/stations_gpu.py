"""How many stations does one CUDA card render in real time: p99 of a 20 ms block under 20 ms?

Twice: the synth alone, with the arrangement of `synth_speed` (24 voices a station, every station another style, seed
and time), from the staging of sounds and controls to the finished frames of all stations in host memory; and the whole
generator, `step()`, with a controller and a composing model a station. Numbers double until a block comes late, then
the gap is halved.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from numba import cuda

from benchmarks.harness import record
from benchmarks.synth_speed import ARRANGEMENT, SECONDS, piece, steady_intents
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.performance import Performance, step
from engine.synth.synth import Synth
from moods.control import Opening

MOODS = ("night", "focus", "epic", "battle", "cafe")
FIRST, MOST = 250, 16_000
HALVINGS = 2
WARM_BLOCKS, BLOCKS = 100, 500
DEADLINE_MS = 1000 * BLOCK_FRAMES / SAMPLE_RATE

Measure = Callable[[int], float]


def p99_ms(step: Callable[[], object]) -> float:
    times = []
    for block in range(WARM_BLOCKS + BLOCKS):
        began = time.perf_counter()
        step()
        if block >= WARM_BLOCKS:
            times.append(1000 * (time.perf_counter() - began))
    return float(np.percentile(times, 99))


def synth_p99_ms(num_stations: int) -> float:
    """Of one call that renders all stations, their intents and notes being there."""
    synth = Synth(num_stations, device="cuda")
    intents = list(steady_intents().values())
    sounds = piece(ARRANGEMENT, SECONDS)
    for slot in range(num_stations):
        own = sounds.copy()
        own["frame"] += slot * 997 % BLOCK_FRAMES
        synth.open(slot, seed=slot)
        synth.play(slot, own)
    slots = range(num_stations)
    return p99_ms(lambda: synth.render(slots, lambda slot, _: intents[slot % len(intents)], BLOCK_FRAMES))


def generator_p99_ms(num_stations: int) -> float:
    """Of one step of all stations, composing included."""
    generator = open_generator(EngineConfig(device="cuda", max_slots=num_stations))
    performances = [
        Performance(generator, slot, Opening(mood=MOODS[slot % len(MOODS)]), seed=slot) for slot in range(num_stations)
    ]
    return p99_ms(lambda: step(generator, performances))


def most_stations(p99: Measure) -> dict[str, float]:
    """The greatest number tried whose p99 is under the deadline, and that p99."""
    best, best_ms, late, tried = 0, 0.0, 0, FIRST
    for _ in range(32):
        measured = p99(tried)
        print(f"{tried} stations: p99 {measured:.2f} ms", file=sys.stderr)
        if measured < DEADLINE_MS:
            best, best_ms = tried, measured
        else:
            late = tried
        if late == 0 and tried < MOST:
            tried *= 2
        elif late - best > max(FIRST, late) / 2**HALVINGS:
            tried = (best + late) // 2
        else:
            break
    return {"stations": best, "p99_ms": round(best_ms, 2)}


def main() -> int:
    if not cuda.is_available():
        print("stations_gpu measures a CUDA card; numba finds none (pip install undersong[cuda])", file=sys.stderr)
        return 1
    card = cuda.get_current_device()
    record("stations_gpu", {
        "card": card.name.decode() if isinstance(card.name, bytes) else card.name,
        "synth": most_stations(synth_p99_ms),
        "synth_and_composing": most_stations(generator_p99_ms),
    })  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
