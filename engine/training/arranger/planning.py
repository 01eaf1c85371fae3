"""Plans a piece before its first note. In: style and random source; out: `Plan`. Remembers nothing; any thread.

Draws key, tempo and form, lets valence, energy, tension and density move over the bars, and decides the idiom of each
layer; `casting.py` decides who plays in which bar, `transitions.py` where fills, hits and cuts are.
"""

from __future__ import annotations

import random

import numpy as np

from engine.score.piece import Bar
from engine.training.arranger.casting import cast_layers
from engine.training.arranger.idioms import IDIOMS, Idiom
from engine.training.arranger.plan import CHANGES, BarPlan, Plan, Section
from engine.training.arranger.transitions import draw_cues
from moods.harmony import Key
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, LAYERS, STYLES
from moods.mood import styles

FORMS = (
    (("intro", 4), ("A", 8), ("B", 8), ("break", 4), ("A", 8), ("outro", 4)),
    (("intro", 4), ("A", 8), ("B", 8), ("A", 8), ("break", 4), ("B", 8), ("outro", 4)),
    (("A", 8), ("B", 8), ("break", 4), ("A", 8), ("B", 8), ("outro", 4)),
    (("A", 8), ("A", 8), ("B", 8), ("A", 8), ("outro", 4)),
    (("A", 16), ("B", 8), ("break", 4), ("B", 4), ("A", 8)),
    (("intro", 4), ("A", 4), ("B", 8), ("A", 8), ("break", 8), ("B", 4)),
    (("A", 8), ("break", 4), ("B", 8), ("A", 8), ("break", 4), ("outro", 4)),
    (("intro", 4), ("A", 8), ("break", 4), ("B", 8), ("A", 8), ("outro", 4)),
)
LONG_FORMS = (
    (("intro", 4), ("A", 8), ("B", 8), ("A", 8), ("break", 8), ("B", 8), ("A", 8), ("outro", 4)),
    (("A", 8), ("A", 8), ("B", 8), ("A", 8), ("break", 4), ("B", 8), ("A", 8), ("B", 8), ("outro", 4)),
    (("intro", 4), ("A", 16), ("B", 8), ("break", 4), ("A", 8), ("B", 16), ("A", 8), ("outro", 4)),
    (("intro", 4), ("B", 8), ("A", 8), ("break", 4), ("A", 8), ("B", 8), ("break", 4), ("B", 8), ("A", 8)),
)
_FREE_LEVELS_CHANCE = 0.4
_LONG_BARS = 44
"""From this length on a piece has one of the long forms."""
ENDING_CHANCE, STYLE_CHANGE_CHANCE, LITERAL_CHANCE = 0.3, 0.15, 0.5
_LIVE_SCALE_CHANCE = 0.5
_SHAPES, _CALM_SHAPES = (25, 25, 15, 15, 20), (45, 25, 8, 7, 15)
"""Weights of the shapes of a level's curve; a piece has one key, and with it mostly one valence."""
_SECTION_ENERGY = {"intro": 0.7, "A": 1.0, "B": 1.1, "break": 0.55, "outro": 0.7}


def draw_plan(style: str, rng: random.Random, num_bars: int) -> Plan:
    """Plan `num_bars` (at least 8) bars of mostly `style`."""
    assert num_bars >= 8, num_bars
    idiom = IDIOMS[style]
    ends = rng.random() < ENDING_CHANCE
    sections = _draw_sections(rng, num_bars, ends)
    guests = _draw_guests(style, rng, sections)
    levels = _draw_levels(idiom, rng, sections)
    key = Key(rng.randrange(12), _draw_scale(idiom, rng, float(np.mean(levels["valence"]))))
    bars: list[BarPlan] = []
    hosts: dict[tuple[str, bytes], tuple[Idiom, ...]] = {}
    for section in sections:
        weights = guests[section.first]
        if (section.name, weights.tobytes()) not in hosts:
            hosts[section.name, weights.tobytes()] = _hosts(rng, weights)
        for offset, index in enumerate(section.bars):
            label = Bar(
                **{field_name: float(curve[index]) for field_name, curve in levels.items()},
                style=guests[index],
                section=section.name,
                bar_in_section=offset,
                beats_to_end=_beats_to_end(index, num_bars) if ends else None,
            )
            bar = BarPlan(
                index, label, section.visit, section.length, section.change,
                hosts[section.name, weights.tobytes()], [True] * len(LAYERS),
            )  # fmt: skip
            if section.original is not None and bars[section.original + offset].label.bar_in_section == offset:
                bar.original = bars[section.original + offset]
            bars.append(bar)
    plan = Plan(key, _draw_bpm(idiom, rng, float(np.mean(levels["energy"]))), sections, bars, ends)
    cast_layers(rng, plan)
    draw_cues(rng, plan)
    return plan


