"""Does each style sound like itself within two seconds?

    python -m benchmarks.two_seconds [--takes 6] [--out runs/likeness]

Moments of two seconds, at one loudness, of takes in all 13 styles, as two networks hear them (see `likeness.ears`). A
linear classifier learns the styles from all seeds but one and is asked about that one: nothing is kept of it. Where
styles are taken for each other, they should part further. Chance is 8 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.progress import track
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from benchmarks.harness import record
from benchmarks.likeness.bench import Bench
from benchmarks.likeness.ears import NoEars
from moods.intent import STYLES

_FEWEST_CONFUSED = 0.15
"""Share of a style's moments taken for another from which the two are named."""


def confusion(moments: dict[str, list[npt.NDArray[np.float32]]]) -> npt.NDArray[np.float64]:
    """Share of each style's moments (row) heard as each (column); `moments` [windows, D] by style and seed."""
    names = list(moments)
    points = np.concatenate([np.concatenate(found) for found in moments.values()])
    styles = np.concatenate([np.full(sum(map(len, found)), row) for row, found in enumerate(moments.values())])
    seeds = np.concatenate([np.full(len(take), seed) for found in moments.values() for seed, take in enumerate(found)])
    points = (points - points.mean(axis=0)) / (points.std(axis=0) + 1e-6)
    shares = np.zeros((len(names), len(names)))
    for seed in np.unique(seeds):
        asked = seeds == seed
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(points[~asked], styles[~asked])
        np.add.at(shares, (styles[asked], model.predict(points[asked])), 1)
    return shares / shares.sum(axis=1, keepdims=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_seconds", description=__doc__.splitlines()[0])
    parser.add_argument("--takes", type=int, default=6, help="takes a style")
    parser.add_argument("--out", type=Path, default=Path("runs/likeness"), help="folder for what was heard")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console(stderr=True)
    bench = Bench(options.out, options.takes, console)
    try:
        heard = {style: bench.moments(style, options.takes) for style in track(STYLES, "moments", console=console)}
    except NoEars as error:
        sys.exit(f"two_seconds: {error}")
    shares = confusion(
        {s: [np.concatenate(list(take.values()), axis=1) for take in takes] for s, takes in heard.items()}
    )
    confused = [
        f"{style} for {other} {shares[row, column]:.0%}"
        for row, style in enumerate(STYLES)
        for column, other in enumerate(STYLES)
        if row != column and shares[row, column] >= _FEWEST_CONFUSED
    ]
    record("two_seconds", {
        "takes": options.takes,
        "right": round(float(np.diag(shares).mean()), 3),
        "by_style": {style: round(float(shares[row, row]), 2) for row, style in enumerate(STYLES)},
        "confused": confused,
    })  # fmt: skip


if __name__ == "__main__":
    main()
