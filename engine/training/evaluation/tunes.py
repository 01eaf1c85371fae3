"""Does one hum it? In: takes, or what composes them; out: a table of figures of tunes, ours beside others' music.

    python -m engine.training.evaluation.tunes [--seeds 2] [--minutes 3] [--styles lofi,jazz,epic] [--data FOLDER]
                                               [--columns model,real] [--rolls] [--checkpoint DIR] [--out runs/tunes]

Composes without sound: takes of each style, in moods spread over those in which a tune is to be heard, and of each
preset named. With `--minutes 10` what returns after minutes is told as well. `real` is the game music in `--data`.
Prints one table; writes `tunes.json`, every figure by style too, and with `--rolls` a piano roll of every take.
Offline, one process.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from engine.errors import EngineError
from engine.score.piece import Piece
from engine.training import figures
from engine.training.evaluation import form, obedience, recurrence, takes, texture
from engine.training.evaluation.cache import Cache, digest_of
from engine.training.evaluation.rows import (
    TABLE_WIDTH,
    Goal,
    Row,
    Samples,
    Statistic,
    against_real,
    at_least,
    at_most,
    make_row,
    rich_table,
    to_json,
)
from engine.training.evaluation.takes import ByStyle
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.errors import MoodsError, OutOfRange
from moods.intent import STYLES

COLUMNS = ("model", "arranger", "real")
GAME = "game music"
ARRANGED_BARS = 64
_FEWEST_BARS = 24
_CORPUS_SOURCES = tuple(f"engine/training/{name}.py" for name in ("corpora", "labels", "midi_reader"))


@dataclass(frozen=True)
class Judged:
    """A figure of a piece, and where it is to lie: `goal`, or among real music, or it only stands beside it."""

    name: str
    unit: str
    measure: Callable[[Piece], float]
    goal: Goal | None = None
    is_among_real: bool = False
    statistic: Statistic = np.mean


_MINUTES = f"minutes {recurrence.REPRISE_MINUTES[0]} … {recurrence.REPRISE_MINUTES[1]}"
TUNES = (
    Judged("figures that come again in 16 bars of lead", "%", recurrence.figures_again, at_least(40, 75)),
    Judged("the same by contour and rhythm", "%", recurrence.contours_again, at_least(55, 85)),
    Judged("four-note rhythms that come again", "%", recurrence.rhythms_again),
    Judged("varied figures", "%", recurrence.varied),
    Judged("sequences", "%", recurrence.sequences, at_least(6, 12)),
    Judged("bars of lead: rhythm heard in the last 16", "%", recurrence.bar_rhythms_again, at_least(60, 70)),
    Judged("bars of the tune heard 4 bars before or more", "%", recurrence.tune_again, at_least(60, 75)),
    Judged("lead the same, bars in a row, worst", "bars", recurrence.longest_tune_run, at_most(4, 4), statistic=np.max),
    Judged("all the same, bars in a row, worst", "bars", figures.longest_run, at_most(4, 4), statistic=np.max),
    Judged("4-bar units already heard in 5 min", "%", form.already_heard, is_among_real=True),
    Judged("lead: median pitch", "MIDI", texture.lead_pitch, Goal((65, 76), (66, 72))),
    Judged("lead: on its own top note", "%", texture.on_top_note, at_most(3, 2)),
    Judged("lead: range, 5 … 95 %", "semitones", texture.lead_range, is_among_real=True),
    Judged("lead: steps", "%", texture.stepwise, at_least(36, 40)),
    Judged("lead: repeated notes", "%", texture.repeated, at_most(12, 8)),
    Judged("lead: rests", "%", texture.rests, at_most(20, 12)),
    Judged("lead: phrase, median take", "beats", texture.phrase_beats, statistic=np.median),
    Judged("lead: phrase, median take", "notes", texture.phrase_notes, at_least(10, 14), statistic=np.median),
    Judged("lead: bars in which it plays", "%", texture.lead_bars),
    Judged("lead: first note", "s", texture.lead_begins_s),
    Judged("tenor, MIDI 52 … 60", "% of time", texture.tenor_share, at_least(12, 17)),
    Judged("MIDI 72 … 84", "% of time", texture.high_share),
    Judged("roots by fourth or fifth", "%", texture.by_fifth),
    Judged("roots by third", "%", texture.by_third),
    Judged("V–I into a four-bar phrase", "%", texture.dominant_entries, is_among_real=True),
    Judged("bass notes", "a bar", texture.bass_notes_a_bar),
    Judged("notes", "a second", obedience.notes_a_second),
    Judged("velocity spread", "1 … 127", texture.velocity_spread),
    Judged("velocity spread of bar means", "1 … 127", texture.bar_velocity_spread, at_least(4, 4.5)),
)
OVER_MINUTES = (
    Judged("notes a second by minute", "± %", texture.minutes_apart, at_least(25, 25)),
    Judged(f"the first theme in {_MINUTES}", "0 … 1", recurrence.reprise, at_least(0.85, 0.95)),
)


def judge(columns: dict[str, ByStyle], measured: Sequence[Judged]) -> list[Row]:
    """A row for every figure."""
    rows = []
    for judged in measured:
        samples: dict[str, Samples] = {
            title: {style: [judged.measure(piece) for piece in pieces] for style, pieces in styles.items()}
            for title, styles in columns.items()
        }
        row = against_real(judged.name, judged.unit, samples, judged.goal, statistic=judged.statistic)
        rows.append(row if judged.goal or judged.is_among_real else row.without_goal())
    return rows


def common_row(columns: dict[str, ByStyle]) -> Row:
    """How many bars of two takes have the same rhythm: a rhythm that all pieces have is none."""
    common = {
        title: {"all": recurrence.rhythms_in_common([piece for pieces in styles.values() for piece in pieces])}
        for title, styles in columns.items()
    }
    return against_real("bar rhythms in common, of two takes", "%", common)


def spread_row(columns: dict[str, ByStyle]) -> Row:
    """How far seeds of one style or preset lie apart at equal numbers of notes, as a share of real pieces' distance."""
    real = form.spread_of_sets(columns.get("real", {}).get(GAME, []))
    samples = {
        title: {name: [form.spread(pieces) / real] for name, pieces in styles.items()}
        for title, styles in columns.items()
        if title != "real"
    }
    name, note = "distance between seeds at equal notes", f"real game tracks of one set lie {real:.3g} apart"
    return make_row(name, "of real pieces' own", samples, at_least(0.8, 1), note="" if np.isnan(real) else note)