def _draw_sections(rng: random.Random, num_bars: int, ends: bool) -> list[Section]:
    """Sections filling `num_bars`; an ending piece closes with an outro."""
    room = num_bars - 4 if ends else num_bars
    sections: list[Section] = []
    first = 0

    def append(name: str, length: int) -> None:
        before = [section for section in sections if section.name == name]
        is_literal = not before or rng.random() < LITERAL_CHANCE
        original = before[0].first if before else None
        sections.append(
            Section(first, name, length, len(before), original, "none" if is_literal else rng.choice(CHANGES))
        )

    while first < room:
        for name, length in rng.choice(LONG_FORMS if num_bars >= _LONG_BARS else FORMS):
            is_amid = (name == "intro" and first > 0) or (name == "outro" and (ends or first + length < room))
            if first < room and not is_amid:
                append(name, min(length, room - first))
                first += sections[-1].length
    if ends:
        append("outro", num_bars - first)
    return sections


def _draw_guests(style: str, rng: random.Random, sections: list[Section]) -> list[np.ndarray]:
    """Style weights of each bar."""
    num_bars = sections[-1].bars.stop
    pure, other = (np.zeros(len(STYLES), np.float32) for _ in range(2))
    pure[STYLES.index(style)] = 1
    weights = [pure] * num_bars
    if rng.random() < STYLE_CHANGE_CHANCE:
        other[STYLES.index(rng.choice([name for name in STYLES if name != style]))] = 1
        if rng.random() < 0.5 or len(sections) == 1:
            share = rng.choice((0.25, 0.35, 0.5))
            weights = [(1 - share) * pure + share * other] * num_bars
        else:
            boundary = rng.choice(sections[1:]).first
            weights = [pure] * boundary + [other] * (num_bars - boundary)
    return weights


def _hosts(rng: random.Random, weights: np.ndarray) -> tuple[Idiom, ...]:
    """The idiom of each layer, drawn by the style weights."""
    return tuple(IDIOMS[rng.choices(STYLES, weights.tolist())[0]] for _ in LAYERS)


def _beats_to_end(index: int, num_bars: int) -> int | None:
    left = (num_bars - 1 - index) * BEATS_PER_BAR
    return left if left <= 7 * BEATS_PER_BAR else None


# --- labels --------------------------------------------------------------------------------------------------------


def _draw_levels(idiom: Idiom, rng: random.Random, sections: list[Section]) -> dict[str, np.ndarray]:
    """Curves of the four labels, [bars] each."""
    home = dict(zip(("valence", "energy", "tension"), idiom.feel, strict=True))
    curves = {
        "valence": _draw_curve(rng, sections, home["valence"], -1.0, _CALM_SHAPES),
        "energy": _draw_curve(rng, sections, home["energy"], 0.0),
        "tension": _draw_curve(rng, sections, home["tension"], 0.0),
    }
    low, high = styles()[STYLES.index(idiom.name)].density
    tied = low + (high - low) * curves["energy"]
    share = 1.0 if rng.random() < 0.6 else rng.random()  # most listeners leave the density to the energy
    free = _draw_curve(rng, sections, (low + high) / 2, 0.0)
    curves["density"] = np.clip(share * tied + (1 - share) * free, 0, 1)
    if rng.random() < 0.5:
        for section in sections:
            for field_name in ("energy", "density"):
                part = slice(section.first, section.bars.stop)
                curves[field_name][part] = np.clip(curves[field_name][part] * _SECTION_ENERGY[section.name], 0, 1)
    _bring_levels_back(rng, curves, sections)
    return curves


