"""What a station would have sounded like had nothing disturbed it: its take performed again, away from any server.

In: takes; out: a digest of every block of the stream, and how many blocks that a listener heard are others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import httpx

from benchmarks.audience import Heard, digest_of
from engine.audio import BLOCK_FRAMES
from engine.backends import open_generator
from engine.config import EngineConfig
from moods.control import parse_opening
from moods.controller import Controller

Calm = dict[int, bytes]
"""Stream frame of a block → digest of its samples."""


def take_of(url: str, station: str) -> list[str]:
    return httpx.get(f"{url}/v1/stations/{station}/take", timeout=10).raise_for_status().text.splitlines()


def perform(takes: Mapping[str, Sequence[str]], num_blocks: int) -> dict[str, Calm]:
    """The first `num_blocks` blocks of the music of each take without controls, at the frames where they belong.

    Blocks that the engine left out, and the one in which the music comes back, are nowhere.
    """
    generator = open_generator(EngineConfig(max_slots=len(takes)))
    calm: dict[str, Calm] = {station: {} for station in takes}
    skips: list[dict[int, int]] = []
    for slot, take in enumerate(takes.values()):
        opening, *entries = [json.loads(line) for line in take]
        assert all(entry["type"] == "skip" for entry in entries), entries
        skips.append({entry["frame"]: entry["blocks"] * BLOCK_FRAMES for entry in entries})
        fields = {name: value for name, value in opening.items() if name not in ("type", "station", "is_complete")}
        generator.open(slot, Controller(parse_opening(fields), opening["seed"]))
    frames = [0] * len(takes)
    for _ in range(num_blocks):
        block = generator.step(range(len(takes)))
        for slot, blocks in enumerate(calm.values()):
            skipped = 0
            while num_frames := skips[slot].pop(frames[slot], 0):
                skipped, frames[slot] = num_frames, frames[slot] + num_frames
            if not skipped:
                blocks[frames[slot]] = digest_of(block[slot].T.tobytes())
            frames[slot] += BLOCK_FRAMES
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
