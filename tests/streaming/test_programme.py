"""A programme goes by the clock on the wall, in any time zone; somebody's wish counts until its next turn."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from streaming.config import Config
from streaming.errors import BadConfig
from streaming.programme.door import ProgrammeDoor
from streaming.programme.schedule import Schedule, read_schedule
from tests.streaming.conftest import SINES, Running
from tests.streaming.test_engines import wait_until

DAY = [{"from": "06:00", "mood": "focus"}, {"from": "12:30", "mood": "sport", "days": "mon-fri"},
       {"from": "22:00", "mood": "night", "over": "8 bars"}]  # fmt: skip


def berlin(*when: int) -> datetime:
    return datetime(*when, tzinfo=ZoneInfo("Europe/Berlin"))  # type: ignore[misc, arg-type]


def schedule(*tables: dict[str, Any], zone: str = "Europe/Berlin") -> Schedule:
    return read_schedule(tables or DAY, zone)


def mood_on(programme: Schedule, now: datetime) -> Any:
    turn = programme.on("main", now)
    return None if turn is None else turn.entry.asks["mood"]


def begins(programme: Schedule, now: datetime) -> str:
    turn = programme.next("main", now)
    assert turn is not None
    return turn.begins.astimezone(programme.zone).isoformat(timespec="minutes")


def test_the_entry_that_began_last_is_on_also_over_midnight() -> None:
    programme = schedule()
    assert mood_on(programme, berlin(2026, 11, 27, 5, 59)) == "night"  # a Friday
    assert mood_on(programme, berlin(2026, 11, 27, 6)) == "focus"
    assert mood_on(programme, berlin(2026, 11, 27, 12, 30)) == "sport"
    assert mood_on(programme, berlin(2026, 11, 28, 12, 30)) == "focus"
    assert begins(programme, berlin(2026, 11, 28, 6)) == "2026-11-28T22:00+01:00"
    assert programme.on("other", berlin(2026, 11, 28, 6)) is None


def test_days_may_be_spans_over_the_week_and_lists() -> None:
    for days in ("fri-mon", ["Friday", "sat", "sun-mon"], "fri, sat, sun, mon"):
        assert schedule({"from": "1:00", "mood": "epic", "days": days}).entries[0].days == {4, 5, 6, 0}
    once = schedule({"from": "10:00", "mood": "epic", "days": "wed"})
    assert begins(once, berlin(2026, 11, 25, 10)) == "2026-12-02T10:00+01:00"
    assert mood_on(once, berlin(2026, 12, 2, 9, 59)) == "epic"


def test_clocks_that_are_put_forward_and_back_leave_no_turn_out_and_repeat_none() -> None:
    programme = schedule({"from": "02:30", "mood": "focus"}, {"from": "12:00", "mood": "epic"})
    turn = programme.next("main", berlin(2026, 3, 29, 0))  # 2:00 is followed by 3:00
    assert turn is not None and turn.begins == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert begins(programme, turn.begins) == "2026-03-29T12:00+02:00"
    turn = programme.next("main", berlin(2026, 10, 25, 0))  # 3:00 is followed by 2:00
    assert turn is not None and turn.begins == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert begins(programme, turn.begins) == "2026-10-25T12:00+01:00"
    seen, now = set(), datetime(2026, 1, 1, tzinfo=UTC)
    while now.year == 2026:
        turn = programme.next("main", now)
        assert turn is not None and turn.begins > now and turn.id not in seen
        seen.add(turn.id)
        now = turn.begins
    assert len(seen) == 2 * 365 + 1


def test_this_machines_time_zone_counts_where_none_is_set() -> None:
    turn = schedule(zone="").next("main", datetime.now(UTC))
    assert turn is not None and turn.begins.astimezone().strftime("%H:%M") in ("06:00", "12:30", "22:00")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"mood": "epic"}, 'from is missing; expected a time of day such as "06:00"'),
        ({"from": "25:00", "mood": "epic"}, 'from is "25:00"; expected a time of day'),
        ({"from": "6:00", "days": "someday", "mood": "epic"}, 'days is "someday"; expected days such as "mon-fri"'),
        ({"from": "6:00", "days": [], "mood": "epic"}, "days is "),
        ({"from": "6:00"}, "is {}; expected a table"),
        ({"from": "6:00", "mood": "epci"}, 'unknown mood "epci"'),
        ({"from": "6:00", "mood": "epic", "station": 3}, "station is 3; a name is expected"),
    ],
)
def test_a_table_that_cannot_be_is_refused_with_its_number(table: dict[str, Any], said: str) -> None:
    with pytest.raises(BadConfig) as refused:
        Config(programme=[DAY[0], table])
    assert str(refused.value).startswith("table 2 of programme") and said in str(refused.value)
    with pytest.raises(BadConfig, match='time_zone is "Mars/Base"; expected a name such as "Europe/Berlin"'):
        Config(time_zone="Mars/Base")


@pytest.fixture
def door(server: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProgrammeDoor]:
    config = SINES.model_copy(update={"programme": tuple(DAY), "time_zone": "Europe/Berlin"})
    monkeypatch.setattr(server.conductor, "config", config)
    monkeypatch.setattr(ProgrammeDoor, "_run", _nothing)
    door = server.call(ProgrammeDoor(server.conductor).__aenter__())
    yield door
    server.call(door.__aexit__())
    server.conductor.doors.remove(door)


async def _nothing(self: ProgrammeDoor) -> None:
    """The test says what time it is."""


def keep(server: Running, door: ProgrammeDoor, now: datetime, *, is_start: bool = False) -> None:
    async def work() -> None:
        door.keep(now, is_start=is_start)

    server.call(work())


def test_a_station_has_each_turn_once_and_on_a_bar(server: Running, door: ProgrammeDoor) -> None:
    station = server.conductor.stations[server.open(name="main", bpm=240)["id"]]
    keep(server, door, berlin(2026, 11, 27, 13), is_start=True)
    wait_until(lambda: len(station.log) == 1)
    server.http.post("/v1/stations/main/controls", json={"type": "steer", "set": {"mood": "sad"}})
    for minute in range(3):
        keep(server, door, berlin(2026, 11, 27, 14, minute))
    told = server.http.get("/v1/stations/main").json()["programme"]
    assert told["now"] == {"begins": "2026-11-27T12:30:00+01:00", "asks": {"mood": "sport"}}
    assert told["next"] == {"begins": "2026-11-27T22:00:00+01:00", "asks": {"mood": "night", "over": "8 bars"}}
    keep(server, door, berlin(2026, 11, 27, 22))
    wait_until(lambda: len(station.log) == 3)
    asked = [entry.asked() for entry in station.log]
    assert [control["set"]["mood"] for control in asked] == ["sport", "sad", "night"]
    assert asked[2]["at"] == "bar" and asked[2]["by"] == "programme"
    later = ProgrammeDoor(server.conductor)  # of the server after this one
    keep(server, later, berlin(2026, 11, 27, 23), is_start=True)
    assert later._given == {station.id: asked[2]["id"]} and later._hands["main"]._waiting.empty()


def test_a_station_that_is_opened_later_follows_unless_it_has_a_mood_of_its_own(
    server: Running, door: ProgrammeDoor
) -> None:
    keep(server, door, berlin(2026, 11, 27, 13), is_start=True)
    own = server.conductor.stations[server.open(name="main", mood="epic")["id"]]
    keep(server, door, berlin(2026, 11, 27, 13, 1))
    assert door._hands["main"]._waiting.empty() and not own.log
    server.http.delete("/v1/stations/main")
    opened = server.http.post("/v1/stations", json={"name": "main"}).json()
    keep(server, door, berlin(2026, 11, 27, 13, 2))
    wait_until(lambda: len(server.conductor.stations[opened["id"]].log) == 1)


def test_what_happens_once_is_not_made_up_for(server: Running, door: ProgrammeDoor) -> None:
    door._schedule = schedule({"from": "6:00", "mood": "epic", "stinger": "reveal"})
    station = server.conductor.stations[server.open(name="main", bpm=240)["id"]]
    keep(server, door, berlin(2026, 11, 27, 6) + timedelta(hours=1), is_start=True)
    wait_until(lambda: len(station.log) == 1)
    keep(server, door, berlin(2026, 11, 28, 6, 0, 2))
    wait_until(lambda: len(station.log) == 3)
    assert [entry.asked()["type"] for entry in station.log] == ["steer", "steer", "stinger"]
