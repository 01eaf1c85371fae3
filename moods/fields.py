"""The fields of which whatever a client asks is made: a point in mood space, spans and places. In: JSON values; out:
checked fields. Remembers nothing; any thread.

Everything a client can get wrong raises one of `moods.errors`, never pydantic's own error. The models' JSON schemas are
what the server publishes: they allow what is read here, but for other spellings of the same (case, blanks).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

from moods.errors import BadControl, MoodsError, NotUnderstood, OutOfRange, shown
from moods.glide import Span
from moods.harmony import SCALES, parse_key
from moods.intent import BARS_PER_PHRASE, BEATS_PER_BAR, LAYERS
from moods.mood import MAX_STYLE_WEIGHT, find_mood, list_moods, named_weights, styles_by_name
from moods.names import nearest
from moods.prompt import Prompt, resolve_prompt

MAX_SECONDS = 366 * 86_400.0
MAX_OVER_SECONDS = 600.0
MAX_OVER_BEATS = 2400.0
MAX_SEED = 2**63 - 1
MOST_PROMPT_CHARACTERS = 20_000
"""Of all prompts in one message: as many as are read in about a second."""
LAYER_GAIN_DB = (-60.0, 12.0)

_M = TypeVar("_M", bound=BaseModel)


def check_number(field: str, value: object, low: float, high: float) -> float:
    """`value` as a float. Raises `BadControl` if it is no number, `OutOfRange` outside `low` … `high` and for NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadControl(f"{field} is {shown(value)}; expected a number {low:g} … {high:g}")
    if not low <= value <= high:
        raise OutOfRange(field, value, low, high)
    return float(value)


def check_name(name: object, field: str) -> str:
    """Raises `BadControl` for what nothing that a user names may be called."""
    if not isinstance(name, str) or not 0 < len(name) <= 64 or not name.isprintable() or name != name.strip():
        raise BadControl(f"{field} has {shown(name)}; expected a name of 1 … 64 characters")
    return name


def range_schema(low: float, high: float) -> dict[str, Any]:
    return {"type": "number", "minimum": low, "maximum": high}


@dataclass(frozen=True, slots=True)
class Number:
    """Beside a float: what `check_number` checks, also in the JSON schema."""

    field: str
    low: float
    high: float

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(
            lambda value: check_number(self.field, value, self.low, self.high), handler(source)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return range_schema(self.low, self.high)


_GAIN = range_schema(*LAYER_GAIN_DB)
_STYLE_NAMES = list(styles_by_name())

Absent = SkipJsonSchema[None]
"""Beside a type: the field may be left out, and then is None here; a client may not send null."""
Id = Annotated[str, Field(max_length=128)]


MAX_BY = 64
_JOINERS = "\u200c\u200d"  # within words of some languages, and within emoji


def visible(text: str) -> str:
    """`text` on one line, without what nobody sees: control characters, and those that turn the direction of others."""
    hidden = ("Cc", "Cf", "Co", "Cs")
    kept = [c for c in text if c.isspace() or c in _JOINERS or unicodedata.category(c) not in hidden]
    return " ".join("".join(kept).split()).strip(_JOINERS)


def _check_by(by: object) -> str:
    if not isinstance(by, str):
        raise BadControl(f"by is {shown(by)}; expected a name of 1 … {MAX_BY} characters")
    name = visible(by)
    if not 0 < len(name) <= MAX_BY:
        raise BadControl(f"by has {len(name)} characters that can be seen; allowed are 1 … {MAX_BY}")
    return name


By = Annotated[str, BeforeValidator(_check_by), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": MAX_BY})]
"""Who asked for something: a text of anybody's, to be shown as text alone."""


def one_of(names: Iterable[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(dict.fromkeys(names))})


_MoodName = Annotated[str, one_of(name for mood in list_moods() for name in mood.names)]
_StyleWeights = Annotated[
    dict[str, float],
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "string", "enum": _STYLE_NAMES, "description": "This style alone."},
                {
                    "type": "object",
                    "description": "Styles and their weights, not all of them 0; they need not sum to 1.",
                    "propertyNames": {"enum": _STYLE_NAMES},
                    "additionalProperties": range_schema(0, MAX_STYLE_WEIGHT),
                    "not": {"additionalProperties": {"const": 0}},
                },
            ]
        }
    ),
]
KeyName = Annotated[str, WithJsonSchema({"type": "string", "pattern": f"^[A-G][#b]?(m| ({'|'.join(SCALES)}))?$"})]
_LayerGains = Annotated[
    dict[str, float | Literal["mute"]],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {layer: {"oneOf": [_GAIN, {"const": "mute"}]} for layer in LAYERS},
            "additionalProperties": False,
        }
    ),
]


