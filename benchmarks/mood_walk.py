"""A station whose mood changes at random, again and again: what several benchmarks listen to.

In: a seed; out: the sound, and the changes as they were sent. The whole generator plays: real notes, the real synth.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.performance import Performance, step
from moods.control import parse_control
from moods.intent import LAYERS, STYLES
from moods.mood import list_moods
from moods.opening import Opening

Sound = npt.NDArray[np.float32]


def random_change(rng: np.random.Generator) -> dict[str, Any]:
    """What a listener at the studio page may do: another mood, a drag of the pad, a style, a fader."""
    kind = rng.choice(["mood", "pad", "style", "colour", "layers"], p=[0.4, 0.25, 0.2, 0.1, 0.05])
    number = lambda low, high: round(float(rng.uniform(low, high)), 3)  # noqa: E731
    if kind == "mood":
        fields: dict[str, Any] = {"mood": str(rng.choice([mood.name for mood in list_moods()]))}
    elif kind == "pad":
        fields = {"energy": number(0, 1), "valence": number(-1, 1)}
    elif kind == "style":
        first, second = rng.choice(STYLES, 2, replace=False)
        fields = {"style": {str(first): 1.0} if rng.random() < 0.5 else {str(first): 0.6, str(second): 0.4}}
    elif kind == "colour":
        fields = {"brightness": number(0, 1), "energy": number(0, 1), "tension": number(0, 1)}
    else:
        fields = {"layers": {str(rng.choice(LAYERS)): number(-18, 6)}}
    place = rng.choice(["default", "now", "beat", "bar"], p=[0.4, 0.2, 0.2, 0.2])
    return {"type": "steer", "set": fields} | ({} if place == "default" else {"at": str(place)})


class MoodWalk:
    """One station; `controller` is its course, `onsets` where notes began."""

    def __init__(self, seed: int, **opening: Any) -> None:
        self.rng = np.random.default_rng(seed)
        mood = str(self.rng.choice([mood.name for mood in list_moods()]))
        self._generator = open_generator(EngineConfig(max_slots=1))
        self._performance = Performance(self._generator, 0, Opening(mood=mood, **opening), seed)
        self.controller = self._performance.controller
        self.onsets: set[int] = set()
        self.latency_frames = self._generator.traits.latency_frames

    def change(self) -> dict[str, Any]:
        """Send a random control at the frame that is next; returns it."""
        control = random_change(self.rng)
        self._performance.apply(parse_control(control))
        return control

    @property
    def frame(self) -> int:
        """The next that is rendered."""
        return self._performance.next_block * BLOCK_FRAMES

    def blocks(self, seconds: float) -> Iterator[Sound]:
        """Play on: float32 [2, BLOCK_FRAMES] each."""
        for _ in range(round(seconds * SAMPLE_RATE / BLOCK_FRAMES)):
            yield step(self._generator, [self._performance])[0].pcm.T
            self._performance.forget()
            if self.frame % (5 * BLOCK_FRAMES) == 0:
                self.onsets.update(self._generator.snapshot(0)["synth"]["voices"]["onset"].tolist())

    def play(self, seconds: float) -> Sound:
        """The same as one array [2, T]."""
        return np.concatenate(list(self.blocks(seconds)), axis=1)
