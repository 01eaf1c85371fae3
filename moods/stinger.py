"""Stingers: short named figures. In: the presets' TOML and names; out: figures as data, in beats and chord tones.

Remembers the presets, read once; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from moods.errors import UnknownStinger
from moods.intent import LAYERS
from moods.mood import read_preset
from moods.names import nearest


@dataclass(frozen=True, slots=True)
class FigureNote:
    """A note of a figure; its pitch is found in the chord and scale of the moment."""

    layer: int  # index into LAYERS
    onset: float  # beats from the figure's beginning
    length: float  # beats
    pitch: str  # "c2" third chord tone upwards, "s2" two scale steps above the chord's root, or a drum's name
    velocity: int


@dataclass(frozen=True, slots=True)
class StingerFigure:
    name: str
    name_zh: str
    beats: int  # how long the lead gives way
    notes: tuple[FigureNote, ...]

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "zh": self.name_zh, "beats": self.beats}


@cache
def list_stingers() -> tuple[StingerFigure, ...]:
    """All stingers, in the order of the file."""
    out = []
    for name, row in read_preset("stingers.toml").items():
        notes = [FigureNote(i, *note) for i, layer in enumerate(LAYERS) for note in row.get(layer, ())]
        assert all(note.onset + note.length <= row["beats"] + 0.01 for note in notes), name
        out.append(StingerFigure(name, row["zh"], row["beats"], tuple(notes)))
    return tuple(out)


def find_stinger(name: str) -> StingerFigure:
    """The stinger called `name`, English or Chinese, case ignored. Raises `UnknownStinger` with the nearest names."""
    wanted = name.strip().casefold()
    for stinger in list_stingers():
        if wanted in (stinger.name, stinger.name_zh):
            return stinger
    names = [each for stinger in list_stingers() for each in (stinger.name, stinger.name_zh)]
    raise UnknownStinger(name, nearest(name, names), f"known: {', '.join(each.name for each in list_stingers())}")
