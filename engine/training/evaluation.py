"""Judge the composer in figures. In: a checkpoint; out: one table and pictures, model beside arranger and real music.

    python -m engine.training.evaluation [--checkpoint DIR] [--seeds 3] [--styles lofi,jazz] [--data FOLDER]
                                         [--temperature T] [--out runs/eval]

The model composes without sound: `--seeds` takes of 32 bars in each style, of moods that cover the ranges, with an
ending asked on the last bar; and, for every control, style and each of eleven levels, eight bars that follow no
introduction. Same options, same table. Writes `table.json` (the table, and every row by style) and one PNG a column.
Offline, one process.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from scipy.stats.qmc import LatinHypercube

from engine.config import ModelConfig
from engine.errors import EngineError
from engine.score.composer import ComposedBeat, Composer, num_rows
from engine.score.piece import CHORD, TICKS_PER_BEAT, Bar, Piece
from engine.score.sampling import pack_heads
from engine.score.trunk import CpuTrunk
from engine.training.arranger import arrange
from engine.training.corpora import read_corpora
from engine.training.dataset import is_held_out
from engine.training.figures import (
    FIGURES,
    OBEDIENCE,
    Interval,
    Obedience,
    bootstrap,
    distances,
    excerpt,
    obedience,
)
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.clock import FRAMES_PER_SECOND
from moods.control import At, End
from moods.controller import Controller
from moods.ending import SHORTEST_RING_SECONDS
from moods.errors import MoodsError, OutOfRange
from moods.form import INTRO_BARS
from moods.intent import BEATS_PER_BAR, STYLES, Intent
from moods.mood import Mood, find_style, style_weights

TAKE_BARS, SWEEP_BARS = 32, 8
NUM_LEVELS = 11
MAX_SLOTS = 16
_SEEDS_A_STYLE = 1000
"""Between the first seeds of two styles: key and form follow from the seed, and should not be the same in all."""
_TABLE_WIDTH = 120
_RANGES = {"valence": (-1.0, 1.0), "energy": (0.0, 1.0), "tension": (0.0, 1.0)}
# Where the other controls stand while one is swept; tension low enough to keep notes in the scale.
_MIDDLE = {"valence": 0.2, "energy": 0.5, "tension": 0.2}

Report = Callable[[str], None]
ByStyle = dict[str, list[Piece]]


@dataclass
class Column:
    """What one composer is judged by."""

    takes: ByStyle  # for the figures of one piece and the distances
    sweeps: dict[str, ByStyle] = field(default_factory=dict)  # by control; empty: nothing was asked of this music


@dataclass(frozen=True)
class Row:
    """One figure in every column, over all styles and by style."""

    figure: str
    unit: str
    columns: dict[str, Interval]
    by_style: dict[str, dict[str, float]]  # column, style: mean


# --- the model's takes -----------------------------------------------------------------------------------------------


class _AfterIntroduction(Controller):
    """A course that is joined where its first section begins."""

    def beat_intent(self, beat: int) -> Intent:
        return super().beat_intent(beat + INTRO_BARS * BEATS_PER_BAR)


def compose(composer: Composer, controllers: Sequence[Controller], num_bars: int) -> list[Piece]:
    """One take of `num_bars` bars for each of up to `MAX_SLOTS` controllers."""
    slots = range(len(controllers))
    for slot, controller in zip(slots, controllers, strict=True):
        composer.open(slot, controller)
    beats: list[list[ComposedBeat]] = [[] for _ in slots]
    for _ in range(num_bars * BEATS_PER_BAR):
        composer.prepare(slots)
        for slot in slots:
            beats[slot].append(composer.take(slot))
    for slot in slots:
        composer.close(slot)
    return [_to_piece(controller, taken) for controller, taken in zip(controllers, beats, strict=True)]


def _to_piece(controller: Controller, beats: Sequence[ComposedBeat]) -> Piece:
    """A take as a piece; its labels are what was asked at each bar's first beat."""
    notes = np.concatenate([beat.notes for beat in beats])
    notes["tick"] += np.repeat([beat.index * TICKS_PER_BEAT for beat in beats], [len(beat.notes) for beat in beats])
    chords: list[tuple[int, int, int]] = []
    for beat in beats:
        chord = (beat.chord_root, beat.chord_quality)
        if beat.chord_root >= 0 and (not chords or chords[-1][1:] != chord):
            chords.append((beat.index * TICKS_PER_BEAT, *chord))
    asked = [controller.beat_intent(beat.index) for beat in beats[::BEATS_PER_BAR]]
    bars = [
        Bar(
            valence=intent.valence,
            energy=intent.energy,
            tension=intent.tension,
            density=intent.density,
            style=np.array(intent.style, np.float32),
            section=intent.section,
            bar_in_section=intent.bar_in_section,
            beats_to_end=intent.beats_to_end,
        )
        for intent in asked
    ]
    return Piece(notes, np.array(chords, CHORD), bars, asked[0].key, asked[0].bpm, f"model/{controller.seed}")


