"""Parameters at work: what they are now, and the mood fields that they drive. In: `Parameter` controls; out: glides.

Remembers the value of each parameter that has one. One thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from moods.control import Control, Parameter
from moods.fields import MoodFields
from moods.glide import NEVER, Moment
from moods.parameters import GameParameter, driven_by, read_values
from moods.part import Change, Edge, Lent, Pending, joined
from moods.ramps import Ramps


class Driving:
    """Implements `moods.part.Part`: fields follow the parameters that drive them."""

    name = "parameters"

    def __init__(self, ramps: Ramps, parameters: Mapping[str, GameParameter]) -> None:
        self._ramps, self._parameters = ramps, parameters
        self.values = {name: each.default for name, each in parameters.items() if each.default is not None}
        """Of the parameters that have one; what was asked for since and moved nothing is not among them."""

    def drives(self, field: str) -> bool:
        """Is there a parameter that drives the field?"""
        return any(curve.field == field for each in self._parameters.values() for curve in each.to)

    def driven(self, fields: MoodFields) -> MoodFields:
        """Mood fields with what the parameters say of them."""
        return driven_by(fields, self.values, self._parameters)

    def apply(self, control: Control, edge: Edge) -> Change | None:
        """Let the fields follow; None where no value has moved enough to be followed."""
        if not isinstance(control, Parameter):
            return None
        asked = read_values(control.set, self._parameters)
        moved = {name: value for name, value in asked.items()
                 if self._parameters[name].is_moved(self.values.get(name), value)}  # fmt: skip
        self.values |= moved
        changes: list[Change] = []
        for name, value in moved.items():
            fields = driven_by(MoodFields(), {name: value}, self._parameters)
            change = self._ramps.drive(fields, self._parameters[name].smooth, edge)
            changes += [] if change is None else [change]
        return joined(changes)

    def replan(self, edge: Edge) -> Change | None:
        return None

    def lend(self, lent: Lent, at: Moment) -> None:
        """Nothing: what tracks hold, the course says."""

    def holds_until(self, at: Moment) -> int:
        return NEVER

    def pending(self, frame: int) -> Iterator[Pending]:
        return iter(())  # what is to come of it the tracks say

    def forget_before(self, at: Moment) -> None:
        """Nothing: there is one value of each."""

    def snapshot(self) -> dict[str, Any]:
        return dict(self.values)

    def restore(self, snapshot: dict[str, Any]) -> None:
        self.values = dict(snapshot)
