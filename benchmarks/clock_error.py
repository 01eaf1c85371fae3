"""Are beats told before they sound, on the frame where they sound, and does a client know when that is?

A generator whose sound is a sample at each beat plays a minute of pauses, tempo changes and restarts. `beats`: how long
before the arrival of its sound each was told for the last time (`ahead_ms`; `late` came after it), how many sounded on
another frame than the one told last or were not told at all (`wrong`), and how many were told and never sounded
(`unheard`). `rtp`: packets of a WHEP listener whose frame, by the `clock` event and their RTP timestamp, is that of
another packet of the WebSocket than the one with the same bytes.

`browser`: a page with the JavaScript client in a real Chromium, over WebRTC and over a WebSocket. `error_ms` is between
where a beat's sample passes the page's audio graph and where the client's `timeOf` said it would when it was told.
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
from tests.browser.chromium import open_browser, page_of

NUM_MOVES, LEAD_IN_S = 36, 3.0
TIMESTAMPS = 1 << 32
BROWSER_S, SETTLE_S = 20, 4.0
NEAR_S = 0.15
"""A beat that sounds further from its time than this is another."""
_HEAR = """async ([name, transport, seconds]) => {
  const { Undersong } = await import("/client/undersong.js");
  const { tapOf } = await import("/client/tap.js");
  const music = new Undersong({ transport });
  const ticks = [], told = [];
  let last = -1;
  const write = (position, [left]) => {
    const rate = music.context.sampleRate;
    for (let index = 0; index < left.length; index++) {
      const at = position + index;
      if (Math.abs(left[index]) < 0.2) continue;
      if (at - last > 0.05 * rate) ticks.push({ at, peak: 0 });
      const tick = ticks.at(-1);
      if (Math.abs(left[index]) > tick.peak) [tick.peak, tick.at] = [Math.abs(left[index]), at];
      last = at;
    }
  };
  music.on("node", (node) => tapOf(node, { write }));
  music.on("beat", ({ frame, time }) => told.push({ frame, time }), { ahead_s: 0.1 });
  await music.play({ name });
  await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  const rate = music.context.sampleRate;
  music.leave();
  return { ticks: ticks.map(({ at }) => at / rate), told };
}"""


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
                if "still_from" in event:
                    words = {f: word for f, word in words.items() if f < event["still_from"]}
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


def browser_figures(server: Server, transport: str) -> dict[str, Any]:
    server.open_station(mood="epic", bpm=150, seed=2, name=transport)
    with (
        open_browser() as browser,
        page_of(browser, expected="Failed to load") as page,
    ):  # an icon; a name that is taken
        page.goto(f"{server.url}/v1/moods")
        heard = page.evaluate(_HEAR, [transport, transport, BROWSER_S])
    ticks = np.array(heard["ticks"])
    errors_ms = [
        1000 * float(ticks[np.abs(ticks - beat["time"]).argmin()] - beat["time"])
        for beat in heard["told"]
        if beat["time"] is not None and beat["time"] > ticks[0] + SETTLE_S and beat["time"] < ticks[-1] - NEAR_S
    ]
    near = [error for error in errors_ms if abs(error) < 1000 * NEAR_S]
    return {
        "beats": len(errors_ms),
        "elsewhere": len(errors_ms) - len(near),
        "error_ms": {"mean": round(float(np.mean(near)), 2)} | percentiles(np.abs(near).tolist(), 2),
    }


def main(num_moves: int = NUM_MOVES) -> None:
    with running_server(settings=SETTING) as server:
        server.wait_for_all_engines()
        figures = asyncio.run(measure(server, num_moves))
        figures["browser"] = {each: browser_figures(server, each) for each in ("webrtc", "websocket")}
    record("clock_error", figures)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
