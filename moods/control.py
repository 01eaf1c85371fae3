"""The controls that clients send. In: JSON values; out: checked `Control` objects. Remembers nothing; any thread.

A control is read once, where it arrives, and travels as it was read: names found, the prompt understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from moods.errors import BadControl, shown
from moods.fields import (
    Absent,
    At,
    By,
    Id,
    Model,
    MoodFields,
    Number,
    Over,
    Seconds,
    check_is_glide,
    check_number,
    parse,
    range_schema,
    read_over,
    tidy,
)
from moods.glide import Span
from moods.names import nearest

DUCK_GAIN_DB = (-120.0, 0.0)
VOLUME_DB = (-60.0, 6.0)
VOLUME_STEP_DB = (-24.0, 24.0)
SLOW_RATE = (0.25, 1.0)
COUNTDOWN_S = (1, 3600)
RING_S = (0, 8)
PARAMETER = (-1e9, 1e9)


def _type_is_required(schema: dict[str, Any]) -> None:
    tidy(schema)
    schema["properties"]["type"].pop("default")
    schema["required"] = ["type", *schema.get("required", ())]


class _Typed(Model):
    model_config = ConfigDict(json_schema_extra=_type_is_required)

    type: str

    def asked(self) -> dict[str, Any]:
        return {"type": self.type} | super().asked()


class _Control(_Typed):
    is_about_music: ClassVar[bool] = True
    """Not only about how loud, or whether, it is heard."""

    id: Id | None = None
    """Comes back in the answer, and names the control for `cancel`."""
    by: By | None = Field(default=None, examples=["Anna"])
    """Who asked, for others to read. Null or left out: nobody is named."""

    @property
    def wish(self) -> str | None:
        """What of the music was asked for, in words; None where it is only how loud, or whether, it is heard."""
        return self.type if self.is_about_music else None


class _AtOnce(_Control):
    is_about_music: ClassVar[bool] = False

    at: Literal["now"] = "now"
    """It is done at once."""


def _only_a_glide_takes_time(schema: dict[str, Any]) -> None:
    _type_is_required(schema)
    schema["anyOf"] = [{"properties": {"how": {"enum": ["glide", None]}}}, {"properties": {"over": {"type": "null"}}}]


class Steer(_Control):
    """Change mood fields: glide to a new point in mood space, or cut to it."""

    model_config = ConfigDict(json_schema_extra=_only_a_glide_takes_time)

    type: Literal["steer"] = "steer"
    set: MoodFields
    over: Over = Field(default=None, examples=["2 bars"])
    """How long the change takes; null or left out: as is natural for each field."""
    at: At | None = Field(default=None, examples=["bar"])
    """Where it begins; in seconds: colour exactly there, notes from the next beat on. Null or left out: each field
    where it may."""
    how: Literal["glide", "cut", "bridge"] = Field(default="glide", examples=["cut"])
    """Glide: each field on its own way. Cut: all at once at `at`, or the next bar, tempo, key and style too; a fill
    leads there, a hit marks it, and a section begins. Bridge: so too, after a bar that leads over."""

    @model_validator(mode="after")
    def _takes_no_time(self) -> Steer:
        check_is_glide(self.how, self.over)
        return self

    @property
    def span(self) -> Span | None:
        return None if self.over is None else read_over(self.over)

    @property
    def wish(self) -> str:
        named = self.set.asked()
        words = [f"{name} {value:g}" if isinstance(value, float) else name for name, value in named.items()]
        return self.set.mood or self.set.prompt or ", ".join(words) or self.type


class End(_Control):
    """End the music."""

    type: Literal["end"] = "end"
    how: Literal["cadence", "ring", "fade", "stop", "loop"] = "cadence"
    """A cadence and its last chord; a last chord that rings; a fade of 4 s; a stop within 40 ms; a cut on the bar line,
    as a loop wants it."""
    at: At | None = Field(default=None, examples=["phrase"])
    """Where it begins; in seconds: where all sound is over. Null or left out: where it is natural for `how`."""

    @property
    def seconds(self) -> float | None:
        return self.at.seconds if isinstance(self.at, Seconds) else None


class Countdown(_AtOnce):
    """End the music exactly when a countdown reaches 0:00. It runs on while the music is paused."""

    type: Literal["countdown"] = "countdown"
    seconds: Annotated[float, Number("seconds", *COUNTDOWN_S)] = Field(examples=[300])
    """How long it runs from now on. A later one takes its place."""
    ending: Literal["cadence", "ring", "fade", "stop"] = "cadence"
    """As `how` of `end`; where no time is left for a last chord, the music fades."""
    ring_s: Annotated[float, Number("ring_s", *RING_S)] = 0.0
    """How long after 0:00 the last chord, struck no later than that, is heard; 0: it is silent at 0:00."""
    then: Literal["silence", "go on"] = "silence"
    """Silence, until `transport` plays the music from its beginning; or the music goes on, with the first bar that
    begins a moment after the end."""


def _with_its_own(schema: dict[str, Any], do: str, field: str, **others: Any) -> None:
    """Of the values of `do` one has a field that it needs and the others may not have."""
    _type_is_required(schema)
    rest = [each for each in schema["properties"]["do"]["enum"] if each != do]
    schema["anyOf"] = [
        {"required": [field], "properties": {"do": {"const": do}}},
        {"not": {"required": [field]}, "properties": {"do": {"enum": rest}, **others}},
    ]


def _go_has_a_name(schema: dict[str, Any]) -> None:
    _with_its_own(schema, "go", "to")


class Section(_Control):
    """Let a section begin, stay or end."""

    model_config = ConfigDict(json_schema_extra=_go_has_a_name)

    type: Literal["section"] = "section"
    do: Literal["next", "stay", "go", "leave"]
    """Next: the section that follows begins. Stay: the one that sounds goes on until next, go or leave. Go: a section
    of the name `to` begins. Leave: a section that stays ends where its length comes round."""
    to: Literal["A", "B", "break", "intro"] | Absent = None
    """Of `go` alone."""
    at: At = "bar"
    """Where."""

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Section:
        if (self.do == "go") != (self.to is not None):
            raise BadControl(
                "to is missing; expected A, B, break or intro"
                if self.do == "go"
                else f"to is given with do {shown(self.do)}; only go goes to a section"
            )
        return self


class SkipPiece(_Control):
    """Let another piece begin in the same mood: other tunes and chords, the form from its beginning, another band, and,
    where none is fixed, a neighbouring key and another tempo. A fill leads there."""

    type: Literal["skip"] = "skip"
    at: At = "bar"
    """Where."""


def _place_asked(at: At) -> object:
    return at if isinstance(at, str) else at.asked()


def _slow_has_a_rate(schema: dict[str, Any]) -> None:
    _with_its_own(schema, "slow", "rate", over={"type": "null"})


class Transport(_Control):
    """Play, pause, start the same music again, or play it in slow motion."""

    model_config = ConfigDict(json_schema_extra=_slow_has_a_rate)
    is_about_music: ClassVar[bool] = False

    type: Literal["transport"] = "transport"
    do: Literal["play", "pause", "restart", "slow"]
    rate: Annotated[float, Number("rate", *SLOW_RATE)] | Absent = None
    """Of `slow` alone: the tempo is multiplied by it, and the sound grows dull and soft with it; 1 gives all back."""
    over: Over = None
    """Of `slow` alone: how long the change takes."""
    at: At = Field(default="now", examples=["bar"])
    """Where. Play is always now: no bar comes while the music stands."""

    @model_validator(mode="after")
    def _has_a_rate(self) -> Transport:
        low, high = SLOW_RATE
        if self.do == "slow" and self.rate is None:
            raise BadControl(f"rate is missing; expected a number {low:g} … {high:g}")
        if self.do != "slow" and (self.rate is not None or self.over is not None):
            field = "rate" if self.rate is not None else "over"
            raise BadControl(f"{field} is given with do {shown(self.do)}; only slow has it")
        if self.do == "play" and self.at != "now":
            raise BadControl(
                f'at is {shown(_place_asked(self.at))}; play is always "now": no bar comes while music stands'
            )
        return self

    @property
    def span(self) -> Span:
        return read_over(0 if self.over is None else self.over)


class Panic(_AtOnce):
    """Instant, click-free silence, until `transport` plays again."""

    type: Literal["panic"] = "panic"


def _gain_or_voice(schema: dict[str, Any]) -> None:
    _type_is_required(schema)
    gain = {"required": ["gain_db"], "properties": {"gain_db": {"type": "number"}}}
    schema["anyOf"] = [gain, {"required": ["voice"]}]


class Duck(_Control):
    """Lower the level under speech, or make room for a voice; of `gain_db` and `voice` one is needed."""

    model_config = ConfigDict(json_schema_extra=_gain_or_voice)
    is_about_music: ClassVar[bool] = False

    type: Literal["duck"] = "duck"
    gain_db: Annotated[float, Number("gain_db", *DUCK_GAIN_DB)] | None = Field(default=None, examples=[-9])
    """0 gives the level back; null or left out: it stays as it is."""
    voice: bool | Absent = None
    """True takes 1–4 kHz back in the middle, false gives them back; left out, it stays as it is."""
    over: Over = 0.2
    """How long the change takes."""
    at: At = "now"
    """Where it begins."""

    @field_validator("voice", mode="before")
    @classmethod
    def _true_or_false(cls, voice: object) -> object:
        if not isinstance(voice, bool):
            raise BadControl(f"voice is {shown(voice)}; expected true or false")
        return voice

    @model_validator(mode="after")
    def _says_something(self) -> Duck:
        if self.gain_db is None and self.voice is None:
            raise BadControl("gain_db is missing, and so is voice; expected one of them")
        return self

    @property
    def span(self) -> Span:
        return read_over(0.2 if self.over is None else self.over)


def _gain_or_step(schema: dict[str, Any]) -> None:
    _type_is_required(schema)
    schema["oneOf"] = [{"required": [name], "properties": {name: {"type": "number"}}} for name in ("gain_db", "by_db")]


class Volume(_Control):
    """Set the station's lasting level, beside which `duck` comes and goes; of `gain_db` and `by_db` one is needed."""

    model_config = ConfigDict(json_schema_extra=_gain_or_step)
    is_about_music: ClassVar[bool] = False

    type: Literal["volume"] = "volume"
    gain_db: Annotated[float, Number("gain_db", *VOLUME_DB)] | None = Field(default=None, examples=[-6])
    """0 is the level at which the station was opened."""
    by_db: Annotated[float, Number("by_db", *VOLUME_STEP_DB)] | None = None
    """So much more or less than what the level is or is on its way to, as far as `gain_db` goes."""
    over: Over = 0.2
    """How long the change takes."""
    at: At = "now"
    """Where it begins."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Volume:
        if (self.gain_db is None) == (self.by_db is None):
            how_many = "gain_db is missing, and so is by_db" if self.gain_db is None else "gain_db and by_db are given"
            raise BadControl(f"{how_many}; expected one of them")
        return self

    @property
    def span(self) -> Span:
        return read_over(0.2 if self.over is None else self.over)


def _target_or_id(schema: dict[str, Any]) -> None:
    _type_is_required(schema)
    schema["anyOf"] = [
        {"required": ["target"], "properties": {"target": {"type": "string"}}},
        {"required": ["id"], "properties": {"id": {"type": "string"}}},
    ]


class Cancel(_AtOnce):
    """Take back a control that has not begun to take effect."""

    model_config = ConfigDict(json_schema_extra=_target_or_id)

    type: Literal["cancel"] = "cancel"
    target: Id | None = Field(default=None, examples=["c1"])
    """The id of that control. Null or left out: `id` is that of the control to take back."""

    @model_validator(mode="after")
    def _names_one(self) -> Cancel:
        if self.target is None and self.id is None:
            raise BadControl("target is missing; expected the id of a control that waits")
        return self

    @property
    def cancelled(self) -> str:
        """The id of the control to take back."""
        return self.target if self.target is not None else str(self.id)


class Hit(_Control):
    """An accent that all layers strike together: now, over what sounds; or later, with a pickup and a cut after it."""

    type: Literal["hit"] = "hit"
    at: At = Field(default="beat", examples=["bar"])
    """Where it sounds; now: at once, over what sounds; in seconds: exactly there, between beats if need be."""
    strength: Annotated[float, Number("strength", 0, 1)] = Field(default=1.0, examples=[0.8])


class Stinger(_Control):
    """A short named figure over the music, in the key and chord of the moment."""

    type: Literal["stinger"] = "stinger"
    name: Annotated[str, Field(min_length=1, max_length=64)] = Field(examples=["reveal"])
    """One of the `stingers` that the station was opened with, or of those that GET /v1/moods lists, by its English or
    Chinese name."""
    at: At = "beat"
    """Where it sounds; now: at once, over what sounds."""

    @property
    def wish(self) -> str:
        return self.name


class Theme(_Control):
    """Let the lead play a theme of the station; it comes back with the sections that follow, until another is asked."""

    type: Literal["theme"] = "theme"
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(examples=["hero"])
    """One of the `themes` that the station was opened with; null: none from there on."""
    at: At = "bar"
    """Where it begins; now: with the next beat."""

    @property
    def wish(self) -> str:
        return self.name or self.type


class State(_Control):
    """Go to a state of the station, as its transitions say."""

    model_config = ConfigDict(json_schema_extra=_only_a_glide_takes_time)

    type: Literal["state"] = "state"
    name: Annotated[str, Field(min_length=1, max_length=100)] = Field(examples=["combat"])
    """One of the station's states, or `previous`: the one before."""
    at: At | None = None
    """Null or left out: as the transition says; so are `over` and `how`."""
    over: Over = None
    how: Literal["glide", "cut", "bridge"] | None = None

    @model_validator(mode="after")
    def _takes_no_time(self) -> State:
        check_is_glide(self.how, self.over)
        return self

    @property
    def span(self) -> Span | None:
        return None if self.over is None else read_over(self.over)

    @property
    def wish(self) -> str:
        return self.name


