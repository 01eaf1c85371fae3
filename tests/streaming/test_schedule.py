"""What an engine decides to do next, with a made-up clock."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from engine.audio import BLOCK_SECONDS
from streaming.engines.schedule import (
    JUDGE_S,
    MOST_LEAD_S,
    Burden,
    Lead,
    Tally,
    due,
    next_behind,
    next_due_s,
    who_comes_back,
    who_gives_way,
)
from streaming.pacing import time_of

LEAST_S = 0.017


@dataclass(eq=False)
class Station:
    order: int
    due_tick: int
    since_s: float
    is_behind: bool = False
    is_heard: bool = False
    is_resting: bool = False


def turns(*due_ticks: int, **fields: bool) -> list[Station]:
    return [Station(order, tick, 0.0, **fields) for order, tick in enumerate(due_ticks)]


class Machine:
    """An engine of one station that makes a block in 2 ms, but stands still for `stop_s` every `every_s`."""

    def __init__(self, stop_s: float, every_s: float) -> None:
        self._stop_s, self._every_s = stop_s, every_s
        self.lead, self.turn, self.now_s = Lead(LEAST_S), Station(0, 10, 0.0), 0.0
        self.late_s: list[float] = []
        """When blocks came too late."""

    def run(self, until_s: float) -> None:
        while self.now_s < until_s:
            if not due([self.turn], self.lead, self.now_s):
                self._pass(next_due_s([self.turn], self.lead))
                continue
            could_begin_s = self.lead.could_begin_s(self.turn)
            self._pass(self.now_s + 0.002)
            if self.now_s > time_of(self.turn.due_tick):
                self.late_s.append(self.now_s)
            self.lead.note(self.now_s - could_begin_s, self.now_s)
            self.turn.due_tick += 1

    def _pass(self, until_s: float) -> None:
        """Time passes, in which the machine may stop."""
        stop_s = math.ceil(self.now_s / self._every_s) * self._every_s
        self.now_s = until_s + self._stop_s if self._stop_s and self.now_s <= stop_s < until_s else until_s


def test_the_lead_is_the_least_where_blocks_come_in_time() -> None:
    machine = Machine(0.0, 1.0)
    machine.run(10.0)
    assert machine.lead.seconds == LEAST_S
    assert not machine.late_s


@pytest.mark.parametrize("stop_s", [0.03, 0.06, 0.12])
def test_after_the_first_stops_no_block_is_late_any_more(stop_s: float) -> None:
    machine = Machine(stop_s, 0.7)
    machine.run(30.0)
    assert machine.late_s
    assert max(machine.late_s) < 4.0
    assert stop_s < machine.lead.seconds < MOST_LEAD_S


def test_a_higher_lead_is_not_taken_for_a_slow_block() -> None:
    machine = Machine(0.06, 0.7)
    machine.run(10.0)
    assert machine.lead.seconds == pytest.approx(0.06, abs=0.02)


def test_the_lead_falls_when_it_has_been_quiet() -> None:
    lead = Lead(LEAST_S)
    lead.note(0.08, 100.0)
    raised_s = lead.seconds
    lead.note(0.002, 119.0)
    assert lead.seconds == raised_s > 0.08
    lead.note(0.002, 121.0)
    assert lead.seconds == LEAST_S


def test_the_lead_has_a_most_and_a_configured_one_may_be_above_it() -> None:
    for least_s, most_s in ((LEAST_S, MOST_LEAD_S), (0.5, 0.5)):
        lead = Lead(least_s)
        lead.note(3.0, 0.0)
        assert lead.seconds == most_s


def test_what_is_sent_first_is_made_first_and_what_is_sent_together_is_made_together() -> None:
    lead = Lead(LEAST_S)
    late, early, also_late, behind = stations = turns(12, 10, 12, 3)
    behind.is_behind = True
    assert due(stations, lead, time_of(10) - LEAST_S - 0.001) == []
    assert next_due_s(stations, lead) == time_of(10) - LEAST_S
    assert due(stations, lead, time_of(12)) == [early]
    early.due_tick = 20
    assert due(stations, lead, time_of(12)) == [late, also_late]
    assert next_due_s([], lead) == math.inf


def test_who_is_least_behind_catches_up_first() -> None:
    stations = turns(5, 9, 9, 100)
    for station in stations[:3]:
        station.is_behind = True
    assert next_behind(stations) is stations[1]
    assert next_behind([stations[3]]) is None


def test_the_newest_that_nobody_hears_give_way_first_and_the_oldest_comes_back() -> None:
    stations = turns(0, 0, 0, 0, is_heard=True)
    stations[1].is_heard = stations[2].is_heard = False
    assert [turn.order for turn in who_gives_way(stations, 4)] == [2, 1, 3, 0]
    for station in stations[2:]:
        station.is_resting = True
    assert [turn.order for turn in who_gives_way(stations, 4)] == [1, 0]
    assert who_comes_back(stations) is stations[2]
    assert who_comes_back(stations[:2]) is None


class Day:
    """An engine that can make `fits` stations' blocks, judged over and over."""

    def __init__(self, fits: float, num_stations: int) -> None:
        self.fits, self.turns = fits, turns(*[0] * num_stations, is_heard=True)
        self.now_s = self.lag_s = 0.0
        self.burden = Burden(self.now_s)

    @property
    def num_playing(self) -> int:
        return sum(not turn.is_resting for turn in self.turns)

    def pass_s(self, seconds: float) -> int:
        """How often somebody had to give way or came back."""
        num_changes = 0
        for _ in range(round(seconds / JUDGE_S)):
            self.now_s += JUDGE_S
            tally, share = Tally(self.now_s - JUDGE_S), self.num_playing / self.fits
            self.lag_s = min(0.5, max(-MOST_LEAD_S, self.lag_s + (share - 1) * JUDGE_S))
            is_late = self.lag_s > 0
            tally.lag_s, tally.num_late, tally.num_left_out = self.lag_s, 10 * is_late, 25 * (self.lag_s == 0.5)
            tally.idle_s = 0.0 if self.lag_s > -MOST_LEAD_S else JUDGE_S * max(0.0, 1 - share)
            tally.due_s = JUDGE_S - tally.idle_s
            tally.num_blocks = round((self.fits if is_late else self.num_playing) * JUDGE_S / BLOCK_SECONDS)
            number = self.burden.judge(tally, MOST_LEAD_S, self.turns, self.now_s)
            if number > 0:
                for turn in who_gives_way(self.turns, number):
                    turn.is_resting = True
            elif number < 0 and (turn := who_comes_back(self.turns)) is not None:
                turn.is_resting = False
            num_changes += number != 0
        return num_changes


def test_an_overload_that_lasts_is_ended_within_two_seconds_and_stays_ended() -> None:
    day = Day(fits=20.0, num_stations=26)
    day.pass_s(2.0)
    assert 16 <= day.num_playing <= 20
    assert day.pass_s(300.0) <= 4


def test_a_moment_of_overload_makes_nobody_give_way() -> None:
    day = Day(fits=20.0, num_stations=26)
    day.pass_s(JUDGE_S)
    day.fits = 40.0
    day.pass_s(60.0)
    assert day.num_playing == 26


def test_who_gave_way_comes_back_when_there_is_room() -> None:
    day = Day(fits=10.0, num_stations=20)
    day.pass_s(10.0)
    assert day.num_playing <= 10
    day.fits = 40.0
    day.pass_s(120.0)
    assert day.num_playing == 20


def test_the_last_station_never_gives_way() -> None:
    day = Day(fits=0.5, num_stations=3)
    day.pass_s(30.0)
    assert day.num_playing == 1
