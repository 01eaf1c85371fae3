"""The messages of the Lyria RealTime protocol (BidiGenerateMusic). In: JSON of a client; out: what it asks, checked,
and the JSON of a server. Remembers nothing; any thread.

Read as protobuf's JSON is: names in either casing, numbers also as texts, fields nobody knows left out. Numbers beyond
their range are taken as the nearest that is allowed, where they are used; they are told back as they came.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from engine.audio import CHANNELS, SAMPLE_RATE
from moods.errors import shown
from moods.names import nearest
from streaming.errors import BadMessage, StreamingError
from streaming.reading import parse_json

MIME_TYPE = f"audio/l16;rate={SAMPLE_RATE};channels={CHANNELS}"
MAX_PROMPTS = 64
SETUP_COMPLETE = '{"setupComplete":{}}'

_Name = TypeVar("_Name", bound=StrEnum)


class Playback(StrEnum):
    UNSPECIFIED = "PLAYBACK_CONTROL_UNSPECIFIED"
    PLAY = "PLAY"
    PAUSE = "PAUSE"
    STOP = "STOP"
    RESET_CONTEXT = "RESET_CONTEXT"


class Mode(StrEnum):
    UNSPECIFIED = "MUSIC_GENERATION_MODE_UNSPECIFIED"
    QUALITY = "QUALITY"
    DIVERSITY = "DIVERSITY"
    VOCALIZATION = "VOCALIZATION"


class Scale(StrEnum):
    """A major key and its relative minor, which are one here."""

    UNSPECIFIED = "SCALE_UNSPECIFIED"
    C = "C_MAJOR_A_MINOR"
    D_FLAT = "D_FLAT_MAJOR_B_FLAT_MINOR"
    D = "D_MAJOR_B_MINOR"
    E_FLAT = "E_FLAT_MAJOR_C_MINOR"
    E = "E_MAJOR_D_FLAT_MINOR"
    F = "F_MAJOR_D_MINOR"
    G_FLAT = "G_FLAT_MAJOR_E_FLAT_MINOR"
    G = "G_MAJOR_E_MINOR"
    A_FLAT = "A_FLAT_MAJOR_F_MINOR"
    A = "A_MAJOR_G_FLAT_MINOR"
    B_FLAT = "B_FLAT_MAJOR_G_MINOR"
    B = "B_MAJOR_A_FLAT_MINOR"

    @property
    def keys(self) -> tuple[str, str]:
        """The major and the minor key, as mood fields have them."""
        major, _, rest = self.value.partition("_MAJOR_")
        return f"{_tonic(major)} major", f"{_tonic(rest.removesuffix('_MINOR'))} minor"


def _tonic(name: str) -> str:
    return name.replace("_FLAT", "b")


class _Message(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    def told(self) -> dict[str, Any]:
        """As it came, in the protocol's own casing."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("input should be a number")
    return value


_Float = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]
_Int = Annotated[int, BeforeValidator(_no_bool)]


class WeightedPrompt(_Message):
    text: str = Field("", max_length=2000)
    weight: _Float | None = None
    """Left out: 1. Below 0 it leads away; 0 says nothing."""


class MusicConfig(_Message):
    """What was left out has its default, whatever was set before."""

    temperature: _Float | None = None
    top_k: _Int | None = None
    seed: _Int | None = None
    guidance: _Float | None = None
    bpm: _Int | None = None
    density: _Float | None = None
    brightness: _Float | None = None
    scale: Scale | None = None
    mute_bass: bool | None = None
    mute_drums: bool | None = None
    only_bass_and_drums: bool | None = None
    music_generation_mode: Mode | None = None

    @field_validator("scale", mode="before")
    @classmethod
    def _known_scale(cls, name: object) -> object:
        return _named(Scale, name)

    @field_validator("music_generation_mode", mode="before")
    @classmethod
    def _known_mode(cls, name: object) -> object:
        return _named(Mode, name)


class _ClientContent(_Message):
    weighted_prompts: tuple[WeightedPrompt, ...] = Field((), max_length=MAX_PROMPTS)


class Setup(_Message):
    model: str = ""


class _ClientMessage(_Message):
    setup: Setup | None = None
    client_content: _ClientContent | None = None
    music_generation_config: MusicConfig | None = None
    playback_control: Playback | None = None

    @field_validator("playback_control", mode="before")
    @classmethod
    def _known_control(cls, name: object) -> object:
        return _named(Playback, name)


Prompts = tuple[WeightedPrompt, ...]
Asked = Setup | Prompts | MusicConfig | Playback
"""What a message asks for: one of these."""


def _named(names: type[_Name], value: object) -> object:
    if value is None or isinstance(value, str) and value in names.__members__.values():
        return value
    near = nearest(str(value), list(names), 2) or list(names)
    raise ValueError(f"expected {' or '.join(near)}" if len(near) < 3 else f"expected one of {', '.join(near)}")


def read(text: str | bytes) -> list[Asked]:
    """What a client asks, in the order in which it is to be done. Raises `BadMessage`."""
    try:
        message = parse_json(text)
    except StreamingError as error:
        raise BadMessage(error.detail) from error
    known = [to_camel(name) for name in _ClientMessage.model_fields]
    if not isinstance(message, Mapping):
        raise BadMessage(f"{shown(message, 40)} is no object with one of {', '.join(known)}")
    try:
        read = _ClientMessage.model_validate(message)
    except ValidationError as error:
        raise _bad(error) from None
    content = read.client_content
    prompts = None if content is None else content.weighted_prompts
    found = (read.setup, prompts, read.music_generation_config, read.playback_control)
    asked: list[Asked] = [each for each in found if each is not None]
    if not asked:
        given = str(next(iter(message), ""))
        raise BadMessage(f"{shown(given, 40)} is not known; expected {' or '.join(nearest(given, known) or known)}")
    return asked


def _bad(error: ValidationError) -> BadMessage:
    row = error.errors(include_url=False)[0]
    field = ".".join(str(part) if isinstance(part, int) else to_camel(part) for part in row["loc"])
    text = row["msg"].removeprefix("Value error, ").replace("'", '"')
    return BadMessage(f"{field} is {shown(row['input'], 40)}; {text[:1].lower()}{text[1:]}")


def chunk(samples: bytes, prompts: Prompts, config: MusicConfig, place: Mapping[str, Any]) -> str:
    """Interleaved s16le and what it was made from, one chunk a message; `place` is read by clients that know us."""
    source: dict[str, Any] = {"musicGenerationConfig": config.told()}
    source["clientContent"] = {"weightedPrompts": [prompt.told() for prompt in prompts]}
    told = {"data": base64.b64encode(samples).decode(), "mimeType": MIME_TYPE, "sourceMetadata": source}
    return json.dumps({"serverContent": {"audioChunks": [{**told, "undersong": place}]}}, ensure_ascii=False)


def clamped(value: float, low: float, high: float) -> float:
    """The nearest number that is allowed."""
    assert not math.isnan(value)
    return min(high, max(low, value))
