"""The autopilot: how far and how fast the mood wanders by itself, and how much may be heard again. In: JSON values;
out: checked settings, and where a way from a point leads next. Remembers nothing; any thread.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from moods.cycles import CYCLE_BARS
from moods.errors import BadControl, OutOfRange, shown
from moods.fields import Model, Number, one_of, range_schema
from moods.form import THEME_BARS
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR
from moods.mood import Mood, find_mood, list_moods, style_names
from moods.names import nearest

REACH: dict[str, tuple[float, float, float]] = {
    "valence": (-1, 1, 0.4), "energy": (0, 1, 0.2), "tension": (0, 1, 0.2), "brightness": (0, 1, 0.15),
    "density": (0, 1, 0.15), "bpm": (40, 240, 12),
}  # fmt: skip
"""What each field may be, and how far to either side it wanders at most where `within` does not say."""
ALWAYS = ("valence", "energy", "tension")
"""These wander wherever there is an autopilot, the others where `within` names them: else the mood decides them."""
MOST_MOODS = 50
MAX_HOLD_MINUTES = 1440.0
_EVERY = re.compile(r"\s*([1-9][0-9]?)\s*(phrase|bar)s?\s*")
_MOST_LEG_BARS = 400
_STYLE_SHARE = 0.4
"""Of another style that is mixed in, at most."""
_NEAR_MOODS = 6
"""So many presets nearest to the point lend their styles."""
_MOST_TRIES = 8
_MOVES = 0.4
"""How often a leg goes to another of the moods."""


def _check_every(every: object) -> object:
    match = _EVERY.fullmatch(every) if isinstance(every, str) else None
    if match is None:
        raise BadControl(f'every is {shown(every)}; expected "N phrases" or "N bars", N from 1 to 99')
    return every


def _read_within(within: object) -> object:
    """Raises `BadControl` for a field that does not wander, `OutOfRange` for bounds beyond it."""
    if not isinstance(within, Mapping):
        raise BadControl(f'within is {shown(within)}; expected for example {{"energy": [0.2, 0.5]}}')
    for field, bounds in within.items():
        if field not in REACH:
            near = nearest(str(field), REACH) or REACH
            raise BadControl(f"within has {shown(field)}; nearest: {', '.join(near)}")
        if not isinstance(bounds, list | tuple) or len(bounds) != 2:
            raise BadControl(
                f"within.{field} is {shown(bounds)}; expected the lowest and the highest, as in [0.2, 0.5]"
            )
        low, high, _ = REACH[field]
        for bound in bounds:
            if isinstance(bound, bool) or not isinstance(bound, int | float):
                raise BadControl(f"within.{field} has {shown(bound)}; expected a number {low:g} … {high:g}")
            if not low <= bound <= high:
                raise OutOfRange(f"within.{field}", bound, low, high)
        if bounds[0] > bounds[1]:
            raise BadControl(f"within.{field} goes from {bounds[0]:g} to {bounds[1]:g}; expected the lowest first")
    return {field: (float(low), float(high)) for field, (low, high) in within.items()}


_Within = Annotated[
    dict[str, tuple[float, float]],
    BeforeValidator(_read_within),
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                field: {"type": "array", "items": range_schema(low, high), "minItems": 2, "maxItems": 2}
                for field, (low, high, _) in REACH.items()
            },
            "additionalProperties": False,
        }
    ),
]
_Every = Annotated[
    str, BeforeValidator(_check_every), WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]? (phrase|bar)s?$"})
]
_MoodName = Annotated[str, one_of(name for mood in list_moods() for name in mood.names)]


class Autopilot(Model):
    """Let the mood wander slowly by itself, so that nobody tires of a station that plays for hours."""

    drift: Annotated[float, Number("drift", 0, 1)] = 0.5
    """How far it wanders from the point that was asked for last: 0 not at all, 1 as far as `within` allows."""
    every: _Every = Field(default="16 phrases", examples=["8 phrases"])
    """How long it takes from one point to the next; a phrase is four bars. Each way begins where a phrase does."""
    within: _Within = Field(default={}, examples=[{"energy": [0.2, 0.5], "valence": [-0.2, 0.6]}])
    """The lowest and highest that each field may become; of `valence`, `energy` and `tension`, where they are left out:
    0.4, 0.2 and 0.2 to either side of what was asked for. `brightness`, `density` and `bpm` wander where they are
    named here."""
    moods: Annotated[list[_MoodName], Field(max_length=MOST_MOODS)] = Field(default=[], examples=[["focus", "night"]])
    """Presets that it goes to from time to time, beside the one it began with; left out: it stays."""
    novelty: Annotated[float, Number("novelty", 0, 1)] = 0.5
    """How much it does against hearing the last hour again: 0 nothing; the more, the sooner another piece begins, the
    further the mood keeps from where it was, and the fewer tunes may be heard again after their piece is over."""
    hold_minutes: Annotated[float, Number("hold_minutes", 0, MAX_HOLD_MINUTES)] = 10.0
    """So long a field stays as a control has set it; then it wanders around that."""

    @field_validator("moods")
    @classmethod
    def _known_moods(cls, names: list[str]) -> list[str]:
        return list(dict.fromkeys(find_mood(name).name for name in names))

    @property
    def leg_beats(self) -> int:
        """Beats from one point to the next."""
        match = _EVERY.fullmatch(self.every)
        assert match is not None
        bars = int(match[1]) * (BARS_PER_PHRASE if match[2] == "phrase" else 1)
        return min(bars, _MOST_LEG_BARS) * BEATS_PER_BAR

    @property
    def piece_beats(self) -> int | None:
        """After so many beats another piece begins; None: where the form has been round."""
        if self.novelty == 0:
            return None
        return round(THEME_BARS - self.novelty * (THEME_BARS - 3 * CYCLE_BARS)) * BEATS_PER_BAR

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that wander."""
        return tuple(field for field in REACH if field in ALWAYS or field in self.within)


