"""Does anything that the threat model fears reach the music, or bring the server down?

Two stations play to a listener each while a thousand attacks of each kind come. Counted are answers of 5xx but those
that say "full" with `Retry-After`, answers by status, blocks that did not reach the listeners or were not, sample for
sample, the takes as they are performed in peace, lines of the log that are none of the server's own or hold a token,
and the growth of the server's memory.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from benchmarks.attacks import OUTSIDE, REQUESTS, SOCKETS, Place, attack
from benchmarks.audience import Audience
from benchmarks.calm import perform, take_of, wrong_blocks
from benchmarks.harness import Server, record, running_server
from engine.audio import BLOCK_FRAMES

COUNT = 1000
SETTLE_S = 3.0
SETTINGS = f"""
max_stations = 5
max_sessions = 64
trusted_proxies = ["{OUTSIDE}"]
log_json = false
"""
_CHANNEL = "data channel floods"
_LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d undersong: |Undersong plays |Traceback|  File|\s+\^|[\w.]+(Error|Exception)"
)


async def offer_of_nobody() -> str:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    offer = pc.localDescription.sdp
    await pc.close()
    return offer


async def flood_channel(url: str, station: str, count: int) -> dict[str, int]:
    """Messages of all kinds over one data channel."""
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTransceiver("audio", direction="recvonly")
    channel, is_open = pc.createDataChannel("live"), asyncio.Event()
    channel.on("open", is_open.set)
    await pc.setLocalDescription(await pc.createOffer())
    async with httpx.AsyncClient() as http:
        sent = {"content": pc.localDescription.sdp, "headers": {"Content-Type": "application/sdp"}}
        answer = await http.post(f"{url}/whep/{station}", **sent)
    await pc.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
    await asyncio.wait_for(is_open.wait(), 20)
    for number in range(count):
        if channel.readyState == "open":
            channel.send(('{"type": "hit"}', "{", "x" * 60_000, '{"type": "panic"}')[number % 4])
        await asyncio.sleep(0)
    await asyncio.sleep(1)
    await pc.close()
    return {str(answer.status_code): 1}


def measure(server: Server, count: int) -> dict[str, Any]:
    tokens = {
        role: httpx.post(f"{server.url}/v1/tokens", json={"role": role}).json()["token"]
        for role in ("listen", "control", "admin")
    }
    stations = [
        server.open_station(mood=mood, seed=seed, name=f"s{seed}")["id"] for seed, mood in enumerate(("focus", "epic"))
    ]
    server.open_station(mood="night", name="aside")
    audience = Audience(server.url)
    for station in stations:
        audience.join(station)
    time.sleep(SETTLE_S)
    port = urlsplit(server.url).port
    assert port is not None
    # What is steered is a third station, so that the takes of the two stay as they are.
    place = Place(port, "aside", asyncio.run(offer_of_nobody()), tokens)
    began_mb = most_mb = server.process.memory_info().rss / 1e6
    answers: dict[str, dict[str, int]] = {}
    for kind in (*REQUESTS, *SOCKETS, _CHANNEL):
        if kind == _CHANNEL:
            answers[kind] = asyncio.run(flood_channel(server.url, "aside", count))
        else:
            answers[kind] = dict(asyncio.run(attack(place, kind, count)).most_common())
        most_mb = max(most_mb, server.process.memory_info().rss / 1e6)
        assert httpx.get(f"{server.url}/healthz", timeout=10).status_code == 200, kind
        print(kind, answers[kind], file=sys.stderr)
    time.sleep(SETTLE_S)
    takes = {station: take_of(server.url, station) for station in stations}
    heard = audience.leave()
    last = max(one.frames[-1] for one in heard.values())
    calm = perform(takes, last // BLOCK_FRAMES + 1)
    wrong = [wrong_blocks(one, calm[name], one.frames[0], one.frames[-1] + BLOCK_FRAMES) for name, one in heard.items()]
    log = Path(os.readlink(f"/proc/{server.process.pid}/fd/2")).read_text(errors="replace").splitlines()
    return {
        "of_each_kind": count,
        "kinds": len(answers),
        "answers": answers,
        "failures": sum(
            n for each in answers.values() for status, n in each.items() if status in ("500", "502", "504")
        ),
        "full": sum(each.get("503", 0) for each in answers.values()),
        "wrong_blocks": sum(wrong),
        "of": sum(len(one.frames) for one in heard.values()),
        "memory_mb": [round(began_mb), round(most_mb), round(server.process.memory_info().rss / 1e6)],
        "log_lines_of_others": sum(not _LINE.match(line) for line in log if line.strip()),
        "tokens_in_log": sum(any(token in line for token in tokens.values()) for line in log),
        "tracebacks": sum(line.startswith("Traceback") for line in log),
    }


def main(count: int = COUNT) -> None:
    with running_server(settings=SETTINGS) as server:
        server.wait_for_all_engines()
        record("hostile", measure(server, count))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
