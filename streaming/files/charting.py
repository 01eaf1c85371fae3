"""What is known of a piece besides its sound. In: a performance while it plays; out: a report's fields, markers, MIDI.

Remembers beats, sections, hits and notes of the part that goes into files; whose frame 0 is `from_frame` of the music.
The composing thread calls it.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.performance import Beat, Performance, Section
from engine.performance import Marker as Struck
from moods.timeline import FPS_DEFAULT, Timeline
from streaming.files.exchange import Marker, Markers
from streaming.files.midi import MidiScore


class Chart:
    """Takes down what happens; asked for afterwards."""

    def __init__(
        self, performance: Performance, timeline: Timeline | None, title: str, from_frame: int, num_frames: int
    ) -> None:
        self._performance, self._timeline, self._title = performance, timeline, title
        self._opening_key, self._opening_bpm = performance.controller.beat_intent(0).key, performance.position().bpm
        self._from_frame, self._num_frames = from_frame, num_frames
        self._beats: list[Beat] = []
        self._sections: list[Section] = []
        self._hits: list[Struck] = []
        self._score = MidiScore(title)

    def note_next(self) -> None:
        """Take down what begins within the next block, before it is made."""
        for event in self._performance.beginning():
            frame = self._in_file(event.at.frame)
            if not 0 <= frame < self._num_frames:
                continue
            match event:
                case Beat():
                    self._beats.append(event)
                    self._score.add_beat(frame)
                    self._score.add_key(frame, self._performance.mood().key)
                    if self._performance.generator.traits.has_notes:
                        self._score.add_programs(frame, self._performance.generator.programs(self._performance.slot))
                case Section():
                    self._sections.append(event)
                    self._score.add_mark(frame, event.name)
                case Struck():
                    self._hits.append(event)
                    self._score.add_mark(frame, event.stinger or "hit")
        self._performance.forget()

    def note_notes(self, notes: npt.NDArray[np.void]) -> None:
        """Take down the notes [N] that begin in a block."""
        frames = notes["frame"] - self._from_frame
        kept = notes[(frames >= 0) & (frames < self._num_frames)].copy()
        kept["frame"] -= self._from_frame
        self._score.add_notes(kept)

    def _in_file(self, frame: int) -> int:
        return frame - self._from_frame

    def _seconds(self, frame: int) -> float:
        return round(self._in_file(frame) / SAMPLE_RATE, 6)

    def facts(self) -> dict[str, Any]:
        """The report's fields."""
        facts = {
            "bpm": round(self._opening_bpm, 3),
            "key": str(self._opening_key),
            "beats": [self._seconds(beat.at.frame) for beat in self._beats],
            "sections": [
                {"name": section.name, "at": self._seconds(section.at.frame), "bar": section.at.bar}
                for section in self._sections
            ],
        }
        return facts if self._timeline is None else {**facts, **self._fitted(self._timeline)}

    def _fitted(self, timeline: Timeline) -> dict[str, Any]:
        """How the music lies against what was marked."""
        plan, struck = timeline.plan, [hit.at.frame for hit in self._hits]
        hits = []
        for hit in timeline.hits:
            asked = round(hit.at * SAMPLE_RATE)
            nearest = min(struck, key=lambda frame: abs(frame - asked), default=None)
            error = None if nearest is None else round((nearest - asked) / SAMPLE_RATE * 1000, 3)
            hits.append({"at": hit.at, "error_ms": error})
        return {
            "hits": hits,
            "anchors": [
                {"at": anchor.at_s, "kind": anchor.kind, "error_ms": round(anchor.error_ms, 3)}
                for anchor in plan.anchors
            ],
            "tempo": {
                "asked": round(plan.asked_bpm, 3),
                "lowest": round(plan.lowest_bpm, 3),
                "highest": round(plan.highest_bpm, 3),
            },
        }

    def markers(self, media: Path) -> Markers:
        """Beats, bars, sections and hits, counted as the picture's timecode is."""
        timeline, length = self._timeline, Fraction(self._num_frames, SAMPLE_RATE)
        found = []
        for beat in self._beats:
            at, bar = self._exactly(beat.at.frame), beat.at.bar
            if beat.at.beat == 1:
                found.append(Marker(at, str(bar), "bar"))
            found.append(Marker(at, f"{bar}.{beat.at.beat}", "beat"))
        ends = [self._exactly(section.at.frame) for section in self._sections[1:]] + [length]
        for section, end in zip(self._sections, ends, strict=False):
            at = self._exactly(section.at.frame)
            found.append(Marker(at, section.name, "section", end - at))
        found += [Marker(self._exactly(hit.at.frame), hit.stinger or hit.id or "", "hit") for hit in self._hits]
        return Markers(
            frame_rate=FPS_DEFAULT if timeline is None else timeline.frame_rate,
            drop_frame=timeline is not None and timeline.drop_frame,
            start_timecode=None if timeline is None else timeline.start_timecode,
            duration=length,
            title=self._title,
            markers=tuple(found),
            media=media,
        )

    def _exactly(self, frame: int) -> Fraction:
        return Fraction(self._in_file(frame), SAMPLE_RATE)

    def write_midi(self, file: BinaryIO) -> None:
        """Raises OSError."""
        self._score.write(file, self._num_frames)
