"""Encoded pieces as one flat table, and random batches from it. In: arranger and corpora; out: `Batch`. Offline.

Remembers all events in memory. Sources are drawn by `MIX`, whatever their sizes.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from engine.errors import EngineError
from engine.score.piece import Piece
from engine.score.recall import recall_beats
from engine.score.vocabulary import CONDITION_SLICES, encode_piece
from engine.training.arranger import arrange
from engine.training.returns import Returns, draw_sources, find_returns, scale_of, with_moved_leads
from moods.intent import BEATS_PER_BAR, STYLES

GROUPS = ("arranger", "game", "drums", "scores")


@dataclass(frozen=True)
class Mix:
    """What is drawn how often."""

    groups: dict[str, float]
    """Share of the pieces drawn from each group of sources (where a group is empty, the others share its part)."""
    weights: dict[str, float] = field(default_factory=dict)
    """How many times as often as others of their group the pieces of a source are drawn; 0: never."""

    def with_human_share(self, share: float) -> Mix:
        """The same with `share` of the pieces drawn made by people, whose groups keep their proportions."""
        human = 1 - self.groups["arranger"]
        groups = {name: part * share / human for name, part in self.groups.items()} | {"arranger": 1 - share}
        return replace(self, groups=groups)


MIX = Mix({"arranger": 0.5, "game": 0.2, "drums": 0.1, "scores": 0.2})
LAST_MIX = Mix({"arranger": 0.65, "game": 0.27, "drums": 0.08, "scores": 0.0})
"""In the last part of a training: music for moods and games, as it is to be."""

_GROUP_OF_SOURCE = {
    "arranger": "arranger",
    "freedoom": "game",
    "easyrpg-rtp": "game",
    "blasphemer": "game",
    "groove": "drums",
}
_HELD_OUT_PERCENT = 2
ARRANGED_BARS = (32, 48, 32, 64)
"""Lengths of practice pieces, in turn: long ones have room for themes to return."""


class BadDataset(EngineError):
    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file} holds no pieces to learn from: {why}; trainer --pack writes such a file")


class UnknownSource(EngineError):
    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"no pieces of {name!r} in the data set; it has {', '.join(known)}")


class NothingToDraw(EngineError):
    def __init__(self, mix: Mix, sources: Iterable[str]) -> None:
        super().__init__(f"none of {', '.join(sources)} may be drawn by {mix}; give one of their groups a share")


@dataclass
class Batch:
    """`events` and `recalled` int64 [B, T, 5], `conditions` float32 [B, T, CONDITION], `known` bool [B, T]."""

    events: npt.NDArray[np.int64]
    recalled: npt.NDArray[np.int64]
    conditions: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]


@dataclass
class Dataset:
    """Pieces one after another: piece i is events[starts[i] : starts[i + 1]]; its bars begin at first_bars[i]."""

    events: npt.NDArray[np.int16]  # [N, 5]
    condition_of_event: npt.NDArray[np.int32]  # [N] row of `conditions`
    conditions: npt.NDArray[np.float16]  # [beats, CONDITION]
    return_sources: npt.NDArray[np.int16]  # [bars, lanes, 5] as in `Returns`
    return_strength: npt.NDArray[np.uint8]  # [bars, lanes, 5]
    return_steps: npt.NDArray[np.int8]  # [bars, 5]
    starts: npt.NDArray[np.int64]  # [pieces + 1]
    first_bars: npt.NDArray[np.int64]  # [pieces + 1]
    group: npt.NDArray[np.int8]  # [pieces] index into GROUPS
    held_out: npt.NDArray[np.bool_]  # [pieces]
    sources: dict[str, int]  # pieces by source; those of one source lie together, in this order

    def chances(self, mix: Mix, *, held_out: bool = False) -> npt.NDArray[np.float64]:
        """Chance of each piece to be drawn, [pieces]. Raises `UnknownSource` and `NothingToDraw`."""
        for name in mix.weights:
            if name not in self.sources:
                raise UnknownSource(name, self.sources)
        weights = np.repeat([mix.weights.get(name, 1.0) for name in self.sources], list(self.sources.values()))
        weights = weights * (self.held_out == held_out)
        of_groups = np.bincount(self.group, weights, len(GROUPS))
        shares = np.array([mix.groups[name] for name in GROUPS]) * (of_groups > 0)
        if not shares.any():
            raise NothingToDraw(mix, self.sources)
        of_pieces = weights * (shares / np.where(of_groups > 0, of_groups, 1))[self.group]
        return of_pieces / of_pieces.sum()

    def _row(
        self, length: int, rng: np.random.Generator, mix: Mix, held_out: bool, recalls: bool
    ) -> list[npt.NDArray[Any]]:
        """Events, recalled events and conditions of `length` events: pieces one after another, the first often entered
        at some later bar."""
        parts: list[tuple[npt.NDArray[Any], ...]] = []
        chances = self.chances(mix, held_out=held_out)
        filled = 0
        while filled < length:
            piece = int(rng.choice(len(chances), p=chances))
            first, last = int(self.starts[piece]), int(self.starts[piece + 1])
            if not parts and rng.random() < 0.6:
                bars = first + np.flatnonzero(self.events[first:last, 0] == 0)
                first = int(rng.choice(bars))
            part = slice(first, min(last, first + length - filled))
            recalled, conditions = self._recalled(piece, rng, recalls)
            begin = int(self.starts[piece])
            inside = slice(part.start - begin, part.stop - begin)
            beat = self.condition_of_event[part] - self.first_bars[piece] * BEATS_PER_BAR
            parts.append((self.events[part], recalled[inside], conditions[beat]))
            filled += part.stop - part.start
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]

    def _recalled(
        self, piece: int, rng: np.random.Generator, recalls: bool
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float16]]:
        """What a piece is shown as recalled, drawn anew each time: events [T, 5] and its conditions [beats, C]."""
        bars = slice(int(self.first_bars[piece]), int(self.first_bars[piece + 1]))
        events = slice(int(self.starts[piece]), int(self.starts[piece + 1]))
        beats = slice(bars.start * BEATS_PER_BAR, bars.stop * BEATS_PER_BAR)
        returns = Returns(self.return_sources[bars], self.return_strength[bars], self.return_steps[bars])
        source, strength, steps = draw_sources(returns, rng)
        if not recalls:
            source = np.full_like(source, -1)
        beat_in_bar = np.arange(BEATS_PER_BAR)[None, :, None]
        of_beat = np.where(source[:, None] >= 0, source[:, None] * BEATS_PER_BAR + beat_in_bar, -1)
        of_beat = of_beat.reshape(-1, source.shape[1])
        beat_starts = np.searchsorted(self.condition_of_event[events], np.arange(beats.start, beats.stop + 1))
        conditions = self.conditions[beats].copy()
        recalled = np.zeros((events.stop - events.start, 5), np.int64)
        own, moves = self.events[events].astype(np.int64), np.repeat(steps, BEATS_PER_BAR)
        recall_beats(*with_moved_leads(own, beat_starts, of_beat, moves, scale_of(conditions)), recalled)
        shown = source >= 0
        group = np.concatenate([shown, strength * shown], 1)
        conditions[:, CONDITION_SLICES["recall"]] = np.repeat(group, BEATS_PER_BAR, 0)
        return recalled, conditions

    def batch(
        self,
        rows: int,
        length: int,
        rng: np.random.Generator,
        mix: Mix = MIX,
        *,
        held_out: bool = False,
        recalls: bool = True,
    ) -> Batch:
        """Rows of pieces drawn by `mix`; without `recalls` nothing is shown as recalled."""
        drawn = [self._row(length, rng, mix, held_out, recalls) for _ in range(rows)]
        events, recalled, conditions = (np.stack(arrays) for arrays in zip(*drawn, strict=True))
        return Batch(events.astype(np.int64), recalled, conditions.astype(np.float32), np.ones(events.shape[:2], bool))

    def held_out_batches(self, rows: int, length: int, count: int) -> list[Batch]:
        rng = np.random.default_rng(0)
        return [self.batch(rows, length, rng, held_out=True) for _ in range(count)]


def practice_pieces(num_pieces: int) -> Iterator[Piece]:
    """What the arranger teaches: all styles in turn, of several lengths."""
    for seed in range(num_pieces):
        number, style = divmod(seed, len(STYLES))
        yield arrange(STYLES[style], seed, num_bars=ARRANGED_BARS[number % len(ARRANGED_BARS)])


def is_held_out(source: str) -> bool:
    """By a hash of the file's name, so that the pieces cut from one file (`source` up to #) fall on one side."""
    return hashlib.sha256(source.split("#")[0].encode()).digest()[0] * 100 < _HELD_OUT_PERCENT * 256


