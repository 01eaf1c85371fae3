"""Stingers: short named figures. In: the presets' TOML, names, a user's melodies; out: figures as data, in beats and
chord tones.

Remembers the presets, read once; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil
from typing import Any

from moods.errors import UnknownStinger
from moods.intent import LAYERS
from moods.mood import read_preset
from moods.names import nearest
from moods.theme import Melody
from moods.tune import Tune

_LEAD = LAYERS.index("lead")
_TRIAD = (0, 2, 4)
"""Steps of a scale that make its tonic chord."""
_OWN_VELOCITY = 108


@dataclass(frozen=True, slots=True)
class FigureNote:
    """A note of a figure; its pitch is found in the chord and scale of the moment."""

    layer: int  # index into LAYERS
    onset: float  # beats from the figure's beginning
    length: float  # beats
    # "c2" third chord tone upwards, "s2" two scale steps above the chord's root, "d2" likewise of the scale of seven
    # steps that a scale of five is part of; or a drum's name.
    pitch: str
    velocity: int


@dataclass(frozen=True, slots=True)
class StingerFigure:
    name: str
    name_zh: str
    beats: int  # how long the lead gives way
    notes: tuple[FigureNote, ...]
    is_varied: bool = True
    """The seed moves it along the chord."""

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


def find_stinger(name: str, own: Mapping[str, StingerFigure] | None = None) -> StingerFigure:
    """The stinger called `name`: one of the station's `own`, or a preset, English or Chinese, case ignored.

    Raises `UnknownStinger` with the nearest names.
    """
    own = own or {}
    if name in own:
        return own[name]
    wanted = name.strip().casefold()
    for stinger in list_stingers():
        if wanted in (stinger.name, stinger.name_zh):
            return stinger
    names = [*own, *(each for stinger in list_stingers() for each in (stinger.name, stinger.name_zh))]
    known = [*own, *(each.name for each in list_stingers())]
    raise UnknownStinger(name, nearest(name, names), f"known: {', '.join(known)}")


def own_figures(melodies: Mapping[str, Melody]) -> dict[str, StingerFigure]:
    """A user's melodies as figures of the lead, by their names."""
    return {
        name: StingerFigure(name, name, ceil(m.tune.end), _figure(m.tune), is_varied=False)
        for name, m in melodies.items()
    }


def _figure(tune: Tune) -> tuple[FigureNote, ...]:
    """What belongs to the melody's tonic chord belongs to the chord of the moment, and is moved with it; what lies
    outside its scale goes to the step below."""
    lowest, notes = min(note.step for note in tune.notes) // 7, []
    for note in tune.notes:
        octave, place = divmod(note.step - 7 * lowest, 7)
        pitch = f"c{3 * octave + _TRIAD.index(place)}" if place in _TRIAD else f"d{7 * octave + place}"
        notes.append(FigureNote(_LEAD, note.onset, note.beats, pitch, _OWN_VELOCITY))
    return tuple(notes)
