"""What a station would have sounded like had nothing disturbed it: its take performed again, away from any server.

In: takes; out: a digest of every block of the stream, and how many blocks that a listener heard are others.
"""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from benchmarks.audience import Heard, digest_of
from engine.audio import BLOCK_FRAMES
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.performance import Performance, step
from engine.take import Take, read_take

Calm = dict[int, bytes]
"""Stream frame of a block → digest of its samples."""


def take_of(url: str, station: str) -> Take:
    return read_take(httpx.get(f"{url}/v1/stations/{station}/take", timeout=10).raise_for_status().text)


def perform(takes: Mapping[str, Take], num_blocks: int) -> dict[str, Calm]:
    """The streams of the takes up to block `num_blocks`; what the engine left out of them is nowhere."""
    generator = open_generator(EngineConfig(max_slots=len(takes)))
    performances = {
        station: Performance.of(generator, slot, take) for slot, (station, take) in enumerate(takes.items())
    }
    calm: dict[str, Calm] = {station: {} for station in takes}
    while due := {station: each for station, each in performances.items() if each.next_block < num_blocks}:
        frames = [each.next_block * BLOCK_FRAMES for each in due.values()]
        for station, frame, sound in zip(due, frames, step(generator, list(due.values())), strict=True):
            calm[station][frame] = digest_of(sound.pcm.tobytes())
    return calm


def wrong_blocks(heard: Heard, calm: Calm, since_frame: int, until_frame: int) -> int:
    """How many blocks of the stream from one frame up to another did not reach the listener, or were not the music."""
    right = {
        frame
        for frame, digest in zip(heard.frames, heard.digests, strict=True)
        if since_frame <= frame < until_frame and calm.get(frame) == digest
    }
    first = -(-since_frame // BLOCK_FRAMES) * BLOCK_FRAMES
    return len(range(first, until_frame, BLOCK_FRAMES)) - len(right)
