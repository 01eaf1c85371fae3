"""Is a user's theme heard, note for note, whatever the music is?

A theme of four bars in D minor is asked for in every style and three keys, still to driving, and again after the music
has gone to another style, key and tempo. Of each of its notes it is looked, among what the composer hands to the synth,
for one of the lead within a tick of its place whose pitch is the same step above the running tonic. `heard` is their
share, with its 95 % interval (Wilson); `other_notes` counts what the lead played besides while the theme was stated;
`on_chord` is the share of its notes on beats 1 and 3 that belong to the chord that is played there.
"""

from __future__ import annotations

import sys
from collections import Counter

from benchmarks.harness import record
from benchmarks.theme_from import wilson
from engine.notes import TICKS_PER_BEAT
from engine.score.composer import ComposedBeat, Composer, num_rows
from engine.score.sampling import pack_heads
from engine.score.trunk import CpuTrunk
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.control import parse_control
from moods.controller import Controller
from moods.harmony import CHORD_QUALITIES
from moods.intent import LAYERS, STYLES
from moods.opening import parse_opening

SCALES = {"minor": (0, 2, 3, 5, 7, 8, 10), "major": (0, 2, 4, 5, 7, 9, 11), "dorian": (0, 2, 3, 5, 7, 9, 10)}
KEYS = ("D minor", "F# major", "Bb dorian")
TUNE = (
    (0, 0), (4, 1), (3, 2.5), (2, 3), (1, 3.5), (2, 4), (0, 5), (1, 6), (2, 7), (4, 8), (5, 10), (4, 10.5), (3, 11),
    (0, 12),
)  # fmt: skip
"""Steps above the tonic, and beats."""
TUNE_BEATS, MOVE_BEAT, NUM_BEATS = 16, 24, 64
LEAD = LAYERS.index("lead")


def _opened(slot: int, turn: int) -> tuple[Controller, list[int]]:
    """A station that is asked for the theme twice, and the beats at which it begins."""
    notes = [{"pitch": 62 + SCALES["minor"][step], "at": at, "beats": 0.5} for step, at in TUNE]
    energy = (slot + 4 * turn) % len(STYLES) / (len(STYLES) - 1)
    opening = {"style": STYLES[slot], "key": KEYS[turn % 3], "energy": energy, "themes": {"hero": {"notes": notes}}}
    opening["themes"]["hero"]["key"] = "D minor"
    controller = Controller(parse_opening(opening), 100 * turn + slot)
    move = {"style": STYLES[(slot + 5) % len(STYLES)], "key": KEYS[(turn + 1) % 3], "bpm": 70 + 7 * slot}
    begun = []
    for beat, asked in (
        (1, {"type": "theme", "name": "hero", "at": "bar"}),
        (MOVE_BEAT, {"type": "steer", "set": move, "at": "bar", "over": "1 bar"}),
        (MOVE_BEAT + 13, {"type": "theme", "name": "hero", "at": "bar"}),
    ):
        applied = controller.apply(parse_control(asked), controller.frame_of_beat(beat))
        if "theme" in applied.fields:
            begun.append(controller.beat_at(applied.fields["theme"].begin.frame))
    return controller, begun


def _count(counts: Counter[str], controller: Controller, beats: list[ComposedBeat]) -> None:
    """Compare the beats of a statement with the theme."""
    first = beats[0].index
    notes = [(TICKS_PER_BEAT * (beat.index - first) + note["tick"], note) for beat in beats for note in beat.notes]
    lead = [(tick, int(note["pitch"])) for tick, note in notes if note["layer"] == LEAD]
    counts["lead"] += len(lead)
    for step, at in TUNE:
        beat, tick = beats[int(at)], TICKS_PER_BEAT * at
        key = controller.beat_intent(beat.index).key
        pitch = (key.tonic + SCALES[key.scale][step]) % 12
        counts["notes"] += 1
        counts["heard"] += any(abs(place - tick) <= 1 and each % 12 == pitch for place, each in lead)
        if at % 2 == 0:
            tones = tuple(CHORD_QUALITIES.values())[beat.chord_quality]
            counts["strong"] += 1
            counts["on_chord"] += pitch in {(beat.chord_root + tone) % 12 for tone in tones}


def main(num_turns: int = 1) -> None:
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    slots = list(range(len(STYLES)))
    trunk, heads = CpuTrunk(tensors, sizes, num_rows(len(slots))), pack_heads(tensors)
    counts = Counter[str]()
    for turn in range(num_turns * len(KEYS)):
        composer, stations = Composer(trunk, heads, len(slots)), [_opened(slot, turn) for slot in slots]
        for slot, (controller, _) in enumerate(stations):
            composer.open(slot, controller)
        played: list[list[ComposedBeat]] = [[] for _ in slots]
        for _ in range(NUM_BEATS):
            composer.prepare(slots)
            for slot in slots:
                played[slot].append(composer.take(slot))
        for (controller, begun), beats in zip(stations, played, strict=True):
            for first in begun:
                _count(counts, controller, beats[first : first + TUNE_BEATS])
    share = counts["heard"] / counts["notes"]
    record("leitmotif", {
        "notes": counts["notes"], "heard": round(share, 4), "interval": wilson(share, counts["notes"]),
        "other_notes": counts["lead"] - counts["heard"], "on_chord": round(counts["on_chord"] / counts["strong"], 3),
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
