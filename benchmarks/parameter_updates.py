"""How soon is a parameter heard that a game sends thirty times a second?

One client sends a station's parameter over the live WebSocket for a minute, each time another value; `changed_ms` is
from the sending to the arrival of the first audio packet that the update can change, the one that holds the frame of
its ack, at a listener of the WebSocket for audio. `ack_ms` is to the ack itself, `lead_ms` how long before their time
blocks were made, which is 15 on a machine that is not busy with other things. Beside them: answers, underruns, and how
many lines and bytes that leaves in the station's take.
"""

from __future__ import annotations

import asyncio
import bisect
import json
import math
import struct
import sys
import time
from typing import Any

import httpx
import websockets

from benchmarks.harness import Server, percentiles, record, running_server
from engine.audio import BLOCK_FRAMES

PER_S, SECONDS, LEAD_IN_S = 30, 60, 2.0
PARAMETERS = {"danger": {"to": [{"field": "energy", "curve": [[0, 0.1], [1, 0.9]]}]}}


async def measure(server: Server, seconds: int) -> dict[str, Any]:
    station = server.open_station(mood="focus", seed=1, parameters=PARAMETERS)["id"]
    base = f"{server.url.replace('http', 'ws', 1)}/v1/stations/{station}"
    arrivals: list[tuple[int, float]] = []
    sent_s: list[float] = []
    acked: dict[str, tuple[float, int]] = {}
    lead_ms: list[float] = []
    refused: list[str] = []

    async def listen() -> None:
        async for message in audio:
            if isinstance(message, bytes):
                arrivals.append((struct.unpack_from("<Q", message)[0], time.monotonic()))

    async def hear() -> None:
        async for message in live:
            event = json.loads(message)
            if event["type"] == "ack":
                acked[event["id"]] = time.monotonic(), event["effective_at"]["frame"]
                lead_ms.append(event["lead_ms"])
            elif event["type"] == "error":
                refused.append(event["detail"])

    async with websockets.connect(f"{base}/audio?format=opus") as audio, websockets.connect(f"{base}/live") as live:
        tasks = [asyncio.create_task(each) for each in (listen(), hear())]
        await asyncio.sleep(LEAD_IN_S)
        began_s = time.monotonic()
        for number in range(PER_S * seconds):
            await asyncio.sleep(max(0.0, began_s + number / PER_S - time.monotonic()))
            value = 0.5 + 0.5 * math.sin(2 * math.pi * number / 47) * (0.5 + 0.5 * math.cos(number))
            sent_s.append(time.monotonic())
            await live.send(json.dumps({"type": "parameter", "set": {"danger": round(value, 4)}, "id": str(number)}))
        await asyncio.sleep(1.0)
        for task in tasks:
            task.cancel()
    frames = [frame for frame, _ in arrivals]

    def arrival_s(frame: int) -> float:
        return arrivals[bisect.bisect_right(frames, frame) - 1][1]

    changed_ms = [1000 * (arrival_s(frame) - sent_s[int(number)]) for number, (_, frame) in acked.items()
                  if frame < frames[-1] + BLOCK_FRAMES]  # fmt: skip
    async with httpx.AsyncClient(base_url=server.url) as client:
        state = (await client.get(f"/v1/stations/{station}")).json()
        take = (await client.get(f"/v1/stations/{station}/take")).text
    return {
        "sent": len(sent_s),
        "acked": len(acked),
        "refused": len(refused),
        "changed_ms": percentiles(changed_ms),
        "lead_ms": percentiles(lead_ms),
        "ack_ms": percentiles([1000 * (at_s - sent_s[int(number)]) for number, (at_s, _) in acked.items()]),
        "underruns": state["health"]["underruns"],
        "take_lines": len(take.splitlines()) - 1,
        "take_bytes": len(take),
    }


def main(seconds: int = SECONDS) -> None:
    with running_server() as server:
        server.wait_for_all_engines()
        figures = asyncio.run(measure(server, seconds))
    record("parameter_updates", {"per_s": PER_S, "seconds": seconds, **figures})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
