"""Is a user's theme heard, note for note, whatever the music is?

A theme of four bars in D minor is asked for in every style and three keys, still to driving, and again two bars after
the music went to another style, key and tempo. Of each of its notes is looked, among the notes that the synth was
given, for one of the lead within a tick of its place on the clock whose pitch is the same step above the running tonic,
and for nothing else of the lead in between. `heard` is their share, with its 95 % interval (Wilson); `other_notes`
counts what the lead played besides; `on_chord` is the share of its notes on beats 1 and 3 that belong to the chord of
the harmony's notes there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.harness import record
from benchmarks.theme_from import wilson
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.notes import TICKS_PER_BEAT
from engine.performance import Performance, step
from moods.control import parse_control
from moods.harmony import parse_key
from moods.intent import LAYERS, STYLES
from moods.opening import parse_opening

KEYS = ("D minor", "F# major", "Bb dorian")
STEPS = (
    (0, 0), (4, 1), (3, 2.5), (2, 3), (1, 3.5), (2, 4), (0, 5), (1, 6), (2, 7), (4, 8), (5, 10), (4, 10.5), (3, 11),
    (0, 12),
)  # fmt: skip
"""Steps above the tonic, and beats."""
MINOR = (0, 2, 3, 5, 7, 8, 10)
SCALES = {"minor": MINOR, "major": (0, 2, 4, 5, 7, 9, 11), "dorian": (0, 2, 3, 5, 7, 9, 10)}
HARMONY, LEAD = LAYERS.index("harmony"), LAYERS.index("lead")
NUM_BARS = 24


@dataclass
class Counts:
    notes: int = 0
    heard: int = 0
    others: int = 0
    strong: int = 0
    on_chord: int = 0


def _perform(
    generator: Generator, key: str, turn: int
) -> Iterator[tuple[Performance, list[int], npt.NDArray[np.void]]]:
    """Every style in this key: the performance, the beats at which the theme begins, and all notes."""
    notes = [{"pitch": 62 + MINOR[degree], "at": at, "beats": 0.5} for degree, at in STEPS]
    performances, begun, heard = [], [], []
    for slot, style in enumerate(STYLES):
        energy = (slot + 4 * turn) % len(STYLES) / (len(STYLES) - 1)
        opening = {"style": style, "key": key, "energy": energy, "themes": {"hero": {"notes": notes, "key": "D minor"}}}
        performances.append(Performance(generator, slot, parse_opening(opening), 100 * turn + slot))
        begun.append([_ask(performances[-1])])
        heard.append([])
    while waiting := [p for p in performances if p.controller.beat_at(p.music_frame) < 4 * NUM_BARS]:
        for performance in waiting:
            if performance.controller.beat_at(performance.music_frame) >= 40 and len(begun[performance.slot]) == 1:
                other, bpm = STYLES[(performance.slot + 5) % len(STYLES)], 70 + 7 * performance.slot
                fields = {"style": other, "key": KEYS[(turn + 1) % len(KEYS)], "bpm": bpm}
                performance.apply(parse_control({"type": "steer", "set": fields, "at": "bar"}))
                begun[performance.slot].append(_ask(performance, "8 bars"))
        for performance, sound in zip(waiting, step(generator, waiting, notes=True), strict=True):
            heard[performance.slot].append(sound.notes)
    for performance in performances:
        yield performance, begun[performance.slot], np.concatenate(heard[performance.slot])
        performance.close()


def _ask(performance: Performance, at: str = "bar") -> int:
    ack = performance.apply(parse_control({"type": "theme", "name": "hero", "at": at}))
    return performance.controller.beat_at(ack.fields["theme"].begin.frame)


def _count(counts: Counts, performance: Performance, begins: int, notes: npt.NDArray[np.void]) -> None:
    clock, controller = performance.controller.clock, performance.controller
    lead, harmony = (notes[notes["layer"] == layer] for layer in (LEAD, HARMONY))
    inside = lead[(lead["frame"] >= clock.frame_of_beat(begins)) & (lead["frame"] < clock.frame_of_beat(begins + 16))]
    before = counts.heard
    for degree, at in STEPS:
        beat = begins + int(at)
        start, end = clock.frame_of_beat(beat), clock.frame_of_beat(beat + 1)
        frame, tick = start + at % 1 * (end - start), (end - start) / TICKS_PER_BEAT
        key = controller.beat_intent(beat).key
        pitch = (key.tonic + SCALES[key.scale][degree]) % 12
        is_there = (np.abs(inside["frame"] - frame) <= tick) & (inside["pitch"] % 12 == pitch)
        counts.notes += 1
        counts.heard += bool(is_there.any())
        if beat % 2 == 0 and at % 1 == 0:
            sounding = harmony[(harmony["frame"] <= end - 1) & (harmony["frame"] + harmony["length"] > start)]
            if len(sounding):
                counts.strong += 1
                counts.on_chord += pitch in set((sounding["pitch"] % 12).tolist())
    counts.others += len(inside) - (counts.heard - before)


def main(num_turns: int = 1) -> None:
    generator, counts = open_generator(EngineConfig(max_slots=len(STYLES))), Counts()
    for turn in range(num_turns * len(KEYS)):
        key = KEYS[turn % len(KEYS)]
        assert parse_key(key).scale in SCALES
        for performance, begun, notes in _perform(generator, key, turn):
            for begins in begun:
                _count(counts, performance, begins, notes)
    share = counts.heard / counts.notes
    record("leitmotif", {
        "notes": counts.notes, "heard": round(share, 4), "interval": wilson(share, counts.notes),
        "other_notes": counts.others, "on_chord": round(counts.on_chord / counts.strong, 3),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
