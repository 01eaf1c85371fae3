"""What connects to others tries for ever, ever less often, and says how it fares once a change."""

from __future__ import annotations

import asyncio
import logging

import pytest

from streaming.doors import DoorState
from streaming.metrics import Metrics
from streaming.retrying import retrying


async def test_waits_double_up_to_the_longest_and_begin_again_after_success(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    async for attempt in retrying(1, 5):
        attempt.has_worked = attempt.number == 5
        attempt.least_wait_s = 30 if attempt.number == 7 else 0
        if attempt.number == 8:
            break
    assert slept == [1, 2, 4, 5, 1, 2, 30]


async def test_those_who_lost_the_same_server_do_not_come_back_together() -> None:
    async def second_at_s() -> float:
        async for attempt in retrying(0.2):
            if attempt.number == 2:
                break
        return asyncio.get_running_loop().time()

    began_s = asyncio.get_running_loop().time()
    waits = [at_s - began_s for at_s in await asyncio.gather(*(second_at_s() for _ in range(8)))]
    assert min(waits) >= 0.09 and len({round(wait, 3) for wait in waits}) > 1


def test_a_door_says_each_change_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    metrics = Metrics()
    state = DoorState("chat", metrics)
    state.waiting(OSError("no route"))
    state.waiting(OSError("no route"))
    state.connected()
    state.connected()
    assert [record.getMessage() for record in caplog.records] == ["not connected", "connected"]
    assert (state.now, state.last_error) == ("connected", "OSError: no route")
    text = metrics.text().decode()
    assert (
        'undersong_door_connected{door="chat"} 1.0' in text and 'undersong_door_failures_total{door="chat"} 2' in text
    )
