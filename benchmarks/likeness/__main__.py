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
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.harness import record
from benchmarks.likeness import colour, references, renditions
from benchmarks.likeness.distance import Comparison, cloud, compare
from benchmarks.likeness.ears import NoEars, ears
from benchmarks.likeness.hearing import Heard, hear
from engine.score.piece import Piece
from engine.training.evaluation.cache import Cache, digest_of

FAMILIES = {
    "orchestral": ("orchestral", "cinematic", "suspense"),
    "electronic": ("synthwave", "house", "ambient"),
    "chip": ("chiptune",),
    "acoustic": ("acoustic", "jazz", "upbeat"),
}
_HERE = "benchmarks/likeness"
_NOTES = ("moods", "engine/score", "engine/config.py", "engine/checkpoints", "engine/training/evaluation/takes.py")
_HEARING = (f"{_HERE}/hearing.py", f"{_HERE}/ears.py")
_OURS = ("engine/synth", "engine/training/evaluation/sound.py")


class Bench:
    """Everything that was composed, played and heard, made when it is first asked for."""

    def __init__(self, folder: Path, num_takes: int, console: Console) -> None:
        self._cache, self._references = Cache(folder / "heard"), folder / "references"
        self.num_takes, self.console = num_takes, console

    def _takes(self, style: str, count: int) -> list[Piece]:
        digest = digest_of(_NOTES, count)
        return self._cache.get(f"takes-{style}-{count}", digest, lambda: renditions.compose(style, count))

    def reference(self, family: str) -> list[Heard]:
        """A family's human-made tracks."""
        digest = digest_of((*_HEARING, f"{_HERE}/references.py"))
        found = []
        for package, name in track(references.track_names()[family], f"{family}: references", console=self.console):
            file = references.find(self._references, package, name)
            found.append(self._cache.get(
                f"reference-{package}-{name}", digest, lambda file=file: hear(references.track_excerpts(file))
            ))  # fmt: skip
        return found

    def renditions(self, family: str) -> tuple[list[Heard], list[Heard]]:
        """The same takes, by our synth and by the bank, in the same order."""
        ours, theirs = [], []
        styles = FAMILIES[family]
        count = -(-self.num_takes // len(styles))
        for style in track(styles, f"{family}: {count} takes a style", console=self.console):
            for seed, piece in enumerate(self._takes(style, count)):
                one = self._heard("ours", style, seed, count, piece, lambda p, k, s=style: renditions.play_ours(p, k))
                other = self._heard(
                    "bank", style, seed, count, piece, lambda p, k, s=style: renditions.play_bank(p, s, k)
                )
                if one is not None and other is not None:
                    ours.append(one)
                    theirs.append(other)
        return ours, theirs

    def _heard(
        self, player: str, style: str, seed: int, count: int, piece: Piece, play: Callable[[Piece, int], Any]
    ) -> Heard | None:
        """None where no excerpt has sound."""

        def make() -> Heard | None:
            found = renditions.excerpts(play(piece, seed), renditions.excerpt_starts(piece))
            heard = [sound for sound in found if renditions.is_audible(sound)]
            return hear(heard) if heard else None

        sources = (*_HEARING, *_NOTES, f"{_HERE}/renditions.py", *(_OURS if player == "ours" else ()))
        return self._cache.get(f"{player}-{style}-{seed}-of-{count}", digest_of(sources), make)


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
