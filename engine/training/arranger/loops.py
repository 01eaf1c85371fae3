"""Which chords follow one another: loops of chords in a scale, drawn by mood. In: pools, scale, mood; out: a `Loop`.

Loops come from the pools below, from progressions with mood words (pool "moods") and from what is usual in a verse or
a chorus of pop songs (pool "songs": stretches that songs share, and walks along their commonest moves); the latter two
are read from progressions.json, which `engine.training.progressions` makes. Remembers caches of pure functions; any
thread.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from engine.training.arranger.harmony import fit_quality
from moods.harmony import CHORD_QUALITIES, SCALES
from moods.intent import BEATS_PER_BAR

# Scale degrees, one a chord; in pentatonic scales degrees of the scale's own five steps.
PROGRESSIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "pop": {
        "major": ("1564", "1645", "6415", "4156", "1465", "1415", "1345", "6543", "2415", "6142", "1425", "4536"),
        "minor": ("1637", "1736", "1463", "1467", "6713", "1374", "1415", "3716", "1673", "4163", "1456", "1476"),
    },
    "folk": {
        "major": ("1415", "1451", "1545", "14151451", "1625", "6415", "1656", "16421451"),
        "minor": ("1767", "1457", "1371", "14171371", "1617", "3715", "1471"),
    },
    "jazz": {
        "major": ("2516", "1625", "3625", "25112516", "4362", "1425", "14362511", "6251", "2536"),
        "minor": ("1625", "2511", "14736251", "1415", "4736", "6251", "1657"),
    },
    "modal": {
        "major": ("1212", "1717", "1514", "1424", "1616", "4141", "1312", "6464"),
        "minor": ("1414", "1717", "1212", "1613", "1716", "1515", "1616", "3434"),
    },
    "epic": {
        "major": ("1564", "6415", "14651451", "4564", "1362", "6145", "1435"),
        "minor": ("1637", "1673", "1413", "16371456", "1645", "6711", "1317", "1642"),
    },
    "classical": {
        "major": ("1451", "1625", "14152651", "1264", "15634145", "1425", "3625", "1364"),
        "minor": ("1451", "1625", "14736251", "1425", "1645", "17651451", "1254"),
    },
    "static": {
        "major": ("1114", "1151", "1121", "1161", "1142", "4111", "1166", "6611", "1221"),
        "minor": ("1112", "1121", "1161", "1114", "1171", "1117", "1162", "1166", "1616", "1771", "1441"),
    },
}  # fmt: skip
_PENTATONIC = {
    "major": (
        "1515",
        "1525",
        "5154",
        "1454",
        "1254",
        "5415",
        "1411",
        "4515",
        "5452",
        "4525",
        "5141",
        "1412",
        "1214",
        "5253",
        "5435",
    ),
    "minor": (
        "1251",
        "1235",
        "1151",
        "1325",
        "2351",
        "1512",
        "1535",
        "2151",
        "2324",
        "3214",
        "2512",
        "2123",
        "2524",
        "1415",
        "4145",
        "1545",
    ),
}
_TRIADS = {"M": "maj", "m": "min", "d": "dim", "a": "aug", "s": "sus4", "p": "5"}
_SONG_KIND = {"intro": "intro", "A": "verse", "B": "chorus", "break": "bridge", "outro": "intro"}
_WALKS, _WALK_CHORDS = 10, (4, 4, 4, 3, 6, 8)
_DRONES = "static"
_HOME_SHARE = 0.33
"""Share of time that a loop spends on the tonic by preference; drones do not ask."""
_THIRDS = 2.0
"""How much a loop all of whose roots move by thirds is preferred, as a logarithm: game music does so in every third
change, songs in every seventh."""


@dataclass(frozen=True, slots=True)
class Step:
    beats: int
    interval: int  # semitones above the tonic
    triad: str  # a quality of moods.harmony without a seventh


@dataclass(frozen=True, slots=True)
class Loop:
    steps: tuple[Step, ...]
    weight: float = 1.0
    valence: float | None = None  # of its mood words, if it has some
    tension: float = 0.0

    @property
    def tonic_share(self) -> float:
        beats = sum(step.beats for step in self.steps)
        return sum(step.beats for step in self.steps if step.interval == 0) / beats

    @property
    def third_share(self) -> float:
        """Share of its changes whose roots are a third apart."""
        roots = [step.interval for step in self.steps]
        moves = [(after - before) % 12 for before, after in zip(roots, roots[1:] + roots[:1], strict=True)]
        return sum(move in (3, 4, 8, 9) for move in moves) / max(1, sum(move != 0 for move in moves))


def major_share(steps: tuple[Step, ...]) -> float:
    """Share of time on chords with a major third."""
    return sum(step.beats for step in steps if 4 in CHORD_QUALITIES[step.triad]) / sum(step.beats for step in steps)


def wanted_major_share(valence: float) -> float:
    """The share of time on major thirds that a valence of -1 … 1 asks for."""
    return 0.5 + 0.5 * valence


def is_inside(step: Step, scale: str) -> bool:
    """Are all tones of the step's triad in the scale?"""
    return all((step.interval + tone) % 12 in SCALES[scale] for tone in CHORD_QUALITIES[step.triad])


