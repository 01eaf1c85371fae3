"""The controls that clients send. In: JSON values; out: checked `Control` objects. Remembers nothing; any thread.

A control is read once, where it arrives, and travels as it was read: names found, the prompt understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from moods.errors import BadControl, shown
from moods.fields import Absent, At, Beat, Id, Model, MoodFields, Number, Over, parse, read_over, tidy
from moods.glide import Span
from moods.names import nearest

DUCK_GAIN_DB = (-120.0, 0.0)


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
    id: Id | None = None
    """Comes back in the answer, and names the control for `cancel`."""


class Steer(_Control):
    """Change mood fields: glide to a new point in mood space."""

    type: Literal["steer"] = "steer"
    set: MoodFields
    over: Over = Field(default=None, examples=["2 bars"])
    """How long the change takes; null or left out: as is natural for each field."""
    at: Beat | At | None = Field(default=None, examples=["bar"])
    """Where it begins: now, or the next beat, bar or phrase; in seconds: colour exactly there, notes from the next beat
    on. Null or left out: each field where it may."""

    @property
    def span(self) -> Span | None:
        return None if self.over is None else read_over(self.over)


class End(_Control):
    """End the music."""

    type: Literal["end"] = "end"
    how: Literal["cadence", "ring", "fade", "stop", "loop"] = "cadence"
    """A cadence and its last chord; a last chord that rings; a fade of 4 s; a stop within 40 ms; a cut on the bar line,
    as a loop wants it."""
    at: Beat | At | None = Field(default=None, examples=["phrase"])
    """Where it begins; in seconds: where all sound is over. Null or left out: where it is natural for `how`."""

    @property
    def seconds(self) -> float | None:
        return self.at.seconds if isinstance(self.at, At) else None


class Transport(_Control):
    """Play, pause, or start the same music again."""

    type: Literal["transport"] = "transport"
    do: Literal["play", "pause", "restart"]


class Panic(_Control):
    """Instant, click-free silence, until `transport` plays again."""

    type: Literal["panic"] = "panic"


def _gain_or_voice(schema: dict[str, Any]) -> None:
    _type_is_required(schema)
    gain = {"required": ["gain_db"], "properties": {"gain_db": {"type": "number"}}}
    schema["anyOf"] = [gain, {"required": ["voice"]}]


class Duck(_Control):
    """Lower the level under speech, or make room for a voice; of `gain_db` and `voice` one is needed."""

    model_config = ConfigDict(json_schema_extra=_gain_or_voice)

    type: Literal["duck"] = "duck"
    gain_db: Annotated[float, Number("gain_db", *DUCK_GAIN_DB)] | None = Field(default=None, examples=[-9])
    """0 gives the level back; null or left out: it stays as it is."""
    voice: bool | Absent = None
    """True takes 1–4 kHz back in the middle, false gives them back; left out, it stays as it is."""
    over: Over = 0.2
    """How long the change takes."""
    at: Literal["now"] | At = "now"
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


class Cancel(_Typed):
    """Take back a control that has not begun to take effect."""

    type: Literal["cancel"] = "cancel"
    id: Id = Field(examples=["c1"])
    """The id of that control."""


class Hit(_Control):
    """An accent that all layers strike together: now, over what sounds; or later, with a pickup and a cut after it."""

    type: Literal["hit"] = "hit"
    at: Literal["now", "beat", "bar"] | At = Field(default="beat", examples=["bar"])
    """Where it sounds; now: at once, over what sounds; in seconds: exactly there, between beats if need be."""
    strength: Annotated[float, Number("strength", 0, 1)] = Field(default=1.0, examples=[0.8])


class Stinger(_Control):
    """A short named figure over the music, in the key and chord of the moment."""

    type: Literal["stinger"] = "stinger"
    name: Annotated[str, Field(max_length=60)] = Field(examples=["reveal"])
    """One of the `stingers` that the station was opened with, or of those that GET /v1/moods lists, by its English or
    Chinese name."""
    at: Beat | At = "beat"
    """Where it sounds; now: at once, over what sounds."""


class Theme(_Control):
    """Let the lead play a theme of the station; it comes back with the sections that follow, until another is asked."""

    type: Literal["theme"] = "theme"
    name: Annotated[str, Field(max_length=60)] | None = Field(examples=["hero"])
    """One of the `themes` that the station was opened with; null: none from there on."""
    at: Beat | At = "bar"
    """Where it begins; now: with the next beat."""


Control = Annotated[
    Steer | End | Transport | Panic | Duck | Cancel | Hit | Stinger | Theme,
    Field(discriminator="type"),
]

_MODELS: dict[str, type[BaseModel]] = {
    "steer": Steer, "end": End, "transport": Transport, "panic": Panic, "duck": Duck,
    "cancel": Cancel, "hit": Hit, "stinger": Stinger, "theme": Theme,
}  # fmt: skip

_LATER = ("state", "section")
"""Controls of the interface that this version does not take."""


def parse_control(obj: object) -> Control:
    """Read one control. Raises `UnknownName`, `OutOfRange` or `BadControl`."""
    if not isinstance(obj, Mapping):
        raise BadControl(f'control is {shown(obj)}; expected an object with "type"')
    kind, way_out = obj.get("type"), f"expected one of {', '.join(_MODELS)}"
    if kind is None:
        raise BadControl(f"type is missing; {way_out}")
    if kind in _LATER:
        raise BadControl(f"{kind} is not available in this version; {way_out}")
    if not isinstance(kind, str) or kind not in _MODELS:
        near = nearest(str(kind), _MODELS, 1)
        raise BadControl(f"type is {shown(kind)}; {way_out}{f'; nearest: {near[0]}' if near else ''}")
    return parse(_MODELS[kind], obj)  # type: ignore[return-value]
