"""The controls that clients send. In: parsed JSON; out: checked `Control` objects. Remembers nothing; any thread.

Everything a client can get wrong raises one of `moods.errors`, never pydantic's own error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from moods.errors import BadControl, MoodsError, OutOfRange
from moods.glide import Span
from moods.harmony import parse_key
from moods.intent import BEATS_PER_BAR, LAYERS
from moods.mood import find_mood, style_names, style_weights
from moods.stinger import find_stinger

MAX_SECONDS = 366 * 86_400.0
MAX_OVER_SECONDS = 600.0
MAX_OVER_BEATS = 2400.0
MAX_SEED = 2**63 - 1
LAYER_GAIN_DB = (-60.0, 12.0)
DUCK_GAIN_DB = (-120.0, 0.0)


def check_number(field: str, value: object, low: float, high: float) -> float:
    """`value` as a float. Raises `BadControl` if it is no number, `OutOfRange` outside `low` … `high` and for NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadControl(f"{field} is {_short(value)}; expected a number {low:g} … {high:g}")
    if not low <= value <= high:
        raise OutOfRange(field, value, low, high)
    return float(value)


def _number(field: str, low: float, high: float) -> Any:
    return Annotated[
        float, BeforeValidator(lambda value: check_number(field, value, low, high)), Field(ge=low, le=high)
    ]


Beat = Literal["now", "beat", "bar", "phrase"]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(max_length=128)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MoodFields(_Model):
    """What a steer sets; a field left out stays as it is, null gives it back to the mood."""

    mood: Name | None = None
    prompt: Annotated[str, Field(max_length=2000)] | None = None
    valence: _number("valence", -1, 1) | None = None
    energy: _number("energy", 0, 1) | None = None
    tension: _number("tension", 0, 1) | None = None
    style: dict[str, float] | None = None
    bpm: _number("bpm", 40, 240) | None = None
    key: Name | None = None
    density: _number("density", 0, 1) | None = None
    brightness: _number("brightness", 0, 1) | None = None
    layers: dict[str, float | Literal["mute"]] | None = None
    temperature: _number("temperature", 0.1, 2) | None = None

    @field_validator("mood")
    @classmethod
    def _known_mood(cls, name: str | None) -> str | None:
        return None if name is None else find_mood(name).name

    @field_validator("key")
    @classmethod
    def _known_key(cls, text: str | None) -> str | None:
        return None if text is None else str(parse_key(text))

    @field_validator("style", mode="before")
    @classmethod
    def _known_styles(cls, style: object) -> object:
        if not isinstance(style, str | Mapping):
            raise BadControl(
                f'style is {_short(style)}; expected a name or weights, for example {{"lofi": 0.7, "jazz": 0.3}}'
            )
        return style_names(style_weights(style))

    @field_validator("layers", mode="before")
    @classmethod
    def _known_layers(cls, layers: object) -> object:
        if not isinstance(layers, Mapping):
            raise BadControl(f'layers is {_short(layers)}; expected for example {{"drums": -6, "lead": "mute"}}')
        return {name: _layer_gain(name, gain) for name, gain in layers.items()}

    @model_validator(mode="after")
    def _one_source(self) -> MoodFields:
        if self.mood is not None and self.prompt is not None:
            raise BadControl("mood and prompt are both given; expected one of them")
        nullable = {"bpm", "key", "density", "brightness"}
        for field in sorted(self.model_fields_set - nullable - {"seed", "name"}):
            if getattr(self, field) is None:
                raise BadControl(f"{field} is null; only {', '.join(sorted(nullable))} may be left to the mood")
        return self


def _layer_gain(name: object, gain: object) -> float | str:
    if name not in LAYERS:
        raise BadControl(f"layers has {_short(name)}; expected {', '.join(LAYERS)}")
    return "mute" if gain == "mute" else check_number(f"layers.{name}", gain, *LAYER_GAIN_DB)


def _check_seed(seed: object) -> object:
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise BadControl(f"seed is {_short(seed)}; expected a whole number")
    if seed is not None and not 0 <= seed <= MAX_SEED:
        raise OutOfRange("seed", seed, 0, MAX_SEED)
    return seed


class Opening(MoodFields):
    """The body of POST /v1/stations."""

    seed: Annotated[int | None, BeforeValidator(_check_seed)] = None
    name: Annotated[str, Field(max_length=200)] | None = None


class _Control(_Model):
    id: Id | None = None


def read_over(over: object) -> Span:
    """Read seconds (0 … 600) or `"N beats"`, `"N bars"`."""
    if isinstance(over, str):
        match = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*(beat|bar)s?\s*", over)
        if not match:
            raise BadControl(f'over is {_short(over)}; expected seconds, "N beats" or "N bars"')
        beats = float(match[1]) * (BEATS_PER_BAR if match[2] == "bar" else 1)
        if beats > MAX_OVER_BEATS:
            raise OutOfRange("over", over, 0, MAX_OVER_BEATS if match[2] == "beat" else MAX_OVER_BEATS / BEATS_PER_BAR)
        return Span(beats, in_beats=True)
    return Span(check_number("over", over, 0, MAX_OVER_SECONDS))


def _check_over(over: object) -> object:
    if over is not None:
        read_over(over)
    return over


Over = Annotated[float | str | None, BeforeValidator(_check_over)]


class Steer(_Control):
    """Change the mood fields in `set`; `at` absent: each field at its own place."""

    type: Literal["steer"] = "steer"
    set: MoodFields
    over: Over = None
    at: Beat | None = None

    @property
    def span(self) -> Span | None:
        return None if self.over is None else read_over(self.over)


