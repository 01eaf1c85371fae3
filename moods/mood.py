"""Moods and styles. In: the presets' TOML and names; out: points in mood space and what a style decides.

Remembers the presets, read once; any thread.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any

from moods.errors import BadControl, OutOfRange, UnknownMood, UnknownStyle, shown
from moods.harmony import SCALE_VALENCES, SCALES, Key, beside_mode, parse_key
from moods.intent import LAYERS, STYLES
from moods.names import nearest

DEFAULT_MOOD = "healing"
MAX_STYLE_WEIGHT = 1000.0
_BRIGHTLY_DENSER = 0.06
_SCALE_DEAD_ZONE = 0.12


@dataclass(frozen=True, slots=True)
class Mood:
    """A point in mood space; None leaves the field to the style."""

    name: str
    name_zh: str
    valence: float  # -1 … 1
    energy: float  # 0 … 1
    tension: float  # 0 … 1
    style: tuple[float, ...]  # weights in the order of STYLES, sum 1
    aliases: tuple[str, ...] = ()
    bpm: float | None = None
    key: Key | None = None
    density: float | None = None
    brightness: float | None = None
    temperature: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, self.name_zh, *self.aliases)

    def to_dict(self) -> dict[str, Any]:
        """Plain values as in the public interface; styles without weight and fields left open are absent."""
        out: dict[str, Any] = {"name": self.name, "name_zh": self.name_zh, "aliases": list(self.aliases)}
        out |= {"valence": self.valence, "energy": self.energy, "tension": self.tension}
        out["style"] = style_names(self.style)
        for field in ("bpm", "density", "brightness", "temperature"):
            if (value := getattr(self, field)) is not None:
                out[field] = value
        if self.key is not None:
            out["key"] = str(self.key)
        return out


@dataclass(frozen=True, slots=True)
class Style:
    """What a style decides where the mood leaves a field open."""

    name: str
    name_zh: str
    bpm: tuple[float, float]  # at energy 0 and 1
    scales: tuple[str, ...]  # dark … bright
    density: tuple[float, float]  # at energy 0 and 1
    brightness: float  # at energy 0.5
    thresholds: tuple[float, ...]  # energy from which each of LAYERS plays; above 1 is never
    # Of each of LAYERS but the drums: its middle as a MIDI note, and the semitones that it reaches to either side.
    tessitura: tuple[tuple[float, float], ...]
    thirds: float  # 0 … 1, how far chords rather follow by thirds and steps than by fifths
    bass_drive: float  # 0 … 2, how much the bass has to say

    def scale_at(self, valence: float, before: str | None = None) -> str:
        """The scale that speaks of a valence nearest to `valence`; the one `before` stays unless another is clearly
        nearer."""

        def distance(scale: str) -> float:
            return abs(SCALE_VALENCES[scale] - valence)

        scale = min(self.scales, key=distance)
        stays = before in self.scales and distance(before) < distance(scale) + _SCALE_DEAD_ZONE
        return before if before is not None and stays else scale


def read_preset(name: str) -> dict[str, Any]:
    """The table of one file in `presets/`."""
    return tomllib.loads(_preset_text(name))


def read_json_preset(name: str) -> dict[str, Any]:
    """The table of one file in `presets/` that a program has written."""
    table: dict[str, Any] = json.loads(_preset_text(name))
    return table


def _preset_text(name: str) -> str:
    return (resources.files("moods") / "presets" / name).read_text(encoding="utf-8")


@cache
def styles() -> tuple[Style, ...]:
    """All styles in the order of STYLES."""
    table = read_preset("styles.toml")
    assert set(table) == set(STYLES), sorted(set(table) ^ set(STYLES))
    out = []
    for name in STYLES:
        row = table[name]
        assert all(scale in SCALES for scale in row["scales"]), name
        thresholds = tuple(float(row["layers"][layer]) for layer in LAYERS)
        bpm, density = tuple(row["bpm"]), tuple(row["density"])
        tessitura = tuple(
            (float(row["tessitura"][layer][0]), float(row["tessitura"][layer][1])) for layer in LAYERS[1:]
        )
        scales, brightness, thirds = tuple(row["scales"]), row["brightness"], float(row["thirds"])
        texture = tessitura, thirds, float(row["bass_drive"])
        out.append(Style(name, row["zh"], bpm, scales, density, brightness, thresholds, *texture))
    return tuple(out)


@cache
def list_moods() -> tuple[Mood, ...]:
    """All presets, in the order of the file."""
    out = []
    for name, row in read_preset("moods.toml").items():
        fields = {key: row[key] for key in ("bpm", "density", "brightness", "temperature") if key in row}
        key = parse_key(row["key"]) if "key" in row else None
        point = (row["valence"], row["energy"], row["tension"], style_weights(row["style"]))
        out.append(Mood(name, row["zh"], *point, aliases=tuple(row["aliases"]), key=key, **fields))
    return tuple(out)


@cache
def _moods_by_name() -> dict[str, Mood]:
    return {name.casefold(): mood for mood in reversed(list_moods()) for name in mood.names}


def find_mood(name: str) -> Mood:
    """The preset called `name`, English or Chinese, case ignored. Raises `UnknownMood` with the nearest names."""
    table = _moods_by_name()
    wanted = name.strip().casefold()
    if wanted in table:
        return table[wanted]
    near = nearest(name, table, 9)
    likeliest = {table[match].name: match for match in reversed(near)}.values()
    raise UnknownMood(name, [match for match in near if match in likeliest][:3], "a free text is given as prompt")


@lru_cache(64)
def nearest_mood(valence: float, energy: float, tension: float) -> Mood:
    """The preset whose point lies nearest."""

    def distance(mood: Mood) -> float:
        return math.hypot((mood.valence - valence) / 2, mood.energy - energy, mood.tension - tension)

    return min(list_moods(), key=distance)


@cache
def styles_by_name() -> dict[str, str]:
    """English and Chinese style names, to the English one."""
    return {name.casefold(): style.name for style in styles() for name in (style.name, style.name_zh)}


def find_style(name: str) -> str:
    """The style's English name. Raises `UnknownStyle` with the nearest names."""
    table = styles_by_name()
    wanted = name.strip().casefold()
    if wanted in table:
        return table[wanted]
    raise UnknownStyle(name, nearest(name, table), f"known: {', '.join(STYLES)}")