def step_inside(step: Step, scale: str) -> Step:
    """The step itself, or the triad of the scale on its root or on the next root below that has one."""
    if is_inside(step, scale):
        return step
    for down in range(12):
        interval = (step.interval - down) % 12
        if interval in SCALES[scale]:
            quality = fit_quality(SCALES[scale].index(interval) + 1, scale, "triad")
            if quality:
                return Step(step.beats, interval, quality)
    raise AssertionError(scale)  # every scale has a triad on its tonic, or a fifth


# --- where loops come from -------------------------------------------------------------------------------------------


@cache
def progressions() -> dict[str, Any]:
    """`moods`, `songs` and `moves` of progressions.json."""
    text = (files("engine.training.arranger") / "progressions.json").read_text(encoding="utf-8")
    return json.loads(text)


def parse(text: str) -> tuple[Step, ...]:
    """Chords like "0M:4 9m:4"; without beats each lasts a bar."""
    steps = []
    for chord in text.split():
        name, _, beats = chord.partition(":")
        steps.append(Step(int(beats or BEATS_PER_BAR), int(name[:-1]), _TRIADS[name[-1]]))
    return tuple(steps)


@lru_cache(maxsize=512)
def _own_loops(pool: str, scale: str) -> tuple[Loop, ...]:
    family = "major" if scale.startswith("major") or scale in ("lydian", "mixolydian") else "minor"
    table = _PENTATONIC[family] if "pentatonic" in scale else PROGRESSIONS[pool][family]
    found = []
    for digits in table:
        qualities = [fit_quality(int(digit), scale, "triad") for digit in digits]
        steps = [
            Step(BEATS_PER_BAR, SCALES[scale][int(digit) - 1], quality)
            for digit, quality in zip(digits, qualities, strict=True)
            if quality
        ]
        if len(steps) == len(digits):
            found.append(Loop(tuple(steps), 2.0))
    return tuple(found)


@lru_cache(maxsize=512)
def _mood_loops(scale: str, is_free: bool) -> tuple[Loop, ...]:
    loops = [
        Loop(parse(entry["loop"]), 1.0, entry["valence"], entry["tension"] + (0.2 if is_free else 0.0))
        for entry in progressions()["moods"]
    ]
    # In tense bars triads may leave the scale, their roots may not: so does live music (engine.score.rules).
    return tuple(
        loop
        for loop in loops
        if all(is_inside(step, scale) or (is_free and step.interval in SCALES[scale]) for step in loop.steps)
        and len({step.interval for step in loop.steps}) > 1
    )


