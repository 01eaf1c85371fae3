"""How much faster than real time does one `undersong render` make a file?

Two minutes of wav, one job, as a user starts it. `speed` counts from composing the first note to the closed file;
`speed_with_start` counts the whole command, Python's and the model's start included.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.harness import ROOT, record

MOODS = ("focus", "epic", "night")
SECONDS = 120


def render(mood: str, folder: str) -> tuple[float, float]:
    began = time.monotonic()
    words = ["render", mood, "--seconds", str(SECONDS), "--seed", "7", "--out", f"{folder}/{mood}.wav", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "streaming.cli", *words], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True
    )
    wall_s = time.monotonic() - began
    return SECONDS / json.loads(done.stdout)["wall_seconds"], SECONDS / wall_s


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        render(MOODS[0], folder)  # compiles, if this machine never has
        speeds, with_start = zip(*(render(mood, folder) for mood in MOODS), strict=True)
    record("render_speed", {
        "speed": round(statistics.fmean(speeds), 1),
        "speed_with_start": round(statistics.fmean(with_start), 1),
        "by_mood": dict(zip(MOODS, (round(speed, 1) for speed in speeds), strict=True)),
    })  # fmt: skip


if __name__ == "__main__":
    main()