def _mood(style: str, temperature: float | None, valence: float, energy: float, tension: float) -> Mood:
    return Mood(style, style, valence, energy, tension, style_weights(style), temperature=temperature)


def take_controllers(style: str, num_seeds: int, temperature: float | None) -> list[Controller]:
    """Steady moods that cover the ranges of all controls (a Latin hypercube), each with a seed of its own.

    Each is to end with a cadence whose last chord falls on the first beat of bar `TAKE_BARS`.
    """
    number = STYLES.index(style)
    controllers = []
    for seed, place in enumerate(LatinHypercube(len(_RANGES), rng=number).random(num_seeds)):
        levels = {name: low + (high - low) * p for (name, (low, high)), p in zip(_RANGES.items(), place, strict=True)}
        controller = Controller(_mood(style, temperature, **levels), _SEEDS_A_STYLE * number + seed)
        last_frame = controller.frame_of_beat((TAKE_BARS - 1) * BEATS_PER_BAR)
        seconds = (last_frame + 1) / FRAMES_PER_SECOND + SHORTEST_RING_SECONDS
        controller.apply(End(how="cadence", at=At(seconds=seconds)), 0)
        controllers.append(controller)
    return controllers


def sweep_controllers(control: str, style: str, temperature: float | None) -> list[Controller]:
    """One steady course for each of `NUM_LEVELS` levels of `control`."""
    levels = np.linspace(*_RANGES[control], NUM_LEVELS).tolist()
    first_seed = _SEEDS_A_STYLE * STYLES.index(style)
    return [
        _AfterIntroduction(_mood(style, temperature, **(_MIDDLE | {control: level})), first_seed + index)
        for index, level in enumerate(levels)
    ]


def make_composer(sizes: ModelConfig, tensors: dict[str, Any]) -> Composer:
    """A composer of `MAX_SLOTS` rows on the CPU, the device of reference."""
    return Composer(CpuTrunk(tensors, sizes, num_rows(MAX_SLOTS)), pack_heads(tensors), MAX_SLOTS)


def compose_column(
    composer: Composer, styles: Sequence[str], num_seeds: int, temperature: float | None, console: Console
) -> Column:
    """The model's takes and sweeps, with a progress bar on `console`."""
    column = Column({style: [] for style in styles}, {control: {s: [] for s in styles} for control in _RANGES})
    jobs = [(column.takes[s], c) for s in styles for c in take_controllers(s, num_seeds, temperature)]
    swept = [
        (column.sweeps[control][style], controller)
        for control in _RANGES
        for style in styles
        for controller in sweep_controllers(control, style, temperature)
    ]
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        for name, queue, num_bars in (("takes", jobs, TAKE_BARS), ("sweeps", swept, SWEEP_BARS)):
            task = bar.add_task(f"composing {name}", total=len(queue))
            for first in range(0, len(queue), MAX_SLOTS):
                chunk = queue[first : first + MAX_SLOTS]
                pieces = compose(composer, [controller for _, controller in chunk], num_bars)
                for (place, _), piece in zip(chunk, pieces, strict=True):
                    place.append(piece)
                bar.advance(task, len(chunk))
    return column


# --- the other columns -----------------------------------------------------------------------------------------------


def arranger_column(styles: Sequence[str], num_seeds: int) -> Column:
    """Practice pieces by the teacher; its sweeps are its pieces cut to a sweep's length, each with its true labels."""
    takes = {style: [arrange(style, seed, num_bars=TAKE_BARS) for seed in range(num_seeds)] for style in styles}
    parts = {
        style: [excerpt(p, first, first + SWEEP_BARS) for p in pieces for first in range(0, TAKE_BARS, SWEEP_BARS)]
        for style, pieces in takes.items()
    }
    return Column(takes, dict.fromkeys(_RANGES, parts))


def real_column(data: Path, styles: Sequence[str], report: Report) -> Column:
    """Held-out pieces of the clean sets that have harmony, their first 32 bars, under their strongest style.

    Their mood labels are measured from their notes, so nothing was asked of them. Raises `NoCorpora`.
    """
    takes: ByStyle = {style: [] for style in styles}
    for piece in read_corpora(data, report=report):
        style = STYLES[int(np.argmax(piece.bars[0].style))]
        if style in takes and all(piece.layers_known) and is_held_out(piece.source):
            takes[style].append(excerpt(piece, 0, min(TAKE_BARS, len(piece.bars))))
    return Column({style: pieces for style, pieces in takes.items() if pieces})


