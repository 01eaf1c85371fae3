"""Parameters of a game: named numbers that curves map to mood fields. In: JSON values; out: checked parameters, and the
fields that a value asks for. Remembers nothing; any thread.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from moods.errors import BadControl, OutOfRange, UnknownParameter, shown
from moods.fields import LAYER_GAIN_DB, Model, MoodFields, Number, check_number, range_schema
from moods.names import nearest

MOST_PARAMETERS, MOST_CURVES, MOST_POINTS = 64, 16, 64
LARGEST = 1e9

Driven = Literal[
    "valence", "energy", "tension", "bpm", "density", "brightness", "temperature", "novelty",
    "layers.drums", "layers.bass", "layers.harmony", "layers.texture", "layers.lead",
]  # fmt: skip
RANGES: dict[str, tuple[float, float]] = {
    "valence": (-1, 1), "energy": (0, 1), "tension": (0, 1), "bpm": (40, 240), "density": (0, 1), "brightness": (0, 1),
    "temperature": (0.1, 2), "novelty": (0, 1),
} | {name: LAYER_GAIN_DB for name in get_args(Driven) if name.startswith("layers.")}  # fmt: skip
"""What each field may be."""

_Points = tuple[tuple[float, float], ...]


def _read_points(curve: object) -> object:
    expected = "expected two or more points, for example [[0, 0.2], [1, 0.9]]"
    if not isinstance(curve, list | tuple) or not 2 <= len(curve) <= MOST_POINTS:
        raise BadControl(f"curve is {shown(curve)}; {expected}")
    points = []
    for point in curve:
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise BadControl(f"curve has {shown(point)}; {expected}")
        points.append(tuple(check_number("curve", number, -LARGEST, LARGEST) for number in point))
    for (one, _), (other, _) in zip(points, points[1:], strict=False):
        if other <= one:
            raise BadControl(f"curve goes from {one:g} to {other:g}; expected points from left to right")
    return tuple(points)


_CURVE_SCHEMA = WithJsonSchema(
    {
        "type": "array",
        "minItems": 2,
        "maxItems": MOST_POINTS,
        "items": {
            "type": "array",
            "prefixItems": [range_schema(-LARGEST, LARGEST)] * 2,
            "minItems": 2,
            "maxItems": 2,
        },
    }
)


class Curve(Model):
    """How a parameter's value becomes that of a mood field."""

    field: Driven = Field(examples=["energy"])
    """The field; of a layer its gain in dB."""
    curve: Annotated[_Points, BeforeValidator(_read_points), _CURVE_SCHEMA] = Field(
        examples=[[[0, 0.2], [0.6, 0.5], [1, 0.95]]]
    )
    """Points `[value of the parameter, value of the field]` from left to right; straight between, flat beyond."""

    @model_validator(mode="after")
    def _within_the_field(self) -> Curve:
        low, high = RANGES[self.field]
        for _, value in self.curve:
            if not low <= value <= high:
                raise OutOfRange(f"curve of {self.field}", value, low, high)
        return self

    def at(self, value: float) -> float:
        """The field's value."""
        index = bisect_right(self.curve, value, key=lambda point: point[0])
        if index in (0, len(self.curve)):
            return self.curve[max(0, index - 1)][1]
        (left, low), (right, high) = self.curve[index - 1], self.curve[index]
        return low + (high - low) * (value - left) / (right - left)

    def share(self, change: float) -> float:
        """A change of the field as a share of its range."""
        low, high = RANGES[self.field]
        return abs(change) / (high - low)


class GameParameter(Model):
    """A named number that the game sends as often as it likes, and what it does to the music.

    From the first value on the fields that it drives are what the curves say, whatever states say of them.
    """

    min: Annotated[float, Number("min", -LARGEST, LARGEST)] = 0.0
    max: Annotated[float, Number("max", -LARGEST, LARGEST)] = 1.0
    """Values beyond count as these."""
    default: Annotated[float, Number("default", -LARGEST, LARGEST)] | None = None
    """Its value from the beginning on; null or left out: it has none, and drives nothing, until it is first set."""
    smooth: Annotated[float, Number("smooth", 0, 60)] = 0.3
    """Seconds that level and colour take to follow; notes follow at the next beat."""
    hysteresis: Annotated[float, Number("hysteresis", 0, 0.5)] = 0.02
    """A change that moves no field by more than this share of its range is let pass, but for one to either end."""
    to: Annotated[list[Curve], Field(min_length=1, max_length=MOST_CURVES)]
    """What it drives."""

    @field_validator("to")
    @classmethod
    def _each_field_once(cls, curves: list[Curve]) -> list[Curve]:
        if len({curve.field for curve in curves}) < len(curves):
            raise BadControl(f"to has a field twice, of {', '.join(curve.field for curve in curves)}; expected it once")
        return curves

    @model_validator(mode="after")
    def _has_a_range(self) -> GameParameter:
        if self.min >= self.max:
            raise BadControl(f"min is {self.min:g} and max {self.max:g}; expected a min below max")
        if self.default is not None and not self.min <= self.default <= self.max:
            raise OutOfRange("default", self.default, self.min, self.max)
        return self

    def within(self, value: float) -> float:
        return min(self.max, max(self.min, value))

    def is_moved(self, before: float | None, value: float) -> bool:
        """Does going from one value to another, both within the range, change anything worth following?"""
        if before is None or (value != before and value in (self.min, self.max)):
            return True
        return any(curve.share(curve.at(value) - curve.at(before)) > self.hysteresis for curve in self.to)


def check_parameters(parameters: Mapping[str, GameParameter]) -> None:
    """Raises `BadControl` where two drive the same field."""
    by_field: dict[str, str] = {}
    for name, curve in ((name, curve) for name, parameter in parameters.items() for curve in parameter.to):
        if (other := by_field.setdefault(curve.field, name)) != name:
            raise BadControl(f"{curve.field} is driven by {other} and by {name}; expected one of them")


def read_values(asked: Mapping[str, float], parameters: Mapping[str, GameParameter]) -> dict[str, float]:
    """The values of a `parameter` control, each within its range. Raises `UnknownParameter` with the nearest names."""
    for name in asked:
        if name not in parameters:
            none_known = 'the station has no parameters; open it with "parameters"'
            way_out = f"known: {', '.join(parameters)}" if parameters else none_known
            raise UnknownParameter(name, nearest(name, parameters), way_out)
    return {name: parameters[name].within(value) for name, value in asked.items()}


def driven_by(fields: MoodFields, values: Mapping[str, float], parameters: Mapping[str, GameParameter]) -> MoodFields:
    """Mood fields in which those driven by parameters of these values are what the curves say."""
    driven: dict[str, float] = {}
    for name, value in values.items():
        driven |= {curve.field: curve.at(value) for curve in parameters[name].to}
    if not driven:
        return fields
    plain: dict[str, Any] = {name: value for name, value in driven.items() if "." not in name}
    layers = {name.removeprefix("layers."): value for name, value in driven.items() if name not in plain}
    if layers:
        plain["layers"] = (fields.layers or {}) | layers
    return fields.model_copy(update=plain)
