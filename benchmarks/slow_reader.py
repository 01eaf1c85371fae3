"""Does a listener that reads nothing harm the others, or the server's memory?

A hundred listeners hear one station by WebSocket as samples, first all of them, then one of them without reading
anything at all. Side by side stand, of the other 99: how long after the earliest of them each block reached each
(`late_ms`), blocks that did not follow on the last one (`breaks`), blocks the server dropped; and how much the server
process held after each. Of the stalled one stands what it was told when it read again.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import ClientConnection, connect

from benchmarks.audience import Audience, Heard
from benchmarks.harness import Server, percentiles, record, running_server

NUM_LISTENERS, SECONDS, SETTLE_S = 100, 15.0, 3.0


def stalled_listener(url: str, station: str) -> ClientConnection:
    """Connected, and with no more room in its own system than for a block; it reads no further than the header."""
    address = httpx.URL(url)
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect((address.host, address.port))
    path = f"{url.replace('http', 'ws', 1)}/v1/stations/{station}/audio?format=pcm_f32le"
    listener = connect(path, sock=narrow, max_queue=1, ping_interval=None)
    listener.recv()
    return listener


def dropped_chunks(server: Server) -> float:
    text = httpx.get(f"{server.url}/metrics", timeout=10).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return next(sample.value for sample in samples if sample.name == "undersong_dropped_chunks_total")


def late_ms(heard: list[Heard], since_s: float) -> list[float]:
    """By how much each block reached each listener later than the first of them."""
    first: dict[int, float] = {}
    for one in heard:
        for frame, at_s in zip(one.frames, one.arrivals_s, strict=True):
            first[frame] = min(at_s, first.get(frame, at_s))
    return [
        1000 * (at_s - first[frame])
        for one in heard
        for frame, at_s in zip(one.frames, one.arrivals_s, strict=True)
        if at_s >= since_s
    ]


def measure(server: Server, station: str, num_others: int, seconds: float, *, is_stalled: bool) -> dict[str, Any]:
    audience = Audience(server.url, "pcm_s16le")
    stalled = stalled_listener(server.url, station) if is_stalled else None
    for number in range(num_others):
        audience.join(station, str(number))
    time.sleep(SETTLE_S)
    began_s, dropped_before = time.monotonic(), dropped_chunks(server)
    process = psutil.Process(server.process.pid)
    process.cpu_percent()
    time.sleep(seconds)
    cpu, held_mb = process.cpu_percent(), process.memory_info().rss / 2**20
    heard = list(audience.leave().values())
    dropped = dropped_chunks(server) - dropped_before  # of those that have left, and the stalled one has not
    figures = {
        "late_ms": percentiles(late_ms(heard, began_s), 2),
        "breaks": sum(one.breaks for one in heard),
        "dropped_chunks": dropped,
        "server_cpu_percent": cpu,
        "server_mb": round(held_mb, 1),
    }
    if stalled is not None:
        while not isinstance(message := stalled.recv(10), str):
            pass
        figures["stalled_was_told_of_s"] = round(json.loads(message)["frames"] / 48_000, 1)
        stalled.close()
    return figures


def main(num_listeners: int = NUM_LISTENERS, seconds: float = SECONDS) -> None:
    with running_server(settings="max_sessions = 1000\n") as server:
        server.wait_for_all_engines()
        station = server.open_station(mood="focus", seed=1)["id"]
        figures = {
            name: measure(server, station, num_listeners - 1, seconds, is_stalled=is_stalled)
            for name, is_stalled in (("none_stalled", False), ("one_stalled", True))
        }
    record("slow_reader", {"listeners": num_listeners, "seconds": seconds, **figures})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