def tidy(schema: dict[str, Any]) -> None:
    """Without a null as the default of what may only be left out."""
    for field in schema.get("properties", {}).values():
        if field.get("default", 0) is None:
            del field["default"]


_FIELD_NAMES: set[str] = set()
"""Of all models: what a client knows of where an error lies."""


class Model(BaseModel):
    """What a client sends, or a part of it."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, json_schema_extra=tidy, serialize_by_alias=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        _FIELD_NAMES.update(field.alias or name for name, field in cls.model_fields.items())

    def asked(self) -> dict[str, Any]:
        """What was asked, as JSON values; what was left out stays out. Read again, it is equal to this."""
        return self.model_dump(mode="json", exclude_unset=True)


def _mood_or_prompt(schema: dict[str, Any]) -> None:
    tidy(schema)
    schema["not"] = {"required": ["mood", "prompt"]}
    schema["dependentRequired"] = {"strict": ["prompt"]}


class MoodFields(Model):
    """A point in mood space. A field left out stays as it is; null, where allowed, gives it back to the mood."""

    model_config = ConfigDict(json_schema_extra=_mood_or_prompt)

    mood: _MoodName | Absent = Field(default=None, examples=["epic"])
    """A preset, by its English or Chinese name; case is ignored. Not together with `prompt`."""
    prompt: Annotated[str, Field(max_length=2000)] | Absent = Field(
        default=None, examples=["rainy night, a little sad"]
    )
    """A free text in any of sixteen languages; `understood` tells how it was read. What it says of tempo, key and
    layers counts where no field of its own does. Not together with `mood`."""
    strict: bool | Absent = None
    """Beside a prompt: refuse it where nothing of it is understood, instead of leaving the mood as it is."""
    valence: Annotated[float, Number("valence", -1, 1)] | Absent = None
    """Dark … bright feeling: mode, harmony, register. Heard in the notes from the next bar, in the colour at once."""
    energy: Annotated[float, Number("energy", 0, 1)] | Absent = Field(default=None, examples=[0.8])
    """Still … driving: layers, density, drums, level. Heard in the notes from the next beat, in the level at once."""
    tension: Annotated[float, Number("tension", 0, 1)] | Absent = None
    """Resolved … threatening: dissonance, pedal tones, pulse. Heard from the next bar."""
    style: _StyleWeights | Absent = Field(default=None, examples=[{"lofi": 0.7, "jazz": 0.3}])
    """One style or weights of several. Heard from the next phrase, crossfaded."""
    bpm: Annotated[float, Number("bpm", 40, 240)] | None = None
    """Beats a minute; null: the mood decides. It glides from the next bar, and has arrived when `over` is over."""
    key: KeyName | None = Field(default=None, examples=["A minor"])
    """Tonic and scale (major if left out); null: the mood decides. Reached at the next phrase, by shared chords."""
    density: Annotated[float, Number("density", 0, 1)] | None = None
    """Notes for a beat; null: style and energy decide. Heard from the next beat."""
    brightness: Annotated[float, Number("brightness", 0, 1)] | None = None
    """Spectral colour; null: style and energy decide. Heard at once."""
    layers: _LayerGains | Absent = Field(default=None, examples=[{"drums": -6, "lead": "mute"}])
    """Gain in dB of each layer named, or "mute". Heard at once, over 20 ms."""
    temperature: Annotated[float, Number("temperature", 0.1, 2)] | Absent = None
    """How much surprise. Heard from the next bar."""
    novelty: Annotated[float, Number("novelty", 0, 1)] | Absent = None
    """How far apart pieces of one mood lie, and how freely they repeat themselves; 0.5 if nothing is said, or as an
    autopilot has it. Heard from the next bar."""
    _understood: Prompt | None = PrivateAttr(default=None)

    def model_post_init(self, context: object) -> None:
        if self.prompt is not None:
            self._understood = resolve_prompt(self.prompt)
            if self.strict and not self._understood.is_understood:
                raise NotUnderstood(self.prompt)

    @property
    def understood(self) -> Prompt | None:
        """How `prompt` was read; None where there is none."""
        return self._understood

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
                f'style is {shown(style)}; expected a name or weights, for example {{"lofi": 0.7, "jazz": 0.3}}'
            )
        return named_weights(style)

    @field_validator("layers", mode="before")
    @classmethod
    def _known_layers(cls, layers: object) -> object:
        if not isinstance(layers, Mapping):
            raise BadControl(f'layers is {shown(layers)}; expected for example {{"drums": -6, "lead": "mute"}}')
        return {name: _layer_gain(name, gain) for name, gain in layers.items()}

    @model_validator(mode="after")
    def _one_source(self) -> MoodFields:
        if self.mood is not None and self.prompt is not None:
            raise BadControl("mood and prompt are both given; expected one of them")
        if self.strict is not None and self.prompt is None:
            raise BadControl("strict is given without a prompt; it says how a prompt is to be read")
        nullable = {"bpm", "key", "density", "brightness"}
        for field in sorted((self.model_fields_set & MoodFields.model_fields.keys()) - nullable):
            if getattr(self, field) is None:
                raise BadControl(f"{field} is null; only {', '.join(sorted(nullable))} may be left to the mood")
        return self


def _layer_gain(name: object, gain: object) -> float | str:
    if name not in LAYERS:
        raise BadControl(f"layers has {shown(name)}; expected {', '.join(LAYERS)}")
    return "mute" if gain == "mute" else check_number(f"layers.{name}", gain, *LAYER_GAIN_DB)


def check_seed(seed: object) -> object:
    if isinstance(seed, float) and seed.is_integer():
        seed = int(seed)  # JSON has one kind of number
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise BadControl(f"seed is {shown(seed)}; expected a whole number")
    if not 0 <= seed <= MAX_SEED:
        raise OutOfRange("seed", seed, 0, MAX_SEED)
    return seed


def check_prompts(fields: Iterable[object], where: str) -> None:
    """Prompts are read one after another, and whoever else has one waits. Raises `BadControl` where they are too long
    together; `fields` are mood fields as they were sent."""
    prompts = [each["prompt"] for each in fields if isinstance(each, Mapping) and "prompt" in each]
    num_characters = sum(len(prompt) for prompt in prompts if isinstance(prompt, str))
    if num_characters > MOST_PROMPT_CHARACTERS:
        allowed = f"allowed are {MOST_PROMPT_CHARACTERS}; say less"
        raise BadControl(f"the prompts of {where} have {num_characters} characters; {allowed}")


SEED_SCHEMA = {"type": "integer", "minimum": 0, "maximum": MAX_SEED}


def read_over(over: object) -> Span:
    """Read seconds (0 … 600) or `"N beats"`, `"N bars"`."""
    if isinstance(over, str):
        match = re.fullmatch(r"\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(beat|bar)s?\s*", over)
        if not match:
            raise BadControl(f'over is {shown(over)}; expected seconds, "N beats" or "N bars"')
        beats = float(match[1]) * (BEATS_PER_BAR if match[2] == "bar" else 1)
        if beats > MAX_OVER_BEATS:
            raise OutOfRange("over", over, 0, MAX_OVER_BEATS if match[2] == "beat" else MAX_OVER_BEATS / BEATS_PER_BAR)
        return Span(beats, in_beats=True)
    return Span(check_number("over", over, 0, MAX_OVER_SECONDS))


def check_is_glide(how: str | None, over: float | str | None) -> None:
    """Raises `BadControl` for a change that is to take time and to be there at once."""
    if how not in (None, "glide") and over is not None:
        raise BadControl(f"over is given with how {shown(how)}; only a glide takes time")


def _check_over(over: object) -> object:
    if over is not None:
        read_over(over)
    return over


_OVER = [
    range_schema(0, MAX_OVER_SECONDS) | {"description": "Seconds."},
    {
        "type": "string",
        "pattern": r"^[0-5]?[0-9]{1,2}(\.[0-9]{1,3})? (beat|bar)s?$",
        "description": "Beats or bars, up to 2400 beats.",
    },
]
Over = Annotated[
    float | str | None, BeforeValidator(_check_over), WithJsonSchema({"anyOf": [*_OVER, {"type": "null"}]})
]


_EVERY = re.compile(r"\s*([1-9][0-9]{0,2})\s*(beat|bar)s?\s*")
_AT_WAY_OUT = 'expected now, beat, bar, phrase, section, "N beats", "N bars", {"seconds": 12.4} or {"marker": "name"}'
_GRID_BEATS = {"now": 1, "beat": 1, "bar": BEATS_PER_BAR, "phrase": BARS_PER_PHRASE * BEATS_PER_BAR}


class Seconds(Model):
    """A position in seconds since the station opened."""

    seconds: Annotated[float, Number("at.seconds", 0, MAX_SECONDS)]
    """One that has passed, or lies too far ahead for this control, is refused."""


class AtMarker(Model):
    """The place of something that has a name: a hit or section of the timeline, or a hit or stinger that waits."""

    marker: Annotated[str, Field(min_length=1, max_length=200)] = Field(examples=["reveal"])
    """The name in the timeline, or the control's id. One that has passed is refused."""


