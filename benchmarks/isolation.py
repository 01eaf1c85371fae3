"""Is anybody's music disturbed when others open stations?

Six stations play to a listener each; then many more are opened at once. Counted are the blocks of the six around
that moment that were not, sample for sample, what the same takes are when they are performed in peace.
"""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from benchmarks.audience import Audience, Heard
from benchmarks.calm import perform, take_of, wrong_blocks
from benchmarks.harness import Server, percentiles, record, running_server
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.take import Take

NUM_LISTENED, NUM_OPENED = 6, 10
SETTLE_S, BEFORE_S, AFTER_S = 5.0, 1.0, 5.0
MOODS = ("focus", "epic", "night", "healing", "sport", "sad", "tech", "travel")


def open_stations(server: Server, num_stations: int) -> list[str]:
    """One after another, each of another mood and seed; their ids."""
    return [server.open_station(mood=MOODS[n % len(MOODS)], seed=n)["id"] for n in range(num_stations)]


def frame_at(heard: Heard, monotonic_s: float) -> int:
    """The frame of the block that a listener got last before a moment."""
    return max(f for f, at_s in zip(heard.frames, heard.arrivals_s, strict=True) if at_s <= monotonic_s)


def count_wrong(heard: dict[str, Heard], takes: dict[str, Take], windows_s: list[tuple[float, float]]) -> list[int]:
    """Blocks that were not the music in windows of monotonic time, all listeners together; and how many there were."""
    last_frame = max(one.frames[-1] for one in heard.values())
    calm = perform(takes, last_frame // BLOCK_FRAMES + 1)
    return [
        sum(
            wrong_blocks(one, calm[station], frame_at(one, since_s), frame_at(one, until_s))
            for station, one in heard.items()
        )
        for since_s, until_s in windows_s
    ]


def open_at_once(url: str, num_opened: int) -> list[float]:
    """Open so many stations in one instant; seconds that each took, None for those that were refused."""

    def open_one(number: int) -> float | None:
        began_s = time.monotonic()
        answer = httpx.post(f"{url}/v1/stations", json={"mood": MOODS[number % len(MOODS)]}, timeout=30)
        return time.monotonic() - began_s if answer.status_code == 201 else None

    with ThreadPoolExecutor(max(1, num_opened)) as pool:
        return [taken_s for taken_s in pool.map(open_one, range(num_opened)) if taken_s is not None]


def main(num_opened: int = NUM_OPENED, num_listened: int = NUM_LISTENED) -> None:
    with running_server(settings="max_stations = 64\nmax_sessions = 128\n") as server:
        audience = Audience(server.url)
        stations = open_stations(server, num_listened)
        for station in stations:
            audience.join(station)
        time.sleep(SETTLE_S)
        opened_s = time.monotonic()
        taken_s = open_at_once(server.url, num_opened)
        time.sleep(max(0.0, opened_s + AFTER_S + 0.5 - time.monotonic()))
        takes = {station: take_of(server.url, station) for station in stations}
        heard = audience.leave()
    wrong = count_wrong(heard, takes, [(opened_s - BEFORE_S, opened_s + AFTER_S)])
    record("isolation", {
        "listened": num_listened, "opened": len(taken_s), "refused": num_opened - len(taken_s),
        "wrong_blocks": wrong[0], "of": round((BEFORE_S + AFTER_S) * SAMPLE_RATE / BLOCK_FRAMES) * num_listened,
        "open_ms": percentiles([1000 * s for s in taken_s]) if taken_s else None,
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
