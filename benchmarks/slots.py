"""How much host time does a station cost a block besides the kernels, where thousands share a batch?

The engine's side of playing: performances whose beats are told and whose next blocks are made together, and a piece of
`work` for all of them after each block, as on a card. But the kernels are stand-ins: trunk and renderer answer at once,
and the sampler hands out beats that the shipped model composed just before in the same moods, so that beats begin and
end, are remembered and recalled as often as in music. The stand-ins' time is not counted, all else is, also the
compiled loops over slots: the thread's own time, so that a busy machine counts little. Stations lie evenly over five
moods and over the beat; nothing is asked of them. Parts are exclusive: what the course takes where a beat begins is the
course's.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.harness import record
from engine import performance
from engine.audio import BLOCK_FRAMES, CHANNELS, Block
from engine.performance import Performance
from engine.score import sampling
from engine.score.composer import Composer, num_rows
from engine.score.overlay import Overlay
from engine.score.sampling import Heads, pack_heads
from engine.score.trunk import CpuTrunk
from engine.score.vocabulary import CHORD_EVENT, MAX_EVENTS_PER_BEAT
from engine.score_generator import ScoreGenerator
from engine.synth.synth import Synth
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.controller import Controller
from moods.opening import Opening

MOODS = ("night", "focus", "epic", "battle", "cafe")
NUMS_SLOTS = (1000, 4000)
RECORDED_BEATS = 96
STAGGER_BLOCKS = 25
"""About a beat: as many blocks the first stations are ahead of the last."""
WARM_BLOCKS, BLOCKS = 600, 200  # past the fourth bar, where each form is planned for the next eight minutes

Int = npt.NDArray[np.int64]


class Stopwatch:
    """Seconds by part, each part without those measured inside it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._running: list[str] = ["rest"]
        self._since = time.thread_time()

    def _turn(self) -> None:
        now = time.thread_time()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now

    def measure(self, owner: Any, name: str, part: str) -> None:
        """Count what `owner.name` takes as `part` from now on."""
        plain: Callable[..., Any] = getattr(owner, name)

        def measured(*args: Any, **options: Any) -> Any:
            self._turn()
            self._running.append(part)
            try:
                return plain(*args, **options)
            finally:
                self._turn()
                self._running.pop()

        setattr(owner, name, measured)

    def restart(self) -> None:
        self.seconds.clear()
        self._since = time.thread_time()

    def stop(self) -> Counter[str]:
        self._turn()
        return self.seconds


class StillTrunk:
    """Stands for the trunk: hidden states that nobody reads."""

    def __init__(self, dim: int, max_rows: int) -> None:
        self.num_rows, self._hidden = max_rows, np.zeros((max_rows, dim), np.float32)

    def advance(self, rows: Int, *_: Any) -> npt.NDArray[np.float32]:
        return self._hidden[: len(rows)]


class StillRenderer:
    """Stands for the synth's renderer: silence, in one array for good."""

    def __init__(self, max_slots: int) -> None:
        self._block = np.zeros((max_slots, CHANNELS, BLOCK_FRAMES), np.float32)

    def open(self, slot: int, state: Any) -> None:
        pass

    def render(self, slots: Sequence[int], *_: Any) -> tuple[Block, Block]:
        return self._block[: len(slots)], self._block[: len(slots), None, :, :0]


class Replay:
    """Stands for the sampler: every slot goes through the beats recorded in its mood, from a place of its own on."""

    def __init__(self, beats: list[list[Int]], max_slots: int) -> None:
        self._events = np.zeros((len(beats), RECORDED_BEATS, MAX_EVENTS_PER_BEAT + 1, 5), np.int64)
        for mood, recorded in enumerate(beats):
            for beat, events in enumerate(recorded):
                self._events[mood, beat, : len(events)] = events
        self._beat = np.arange(max_slots) // len(beats) * 4 % RECORDED_BEATS

    def choose_events(
        self, _: Any, __: Any, ___: Any, rows: sampling.Rows, _rules: Any, slots: Int, *____: Any
    ) -> None:
        beats = self._events[slots % len(self._events), self._beat[slots]]
        events = beats[np.arange(len(slots)), rows.num_events[slots]]
        rows.position[slots] += 1
        is_over = events[:, 0] == 0
        rows.done[slots[is_over]] = True
        self._beat[slots[is_over]] = (self._beat[slots[is_over]] + 1) % RECORDED_BEATS
        slots, events = slots[~is_over], events[~is_over]
        rows.pending[slots], rows.events[slots, rows.num_events[slots]] = events, events
        rows.num_events[slots] += 1
        is_chord = events[:, 0] == CHORD_EVENT
        rows.chord[slots[is_chord]] = events[is_chord, 2]