def build_dataset(pieces: Iterable[Piece]) -> Dataset:
    """Encode pieces; the source's name decides group and whether the piece is held out."""
    events, conditions, condition_of_event, starts, group, held_out = [], [], [], [0], [], []
    sources_of_bars, strength, steps, first_bars = [], [], [], [0]
    sources: Counter[str] = Counter()
    num_beats = 0
    for piece in pieces:
        encoded = encode_piece(piece)
        source = piece.source.split("/")[0]
        assert source not in sources or source == list(sources)[-1], source
        sources[source] += 1
        events.append(encoded.events)
        conditions.append(encoded.conditions)
        condition_of_event.append(encoded.beat_of_event + num_beats)
        num_beats += len(encoded.conditions)
        starts.append(starts[-1] + len(encoded.events))
        returns = find_returns(encoded)
        sources_of_bars.append(returns.source)
        strength.append(returns.strength)
        steps.append(returns.steps)
        first_bars.append(first_bars[-1] + len(returns.source))
        group.append(GROUPS.index(_GROUP_OF_SOURCE.get(source, "scores")))
        held_out.append(is_held_out(piece.source))
    return Dataset(
        events=np.concatenate(events),
        condition_of_event=np.concatenate(condition_of_event).astype(np.int32),
        conditions=np.concatenate(conditions),
        return_sources=np.concatenate(sources_of_bars),
        return_strength=np.concatenate(strength),
        return_steps=np.concatenate(steps),
        starts=np.asarray(starts, np.int64),
        first_bars=np.asarray(first_bars, np.int64),
        group=np.asarray(group, np.int8),
        held_out=np.asarray(held_out, bool),
        sources=dict(sources),
    )