class OnBeat(Model):
    """A beat of the music: where something that has a name lies. No client counts so."""

    beat: int


def grid_beats(at: str) -> int | None:
    """Beats from one place of a grid to the next, counted from where the section begins; None: where sections begin.

    Raises `BadControl` for a name that is no grid's.
    """
    if at == "section":
        return None
    if at in _GRID_BEATS:
        return _GRID_BEATS[at]
    match = _EVERY.fullmatch(at)
    if not match:
        raise BadControl(f"at is {shown(at)}; {_AT_WAY_OUT}")
    return int(match[1]) * (BEATS_PER_BAR if match[2] == "bar" else 1)


def _check_grid(at: object) -> object:
    if not isinstance(at, str):
        raise BadControl(f'at is {shown(at)}; expected now, beat, bar, phrase, section, "N beats" or "N bars"')
    grid_beats(at)
    return at


def _check_at(at: object) -> object:
    if isinstance(at, str):
        grid_beats(at)
    elif isinstance(at, Mapping):
        if set(at) not in ({"seconds"}, {"marker"}):
            raise BadControl(f"at is {shown(at)}; {_AT_WAY_OUT}")
        return parse(Seconds if "seconds" in at else AtMarker, at)
    elif not isinstance(at, Seconds | AtMarker | OnBeat):
        raise BadControl(f"at is {shown(at)}; {_AT_WAY_OUT}")
    return at


