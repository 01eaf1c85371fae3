"""What is usual in a mood, whoever's piece it is: the table that `engine/score/likeness.py` compares with. Offline.

    python -m engine.training.averages [--seeds 6] [--out FILE]

In: the shipped checkpoint; out: `averages.safetensors` beside it. For every style at two energies and two valences some
pieces of 24 bars are composed, without sound, each by a seed of its own; what is kept is the mean of their features.
The music does not depend on the table: it is to be made anew when the music has changed, which takes some minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track
from safetensors.numpy import save_file

from engine.score.likeness import AVERAGES_NAME, ENERGIES, VALENCES, bars_of, features
from engine.training.evaluation.takes import compose_all, make_composer
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.controller import Controller
from moods.intent import STYLES
from moods.mood import Mood, style_weights

NUM_BARS = 24
TENSION = 0.2
FIRST_SEED = 5_000_000
NAMES = ("pitched", "drums", "changes")


def corners(style: str, num_seeds: int) -> list[Controller]:
    """Pieces of each energy and valence, one after another."""
    first = FIRST_SEED + 1000 * STYLES.index(style)
    places = [(energy, valence) for energy in ENERGIES for valence in VALENCES]
    return [
        Controller(Mood(style, style, valence, energy, TENSION, style_weights(style)), first + num_seeds * index + seed)
        for index, (energy, valence) in enumerate(places)
        for seed in range(num_seeds)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m engine.training.averages", description=__doc__)
    parser.add_argument("--seeds", type=int, default=6, help="pieces of each style, energy and valence")
    parser.add_argument("--out", type=Path, default=shipped_checkpoint() / AVERAGES_NAME)
    options = parser.parse_args(arguments)
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    composer = make_composer(sizes, tensors)
    rows = list[tuple[np.ndarray, ...]]()

    def look(slot: int) -> None:
        rows.append(features(*bars_of(composer.snapshot(slot)["novelty"]["likeness"])))

    for style in track(STYLES, "composing"):
        list(compose_all(composer, corners(style, options.seeds), NUM_BARS, look))
    shape = (len(STYLES), len(ENERGIES), len(VALENCES), options.seeds, -1)
    tables = {
        name: np.stack(values).reshape(shape).mean(axis=3).astype(np.float16)
        for name, values in zip(NAMES, zip(*rows, strict=True), strict=True)
    }
    save_file(tables, options.out)
    options.out.chmod(0o644)


if __name__ == "__main__":
    main()
