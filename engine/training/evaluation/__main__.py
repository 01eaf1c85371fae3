"""Judge the composer in figures. In: a checkpoint; out: one table and pictures, model beside arranger and real music.

    python -m engine.training.evaluation [--checkpoint DIR] [--seeds 4] [--styles lofi,jazz] [--data FOLDER]
                                         [--only takes,form] [--temperature T] [--practice N] [--out runs/eval]

A seed is one station. `--seeds` are those of each style: with 4, every figure stands on 52. They compose 32 bars of
moods that cover the ranges, with an ending asked on the last bar; an hour of every style under one mood; and, for every
control and each of 21 levels, a phrase or half of one. What is heard is heard through the synth that plays live. Long
parts are kept in `--out`, so that a run that was broken off goes on where it was. Same options, same table, but for the
cost. Writes `table.json` (the table, and every row by style) and one PNG a column. Offline, one process.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from engine.errors import EngineError
from engine.training.evaluation.cache import Cache
from engine.training.evaluation.context import Context, Scope
from engine.training.evaluation.parts import PARTS
from engine.training.evaluation.rows import TABLE_WIDTH, Row, rich_table, to_json, weakest_styles
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.errors import MoodsError, OutOfRange
from moods.intent import STYLES
from moods.mood import find_style


class UnknownPart(EngineError):
    """`name` is no part of the evaluation."""

    def __init__(self, name: str) -> None:
        super().__init__(f"part is {name!r:.60}; expected some of: {', '.join(PARTS)}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m engine.training.evaluation", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=shipped_checkpoint(), help="default: the shipped one")
    parser.add_argument("--seeds", type=int, default=4, help="stations a style")
    parser.add_argument("--styles", default=",".join(STYLES), help="names with commas between; default: all")
    parser.add_argument(
        "--only", default=",".join(PARTS), help=f"parts with commas between; default: {','.join(PARTS)}"
    )
    parser.add_argument("--data", type=Path, help="folder with the clean data sets, for a column of real music")
    parser.add_argument("--temperature", type=float, help="0.1 … 2; default: as the mood decides")
    parser.add_argument(
        "--practice", type=int, help="arranger's pieces that were learnt; default: as the manifest says"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/eval"), help="folder for table.json, pictures, long parts"
    )
    return parser.parse_args(arguments)


def _scope(options: argparse.Namespace, manifest: dict[str, Any]) -> Scope:
    """Raises `MoodsError` on a usage error."""
    if options.seeds < 1:
        raise OutOfRange("seeds", options.seeds, 1, float("inf"))
    if options.temperature is not None and not 0.1 <= options.temperature <= 2:
        raise OutOfRange("temperature", options.temperature, 0.1, 2)
    styles = tuple(dict.fromkeys(find_style(name) for name in options.styles.split(",")))
    practice = options.practice if options.practice is not None else manifest.get("data", {}).get("arranger", 0)
    return Scope(styles, options.seeds, options.temperature, options.data, practice)


def _parts(words: str) -> list[str]:
    names = [name.strip() for name in words.split(",")]
    for name in names:
        if name not in PARTS:
            raise UnknownPart(name)
    return [name for name in PARTS if name in names]


def run(options: argparse.Namespace, console: Console) -> list[Row]:
    """Judge, print the table to stdout and write `table.json` and the pictures."""
    parts = _parts(options.only)
    sizes, tensors, manifest = read_checkpoint(options.checkpoint)
    scope = _scope(options, manifest)
    # matplotlib comes with the extra `train` only; that it is missing should be known before composing.
    from engine.training.evaluation.pictures import draw_all

    context = Context(scope, sizes, tensors, manifest["sha256"], Cache(options.out / "parts"), console)
    rows: list[Row] = []
    for name in parts:
        began = time.perf_counter()
        rows += PARTS[name](context)
        console.print(f"{name}: {time.perf_counter() - began:.0f} s")
    titles = list(dict.fromkeys(title for row in rows for title in row.columns))
    title = f"{options.checkpoint} · {scope.num_seeds * len(scope.styles)} seeds"
    Console(width=TABLE_WIDTH).print(rich_table(rows, titles, title))
    for row in rows:
        worst = ", ".join(f"{style} {value:.3g}" for style, value in weakest_styles(row).items())
        notes = [row.note, f"farthest from the bar: {worst}" if worst else ""]
        if any(notes):
            console.print(f"{row.figure}: {'; '.join(filter(None, notes))}")
    options.out.mkdir(parents=True, exist_ok=True)
    asked = {"checkpoint": str(options.checkpoint), "sha256": manifest["sha256"], "temperature": scope.temperature}
    table = json.dumps(asked | {"seeds": scope.num_seeds, "rows": to_json(rows)}, indent=1, ensure_ascii=False)
    (options.out / "table.json").write_text(table + "\n", encoding="utf-8")
    draw_all(context, parts, options.out)
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
