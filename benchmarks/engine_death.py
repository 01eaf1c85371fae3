"""Is anybody's music disturbed when the engine of others dies, and does anybody hear nothing?

Two engines share the stations, each with a listener. One engine is killed every twenty seconds. Counted are the blocks
of the other's stations that were not, sample for sample, what the same takes are when they are performed in peace, and
for how long the stations of the dead one heard something else than their music. Of all listeners are told the longest
silence below −80 dBFS, the longest wait for a block, and how often frames did not go on one after another.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import psutil

from benchmarks.audience import Audience
from benchmarks.calm import perform, take_of, wrong_blocks
from benchmarks.harness import percentiles, record, running_server
from benchmarks.isolation import frame_at, open_stations
from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS

NUM_STATIONS, SECONDS, EVERY_S = 8, 120.0, 20.0
SETTLE_S = 5.0


def rings_of(process: psutil.Process) -> set[str]:
    """The stations whose rings an engine has mapped, by id."""
    paths = (mapping.path for mapping in process.memory_maps())
    return {os.path.basename(path).removesuffix(".ring") for path in paths if path.endswith(".ring")}


def main(seconds: float = SECONDS, num_stations: int = NUM_STATIONS) -> None:
    with running_server(settings="engines = 2\nmax_stations = 64\n") as server:
        while len(server.process.children()) < 2:
            time.sleep(0.1)
        time.sleep(SETTLE_S)
        audience = Audience(server.url)
        stations = open_stations(server, num_stations)
        for station in stations:
            audience.join(station)
        mortal, other = server.process.children()
        spared = [station for station in stations if station in rings_of(other)]
        doomed = [station for station in stations if station not in spared]
        time.sleep(SETTLE_S)
        began_s, num_killed = time.monotonic(), 0
        while time.monotonic() < began_s + seconds:
            (mortal,) = (process for process in server.process.children() if process.pid != other.pid)
            os.kill(mortal.pid, signal.SIGKILL)
            num_killed += 1
            time.sleep(EVERY_S)
        ended_s = time.monotonic()
        takes = {station: take_of(server.url, station) for station in stations}
        heard = audience.leave()
    calm = perform(takes, max(one.frames[-1] for one in heard.values()) // BLOCK_FRAMES + 1)
    wrong = {
        station: wrong_blocks(one, calm[station], frame_at(one, began_s), frame_at(one, ended_s))
        for station, one in heard.items()
    }
    record("engine_death", {
        "seconds": seconds, "killed": num_killed, "spared": len(spared), "doomed": len(doomed),
        "wrong_blocks_of_spared": sum(wrong[station] for station in spared),
        "of": round(seconds / BLOCK_SECONDS) * len(spared),
        "silence_ms": max(one.longest_silence_ms(began_s) for one in heard.values()),
        "wait_ms": round(max(one.longest_wait_ms(began_s) for one in heard.values()), 1),
        "breaks": sum(one.breaks for one in heard.values()),
        "filled_s_a_death": percentiles([wrong[station] * BLOCK_SECONDS / num_killed for station in doomed], 2),
    })  # fmt: skip


if __name__ == "__main__":
    main(*(kind(word) for kind, word in zip((float, int), sys.argv[1:], strict=False)))
