"""What a station begins with, and what may be changed of it. In: JSON values; out: checked objects. Any thread."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from moods.autopilot import Autopilot
from moods.control import Steer
from moods.errors import BadControl, shown
from moods.fields import SEED_SCHEMA, Absent, Model, MoodFields, check_prompts, check_seed, parse, parse_part
from moods.parameters import driven_by
from moods.states import StateMatrix, StateTables
from moods.theme import Melodies, find_theme
from moods.timeline import Timeline

_NAME = re.compile("[A-Za-z0-9_-]{1,64}")
_TABLES = StateTables.model_fields.keys() - Melodies.model_fields.keys()
"""What no timeline goes with."""


def _check_name(name: object) -> object:
    """Raises `BadControl`: a name is part of addresses."""
    if isinstance(name, str) and not _NAME.fullmatch(name):
        raise BadControl(f"name is {shown(name, 40)}; allowed are 1 … 64 of the letters A-Z and a-z, digits, - and _")
    return name


def _read_autopilot(autopilot: object) -> object:
    return None if autopilot is None else parse_part(Autopilot, autopilot, "autopilot")


_Name = Annotated[str, Field(pattern=f"^{_NAME.pattern}$"), BeforeValidator(_check_name)]


class Opening(MoodFields, StateTables):
    """What a station begins with; a field left out is decided by the mood, the mood itself is then `healing`."""

    seed: Annotated[int, BeforeValidator(check_seed), WithJsonSchema(SEED_SCHEMA)] | None = None
    """Same seed, same controls: same music. Null or left out: a new one."""
    name: _Name | None = Field(default=None, examples=["desk"])
    """Its address beside its id, which no other station has; one that has a name is not closed when nobody listens."""
    timeline: Timeline | Absent = None
    """A piece of a known length instead of music without end; it says the mood itself."""
    theme: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """The one of `themes` that is played from the beginning."""
    autopilot: Annotated[Autopilot | None, BeforeValidator(_read_autopilot)] = Field(
        default=None, examples=[{"drift": 0.5, "moods": ["focus", "night"]}]
    )
    """Lets the mood wander by itself for hours; null: it stays, and left out: as the server's settings say."""

    @property
    def chosen_seed(self) -> int | None:
        """The seed said here or in the timeline."""
        return self.timeline.seed if self.seed is None and self.timeline is not None else self.seed

    @cached_property
    def matrix(self) -> StateMatrix:
        """Its states, whole, and the passages between them."""
        return StateMatrix(self, self)

    @property
    def default_values(self) -> dict[str, float]:
        """The parameters that have a value from the beginning on."""
        return {name: each.default for name, each in self.parameters.items() if each.default is not None}

    @property
    def begun(self) -> MoodFields:
        """The mood fields it begins with: its own, those of its initial state, and what its parameters drive."""
        own = self if self.initial is None else self.matrix.fields(self.initial)
        return driven_by(own, self.default_values, self.parameters)

    @property
    def begun_theme(self) -> str | None:
        """The theme that is played from the beginning: its own, or that of its initial state."""
        initial = None if self.initial is None else self.states[self.initial]
        return self.theme if initial is None or initial.theme is None else initial.theme

    @property
    def can_be_piece(self) -> bool:
        """May a timeline take its place? It is no piece already, and nothing in it changes by itself or by states."""
        return self.timeline is None and self.autopilot is None and not self.model_fields_set & _TABLES

    def as_piece(self, seconds: float, ending: str) -> Opening:
        """The same as a piece of that length. Raises `OutOfRange` or `BadControl`."""
        asked = self.asked()
        mood = {name: asked.pop(name) for name in MoodFields.model_fields if name in asked}
        return parse_opening({**asked, "timeline": {**mood, "duration": seconds, "ending": ending}})

    @model_validator(mode="before")
    @classmethod
    def _short_enough(cls, asked: Any) -> Any:
        if isinstance(asked, Mapping) and isinstance(states := asked.get("states"), Mapping):
            check_prompts([asked, *states.values()], "station and states")
        return asked

    @model_validator(mode="after")
    def _said_once(self) -> Opening:
        others = sorted(self.model_fields_set & MoodFields.model_fields.keys())
        if self.timeline is not None and others:
            raise BadControl(f"{others[0]} and timeline are both given; say {others[0]} in the timeline")
        tables = sorted(self.model_fields_set & _TABLES)
        if self.timeline is not None and tables:
            raise BadControl(f"{tables[0]} and timeline are both given; a timeline says itself what changes where")
        if self.timeline is not None and self.autopilot is not None:
            raise BadControl("autopilot and timeline are both given; a timeline says itself what changes where")
        if self.states:
            _ = self.matrix  # its prompts are read where it arrives, and travel with it
        return self

    @model_validator(mode="after")
    def _known_theme(self) -> Opening:
        if self.theme is not None:
            find_theme(self.theme, self.themes)
        return self


class Changes(MoodFields):
    """What is to change in a station: mood fields, as by a `steer`, and its name."""

    name: _Name | None = Field(default=None, examples=["stage"])
    """Its address beside its id, which no other station has; null: its id alone."""

    def steer(self) -> Steer | None:
        """The steer that the mood fields are; None where only the name is to change."""
        return Steer(set=self) if self.model_fields_set - {"name"} else None


class Copying(Model):
    """What a copy of a station begins with."""

    name: _Name | None = Field(default=None, examples=["slot-1"])
    """The copy's own; null or left out: its id alone."""


def parse_copying(obj: object) -> Copying:
    """Read the body of POST /v1/stations/{id}/copies. Raises like `parse_control`."""
    return parse(Copying, obj)


def parse_opening(obj: object) -> Opening:
    """Read the body of POST /v1/stations. Raises like `parse_control`."""
    return parse(Opening, obj)


def parse_changes(obj: object) -> Changes:
    """Read the body of PATCH /v1/stations/{id}. Raises like `parse_control`."""
    return parse(Changes, obj)
