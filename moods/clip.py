"""Clips: presets for the lengths that pictures have on the platforms. In: a name; out: fields of a timeline.

Remembers the presets, read once; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from moods.errors import UnknownClip
from moods.mood import read_preset
from moods.names import nearest

_PLACES = ("sections", "hits")


@cache
def _clips() -> dict[str, dict[str, Any]]:
    return read_preset("clips.toml")


def clip_names() -> tuple[str, ...]:
    """The presets that there are, the shortest first."""
    return tuple(_clips())


def clip_timeline(name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A timeline in JSON: what the preset says, and over it what is asked. Raises `UnknownClip`.

    The preset's own places count only for its own length.
    """
    if name not in _clips():
        raise UnknownClip(name, nearest(name, _clips()), f"known: {', '.join(_clips())}")
    preset = dict(_clips()[name])
    if "duration" in asked:
        preset = {field: value for field, value in preset.items() if field not in _PLACES}
    return preset | dict(asked)
