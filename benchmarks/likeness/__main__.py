"""How near is our sound to human-made game music, and is it nearer than the same notes through a General MIDI bank?

    python -m benchmarks.likeness --fetch                       downloads the references, once
    python -m benchmarks.likeness [--family electronic,chip] [--takes 6] [--out runs/likeness]

Four families of styles. Takes of the shipped model are played by our synth and by FluidSynth with FluidR3, at one
loudness; excerpts of 12 s of both are compared with excerpts of human-made music in the embeddings of two networks
(see `ears` for what to install): Fréchet distance and MMD of the clouds, and the 95 % interval of ours minus FluidR3's
(tracks and takes drawn anew): below 0, ours is nearer. `floor` is the reference against itself, half against half.
Takes, and what was heard of anything, are kept in `--out` until their sources change: a patch costs its rendering only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.harness import record
from benchmarks.likeness import colour, references, renditions
from benchmarks.likeness.bench import FAMILIES, Bench
from benchmarks.likeness.distance import Comparison, cloud, compare
from benchmarks.likeness.ears import NoEars, ears
from benchmarks.likeness.hearing import Heard


def judge(
    reference: Sequence[Heard], ours: Sequence[Heard], theirs: Sequence[Heard]
) -> dict[str, dict[str, Comparison]]:
    """By ear and measure."""
    return {
        ear: compare(*(cloud([heard.embeddings[ear] for heard in found]) for found in (reference, ours, theirs)))
        for ear in ears()
    }


def summary(comparisons: dict[str, dict[str, Comparison]]) -> dict[str, float]:
    """Geometric mean of the ratios over the ears, by measure."""
    return {
        measure: round(float(np.exp(np.mean([np.log(found[measure].ratio) for found in comparisons.values()]))), 3)
        for measure in ("frechet", "mmd")
    }


def _print(console: Console, family: str, comparisons: dict[str, dict[str, Comparison]]) -> None:
    table = Table(title=f"{family}: {', '.join(FAMILIES[family])}", title_justify="left")
    for column in ("ear", "measure", "ours", "FluidR3", "floor", "ours / FluidR3", "ours - FluidR3, 95 %", "nearer"):
        table.add_column(column, justify="left" if column in ("ear", "measure") else "right")
    for ear, measures in comparisons.items():
        for measure, found in measures.items():
            values = [f"{value:.3g}" for value in (found.ours, found.theirs, found.floor, found.ratio)]
            table.add_row(ear, measure, *values, f"{found.low:.3g} … {found.high:.3g}", f"{found.nearer:.0%}")
    console.print(table)


def run(options: argparse.Namespace, console: Console) -> None:
    bench = Bench(options.out, options.takes, console)
    figures: dict[str, Any] = {"takes": options.takes, "families": {}}
    for family in options.family.split(","):
        heard = bench.reference(family), *bench.renditions(family)
        comparisons = judge(*heard)
        _print(console, family, comparisons)
        report = options.out / f"colour-{family}.md"
        report.write_text("\n".join(colour.describe(family, *heard)), encoding="utf-8")
        console.print(f"what separates them, band by band: {report}")
        figures["families"][family] = {
            "ratio": summary(comparisons),
            "ears": {ear: {m: {k: round(v, 3) for k, v in asdict(found).items()} for m, found in measures.items()}
                     for ear, measures in comparisons.items()},
        }  # fmt: skip
    figures["nearer"] = {
        measure: sum(found["ratio"][measure] < 1 for found in figures["families"].values())
        for measure in ("frechet", "mmd")
    }
    record("likeness", figures)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.likeness", description=__doc__.splitlines()[0])
    parser.add_argument("--family", default=",".join(FAMILIES), help="names with commas between; default: all")
    parser.add_argument("--takes", type=int, default=18, help="takes a family")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/likeness"), help="folder for references and what was heard"
    )
    parser.add_argument("--fetch", action="store_true", help="download the references with apt-get, measure nothing")
    options = parser.parse_args(arguments)
    if unknown := set(options.family.split(",")) - set(FAMILIES):
        parser.error(f"family is {', '.join(sorted(unknown))}; expected some of: {', '.join(FAMILIES)}")
    torch.set_num_threads(1)
    try:
        if options.fetch:
            references.fetch(options.out / "references")
        else:
            run(options, Console(stderr=True, width=110))
    except (NoEars, references.NoReferences, renditions.NoBank) as error:
        sys.exit(f"likeness: {error}")


if __name__ == "__main__":
    main()
