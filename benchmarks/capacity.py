"""How many stations can play at once, for a minute, without one underrun?

Each station plays another mood and is heard by one listener, who checks that no frame is missing or repeated; a run
counts only if the server's own underrun counters stand still too. The number is doubled until a run fails, then halved
in while SEARCH_S lasts; what was found is confirmed for the full minute. Listeners share the machine's cores with the
server: the figure includes them. `share_percent` is the number found, of what the cores would carry if they did nothing
but what `station_cost`, measured in the same run, says a station takes.
"""

from __future__ import annotations

import sys
import time

import httpx
import psutil

from benchmarks.audience import Audience
from benchmarks.harness import Server, record, running_server
from benchmarks.station_cost import MOODS as COST_MOODS
from benchmarks.station_cost import measure as measure_cost
from engine.backends import open_generator
from engine.config import EngineConfig

SECONDS, PROBE_SECONDS, SETTLE_S = 60.0, 20.0, 5.0
MOODS = ("focus", "epic", "night", "healing", "sport", "sad", "tech", "travel")
FIRST, MOST = 16, 96
SEARCH_S = 240.0
ARRIVAL_S = 0.1
"""Listeners come one after another, not all in one instant."""


def underruns(server: Server) -> dict[str, int]:
    """Blocks that did not come in time so far, by station."""
    stations = httpx.get(f"{server.url}/v1/stations", timeout=10).raise_for_status().json()["stations"]
    return {station["id"]: station["health"]["underruns"] for station in stations}


def fill(server: Server, audience: Audience, num_stations: int) -> None:
    """Open stations with a listener each. Raises `httpx.HTTPStatusError` where one is not let in."""
    for index in range(num_stations):
        audience.join(server.open_station(mood=MOODS[index % len(MOODS)], seed=index)["id"])
        time.sleep(ARRIVAL_S)


def holds(num_stations: int, seconds: float) -> bool:
    """Whether a fresh server lets in `num_stations` and plays `seconds` without a fault; one that has been overloaded
    takes a while to be itself again."""
    with running_server(settings=f"max_stations = {MOST}\nmax_sessions = {2 * MOST}\n") as server:
        audience = Audience(server.url, "opus")
        try:
            fill(server, audience, num_stations)
        except httpx.HTTPStatusError as refused:
            print(f"{num_stations} stations: {refused}".splitlines()[0], file=sys.stderr)
            return False
        time.sleep(SETTLE_S)
        before, began_s = sum(underruns(server).values()), time.monotonic()
        time.sleep(seconds)
        late, ended_s = sum(underruns(server).values()) - before, time.monotonic()
        heard = audience.leave().values()
    breaks = sum(one.breaks for one in heard)
    packets = sum(began_s <= at_s < ended_s for one in heard for at_s in one.arrivals_s)
    share = packets / (num_stations * 50 * (ended_s - began_s))
    print(f"{num_stations} stations: {late} underruns, {breaks} breaks, {share:.3f} of the packets", file=sys.stderr)
    return late == 0 and breaks == 0 and share > 0.99


def search(first: int, most: int, seconds: float) -> int:
    """The largest number found that holds for the full time."""
    deadline = time.monotonic() + SEARCH_S - seconds
    good, bad, number = 0, most + 1, min(first, most)
    while bad - good > max(1, good // 10) and time.monotonic() < deadline - PROBE_SECONDS:
        if holds(number, min(PROBE_SECONDS, seconds)):
            good = number
        else:
            bad = number
        number = min(number * 2, most) if bad > most else (good + bad) // 2
    while good > 0 and not holds(good, seconds):
        good -= max(1, good // 10)
    return good


def station_percent() -> float:
    """Share of a core that a station takes, as `station_cost` finds it."""
    generator = open_generator(EngineConfig(max_slots=1))
    return sum(measure_cost(generator, mood)[0] for mood in COST_MOODS) / len(COST_MOODS)


def main(first: int = FIRST, most: int = MOST, seconds: float = SECONDS) -> None:
    percent = station_percent()
    stations = search(first, most, seconds)
    ideal = 100 * len(psutil.Process().cpu_affinity() or [0]) / percent
    record("capacity", {
        "stations": stations, "seconds": seconds, "station_percent": round(percent, 2),
        "share_percent": round(100 * stations / ideal, 1),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