class Place(NamedTuple):
    """A point that the music came near, or is to come to."""

    mood: str | None  # of the presets, where it is one's
    fields: dict[str, float]
    style: tuple[float, ...]

    def distance(self, other: Place) -> float:
        """0 where they are the same, about 1 where one field is as far as it may be, or the style another."""
        squares = sum(abs(one - other.style[index]) for index, one in enumerate(self.style)) ** 2 / 4
        for field, (low, high, _) in REACH.items():
            if field in self.fields and field in other.fields:
                squares += ((self.fields[field] - other.fields[field]) / (high - low)) ** 2
        return math.sqrt(squares)


def _bounds(settings: Autopilot, field: str, centre: float) -> tuple[float, float]:
    low, high, reach = REACH[field]
    return settings.within.get(field) or (max(low, centre - reach), min(high, centre + reach))


def next_place(settings: Autopilot, rng: random.Random, centre: Place, heard: Iterable[Place]) -> Place:
    """Where to go next from around `centre`; with novelty, the furthest of some from all that was heard."""
    heard, num_tries = list(heard), 1 + round(settings.novelty * (_MOST_TRIES - 1))
    places = [_somewhere(settings, rng, centre) for _ in range(num_tries)]
    return max(places, key=lambda place: min((place.distance(other) for other in heard), default=0.0))


def _somewhere(settings: Autopilot, rng: random.Random, centre: Place) -> Place:
    fields: dict[str, float] = {}
    for field in settings.fields:
        if field in centre.fields:
            low, high = _bounds(settings, field, centre.fields[field])
            middle = min(high, max(low, centre.fields[field]))
            fields[field] = round(middle + settings.drift * (rng.uniform(low, high) - middle), 3)
    return Place(centre.mood, fields, _mixed_style(settings.drift, rng, centre))


def _mixed_style(drift: float, rng: random.Random, centre: Place) -> tuple[float, ...]:
    """The centre's style with some of another that moods nearby have."""
    share = rng.uniform(0, _STYLE_SHARE) * drift
    near = sorted(list_moods(), key=lambda mood: (_apart(mood, centre), mood.name))[:_NEAR_MOODS]
    other = rng.choice(near).style
    return tuple(own + share * (their - own) for own, their in zip(centre.style, other, strict=True))


def _apart(mood: Mood, centre: Place) -> float:
    fields = {name: getattr(mood, name) for name in ALWAYS}
    return centre.distance(Place(None, fields, centre.style))


def next_mood(settings: Autopilot, rng: random.Random, now: str | None, heard: Iterable[Place]) -> str | None:
    """The mood to go to, the one that was left longest ago; None: it stays where it is."""
    last = {place.mood: index for index, place in enumerate(heard)}
    others = [name for name in settings.moods if name != now]
    if not others or rng.random() >= _MOVES:
        return None
    rng.shuffle(others)
    return min(others, key=lambda name: last.get(name, -1))


def asked_fields(place: Place) -> dict[str, Any]:
    """What a steer to a place sets."""
    return {**place.fields, "style": style_names(place.style)}
