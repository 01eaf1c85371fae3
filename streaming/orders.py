"""What a table of the settings asks of a station. In: one such as { mood = "focus", countdown = 300 }; out: controls.

Mood fields stand in it as they are and make one steer, with `over`, `at` and `how`. Other controls stand under their
types, each with a table of its fields or, where one of them says all, with that alone. Remembers nothing; any thread.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moods.control import CONTROL_TYPES, Control, parse_control
from moods.errors import BadControl, MoodsError, shown
from moods.fields import MoodFields
from moods.names import nearest

_ONE_FIELD = {
    "state": "name",
    "theme": "name",
    "stinger": "name",
    "hit": "strength",
    "duck": "gain_db",
    "volume": "gain_db",
    "section": "do",
    "transport": "do",
    "end": "how",
    "countdown": "seconds",
    "parameter": "set",
}
"""By the control's type: the field that may stand alone."""
_NO_FIELD = ("panic", "skip")
"""Controls that need none: `panic = true`."""
_SECTIONS = ("A", "B", "break", "intro")
_HOW_IT_COMES = ("over", "at", "how")
_LASTING = frozenset({"steer", "state", "theme", "parameter", "volume"})
_TYPES = frozenset(CONTROL_TYPES) & {*_ONE_FIELD, *_NO_FIELD}


@dataclass(frozen=True, slots=True)
class Order:
    """Several controls that are asked for together, in this order."""

    controls: tuple[Control, ...]

    @property
    def lasting(self) -> Order:
        """What of it says how the music is to be: not what happens once, such as a countdown."""
        return Order(tuple(control for control in self.controls if control.type in _LASTING))

    @property
    def starts(self) -> bool:
        """It is for music that plays: after an end, for music that begins again."""
        return any(control.type in ("steer", "state", "countdown") for control in self.controls)


def same_name(name: str) -> str:
    """A name of another program's, so that it is the same however it was typed."""
    return unicodedata.normalize("NFC", name).strip()


def read_order(table: object, where: str, *, at: str | None = None) -> Order:
    """Read a table that stands at `where` in the settings; a steer or state that says no place of its own is for `at`.

    Raises `BadControl`.
    """
    if not isinstance(table, Mapping) or not table:
        raise BadControl(f'{where} is {shown(table)}; expected a table such as {{ mood = "focus", over = "2 bars" }}')
    try:
        return Order(tuple(map(parse_control, _controls(table, at))))
    except MoodsError as error:
        raise BadControl(f"{where}: {error}") from None


def _controls(table: Mapping[str, Any], at: str | None) -> list[dict[str, Any]]:
    moods = {name: value for name, value in table.items() if name in MoodFields.model_fields}
    comes = {name: table[name] for name in _HOW_IT_COMES if name in table}
    controls = [{"type": "steer", "set": moods, **comes}] if moods else []
    for name, value in table.items():
        if name in _TYPES:
            controls.append(_control(name, value))
        elif name not in moods and name not in comes:
            known = [*MoodFields.model_fields, *_HOW_IT_COMES, *sorted(_TYPES)]
            near = nearest(name, known, 2)
            raise BadControl(f"{shown(name)} is nothing that can be asked for; nearest: {', '.join(near or known)}")
    own = next((each for each in controls if each["type"] in ("steer", "state")), None)
    if comes and own is None:
        raise BadControl(f"{next(iter(comes))} is given without a mood field or state; it says how one of those comes")
    for each in controls:
        if each["type"] == "state" and not moods:
            each.update(comes)
        if each["type"] in ("steer", "state") and at is not None:
            each.setdefault("at", at)
    return controls


def _control(kind: str, value: object) -> dict[str, Any]:
    if kind == "section" and value in _SECTIONS:
        return {"type": kind, "do": "go", "to": value}
    if kind in _NO_FIELD and value is True:
        return {"type": kind}
    if isinstance(value, Mapping) and kind != "parameter":
        return {"type": kind, **value}
    if kind in _NO_FIELD:
        raise BadControl(f"{kind} is {shown(value)}; expected true")
    return {"type": kind, _ONE_FIELD[kind]: value}
