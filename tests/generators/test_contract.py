"""What every generator promises, held against each kind there is: the score, and two of tests' own.

`engine.generator.Generator` has the promises; whoever plays a generator knows nothing else of it.
"""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.notes import SOUND
from moods.control import parse_control
from moods.controller import Controller
from moods.intent import LAYERS
from moods.opening import parse_opening
from tests.generators.pairs import Pairs
from tests.streaming.sines import Sines

SLOTS = 4
CHANGE = {"type": "steer", "set": {"mood": "epic", "energy": 1.0}, "at": "beat", "over": 0.5}
"""Something for each of them: notes, a level, a text."""
GENERATORS = {
    "score": lambda: open_generator(EngineConfig(max_slots=SLOTS)),
    "sines": lambda: Sines(SLOTS),
    "pairs": lambda: Pairs(SLOTS),
}

Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=GENERATORS)
def made(request: pytest.FixtureRequest) -> Generator:
    return GENERATORS[request.param]()


class Stage:
    """The slots of a generator, each with its controller and where its music is."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.step_frames = generator.traits.block_multiple * BLOCK_FRAMES
        self.controllers: dict[int, Controller] = {}
        self.frames: dict[int, int] = {}

    def told(self) -> dict[str, int]:
        """What a controller has to know of the generator."""
        return {"lead_frames": self.generator.traits.lead_frames, "block_frames": self.step_frames}

    def open(self, slot: int, seed: int = 1, **fields: Any) -> None:
        self.controllers[slot] = Controller(
            parse_opening({"mood": "travel", "energy": 0.3} | fields), seed, **self.told()
        )
        self.generator.open(slot, self.controllers[slot])
        self.frames[slot] = 0

    def control(self, slot: int, control: dict[str, Any] = CHANGE) -> int:
        """The frame before which nothing changes."""
        applied = self.controllers[slot].apply(parse_control(control), self.frames[slot])
        if applied.changed_since is not None:
            assert applied.changed_since >= self.frames[slot]
            self.generator.revise(slot, applied.changed_since)
        return applied.effective.frame

    def step(self, *slots: int, **asked: bool) -> Any:
        made = self.generator.step(slots, **asked)
        for slot in slots:
            self.frames[slot] += self.step_frames
        return made

    def play(self, slot: int, seconds: float) -> Samples:
        """[2, T] of one slot, in whole steps."""
        num_steps = round(seconds * SAMPLE_RATE / self.step_frames)
        return np.concatenate([self.step(slot).block[0] for _ in range(num_steps)], 1)

    def work_all(self, *slots: int) -> int:
        """All that can be done ahead; how many pieces that took."""
        return next(count for count in range(100_000) if not self.generator.work(slots))

    def move(self, source: int, target: int) -> None:
        """What `source` is now goes on in `target` as well, by way of bytes."""
        kept = pickle.loads(pickle.dumps((self.controllers[source].snapshot(), self.generator.snapshot(source))))
        self.controllers[target] = Controller.restore(kept[0], **self.told())
        self.generator.restore(target, self.controllers[target], kept[1])
        self.frames[target] = self.frames[source]

    def close(self, slot: int) -> None:
        self.generator.close(slot)
        del self.controllers[slot], self.frames[slot]


@pytest.fixture
def stage(made: Generator) -> Iterator[Stage]:
    stage = Stage(made)
    yield stage
    for slot in list(stage.controllers):
        stage.close(slot)


def alone(stage: Stage, slot: int = 0) -> Samples:
    """A second and a half, a change, two seconds more, from steps alone."""
    stage.open(slot)
    before = stage.play(slot, 1.5)
    stage.control(slot)
    return np.concatenate((before, stage.play(slot, 2)), 1)


def test_a_row_sounds_the_same_in_any_company_and_with_any_work_between(stage: Stage) -> None:
    expected = alone(stage)
    stage.close(0)
    rng = random.Random(4)
    for slot in range(SLOTS):
        stage.open(slot, seed=1 if slot in (1, 3) else slot + 5)
    sounds: dict[int, list[Samples]] = {slot: [] for slot in range(SLOTS)}
    change_at = round(1.5 * SAMPLE_RATE / stage.step_frames) * stage.step_frames
    is_changed = set()
    while min(stage.frames.values()) < expected.shape[1]:
        group = rng.sample(range(SLOTS), rng.randint(1, SLOTS))
        for slot in group:
            if stage.frames[slot] == change_at and slot not in is_changed:
                is_changed.add(slot)
                stage.control(slot)
        for _ in range(rng.choice((0, 0, 1, 5, 80))):
            stage.generator.work(rng.sample(range(SLOTS), rng.randint(1, SLOTS)))
        for slot, block in zip(group, stage.step(*group).block, strict=True):
            sounds[slot].append(block)
    for slot in (1, 3):
        assert np.array_equal(np.concatenate(sounds[slot], 1)[:, : expected.shape[1]], expected)
    assert not np.array_equal(np.concatenate(sounds[0], 1)[:, : expected.shape[1]], expected)


def test_it_goes_on_exactly_in_another_slot_from_a_snapshot(stage: Stage) -> None:
    """As steps leave it, in the middle of a piece of work, and with all done ahead; changed afterwards or not."""
    stage.open(0)
    stage.play(0, 1.2)
    stage.move(0, 1)
    for _ in range(7):
        stage.generator.work([0])
    stage.move(0, 2)
    stage.work_all(0)
    stage.move(0, 3)
    expected = stage.play(0, 1)
    for slot in (1, 2, 3):
        assert np.array_equal(stage.play(slot, 1), expected)
    for slot in (3, 0, 1, 2):
        stage.control(slot)
    expected = stage.play(0, 1.5)
    for slot in (1, 2, 3):
        assert np.array_equal(stage.play(slot, 1.5), expected)


def test_a_revision_alters_nothing_before_the_acknowledged_frame_and_something_after_it(stage: Stage) -> None:
    for slot in (0, 1):
        stage.open(slot)
    before = [stage.play(slot, 1.2) for slot in (0, 1)]
    stage.work_all(0, 1)
    effective = stage.control(1)
    plain, changed = (np.concatenate((before[slot], stage.play(slot, 2.5)), 1) for slot in (0, 1))
    differs = np.flatnonzero((plain != changed).any(0))
    assert effective <= differs[0] < effective + SAMPLE_RATE


def test_the_same_slot_opened_again_begins_anew(stage: Stage) -> None:
    first = alone(stage, 1)
    stage.close(1)
    assert np.array_equal(alone(stage, 1), first)


def test_work_comes_to_an_end_and_then_no_step_has_to_compose(stage: Stage) -> None:
    """Ready as long as what was done ahead lasts; opening is what a listener waits for, so nothing is done in it."""
    counted = dict(stage.generator.counters())
    stage.open(0, mood="night")
    stage.open(1, mood="focus")
    assert dict(stage.generator.counters()) == counted
    was_ready = [stage.generator.is_ready(slot) for slot in (0, 1)]
    assert was_ready == [stage.work_all(slot) == 0 for slot in (0, 1)]
    assert stage.generator.is_ready(0) and stage.generator.is_ready(1)
    stage.step(0, 1)
    assert not stage.generator.work([0, 1]) or not all(was_ready)


def test_what_is_due_first_is_worked_on_first(stage: Stage) -> None:
    """A slot that has nothing is ready after as many pieces as it takes alone, whoever else could be worked for."""

    def pieces_until_ready(slot: int, *asked: int) -> int:
        return next(
            count for count in range(100_000) if stage.generator.is_ready(slot) or not stage.generator.work(asked)
        )

    for slot in (1, 2, 3):
        stage.open(slot, seed=2)
        alone = pieces_until_ready(slot, slot)
    stage.open(0, seed=2)
    assert pieces_until_ready(0, 3, 2, 1, 0) == alone
    assert stage.generator.is_ready(0)


def first_sound(block: Samples) -> int:
    """The frame at which [2, T] begins to be anything but zero."""
    return int(np.flatnonzero(block.any(0))[0])


def test_it_makes_what_its_traits_say(stage: Stage) -> None:
    traits, generator = stage.generator.traits, stage.generator
    stage.open(0, mood="sport")
    stage.open(1, mood="sport")
    asked = {"stems": traits.has_stems, "notes": traits.has_notes}
    steps = [stage.step(0, **asked) for _ in range(round(4 * SAMPLE_RATE / stage.step_frames))]
    block = np.concatenate([made.block[0] for made in steps], 1)
    assert steps[0].block.shape == (1, 2, traits.block_multiple * BLOCK_FRAMES) and block.dtype == np.float32
    assert np.array_equal(block, stage.play(1, 4))
    assert not block[:, : traits.latency_frames].any() and np.abs(block).max() > 0.01
    for what, is_had in asked.items():
        if not is_had:
            with pytest.raises(AssertionError):
                generator.step([0], **{what: True})
            assert all(getattr(made, what) is None for made in steps)
    if traits.has_stems:
        layers = np.concatenate([made.stems[0] for made in steps], 2)
        assert layers.shape == (len(LAYERS), *block.shape)
        rest = layers.sum(0, dtype=np.float64) - block
        assert np.abs(rest).max() < 1e-5 and (rest**2).mean() < 1e-10 * (block.astype(np.float64) ** 2).mean()
    if traits.has_notes:
        for index, made in enumerate(steps):
            (notes,) = made.notes
            start = index * stage.step_frames
            assert notes.dtype == SOUND
            assert all(start <= frame < start + stage.step_frames for frame in notes["frame"])
        notes = np.concatenate([made.notes[0] for made in steps])
        assert len(notes) > 10 and (np.diff(notes["frame"]) >= 0).all()


def test_counters_only_grow(stage: Stage) -> None:
    counted = [dict(stage.generator.counters())]
    for seed in (1, 2):
        stage.open(seed, seed=seed, mood="focus" if seed == 1 else "horror")
        for _ in range(5):
            stage.play(seed, 0.4)
            counted.append(dict(stage.generator.counters()))
        stage.close(seed)
        counted.append(dict(stage.generator.counters()))
    for before, after in pairwise(counted):
        assert before.keys() == after.keys() and all(after[name] >= before[name] for name in before)