def _bring_levels_back(rng: random.Random, curves: dict[str, np.ndarray], sections: list[Section]) -> None:
    """Where a section returns its levels mostly do too; a thinner or fuller one has less or more energy and density."""
    originals = {section.name: section for section in reversed(sections)}
    for section in sections:
        if section.original is None or (section.change in CHANGES[:4] and rng.random() < _FREE_LEVELS_CHANCE):
            continue
        length = min(section.length, originals[section.name].length)
        shift = {"thinner": -0.15, "fuller": 0.15}.get(section.change, 0.0)
        for field_name, curve in curves.items():
            known = curve[section.original : section.original + length]
            if field_name in ("energy", "density"):
                known = np.clip(known + shift, 0, 1)
            curve[section.first : section.first + length] = known
            curve[section.first + length : section.bars.stop] = known[-1]


def _draw_curve(
    rng: random.Random, sections: list[Section], home: float, low: float, shape_weights: tuple[int, ...] = _SHAPES
) -> np.ndarray:
    """One label over the bars, `low` … 1: constant, steps at sections, phrases or any bar, or ramps between them."""

    def draw() -> float:
        return rng.uniform(low, 1.0) if rng.random() < 0.45 else rng.gauss(home, 0.14 * (1.0 - low))

    num_bars = sections[-1].bars.stop
    shape = rng.choices(("constant", "sections", "phrases", "bars", "ramp"), shape_weights)[0]
    if shape == "constant":
        knots = [0]
    elif shape == "sections":
        knots = [section.first for section in sections]
    elif shape == "phrases":
        knots = [0] + [bar for bar in range(BARS_PER_PHRASE, num_bars, BARS_PER_PHRASE) if rng.random() < 0.5]
    else:
        knots = [0, *sorted(rng.sample(range(1, num_bars), rng.randint(1, 1 + num_bars // 8)))]
    values = [draw() for _ in knots]
    if shape == "ramp":
        curve = np.interp(np.arange(num_bars), [*knots, num_bars - 1], [*values, draw()])
    else:
        curve = np.repeat(values, np.diff([*knots, num_bars]))
    return np.clip(curve, low, 1.0).round(3)


def _draw_scale(idiom: Idiom, rng: random.Random, valence: float) -> str:
    """A scale, brighter the higher the valence: often that of live music, now and then one against the grain."""
    brightness = {
        "lydian": 0.75, "major": 0.6, "major pentatonic": 0.55, "mixolydian": 0.3, "dorian": 0.0,
        "minor pentatonic": -0.2, "minor": -0.4, "harmonic minor": -0.6, "phrygian": -0.75, "locrian": -1.0,
    }  # fmt: skip
    style = styles()[STYLES.index(idiom.name)]
    if rng.random() < _LIVE_SCALE_CHANCE:
        return style.scale_at(valence)
    if rng.random() < 0.1:  # listeners may ask for any key
        valence = rng.uniform(-1, 1)
    weights = [
        (4.0 if name in style.scales else 0.35 if "pentatonic" in name or name == "locrian" else 1.0)
        * float(np.exp(-(((value - valence) / 0.15) ** 2) / 2))
        + 1e-4
        for name, value in brightness.items()
    ]
    return rng.choices(list(brightness), weights)[0]


def _draw_bpm(idiom: Idiom, rng: random.Random, energy: float) -> float:
    low, high = styles()[STYLES.index(idiom.name)].bpm
    if rng.random() < 0.15:  # users may ask for any tempo
        return round(rng.uniform(max(40, low * 0.75), min(240, high * 1.3)), 1)
    return round(low + (high - low) * min(1.0, max(0.0, 0.5 * energy + 0.5 * rng.random())), 1)
