"""Do all who listen hear a fade and get a clean end when the server is told to end, and how soon?

Four stations play to 50 listeners: by WebSocket with samples, by WebSocket with Opus, as an endless Ogg, as an endless
MP3, and by WebRTC with a live channel. The server gets SIGTERM. Told are the seconds from the signal to the end of each
listener, how many ended as they should (close code 1001, the last byte of a response, the words of the live channel and
then the peer), how long the fades were, how loud the last block of samples was, and when the process had ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import dataclass, field

import httpx
import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from benchmarks.harness import Server, percentiles, record, running_server
from benchmarks.listener import WhepListener
from engine.audio import BLOCK_SECONDS

NUM_LISTENERS = 50
NUM_STATIONS = 4
_SHARES = {"pcm": 0.3, "opus": 0.3, "ogg": 0.15, "mp3": 0.15, "webrtc": 0.1}
_PLAY_S = 8.0
_LIMIT_S = 3.0
_SHUT_DOWN = 1001


@dataclass
class Heard:
    """What one listener got."""

    kind: str
    ended_s: float = 0.0
    is_clean: bool = False
    peaks: list[float] = field(default_factory=list)
    """Of each block, where it got samples."""
    fault: str = ""


async def by_socket(heard: Heard, server: Server, station: str) -> None:
    audio_format = "pcm_f32le" if heard.kind == "pcm" else "opus"
    url = f"{server.url.replace('http', 'ws')}/v1/stations/{station}/audio?format={audio_format}&buffer_ms=5000"
    async with connect(url, max_queue=None, compression=None) as socket:
        try:
            while True:
                message = await socket.recv()
                if heard.kind == "pcm" and isinstance(message, bytes):
                    heard.peaks.append(float(np.abs(np.frombuffer(message, "<f4", offset=8)).max()))
        except ConnectionClosed as closed:
            heard.ended_s, heard.is_clean = time.monotonic(), closed.rcvd is not None and closed.rcvd.code == _SHUT_DOWN
            heard.fault = "" if heard.is_clean else str(closed)


async def by_stream(heard: Heard, server: Server, station: str, client: httpx.AsyncClient) -> None:
    url = f"{server.url}/v1/stations/{station}/audio.{heard.kind}"
    async with client.stream("GET", url) as answer:
        try:
            async for _ in answer.aiter_raw():
                pass
            heard.is_clean = True  # the last chunk came, else httpx complains
        except httpx.TransportError as error:
            heard.fault = repr(error)
        heard.ended_s = time.monotonic()


async def by_webrtc(heard: Heard, server: Server, station: str, client: httpx.AsyncClient) -> None:
    listener = WhepListener(f"{server.url}/whep/{station}")
    words: list[dict[str, object]] = []
    ended = asyncio.Event()
    channel = listener._pc.createDataChannel("live")
    channel.on("message", lambda text: words.append(json.loads(text)))
    listener._pc.on("connectionstatechange", lambda: listener._pc.connectionState == "closed" and ended.set())
    await listener.connect(client)
    await ended.wait()
    heard.ended_s = time.monotonic()
    last = words[-1] if words else {}
    heard.is_clean = (last.get("type"), last.get("code")) == ("closed", _SHUT_DOWN)
    heard.fault = "" if heard.is_clean else f"the last word was {last.get('type')}"


async def listen(server: Server, num_listeners: int) -> dict[str, object]:
    stations = [server.open_station(mood=mood, seed=7)["id"] for mood in ("focus", "epic", "night", "happy")]
    kinds = [kind for kind, share in _SHARES.items() for _ in range(round(share * num_listeners))]
    listeners = [Heard(kind) for kind in kinds[:num_listeners]]
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=60, limits=limits) as client:
        tasks = []
        for number, heard in enumerate(listeners):
            station = stations[number % NUM_STATIONS]
            if heard.kind == "webrtc":
                task = by_webrtc(heard, server, station, client)
            elif heard.kind in ("ogg", "mp3"):
                task = by_stream(heard, server, station, client)
            else:
                task = by_socket(heard, server, station)
            tasks.append(asyncio.create_task(task))
        await asyncio.sleep(_PLAY_S)
        alive = sum(not task.done() for task in tasks)
        signalled_s = time.monotonic()
        os.kill(server.process.pid, signal.SIGTERM)
        await asyncio.wait(tasks, timeout=3 * _LIMIT_S)
        for task in tasks:
            task.cancel()
        while server.process.is_running() and server.process.status() != "zombie":
            await asyncio.sleep(0.01)
        gone_s = time.monotonic() - signalled_s
    took_s = [heard.ended_s - signalled_s if heard.ended_s else 3 * _LIMIT_S for heard in listeners]
    faded = [heard.peaks for heard in listeners if heard.kind == "pcm"]
    by_kind = {kind: [s for s, heard in zip(took_s, listeners, strict=True) if heard.kind == kind] for kind in _SHARES}
    return {
        "listeners": len(listeners), "listened": alive, "clean": sum(heard.is_clean for heard in listeners),
        "within_limit": sum(seconds <= _LIMIT_S for seconds in took_s), "ended_s": percentiles(took_s, 2),
        "last_s_by_kind": {kind: round(max(each), 2) for kind, each in by_kind.items() if each},
        "fade_s": percentiles([fade_of(peaks) for peaks in faded], 2),
        "last_peak": round(max(peaks[-1] for peaks in faded), 5), "process_s": round(gone_s, 2),
        "faults": sorted({f"{heard.kind}: {heard.fault}" for heard in listeners if heard.fault}),
    }  # fmt: skip


def fade_of(peaks: list[float]) -> float:
    """From the last block that was as loud as the second before, by its half, to silence, seconds."""
    silent = next(at for at in range(len(peaks), 0, -1) if at == 1 or peaks[at - 1] > 1e-4)
    level = max(peaks[max(0, silent - 100) : silent])
    loud = next((at for at in range(silent, 0, -1) if peaks[at - 1] > level / 2), 0)
    return (silent - loud) * BLOCK_SECONDS


def main(num_listeners: int = NUM_LISTENERS) -> None:
    with running_server(settings='max_stations = 16\nstations = ""\n') as server:
        server.wait_for_all_engines()
        record("drain", asyncio.run(listen(server, num_listeners)))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
