"""The last bars again and again, for as long as the stream is missing.

In: what was heard, with its beats; out: the same. Remembers the loop and how often it has come round. Whoever reads it
holds the player's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""float32 [T, 2], full scale 1."""

RATE = 48_000
CHANNELS = 2
FADE_FRAMES = 960
"""Of every join, 20 ms: shorter would click, longer would be heard as two musics."""
BARS = (4, 2, 1)
"""Loops that are tried, the longest first: the more bars, the less it sounds like a loop."""
_MAX_DRIFT = 0.02
"""A loop whose bars differ in length by more than this part is not taken where a shorter one is to be had."""
_LEAST_FRAMES = RATE // 4
"""Less than this again and again is a buzz: then rather silence."""
BEATS_PER_BAR = 4

RISING = np.linspace(0.0, 1.0, FADE_FRAMES, dtype=np.float32)[:, None]


@dataclass(frozen=True, slots=True)
class Passed:
    """A beat that has been handed to the sink, at a frame of its output."""

    index: int
    message: dict[str, Any]


class Bed:
    """Begins where the sound of `past` ended, one loop earlier: beats go on where they would have been."""

    def __init__(
        self, recent: Callable[[int], Samples], num_recent: int, end_index: int, beats: Sequence[Passed]
    ) -> None:
        """`recent(n)` is the last n of `num_recent` frames, which end at the output's frame `end_index`; `beats` are
        those in them, the oldest first."""
        self.num_frames, self._num_bars = _length_of(beats, num_recent - FADE_FRAMES)
        self._began = end_index
        self._loop = np.zeros((FADE_FRAMES, CHANNELS), np.float32)
        if self.num_frames:
            past = recent(self.num_frames + FADE_FRAMES)
            self._loop = past[FADE_FRAMES:].copy()
            self._loop[-FADE_FRAMES:] += RISING * (past[:FADE_FRAMES] - self._loop[-FADE_FRAMES:])
        self._offset = 0
        first = end_index - self.num_frames
        self._beats = [(each.index - first, each.message) for each in beats if self._num_bars and each.index >= first]

    @property
    def is_silent(self) -> bool:
        """There was too little to repeat."""
        return not self.num_frames

    @property
    def has_beats(self) -> bool:
        return bool(self._beats)

    def read(self, num_frames: int) -> Samples:
        frames = (self._offset + np.arange(num_frames)) % len(self._loop)
        self._offset += num_frames
        return self._loop[frames]

    def beats(self, first: int, end: int) -> Iterator[Passed]:
        """The beats of the output's frames from `first` up to `end`, with bars that count on."""
        if not self._beats:
            return
        turn = (first - self._began) // self.num_frames
        while (start := self._began + turn * self.num_frames) < end:
            for offset, message in self._beats:
                if first <= start + offset < end:
                    bar = message["bar"] + (turn + 1) * self._num_bars
                    yield Passed(start + offset, message | {"bar": bar})
            turn += 1


def _length_of(beats: Sequence[Passed], room: int) -> tuple[int, int]:
    """Frames and bars of the loop; without beats two seconds and no bars."""
    if beats:
        last = beats[-1]
        for bars in BARS:
            starts = [beat.index for beat in beats if _number(last) - _number(beat) == bars * BEATS_PER_BAR]
            if starts and 0 < (length := last.index - starts[-1]) <= room and (bars == 1 or _is_steady(beats, bars)):
                return length, bars
    return (min(room, 2 * RATE), 0) if room >= _LEAST_FRAMES else (0, 0)


def _number(beat: Passed) -> int:
    return BEATS_PER_BAR * int(beat.message["bar"]) + int(beat.message["beat"])


def _is_steady(beats: Sequence[Passed], bars: int) -> bool:
    """Whether tempo stays within bounds over the last so many bars."""
    tempi = [float(beat.message["bpm"]) for beat in beats[-bars * BEATS_PER_BAR :]]
    return max(tempi) <= min(tempi) * (1 + _MAX_DRIFT)
