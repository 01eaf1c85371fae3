"""From combat to calm and back: is the state that was asked for heard within a bar, in tempo and in sound?

A performance goes a hundred times from one state to the other, by a cut at the next beat or bar, and stays two to four
bars. Of the bar that follows each acknowledged frame two things are heard: from the onsets of its notes, which of the
two tempos they lie in, counted from that frame; from its sound alone, in which state it is. The listener to sound knows
from other seeds, which began in one state and stayed there, how a bar of each is: the spectrum in bands, its
spread over the bar, and how often something begins. `alone` is how often it is right about bars of such music that it
has not learnt from. State changes that do not begin on the acknowledged frame, with a hit, count as not heard.

    python -m benchmarks.state_changes [:CHANGES]
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from benchmarks.harness import record
from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.performance import Performance, step
from moods.control import parse_control
from moods.intent import BEATS_PER_BAR
from moods.opening import Opening, parse_opening

STATES = {"calm": {"mood": "healing", "energy": 0.25}, "combat": {"mood": "epic", "energy": 0.9}}
NAMES = tuple(STATES)
REFERENCE_SEEDS, REFERENCE_BARS = (101, 102, 103, 104), 9
_NUM_BANDS, _WINDOW = 24, 4096
_KEPT_BLOCKS = 1000
_GRID = np.unique(np.concatenate([np.arange(5) / 4, np.arange(4) / 3]))

Sound = npt.NDArray[np.float32]
Frames = npt.NDArray[np.int64]


def opening(initial: str) -> Opening:
    return parse_opening({"states": STATES, "transitions": [{"how": "cut"}], "initial": initial})


class Heard:
    """A performance, the sound of its stream [T, 2] and the frames at which notes began, of the last seconds."""

    def __init__(self, generator: Generator, initial: str, seed: int) -> None:
        self.performance = Performance(generator, 0, opening(initial), seed)
        self._pcm: deque[Sound] = deque(maxlen=_KEPT_BLOCKS)
        self._onsets: deque[Frames] = deque(maxlen=_KEPT_BLOCKS)

    def play_to(self, frame: int) -> None:
        while self.performance.next_block * BLOCK_FRAMES < frame:
            sound = step(self.performance.generator, [self.performance], notes=True)[0]
            self._pcm.append(sound.pcm)
            if sound.notes is not None:
                self._onsets.append(sound.notes["frame"].astype(np.int64))

    def between(self, start: int, end: int) -> tuple[Sound, Frames]:
        """What was heard there, and the onsets counted from `start`."""
        self.play_to(end + BLOCK_FRAMES)
        onsets, pcm = np.concatenate(self._onsets), np.concatenate(self._pcm)
        first = start - (self.performance.next_block - len(self._pcm)) * BLOCK_FRAMES
        return pcm[first:][: end - start], onsets[(onsets >= start) & (onsets < end)] - start

    def bar_from(self, beat: int) -> tuple[Sound, Frames]:
        clock = self.performance.controller.clock
        return self.between(clock.frame_of_beat(beat), clock.frame_of_beat(beat + BEATS_PER_BAR))


def features(sound: Sound, onsets: Frames) -> npt.NDArray[np.float64]:
    """Of one bar: its spectrum in bands in dB, how far each moves, and the onsets a second."""
    mono = sound.mean(axis=1)
    frames = np.lib.stride_tricks.sliding_window_view(mono, _WINDOW)[:: _WINDOW // 2] * np.hanning(_WINDOW)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    edges = np.geomspace(40, 16_000, _NUM_BANDS + 1) * _WINDOW / SAMPLE_RATE
    bands = np.stack(
        [
            power[:, int(low) : max(int(low) + 1, int(high))].sum(axis=1)
            for low, high in zip(edges, edges[1:], strict=False)
        ]
    )
    levels = 10 * np.log10(bands + 1e-9)
    rate = len(np.unique(onsets)) / len(sound) * SAMPLE_RATE
    return np.concatenate([levels.mean(axis=1), levels.std(axis=1), [rate]])


class Listener:
    """Tells in which state a bar is, by the nearest mean of those that it knows, each feature in its own spread."""

    def __init__(self, bars: dict[str, list[npt.NDArray[np.float64]]]) -> None:
        everything = np.concatenate([np.stack(rows) for rows in bars.values()])
        self._spread = everything.std(axis=0) + 1e-9
        self._means = {name: np.mean(rows, axis=0) for name, rows in bars.items()}

    def state_of(self, bar: npt.NDArray[np.float64]) -> str:
        def distance(name: str) -> float:
            return float(np.square((bar - self._means[name]) / self._spread).sum())

        return min(self._means, key=distance)


def tempo_of(onsets: Frames, tempos: dict[str, float]) -> str:
    """The state in whose tempo onsets lie on sixteenths and triplets, counted from frame 0."""

    def distance(name: str) -> float:
        places = onsets / SAMPLE_RATE * tempos[name] / 60 % 1
        return float(np.abs(places[:, None] - _GRID).min(axis=1).mean())

    return min(tempos, key=distance)


def reference(generator: Generator) -> Iterator[tuple[int, str, npt.NDArray[np.float64]]]:
    """Bars of music that stays in one state, but for the first two."""
    for seed in REFERENCE_SEEDS:
        for name in NAMES:
            heard = Heard(generator, name, seed)
            for bar in range(2, REFERENCE_BARS):
                yield seed, name, features(*heard.bar_from(bar * BEATS_PER_BAR))
            heard.performance.close()


def main(num_changes: int = 100) -> None:
    generator = open_generator(EngineConfig())
    known = list(reference(generator))

    def listener(left_out: int | None) -> Listener:
        return Listener({name: [row for seed, of, row in known if of == name and seed != left_out] for name in NAMES})

    alone = [listener(seed).state_of(row) == name for seed, name, row in known]
    listening, rng, heard = listener(None), random.Random(1), Heard(generator, NAMES[0], 7)
    clock, tempos = heard.performance.controller.clock, dict[str, float]()
    wrong_state, wrong_place = 0, 0
    beat = 4 * BEATS_PER_BAR
    tempos[NAMES[0]] = heard.performance.controller.beat_intent(beat).bpm
    rows: list[tuple[str, Frames]] = []
    for change in range(num_changes):
        name, at = NAMES[(change + 1) % 2], rng.choice(("beat", "bar"))
        heard.play_to(clock.frame_of_beat(beat) + rng.randrange(SAMPLE_RATE // 4))
        ack = heard.performance.apply(parse_control({"type": "state", "name": name, "at": at}))
        began = clock.beat_at(ack.effective.frame)
        tempos.setdefault(name, heard.performance.controller.beat_intent(began + BEATS_PER_BAR).bpm)
        sound, onsets = heard.bar_from(began)
        rows.append((name, onsets))
        wrong_place += clock.frame_of_beat(began) != ack.effective.frame or not (onsets == 0).any()
        wrong_state += listening.state_of(features(sound, onsets)) != name
        beat = began + rng.randrange(2, 5) * BEATS_PER_BAR - rng.randrange(1, BEATS_PER_BAR)
        heard.performance.forget()
    wrong_tempo = sum(tempo_of(onsets, tempos) != name for name, onsets in rows)
    record("state_changes", {
        "changes": num_changes, "begun_elsewhere": wrong_place, "other_tempo_heard": wrong_tempo,
        "other_state_heard": wrong_state, "alone": round(float(np.mean(alone)), 3),
        "bpm": {name: round(bpm, 1) for name, bpm in tempos.items()},
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
