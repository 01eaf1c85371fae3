"""The tempo map: beats, bars and frames. In: the tempo of each beat; out: where beats begin, in whole frames.

Remembers the first frame of every beat from the last `forget_before` to the furthest asked for. One thread at a time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moods.intent import BEATS_PER_BAR

FRAMES_PER_SECOND = 48_000


@dataclass(frozen=True, slots=True)
class Position:
    """A moment of the music; bars and beats count from 1."""

    frame: int
    seconds: float
    bar: int
    beat: int
    bpm: float
    fraction: float  # of the beat, 0 … 1

    def to_dict(self) -> dict[str, Any]:
        """The fields of an acknowledgement: frame, seconds, bar, beat."""
        return {"frame": self.frame, "seconds": self.seconds, "bar": self.bar, "beat": self.beat}


class Clock:
    """Beat k begins at an integer frame: frame(k+1) = frame(k) + round(60 · 48000 / bpm(k)), so nothing drifts.

    `bpm_of_beat(k)` is asked once for each beat, in order, when frame(k) is already known.
    """

    def __init__(self, bpm_of_beat: Callable[[int], float]) -> None:
        self._bpm_of_beat = bpm_of_beat
        self._first = 0  # the oldest beat remembered
        self._frames = [0]  # where each remembered beat begins

    def restart(self, beat: int, frame: int) -> None:
        """Count anew from `beat`, which begins at `frame`."""
        self._first, self._frames = beat, [frame]

    @property
    def oldest_beat(self) -> int:
        """The first that is remembered."""
        return self._first

    def frame_of_beat(self, beat: int) -> int:
        """The first frame of `beat` (from 0)."""
        assert beat >= self._first, (beat, self._first)
        while len(self._frames) <= beat - self._first:
            self._extend()
        return self._frames[beat - self._first]

    def frame_at(self, beats: float) -> int:
        """The frame nearest to `beats`, counted with their fraction from the start."""
        beat = int(beats)
        start = self.frame_of_beat(beat)
        return start if beats == beat else start + round((beats - beat) * (self.frame_of_beat(beat + 1) - start))

    def beat_at(self, frame: int) -> int:
        """The beat (from 0) that sounds at `frame`."""
        assert frame >= self._frames[0], (frame, self._frames[0])
        while self._frames[-1] <= frame:
            self._extend()
        return self._first + bisect_right(self._frames, frame) - 1

    def beats_at(self, frame: int) -> float:
        """Beats, with their fraction, from the start to `frame`."""
        beat = self.beat_at(frame)
        start, end = self._frames[beat - self._first : beat - self._first + 2]
        return beat + (frame - start) / (end - start)

    def first_beat_from(self, frame: int, multiple_of: int = 1) -> int:
        """The first beat whose number is a multiple of `multiple_of` and that begins at `frame` or later."""
        beat = self.beat_at(frame)
        if self.frame_of_beat(beat) < frame:
            beat += 1
        return -(-beat // multiple_of) * multiple_of

    def position(self, frame: int) -> Position:
        """Bar, beat and tempo at `frame`."""
        beat = self.beat_at(frame)
        fraction = self.beats_at(frame) - beat
        bar, beat_in_bar = divmod(beat, BEATS_PER_BAR)
        bpm = self._bpm_of_beat(beat)
        return Position(frame, frame / FRAMES_PER_SECOND, bar + 1, beat_in_bar + 1, bpm, fraction)

    def revise(self, beat: int) -> None:
        """The tempo has changed from `beat` on: its first frame stays, all later ones are counted anew."""
        del self._frames[max(1, beat - self._first + 1) :]

    def forget_before(self, frame: int) -> int:
        """Forget the beats that are over at `frame`; return the oldest beat kept."""
        kept = self.beat_at(frame)
        del self._frames[: kept - self._first]
        self._first = kept
        return kept

    def _extend(self) -> None:
        bpm = self._bpm_of_beat(self._first + len(self._frames) - 1)
        self._frames.append(self._frames[-1] + frames_of_beat(bpm))


def frames_of_beat(bpm: float) -> int:
    """How long a beat is."""
    return round(60 * FRAMES_PER_SECOND / bpm)
