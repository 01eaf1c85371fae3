"""Regions composed once more while all else stays as it is, to the sample.

In: a performance and regions of its stream; out: the stream's blocks. Remembers where it is. One thread at a time.

Where a region begins the performance is kept. It is played through the region as it is, unheard, and kept again; then
it returns to where the region began and its composer draws by the other seed, for everybody else hears the same; after
the region it is again what it was. The variant has the region for itself from bar line to bar line: it begins with what
rings from before, and in the region's last moment it gives way to the original, tails and all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.performance import Performance, Sound, step
from moods.timeline import Redo

_IN_FRAMES = SAMPLE_RATE // 250
"""4 ms: at its beginning the variant differs from the original only by what is struck there."""
_OUT_FRAMES = SAMPLE_RATE // 25
"""40 ms, of equal power: at its end they are different music."""


@dataclass(frozen=True, slots=True)
class Region:
    """Bars that are composed once more."""

    start_frame: int  # of the stream
    end_frame: int | None  # None: there is nothing after it
    beats: tuple[tuple[range, int], ...]  # and the seeds that draw them


def regions_between(redone: Sequence[Redo], bars: Sequence[tuple[int, int]], num_frames: int) -> tuple[Region, ...]:
    """From the bar line nearest to where each begins to that nearest to where it ends, a bar at least.

    `bars`: where each bar begins, in frames, and its first beat. Where two overlap the later one takes over.
    """
    regions: list[Region] = []
    for number, redo in enumerate(redone):
        lines = [frame for frame, _ in bars]
        first = _nearest(lines, redo.start)
        end = max(first + 1, _nearest([*lines, num_frames], redo.end))
        if number + 1 < len(redone):
            end = min(end, _nearest(lines, redone[number + 1].start))
        if end > first:
            end_frame = lines[end] if end < len(lines) else None
            beats = range(bars[first][1], bars[end][1] if end < len(bars) else sys.maxsize)
            region = Region(lines[first], end_frame, ((beats, redo.seed),))
            if regions and regions[-1].end_frame == region.start_frame:
                before = regions.pop()
                region = Region(before.start_frame, end_frame, before.beats + region.beats)
            regions.append(region)
    return tuple(regions)


def _nearest(frames: Sequence[int], seconds: float) -> int:
    return min(range(len(frames)), key=lambda index: abs(frames[index] - seconds * SAMPLE_RATE))


class Redoing:
    """A performance's stream, block by block, with some regions composed once more."""

    def __init__(self, performance: Performance, regions: Sequence[Region], *, stems: bool, notes: bool) -> None:
        self._performance, self._waiting = performance, list(regions)
        self._stems, self._notes = stems, notes
        self._latency = performance.generator.traits.latency_frames
        self._region: Region | None = None
        self._originals: dict[int, Sound] = {}  # the blocks in which both are heard
        self._afterwards: dict[str, Any] = {}  # the performance as it is after the region

    def step(self) -> Sound:
        """The next block."""
        performance = self._performance
        ahead = performance.generator.traits.block_multiple - 1
        next_frame = (performance.next_block + ahead + 1) * BLOCK_FRAMES
        if self._region is None and self._waiting and next_frame > self._waiting[0].start_frame:
            self._enter(self._waiting.pop(0))
        block = performance.next_block
        sound = self._make()
        if self._region is not None:
            sound = self._spliced(self._region, block, sound)
            end = self._region.end_frame
            if end is not None and performance.next_block >= self._end_block(end):
                performance.return_to(self._afterwards)
                self._region, self._originals, self._afterwards = None, {}, {}
        return sound

    def _make(self) -> Sound:
        performance = self._performance
        return step(performance.generator, [performance], stems=self._stems, notes=self._notes)[0]

    def _end_block(self, end_frame: int) -> int:
        """The first block in which only the original is heard."""
        return -(-(end_frame + self._latency) // BLOCK_FRAMES)

    def _enter(self, region: Region) -> None:
        performance, self._region = self._performance, region
        kept = performance.snapshot()
        beginning = (region.start_frame + self._latency + _IN_FRAMES) // BLOCK_FRAMES
        if region.end_frame is None:
            end = last = beginning + 1
        else:
            end = self._end_block(region.end_frame)
            last = min(region.end_frame, region.end_frame + self._latency - _OUT_FRAMES) // BLOCK_FRAMES
        while performance.next_block < end:
            block, sound = performance.next_block, self._make()
            if block <= beginning or block >= last:
                self._originals[block] = sound
        if region.end_frame is not None:
            self._afterwards = performance.snapshot()
        performance.return_to(kept)
        performance.compose_anew(region.beats)

    def _spliced(self, region: Region, block: int, variant: Sound) -> Sound:
        """A block of the variant, with the original wherever that is heard."""
        original = self._originals.get(block)
        if original is None:
            return variant
        frames = np.arange(block * BLOCK_FRAMES, (block + 1) * BLOCK_FRAMES) - self._latency
        begun = np.clip((frames - region.start_frame + 1) / _IN_FRAMES, 0.0, 1.0)
        gain, other = begun, 1 - begun
        if region.end_frame is not None:
            left = np.clip((region.end_frame - frames) / _OUT_FRAMES, 0.0, 1.0)
            gain, other = begun * np.sin(left * np.pi / 2), 1 - begun + begun * np.cos(left * np.pi / 2)
        sound = _mixed(original, variant, _as_gain(other), _as_gain(gain))
        if original.notes is not None and variant.notes is not None and region.end_frame is not None:
            before = variant.notes[variant.notes["frame"] < region.end_frame]
            after = original.notes[original.notes["frame"] >= region.end_frame]
            sound = replace(sound, notes=np.concatenate([before, after]))
        return sound


def _as_gain(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return values.astype(np.float32)[:, None]


def _mixed(
    original: Sound, variant: Sound, of_original: npt.NDArray[np.float32], of_variant: npt.NDArray[np.float32]
) -> Sound:
    """Both under their gains [960, 1]; where one has gain 0 and the other 1 this is the other, to the bit."""
    one, other = original.under(of_original), variant.under(of_variant)
    stems = None if one.stems is None or other.stems is None else one.stems + other.stems
    return replace(variant, pcm=one.pcm + other.pcm, stems=stems)
