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
from engine.performance import Performance, step
from engine.take import Entry, Rest, Resume, Skip
from moods.control import parse_opening

Calm = dict[int, bytes]
"""Stream frame of a block → digest of its samples."""

_KINDS = {"skip": lambda line: Skip(line["blocks"]), "rest": lambda line: Rest(), "resume": lambda line: Resume()}


def take_of(url: str, station: str) -> list[str]:
    return httpx.get(f"{url}/v1/stations/{station}/take", timeout=10).raise_for_status().text.splitlines()


def perform(takes: Mapping[str, Sequence[str]], num_blocks: int) -> dict[str, Calm]:
    """The first `num_blocks` blocks of each take without controls, at the frames where they belong.

    Blocks that the engine left out are nowhere.
    """
    generator = open_generator(EngineConfig(max_slots=len(takes)))
    performances = []
    for slot, take in enumerate(takes.values()):
        opening, *lines = [json.loads(line) for line in take]
        fields = {name: value for name, value in opening.items() if name not in ("type", "station", "is_complete")}
        performances.append(Performance(generator, slot, parse_opening(fields), opening["seed"]))
        performances[-1].replay(
            Entry(index, line["frame"] // BLOCK_FRAMES, _KINDS[line["type"]](line)) for index, line in enumerate(lines)
        )
    calm: dict[str, Calm] = {station: {} for station in takes}
    for _ in range(num_blocks):
        frames = [performance.next_block * BLOCK_FRAMES for performance in performances]
        for frame, sound, blocks in zip(frames, step(generator, performances), calm.values(), strict=True):
            blocks[frame] = digest_of(sound.pcm.tobytes())
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