# --- the table -------------------------------------------------------------------------------------------------------


def judge(columns: dict[str, Column]) -> list[Row]:
    """Every figure of every column: means over pieces, for distances over pairs, for obedience over styles."""
    rows = [
        _row(f.name, f.unit, columns, lambda c, s, measure=f.measure: [measure(piece) for piece in c.takes[s]])
        for f in FIGURES
    ]
    rows.append(_row("distance between takes of a style", "0 … 1", columns, lambda c, s: distances(c.takes[s])))
    rows += [_row(f.name, "Spearman", columns, lambda c, s, figure=f: _obedience(figure, c, s)) for f in OBEDIENCE]
    return rows


def _obedience(figure: Obedience, column: Column, style: str) -> list[float]:
    return [obedience(figure, column.sweeps[figure.asked][style])] if column.sweeps else []


def _row(name: str, unit: str, columns: dict[str, Column], values: Callable[[Column, str], list[float]]) -> Row:
    found = {title: {style: values(column, style) for style in column.takes} for title, column in columns.items()}
    overall = {title: bootstrap([v for part in styles.values() for v in part]) for title, styles in found.items()}
    by_style = {t: {style: bootstrap(part, 1).mean for style, part in styles.items()} for t, styles in found.items()}
    return Row(name, unit, overall, by_style)


def rich_table(rows: Iterable[Row], title: str) -> Table:
    """The table as it is printed: mean and 95 % interval."""
    rows = list(rows)
    table = Table(title=title, caption="mean [bootstrap 95 % interval]")
    table.add_column("figure")
    table.add_column("unit")
    for name in rows[0].columns:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.figure, row.unit, *(_cell(interval) for interval in row.columns.values()))
    return table


def _cell(interval: Interval) -> str:
    if interval.count < 2:
        return f"{interval.mean:.3g}" if interval.count else "—"
    return f"{interval.mean:.3g} [{interval.low:.3g}, {interval.high:.3g}]"


def to_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Rows as plain values, null where there is nothing to measure."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return (round(value, 4) if math.isfinite(value) else None) if isinstance(value, float) else value

    return [plain(asdict(row)) for row in rows]


# --- the command -----------------------------------------------------------------------------------------------------


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.training.evaluation", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=shipped_checkpoint(), help="default: the shipped one")
    parser.add_argument("--seeds", type=int, default=3, help="takes a style")
    parser.add_argument("--styles", default=",".join(STYLES), help="names with commas between; default: all")
    parser.add_argument("--data", type=Path, help="folder with the clean data sets, for a column of real music")
    parser.add_argument("--temperature", type=float, help="0.1 … 2; default: as the mood decides")
    parser.add_argument("--out", type=Path, default=Path("runs/eval"), help="folder for table.json and pictures")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, console: Console) -> list[Row]:
    """Judge, print the table to stdout and write `table.json` and the pictures."""
    if options.seeds < 1:
        raise OutOfRange("seeds", options.seeds, 1, float("inf"))
    if options.temperature is not None and not 0.1 <= options.temperature <= 2:
        raise OutOfRange("temperature", options.temperature, 0.1, 2)
    styles = list(dict.fromkeys(find_style(name) for name in options.styles.split(",")))
    sizes, tensors, manifest = read_checkpoint(options.checkpoint)
    # matplotlib comes with the extra `train` only; that it is missing should be known before composing.
    from engine.training.pictures import draw_column

    real = {"real": real_column(options.data, styles, console.print)} if options.data else {}
    composer = make_composer(sizes, tensors)
    columns = {"model": compose_column(composer, styles, options.seeds, options.temperature, console)}
    columns |= {"arranger": arranger_column(styles, options.seeds)} | real
    rows = judge(columns)
    title = f"{options.checkpoint} · {options.seeds} takes of {TAKE_BARS} bars a style"
    Console(width=_TABLE_WIDTH).print(rich_table(rows, title))
    options.out.mkdir(parents=True, exist_ok=True)
    asked = {"checkpoint": str(options.checkpoint), "sha256": manifest["sha256"], "temperature": options.temperature}
    table = json.dumps(asked | {"seeds": options.seeds, "rows": to_json(rows)}, indent=1, ensure_ascii=False)
    (options.out / "table.json").write_text(table + "\n", encoding="utf-8")
    for title, column in columns.items():
        draw_column({style: pieces[0] for style, pieces in column.takes.items()}, title, options.out / f"{title}.png")
    console.print(f"table.json and pictures are in {options.out}")
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    try:
        run(options, Console(stderr=True))
    except (MoodsError, EngineError, OSError) as error:
        sys.exit(f"evaluation: {error}")


if __name__ == "__main__":
    main()
