"""`undersong bake`: states into loops, bridges and stingers. In: the command's words; out: an exit status, the table.

Remembers nothing; the main thread calls it. Imports what is slow when it is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streaming.command import CommandParser, add_engine_options, engine_config, starting, telling_impossible
from streaming.terminal import printable, tell

FORMATS = ("wav", "ogg", "both")


def add_bake(commands: Any) -> None:
    """Add the command to a parser's subcommands."""
    parser = commands.add_parser("bake", help="states of a game as files: loops, bridges, stingers")
    assert isinstance(parser, CommandParser)
    parser.add_argument("states", type=Path, metavar="STATES.toml", help="states, transitions, and a table [bake]")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a folder, made if need be")
    parser.add_argument("--bars", type=int, metavar="N", help="length of each loop (default 8)")
    parser.add_argument("--intensities", type=_numbers, metavar="X,Y,…", help="energies at which each state has a loop")
    parser.add_argument("--stingers", type=_names, metavar="NAME,…", help="stingers that each state has")
    parser.add_argument("--format", choices=FORMATS, help="wav for FMOD and Wwise, ogg for Godot (default both)")
    parser.add_argument("--stems", action="store_true", default=None, help="a file of each loop's layers too")
    parser.add_argument("--no-bridges", dest="bridges", action="store_false", default=None, help="leave bridges out")
    parser.add_argument("--seed", type=int, metavar="N", help="same seed, same states: same files (default 0)")
    parser.add_argument("--json", action="store_true", help="the table on stdout as one JSON object")
    add_engine_options(parser)
    parser.set_defaults(run=_bake)


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; expected numbers such as 0.3,0.6,0.9") from None


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _bake(options: argparse.Namespace) -> int:
    from streaming.baking.asked import read_states
    from streaming.baking.baking import bake

    names = ("bars", "intensities", "stingers", "format", "stems", "bridges", "seed")
    given = {name: value for name in names if (value := getattr(options, name)) is not None}
    request = read_states(options.states, given)
    with telling_impossible(), _progress() as on_progress:
        report = bake(request, options.out, engine_config(options), on_progress)
    if options.json:
        tell(json.dumps(report))
    else:
        counts = ", ".join(f"{len(report[kind])} {kind}" for kind in ("loops", "bridges", "stingers"))
        tell(f"{printable(report['out'])}: {counts}, seed {report['seed']}, made in {report['wall_seconds']:.1f} s")
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[float, str], None]]:
    """Show how far it is, on a terminal."""
    with starting() as has_begun:
        if not sys.stderr.isatty():
            yield lambda share, name: None
            return
        from rich import progress as bars
        from rich.console import Console

        bar = bars.Progress(console=Console(stderr=True), transient=True)
        task = bar.add_task("baking", total=1.0)

        def on_progress(share: float, name: str) -> None:
            if share > 0:
                has_begun()
                bar.start()  # not before: until then the line belongs to the notice
            bar.update(task, completed=share, description=name)

        try:
            yield on_progress
        finally:
            bar.stop()