def named_weights(style: str | Mapping[str, float]) -> dict[str, float]:
    """The weights above 0, by English names, of `"lofi"`, `"lofi=0.7,jazz=0.3"` or `{"lofi": 0.7, "jazz": 0.3}`.

    Raises `UnknownStyle`, `OutOfRange` (a weight outside 0 … 1000) or `BadControl` (no weight above 0).
    """
    if isinstance(style, str):
        style = _parse_weights(style)
    weights: dict[str, float] = {}
    for given, weight in style.items():
        name = find_style(given)
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise BadControl(f"style.{name} is {shown(weight)}; expected a number")
        if not 0 <= weight <= MAX_STYLE_WEIGHT:
            raise OutOfRange(f"style.{name}", weight, 0, MAX_STYLE_WEIGHT)
        weights[name] = weights.get(name, 0.0) + float(weight)
    if not any(weights.values()):
        raise BadControl('style has no weight above 0; expected for example {"lofi": 1}')
    return {name: weight for name, weight in weights.items() if weight}


def style_weights(style: str | Mapping[str, float]) -> tuple[float, ...]:
    """Weights in the order of STYLES, sum 1. Raises like `named_weights`."""
    weights = dict.fromkeys(STYLES, 0.0) | named_weights(style)
    total = sum(weights.values())
    return tuple(weight / total for weight in weights.values())


def _parse_weights(text: str) -> dict[str, float]:
    weights = {}
    for part in re.split("[,，]", text):
        name, _, weight = part.partition("=")
        try:
            weights[name.strip()] = float(weight) if weight else 1.0
        except ValueError:
            raise BadControl(f"style weight {shown(weight)} is not a number; expected for example lofi=0.7") from None
    return weights


def style_names(weights: Sequence[float]) -> dict[str, float]:
    """The styles that have weight, heaviest first."""
    heard = ((name, round(weight, 3)) for name, weight in zip(STYLES, weights, strict=True) if weight > 0)
    return dict(sorted(heard, key=lambda item: -item[1]))


@lru_cache(maxsize=1024)
def _mixed(weights: tuple[float, ...]) -> tuple[tuple[Style, float], ...]:
    return tuple((style, weight) for style, weight in zip(styles(), weights, strict=True) if weight)


def style_bpm(weights: tuple[float, ...], energy: float) -> float:
    """Tempo that the styles take at `energy`, beats a minute: geometric between and within their ranges."""
    logs = 0.0
    for style, weight in _mixed(weights):
        low, high = style.bpm
        logs += weight * (math.log(low) + energy * math.log(high / low))
    return math.exp(logs)


def style_density(weights: tuple[float, ...], energy: float, valence: float) -> float:
    """Density 0 … 1 that the styles take: more energy has more to say, and so has a brighter mood."""
    density = sum(w * (s.density[0] + energy * (s.density[1] - s.density[0])) for s, w in _mixed(weights))
    return min(1.0, max(0.0, density + _BRIGHTLY_DENSER * beside_mode(valence)))


def style_brightness(weights: tuple[float, ...], energy: float, valence: float, tension: float) -> float:
    """Brightness 0 … 1 that the styles take: more energy and a brighter mood open the spectrum, so does tension."""
    base = sum(weight * style.brightness for style, weight in _mixed(weights))
    return min(1.0, max(0.0, base + 0.3 * (energy - 0.5) + 0.3 * beside_mode(valence) + 0.15 * (tension - 0.2)))


@lru_cache(maxsize=1024)
def style_thresholds(weights: tuple[float, ...]) -> tuple[float, ...]:
    """Energy from which each layer plays, in the order of LAYERS."""
    mixed = _mixed(weights)
    return tuple(sum(weight * style.thresholds[i] for style, weight in mixed) for i in range(len(LAYERS)))
