"""What a steer asks for. In: mood fields; out: the values their tracks are to take, and where they may change.

Remembers nothing; any thread.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from moods.fields import MoodFields
from moods.harmony import parse_key
from moods.intent import MUTE_DB
from moods.mood import DEFAULT_MOOD, Mood, find_mood, style_names, style_weights

TRACKS: dict[str, tuple[tuple[str, str], ...]] = {
    "valence": (("colour.valence", "now"), ("valence", "bar")),
    "energy": (("colour.energy", "now"), ("energy", "beat")),
    "tension": (("tension", "bar"),),
    "style": (("style", "phrase"),),
    "bpm": (("bpm", "bar"),),
    "key": (("key", "phrase"),),
    "density": (("density", "beat"),),
    "brightness": (("brightness", "now"),),
    "temperature": (("temperature", "bar"),),
    "novelty": (("novelty", "bar"),),
    "mood.texts": (("mood.texts", "now"),),
    "mood.bpm": (("mood.bpm", "bar"),),
    "mood.key": (("mood.key", "phrase"),),
    "mood.density": (("mood.density", "beat"),),
    "mood.brightness": (("mood.brightness", "now"),),
    "mood.temperature": (("mood.temperature", "bar"),),
}
"""Where each field is heard: the tracks that carry it, and where each may change if the control does not say."""


def point_of(fields: MoodFields) -> Mood | None:
    """The preset, or the point to which a prompt leads; None where there is none."""
    if fields.mood is not None:
        return find_mood(fields.mood)
    prompt = fields.understood
    return prompt.point if prompt is not None and prompt.moods else None


def opening_point(fields: MoodFields) -> Mood:
    """The point at which a station begins."""
    prompt = fields.understood
    return point_of(fields) or (find_mood(DEFAULT_MOOD) if prompt is None else prompt.point)


def gains_of(fields: MoodFields) -> dict[str, float | Literal["mute"]]:
    """The gains asked for, by layer; fields go before a prompt's words."""
    prompt = fields.understood
    return {**(prompt.layers if prompt is not None else {}), **(fields.layers or {})}


def targets_of(fields: MoodFields) -> dict[str, Any]:
    """What each field is to become, in the units of its tracks."""
    out: dict[str, Any] = {}
    if (point := point_of(fields)) is not None:
        out |= {name: getattr(point, name) for name in ("valence", "energy", "tension", "style")}
        out |= {f"mood.{name}": getattr(point, name) for name in ("bpm", "density", "brightness", "temperature")}
        out["mood.texts"] = ((point.name, 1.0),)
        out["mood.key"] = None if point.key is None else (point.key.tonic, point.key.scale)
    if (prompt := fields.understood) is not None:  # its tempo and key last until the next mood, as a preset's do
        if prompt.bpm is not None:
            out |= {"mood.bpm": prompt.bpm, "bpm": None}
        if prompt.key is not None:
            out |= {"mood.key": (prompt.key.tonic, prompt.key.scale), "key": None}
    given = fields.model_fields_set & TRACKS.keys()
    out |= {name: getattr(fields, name) for name in sorted(given)}
    if fields.style is not None:
        out["style"] = style_weights(style_names(style_weights(fields.style)))  # in three digits, as it is told
    if fields.key is not None:
        key = parse_key(fields.key)
        out["key"] = (key.tonic, key.scale)
    return out


def fader(gain_db: float | str) -> float:
    """Fader position of a gain: 40 log10, so that a straight fade in and out sounds even. 0 is mute."""
    return 0.0 if isinstance(gain_db, str) else 10 ** (gain_db / 40)


def fader_db(position: float) -> float:
    """The gain in dB at a fader's position, MUTE_DB at least."""
    if position == 1.0:
        return 0.0
    return max(MUTE_DB, 40 * math.log10(position)) if position > 0 else MUTE_DB
