"""Are there tunes in what we compose, and do they come back?

    python -m benchmarks.tunes [--seeds 4] [--minutes 3] [--long-seeds 1] [--data FOLDER]

Takes of every style, in moods in which a tune is to be heard, and ten minutes of every style besides, composed without
sound; the figures and their bars are those of `engine/training/evaluation/tunes.py`, with `--data` beside human-made
game music. One number a figure, its bootstrap 95 % interval over takes and the verdict.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.harness import record
from engine.training.evaluation import tunes
from engine.training.evaluation.cache import Cache
from engine.training.evaluation.rows import TABLE_WIDTH, Row, rich_table
from engine.training.evaluation.takes import ByStyle
from engine.weights import shipped_checkpoint
from moods.intent import STYLES

LONG_SECONDS = 600.0


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """By figure: mean, interval and verdict of the model, and the mean of real music where there is some."""
    found = {}
    for row in rows:
        ours = row.columns["model"]
        found[f"{row.figure}, {row.unit}"] = {
            "mean": round(ours.mean, 3), "interval": [round(ours.low, 3), round(ours.high, 3)], "verdict": row.verdict,
            **({"real": round(row.columns["real"].mean, 3)} if "real" in row.columns else {}),
        }  # fmt: skip
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tunes", description=__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="takes of each style")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each take")
    parser.add_argument("--long-seeds", type=int, default=1, help="ten minutes of each style")
    parser.add_argument("--styles", default=",".join(STYLES))
    parser.add_argument("--data", type=Path, help="folder with the clean data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/tunes"))
    options = parser.parse_args(arguments)
    names, checkpoint = options.styles.split(","), shipped_checkpoint()
    real: dict[str, ByStyle] = {}
    if options.data is not None:
        tracks = tunes.game_tracks(options.data, Cache(options.out / "parts"), Console(stderr=True))
        real["real"] = {tunes.GAME: tracks}
    takes = {"model": tunes.compose(checkpoint, names, options.seeds, 60 * options.minutes), **real}
    long = {"model": tunes.compose(checkpoint, names, options.long_seeds, LONG_SECONDS), **real}
    rows = [*tunes.judge(takes, tunes.TUNES), tunes.common_row(takes), *tunes.judge(long, tunes.OVER_MINUTES)]
    Console(width=TABLE_WIDTH, stderr=True).print(rich_table(rows, list(takes), "tunes"))
    num_takes = len(names) * options.seeds, len(names) * options.long_seeds
    record("tunes", {"takes": num_takes[0], "minutes": options.minutes, "long": num_takes[1], "figures": figures(rows)})


if __name__ == "__main__":
    main()
