"""Encoded pieces as one flat table, and random batches from it. In: arranger and corpora; out: `Batch`. Offline.

Remembers all events in memory. Sources are drawn by `MIX`, whatever their sizes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console

from engine.score.piece import Piece
from engine.score.vocabulary import encode_piece
from engine.training.arranger import arrange
from engine.training.corpora import read_corpora
from moods.intent import STYLES

MIX = {"arranger": 0.55, "game": 0.2, "drums": 0.05, "scores": 0.2}
"""Share of rows drawn from each group of sources (where a group is empty, the others share its part)."""

_GROUP_OF_SOURCE = {
    "arranger": "arranger",
    "freedoom": "game",
    "easyrpg-rtp": "game",
    "blasphemer": "game",
    "groove": "drums",
}
_HELD_OUT_PERCENT = 2


@dataclass
class Batch:
    """`events` int64 [B, T, 5], `conditions` float32 [B, T, CONDITION], `known` bool [B, T]."""

    events: npt.NDArray[np.int64]
    conditions: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]


@dataclass
class Dataset:
    """Pieces one after another: piece i is events[starts[i] : starts[i + 1]]."""

    events: npt.NDArray[np.int16]  # [N, 5]
    condition_of_event: npt.NDArray[np.int32]  # [N] row of `conditions`
    conditions: npt.NDArray[np.float16]  # [beats, CONDITION]
    starts: npt.NDArray[np.int64]  # [pieces + 1]
    group: npt.NDArray[np.int8]  # [pieces] index into MIX
    held_out: npt.NDArray[np.bool_]  # [pieces]
    sources: dict[str, int]  # pieces by source

    def _draw_piece(self, rng: np.random.Generator, held_out: bool) -> int:
        shares = np.array([share * bool(len(self._members(g, held_out))) for g, share in enumerate(MIX.values())])
        group = int(rng.choice(len(MIX), p=shares / shares.sum()))
        return int(rng.choice(self._members(group, held_out)))

    def _members(self, group: int, held_out: bool) -> npt.NDArray[np.int64]:
        return np.flatnonzero((self.group == group) & (self.held_out == held_out))

    def _row(self, length: int, rng: np.random.Generator, held_out: bool) -> npt.NDArray[np.int64]:
        """Indices of `length` events: pieces one after another, the first often entered at some later bar."""
        parts: list[npt.NDArray[np.int64]] = []
        filled = 0
        while filled < length:
            piece = self._draw_piece(rng, held_out)
            first, last = int(self.starts[piece]), int(self.starts[piece + 1])
            if not parts and rng.random() < 0.6:
                bars = first + np.flatnonzero(self.events[first:last, 0] == 0)
                first = int(rng.choice(bars))
            part = np.arange(first, last)[: length - filled]
            parts.append(part)
            filled += len(part)
        return np.concatenate(parts)

    def batch(self, rows: int, length: int, rng: np.random.Generator, held_out: bool = False) -> Batch:
        index = np.stack([self._row(length, rng, held_out) for _ in range(rows)])
        return Batch(
            self.events[index].astype(np.int64),
            self.conditions[self.condition_of_event[index]].astype(np.float32),
            np.ones(index.shape, bool),
        )

    def held_out_batches(self, rows: int, length: int, count: int) -> list[Batch]:
        rng = np.random.default_rng(0)
        return [self.batch(rows, length, rng, held_out=True) for _ in range(count)]


def _arranged(num_pieces: int) -> Iterator[Piece]:
    for seed in range(num_pieces):
        yield arrange(STYLES[seed % len(STYLES)], seed)


def is_held_out(source: str) -> bool:
    """By a hash of the file's name, so that the pieces cut from one file (`source` up to #) fall on one side."""
    return hashlib.sha256(source.split("#")[0].encode()).digest()[0] * 100 < _HELD_OUT_PERCENT * 256


def build_dataset(pieces: Iterable[Piece]) -> Dataset:
    """Encode pieces; the source's name decides group and whether the piece is held out."""
    events, conditions, condition_of_event, starts, group, held_out = [], [], [], [0], [], []
    sources: Counter[str] = Counter()
    num_beats = 0
    for piece in pieces:
        encoded = encode_piece(piece)
        source = piece.source.split("/")[0]
        sources[source] += 1
        events.append(encoded.events)
        conditions.append(encoded.conditions)
        condition_of_event.append(encoded.beat_of_event + num_beats)
        num_beats += len(encoded.conditions)
        starts.append(starts[-1] + len(encoded.events))
        group.append(list(MIX).index(_GROUP_OF_SOURCE.get(source, "scores")))
        held_out.append(is_held_out(piece.source))
    return Dataset(
        np.concatenate(events),
        np.concatenate(condition_of_event).astype(np.int32),
        np.concatenate(conditions),
        np.asarray(starts, np.int64),
        np.asarray(group, np.int8),
        np.asarray(held_out, bool),
        dict(sources),
    )


def load_dataset(data: Path | None, num_arranged: int, cache: Path, console: Console) -> Dataset:
    """The dataset of an earlier run in `cache`, or a new one from the arranger and the clean sets in `data`."""
    if cache.exists():
        stored = np.load(cache, allow_pickle=False)
        names = [str(name) for name in stored["source_names"]]
        sources = dict(zip(names, map(int, stored["source_counts"]), strict=True))
        fields = ("events", "condition_of_event", "conditions", "starts", "group", "held_out")
        return Dataset(*(stored[name] for name in fields), sources)

    def pieces() -> Iterator[Piece]:
        yield from _arranged(num_arranged)
        if data is not None:
            yield from read_corpora(data, report=console.print)

    dataset = build_dataset(pieces())
    console.print(f"{len(dataset.events):,} events in {len(dataset.starts) - 1:,} pieces: {dataset.sources}")
    cache.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        cache,
        events=dataset.events,
        condition_of_event=dataset.condition_of_event,
        conditions=dataset.conditions,
        starts=dataset.starts,
        group=dataset.group,
        held_out=dataset.held_out,
        source_names=np.array(list(dataset.sources)),
        source_counts=np.array(list(dataset.sources.values())),
    )
    return dataset
