"""What an event of a platform does to the music. In: tables of the settings; out: actions. Remembers nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moods.errors import BadControl, shown
from moods.fields import check_number
from moods.mood import find_mood
from streaming.orders import Order, read_order

_EVERY_S = 5.0
_LONGEST_S = 86_400.0
_MOST = 1e9


@dataclass(frozen=True, slots=True)
class Action:
    """One event's: an order, or a vote for a mood."""

    order: Order | None
    vote: str | None
    least: float
    """From so many bits, or viewers of a raid, on."""
    every_s: float
    """At most so often."""


def read_action(table: object, where: str) -> Action:
    """Read a table such as { stinger = "victory", least = 10 }. Raises `BadControl`, `UnknownMood`."""
    if not isinstance(table, Mapping):
        raise BadControl(f'{where} is {shown(table)}; expected a table such as {{ stinger = "victory" }}')
    rest: dict[str, Any] = dict(table)
    least = check_number(f"{where}.least", rest.pop("least", 0), 0, _MOST)
    every_s = check_number(f"{where}.every_s", rest.pop("every_s", _EVERY_S), 0, _LONGEST_S)
    vote = rest.pop("vote", None)
    if vote is None:
        return Action(read_order(rest, where, at="bar"), None, least, every_s)
    if not isinstance(vote, str) or rest:
        raise BadControl(f"{where} has {shown(table)}; a vote is for a mood, and nothing else is beside it")
    return Action(None, find_mood(vote).name, least, every_s)
