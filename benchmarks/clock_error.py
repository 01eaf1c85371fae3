"""Are beats told before they sound, on the frame where they sound, and does a client know when that is?

A generator whose sound is a sample at each beat plays a minute of pauses, tempo changes and restarts. `beats`: how long
before the arrival of its sound each was told for the last time (`ahead_ms`; `late` came after it), how many sounded on
another frame than the one told last or were not told at all (`wrong`), and how many were told and never sounded
(`unheard`). `rtp`: packets of a WHEP listener whose frame, by the `clock` event and their RTP timestamp, is that of
another packet of the WebSocket than the one with the same bytes.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import numpy as np
import websockets

from benchmarks.harness import Server, percentiles, record, running_server
from benchmarks.listener import WhepListener
from benchmarks.ticks import SETTING
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE

NUM_MOVES, LEAD_IN_S = 36, 3.0
TIMESTAMPS = 1 << 32


@dataclass
class Heard:
    """What a client has received of a station, with when."""

    ticks: dict[int, float] = field(default_factory=dict)
    """Frame of each beat in the sound → arrival of its packet."""
    packets: dict[int, bytes] = field(default_factory=dict)
    """Opus by frame."""
    told: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    clock: dict[str, Any] | None = None
    first_frame: int | None = None
    last_frame: int = 0

    async def hear_sound(self, socket: websockets.ClientConnection) -> None:
        async for message in socket:
            if isinstance(message, bytes):
                (frame,) = struct.unpack_from("<Q", message)
                left = np.frombuffer(message, "<f4", offset=8)[::2]
                for place in np.flatnonzero(left).tolist():
                    self.ticks[frame + place] = time.monotonic()
                self.first_frame = frame if self.first_frame is None else self.first_frame
                self.last_frame = frame + BLOCK_FRAMES

    async def hear_opus(self, socket: websockets.ClientConnection) -> None:
        async for message in socket:
            if isinstance(message, bytes):
                self.packets[struct.unpack_from("<Q", message)[0]] = message[8:]

    async def hear_events(self, socket: websockets.ClientConnection) -> None:
        async for message in socket:
            event = json.loads(message)
            if event["type"] in ("beat", "status"):
                self.told.append((time.monotonic(), event))
            elif event["type"] == "clock":
                self.clock = event

    def last_words(self) -> dict[int, float]:
        """Frame → when a beat was told for it, of those that nothing told later has taken back."""
        words: dict[int, tuple[float, tuple[int, int]]] = {}
        for at_s, event in self.told:
            if event["type"] == "status":
                if event["state"] != "playing":
                    words = {f: word for f, word in words.items() if f < event["position"]["frame"]}
                continue
            beat = event["bar"], event["beat"]
            newest = max(words, default=-1)
            words = {f: word for f, word in words.items()
                     if f < event["frame"] and not (f == newest and word[1] == beat)}  # fmt: skip
            words[event["frame"]] = at_s, beat
        return {frame: at_s for frame, (at_s, _) in words.items()}


async def move(live: websockets.ClientConnection, random: Random) -> None:
    """Pause for a while, change the tempo, or begin again."""

    async def do(**control: Any) -> None:
        await live.send(json.dumps(control))
        await asyncio.sleep(random.uniform(0.3, 1.5))

    match random.choice(["pause", "tempo", "tempo", "restart"]):
        case "pause":
            await do(type="transport", do="pause")
            await do(type="transport", do="play")
        case "restart":
            await do(type="transport", do="restart")
        case "tempo":
            over = random.choice([0, 0, "2 beats", 1.5])
            await do(type="steer", set={"bpm": random.randint(60, 220)}, over=over, at="beat")


async def measure(server: Server, num_moves: int) -> dict[str, Any]:
    station = server.open_station(mood="epic", bpm=150, seed=1)["id"]
    base = f"{server.url.replace('http', 'ws', 1)}/v1/stations/{station}"
    heard, random = Heard(), Random(5)
    listener = WhepListener(f"/whep/{station}")
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=10) as client,
        websockets.connect(f"{base}/audio?format=pcm_f32le", max_queue=1024) as sound,
        websockets.connect(f"{base}/audio?format=opus", max_queue=1024) as opus,
        websockets.connect(f"{base}/live") as live,
    ):
        await listener.connect(client)
        async with websockets.connect(f"{base}/live?session={listener.session}") as own:
            hearing = heard.hear_sound(sound), heard.hear_opus(opus), heard.hear_events(own), _drain(live)
            tasks = [asyncio.create_task(each) for each in hearing]
            await asyncio.sleep(LEAD_IN_S)
            for _ in range(num_moves):
                await move(live, random)
            await asyncio.sleep(LEAD_IN_S)
            for task in tasks:
                task.cancel()
        await listener.close()
        underruns = (await client.get(f"/v1/stations/{station}")).json()["health"]["underruns"]
    return {"moves": num_moves, "beats": beat_figures(heard), "rtp": rtp_figures(heard, listener),
            "underruns": underruns}  # fmt: skip


async def _drain(socket: websockets.ClientConnection) -> None:
    async for _ in socket:
        pass


def beat_figures(heard: Heard) -> dict[str, Any]:
    assert heard.first_frame is not None
    since = heard.first_frame + SAMPLE_RATE  # the first may have been told before anybody listened
    words = {frame: at_s for frame, at_s in heard.last_words().items() if since <= frame < heard.last_frame}
    ticks = {frame: at_s for frame, at_s in heard.ticks.items() if frame >= since}
    ahead_ms = [1000 * (ticks[frame] - words[frame]) for frame in ticks.keys() & words.keys()]
    return {
        "heard": len(ticks),
        "ahead_ms": {"least": round(min(ahead_ms), 1)} | percentiles(ahead_ms),
        "late": sum(ahead < 0 for ahead in ahead_ms),
        "wrong": len(ticks.keys() - words.keys()),
        "unheard": len(words.keys() - ticks.keys()),
    }


def rtp_figures(heard: Heard, listener: WhepListener) -> dict[str, Any]:
    """Of packets that are unlike their neighbours, so that bytes tell them apart."""
    clock = heard.clock
    assert clock is not None, "no clock was told"
    compared = wrong = 0
    for arrival in listener.arrivals:
        frame = clock["frame"] + (arrival.timestamp - clock["rtp_timestamp"] + TIMESTAMPS // 2) % TIMESTAMPS
        packet = heard.packets.get(frame - TIMESTAMPS // 2)
        if packet is not None:
            compared += 1
            wrong += packet != arrival.payload
    return {"packets": compared, "wrong": wrong}


def main(num_moves: int = NUM_MOVES) -> None:
    with running_server(settings=SETTING) as server:
        server.wait_for_all_engines()
        figures = asyncio.run(measure(server, num_moves))
    record("clock_error", figures)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
