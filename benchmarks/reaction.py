"""How soon is a control heard, and is a beat-exact control exact?

Every trial opens two stations of the same seed and steers only one. What differs between them is what the control did.

`continuous_ms`: an energy and brightness steer, from the moment a client sends it over the live WebSocket to the
arrival of the first WHEP media packet whose bytes differ from the untouched twin's packet of the same frame.
`beat`: an energy steer with `at: beat`, heard as float samples. `early` counts trials in which a sample before the
acknowledged frame differs; `offset_frames` is where the first difference lies after it.
`now`: hits and stingers with `at: now`, heard in the same way; `wait_ms` is from the first frame that was not made when
the control was applied to the acknowledged one.
`thrown_away` trials met an underrun, as they may on a busy machine, and were made again.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import websockets

from benchmarks.harness import Server, percentiles, record, running_server
from benchmarks.listener import WhepListener
from engine.audio import SAMPLE_RATE
from moods.stinger import list_stingers

NUM_CONTINUOUS, NUM_BEAT, NUM_NOW = 100, 20, 16
LEAD_IN_S, WATCH_S = 1.0, 0.6
TIMESTAMPS = 1 << 32


class Tap:
    """Collects a station's audio WebSocket: frame → bytes."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self.blocks: dict[int, bytes] = {}

    async def run(self) -> None:
        await self._socket.recv()
        async for message in self._socket:
            if isinstance(message, str):  # a gap is told
                continue
            (frame,) = struct.unpack_from("<Q", message)
            self.blocks[frame] = message[8:]


async def steer(live: websockets.ClientConnection, control: dict[str, Any]) -> tuple[float, int]:
    """Send `control`; answers when it was sent and the frame from which it is promised."""
    sent = time.monotonic()
    await live.send(json.dumps(control))
    async with asyncio.timeout(5):
        async for message in live:
            event = json.loads(message)
            assert event["type"] != "error", event
            if event["type"] == "ack" and event["id"] == control["id"]:
                return sent, event["effective_at"]["frame"]
    raise AssertionError("no ack")


def first_change_ms(listener: WhepListener, twin: dict[int, bytes], sent: float) -> float:
    """Milliseconds from `sent` to the first packet that is not the twin's; frames are found by equal bytes."""
    frames = {payload: frame for frame, payload in twin.items()}
    before = [arrival for arrival in listener.arrivals if arrival.monotonic_s < sent and arrival.payload in frames]
    assert before, "the twins never sounded alike"
    offset = (before[-1].timestamp - frames[before[-1].payload]) % TIMESTAMPS
    for arrival in listener.arrivals:
        expected = twin.get((arrival.timestamp - offset) % TIMESTAMPS)
        if arrival.monotonic_s >= sent and expected is not None and arrival.payload != expected:
            return 1000 * (arrival.monotonic_s - sent)
    raise AssertionError("the control changed nothing while it was watched")


def first_change_frame(steered: dict[int, bytes], twin: dict[int, bytes]) -> int | None:
    for frame in sorted(steered.keys() & twin.keys()):
        if steered[frame] != twin[frame]:
            pair = [np.frombuffer(blocks[frame], "<f4").reshape(-1, 2) for blocks in (steered, twin)]
            return frame + int(np.flatnonzero((pair[0] != pair[1]).any(axis=1))[0])
    return None


async def close(client: httpx.AsyncClient, stations: list[str]) -> bool:
    """Close the twins; whether both played without an underrun, for the bridge over one differs by design."""
    states = [(await client.get(f"/v1/stations/{station}")).raise_for_status().json() for station in stations]
    for station in stations:
        await client.delete(f"/v1/stations/{station}")
    return not any(state["health"]["underruns"] for state in states)


async def undisturbed(trial: Callable[[int], Any], num_trials: int) -> tuple[list[Any], int]:
    """Results of `num_trials` trials without an underrun, and how many were thrown away for one."""
    results: list[Any] = []
    thrown_away = 0
    while len(results) < num_trials:
        result, is_clean = await trial(len(results) + thrown_away)
        if is_clean:
            results.append(result)
        else:
            thrown_away += 1
            assert thrown_away <= 2 * num_trials, "the machine is too busy to measure on"
    return results, thrown_away


