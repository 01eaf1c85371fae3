"""When which mood is on. In: tables of the settings; out: the entry that is on at a moment, and the next one.

Remembers nothing; any thread. Times are those of the clock on the wall, in one time zone: one that the clocks skip in
spring comes as much later as they are put forward, one that they show twice in autumn is meant the first time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from moods.errors import MoodsError, shown
from streaming.errors import BadConfig
from streaming.orders import Order, read_order

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = "|".join(_DAYS)
_SPAN = re.compile(rf"({_DAY})[a-z]*(?:\s*-\s*({_DAY})[a-z]*)?", re.IGNORECASE)
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_OWN = ("from", "days", "station")
_WEEK = timedelta(days=8)
"""What is on has begun, and what comes next begins, within so long; a day more than a week, for clocks are put back."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is asked of a station at a time of day, on some days of the week."""

    station: str
    at: time
    days: frozenset[int]
    """Monday is 0."""
    order: Order
    asks: Mapping[str, Any]
    """The same as it is written."""


@dataclass(frozen=True, slots=True)
class Turn:
    """An entry on one day."""

    entry: Entry
    begins: datetime
    """In UTC."""

    @property
    def id(self) -> str:
        """Of the controls that it asks for: in a station's log they tell that it has been carried out."""
        return f"programme {self.begins:%Y-%m-%dT%H:%MZ}"


class Schedule:
    """All entries, in one time zone; None is this machine's."""

    def __init__(self, entries: Sequence[Entry], zone: tzinfo | None) -> None:
        self.zone = zone
        self.entries = tuple(entries)

    @property
    def stations(self) -> tuple[str, ...]:
        """The names of those that have a programme."""
        return tuple(dict.fromkeys(entry.station for entry in self.entries))

    def on(self, station: str, now: datetime) -> Turn | None:
        """What is on at `now`, which knows its time zone; of two that begin together the one that is written later."""
        return max(self._turns(station, now - _WEEK, now), key=_begin_of, default=None)

    def next(self, station: str, now: datetime) -> Turn | None:
        """What comes after it."""
        after = now + timedelta(microseconds=1)
        turns = self._turns(station, after, now + _WEEK)
        return min(turns, key=lambda turn: (turn.begins, -self.entries.index(turn.entry)), default=None)

    def _turns(self, station: str, since: datetime, until: datetime) -> Iterator[Turn]:
        """What begins from `since` to `until`, both included, the later written last at any moment."""
        day = since.astimezone(self.zone).date() - timedelta(days=1)
        while day <= until.astimezone(self.zone).date() + timedelta(days=1):
            for entry in self.entries:
                if entry.station == station and day.weekday() in entry.days:
                    begins = self._moment(day, entry.at)
                    if since <= begins <= until:
                        yield Turn(entry, begins)
            day += timedelta(days=1)

    def _moment(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, self.zone).astimezone(UTC)


def _begin_of(turn: Turn) -> datetime:
    return turn.begins


def read_schedule(tables: Sequence[object], zone_name: str) -> Schedule:
    """Read the tables [[programme]]. Raises `BadConfig`."""
    try:
        zone = ZoneInfo(zone_name) if zone_name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        way_out = 'expected a name such as "Europe/Berlin", or "" for this machine\'s'
        raise BadConfig(f"time_zone is {shown(zone_name)}; {way_out}", field="time_zone") from None
    return Schedule([_read_entry(table, number) for number, table in enumerate(tables, 1)], zone)


def _read_entry(table: object, number: int) -> Entry:
    where = f"table {number} of programme"
    if not isinstance(table, Mapping):
        raise BadConfig(f"{where} is {shown(table)}; write it as a table [[programme]]", field="programme")
    station = table.get("station", "main")
    if not isinstance(station, str):
        raise BadConfig(f"{where}: station is {shown(station)}; a name is expected", field="programme")
    at, days = _read_time(table.get("from"), where), _read_days(table.get("days", "mon-sun"), where)
    asks = {name: value for name, value in table.items() if name not in _OWN}
    try:
        order = read_order(asks, where, at="bar")
    except MoodsError as error:
        raise BadConfig(str(error), field="programme") from None
    return Entry(station, at, days, order, asks)


def _read_time(text: object, where: str) -> time:
    if isinstance(text, time):  # TOML has times of its own
        return text.replace(microsecond=0)
    if isinstance(text, str) and (match := _TIME.fullmatch(text.strip())):
        return time(int(match[1]), int(match[2]))
    said = "is missing" if text is None else f"is {shown(text)}"
    raise BadConfig(f'{where}: from {said}; expected a time of day such as "06:00"', field="programme")


def _read_days(asked: object, where: str) -> frozenset[int]:
    texts = re.split(r"\s*,\s*", asked) if isinstance(asked, str) else asked
    days: set[int] = set()
    for text in texts if isinstance(texts, list | tuple) and texts else [asked]:
        match = _SPAN.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            way_out = 'expected days such as "mon-fri" or ["sat", "sun"]'
            raise BadConfig(f"{where}: days is {shown(asked)}; {way_out}", field="programme")
        first, last = (_DAYS.index(name.lower()) for name in (match[1], match[2] or match[1]))
        days |= {day % len(_DAYS) for day in range(first, last + 1 if first <= last else last + 1 + len(_DAYS))}
    return frozenset(days)
