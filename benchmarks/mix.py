"""Has our mix the colour, the width and the dynamics of the recordings of its family?

    python -m benchmarks.mix [--split unseen|tuning] [--family orchestral] [--takes 4] [--minutes 10] [--quick]
                             [--advise]

Clips of 30 s, as `likeness` has them. In third octaves from 63 Hz to 8 kHz, the share in which the median of ours lies
within the quartiles of the family's recordings, and by how much it does not; side against mid, correlation of left and
right, what a mono sum loses; the spread of the level over 400 ms (95th less 10th percentile). With `--minutes` a piece
of that length of one style of each family too: how far the loudness of 10 s wanders (95th less 5th percentile). Beside
all of it the same notes through a General MIDI bank. `--quick` is for tuning: see `likeness`. `--advise` prints of each
style which `tone_db` and `side_db` of `styles.toml` would bring it nearest to its family's recordings.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table
from scipy.optimize import least_squares

from benchmarks.harness import record
from benchmarks.likeness import bank, references, renditions
from benchmarks.likeness.bench import FAMILIES, QUICK_RECORDINGS, QUICK_TAKES, Bench, add_folders
from benchmarks.likeness.ears import NoEars
from benchmarks.likeness.hearing import BANDS_HZ, Heard, step_levels_db
from engine.synth.effects.tone import response_db
from engine.synth.patching.tables import shipped_tables
from engine.synth.targets import NUM_TONES, ROOM_FIELDS, ROOM_SIDE_DB, ROOM_TONES
from moods.intent import STYLES

_BANDS = [index for index, hz in enumerate(BANDS_HZ) if 60 < hz < 8500]
_LONG_STEP_S = 10.0
_RELUCTANCE, _MOST_ADVISED_DB = 0.3, 6.0
"""An equaliser mends a mix; it does not make another instrument of one."""

Floats = npt.NDArray[np.float64]


def beyond_quartiles_db(reference: Sequence[Heard], played: Sequence[Heard]) -> Floats:
    """By how much the median of each of _BANDS lies above the recordings' middle half, or, negative, below it."""
    low, high = np.percentile(_bands(reference), (25, 75), axis=0)
    found = np.median(_bands(played), axis=0)
    return found - np.clip(found, low, high)


def _bands(heard: Sequence[Heard]) -> Floats:
    return np.array([each.bands_db[_BANDS] for each in heard])


def advise(style: str, reference: Sequence[Heard], played: Sequence[Heard]) -> tuple[list[float], float]:
    """The master's `tone_db` and `side_db` of a style, those it has included, from what is heard of it with those."""
    room = shipped_tables().rooms[STYLES.index(style)]
    tones_db, side_db = room[ROOM_TONES], room[ROOM_SIDE_DB]
    hz = np.array([BANDS_HZ[index] for index in _BANDS])
    low, middle, high = np.percentile(_bands(reference), (25, 50, 75), axis=0)
    found = np.median(_bands(played), axis=0) - response_db(tones_db, hz)

    def distance(asked: Floats) -> Floats:
        *gains, level = asked
        heard = found + response_db(gains, hz) - level
        return np.concatenate(
            [heard - np.clip(heard, low, high), 0.2 * (heard - middle), _RELUCTANCE * np.array(gains)]
        )

    best = least_squares(distance, np.zeros(NUM_TONES + 1), bounds=(-_MOST_ADVISED_DB, _MOST_ADVISED_DB))
    wider_db = figures_of(reference)["width_db"] - figures_of(played)["width_db"]
    least, most, _ = ROOM_FIELDS["side_db"]
    return np.round(best.x[:NUM_TONES], 1).tolist(), round(float(np.clip(side_db + wider_db, least, most)), 1)


def figures_of(heard: Sequence[Heard]) -> dict[str, float]:
    """The median of each."""
    return {name: round(float(np.median([each.figures[name] for each in heard])), 3) for name in heard[0].figures}


def wander_db(sound: npt.NDArray[np.float32]) -> float:
    """How far the level of 10 s wanders in [2, T]."""
    low, high = np.percentile(step_levels_db(sound, _LONG_STEP_S), (5, 95))
    return round(float(high - low), 2)


