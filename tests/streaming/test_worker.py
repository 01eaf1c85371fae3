"""The engine's loop on a made-up clock: time passes where the generator works, the loop waits, or a test says so."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.audio import BLOCK_SECONDS
from engine.generator import Made
from engine.performance import Performance, step
from engine.take import Entry, Rest, Skip, Take
from moods.control import Transport, parse_control
from moods.controller import Controller
from moods.opening import Opening
from streaming.config import Config
from streaming.engines import worker as worker_module
from streaming.engines.publisher import Publisher
from streaming.engines.ring import Ring
from streaming.engines.wire import (
    Apply,
    Close,
    GaveWay,
    Health,
    Heard,
    LeftOut,
    Open,
    Opened,
    Report,
    Resume,
    Sleep,
    Slept,
)
from streaming.engines.worker import Worker
from streaming.pacing import tick_at, time_of
from streaming.scratch import partial_path, ring_path, sleeper_path
from tests.streaming.sines import Sines

BEGAN_S = 1000.0


class Costly(Sines):
    """Sines that take time on the made-up clock; a slot's first block takes pieces of work beforehand."""

    def __init__(self, clock: Clock, slot_s: float, num_pieces: int = 0) -> None:
        super().__init__(max_slots=64)
        self._clock, self.slot_s, self._num_pieces = clock, slot_s, num_pieces
        self._missing: dict[int, int] = {}

    def open(self, slot: int, controller: Controller) -> None:
        super().open(slot, controller)
        self._missing[slot] = self._num_pieces

    def work(self, slots: Sequence[int]) -> bool:
        for slot in slots:
            if self._missing.get(slot):
                self._missing[slot] -= 1
                self._clock.now_s += 0.001
                return True
        return False

    def is_ready(self, slot: int) -> bool:
        return not self._missing.get(slot)

    def step(self, slots: Sequence[int], *, stems: bool = False, notes: bool = False) -> Made:
        self._clock.now_s += sum(self.slot_s + 0.001 * self._missing.pop(slot, 0) for slot in slots)
        return super().step(slots)


def test_of_very_much_that_comes_too_late_only_the_last_is_done() -> None:
    performance = Performance(Sines(max_slots=1), 0, Opening(mood="epic"), 1)
    steers = [parse_control({"type": "steer", "set": {"energy": index / 1000}}) for index in range(1000)]
    performance.replay(Entry(index, 100 + index, steer) for index, steer in enumerate(steers))
    skip, *done = performance.leave_out(5000)
    assert (skip.control, [entry.control for entry in done]) == (Skip(5000), steers[500:])


class Clock:
    def __init__(self) -> None:
        self.now_s = BEGAN_S

    def monotonic(self) -> float:
        return self.now_s


class Immediately:
    """A pool that does at once what it is given, in no time."""

    def __init__(self, *_: object) -> None: ...

    def submit(self, job: Callable[..., Any], *arguments: Any) -> Future[Any]:
        done: Future[Any] = Future()
        done.set_result(job(*arguments))
        return done

    def shutdown(self, wait: bool) -> None: ...


class Script:
    """The other end of the pipe: requests at their times, then the end; keeps what is reported, and when."""

    def __init__(self, clock: Clock, requests: Sequence[tuple[float, Any]], until_s: float) -> None:
        self._clock, self._requests, self._until_s = clock, deque(requests), until_s
        self.reports: list[tuple[float, Report]] = []
        self._ends = os.pipe()

    def poll(self, timeout_s: float = 0.0) -> bool:
        next_s = self._requests[0][0] if self._requests else self._until_s
        if next_s > self._clock.now_s:
            self._clock.now_s = min(next_s, self._clock.now_s + timeout_s)
        return next_s <= self._clock.now_s

    def receive(self) -> tuple[float, Any]:
        if not self._requests:
            raise EOFError
        at_s, request = self._requests.popleft()
        if callable(request):
            request()
            return at_s, Close("nobody")
        return at_s, request

    def send(self, report: Report, sent_s: float | None = None) -> None:
        self.reports.append((self._clock.now_s if sent_s is None else sent_s, report))

    def fileno(self) -> int:
        return self._ends[1]

    def close(self) -> None:
        for end in self._ends:
            os.close(end)

    def all(self, kind: type[Any]) -> list[Any]:
        return [report for _, report in self.reports if isinstance(report, kind)]

    def opened_s(self) -> dict[str, float]:
        """When each station was opened, last."""
        return {report.station: at_s for at_s, report in self.reports if isinstance(report, Opened)}


