"""How far apart do the seeds of one mood lie, and does the dial `novelty` move it?

    python -m benchmarks.seeds [--moods happy,suspense,epic] [--seeds 8] [--dial] [--data DATA]

Pieces of 32 bars are composed without sound. Their distance is the evaluation's, bar by bar: 1 - cosine of pitched
onsets by pitch class above the tonic and sixteenth. Bars with many notes are more alike by that alone, so each pair of
bars is held against pairs of bars of human game music with as many notes (the geometric mean of both; `HUMAN`): 1 is as
far apart as tracks of one game are. With `--data` the human figures are measured anew and printed.

With `--dial` each mood is composed at five levels of `novelty` by the same seeds: the spread, what the server tells as
`likeness_to_mood`, and Spearman's rank correlation of level and likeness, over all pieces of a mood and over the means.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from benchmarks.harness import record
from engine.score.composer import Composer
from engine.score.novelty import NoveltyFound
from engine.score.piece import Piece
from engine.training.corpora import read_corpora
from engine.training.evaluation.takes import GAME_SETS, TAKE_BARS, compose_all, game_tracks, make_composer
from engine.training.figures import bar_histograms, excerpt
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.controller import Controller
from moods.opening import parse_opening

MOODS = ("happy", "suspense", "epic", "healing", "focus", "sport", "battle", "cafe", "night", "tech")
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
FIRST_SEED = 40_000
HUMAN_NOTES = (2, 4, 6, 8, 12, 17, 24, 34, 48, 70)
HUMAN = (0.895, 0.889, 0.874, 0.853, 0.83, 0.815, 0.793, 0.76, 0.691, 0.54)
"""Mean distance of two bars of different tracks, by their notes."""
_MOST_PAIRS = 400

Floats = npt.NDArray[np.float64]


def bars_apart(a: Piece, b: Piece) -> tuple[Floats, Floats]:
    """Of each pair of bars in which both begin notes: the geometric mean of how many, and how far they lie apart."""
    bars = min(len(a.bars), len(b.bars))
    one, other = bar_histograms(a)[:bars], bar_histograms(b)[:bars]
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    both = norms > 0
    notes = np.sqrt(one.sum(axis=1) * other.sum(axis=1))[both]
    return notes, 1 - (one * other).sum(axis=1)[both] / norms[both]


def spread(pieces: Sequence[Piece]) -> float:
    """How far pieces lie apart, as a share of what human pieces with as many notes do."""
    notes, apart = (np.concatenate(found) for found in zip(*pairs_apart(pieces), strict=True))
    return float(apart.sum() / np.interp(np.log(notes), np.log(HUMAN_NOTES), HUMAN).sum())


def pairs_apart(pieces: Sequence[Piece]) -> Iterator[tuple[Floats, Floats]]:
    return (bars_apart(a, b) for a, b in combinations(pieces, 2))


def human_figures(data: Path) -> list[float]:
    """What is to stand in `HUMAN`."""
    tracks = game_tracks(list(read_corpora(data, names=GAME_SETS, report=print)))
    sets: dict[str, list[Piece]] = {}
    for track in tracks:
        sets.setdefault(track.source.split("/")[0], []).append(excerpt(track, 0, min(TAKE_BARS, len(track.bars))))
    rng, found = np.random.default_rng(0), list[tuple[Floats, Floats]]()
    for each in sets.values():
        for a, b in rng.integers(len(each), size=(_MOST_PAIRS, 2)).tolist():
            if a != b:
                found.append(bars_apart(each[a], each[b]))
    notes, apart = (np.concatenate(values) for values in zip(*found, strict=True))
    nearest = np.abs(np.log(notes)[:, None] - np.log(HUMAN_NOTES)).argmin(axis=1)
    return [round(float(apart[nearest == index].mean()), 3) for index in range(len(HUMAN_NOTES))]


def compose(
    composer: Composer, openings: Sequence[dict[str, Any]], seeds: Sequence[int]
) -> list[tuple[Piece, NoveltyFound]]:
    """A piece of each opening by its seed, and what the composer tells of it."""
    controllers = [Controller(parse_opening(fields), seed) for fields, seed in zip(openings, seeds, strict=True)]
    told: list[NoveltyFound] = []
    pieces = list(compose_all(composer, controllers, TAKE_BARS, lambda slot: told.append(composer.novelty(slot))))
    return list(zip(pieces, told, strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seeds", description=__doc__)
    parser.add_argument("--moods", default=",".join(MOODS))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--dial", action="store_true")
    parser.add_argument("--data", type=Path, help="the data sets, to measure the human figures anew")
    options = parser.parse_args(arguments)
    if options.data is not None:
        print(human_figures(options.data))
        return
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    composer = make_composer(sizes, tensors)
    result: dict[str, Any] = {"seeds": options.seeds, "moods": {}}
    for mood in options.moods.split(","):
        levels = LEVELS if options.dial else (0.5,)
        asked = [
            ({"mood": mood, "novelty": level}, FIRST_SEED + seed) for level in levels for seed in range(options.seeds)
        ]
        found = compose(composer, *map(list, zip(*asked, strict=True)))
        by_level = [found[index : index + options.seeds] for index in range(0, len(found), options.seeds)]
        spreads = [round(spread([piece for piece, _ in each]), 3) for each in by_level]
        likeness = np.array([[novelty.likeness_to_mood for _, novelty in each] for each in by_level])
        row: dict[str, Any] = {"spread": spreads if options.dial else spreads[0]}
        row["likeness_to_mood"] = np.round(likeness.mean(axis=1), 3).tolist()
        if options.dial:
            of_pieces = spearmanr(np.repeat(levels, options.seeds), likeness.ravel()).statistic
            of_means = spearmanr(levels, likeness.mean(axis=1)).statistic
            row["spearman"] = {"pieces": round(float(of_pieces), 2), "means": round(float(of_means), 2)}
            row["spearman"]["spread"] = round(float(spearmanr(levels, spreads).statistic), 2)
        result["moods"][mood] = row
        print(mood, row, flush=True)
    record("seeds", result)


if __name__ == "__main__":
    main()