def _print(console: Console, title: str, reference: Sequence[Heard], players: dict[str, Sequence[Heard]]) -> None:
    table = Table(title=f"{title}: third octaves, dB of all, and how far beyond the middle half", title_justify="left")
    for column in ("Hz", "recordings: median, quartiles", *players):
        table.add_column(column, justify="right")
    quartiles = np.percentile(_bands(reference), (50, 25, 75), axis=0)
    beyond = {name: beyond_quartiles_db(reference, played) for name, played in players.items()}
    for row, index in enumerate(_BANDS):
        middle, low, high = quartiles[:, row]
        off = [f"{found[row]:+.1f}" if found[row] else "within" for found in beyond.values()]
        table.add_row(f"{BANDS_HZ[index]:.0f}", f"{middle:.1f}  {low:.0f} … {high:.0f}", *off)
    console.print(table)
    table = Table(title=f"{title}: medians", title_justify="left")
    for column in ("figure", "recordings: median, quartiles", *players):
        table.add_column(column, justify="right")
    for name in reference[0].figures:
        middle, low, high = np.percentile([each.figures[name] for each in reference], (50, 25, 75))
        values = [f"{figures_of(played)[name]:.3g}" for played in players.values()]
        table.add_row(name, f"{middle:.3g}  {low:.3g} … {high:.3g}", *values)
    console.print(table)


def judge(reference: Sequence[Heard], played: Sequence[Heard]) -> dict[str, Any]:
    beyond = beyond_quartiles_db(reference, played)
    return {"bands_within": round(float((beyond == 0).mean()), 3)} | figures_of(played)


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    bench = Bench(options.out, options.references, console)
    num_takes = QUICK_TAKES if options.quick else options.takes
    found: dict[str, Any] = {"takes": num_takes, "split": options.split}
    for family in options.family.split(","):
        reference = bench.references(family, options.split, QUICK_RECORDINGS if options.quick else None)
        ours, theirs = list[Heard](), list[Heard]()
        styles = {}
        for style in FAMILIES[family]:
            of_ours, of_theirs = bench.renditions(style, num_takes)
            styles[style] = judge(reference, of_ours)
            ours, theirs = ours + of_ours, theirs + of_theirs
        _print(console, family, reference, {"ours": ours, "FluidR3": theirs})
        if options.advise:
            for style in styles:
                tones_db, side_db = advise(style, reference, bench.renditions(style, num_takes)[0])
                console.print(f"[{style}]\ntone_db = {tones_db}\nside_db = {side_db}", markup=False)
        if len(styles) > 1:
            for style in styles:
                off = beyond_quartiles_db(reference, bench.renditions(style, num_takes)[0])
                told = [f"{BANDS_HZ[i]:.0f}: {db:+.0f}" for i, db in zip(_BANDS, off, strict=True) if abs(db) >= 1]
                console.print(f"{style}, beyond the middle half by 1 dB and more: {', '.join(told)}")
        found[family] = {
            "recordings": figures_of(reference),
            "ours": judge(reference, ours),
            "bank": judge(reference, theirs),
            "styles": styles,
        }
        if options.minutes:
            seconds = 60 * options.minutes
            (take,) = bench.takes(FAMILIES[family][0], 1, seconds)
            found[family]["wander_db"] = {
                "ours": wander_db(renditions.play_ours(take, seconds)),
                "bank": wander_db(renditions.play_bank(take, seconds, options.references)),
            }
            console.print(f"{take.style}, {options.minutes} min: {found[family]['wander_db']}")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mix", description=__doc__.splitlines()[0])
    parser.add_argument("--family", default=",".join(FAMILIES), help="names with commas between; default: all")
    parser.add_argument("--split", choices=references.SPLITS, help="of the recordings; default: unseen, or tuning")
    parser.add_argument("--takes", type=int, default=4, help="takes a style")
    parser.add_argument("--minutes", type=float, help="of a long piece of each family")
    parser.add_argument("--quick", action="store_true", help="for tuning: few takes, and nothing recorded")
    parser.add_argument("--advise", action="store_true", help="which tone and width would be nearest")
    add_folders(parser)
    options = parser.parse_args(arguments)
    options.split = options.split or ("tuning" if options.quick else "unseen")
    torch.set_num_threads(1)
    try:
        found = run(options, Console(stderr=True, width=110))
    except (NoEars, references.NoReferences, bank.NoBank) as error:
        sys.exit(f"mix: {error}")
    record("mix", found, is_kept=not options.quick)


if __name__ == "__main__":
    main()
