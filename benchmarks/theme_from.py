"""From which second is the theme heard in pieces of a minute and less?

Pieces of 10 … 60 s in all styles, still to driving, each by seeds of its own. The theme is heard from the first 50 ms
in which the lead's stem is above -45 dBFS and at most 20 dB below all stems together. `within_3_s` is the share of
pieces where that is so in their first three seconds, with its 95 % interval (Wilson).
"""

from __future__ import annotations

import sys

import numpy as np

from benchmarks.harness import percentiles, record
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.performance import step
from engine.render import begin
from engine.take import Take
from moods.intent import LAYERS, STYLES
from moods.opening import Opening, parse_opening

LENGTHS_S, ENERGIES = (10, 15, 20, 30, 45, 60), (0.15, 0.4, 0.75)
WATCHED_S, WANTED_S = 4, 3.0
AUDIBLE_DB, MASKED_DB = -45.0, -20.0
_WINDOW_FRAMES = SAMPLE_RATE // 20


def heard_from(generator: Generator, opening: Opening, seed: int) -> float:
    """Seconds until the lead is heard; `WATCHED_S` where it is not until then."""
    performance = begin(generator, Take(opening, seed))
    made = [step(generator, [performance], stems=True)[0].stems for _ in range(WATCHED_S * SAMPLE_RATE // BLOCK_FRAMES)]
    performance.close()
    stems = np.concatenate([block for block in made if block is not None], axis=2)
    windows = stems[:, :, : stems.shape[2] // _WINDOW_FRAMES * _WINDOW_FRAMES].reshape(
        len(LAYERS), 2, -1, _WINDOW_FRAMES
    )
    lead = np.square(windows[LAYERS.index("lead")]).mean(axis=(0, 2))
    whole = np.square(windows.sum(axis=0)).mean(axis=(0, 2))
    is_heard = (lead > 10 ** (AUDIBLE_DB / 10)) & (lead > whole * 10 ** (MASKED_DB / 10))
    return float(is_heard.argmax()) * _WINDOW_FRAMES / SAMPLE_RATE if is_heard.any() else float(WATCHED_S)


def wilson(share: float, count: int) -> list[float]:
    """95 % interval of a share of `count`."""
    z = 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return [round(float(middle - half), 3), round(float(middle + half), 3)]


def main(num_seeds: int = 2) -> None:
    generator = open_generator(EngineConfig())
    seconds: dict[str, list[float]] = {style: [] for style in STYLES}
    for style in STYLES:
        for index, (length, energy) in enumerate((length, energy) for length in LENGTHS_S for energy in ENERGIES):
            timeline = {"duration": length, "style": style, "energy": energy}
            for seed in range(num_seeds):
                opening = parse_opening({"timeline": timeline})
                seconds[style].append(heard_from(generator, opening, 1000 * seed + index))
    pieces = np.concatenate(list(seconds.values()))
    share = float((pieces <= WANTED_S).mean())
    worst = max(seconds, key=lambda style: float(np.quantile(seconds[style], 0.95)))
    record("theme_from", {
        "pieces": len(pieces), "heard_from_s": percentiles(pieces.tolist(), 2), "within_3_s": round(share, 4),
        "interval": wilson(share, len(pieces)), "within_1_5_s": round(float((pieces <= 1.5).mean()), 4),
        "worst_style": worst, "worst_s": percentiles(seconds[worst], 2),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