def with_tunes(tracks: Sequence[Piece]) -> list[Piece]:
    """Those tracks whose lead plays in half of their bars."""
    return [track for track in tracks if len(track.bars) >= _FEWEST_BARS and texture.lead_bars(track) >= 50]


def game_tracks(data: Path, cache: Cache, console: Console) -> list[Piece]:
    """Whole tracks of the game music in `data` that have a tune. Raises `NoCorpora`."""

    def make() -> list[Piece]:
        return with_tunes(takes.game_tracks(list(takes.real_pieces(data, console.print, takes.GAME_SETS))))

    sources = (*_CORPUS_SOURCES, "engine/training/evaluation/takes.py")
    return cache.get("game", digest_of(sources, str(data.resolve())), make)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    try:
        run(options, Console(stderr=True))
    except (MoodsError, EngineError, OSError) as error:
        sys.exit(f"tunes: {error}")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m engine.training.evaluation.tunes", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--checkpoint", type=Path, default=shipped_checkpoint(), help="default: the shipped one")
    parser.add_argument("--seeds", type=int, default=2, help="takes of each style or preset")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each take")
    parser.add_argument("--styles", default=",".join(STYLES), help="styles or presets with commas between")
    parser.add_argument("--columns", default="model,real", help=f"some of {','.join(COLUMNS)}; default: model,real")
    parser.add_argument("--temperature", type=float, help="0.1 … 2; default: as the mood decides")
    parser.add_argument("--data", type=Path, help="folder with the clean data sets, for the column of real music")
    parser.add_argument("--rolls", action="store_true", help="draw every take of the model and the arranger")
    parser.add_argument("--out", type=Path, default=Path("runs/tunes"), help="folder for tunes.json and pictures")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, console: Console) -> list[Row]:
    """Compose, judge, print the table to stdout and write it. Raises `MoodsError` on a usage error."""
    if options.seeds < 1:
        raise OutOfRange("seeds", options.seeds, 1, float("inf"))
    if not 0.5 <= options.minutes <= 60:
        raise OutOfRange("minutes", options.minutes, 0.5, 60)
    names = list(dict.fromkeys(name.strip() for name in options.styles.split(",")))
    titles = [title for title in COLUMNS if title in options.columns.split(",")]
    columns = {title: found for title in titles if (found := _column(title, names, options, console))}
    rows = [*judge(columns, (*TUNES, *OVER_MINUTES)), common_row(columns), spread_row(columns)]
    title = f"{options.checkpoint} · {len(names)} × {options.seeds} takes of {options.minutes:g} minutes"
    Console(width=TABLE_WIDTH).print(rich_table(rows, list(columns), title))
    options.out.mkdir(parents=True, exist_ok=True)
    asked = {"checkpoint": str(options.checkpoint), "minutes": options.minutes, "seeds": options.seeds}
    table = json.dumps(asked | {"rows": to_json(rows)}, indent=1, ensure_ascii=False)
    (options.out / "tunes.json").write_text(table + "\n", encoding="utf-8")
    if options.rolls:
        from engine.training.evaluation.pictures import draw_tune

        for title, styles in columns.items():
            if title != "real":
                for name, pieces in styles.items():
                    for seed, piece in enumerate(pieces):
                        draw_tune(piece, options.out / f"{title}-{name}-{seed}.png")
    console.print(f"tunes.json is in {options.out}")
    return rows


def _column(title: str, names: Sequence[str], options: argparse.Namespace, console: Console) -> ByStyle:
    """The pieces of one column; none where there is no data."""
    seconds = 60 * options.minutes
    if title == "real":
        if options.data is None:
            return {}
        tracks = game_tracks(options.data, Cache(options.out / "parts"), console)
        return {GAME: [takes.first_seconds(track, seconds) for track in tracks]}
    if title == "arranger":
        return {name: takes.arranged(name, options.seeds, num_bars=ARRANGED_BARS) for name in names if name in STYLES}
    return compose(options.checkpoint, names, options.seeds, seconds, options.temperature)


def compose(
    checkpoint: Path, names: Sequence[str], num_seeds: int, seconds: float, temperature: float | None = None
) -> ByStyle:
    """Takes of each style or preset. Raises `MoodsError` for an unknown one."""
    sizes, tensors, _ = read_checkpoint(checkpoint)
    controllers = [controller for name in names for controller in takes.tune_controllers(name, num_seeds, temperature)]
    pieces = iter(takes.compose_seconds(takes.make_composer(sizes, tensors), controllers, seconds))
    return {name: [next(pieces) for _ in range(num_seeds)] for name in names}


if __name__ == "__main__":
    main()
