"""How much memory does the server take with one station, and how much more with each further one?

Proportional set size of all its processes (pages shared between them count once), each station heard by one listener
and playing long enough to have filled its window.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from benchmarks.audience import Audience
from benchmarks.harness import Server, record, running_server

NUM_FURTHER, SETTLE_S = 10, 45.0


def pss_mb(server: Server) -> float:
    return sum(process.memory_full_info().pss for process in server.processes()) / 1e6


def own_mb(processes: Iterable[psutil.Process]) -> float:
    """What processes hold that no file on disk holds too: libraries count more whenever another program that has them
    open ends, which is no growth.
    """
    told = [Path(f"/proc/{process.pid}/smaps_rollup").read_text() for process in processes]
    lines = (line.split() for each in told for line in each.splitlines())
    return sum(int(line[1]) for line in lines if line[0] in ("Pss_Anon:", "Pss_Shmem:")) / 1e3


def measure(server: Server, num_further: int) -> tuple[float, float]:
    audience = Audience(server.url, "opus")
    audience.join(server.open_station(mood="focus")["id"])
    time.sleep(SETTLE_S)
    with_one = pss_mb(server)
    for _ in range(num_further):
        audience.join(server.open_station(mood="focus")["id"])
    time.sleep(SETTLE_S)
    with_all = pss_mb(server)
    audience.leave()
    return with_one, with_all


def main(num_further: int = NUM_FURTHER) -> None:
    with running_server() as server:
        with_one, with_all = measure(server, num_further)
    further = (with_all - with_one) / num_further
    record("memory", {"server_mb": round(with_one), "further_station_mb": round(further, 1), "further": num_further})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
