"""How long from asking for a station to its first sound on the wire?

From `POST /v1/stations` over the WHEP offer and answer, ICE and DTLS to the arrival of the first media packet at an
aiortc client, on a warm server: alone, and while twenty others play to listeners. The client's own offer is made inside
the measured time.
"""

from __future__ import annotations

import asyncio
import sys
import time

import httpx

from benchmarks.audience import Audience
from benchmarks.capacity import fill
from benchmarks.harness import percentiles, record, running_server
from benchmarks.listener import WhepListener
from streaming.config import Config

NUM_TRIALS, NUM_WARM = 30, 3
NUM_OTHERS, SETTLE_S = 20, 3.0


async def one_trial(client: httpx.AsyncClient) -> float:
    began = time.monotonic()
    station = (await client.post("/v1/stations", json={"mood": "focus"})).raise_for_status().json()
    listener = WhepListener(f"/whep/{station['id']}")
    await listener.connect(client)
    elapsed_ms = 1000 * (listener.arrivals[0].monotonic_s - began)
    await listener.close()
    (await client.delete(f"/v1/stations/{station['id']}")).raise_for_status()
    return elapsed_ms


async def trials(url: str, num_trials: int) -> list[float]:
    async with httpx.AsyncClient(base_url=url, timeout=10) as client:
        return [await one_trial(client) for _ in range(num_trials + NUM_WARM)][NUM_WARM:]


def main(num_trials: int = NUM_TRIALS, num_others: int = NUM_OTHERS) -> None:
    with running_server(settings=f"max_stations = 64\nengines = {Config().num_engines}\n") as server:
        server.wait_for_all_engines()
        alone_ms = asyncio.run(trials(server.url, num_trials))
        audience = Audience(server.url, "opus")
        fill(server, audience, num_others)
        time.sleep(SETTLE_S)
        among_ms = asyncio.run(trials(server.url, num_trials))
        audience.leave()
    record("first_packet", {
        "first_packet_ms": percentiles(alone_ms), "others": num_others, "among_others_ms": percentiles(among_ms),
        "trials": num_trials,
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
