"""Do the stems of a file sum to it?

Twelve seconds of every style, at -14 LUFS with its limiter, as wav of 24 bits: the level of what is left of the mix
when the five stems are taken off, under that of the mix. The drive of the tape styles and the limiter are in it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.harness import record
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.take import Take
from moods.intent import STYLES
from moods.opening import Opening
from moods.timeline import LoudnessGoal, parse_timeline
from streaming.files.export import RenderJob, export

SECONDS = 12


def rest_db(style: str, folder: Path, seconds: float) -> float:
    timeline = parse_timeline({"duration": seconds, "style": style, "energy": 0.8})
    take = Take(Opening(timeline=timeline), 11)
    job = RenderJob(
        take, timeline.num_frames, folder / f"{style}.wav", CONFIG, goal=LoudnessGoal(), stems=folder / style
    )
    report = export(job, make_generator=lambda config: GENERATOR)
    mix, _ = soundfile.read(job.out)
    rest = np.sum([soundfile.read(path)[0] for path in report["stems"].values()], axis=0) - mix
    return float(10 * np.log10((rest**2).mean() / (mix**2).mean()))


CONFIG = EngineConfig(max_slots=1)
GENERATOR = open_generator(CONFIG)


def main(seconds: float = SECONDS) -> None:
    with tempfile.TemporaryDirectory() as folder:
        levels = {style: round(rest_db(style, Path(folder), seconds), 1) for style in STYLES}
    record("stems_sum", {"seconds": seconds, "worst_db": max(levels.values()), "by_style_db": levels})


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
