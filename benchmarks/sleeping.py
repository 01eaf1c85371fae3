"""What do stations cost that nobody hears?

A thousand stations are open and ten of them are heard. When the others have fallen asleep: the share of one core that
all processes of the server take together, and the memory that came with each sleeper (pages shared between processes
count once), files in shared memory included.
"""

from __future__ import annotations

import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.audience import Audience
from benchmarks.capacity import MOODS, underruns
from benchmarks.harness import Server, record, running_server
from benchmarks.memory import pss_mb

NUM_OPEN, NUM_HEARD = 1000, 10
SLEEP_S, SETTLE_S, SECONDS = 2.0, 10.0, 20.0
_SHARED_MEMORY = "/dev/shm"


def cpu_s(server: Server) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in server.processes())


def taken_mb(server: Server) -> float:
    """Rings are mapped, so they count as memory of the processes; what is only kept in files there is added."""
    return pss_mb(server) + shutil.disk_usage(_SHARED_MEMORY).used / 1e6


def main(num_open: int = NUM_OPEN, num_heard: int = NUM_HEARD) -> None:
    settings = f"max_stations = {num_open}\nsleep_s = {SLEEP_S}\nidle_close_s = 0\n"
    with running_server(settings=settings) as server:
        audience = Audience(server.url, "opus")
        for index in range(num_heard):
            audience.join(server.open_station(mood=MOODS[index % len(MOODS)], seed=index)["id"])
        time.sleep(SETTLE_S)
        before_mb, began_s = taken_mb(server), time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(lambda n: server.open_station(mood=MOODS[n % len(MOODS)], seed=n), range(num_open - num_heard))
            )
        opening_s = time.monotonic() - began_s
        time.sleep(SLEEP_S + SETTLE_S)
        late, began_s, began_cpu_s = sum(underruns(server).values()), time.monotonic(), cpu_s(server)
        time.sleep(SECONDS)
        share = (cpu_s(server) - began_cpu_s) / (time.monotonic() - began_s)
        late = sum(underruns(server).values()) - late
        sleeper_mb = (taken_mb(server) - before_mb) / (num_open - num_heard)
        heard = audience.leave()
    record("sleeping", {
        "open": num_open, "heard": num_heard, "core_percent": round(100 * share, 1), "sleeper_mb": round(sleeper_mb, 2),
        "underruns": late, "breaks": sum(one.breaks for one in heard.values()), "opening_s": round(opening_s, 1),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