def load_dataset(data: Path | None, num_arranged: int, cache: Path | None, console: Console) -> Dataset:
    """The dataset of an earlier run in `cache`, or a new one from the arranger and the clean sets in `data`."""
    if cache is not None and cache.exists():
        return read_dataset(cache)

    def pieces() -> Iterator[Piece]:
        yield from practice_pieces(num_arranged)
        if data is not None:
            from engine.training.corpora import read_corpora  # reads MIDI, by a library that only this needs

            yield from read_corpora(data, report=console.print)

    dataset = build_dataset(pieces())
    console.print(f"{len(dataset.events):,} events in {len(dataset.starts) - 1:,} pieces: {dataset.sources}")
    if cache is not None:
        cache.parent.mkdir(parents=True, exist_ok=True)
        np.savez(cache, **_stored(dataset))
    return dataset


_ARRAYS = tuple(item.name for item in fields(Dataset) if item.name != "sources")


def _stored(dataset: Dataset) -> dict[str, npt.NDArray[Any]]:
    return {name: getattr(dataset, name) for name in _ARRAYS} | {"sources": np.array(json.dumps(dataset.sources))}


def pack_dataset(dataset: Dataset, file: Path) -> None:
    """The same file by a slow compression to about a tenth: a thousand practice pieces take some 2 MB."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as packed:
        for name, array in _stored(dataset).items():
            with packed.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_dataset(file: Path) -> Dataset:
    """What was cached or packed. Raises `BadDataset`."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return Dataset(**{name: stored[name] for name in _ARRAYS}, sources=json.loads(str(stored["sources"])))
    except OSError as error:
        raise BadDataset(file, error.strerror or str(error)) from None
    except (ValueError, KeyError, EOFError, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise BadDataset(file, str(error)) from None
