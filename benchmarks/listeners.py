"""How many WebRTC listeners does one station carry on one core, and what does each cost?

The server with its engine, playing real music, has one core; the listeners (`peers.py`) have the others. Their number
grows until of ten seconds one packet in a hundred comes later than 20 ms after its tick, or is lost; the largest
number found is confirmed for the full time. `late_ms` is from the tick to the moment the system received the packet.
A listener's CPU time is what the server's processes take beyond what they take with one listener, divided by the
others; it holds the system's share, ICE's consent and reports. `stock` is the same with aiortc's own sender
(`stock_track.py`), `beside_stock` ours with as many listeners as that.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import Server, record, running_server
from benchmarks.peers import Lateness, Peers

STEPS = (100, 200, 320, 500, 640, 800, 1000, 1250, 1600, 2000)
STOCK_LISTENERS = 64
SECONDS, PROBE_S, SETTLE_S = 60.0, 10.0, 4.0
LIMIT_S, SHARE = 0.020, 0.99
SETTINGS = f"max_sessions = {2 * STEPS[-1]}\noffers_per_s = 10000.0\n"


@dataclass
class Hall:
    """A server that plays one station to `peers`, and its cost with one of them."""

    server: Server
    peers: Peers
    alone_s: float = 0.0
    """CPU seconds a second."""

    def cpu_s(self) -> float:
        times = [process.cpu_times() for process in self.server.processes()]
        return sum(each.user + each.system for each in times)

    def measure(self, seconds: float) -> tuple[Lateness, float]:
        """What was heard, and the server's CPU seconds a second."""
        time.sleep(SETTLE_S)
        cpu_s, began_s = self.cpu_s(), time.monotonic()
        lateness = self.peers.measure(seconds)
        return lateness, (self.cpu_s() - cpu_s) / (time.monotonic() - began_s)


@contextmanager
def hall(module: str) -> Iterator[Hall]:
    """Our process and the listeners keep off the server's core."""
    cores = os.sched_getaffinity(0)
    assert len(cores) > 1, "the listeners need a core beside the server's"
    own = {min(cores)}
    os.sched_setaffinity(0, own)
    try:
        with running_server(settings=SETTINGS, module=module) as server:
            os.sched_setaffinity(0, cores - own)
            station = server.open_station(mood="focus", seed=1)["id"]
            opened = Hall(server, Peers(f"{server.url}/whep/{station}", cores - own))
            opened.peers.set_number(1)
            opened.alone_s = opened.measure(PROBE_S)[1]
            yield opened
            opened.peers.leave()
    finally:
        os.sched_setaffinity(0, cores)


def figures(opened: Hall, number: int, seconds: float) -> dict[str, Any]:
    opened.peers.set_number(number)
    lateness, cpu_s = opened.measure(seconds)
    found = {
        "listeners": number,
        "share_in_time": round(lateness.within(LIMIT_S), 5),
        "late_ms": {f"p{q}": round(1000 * float(np.percentile(lateness.late_s, q)), 2) for q in (50, 95, 99)},
        "lost": lateness.num_lost,
        "core_percent": round(100 * cpu_s, 1),
        "cpu_ms_per_listener_s": round(1000 * (cpu_s - opened.alone_s) / (number - 1), 3),
    }
    print(found, file=sys.stderr)
    return found


def saturate(opened: Hall, most: int, seconds: float) -> dict[str, Any]:
    """The figures of the largest number of listeners that holds for the full time."""
    good = []
    for number in [step for step in STEPS if step <= most]:
        try:
            is_good = figures(opened, number, PROBE_S)["share_in_time"] >= SHARE
        except RuntimeError as refused:
            print(f"{number} listeners: {refused}", file=sys.stderr)
            is_good = False
        if not is_good:
            break
        good.append(number)
    is_saturated = good != [step for step in STEPS if step <= most]
    for number in reversed(good):
        if (found := figures(opened, number, seconds))["share_in_time"] >= SHARE:
            return {**found, "seconds": seconds, "is_saturated": is_saturated}
    return {"listeners": 0, "is_saturated": True}


def main(most: int = STEPS[-1], seconds: float = SECONDS) -> None:
    with hall("benchmarks.stock_track") as opened:
        stock = figures(opened, STOCK_LISTENERS, PROBE_S)
    with hall("streaming.cli") as opened:
        beside = figures(opened, STOCK_LISTENERS, PROBE_S)
        ours = saturate(opened, most, seconds)
    ratios = {
        name: round(stock["cpu_ms_per_listener_s"] / found["cpu_ms_per_listener_s"], 1)
        for name, found in (("stock_over_ours", ours), ("stock_over_beside", beside))
        if found["listeners"]
    }
    record("listeners", {**ours, "beside_stock": beside, "stock": stock, **ratios})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