@lru_cache(maxsize=512)
def _song_loops(section: str, scale: str) -> tuple[Loop, ...]:
    songs = progressions()["songs"][_SONG_KIND[section]]
    loops = [Loop(parse(text), math.sqrt(count) / 2) for text, count in songs.items() if " " in text]
    return tuple(loop for loop in loops if all(is_inside(step, scale) for step in loop.steps))


@lru_cache(maxsize=512)
def _moves(section: str, scale: str) -> dict[Step, tuple[tuple[Step, ...], tuple[int, ...]]]:
    """For each chord of the scale those that follow it in songs, with counts."""
    table = {}
    for name, following in progressions()["moves"][_SONG_KIND[section]].items():
        (step,) = parse(name)
        targets = [(parse(other)[0], count) for other, count in following.items()]
        inside = [(other, count) for other, count in targets if is_inside(other, scale)]
        if inside and is_inside(step, scale):
            table[step] = tuple(other for other, _ in inside), tuple(count for _, count in inside)
    return table


def _walks(rng: random.Random, section: str, scale: str) -> list[Loop]:
    """Random walks along the moves of songs; none where the scale has too few of them."""
    table = _moves(section, scale)
    found: list[Loop] = []
    if len(table) < 4:
        return found
    for _ in range(_WALKS):
        steps = [rng.choice(list(table))]
        for _ in range(rng.choice(_WALK_CHORDS) - 1):
            options, counts = table.get(steps[-1], ((), ()))
            if not options:
                break
            steps.append(rng.choices(options, [math.sqrt(count) for count in counts])[0])
        if len(steps) >= 3 and steps[0] != steps[-1]:
            found.append(Loop(tuple(steps), 0.7))
    return found


# --- the draw --------------------------------------------------------------------------------------------------------


def draw_loop(
    rng: random.Random,
    pools: tuple[str, ...],
    scale: str,
    section: str,
    valence: float,
    tension: float,
    chord_bars: float,
    taken: list[tuple[Step, ...]],
) -> tuple[Step, ...]:
    """A loop whose share of major thirds follows the valence, rather not one of `taken`.

    `chord_bars` is how long a chord lasts where the source does not say; songs keep their own pace, slowed down where
    chords last two bars and more.
    """
    pool = rng.choice(pools)
    if pool == "moods":
        loops = list(_mood_loops(scale, tension > 0.5))
    elif pool == "songs":
        loops = [*_song_loops(section, scale), *_walks(rng, section, scale)]
    else:
        loops = list(_own_loops(pool, scale))
    if len(loops) < 6 and pool != _DRONES:
        own = [name for name in pools if name in PROGRESSIONS] or ["modal"]
        loops += _own_loops(rng.choice(own), scale)
    away = [abs(major_share(loop.steps) - wanted_major_share(valence)) for loop in loops]
    weights = []
    for loop, distance in zip(loops, away, strict=True):
        weight = _preference(loop, distance - min(away), valence, tension, pool == _DRONES)
        weights.append(weight * 0.05 if loop.steps in taken else weight)
    steps = rng.choices(loops, weights)[0].steps
    keeps_pace = pool == "songs" and any(step.beats != BEATS_PER_BAR for step in steps)
    factor = max(1.0, chord_bars / 2) if keeps_pace else chord_bars
    return tuple(replace(step, beats=max(1, round(step.beats * factor))) for step in steps)


def _preference(loop: Loop, away: float, valence: float, tension: float, is_drone: bool) -> float:
    """How well a loop suits: brightness first, then time on the tonic, then its mood words."""
    weight = loop.weight * math.exp(-away / 0.05 + _THIRDS * loop.third_share)
    if not is_drone:
        weight *= math.exp(-(((loop.tonic_share - _HOME_SHARE) / 0.16) ** 2) / 2) + 1e-3
    if loop.valence is not None:
        weight *= math.exp(-abs(loop.valence - valence) / 0.6 - abs(loop.tension - tension) / 0.5)
    return weight + 1e-9