def record_beats(trunk: CpuTrunk, heads: Heads) -> list[list[Int]]:
    """The events of the first beats of each mood, as the shipped model composes them."""
    composer = Composer(trunk, heads, len(MOODS))
    slots = range(len(MOODS))
    for slot, mood in enumerate(MOODS):
        composer.open(slot, Controller(Opening(mood=mood), seed=slot))
    beats: list[list[Int]] = [[] for _ in MOODS]
    for beat in range(RECORDED_BEATS):
        composer.prepare(slots)
        for slot in slots:
            composer.take(slot)
            beats[slot].append(composer._memory.events(np.array([slot]), np.array([beat]))[0].astype(np.int64))
    return beats


PARTS = (
    (performance, "step", "performances"),
    (ScoreGenerator, "step", "generator"),
    (ScoreGenerator, "work", "generator"),
    (ScoreGenerator, "_notice_controls", "course, controls"),
    (Controller, "intent", "course, colour"),
    (Controller, "holds_until", "course, colour"),
    (Controller, "beat_intent", "course, notes"),
    (Composer, "_begin_beats", "beats begin"),
    (Composer, "_finish_beats", "beats end"),
    (Composer, "_step", "composing"),
    (Composer, "take_all", "beats to the synth"),
    (ScoreGenerator, "_sound_beats", "beats to the synth"),
    (Overlay, "hear", "overlay"),
    (Overlay, "sounds", "overlay"),
    (Synth, "play_all", "synth"),
    (Synth, "render_rows", "synth"),
    (StillTrunk, "advance", "kernels"),
    (Replay, "choose_events", "kernels"),
    (StillRenderer, "render", "kernels"),
)


def open_stations(num_slots: int, beats: list[list[Int]], heads: Heads, dim: int) -> list[Performance]:
    """As many performances, evenly over the beat."""
    synth = Synth(num_slots)
    synth._renderer = StillRenderer(num_slots)
    sampling.choose_events = Replay(beats, num_slots).choose_events
    composer = Composer(StillTrunk(dim, num_rows(num_slots)), heads, num_slots)
    generator = ScoreGenerator(composer, synth, num_slots, piece_slots=num_slots)
    stations = [
        Performance(generator, slot, Opening(mood=MOODS[slot % len(MOODS)]), seed=slot) for slot in range(num_slots)
    ]
    for block in range(STAGGER_BLOCKS):
        play_block(generator, [each for each in stations if each.slot // len(MOODS) % STAGGER_BLOCKS <= block])
    return stations


def tell(stations: Sequence[Performance]) -> None:
    for station in stations:
        station.announcements()


def play_block(generator: ScoreGenerator, stations: Sequence[Performance]) -> None:
    """As the engine's process does, but for what it sends."""
    tell(stations)
    performance.step(generator, stations)
    generator.work([station.slot for station in stations])


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("slots")
    parser.add_argument("num_slots", type=int, nargs="*", default=NUMS_SLOTS)
    nums_slots = parser.parse_args(words).num_slots
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    heads = pack_heads(tensors)
    beats = record_beats(CpuTrunk(tensors, sizes, num_rows(len(MOODS))), heads)
    watch = Stopwatch()
    for owner, name, part in PARTS:
        watch.measure(owner, name, part)
    watch.measure(sys.modules[__name__], "tell", "announcements")
    figures = {}
    gc.collect()
    gc.freeze()  # as the engine's process does
    for num_slots in nums_slots:
        stations = open_stations(num_slots, beats, heads, sizes.dim)
        for block in range(WARM_BLOCKS + BLOCKS):
            if block == WARM_BLOCKS:
                watch.restart()
            play_block(stations[0].generator, stations)
        parts = {name: 1e6 * seconds / num_slots / BLOCKS for name, seconds in watch.stop().items()}
        kernels_us = parts.pop("kernels")
        figures[str(num_slots)] = {
            "host_us": round(sum(parts.values()), 2),
            "parts_us": {name: round(us, 2) for name, us in sorted(parts.items(), key=lambda item: -item[1])},
            "stand_ins_us": round(kernels_us, 2),
        }
    record("slots", {"us_a_station_and_block": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
