"""Does each style sound like itself within three seconds?

    python -m benchmarks.signatures [--takes 6] [--out runs/likeness]

Three seconds at a time of takes in all 13 styles, as one network and 28 third octaves tell them (see `likeness`). A
linear classifier learns the styles from all seeds but one and is asked about that one: nothing is kept of it. Where
styles are taken for each other, they should part further. Beside it the same notes through a General MIDI bank. Chance
is 8 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from benchmarks.harness import record
from benchmarks.likeness.bank import NoBank
from benchmarks.likeness.bench import Bench, add_folders
from benchmarks.likeness.ears import NoEars
from benchmarks.likeness.hearing import Heard
from moods.intent import STYLES

_FEWEST_CONFUSED = 0.15
"""Share of a style's moments taken for another from which the two are named."""

Shares = npt.NDArray[np.float64]


def moments(heard: Heard) -> npt.NDArray[np.float64]:
    """What is told of every three seconds: [windows, dimensions]."""
    return np.concatenate([heard.embeddings["musicnn"], heard.windows_db], axis=1)


def confusion(moments: Mapping[str, Sequence[npt.NDArray[np.floating]]]) -> Shares:
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


def _print(console: Console, title: str, shares: Shares) -> None:
    table = Table(title=f"{title}: heard as, % of three seconds; the rows are what was played", title_justify="left")
    table.add_column("")
    for style in STYLES:
        table.add_column(style[:6], justify="right")
    for style, row in zip(STYLES, shares, strict=True):
        table.add_row(style, *(f"{100 * share:.0f}" if share >= 0.01 else "" for share in row))
    console.print(table)


def _figures(shares: Shares) -> dict[str, object]:
    return {
        "right": round(float(np.diag(shares).mean()), 3),
        "by_style": {style: round(float(shares[row, row]), 2) for row, style in enumerate(STYLES)},
        "confused": [
            f"{style} for {other} {shares[row, column]:.0%}"
            for row, style in enumerate(STYLES)
            for column, other in enumerate(STYLES)
            if row != column and shares[row, column] >= _FEWEST_CONFUSED
        ],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.signatures", description=__doc__.splitlines()[0])
    parser.add_argument("--takes", type=int, default=6, help="takes a style")
    add_folders(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console(stderr=True, width=120)
    bench = Bench(options.out, options.references, console)
    try:
        heard = {style: bench.renditions(style, options.takes) for style in STYLES}
    except (NoEars, NoBank) as error:
        sys.exit(f"signatures: {error}")
    found = {"takes": options.takes}
    for row, player in enumerate(("ours", "bank")):
        shares = confusion({style: [moments(take) for take in takes[row]] for style, takes in heard.items()})
        _print(console, player, shares)
        found[player] = _figures(shares)
    record("signatures", found)


if __name__ == "__main__":
    main()
