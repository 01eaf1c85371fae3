"""How soon is a server back that was ended, and does the music go on where it was?

Eight stations play to a listener each, and are steered. The server is ended by SIGTERM, or killed, alone or with its
engines, and started again with the same folder. Told are the seconds from the command to the server's answer and to
each station's first block, how far the stream stepped back from what was heard last, and how many blocks after the
restart were not, sample for sample, what a twin plays that was never stopped: the take, performed in peace.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time

import httpx

from benchmarks.audience import Audience
from benchmarks.calm import perform, take_of, wrong_blocks
from benchmarks.capacity import underruns
from benchmarks.harness import Server, percentiles, record, running_server
from benchmarks.isolation import open_stations
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE

NUM_STATIONS = 8
BEFORE_S, AFTER_S = 18.0, 10.0
"""A station is kept on the disk when it begins and every ten seconds."""


def steer(server: Server, stations: list[str]) -> None:
    for number, station in enumerate(stations):
        control = {"type": "steer", "set": {"energy": number / len(stations)}, "over": "2 bars"}
        url = f"{server.url}/v1/stations/{station}/controls"
        httpx.post(url, json=control, timeout=20).raise_for_status()


def end(server: Server, how: str) -> None:
    """By a signal's name; "CUT" is what a power cut is like: nobody is left to keep anything."""
    if how == "CUT":
        for process in server.process.children(recursive=True):
            process.kill()
        server.process.kill()
    else:
        os.kill(server.process.pid, signal.Signals[how])
    while server.process.is_running() and server.process.status() != "zombie":
        time.sleep(0.005)


def restart(how: str, num_stations: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        settings = f'max_stations = 64\nstations = "{folder}"\n'
        with running_server(settings=settings) as server:
            stations = open_stations(server, num_stations)
            audience = Audience(server.url)
            for station in stations:
                audience.join(station)
            time.sleep(BEFORE_S / 2)
            steer(server, stations)
            time.sleep(BEFORE_S / 2)
            end(server, how)
            before = audience.leave()
        with running_server(settings=settings) as server:
            began_s = time.monotonic() - server.ready_s
            audience = Audience(server.url)
            for station in stations:
                audience.join(station)
            time.sleep(AFTER_S)
            takes = {station: take_of(server.url, station) for station in stations}
            late = sum(underruns(server).values())
            after = audience.leave()
            ready_s = server.ready_s
    calm = perform(takes, max(one.frames[-1] for one in after.values()) // BLOCK_FRAMES + 1)
    wrong = {name: wrong_blocks(one, calm[name], one.frames[0], one.frames[-1]) for name, one in after.items()}
    back_s = [(before[name].frames[-1] - after[name].frames[0]) / SAMPLE_RATE for name in stations]
    record("server_restart", {
        "how": how, "stations": num_stations, "ready_s": round(ready_s, 2),
        "first_block_s": percentiles([one.arrivals_s[0] - began_s for one in after.values()], 2),
        "stepped_back_s": percentiles(back_s, 2), "underruns": late, "wrong_blocks": sum(wrong.values()),
        "of": sum(len(one.frames) for one in after.values()), "breaks": sum(one.breaks for one in after.values()),
    })  # fmt: skip


def main(num_stations: int = NUM_STATIONS, *hows: str) -> None:
    for how in hows or ("SIGTERM", "SIGKILL", "CUT"):
        restart(how, num_stations)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
