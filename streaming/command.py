"""What commands share: the words for a mood and an engine, how a mistake is told, notices while something starts.

In: words as argparse has read them; out: openings and settings. Remembers nothing; the main thread calls it. Imports
what is slow when it is needed.
"""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from engine.backends import GENERATORS
from engine.config import DEVICES
from moods.errors import UnknownMood, shown
from streaming.terminal import note, tell

MOOD_NUMBERS = ("valence", "energy", "tension", "bpm", "density", "brightness", "temperature", "novelty")
MOOD_FIELDS = (*MOOD_NUMBERS, "key", "style")
LONGEST_S = 7200.0


class UsageError(Exception):
    """A usage error; the text names the value and the way out."""


class Failure(Exception):
    """The command could not do what it was asked."""


@contextmanager
def telling_impossible() -> Iterator[None]:
    """What no machine could make of the command's words is a usage error; other failures of an export go on."""
    from streaming.files.errors import ExportError

    try:
        yield
    except ExportError as error:
        if error.status == 422:
            raise UsageError(error) from error
        raise


class CommandParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        tell(message.rstrip("\n"))  # argparse would not mind that nobody can read it


@contextmanager
def starting() -> Iterator[Callable[[], None]]:
    """Tell of compilation until the function that this yields is called, and of warnings in a line each."""
    import logging

    from engine.compile import reported_to
    from streaming.starting import StartNotice

    logging.basicConfig(format="undersong: %(message)s", level=logging.WARNING)
    notice = StartNotice()
    with reported_to(notice):
        try:
            yield notice.end
        finally:
            notice.end()


def file_path(text: str) -> Path:
    if text.endswith(os.sep):
        raise argparse.ArgumentTypeError(f"{text!r} names a folder; name a file")
    return Path(text)


def typed_text(text: str) -> str:
    """Words as they were typed where they are UTF-8 and the locale took them for something else."""
    try:
        return os.fsencode(text).decode("utf-8")
    except UnicodeError:
        return text


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=DEVICES, help="where the model runs (default auto)")
    parser.add_argument("--backend", choices=tuple(GENERATORS), help="what makes the music (default score)")


def add_mood_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mood", type=typed_text, nargs="?", metavar='MOOD|"PROMPT"', help="a mood's name or free text")
    for name in MOOD_NUMBERS:
        parser.add_argument(f"--{name}", type=float, metavar="X")
    parser.add_argument("--style", metavar="NAME=WEIGHT,…", help="such as lofi or lofi=0.7,jazz=0.3")
    parser.add_argument("--key", help='such as "A minor"')
    parser.add_argument("--seed", type=int, metavar="N", help="same seed, same words: same music")
    parser.add_argument("--strict", action="store_true", help="refuse a prompt of which nothing is understood")


def opening_of(options: argparse.Namespace) -> tuple[Any, int]:
    """The opening that the mood options ask for, and its seed: the one given or a fresh one."""
    from moods.opening import parse_opening

    seed = secrets.randbelow(2**32) if options.seed is None else options.seed
    opening = parse_opening({"seed": seed} | mood_fields(options))
    tell_unknown(opening)
    return opening, seed


def mood_fields(options: argparse.Namespace) -> dict[str, Any]:
    """The mood options that were given, as fields of an opening, a steer or a timeline."""
    from moods.mood import find_mood

    fields: dict[str, Any] = {}
    if options.mood is not None:
        try:
            find_mood(options.mood)
            fields["mood"] = options.mood
        except UnknownMood:
            fields |= {"prompt": options.mood} | ({"strict": True} if options.strict else {})
    return fields | {name: value for name in MOOD_FIELDS if (value := getattr(options, name)) is not None}


def tell_unknown(asked: Any) -> None:
    """Say on stderr what of the prompt was not understood; `asked` are parsed mood fields."""
    from moods.mood import DEFAULT_MOOD

    if (prompt := asked.understood) is not None and not prompt.is_understood:
        note(f"nothing of {shown(prompt.text)} was understood; this is the mood {DEFAULT_MOOD}")
    elif prompt is not None and prompt.unknown:
        note(f"not understood: {', '.join(prompt.unknown)}")


def num_frames_of(seconds: float) -> int:
    from engine.audio import SAMPLE_RATE

    if not 1.0 <= seconds <= LONGEST_S:
        raise UsageError(f"--seconds is {seconds:g}; allowed is 1 … {LONGEST_S:g}")
    return round(seconds * SAMPLE_RATE)


def engine_config(options: argparse.Namespace) -> Any:
    from engine.config import EngineConfig

    return EngineConfig(backend=options.backend or "score", device=options.device or "auto", max_slots=1)
