"""Several prompts at once, each with a weight. In: prompts understood, weights of either sign; out: one point.

Weights above 0 are shares of the point; a weight below 0 leads away from what its prompt means. Everything moves
steadily with the weights, so that a stream of them is a glide. Remembers nothing; any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from moods.intent import LAYERS, STYLES
from moods.mood import DEFAULT_MOOD, Mood, find_mood, style_names, style_thresholds
from moods.prompt import AUDIBLE, NEUTRAL, Prompt
from moods.targets import fader, fader_db

Gain = float | Literal["mute"]

MUTE_POSITION = 0.05
"""A fader at or below this is muted, of which the notes know as well."""
_AXES = (("valence", -1.0, 1.0), ("energy", 0.0, 1.0), ("tension", 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class Weighted:
    """Where weighted prompts lead. What none of them names is None; of layers all are told."""

    valence: float
    energy: float
    tension: float
    style: Mapping[str, float]
    layers: Mapping[str, Gain]
    bpm: float | None = None
    key: str | None = None
    density: float | None = None
    brightness: float | None = None
    temperature: float | None = None


def weigh(prompts: Sequence[tuple[Prompt, float]]) -> Weighted:
    """The point of prompts and their weights. Where none leads to a point it is that of the default mood."""
    wanted = [(prompt, weight) for prompt, weight in prompts if weight > 0]
    most = max((weight for _, weight in wanted), default=0.0)
    leading = [(prompt.point, weight) for prompt, weight in wanted if prompt.moods]
    if not leading:  # words that name layers, a tempo or a key alone have a point that suits them
        leading = [(prompt.point, weight) for prompt, weight in wanted if prompt.is_understood]
    leading = leading or [(find_mood(DEFAULT_MOOD), 1.0)]
    shunned = [(prompt, min(1.0, -weight / (most or -weight))) for prompt, weight in prompts if weight < 0]
    centre = {name: _mean(leading, name) for name, _, _ in _AXES}
    for prompt, share in shunned:
        for name, low, high in _AXES if prompt.moods else ():
            away = getattr(prompt.point, name) - getattr(NEUTRAL, name)
            centre[name] = min(high, max(low, centre[name] - share * away))
    style = _styles(leading, shunned)
    gains, asked = _layers(wanted, shunned, most)
    for position, layer, threshold in zip(gains, LAYERS, style_thresholds(style), strict=True):
        if layer in asked and position > MUTE_POSITION and threshold + AUDIBLE <= 1:
            lack = threshold + AUDIBLE - centre["energy"]
            centre["energy"] += asked[layer] * max(0.0, lack)
    exact = [prompt for prompt, _ in sorted(wanted, key=lambda pair: -pair[1])]
    key = next((prompt.key for prompt in exact if prompt.key is not None), None)
    return Weighted(
        valence=centre["valence"],
        energy=centre["energy"],
        tension=centre["tension"],
        style=style_names(style),
        layers={layer: _gain(position) for layer, position in zip(LAYERS, gains, strict=True)},
        bpm=next((prompt.bpm for prompt in exact if prompt.bpm is not None), None),
        key=None if key is None else str(key),
        density=_open_mean(leading, "density"),
        brightness=_open_mean(leading, "brightness"),
        temperature=_open_mean(leading, "temperature"),
    )


def _mean(points: Sequence[tuple[Mood, float]], name: str) -> float:
    return sum(weight * getattr(point, name) for point, weight in points) / sum(weight for _, weight in points)


def _open_mean(points: Sequence[tuple[Mood, float]], name: str) -> float | None:
    """The mean of a field that every point names."""
    return None if any(getattr(point, name) is None for point, _ in points) else _mean(points, name)


def _styles(leading: Sequence[tuple[Mood, float]], shunned: Sequence[tuple[Prompt, float]]) -> tuple[float, ...]:
    """The styles of what leads, less those of what is shunned; all of them where nothing would be left."""
    total = sum(weight for _, weight in leading)
    mixed = [sum(weight * point.style[i] for point, weight in leading) / total for i in range(len(STYLES))]
    left = list(mixed)
    for prompt, share in shunned:
        if prompt.moods:
            left = [max(0.0, mine - share * theirs) for mine, theirs in zip(left, prompt.point.style, strict=True)]
    rest = sum(left)
    return tuple(weight / rest for weight in left) if rest > 0.01 else tuple(mixed)


def _layers(
    wanted: Sequence[tuple[Prompt, float]], shunned: Sequence[tuple[Prompt, float]], most: float
) -> tuple[list[float], dict[str, float]]:
    """Where each layer's fader stands, and how much each is asked for, 0 … 1."""
    positions, asked = dict.fromkeys(LAYERS, 1.0), dict[str, float]()
    for prompt, weight in wanted:
        share = weight / most
        for layer, position, is_asked in _named(prompt):
            positions[layer] += share * (position - 1.0)
            if is_asked:
                asked[layer] = max(share, asked.get(layer, 0.0))
    for prompt, share in shunned:
        for layer, _, is_asked in _named(prompt):
            if is_asked:  # what a prompt of that weight brings in is taken out; what it leaves out may play
                positions[layer] -= share
    return [min(1.0, max(0.0, positions[layer])) for layer in LAYERS], asked


def _named(prompt: Prompt) -> Iterator[tuple[str, float, bool]]:
    """The layers that a prompt names: where it has their fader, and whether it asks for them."""
    for layer, gain in prompt.layers.items():
        yield layer, min(1.0, fader(gain)), gain != "mute"


def _gain(position: float) -> Gain:
    return "mute" if position <= MUTE_POSITION else round(fader_db(position), 2)
