"""What is heard when the machine does not give the server its time?

Four stations play to a listener each while either every engine process is stopped for 60 ms every 0.7 s, or the whole
server has half a core: by a CPU quota of its control group where one can be made, else by stopping all of its processes
for half of every 100 ms. Counted are the blocks that were not, sample for sample, the music: in the first 4 s of that,
in which a server may still learn, and after.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmarks.audience import Audience
from benchmarks.calm import take_of
from benchmarks.harness import Server, record, running_server
from benchmarks.isolation import count_wrong, open_stations

NUM_STATIONS, SECONDS, LEARN_S, SETTLE_S = 4, 20.0, 4.0, 5.0
STOP_S, STOP_EVERY_S = 0.06, 0.7
QUOTA_CORES, PERIOD_S = 0.5, 0.1
_CGROUP_V1 = Path("/sys/fs/cgroup/cpu")
_CGROUP_V2 = Path("/sys/fs/cgroup")


def engines(server: Server) -> list[int]:
    return [
        child.pid for child in server.process.children() if any("streaming.engines" in word for word in child.cmdline())
    ]


@contextmanager
def stopped_now_and_then(pids: Sequence[int], stop_s: float, every_s: float) -> Iterator[str]:
    """Stop these processes for `stop_s` of every `every_s`."""
    is_over = threading.Event()

    def disturb() -> None:
        while not is_over.wait(every_s - stop_s):
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(stop_s)
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        yield "stopped"
    finally:
        is_over.set()
        thread.join()


@contextmanager
def limited(pids: Sequence[int], cores: float) -> Iterator[str]:
    """Give these processes, all together, no more than `cores`, whatever others want; yields by what means."""
    period_us = round(PERIOD_S * 1e6)
    quota_us = round(cores * period_us)
    for root, limits in (
        (_CGROUP_V1, {"cpu.cfs_period_us": f"{period_us}", "cpu.cfs_quota_us": f"{quota_us}", "cpu.shares": "100000"}),
        (_CGROUP_V2, {"cpu.max": f"{quota_us} {period_us}", "cpu.weight": "10000"}),
    ):
        group = root / f"undersong-benchmark-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            for name, value in limits.items():
                (group / name).write_text(value)
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid))
            yield f"quota ({root})"
            return
        except OSError as error:
            print(f"no CPU quota by {group}: {error}", file=sys.stderr)
        finally:
            for pid in (group / "cgroup.procs").read_text().split():
                (root / "cgroup.procs").write_text(pid)
            group.rmdir()
    with stopped_now_and_then(pids, PERIOD_S * (1 - cores), PERIOD_S) as means:
        yield means


def wrong_while(disturbed: Callable[[Server], AbstractContextManager[str]], seconds: float) -> dict[str, object]:
    """Wrong blocks of all stations in the first seconds of a disturbance and afterwards."""
    with running_server() as server:
        audience = Audience(server.url)
        stations = open_stations(server, NUM_STATIONS)
        for station in stations:
            audience.join(station)
        time.sleep(SETTLE_S)
        with disturbed(server) as means:
            began_s = time.monotonic()
            time.sleep(seconds)
            ended_s = time.monotonic()
        time.sleep(0.5)
        takes = {station: take_of(server.url, station) for station in stations}
        heard = audience.leave()
    first, after = count_wrong(heard, takes, [(began_s, began_s + LEARN_S), (began_s + LEARN_S, ended_s)])
    gaps_s = [
        later - earlier
        for one in heard.values()
        for earlier, later in zip(one.arrivals_s, one.arrivals_s[1:], strict=False)
        if began_s <= earlier <= ended_s
    ]
    return {
        "means": means, "first_wrong": first, "wrong": after, "of": round(50 * NUM_STATIONS * (seconds - LEARN_S)),
        "longest_gap_ms": round(1000 * max(gaps_s)),
    }  # fmt: skip


def main(seconds: float = SECONDS) -> None:
    def stop_engines(server: Server) -> AbstractContextManager[str]:
        return stopped_now_and_then(engines(server), STOP_S, STOP_EVERY_S)

    def give_half_a_core(server: Server) -> AbstractContextManager[str]:
        return limited([process.pid for process in server.processes()], QUOTA_CORES)

    record("stalls", {
        "stations": NUM_STATIONS, "seconds": seconds,
        "engine_stopped": wrong_while(stop_engines, seconds), "half_a_core": wrong_while(give_half_a_core, seconds),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
