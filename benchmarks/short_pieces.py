"""Does a short piece begin with its theme, and has it one?

    python -m benchmarks.short_pieces [--moods healing,epic] [--seeds 1]

Pieces of 15, 30 and 60 s of every preset, composed as they are for a file (`render`, a timeline of that length) and for
a loudspeaker (`play`, endless music that is asked to end with a cadence), without sound. Of each: when the lead begins
its first note, p50, p95 and the most; the share of bars before the last chord in which it plays; the share of pieces
without any; the share of bars under the form's names intro and outro; whether the last chord is the tonic's, with the
tonic in the bass and nothing after it; and how long before the end the last note begins.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import percentiles, record
from engine.audio import SAMPLE_RATE
from engine.score.composer import ComposedBeat, Composer
from engine.score.piece import Piece
from engine.training.evaluation import takes, texture
from engine.training.figures import ends_on_tonic
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.control import parse_control
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR
from moods.mood import list_moods
from moods.opening import parse_opening

LENGTHS_S = (15.0, 30.0, 60.0)
DOORS = ("render", "play")


class Short(NamedTuple):
    """One piece and its course."""

    piece: Piece
    end_s: float
    last_onset_s: float


def open_course(door: str, mood: str, length_s: float, seed: int) -> Controller:
    """The course of a piece of `length_s`."""
    if door == "render":
        return Controller(parse_opening({"timeline": {"duration": length_s, "mood": mood}}), seed)
    controller = Controller(parse_opening({"mood": mood}), seed)
    controller.apply(parse_control({"type": "end", "how": "cadence", "at": {"seconds": length_s}}), 0)
    return controller


def compose(composer: Composer, controllers: Sequence[Controller]) -> Iterator[Short]:
    """Each to its end, in whole bars."""
    for first in range(0, len(controllers), takes.MAX_SLOTS):
        batch = controllers[first : first + takes.MAX_SLOTS]
        beats: list[list[ComposedBeat]] = [[] for _ in batch]
        for slot, controller in enumerate(batch):
            composer.open(slot, controller)
        while slots := [slot for slot, course in enumerate(batch) if not _is_over(course, len(beats[slot]))]:
            composer.prepare(slots)
            for slot in slots:
                beats[slot].append(composer.take(slot))
        for slot, controller in enumerate(batch):
            composer.close(slot)
            yield _short(controller, beats[slot])


def _is_over(controller: Controller, num_beats: int) -> bool:
    assert controller.end_frame is not None
    return num_beats % BEATS_PER_BAR == 0 and controller.frame_of_beat(num_beats) >= controller.end_frame


def _short(controller: Controller, beats: list[ComposedBeat]) -> Short:
    piece = takes.to_piece(controller, beats)
    last = [beat for beat in beats if len(beat.notes)]
    assert controller.end_frame is not None
    onset = controller.frame_of_beat(last[-1].index) if last else 0
    return Short(piece, controller.end_frame / SAMPLE_RATE, onset / SAMPLE_RATE)


def judge(found: Sequence[Short]) -> dict[str, Any]:
    """Figures of pieces of one length and door."""
    begins = [texture.lead_begins_s(short.piece) for short in found]
    names = [bar.section for short in found for bar in short.piece.bars]
    lead = [texture.lead_bars(short.piece) for short in found]
    return {
        "pieces": len(found),
        "lead_begins_s": percentiles(begins, 2),
        "lead_bars": round(float(np.mean(lead)), 1),
        "without_lead": round(float(np.mean([share == 0 for share in lead])), 3),
        "sections": {name: round(names.count(name) / len(names), 3) for name in dict.fromkeys(names)},
        "ends_on_tonic": round(float(np.nanmean([ends_on_tonic(short.piece) for short in found])), 1),
        "last_beat_before_end_s": percentiles([short.end_s - short.last_onset_s for short in found], 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.short_pieces", description=__doc__)
    parser.add_argument("--moods", default=",".join(mood.name for mood in list_moods()), help="presets")
    parser.add_argument("--seeds", type=int, default=1, help="of each preset")
    options = parser.parse_args(arguments)
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    composer = takes.make_composer(sizes, tensors)
    asked = [(mood, seed) for mood in options.moods.split(",") for seed in range(options.seeds)]
    result: dict[str, Any] = {}
    for door in DOORS:
        for length_s in LENGTHS_S:
            courses = [open_course(door, mood, length_s, seed) for mood, seed in asked]
            result[f"{door} {length_s:g} s"] = judge(list(compose(composer, courses)))
    record("short_pieces", result)


if __name__ == "__main__":
    main()