class Parameter(_AtOnce):
    """Set parameters of the station, which are mapped to mood fields."""

    type: Literal["parameter"] = "parameter"
    set: Annotated[
        dict[Annotated[str, Field(max_length=100)], float],
        Field(min_length=1),
        WithJsonSchema(
            {
                "type": "object",
                "minProperties": 1,
                "propertyNames": {"maxLength": 100},
                "additionalProperties": range_schema(*PARAMETER),
            }
        ),
    ] = Field(examples=[{"danger": 0.7}])
    """New values by the parameters' names."""

    @field_validator("set", mode="before")
    @classmethod
    def _numbers(cls, values: object) -> object:
        if not isinstance(values, Mapping) or not values:
            raise BadControl(f'set is {shown(values)}; expected for example {{"danger": 0.7}}')
        return {name: check_number(f"set.{name}", value, *PARAMETER) for name, value in values.items()}


Control = Annotated[
    Steer
    | State
    | Parameter
    | Section
    | SkipPiece
    | End
    | Countdown
    | Transport
    | Panic
    | Duck
    | Volume
    | Cancel
    | Hit
    | Stinger
    | Theme,
    Field(discriminator="type"),
]

_MODELS: dict[str, type[BaseModel]] = {
    "steer": Steer, "state": State, "parameter": Parameter, "section": Section, "skip": SkipPiece, "end": End,
    "countdown": Countdown, "transport": Transport, "panic": Panic, "duck": Duck, "volume": Volume, "cancel": Cancel,
    "hit": Hit, "stinger": Stinger, "theme": Theme,
}  # fmt: skip

CONTROL_TYPES = tuple(_MODELS)


def parse_control(obj: object) -> Control:
    """Read one control. Raises `UnknownName`, `OutOfRange` or `BadControl`."""
    if not isinstance(obj, Mapping):
        raise BadControl(f'control is {shown(obj)}; expected an object with "type"')
    kind, way_out = obj.get("type"), f"expected one of {', '.join(_MODELS)}"
    if kind is None:
        raise BadControl(f"type is missing; {way_out}")
    if not isinstance(kind, str) or kind not in _MODELS:
        near = nearest(str(kind), _MODELS, 1)
        raise BadControl(f"type is {shown(kind)}; {way_out}{f'; nearest: {near[0]}' if near else ''}")
    return parse(_MODELS[kind], obj)  # type: ignore[return-value]
