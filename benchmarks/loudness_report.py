"""Is what a render reports of its loudness and peaks what an independent meter hears in its files?

Every style at three loudness goals into wav, flac, mp3, m4a, opus and ogg; each file is decoded by libav and
measured by pyloudnorm (BS.1770-4) and by an eight-fold oversampling. `error_lu` is the report less the meter, `goal_lu`
the meter less the goal, `true_peak_db` the meter's highest.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyloudnorm
from scipy.signal import resample_poly

from benchmarks.harness import percentiles, record
from engine.audio import SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.take import Take
from moods.intent import STYLES
from moods.opening import Opening
from moods.timeline import LoudnessGoal, parse_timeline
from streaming.files.export import RenderJob, export
from streaming.files.media import read_audio

SECONDS = 10
GOALS_LUFS = (-14.0, -16.0, -23.0)
SUFFIXES = (".wav", ".flac", ".mp3", ".m4a", ".opus", ".ogg")
CONFIG = EngineConfig(max_slots=1)


def main(num_styles: int = len(STYLES)) -> None:
    generator, meter = open_generator(CONFIG), pyloudnorm.Meter(SAMPLE_RATE)
    errors: dict[str, list[float]] = {suffix: [] for suffix in SUFFIXES}
    goals: list[float] = []
    peaks_db: list[float] = []
    for style in STYLES[:num_styles]:
        timeline = parse_timeline({"duration": SECONDS, "style": style, "energy": 0.9})
        for goal in GOALS_LUFS:
            with tempfile.TemporaryDirectory() as folder:
                paths = [Path(folder) / f"x{suffix}" for suffix in SUFFIXES]
                job = RenderJob(
                    Take(Opening(timeline=timeline), 5), timeline.num_frames, paths[0], CONFIG,
                    goal=LoudnessGoal(lufs=goal), also=tuple(paths[1:]),
                )  # fmt: skip
                levels = export(job, make_generator=lambda config: generator)["levels"]
                for path in paths:
                    with path.open("rb") as file:
                        heard = np.concatenate(list(read_audio(file))).astype(np.float64)
                    lufs = float(meter.integrated_loudness(heard))
                    errors[path.suffix].append(levels[str(path)]["lufs"] - lufs)
                    goals.append(lufs - goal)
                    peaks_db.append(20 * float(np.log10(np.abs(resample_poly(heard, 8, 1, axis=0)).max())))
    everything = [abs(error) for own in errors.values() for error in own]
    record("loudness_report", {
        "files": len(everything),
        "error_lu": percentiles(everything, 3),
        "worst_error_lu": {suffix: round(max(map(abs, own)), 3) for suffix, own in errors.items()},
        "goal_lu": percentiles([abs(goal) for goal in goals], 2),
        "true_peak_db": round(max(peaks_db), 2),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
