"""When more stations are asked for than the machine can play, do those that fit go on as if nothing were?

1.3 times as many stations as hold (`capacity`; given, or found first) play to a listener each for a minute. A station
is whole if its listener missed no block, heard no filler and was not put to rest in favour of others.
"""

from __future__ import annotations

import sys
import time

import httpx

from benchmarks.audience import Audience, Heard, digest_of
from benchmarks.capacity import FIRST, MOST, fill, search, underruns
from benchmarks.capacity import SECONDS as CAPACITY_SECONDS
from benchmarks.harness import record, running_server
from engine.audio import BLOCK_FRAMES

SECONDS, SETTLE_S, TOO_MANY = 60.0, 5.0, 1.3
_SILENCE = digest_of(bytes(4 * BLOCK_FRAMES))


def is_whole(heard: Heard, since_s: float, until_s: float) -> bool:
    """Whether a listener got 16-bit music in every 20 ms of this time."""
    window = [
        (frame, digest)
        for frame, digest, at_s in zip(heard.frames, heard.digests, heard.arrivals_s, strict=True)
        if since_s <= at_s < until_s
    ]
    frames = [frame for frame, _ in window]
    is_gapless = len(frames) >= 49 * (until_s - since_s) and frames[-1] - frames[0] == BLOCK_FRAMES * (len(frames) - 1)
    return is_gapless and _SILENCE not in (digest for _, digest in window)


def main(num_that_hold: int = 0, seconds: float = SECONDS) -> None:
    num_that_hold = num_that_hold or search(FIRST, MOST, CAPACITY_SECONDS)
    asked = round(TOO_MANY * num_that_hold)
    with running_server(settings=f"max_stations = {2 * MOST}\nmax_sessions = {2 * MOST}\n") as server:
        audience = Audience(server.url, "pcm_s16le")
        num_opened = asked
        try:
            fill(server, audience, asked)
        except httpx.HTTPStatusError:
            num_opened = len(underruns(server))
        time.sleep(SETTLE_S)
        before, began_s = underruns(server), time.monotonic()
        time.sleep(seconds)
        after, ended_s = underruns(server), time.monotonic()
        heard = audience.leave()
    whole = sum(after[name] == before[name] and is_whole(one, began_s, ended_s) for name, one in heard.items())
    record("overload", {
        "hold": num_that_hold, "asked": asked, "opened": num_opened, "whole": whole, "seconds": seconds,
        "underruns": sum(after.values()) - sum(before.values()),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