_Every = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^[1-9][0-9]{0,2} (beat|bar)s?$",
            "description": "The next multiple of so many beats or bars, counted from where the section begins.",
        }
    ),
]
_OnGrid = Literal["now", "beat", "bar", "phrase", "section"] | _Every
Grid = Annotated[_OnGrid, BeforeValidator(_check_grid)]
"""Where something is asked to happen whenever it happens."""
At = Annotated[_OnGrid | Seconds | AtMarker | SkipJsonSchema[OnBeat], BeforeValidator(_check_at)]
"""Where something is asked to happen."""


def parse(model: type[_M], obj: object) -> _M:
    """Read a message. Raises `BadControl`, and what the model's own checks raise."""
    if not isinstance(obj, Mapping):
        raise BadControl(f"body is {shown(obj)}; expected an object")
    try:
        return model.model_validate(dict(obj))
    except ValidationError as error:
        raise _named(error, model) from None


def parse_part(model: type[_M], obj: object, where: str) -> _M:
    """Read a part of a message; what is wrong in it is told with `where` it is. Raises `BadControl`."""
    if isinstance(obj, model):
        return obj
    if not isinstance(obj, Mapping):
        raise BadControl(f"{where} is {shown(obj)}; expected an object")
    try:
        return parse(model, obj)
    except MoodsError as error:
        raise BadControl(f"{where}: {error}") from None


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
        unknown, known = row["loc"][-1], (MoodFields if "set" in row["loc"] else model).model_fields
        names = [field.alias or name for name, field in known.items()]
        near = nearest(str(unknown), names)
        way_out = f"nearest: {', '.join(near)}" if near else f"expected {', '.join(names)}"
        return BadControl(f"{shown(unknown)} is not a field here; {way_out}")
    if row["type"] == "missing":
        return BadControl(f"{field} is missing")
    if row["type"] in ("model_type", "dict_type"):
        return BadControl(f"{field} is {shown(row['input'])}; expected an object")
    text = row["msg"].replace("'", '"')  # pydantic quotes as Python does
    return BadControl(f"{field} is {shown(row['input'])}; {text[:1].lower()}{text[1:]}")
