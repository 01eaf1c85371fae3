"""How many stations can play at once, for a minute, without one underrun?

Each station plays another mood and is heard by one listener, who checks that no frame is missing or repeated; a run
counts only if the server's own underrun counter stands still too. The number is doubled until a run fails, then halved
in while SEARCH_S lasts; what was found is confirmed for the full minute. Listeners share the machine's cores with the
server: the figure includes them.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
import sys
import time
from dataclasses import dataclass

import httpx
import websockets

from benchmarks.harness import Server, record, running_server
from engine.audio import BLOCK_FRAMES

SECONDS, PROBE_SECONDS, SETTLE_S = 60.0, 20.0, 5.0
MOODS = ("focus", "epic", "night", "healing", "sport", "sad", "tech", "travel")
FIRST, MOST = 16, 64
SEARCH_S = 240.0
ARRIVAL_S = 0.1
"""Listeners come one after another, not all in one instant."""


@dataclass
class Heard:
    """What one listener received."""

    packets: int = 0
    breaks: int = 0
    """How often a packet did not begin where the last one ended."""


async def listen(
    client: httpx.AsyncClient, url: str, seconds: float, mood: str = "focus", heard: Heard | None = None
) -> None:
    """Open a station, take its Opus packets for `seconds`, and close it."""
    heard = heard or Heard()
    station = (await client.post("/v1/stations", json={"mood": mood})).raise_for_status().json()
    try:
        address = f"{url.replace('http', 'ws', 1)}/v1/stations/{station['id']}/audio?format=opus"
        async with websockets.connect(address, max_queue=256) as socket:
            json.loads(await socket.recv())
            expected = None
            async with asyncio.timeout(seconds):
                async for message in socket:
                    (frame,) = struct.unpack_from("<Q", message)
                    heard.breaks += expected is not None and frame != expected
                    expected = frame + BLOCK_FRAMES
                    heard.packets += 1
    except TimeoutError:
        pass
    finally:
        await client.delete(f"/v1/stations/{station['id']}")


async def underruns(client: httpx.AsyncClient) -> float:
    text = (await client.get("/metrics")).raise_for_status().text
    values = re.findall(r"^undersong_underruns_total(?:\{[^}]*\})? (\S+)$", text, re.MULTILINE)
    assert values, "the server does not count underruns"
    return sum(map(float, values))


async def holds(server: Server, num_stations: int, seconds: float) -> bool:
    """Whether `num_stations` are let in and play `seconds` without a fault, after some seconds in which they open."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        try:
            return await _holds(client, server, num_stations, seconds)
        except* httpx.HTTPStatusError as refused:
            print(f"{num_stations} stations: {refused.exceptions[0]}".splitlines()[0], file=sys.stderr)
    return False


async def _holds(client: httpx.AsyncClient, server: Server, num_stations: int, seconds: float) -> bool:
    heard = [Heard() for _ in range(num_stations)]
    async with asyncio.TaskGroup() as group:
        for index, one in enumerate(heard):
            mood = MOODS[index % len(MOODS)]
            until_end_s = ARRIVAL_S * (num_stations - index) + SETTLE_S + seconds
            group.create_task(listen(client, server.url, until_end_s, mood, one))
            await asyncio.sleep(ARRIVAL_S)
        await asyncio.sleep(SETTLE_S)
        before, packets = await underruns(client), sum(one.packets for one in heard)
        await asyncio.sleep(seconds - 1)
        late = await underruns(client) - before
        share = (sum(one.packets for one in heard) - packets) / (num_stations * 50 * (seconds - 1))
    breaks = sum(one.breaks for one in heard)
    print(f"{num_stations} stations: {late:g} underruns, {breaks} breaks, {share:.3f} of the packets", file=sys.stderr)
    return late == 0 and breaks == 0 and share > 0.99


def holds_afresh(num_stations: int, seconds: float) -> bool:
    """`holds` on a server of its own: one that has been overloaded takes a while to be itself again."""
    with running_server(settings=f"max_stations = {MOST}\nmax_sessions = {2 * MOST}\n") as server:
        return asyncio.run(holds(server, num_stations, seconds))


def search(first: int, most: int, seconds: float) -> int:
    """The largest number found that holds for the full time."""
    deadline = time.monotonic() + SEARCH_S - seconds
    good, bad, number = 0, most + 1, min(first, most)
    while bad - good > max(1, good // 10) and time.monotonic() < deadline - PROBE_SECONDS:
        if holds_afresh(number, min(PROBE_SECONDS, seconds)):
            good = number
        else:
            bad = number
        number = min(number * 2, most) if bad > most else (good + bad) // 2
    while good > 0 and not holds_afresh(good, seconds):
        good -= max(1, good // 10)
    return good


def main(first: int = FIRST, most: int = MOST, seconds: float = SECONDS) -> None:
    record("capacity", {"stations": search(first, most, seconds), "seconds": seconds})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
