"""Does a client that hammers on a station get its answers, and does the music stand it?

Three hundred random controls in ten seconds over the live WebSocket, then two thousand at once; each run ends with one
last wish. Counted are the ids with one answer, with none and with several, by kind; whether the last wish stands; and
the blocks that did not reach a listener, or were not, sample for sample, the take as it is performed in peace.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from random import Random
from typing import Any

import httpx
import websockets

from benchmarks.audience import Audience
from benchmarks.calm import perform, take_of, wrong_blocks
from benchmarks.harness import Server, record, running_server
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from moods.mood import list_moods
from moods.stinger import list_stingers

NUM_SLOW, SLOW_S, NUM_AT_ONCE, SETTLE_S = 300, 10.0, 2000, 4.0
LAST = {"energy": 0.321, "brightness": 0.5}
PARAMETERS = {"danger": {"to": [{"field": "energy", "curve": [[0, 0.1], [1, 0.9]]}]}}
STATES = {"calm": {"mood": "night", "energy": 0.3}, "combat": {"mood": "epic", "energy": 0.9}}


def random_control(random: Random) -> dict[str, Any]:
    at = random.choice(["now", "beat", "bar", "2 bars"])
    return random.choice([
        {"type": "steer", "set": {"energy": round(random.random(), 3)}, "at": at},
        {"type": "steer", "set": {"mood": random.choice(list_moods()).name}, "over": random.choice([0, 1, "2 bars"])},
        {"type": "steer", "set": {"bpm": random.randint(40, 240)}, "how": random.choice(["glide", "cut", "bridge"])},
        {"type": "steer", "set": {"energy": 9}},
        {"type": "parameter", "set": {"danger": round(random.random(), 3)}},
        {"type": "state", "name": random.choice(["calm", "combat", "previous", "nowhere"])},
        {"type": "section", "do": random.choice(["next", "stay", "leave"])},
        {"type": "hit", "at": random.choice(["now", "beat"])},
        {"type": "stinger", "name": random.choice(list_stingers()).name},
        {"type": "duck", "gain_db": -random.randint(0, 20)},
        {"type": "cancel", "target": f"c{random.randint(0, 300)}"},
        {"type": "transport", "do": random.choice(["pause", "play"])},
        {"type": "transport", "do": "slow", "rate": 0.5},
        {"type": "dance"},
    ])  # fmt: skip


async def hammer(url: str, station: str, count: int, over_s: float, seed: int) -> dict[str, Any]:
    random = Random(seed)
    answers: dict[str, list[str]] = {}
    arrives: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def hear() -> None:
        async for message in live:
            event = json.loads(message)
            if event["type"] == "ack" and event["id"] == "last":
                arrives.set_result(max(reach["arrived_at"]["frame"] for reach in event["fields"].values()))
            if event["type"] in ("ack", "error") and event["id"] is not None:
                answers.setdefault(event["id"], []).append(event.get("code", "ack"))

    async with websockets.connect(f"{url.replace('http', 'ws', 1)}/v1/stations/{station}/live") as live:
        hearing = asyncio.create_task(hear())
        began_s = time.monotonic()
        asked = [f"c{number}" for number in range(count)]
        for number, control_id in enumerate(asked):
            await asyncio.sleep(max(0.0, began_s + over_s * number / count - time.monotonic()))
            await live.send(json.dumps(random_control(random) | {"id": control_id}))
        last = {"type": "steer", "set": LAST, "over": 0, "at": "2 bars", "id": "last"}
        for control in (
            {"type": "transport", "do": "play", "id": "play"},
            {"type": "transport", "do": "slow", "rate": 1, "id": "rate"},
            {"type": "duck", "gain_db": 0, "id": "duck"},
            last,
        ):
            await live.send(json.dumps(control))
        await asyncio.sleep(SETTLE_S)
        arrives_frame = await asyncio.wait_for(arrives, 30)
        while httpx.get(f"{url}/v1/stations/{station}").json()["position"]["frame"] < arrives_frame:
            await asyncio.sleep(0.1)
        await asyncio.sleep(SETTLE_S)
        mood = httpx.get(f"{url}/v1/stations/{station}").json()["mood"]
        hearing.cancel()
    counts = [len(answers.get(control_id, ())) for control_id in (*asked, "play", "rate", "duck", "last")]
    return {
        "sent": len(counts),
        "answered_once": counts.count(1),
        "unanswered": counts.count(0),
        "answered_more": sum(count > 1 for count in counts),
        "answers": dict(Counter(kind for kinds in answers.values() for kind in kinds).most_common()),
        "last_wish_stands": all(abs(mood[name] - value) < 1e-3 for name, value in LAST.items()),
    }


def measure(server: Server, count: int, over_s: float, seed: int) -> dict[str, Any]:
    station = server.open_station(mood="focus", seed=seed, parameters=PARAMETERS, states=STATES)["id"]
    audience = Audience(server.url)
    audience.join(station)
    figures = asyncio.run(hammer(server.url, station, count, over_s, seed))
    take = take_of(server.url, station)
    heard = audience.leave()[station]
    calm = perform({station: take}, heard.frames[-1] // BLOCK_FRAMES + 1)[station]
    wrong = wrong_blocks(heard, calm, heard.frames[0], heard.frames[-1] + BLOCK_FRAMES)
    blocks = round((heard.frames[-1] - heard.frames[0]) / BLOCK_FRAMES) + 1
    seconds = round(blocks * BLOCK_FRAMES / SAMPLE_RATE, 1)
    httpx.delete(f"{server.url}/v1/stations/{station}")
    return {**figures, "wrong_blocks": wrong, "of": blocks, "heard_s": seconds}


def main(num_slow: int = NUM_SLOW, num_at_once: int = NUM_AT_ONCE) -> None:
    with running_server() as server:
        server.wait_for_all_engines()
        figures = {
            "in_ten_seconds": measure(server, num_slow, SLOW_S, 1),
            "at_once": measure(server, num_at_once, 0.0, 2),
        }
    record("hammering", figures)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