class Stage:
    """Runs a worker through a script."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.sleepers_folder, self.clock = folder, folder, Clock()
        monkeypatch.setattr(worker_module, "time", SimpleNamespace(monotonic=self.clock.monotonic))
        monkeypatch.setattr(worker_module, "ThreadPoolExecutor", Immediately)

    def play(self, generator: Costly, requests: Sequence[tuple[float, Any]], seconds: float) -> Script:
        for _, request in requests:
            if isinstance(request, Open) and not ring_path(self.folder, request.station).exists():
                Ring(ring_path(self.folder, request.station), create=True).close()
        script = Script(self.clock, requests, self.clock.now_s + seconds)
        Worker(generator, Config(snapshot_s=5.0, lead_ms=17.0), script, self.folder, self.sleepers_folder).run()
        script.close()
        return script


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    yield Stage(tmp_path, monkeypatch)


def opening(name: str, at_s: float = BEGAN_S, **fields: Any) -> tuple[float, Open]:
    return at_s, Open(name, Opening(mood="epic"), 1, **fields)


def num_late(script: Script) -> int:
    return sum(report.late_blocks for report in script.all(Health))


def test_stations_that_open_at_once_make_nobody_late(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.0007, num_pieces=30)
    requests = [opening(f"early{n}") for n in range(6)]
    requests += [opening(f"new{n}", BEGAN_S + 1.0) for n in range(10)]
    script = stage.play(generator, requests, 3.0)
    assert len(script.all(Opened)) == 16
    assert num_late(script) == 0
    assert max(script.opened_s().values()) < BEGAN_S + 1.0 + 10 * 0.030 / (1 - 16 * 0.0007 / BLOCK_SECONDS) + 0.1


def test_a_clock_begins_when_the_first_block_is_made(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.001, num_pieces=100)
    script = stage.play(generator, [opening("one")], 1.0)
    (opened,) = script.all(Opened)
    assert BEGAN_S + 0.1 < script.opened_s()["one"] < BEGAN_S + 0.15
    assert 0 < opened.due_in_s <= 0.03
    assert num_late(script) == 0


def test_after_a_standstill_all_that_can_still_be_heard_is_made(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.0005)

    def stand_still() -> None:
        stage.clock.now_s += 0.4

    script = stage.play(generator, [opening("one"), (BEGAN_S + 2.0, stand_still)], 3.0)
    first_tick = tick_at(BEGAN_S + script.all(Opened)[0].due_in_s + BLOCK_SECONDS / 2)
    ring = Ring(ring_path(stage.folder, "one"))
    present = tick_at(stage.clock.now_s) - first_tick
    assert all(ring.read(block) is not None for block in range(present))
    assert not script.all(LeftOut)
    assert script.all(Health)[-1].lead_ms > 100
    ring.close()


def test_who_comes_back_is_behind_nobody_who_plays(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.004)
    back = opening("back", BEGAN_S + 2.0, resume=Resume(due_in_s=-2.0, log=()))
    script = stage.play(generator, [opening("one"), opening("two"), back], 4.5)
    assert num_late(script) == 0
    ring = Ring(ring_path(stage.folder, "back"))
    assert ring.read(tick_at(stage.clock.now_s) - tick_at(BEGAN_S)) is not None
    ring.close()


def test_who_cannot_be_brought_back_is_lost_and_the_engine_goes_on(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.004)
    past = parse_control({"type": "hit", "at": {"seconds": 0.1}})
    back = opening("back", resume=Resume(due_in_s=-90.0, log=(Entry(0, 50, past),)))
    script = stage.play(generator, [opening("one"), back, opening("new", BEGAN_S + 2.0)], 3.0)
    (refused,) = script.all(worker_module.Refused)
    assert (refused.station, refused.request, refused.code) == ("back", None, "engine_unavailable")
    assert set(script.opened_s()) == {"one", "back", "new"}
    assert num_late(script) == 0


def test_who_comes_back_keeps_nobody_from_opening(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.004, num_pieces=30)
    back = opening("back", resume=Resume(due_in_s=-90.0, log=()))
    script = stage.play(generator, [back, opening("new", BEGAN_S + 1.0)], 3.0)
    assert script.opened_s()["new"] < BEGAN_S + 1.5


def test_who_gives_up_chasing_does_what_is_left_of_its_log_after_what_it_leaves_out(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.012)
    past = parse_control({"type": "hit", "at": {"seconds": 50.0}})
    steers = [parse_control({"type": "steer", "set": {"energy": energy}, "at": "now"}) for energy in (0.9, 0.3, 0.6)]
    log = (Entry(0, 100, steers[0]), Entry(1, 2000, steers[1]), Entry(2, 2100, past), Entry(3, 2110, Skip(30)))
    back = opening("back", resume=Resume(due_in_s=-60.0, log=log), is_heard=True)
    script = stage.play(generator, [back, (BEGAN_S + 1.0, Apply("back", 7, steers[2]))], 15.0)
    (left_out,), (applied,) = script.all(LeftOut), script.all(worker_module.Applied)
    skip, again = left_out.entries
    assert isinstance(skip.control, Skip) and again.control == steers[1]
    assert again.block == skip.block + skip.control.blocks and 500 < skip.block < 1900
    now = [log[0], *left_out.entries, applied.entry]
    assert [entry.index for entry in now] == [0, 1, 2, 3]
    assert [entry.block for entry in now] == sorted(entry.block for entry in now)
    performance = Performance.of(Sines(1), 0, Take(Opening(mood="epic"), 1, tuple(now)))
    ring = Ring(ring_path(stage.folder, "back"))
    num_heard = 0
    while performance.next_block < tick_at(stage.clock.now_s) - tick_at(BEGAN_S - 60.0):
        pcm, heard = step(performance.generator, [performance])[0].pcm, ring.read(performance.next_block - 1)
        num_heard += heard is not None
        assert heard is None or (heard.pcm == pcm).all()
    assert num_heard > 200
    ring.close()


def test_who_is_behind_gives_way_only_when_it_is_back(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.003)

    def become_slow() -> None:
        generator.slot_s = 0.0055

    requests: list[tuple[float, Any]] = [opening(f"heard{n}", is_heard=True) for n in range(4)]
    requests.append(opening("back", BEGAN_S + 0.1, resume=Resume(due_in_s=-60.0, log=()), is_heard=True))
    script = stage.play(generator, [*requests, (BEGAN_S + 1.0, become_slow)], 9.0)
    assert "back" in script.opened_s()
    assert [report.station for report in script.all(GaveWay)] == ["heard3"]


def test_too_much_to_do_puts_the_unheard_to_sleep_then_lets_the_newest_rest(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.0055)
    requests = [opening("heard", is_heard=True), opening("unheard"), opening("also heard", is_heard=True)]
    requests.append(opening("new", BEGAN_S + 1.0, is_heard=True))
    requests.append(opening("newest", BEGAN_S + 4.0, is_heard=True))
    script = stage.play(generator, requests, 9.0)
    assert [report.station for report in script.all(Slept)] == ["unheard"]
    assert sleeper_path(stage.folder, "unheard").exists()
    (gave_way,) = script.all(GaveWay)
    assert (gave_way.station, gave_way.is_resting, gave_way.entry.control) == ("newest", True, Rest())
    assert not [report for report in script.all(Health)[-10:] if report.late_blocks]


def test_where_none_can_be_kept_asleep_the_unheard_rest(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.0055)
    partial_path(sleeper_path(stage.folder, "unheard")).mkdir()  # as good as a full disk, which a test cannot have
    requests = [opening(f"heard{n}", is_heard=True) for n in range(3)] + [opening("unheard")]
    script = stage.play(generator, requests, 9.0)
    assert [(report.station, report.is_resting) for report in script.all(GaveWay)] == [("unheard", True)]
    assert not [report for report in script.all(Health)[-10:] if report.late_blocks]


def test_the_folder_of_those_that_sleep_may_be_removed(stage: Stage) -> None:
    stage.sleepers_folder = stage.folder / "removed"
    script = stage.play(Costly(stage.clock, slot_s=0.001), [opening("one"), (BEGAN_S + 2.0, Sleep("one"))], 3.0)
    assert script.all(Slept) and sleeper_path(stage.sleepers_folder, "one").exists()


def test_who_gave_way_comes_back_when_another_leaves(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.0055)
    requests: list[tuple[float, Any]] = [opening(f"heard{n}", is_heard=True) for n in range(4)]
    requests.append((BEGAN_S + 3.0, Close("heard0")))
    requests.append((BEGAN_S + 3.0, Close("heard1")))
    script = stage.play(generator, requests, 9.5)
    told = [(report.station, report.is_resting) for report in script.all(GaveWay)]
    assert told == [("heard3", True), ("heard3", False)]


def test_a_sleeper_goes_on_with_its_next_block_whenever_it_wakes(stage: Stage) -> None:
    generator = Costly(stage.clock, slot_s=0.001)
    requests: list[tuple[float, Any]] = [opening("one"), (BEGAN_S + 2.0, Sleep("one"))]
    script = stage.play(generator, requests, 3.0)
    (slept,) = script.all(Slept)
    stage.clock.now_s += 60.0
    woken_s = stage.clock.now_s
    awake = opening("one", woken_s, resume=Resume(due_in_s=None, log=()), is_heard=True)
    apply = (woken_s, Apply("one", 7, Transport(type="transport", do="pause")))
    script = stage.play(Costly(stage.clock, slot_s=0.001), [awake, apply], 1.0)
    (opened,) = script.all(Opened)
    first_tick = round((script.opened_s()["one"] + opened.due_in_s) / BLOCK_SECONDS)
    assert woken_s < time_of(first_tick + slept.next_block) < woken_s + 0.05
    (applied,) = script.all(worker_module.Applied)
    assert applied.entry.block == slept.next_block + 1
    ring = Ring(ring_path(stage.folder, "one"))
    assert ring.read(slept.next_block) is not None
    ring.close()


@pytest.mark.parametrize(("num_missing", "num_left_out"), [(100, 0), (2000, 1000)])
def test_a_sleeper_that_was_kept_too_early_is_made_unheard_until_where_it_was(
    stage: Stage, num_missing: int, num_left_out: int
) -> None:
    script = stage.play(Costly(stage.clock, slot_s=0.01), [opening("one"), (BEGAN_S + 1.0, Sleep("one"))], 2.0)
    woken_s, next_block = stage.clock.now_s, script.all(Slept)[0].next_block + num_missing
    made_s = (num_missing - num_left_out) * 0.01
    awake = opening("one", woken_s, resume=Resume(due_in_s=None, log=(), next_block=next_block), is_heard=True)
    script = stage.play(Costly(stage.clock, slot_s=0.01), [awake], made_s + 2.0)
    (opened,) = script.all(Opened)
    first_tick = round((script.opened_s()["one"] + opened.due_in_s) / BLOCK_SECONDS)
    assert woken_s + 0.9 * made_s < time_of(first_tick + next_block) < woken_s + made_s + 0.3
    assert sum(each.entries[0].control.blocks for each in script.all(LeftOut)) == pytest.approx(num_left_out, abs=20)
    ring = Ring(ring_path(stage.folder, "one"))
    assert not any(ring.read(block) for block in range(next_block - 100, next_block))
    assert all(ring.read(block) for block in range(next_block, next_block + 50))
    ring.close()


@pytest.mark.parametrize("damaged", [b"", b"\1" * 100, None])
def test_a_damaged_sleeper_is_refused_and_out_of_the_way(stage: Stage, damaged: bytes | None) -> None:
    generator = Costly(stage.clock, slot_s=0.001)
    stage.play(generator, [opening("one"), (BEGAN_S + 0.5, Sleep("one"))], 1.0)
    path = sleeper_path(stage.folder, "one")
    path.write_bytes(path.read_bytes()[:-1] if damaged is None else damaged)
    awake = opening("one", stage.clock.now_s, resume=Resume(due_in_s=None, log=()))
    script = stage.play(generator, [awake], 1.0)
    (refused,) = script.all(worker_module.Refused)
    assert refused.code == "engine_unavailable" and "is damaged" in refused.detail
    assert not path.exists()


def test_who_fell_asleep_resting_sounds_when_it_wakes(stage: Stage) -> None:
    requests: list[tuple[float, Any]] = [opening(f"heard{n}", is_heard=True) for n in range(4)]
    requests.append((BEGAN_S + 4.0, Sleep("heard3")))
    script = stage.play(Costly(stage.clock, slot_s=0.0055), requests, 5.0)
    assert [(report.station, report.is_resting) for report in script.all(GaveWay)] == [("heard3", True)]
    (slept,) = script.all(Slept)
    awake = opening("heard3", stage.clock.now_s, resume=Resume(due_in_s=None, log=()), is_heard=True)
    script = stage.play(Costly(stage.clock, slot_s=0.001), [awake], 1.0)
    (gave_way,) = script.all(GaveWay)
    assert (gave_way.is_resting, gave_way.entry.index) == (False, slept.num_controls)
    ring = Ring(ring_path(stage.folder, "heard3"))
    chunk = ring.read(slept.next_block + 5)
    assert chunk is not None and chunk.peak > 0
    ring.close()


def test_a_station_that_cannot_be_found_asleep_is_refused(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[Publisher] = []
    monkeypatch.setattr(Publisher, "close", lambda publisher: closed.append(publisher))
    awake = opening("gone", resume=Resume(due_in_s=None, log=()))
    script = stage.play(Costly(stage.clock, slot_s=0.001), [awake, (BEGAN_S, Heard("gone", True))], 1.0)
    assert len(closed) == 1
    (refused,) = script.all(worker_module.Refused)
    assert refused.request is None
    assert refused.code == "engine_unavailable"


def test_what_no_control_may_raise_is_that_controls_error_and_all_stations_play_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Performance, "apply", fail)
    asked = Apply("one", 7, parse_control({"type": "panic"}))
    script = stage.play(Costly(stage.clock, slot_s=0.001), [opening("one"), (BEGAN_S + 1.0, asked)], 2.0)
    (refused,) = script.all(worker_module.Refused)
    assert (refused.station, refused.request, refused.code) == ("one", 7, "engine_unavailable")
    ring = Ring(ring_path(stage.folder, "one"))
    assert ring.read(tick_at(stage.clock.now_s) - tick_at(BEGAN_S) - 1) is not None
    ring.close()
