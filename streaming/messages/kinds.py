"""Kinds of values that messages are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, with_config
from pydantic_core.core_schema import CoreSchema, literal_schema
from typing_extensions import TypedDict

from moods.intent import STYLES


@dataclass(frozen=True)
class OneOf:
    """Beside str: only these."""

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return literal_schema(list(self.names))


Unit = Annotated[float, Field(ge=0, le=1)]
Valence = Annotated[float, Field(ge=-1, le=1)]
Frame = Annotated[int, Field(ge=0)]
Style = dict[Annotated[str, OneOf(STYLES)], float]
ControlId = Annotated[str, Field(max_length=128)]
RULES = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)
exact = with_config(RULES)
extensible = with_config(RULES | ConfigDict(extra="allow"))


@exact
class Place(TypedDict):
    """A position in the stream and in the music."""

    frame: Frame
    """Counted from the station's opening, 48,000 a second."""
    seconds: Annotated[float, Field(ge=0)]
    """The same in seconds."""
    bar: Annotated[int, Field(ge=1)]
    """Bars count from 1."""
    beat: Annotated[int, Field(ge=1, le=4)]
    """Beats of the bar count from 1."""
    bpm: float
    """Tempo there, beats a minute."""
