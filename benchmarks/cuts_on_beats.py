"""Do beats fall on the cuts of a picture that nobody has marked? Edited clips of 10–60 s, with a cut counted as met
where a beat that sounds begins within one frame of the picture.

Clips are drawn, not filmed. Three in four are cut freely: shot lengths are log-normal (as Cutting, DeLong and Nothelfer
2010 find them in films), with medians of 1 to 4 s and sigma 0.5, no shot shorter than 0.3 s. One in four was cut to
another piece of 80–150 beats a minute, a cut every 1, 2, 4 or 8 of its beats and up to a frame beside them. Cuts lie on
frames; moods, frame rates and endings are drawn too. `moods.pulse` was tuned on seeds from 0 on (`--tuning`); figures
are of seeds from 100,000 on, which it has not seen. The interval is that of the mean over clips (bootstrap, 95 %).

Three ways are compared: the tempo as asked (chance), the best single tempo within the same range, and the plan.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from bisect import bisect_left
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import percentiles, record
from moods.clock import FRAMES_PER_SECOND
from moods.intent import BEATS_PER_BAR
from moods.mood import list_moods
from moods.plan import Plan
from moods.timeline import HOWS, Timeline, parse_timeline, read_fps

UNSEEN = 100_000
RATES = (23.976, 25, 29.97, 30, 60)
SHORTEST_SHOT_S = 0.3


def draw_clip(seed: int) -> Timeline:
    """An edited clip."""
    rng = random.Random(seed)
    rate = read_fps(rng.choice(RATES))
    duration_s = rng.uniform(10, 60)
    if rng.random() < 0.25:
        beat_s = 60 / rng.uniform(80, 150)
        shots = [beat_s * rng.choice((1, 2, 2, 4, 4, 8)) for _ in range(500)]
        shots[0] += rng.uniform(0, beat_s)
        aside_s = 1 / float(rate)
    else:
        median_s = rng.choice((1.0, 1.5, 2.0, 3.0, 4.0))
        shots = [max(SHORTEST_SHOT_S, median_s * rng.lognormvariate(0, 0.5)) for _ in range(500)]
        aside_s = 0.0
    cuts, at_s = set[Fraction](), 0.0
    for shot in shots:
        at_s += shot
        frame = round((at_s + rng.uniform(-aside_s, aside_s)) * rate)
        if at_s < duration_s - SHORTEST_SHOT_S:
            cuts.add(Fraction(frame) / rate)
    return parse_timeline(
        {
            "duration": duration_s,
            "fps": f"{rate.numerator}/{rate.denominator}" if rate.denominator > 1 else int(rate),
            "mood": rng.choice([mood.name for mood in list_moods()]),
            "ending": rng.choice(HOWS),
            "cuts": [float(cut) for cut in sorted(cuts)],
        }
    )


def beats_of(plan: Plan, num_frames: int) -> list[int]:
    """The frames at which beats begin that sound."""
    frames, beat = [0], 0
    while frames[-1] < num_frames and (plan.end_beat is None or beat < plan.end_beat):
        frames.append(frames[-1] + round(60 * FRAMES_PER_SECOND / plan.bpm_at(beat)))
        beat += 1
    return frames


def met(clip: Timeline, frames: Sequence[int]) -> int:
    """Cuts that a beat meets."""
    most = FRAMES_PER_SECOND / clip.frame_rate
    count = 0
    for cut in clip.cuts:
        at = round(cut.at * FRAMES_PER_SECOND)
        after = bisect_left(frames, at)
        count += any(abs(frames[beat] - at) <= most for beat in (after - 1, after) if 0 <= beat < len(frames))
    return count


def best_single_tempo(clip: Timeline, bpm: float) -> int:
    """Cuts that beats of one tempo can meet, counted from the first frame."""
    counts = []
    for step in range(-32, 33):
        length = 60 * FRAMES_PER_SECOND / (bpm * (1 + clip.tempo_width * step / 32))
        frames = [round(beat * length) for beat in range(int(clip.num_frames / length) + 2)]
        counts.append(met(clip, frames))
    return max(counts)


class Figures(NamedTuple):
    num_cuts: int
    asked: int
    single: int
    planned: int
    departure: float  # the tempo's largest from the asked one, as a share
    change: float  # the tempo's largest from a bar to the next
    plan_s: float


def measure(clip: Timeline) -> Figures:
    as_asked = clip.model_copy(update={"tempo_range": 0.0, "ending": "fade"})
    asked = met(clip, beats_of(as_asked.plan, clip.num_frames))
    began = time.perf_counter()
    plan = clip.plan
    plan_s = time.perf_counter() - began
    frames = beats_of(plan, clip.num_frames)
    bars = [end - start for start, end in pairwise(frames[::BEATS_PER_BAR])]
    change = max((abs(one / other - 1) for one, other in pairwise(bars)), default=0.0)
    departure = max(plan.highest_bpm / plan.asked_bpm - 1, 1 - plan.lowest_bpm / plan.asked_bpm)
    single = best_single_tempo(clip, plan.asked_bpm)
    return Figures(len(clip.cuts), asked, single, met(clip, frames), departure, change, plan_s)


def interval(shares: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Of the mean over clips, 95 %, percent."""
    means = shares[rng.integers(0, len(shares), (2000, len(shares)))].mean(axis=1)
    return [round(100 * float(bound), 1) for bound in np.percentile(means, (2.5, 97.5))]


def report(rows: Sequence[Figures]) -> dict[str, Any]:
    cuts = np.array([row.num_cuts for row in rows])
    out: dict[str, Any] = {"clips": len(rows), "cuts": int(cuts.sum())}
    for name in ("asked", "single", "planned"):
        counts = np.array([getattr(row, name) for row in rows])
        out[f"{name}_percent"] = round(100 * counts.sum() / cuts.sum(), 1)
        out[f"{name}_of_a_clip_percent"] = interval(counts / cuts, np.random.default_rng(1))
    out["departure_percent"] = percentiles([100 * row.departure for row in rows])
    out["change_between_bars_percent"] = percentiles([100 * row.change for row in rows])
    out["plan_ms"] = percentiles([1000 * row.plan_s for row in rows])
    return out


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="cuts_on_beats", description=__doc__)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--tuning", action="store_true", help="the seeds that the solver was tuned on; not kept")
    options = parser.parse_args(words)
    first = 0 if options.tuning else UNSEEN
    clips = [clip for clip in map(draw_clip, range(first, first + options.clips)) if clip.cuts]
    record("cuts_on_beats", report([measure(clip) for clip in clips]), is_kept=not options.tuning)


if __name__ == "__main__":
    main(sys.argv[1:])
