"""What is to be baked. In: a file in TOML; out: the states as a station has them, and what is wanted of them.

Remembers nothing; any thread.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from moods.errors import BadControl, MoodsError, shown
from moods.fields import Model, check_number, parse
from moods.opening import Opening, parse_opening
from moods.stinger import find_stinger, own_figures

LEAST_BARS, MOST_BARS, MOST_INTENSITIES = 2, 64, 8


def _read_bars(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadControl(f"bars is {shown(value)}; expected a whole number {LEAST_BARS} … {MOST_BARS}")
    return int(check_number("bars", value, LEAST_BARS, MOST_BARS))


def _read_intensities(values: object) -> object:
    if not isinstance(values, list | tuple) or len(values) > MOST_INTENSITIES:
        raise BadControl(f"intensities is {shown(values)}; expected up to {MOST_INTENSITIES} numbers 0 … 1")
    levels = [check_number("intensities", value, 0, 1) for value in values]
    if levels != sorted(set(levels)):
        raise BadControl(f"intensities is {shown(values)}; expected each once, from low to high")
    return levels


class BakeTable(Model):
    """The table `bake` of the file: what is wanted of its states."""

    bars: Annotated[int, BeforeValidator(_read_bars)] = 8
    """How long each loop is."""
    intensities: Annotated[list[float], BeforeValidator(_read_intensities)] = []
    """Energies at which each state has a loop; none: one loop, at the state's own."""
    stingers: list[str] | None = None
    """The stingers that each state has; left out: the states' own, and those that the transitions name."""
    bridges: bool = True
    """Whether there is a bar from each state to each other."""
    stems: bool = False
    """Whether each loop has a file of each layer."""
    format: Annotated[str, Field(pattern="^(wav|ogg|both)$")] = "both"
    """WAV for FMOD and Wwise, Ogg Vorbis for Godot, or both."""


@dataclass(frozen=True, slots=True)
class BakeRequest:
    opening: Opening
    table: BakeTable

    @property
    def seed(self) -> int:
        return self.opening.chosen_seed or 0

    @property
    def stingers(self) -> tuple[str, ...]:
        """The names of the stingers that are made."""
        if self.table.stingers is not None:
            return tuple(self.table.stingers)
        named = [row.stinger for row in self.opening.transitions if row.stinger is not None]
        return tuple(dict.fromkeys([*self.opening.stingers, *named]))


def read_states(path: Path, given: Mapping[str, Any]) -> BakeRequest:
    """Read the file; what is in `given` counts instead of what its table `bake` says, and `seed` is the whole's.

    Raises `BadControl` with the file and what is wrong in it.
    """
    try:
        asked = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadControl(f"{path} cannot be read: {error}") from error
    table = asked.pop("bake", {})
    if "seed" in given:
        asked["seed"] = given["seed"]
    wanted = {name: value for name, value in given.items() if name != "seed"}
    try:
        if not isinstance(table, Mapping):
            raise BadControl(f"bake is {shown(table)}; expected a table")
        request = BakeRequest(parse_opening(asked), parse(BakeTable, {**table, **wanted}))
        if not request.opening.states:
            raise BadControl("states is missing; expected a table [states.NAME] for each state")
        figures = own_figures(request.opening.stingers)
        for name in request.stingers:
            find_stinger(name, figures)
    except MoodsError as error:
        raise BadControl(f"{path}: {error}") from None
    return request
