"""How near is our sound to human-made game music, and is it nearer than the same notes through a General MIDI bank?

    python -m benchmarks.likeness --fetch                       downloads the recordings and the bank, once
    python -m benchmarks.likeness [--split unseen|tuning] [--family electronic,chip] [--takes 4] [--quick]
                                  [--references FOLDER] [--out FOLDER]

Takes of the shipped model in all 13 styles are played by our synth and by FluidSynth with FluidR3. Clips of 30 s of
both, and of human-made music, are brought to one integrated loudness and compared in the embeddings of two networks
(see `ears` for what to install): Fréchet distance and MMD of the clouds, by family and of all together, and the 95 %
interval of the ratio of ours to FluidR3's (tracks and takes drawn anew): below 1, ours is nearer. `floor` is the
reference against itself, half against half. By style the distance to its family's recordings decides which is nearer.

The recordings are split by game. Whoever tunes looks at `tuning` only; what is claimed is measured on `unseen`.
`--quick` is for tuning: two takes a style, few recordings and draws, nothing kept in the results. Takes, and what was
heard of anything, are kept until their sources change: a patch costs its rendering only. `--references` may be shared
by working trees.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.harness import record
from benchmarks.likeness import bank, references
from benchmarks.likeness.bench import FAMILIES, QUICK_RECORDINGS, QUICK_TAKES, Bench, add_folders
from benchmarks.likeness.distance import Comparison, cloud, compare, ratio
from benchmarks.likeness.ears import NoEars, ears
from benchmarks.likeness.hearing import Heard

_QUICK_DRAWS = 20
Players = tuple[list[Heard], list[Heard]]


def judge(reference: Sequence[Heard], played: Players, num_draws: int) -> dict[str, dict[str, Comparison]]:
    """By ear and measure."""
    return {
        ear: compare(*(cloud([heard.embeddings[ear] for heard in found]) for found in (reference, *played)),
                     num_draws=num_draws)
        for ear in ears()
    }  # fmt: skip


def nearest(reference: Sequence[Heard], played: Players) -> dict[str, float]:
    """By ear, the ratio of a style's Fréchet distances to its family's recordings: below 1, ours is nearer."""
    return {
        ear: ratio(*(cloud([heard.embeddings[ear] for heard in found]) for found in (reference, *played)))
        for ear in ears()
    }


def _print(console: Console, title: str, comparisons: dict[str, dict[str, Comparison]]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("ear", "measure", "ours", "FluidR3", "floor", "ours / FluidR3", "95 %", "nearer"):
        table.add_column(column, justify="left" if column in ("ear", "measure") else "right")
    for ear, measures in comparisons.items():
        for measure, found in measures.items():
            values = [f"{value:.3g}" for value in (found.ours, found.theirs, found.floor, found.ratio)]
            table.add_row(ear, measure, *values, f"{found.low:.2f} … {found.high:.2f}", f"{found.nearer:.0%}")
    console.print(table)


def _rounded(comparisons: dict[str, dict[str, Comparison]]) -> dict[str, Any]:
    return {
        ear: {
            measure: {name: round(value, 3) for name, value in asdict(found).items()} | {"ratio": round(found.ratio, 3)}
            for measure, found in measures.items()
        }
        for ear, measures in comparisons.items()
    }


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    bench = Bench(options.out, options.references, console)
    num_takes, num_draws = (QUICK_TAKES, _QUICK_DRAWS) if options.quick else (options.takes, options.draws)
    figures: dict[str, Any] = {"takes": num_takes, "split": options.split, "families": {}, "styles": {}}
    families = options.family.split(",")
    recordings: list[Heard] = []
    played: Players = [], []
    for family in families:
        reference = bench.references(family, options.split, QUICK_RECORDINGS if options.quick else None)
        of_family: Players = [], []
        for style in FAMILIES[family]:
            of_style = bench.renditions(style, num_takes)
            figures["styles"][style] = {ear: round(found, 3) for ear, found in nearest(reference, of_style).items()}
            for whole, part in zip(of_family, of_style, strict=True):
                whole += part
        comparisons = judge(reference, of_family, num_draws)
        _print(console, f"{family}: {', '.join(FAMILIES[family])}; {len(reference)} recordings", comparisons)
        figures["families"][family] = _rounded(comparisons)
        recordings += reference
        for whole, part in zip(played, of_family, strict=True):
            whole += part
    if len(families) > 1:
        comparisons = judge(recordings, played, num_draws)
        _print(console, f"all: {len(played[0])} takes, {len(recordings)} recordings", comparisons)
        figures["families"]["all"] = _rounded(comparisons)
    for ear in ears():
        nearer = [style for style, found in figures["styles"].items() if found[ear] < 1]
        console.print(f"{ear}: nearer in {len(nearer)} of {len(figures['styles'])} styles; ours / FluidR3 by style:")
        console.print("  " + ", ".join(f"{style} {found[ear]:.2f}" for style, found in figures["styles"].items()))
    return figures


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.likeness", description=__doc__.splitlines()[0])
    parser.add_argument("--family", default=",".join(FAMILIES), help="names with commas between; default: all")
    parser.add_argument("--split", choices=references.SPLITS, help="of the recordings; default: unseen, or tuning")
    parser.add_argument("--takes", type=int, default=4, help="takes a style")
    parser.add_argument("--draws", type=int, default=100, help="for the intervals")
    parser.add_argument("--quick", action="store_true", help="for tuning: few takes, and nothing recorded")
    parser.add_argument("--fetch", action="store_true", help="download with apt-get, measure nothing")
    add_folders(parser)
    options = parser.parse_args(arguments)
    options.split = options.split or ("tuning" if options.quick else "unseen")
    if unknown := set(options.family.split(",")) - set(FAMILIES):
        parser.error(f"family is {', '.join(sorted(unknown))}; expected some of: {', '.join(FAMILIES)}")
    torch.set_num_threads(1)
    try:
        if options.fetch:
            bank.fetch(options.references)
            references.fetch(options.references)
        else:
            figures = run(options, Console(stderr=True, width=110))
            record("likeness", figures, is_kept=not options.quick)
    except (NoEars, references.NoReferences, bank.NoBank) as error:
        sys.exit(f"likeness: {error}")


if __name__ == "__main__":
    main()
