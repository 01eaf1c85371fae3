"""From combat to calm and back: is the state that was asked for heard within a bar, in tempo and in sound?

A performance goes a hundred times from one state to the other, by a cut at the next beat or bar, and stays three bars
or four. Of the two bars that follow each acknowledged frame two things are heard: from the notes, on the ticks of which
tempo they begin, counted from that frame; from the sound and from which layers play how much, in which state it is. Who
listens for that knows from other seeds, which began in one state and stayed there, how two bars of each are: the
spectrum in bands, its spread, and the notes of each layer in a second, told apart by a linear discriminant. `alone` is
how often it is right about such music of seeds that it has not learnt from. A change that does not begin on the
acknowledged frame, with a note struck there, is `begun_elsewhere`.

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
from engine.notes import TICKS_PER_BEAT
from engine.performance import Performance, step
from moods.control import parse_control
from moods.intent import BEATS_PER_BAR, LAYERS
from moods.opening import Opening, parse_opening

STATES = {"calm": {"mood": "healing", "energy": 0.25}, "combat": {"mood": "epic", "energy": 0.9}}
NAMES = tuple(STATES)
REFERENCE_SEEDS, REFERENCE_BARS = tuple(range(101, 108)), 12
HEARD_BARS = 2
_NUM_BANDS, _WINDOW = 24, 4096
_SHRINKAGE = 0.5
_KEPT_BLOCKS = 1000

Sound = npt.NDArray[np.float32]
Notes = npt.NDArray[np.void]


def opening(initial: str) -> Opening:
    return parse_opening({"states": STATES, "transitions": [{"how": "cut"}], "initial": initial})


class Heard:
    """A performance, the sound of its stream [T, 2] and its notes, of the last seconds."""

    def __init__(self, generator: Generator, initial: str, seed: int) -> None:
        self.performance = Performance(generator, 0, opening(initial), seed)
        self._pcm: deque[Sound] = deque(maxlen=_KEPT_BLOCKS)
        self._notes: deque[Notes] = deque(maxlen=_KEPT_BLOCKS)

    def play_to(self, frame: int) -> None:
        while self.performance.next_block * BLOCK_FRAMES < frame:
            sound = step(self.performance.generator, [self.performance], notes=True)[0]
            self._pcm.append(sound.pcm)
            if sound.notes is not None:
                self._notes.append(sound.notes)

    def between(self, start: int, end: int) -> tuple[Sound, Notes]:
        """What was heard there, and the notes counted from `start`."""
        self.play_to(end + BLOCK_FRAMES)
        notes, pcm = np.concatenate(self._notes), np.concatenate(self._pcm)
        notes["frame"] -= start
        first = start - (self.performance.next_block - len(self._pcm)) * BLOCK_FRAMES
        return pcm[first:][: end - start], notes[(notes["frame"] >= 0) & (notes["frame"] < end - start)]

    def bars_from(self, beat: int) -> tuple[Sound, Notes]:
        clock = self.performance.controller.clock
        return self.between(clock.frame_of_beat(beat), clock.frame_of_beat(beat + HEARD_BARS * BEATS_PER_BAR))


def features(sound: Sound, notes: Notes) -> npt.NDArray[np.float64]:
    """The spectrum in bands in dB, how far each moves, and the notes of each layer a second."""
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
    rates = np.bincount(notes["layer"], minlength=len(LAYERS)) / len(sound) * SAMPLE_RATE
    return np.concatenate([levels.mean(axis=1), levels.std(axis=1), rates])


class Listener:
    """Tells in which of two states music is, by a line between those that it knows."""

    def __init__(self, known: dict[str, list[npt.NDArray[np.float64]]]) -> None:
        self._names = tuple(known)
        one, other = (np.stack(known[name]) for name in self._names)
        within = np.cov(np.concatenate([one - one.mean(axis=0), other - other.mean(axis=0)]), rowvar=False)
        within += _SHRINKAGE * np.diag(np.diag(within)) + 1e-6 * np.eye(len(within))
        self._line = np.linalg.solve(within, other.mean(axis=0) - one.mean(axis=0))
        self._middle = (one.mean(axis=0) + other.mean(axis=0)) / 2

    def state_of(self, music: npt.NDArray[np.float64]) -> str:
        return self._names[int((music - self._middle) @ self._line > 0)]


def tempo_of(notes: Notes, tempos: dict[str, float]) -> str:
    """The state on the ticks of whose tempo notes begin, counted from frame 0."""

    def distance(name: str) -> float:
        ticks = notes["frame"] / SAMPLE_RATE * tempos[name] / 60 * TICKS_PER_BEAT
        return float(np.abs(ticks - np.rint(ticks)).mean())

    return min(tempos, key=distance)


def reference(generator: Generator) -> Iterator[tuple[int, str, npt.NDArray[np.float64]]]:
    """What is heard of music that stays in one state, but for its first two bars."""
    for seed in REFERENCE_SEEDS:
        for name in NAMES:
            heard = Heard(generator, name, seed)
            for bar in range(2, REFERENCE_BARS, HEARD_BARS):
                yield seed, name, features(*heard.bars_from(bar * BEATS_PER_BAR))
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
    rows: list[tuple[str, Notes]] = []
    for change in range(num_changes):
        name, at = NAMES[(change + 1) % 2], rng.choice(("beat", "bar"))
        heard.play_to(clock.frame_of_beat(beat) + rng.randrange(SAMPLE_RATE // 4))
        ack = heard.performance.apply(parse_control({"type": "state", "name": name, "at": at}))
        began = clock.beat_at(ack.effective.frame)
        tempos.setdefault(name, heard.performance.controller.beat_intent(began + BEATS_PER_BAR).bpm)
        sound, notes = heard.bars_from(began)
        rows.append((name, notes))
        wrong_place += clock.frame_of_beat(began) != ack.effective.frame or not (notes["frame"] == 0).any()
        wrong_state += listening.state_of(features(sound, notes)) != name
        beat = began + rng.randrange(3, 5) * BEATS_PER_BAR - rng.randrange(1, BEATS_PER_BAR)
        heard.performance.forget()
    wrong_tempo = sum(tempo_of(notes, tempos) != name for name, notes in rows)
    record("state_changes", {
        "changes": num_changes, "begun_elsewhere": wrong_place, "other_tempo_heard": wrong_tempo,
        "other_state_heard": wrong_state, "alone": round(float(np.mean(alone)), 3),
        "bpm": {name: round(bpm, 1) for name, bpm in tempos.items()},
    })  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
