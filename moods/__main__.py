"""`python -m moods "sad night" --seconds 20 --set energy=0.8@10`: the course of a mood, bar by bar, as a table."""

from __future__ import annotations

import argparse
import io
import sys

from rich.console import Console
from rich.table import Table

from moods.clock import FRAMES_PER_SECOND
from moods.control import Steer, parse_control
from moods.controller import Controller
from moods.errors import BadControl, MoodsError, UnknownMood
from moods.fields import MoodFields
from moods.intent import BEATS_PER_BAR, LAYERS
from moods.mood import find_mood, style_names
from moods.opening import Opening, parse_opening

_TEXTS = frozenset({"mood", "prompt", "key", "style"})


def _opening(text: str, seed: int) -> Opening:
    try:
        return parse_opening({"mood": find_mood(text).name, "seed": seed})
    except UnknownMood:
        return parse_opening({"prompt": text, "seed": seed})


def _steer(text: str) -> tuple[Steer, int]:
    """Read FIELD=VALUE@SECONDS."""
    setting, _, seconds = text.rpartition("@")
    field, _, value = setting.partition("=")
    try:
        parsed = value if field in _TEXTS else float(value)
        frame = round(float(seconds) * FRAMES_PER_SECOND)
    except ValueError:
        fields = ", ".join(MoodFields.model_fields)
        raise BadControl(f"--set is {text!r}; expected FIELD=VALUE@SECONDS, FIELD one of {fields}") from None
    control = parse_control({"type": "steer", "set": {field: parsed}})
    assert isinstance(control, Steer)
    return control, frame


def _table(controller: Controller, seconds: float) -> Table:
    columns = ("second", "bar", "section", "val", "enrg", "tens", "bpm", "key", "dens", "layers", "style")
    table = Table(*columns, box=None)
    beat = 0
    while (frame := controller.frame_of_beat(beat)) < seconds * FRAMES_PER_SECOND:
        intent = controller.beat_intent(beat)
        layers = "".join(
            name[0] if playing else "·" for name, playing in zip(LAYERS, intent.active_layers, strict=True)
        )
        style = next(iter(style_names(intent.style)))
        numbers = (f"{value:.2f}" for value in (intent.valence, intent.energy, intent.tension))
        section = f"{intent.section} {intent.bar_in_section + 1}"
        table.add_row(
            f"{frame / FRAMES_PER_SECOND:.2f}", str(intent.bar), section, *numbers,
            f"{intent.bpm:.1f}", str(intent.key), f"{intent.density:.2f}", layers, style,
        )  # fmt: skip
        beat += BEATS_PER_BAR
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m moods", description="Show the course of a mood, bar by bar.")
    parser.add_argument("mood", nargs="?", default="healing", help="a preset, or free text")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE@SECONDS", help="a steer on the way")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal need not know the letters
    arguments = parser.parse_args()
    try:
        controller = Controller(_opening(arguments.mood, arguments.seed))
        for control, frame in sorted((_steer(text) for text in arguments.set), key=lambda item: item[1]):
            controller.apply(control, frame)
    except MoodsError as error:
        print(f"moods: {error}", file=sys.stderr)
        return 2
    Console().print(_table(controller, arguments.seconds))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
