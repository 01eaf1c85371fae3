"""Do renders disturb who listens?

Four stations play to a listener each; then five renders are asked for at once. Counted are the blocks of the four
that were not, sample for sample, what the same takes are when they are performed in peace: before the renders, while
their process starts, while they are made; and how fast they went.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import httpx

from benchmarks.audience import Audience
from benchmarks.calm import take_of
from benchmarks.harness import Server, record, running_server
from benchmarks.isolation import count_wrong, open_stations
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE

NUM_LISTENED, NUM_RENDERS, RENDER_S = 4, 5, 60
SETTLE_S, BEFORE_S, STARTING_S, LIMIT_S = 4.0, 10.0, 4.0, 150.0


def render_all(server: Server, num_renders: int, seconds: float) -> list[dict[str, Any]]:
    """Ask for so many at once and wait until all have ended, or for LIMIT_S; the jobs as they are told then."""
    with httpx.Client(base_url=server.url, timeout=10) as http:
        asked = {"mood": "epic", "seconds": seconds, "formats": ["wav", "mp3"], "loudness": {"lufs": -14}}
        for number in range(num_renders):
            http.post("/v1/renders", json=asked | {"seed": number}).raise_for_status()
        deadline_s = time.monotonic() + LIMIT_S
        while True:
            jobs = http.get("/v1/renders").json()["renders"]
            if all(job["state"] in ("done", "failed") for job in jobs) or time.monotonic() > deadline_s:
                return jobs
            time.sleep(0.1)


def main(num_renders: int = NUM_RENDERS, num_listened: int = NUM_LISTENED, seconds: int = RENDER_S) -> None:
    with running_server() as server:
        server.wait_for_all_engines()
        audience = Audience(server.url)
        stations = open_stations(server, num_listened)
        for station in stations:
            audience.join(station)
        time.sleep(SETTLE_S + BEFORE_S)
        began_s = time.monotonic()
        jobs = render_all(server, num_renders, seconds)
        ended_s = time.monotonic()
        time.sleep(0.5)
        states = [httpx.get(f"{server.url}/v1/stations/{station}").json() for station in stations]
        takes = {station: take_of(server.url, station) for station in stations}
        heard = audience.leave()
    windows_s = [(began_s - BEFORE_S, began_s), (began_s, began_s + STARTING_S), (began_s + STARTING_S, ended_s)]
    before, starting, making = count_wrong(heard, takes, windows_s)
    done = [job for job in jobs if job["state"] == "done"]
    record("renders_beside", {
        "listened": num_listened, "renders": num_renders, "done": len(done), "render_seconds": seconds,
        "wall_s": round(ended_s - began_s, 1), "times_realtime": round(len(done) * seconds / (ended_s - began_s), 1),
        "wrong_blocks": starting + making, "wrong_while_starting": starting, "wrong_before": before,
        "of": round((ended_s - began_s) * SAMPLE_RATE / BLOCK_FRAMES) * num_listened,
        "underruns": sum(state["health"]["underruns"] for state in states),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