class At(_Model):
    """A place in seconds since the station opened."""

    seconds: _number("at.seconds", 0, MAX_SECONDS)


class End(_Control):
    """End the music; `at` in seconds: all sound is over there."""

    type: Literal["end"] = "end"
    how: Literal["cadence", "ring", "fade", "stop", "loop"] = "cadence"
    at: Beat | At | None = None

    @property
    def seconds(self) -> float | None:
        return self.at.seconds if isinstance(self.at, At) else None


class Transport(_Control):
    """Play, pause or start again."""

    type: Literal["transport"] = "transport"
    do: Literal["play", "pause", "restart"]


class Panic(_Control):
    """Instant, click-free silence."""

    type: Literal["panic"] = "panic"


class Duck(_Control):
    """Lower the level under speech; 0 dB gives it back. `voice`: take 1–4 kHz back in the middle, or give them back.

    A field left out stays as it is.
    """

    type: Literal["duck"] = "duck"
    gain_db: _number("gain_db", *DUCK_GAIN_DB) | None = None
    voice: bool | None = None
    over: Over = 0.2

    @field_validator("voice", mode="before")
    @classmethod
    def _true_or_false(cls, voice: object) -> object:
        if not isinstance(voice, bool):
            raise BadControl(f"voice is {_short(voice)}; expected true or false")
        return voice

    @model_validator(mode="after")
    def _says_something(self) -> Duck:
        if self.gain_db is None and self.voice is None:
            raise BadControl("gain_db is missing, and so is voice; expected one of them")
        return self

    @property
    def span(self) -> Span:
        return read_over(0.2 if self.over is None else self.over)


class Cancel(_Model):
    """Take back the control `id`, if it has not begun to take effect."""

    type: Literal["cancel"] = "cancel"
    id: Id


class Hit(_Control):
    """An accent that all layers strike together; `at` now: at once, over what sounds; in seconds: exactly there."""

    type: Literal["hit"] = "hit"
    at: Literal["now", "beat", "bar"] | At = "beat"
    strength: _number("strength", 0, 1) = 1.0


class Stinger(_Control):
    """A short named figure over the music, one of `moods.stinger.list_stingers()`; `at` now: at once."""

    type: Literal["stinger"] = "stinger"
    name: Name
    at: Beat | At = "beat"

    @field_validator("name")
    @classmethod
    def _known_stinger(cls, name: str) -> str:
        return find_stinger(name).name


class State(_Control):
    """Go to a state defined when the station was opened."""

    type: Literal["state"] = "state"
    name: Name


Control = Steer | End | Transport | Panic | Duck | Cancel | Hit | Stinger | State

_MODELS: dict[str, type[BaseModel]] = {
    "steer": Steer, "end": End, "transport": Transport, "panic": Panic, "duck": Duck,
    "cancel": Cancel, "hit": Hit, "stinger": Stinger, "state": State,
}  # fmt: skip

_REFUSED = "state"  # read, so that the controller can say that it does not do it
_EXPECTED = ", ".join(kind for kind in _MODELS if kind != _REFUSED)

_M = TypeVar("_M", bound=BaseModel)


def parse_control(obj: object) -> Control:
    """Read one control. Raises `UnknownName`, `OutOfRange` or `BadControl`."""
    if not isinstance(obj, Mapping):
        raise BadControl(f'control is {_short(obj)}; expected an object with "type"')
    kind = obj.get("type")
    if not isinstance(kind, str) or kind not in _MODELS:
        raise BadControl(f"type is {_short(kind)}; expected one of {_EXPECTED}")
    return _parse(_MODELS[kind], obj)  # type: ignore[return-value]


def parse_opening(obj: object) -> Opening:
    """Read the body of POST /v1/stations. Raises like `parse_control`."""
    if not isinstance(obj, Mapping):
        raise BadControl(f"body is {_short(obj)}; expected an object of mood fields")
    return _parse(Opening, obj)


def parse_fields(obj: object) -> MoodFields:
    """Read mood fields. Raises like `parse_control`."""
    if not isinstance(obj, Mapping):
        raise BadControl(f"set is {_short(obj)}; expected an object of mood fields")
    return _parse(MoodFields, obj)


def _parse(model: type[_M], obj: Mapping[str, Any]) -> _M:
    try:
        return model.model_validate(dict(obj))
    except ValidationError as error:
        raise _named(error, model) from None


def _named(error: ValidationError, model: type[BaseModel]) -> MoodsError:
    """The first thing wrong, as an error of this package."""
    errors = error.errors(include_url=False)
    for row in errors:
        original = row.get("ctx", {}).get("error")
        if isinstance(original, MoodsError):
            return original
    row = errors[0]
    field = ".".join(str(part) for part in row["loc"] if str(part) in _FIELD_NAMES) or "control"
    if row["type"] == "extra_forbidden":
        inner = MoodFields if "set" in row["loc"] else model
        return BadControl(f"{_short(row['loc'][-1])} is not a field here; expected {', '.join(inner.model_fields)}")
    if row["type"] == "missing":
        return BadControl(f"{field} is missing")
    return BadControl(f"{field} is {_short(row['input'])}; {row['msg'][:1].lower()}{row['msg'][1:]}")


_FIELD_NAMES = frozenset(name for model in (*_MODELS.values(), Opening, At) for name in model.model_fields)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
