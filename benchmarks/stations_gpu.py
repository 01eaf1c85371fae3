"""How many stations does one CUDA card render in real time: p99 of a 20 ms block under 20 ms?

Twice, for 100 … 10,000 stations: the synth alone, with the arrangement of `synth_speed` (24 voices a station, every
station another style, seed and time), from the staging of sounds and controls to the finished frames of all stations in
host memory; and the whole generator, a `step()` and a piece of `work()`, with a controller and a composing model a
station, opened one after another so that their beats do not fall together. More stations are not tried once half of
the blocks take several times as long as they last, or where the card's memory ends.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import cuda

from benchmarks.harness import record
from benchmarks.synth_speed import ARRANGEMENT, SECONDS, piece, steady_intents
from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.synth.synth import Synth
from moods.controller import Controller
from moods.opening import Opening

MOODS = ("night", "focus", "epic", "battle", "cafe")
STATIONS = (100, 250, 500, 1000, 2000, 4000, 10_000)
WARM_BLOCKS, BLOCKS = 50, 500
LIMIT_S = 12.0
"""So long one number of stations is measured, blocks done or not."""
DEADLINE_MS = 1000 * BLOCK_SECONDS
HOPELESS = 4

Measured = dict[str, Any]


def measure(step: Callable[[], object]) -> Measured:
    """Percentiles of the wall time of `step`."""
    times: list[float] = []
    until = time.perf_counter() + LIMIT_S
    while len(times) < BLOCKS and time.perf_counter() < until:
        began = time.perf_counter()
        step()
        times.append(1000 * (time.perf_counter() - began))
    p50, p99 = np.percentile(times, (50, 99))
    return {"blocks": len(times), "p50_ms": round(float(p50), 2), "p99_ms": round(float(p99), 2)}


def measure_synth(num_stations: int, device: str) -> Measured:
    """One call that renders all stations, their intents and notes being there."""
    synth = Synth(num_stations, device=device)
    intents = list(steady_intents().values())
    sounds = piece(ARRANGEMENT, SECONDS)
    for slot in range(num_stations):
        own = sounds.copy()
        own["frame"] += slot * 997 % BLOCK_FRAMES
        synth.open(slot, seed=slot)
        synth.play(slot, own)
    slots = range(num_stations)

    def step() -> None:
        synth.render(slots, lambda slot, _: intents[slot % len(intents)], BLOCK_FRAMES)

    for _ in range(WARM_BLOCKS):
        step()
    return measure(step)


def measure_generator(num_stations: int, device: str) -> Measured:
    """One step of all stations, composing included."""
    generator = open_generator(EngineConfig(device=device, max_slots=num_stations))
    opened: list[int] = []
    for block in range(WARM_BLOCKS):
        for slot in range(block, num_stations, WARM_BLOCKS):
            generator.open(slot, Controller(Opening(mood=MOODS[slot % len(MOODS)]), seed=slot))
            opened.append(slot)
        generator.step(opened)

    def step() -> None:
        generator.step(opened)
        generator.work(opened)

    return measure(step)


def curve(measured: Callable[[int, str], Measured], device: str, stations: Sequence[int]) -> Measured:
    """The greatest number tried whose p99 is under the deadline, and what was measured of each."""
    rows: list[Measured] = []
    for number in stations:
        try:
            rows.append({"stations": number, **measured(number, device)})
        except Exception as error:  # whatever a card does whose memory is full: what was measured before stands
            rows.append({"stations": number, "failed": f"{type(error).__name__}: {error}"})
        print(rows[-1], file=sys.stderr)
        if rows[-1].get("p50_ms", np.inf) > HOPELESS * DEADLINE_MS:
            break
    in_time = [row for row in rows if row.get("p99_ms", np.inf) < DEADLINE_MS]
    best = in_time[-1] if in_time else {"stations": 0, "p99_ms": None}
    return {"stations": best["stations"], "p99_ms": best["p99_ms"], "tried": rows}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stations_gpu")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu only rehearses")
    parser.add_argument("--stations", type=int, nargs="+", default=STATIONS)
    options = parser.parse_args()
    if options.device == "cuda" and not cuda.is_available():
        print("stations_gpu measures a CUDA card; numba finds none (pip install undersong[gpu])", file=sys.stderr)
        return 1
    name: Any = cuda.get_current_device().name if options.device == "cuda" else "none"
    record("stations_gpu", {
        "card": name.decode() if isinstance(name, bytes) else name,
        "synth": curve(measure_synth, options.device, options.stations),
        "synth_and_composing": curve(measure_generator, options.device, options.stations),
    }, is_kept=options.device == "cuda")  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
