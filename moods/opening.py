"""What a station begins with, and what may be changed of it. In: JSON values; out: checked objects. Any thread."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from moods.control import Steer
from moods.errors import BadControl, shown
from moods.fields import SEED_SCHEMA, Absent, MoodFields, check_seed, parse
from moods.stinger import Stingers
from moods.theme import Themes, find_theme
from moods.timeline import Timeline

_Label = Annotated[str, Field(max_length=200)]


class Opening(MoodFields):
    """What a station begins with; a field left out is decided by the mood, the mood itself is then `healing`."""

    seed: Annotated[int, BeforeValidator(check_seed), WithJsonSchema(SEED_SCHEMA)] | None = None
    """Same seed, same controls: same music. Null or left out: a new one."""
    name: _Label | None = Field(default=None, examples=["desk"])
    """What people call it; null or left out: its id."""
    timeline: Timeline | Absent = None
    """A piece of a known length instead of music without end; it says the mood itself."""
    themes: Themes = Field(default={}, examples=[{"hero": {"notes": [{"pitch": "D4", "at": 0}], "key": "D minor"}}])
    """Melodies that the lead plays where a `theme` asks for one of them by its name."""
    theme: Annotated[str, Field(max_length=60)] | None = None
    """The one of them that is played from the beginning."""
    stingers: Stingers = Field(default={}, examples=[{"coin": {"notes": [{"pitch": "B5", "at": 0}], "key": "E major"}}])
    """Figures of up to two bars beside those that GET /v1/moods lists; of the same name these are meant."""

    @property
    def chosen_seed(self) -> int | None:
        """The seed said here or in the timeline."""
        return self.timeline.seed if self.seed is None and self.timeline is not None else self.seed

    @model_validator(mode="after")
    def _said_once(self) -> Opening:
        others = sorted(self.model_fields_set & MoodFields.model_fields.keys())
        if self.timeline is not None and others:
            raise BadControl(f"{others[0]} and timeline are both given; say {others[0]} in the timeline")
        return self

    @model_validator(mode="after")
    def _known_theme(self) -> Opening:
        if self.theme is not None:
            find_theme(self.theme, self.themes)
        return self


class Changes(MoodFields):
    """What is to change in a station: mood fields, as by a `steer`, and its name."""

    name: _Label | None = Field(default=None, examples=["stage"])
    """What people call it; null: its id."""

    def steer(self) -> Steer | None:
        """The steer that the mood fields are; None where only the name is to change."""
        return Steer(set=self) if self.model_fields_set - {"name"} else None


def parse_opening(obj: object) -> Opening:
    """Read the body of POST /v1/stations. Raises like `parse_control`."""
    return parse(Opening, _object(obj))


def parse_changes(obj: object) -> Changes:
    """Read the body of PATCH /v1/stations/{id}. Raises like `parse_control`."""
    return parse(Changes, _object(obj))


def _object(obj: object) -> Mapping[str, Any]:
    if not isinstance(obj, Mapping):
        raise BadControl(f"body is {shown(obj)}; expected an object of mood fields")
    return obj
