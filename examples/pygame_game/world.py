"""The rules of the game: a hero, a wood, and wolves that step on the beat. No sound, no pictures, no clock of its own.

In: moves and beats; out: places, and what has happened. Distances are in tiles.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

WIDTH, HEIGHT = 24, 16
SPEED = 6.0
"""Tiles a second."""
SIGHT, REACH = 8.0, 1.6
HEARTS = 5
WOLVES = 3


@dataclass
class Wolf:
    x: float
    y: float
    is_awake: bool = False

    def distance(self, x: float, y: float) -> float:
        return math.hypot(self.x - x, self.y - y)


@dataclass
class World:
    """`happened` is emptied by whoever reads it: `seen`, `struck`, `bitten`, `won`, `fell`."""

    seed: int = 1
    x: float = WIDTH / 2
    y: float = HEIGHT - 2.0
    hearts: int = HEARTS
    num_waves: int = 0
    wolves: list[Wolf] = field(default_factory=list)
    happened: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.new_wave()

    def new_wave(self) -> None:
        """The hero is home again, and other wolves have come."""
        self.num_waves += 1
        self.hearts = HEARTS
        self.x, self.y = WIDTH / 2, HEIGHT - 2.0
        top = HEIGHT / 3
        self.wolves = [Wolf(self._random.uniform(1, WIDTH - 1), self._random.uniform(1, top)) for _ in range(WOLVES)]

    def move(self, right: float, down: float, seconds: float) -> None:
        """Walk; a wolf that sees the hero wakes all others."""
        length = math.hypot(right, down) or 1.0
        self.x = min(WIDTH - 0.5, max(0.5, self.x + right / length * SPEED * seconds))
        self.y = min(HEIGHT - 0.5, max(0.5, self.y + down / length * SPEED * seconds))
        if not self.is_fight and any(wolf.distance(self.x, self.y) < SIGHT for wolf in self.wolves):
            for wolf in self.wolves:
                wolf.is_awake = True
            self.happened.append("seen")

    def on_beat(self, beat: int) -> None:
        """Wolves that are awake step on every beat, and bite on the first of a bar."""
        for wolf in self.wolves:
            if not wolf.is_awake:
                continue
            distance = wolf.distance(self.x, self.y)
            if distance <= REACH and beat == 1:
                self._bite()
            elif distance > REACH / 2:
                wolf.x += (self.x - wolf.x) / distance
                wolf.y += (self.y - wolf.y) / distance

    def _bite(self) -> None:
        self.hearts -= 1
        self.happened.append("bitten")
        if self.hearts == 0:
            self.happened.append("fell")
            self.new_wave()

    def strike(self, is_on_beat: bool) -> None:
        """Hit the nearest wolf in reach; what is struck on the beat is struck for good, else it is thrown back."""
        near = [wolf for wolf in self.wolves if wolf.distance(self.x, self.y) <= REACH * 1.5]
        if not near:
            return
        wolf = min(near, key=lambda each: each.distance(self.x, self.y))
        if is_on_beat:
            self.wolves.remove(wolf)
            self.happened.append("struck")
            if not self.wolves:
                self.happened.append("won")
        else:
            wolf.y = max(0.5, wolf.y - 3)

    @property
    def is_fight(self) -> bool:
        return any(wolf.is_awake for wolf in self.wolves)

    @property
    def danger(self) -> float:
        """0 … 1: how near the nearest wolf is, and how few hearts are left."""
        if not self.wolves:
            return 0.0
        nearest = min(wolf.distance(self.x, self.y) for wolf in self.wolves)
        return max(0.0, min(1.0, 1 - nearest / (2 * SIGHT) + 0.1 * (HEARTS - self.hearts)))
