"""How long from asking for an endless stream to its first sound, and what do its readers cost?

Of each format: from the connection's begin to the first byte of audio behind what the format begins with, and to the
first sample that a decoder makes of what has come; for who joins an outlet that others read already (`warm`), and for
the first reader of a station that plays (`cold`), among twenty other readers. Then the server process's time with one
and with fifty readers of an mp3, and how old the sound is that a reader of Ogg hears who has read nothing for a while:
at once, and from when on it is of the present again.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import struct
import sys
import time
from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit

import av
import httpx
import psutil

from benchmarks.harness import Server, percentiles, record, running_server

KINDS = ("ogg", "mp3", "aac", "wav")
NUM_TRIALS, NUM_OTHERS, NUM_MANY = 12, 20, 50
SETTLE_S, CPU_S = 3.0, 10.0
STALL_S, PRESENT_S = 45.0, 4.0


async def connect(url: str, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """An HTTP/1.0 client, to which bytes come as they are; the head of the answer has been read."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET {path} HTTP/1.0\r\nHost: {address.netloc}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head, head
    return reader, writer


def num_header_bytes(kind: str, received: bytes) -> int:
    """What a stream begins with that is no audio; an Ogg has two pages of it."""
    if kind != "ogg":
        return 44 if kind == "wav" else 0
    third = [at for at in range(len(received)) if received.startswith(b"OggS", at)][2:3]
    return third[0] if third else len(received)


def is_heard(received: bytes) -> bool:
    try:
        with av.open(io.BytesIO(received)) as container:
            return any(frame.samples for frame in container.decode(audio=0))
    except (av.error.FFmpegError, IndexError):
        return False


async def join(url: str, path: str, kind: str) -> tuple[float, float]:
    """Milliseconds to the first byte of audio, and to the first sample."""
    began_s, first_byte_s, received = time.monotonic(), 0.0, b""
    reader, writer = await connect(url, path)
    while not first_byte_s or not is_heard(received):
        received += await reader.read(65_536)
        if not first_byte_s and len(received) > num_header_bytes(kind, received):
            first_byte_s = time.monotonic()
    heard_s = time.monotonic()
    writer.close()
    return 1000 * (first_byte_s - began_s), 1000 * (heard_s - began_s)


@contextlib.asynccontextmanager
async def readers(url: str, paths: list[str]) -> Any:
    """Listeners that read all that comes, while entered."""

    async def listen(path: str) -> None:
        reader, writer = await connect(url, path)
        try:
            while await reader.read(65_536):
                pass
        finally:
            writer.close()

    tasks = [asyncio.create_task(listen(path)) for path in paths]
    try:
        await asyncio.sleep(SETTLE_S)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def joins(server: Server, num_trials: int, num_others: int) -> dict[str, Any]:
    stations = [server.open_station(mood="focus", seed=seed)["links"] for seed in range(num_trials + 1)]
    others, *alone = stations
    figures: dict[str, dict[str, Any]] = defaultdict(dict)
    async with readers(server.url, [others[KINDS[number % len(KINDS)]] for number in range(num_others)]):
        for name, asked in (("warm", [others] * num_trials), ("cold", alone)):
            for kind in KINDS:
                found = [await join(server.url, links[kind], kind) for links in asked]
                bytes_ms, samples_ms = zip(*found, strict=True)
                figures[name][kind] = {"byte_ms": percentiles(bytes_ms), "sample_ms": percentiles(samples_ms)}
    for links in stations:
        httpx.delete(server.url + links["self"], timeout=10)
    return figures


async def cost(server: Server, path: str, num_readers: int) -> float:
    """Percent of a core that the server process takes, with the encoder."""
    async with readers(server.url, [path] * num_readers):
        process = psutil.Process(server.process.pid)
        process.cpu_percent()
        await asyncio.sleep(CPU_S)
        return process.cpu_percent()


def last_granule_s(ogg: bytes) -> float | None:
    """The station's second with which the last page ends whose head is there."""
    at = ogg.rfind(b"OggS", 0, len(ogg) - 14)
    return None if at < 0 else struct.unpack_from("<q", ogg, at + 6)[0] / 48_000


async def after_a_stall(server: Server, links: dict[str, str], stall_s: float) -> dict[str, float]:
    reader, writer = await connect(server.url, links["ogg"])
    received, until_s = b"", time.monotonic() + SETTLE_S
    while time.monotonic() < until_s:
        received = (received + await reader.read(65_536))[-65_536:]
    reader._transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(stall_s)
    position = httpx.get(server.url + links["self"], timeout=10).json()["position"]["seconds"]
    reader._transport.resume_reading()  # type: ignore[attr-defined]
    resumed_s, ages, received = time.monotonic(), [], b""
    while not ages or ages[-1] > PRESENT_S:
        if not (part := await reader.read(2_000)):
            raise RuntimeError("the server has ended a connection that was not read for a while")
        received += part
        if (heard_s := last_granule_s(received)) is not None:
            ages.append(position + time.monotonic() - resumed_s - heard_s)
    writer.close()
    return {
        "stalled_s": stall_s,
        "age_at_first_s": round(ages[0], 1),
        "old_bytes": len(received),
        "age_then_s": round(ages[-1], 1),
        "present_after_s": round(time.monotonic() - resumed_s, 2),
    }


async def measure(server: Server, num_trials: int, num_others: int, num_many: int, stall_s: float) -> dict[str, Any]:
    joined = await joins(server, num_trials, num_others)
    links = server.open_station(mood="focus", seed=1)["links"]
    idle = await cost(server, links["mp3"], 0)
    one, many = [await cost(server, links["mp3"], num_readers) for num_readers in (1, num_many)]
    costs = {"no_reader": idle, "one_reader": one, "many_readers": many, "many": num_many}
    return {**joined, "server_cpu_percent": costs, "stall": await after_a_stall(server, links, stall_s)}


def main(
    num_trials: int = NUM_TRIALS, num_others: int = NUM_OTHERS, num_many: int = NUM_MANY, stall_s: float = STALL_S
) -> None:
    with running_server(settings="max_stations = 64\n") as server:
        server.wait_for_all_engines()
        figures = asyncio.run(measure(server, num_trials, num_others, num_many, stall_s))
    record("http_join", {"trials": num_trials, "others": num_others, **figures})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
