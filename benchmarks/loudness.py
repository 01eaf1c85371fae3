"""How near to its target is the loudness five seconds after a change of mood, and how high do the peaks go?

Many stations, each with one random change of mood every ten seconds, through the whole generator. `error_lu` is what
an independent meter (pyloudnorm, BS.1770-4) reads over the three seconds from 5 s to 8 s after each change, less what
it would read there of sound that keeps to the target, which the form moves (-19 LUFS at energy 0 … -14 at energy 1,
5 LU less in a break, 3 more in a climax); `true_peak_db` the highest peak of all that was
played, by an eight-fold oversampling of its own.
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pyloudnorm
from scipy.signal import resample_poly

from benchmarks.harness import percentiles, record
from benchmarks.mood_walk import MoodWalk, Sound
from engine.audio import SAMPLE_RATE

NUM_CHANGES, CHANGES_PER_STATION = 240, 10
CHANGE_EVERY_S, SETTLED_S, WATCHED_S = 10, 5, 3
PEAK_FLOOR = 0.5
"""Where no sample is above this, no true peak comes near -1 dB."""


def true_peak(sound: Sound) -> float:
    """Highest magnitude between the samples of one second at a time; a second is heard with its neighbourhood."""
    peak, second, margin = 0.0, SAMPLE_RATE, 256
    for start in range(0, sound.shape[1], second):
        piece = sound[:, max(0, start - margin) : start + second + margin]
        if np.abs(piece).max() > PEAK_FLOOR:
            peak = max(peak, float(np.abs(resample_poly(piece.astype(np.float64), 8, 1, axis=1)).max()))
    return peak


def listen(seed: int) -> tuple[list[float], float]:
    """Loudness errors after each change of one station, and its true peak."""
    walk, meter = MoodWalk(seed), pyloudnorm.Meter(SAMPLE_RATE)
    errors, peak = [], true_peak(walk.play(CHANGE_EVERY_S))
    for _ in range(CHANGES_PER_STATION):
        walk.change()
        settling = walk.play(SETTLED_S)
        first = walk.frame
        watched = walk.play(WATCHED_S)
        frames = np.linspace(first, walk.frame - 1, 30).astype(int)
        targets = [walk.controller.intent(int(frame)).loudness_lufs for frame in frames]
        target = 10 * np.log10(np.mean(10 ** (np.array(targets) / 10)))
        heard = meter.integrated_loudness(watched.T.astype(np.float64))
        errors.append(float(heard - target))
        rest = walk.play(CHANGE_EVERY_S - SETTLED_S - WATCHED_S)
        peak = max(peak, true_peak(np.concatenate([settling, watched, rest], axis=1)))
    return errors, peak


def main(num_changes: int = NUM_CHANGES) -> None:
    with ProcessPoolExecutor() as pool:
        errors, peaks = zip(*pool.map(listen, range(-(-num_changes // CHANGES_PER_STATION))), strict=True)
    sizes = np.abs(np.concatenate(errors))
    record("loudness", {
        "changes": len(sizes),
        "error_lu": percentiles(sizes.tolist(), 2),
        "within_half_lu": round(float((sizes <= 0.5).mean()), 3),
        "within_one_lu": round(float((sizes <= 1.0).mean()), 3),
        "true_peak_db": round(20 * float(np.log10(max(peaks))), 2),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