async def continuous_trial(client: httpx.AsyncClient, sockets: Callable[[str], Any], seed: int) -> tuple[float, bool]:
    opening = {"mood": "focus", "seed": seed}
    steered, twin = [
        (await client.post("/v1/stations", json=opening)).raise_for_status().json()["id"] for _ in range(2)
    ]
    listener = WhepListener(f"/whep/{steered}")
    async with sockets(f"{twin}/audio?format=opus") as twin_audio, sockets(f"{steered}/live") as live:
        tap = Tap(twin_audio)
        running = asyncio.create_task(tap.run())
        await listener.connect(client)
        await asyncio.sleep(LEAD_IN_S + 0.02 * (seed % 7) / 7)  # meet the packet clock at any phase
        sent, _ = await steer(live, {"type": "steer", "set": {"energy": 0.9, "brightness": 0.9}, "id": "c"})
        await asyncio.sleep(WATCH_S)
        running.cancel()
    await listener.close()
    is_clean = await close(client, [steered, twin])
    return (first_change_ms(listener, tap.blocks, sent) if is_clean else 0.0), is_clean


async def exact_trial(
    client: httpx.AsyncClient, sockets: Callable[[str], Any], seed: int, control: dict[str, Any]
) -> tuple[tuple[int, int | None], bool]:
    """Frames from where a control was applied to the acknowledged one, and from there to the first difference, None if
    there is none within the watched beats."""
    opening = {"mood": "focus", "energy": 0.25, "seed": seed}
    steered, twin = [
        (await client.post("/v1/stations", json=opening)).raise_for_status().json()["id"] for _ in range(2)
    ]
    async with (
        sockets(f"{steered}/audio?format=pcm_f32le") as steered_audio,
        sockets(f"{twin}/audio?format=pcm_f32le") as twin_audio,
        sockets(f"{steered}/live") as live,
    ):
        taps = [Tap(steered_audio), Tap(twin_audio)]
        running = [asyncio.create_task(tap.run()) for tap in taps]
        await asyncio.sleep(LEAD_IN_S + seed % 5 * 0.17)
        _, promised = await steer(live, {**control, "id": "c"})
        await asyncio.sleep(3.0)
        for task in running:
            task.cancel()
    take = (await client.get(f"/v1/stations/{steered}/take")).text.splitlines()
    applied = json.loads(take[-1])["frame"]
    is_clean = await close(client, [steered, twin])
    changed = first_change_frame(taps[0].blocks, taps[1].blocks)
    return (promised - applied, None if changed is None else changed - promised), is_clean


def exactness(trials: list[tuple[int, int | None]]) -> dict[str, Any]:
    heard = [offset for _, offset in trials if offset is not None]
    return {
        "controls": len(trials),
        "wait_ms": percentiles([1000 * wait / SAMPLE_RATE for wait, _ in trials]) if trials else None,
        "early": sum(offset < 0 for offset in heard),
        "unheard": len(trials) - len(heard),
        "offset_frames": percentiles(heard, 0) if heard else None,
    }


async def measure(server: Server, num_continuous: int, num_beat: int, num_now: int) -> dict[str, Any]:
    base = server.url.replace("http", "ws", 1)

    def sockets(path: str) -> websockets.connect:
        return websockets.connect(f"{base}/v1/stations/{path}", max_queue=1024)

    names = [stinger.name for stinger in list_stingers()]
    asked: dict[str, tuple[int, Callable[[int], dict[str, Any]]]] = {
        "beat": (num_beat, lambda _: {"type": "steer", "set": {"energy": 0.95, "density": 0.9}, "at": "beat"}),
        "hit": (num_now, lambda _: {"type": "hit", "at": "now"}),
        "stinger": (num_now, lambda seed: {"type": "stinger", "name": names[seed % len(names)], "at": "now"}),
    }
    async with httpx.AsyncClient(base_url=server.url, timeout=10) as client:
        latencies_ms, thrown_away = await undisturbed(
            lambda seed: continuous_trial(client, sockets, seed), num_continuous
        )
        exact = {}
        for kind, (num_trials, control) in asked.items():
            trials, num_thrown_away = await undisturbed(
                lambda seed, control=control: exact_trial(client, sockets, seed, control(seed)), num_trials
            )
            thrown_away += num_thrown_away
            exact[kind] = exactness(trials)
    return {
        "continuous_ms": percentiles(latencies_ms) if latencies_ms else None,
        "controls": num_continuous,
        "beat": exact.pop("beat"),
        "now": exact,
        "thrown_away": thrown_away,
    }


def main(num_continuous: int = NUM_CONTINUOUS, num_beat: int = NUM_BEAT, num_now: int = NUM_NOW) -> None:
    with running_server() as server:
        server.wait_for_all_engines()
        figures = asyncio.run(measure(server, num_continuous, num_beat, num_now))
    record("reaction", figures)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
