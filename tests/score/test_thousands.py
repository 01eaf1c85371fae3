"""What is worked out for thousands of slots in arrays is what it is for one slot at a time."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from engine.config import TINY
from engine.notes import SOUND
from engine.score import vocabulary as v
from engine.score.asked import asked_of
from engine.score.columns import make_columns
from engine.score.composer import Composer, num_rows
from engine.score.memory import MEMORY_BEATS, Memory
from engine.score.rules import Rules, write_rules
from engine.score.sampling import Heads, pack_heads
from engine.score.transformer import ScoreTransformer
from engine.score.watchdog import NO_FAULT, find_faults, find_loops
from engine.score_generator import ScoreGenerator
from engine.synth.queue import Queue
from engine.synth.ragged import Ragged
from engine.synth.synth import Synth
from moods.control import parse_control
from moods.controller import Controller
from moods.mood import list_moods
from moods.opening import Opening

pytestmark = pytest.mark.slow

SLOTS = 2000
MOODS = [mood.name for mood in list_moods()]


@pytest.fixture(scope="module")
def asked() -> np.ndarray:
    """[SLOTS] ASKED: beats of every mood, with hits, stingers, other keys and endings among them."""
    beats_each = -(-SLOTS // len(MOODS))
    intents = []
    for index, mood in enumerate(MOODS):
        controller = Controller(Opening(mood=mood), seed=index)
        for control in (
            {"type": "steer", "set": {"key": "Eb minor", "tension": index % 10 / 9}, "at": "phrase"},
            {"type": "hit", "at": {"seconds": 9.4}, "strength": index % 5 / 4},
            {"type": "stinger", "name": "reveal", "at": {"seconds": 12}},
            {"type": "end", "how": "cadence", "at": {"seconds": 20}},
        ):
            controller.apply(parse_control(control), 0)
        intents += [controller.beat_intent(beat) for beat in range(beats_each)]
    return asked_of(intents)[:SLOTS]


def test_conditions_and_rules(asked) -> None:
    slots, is_arrival = np.random.default_rng(1).permutation(SLOTS), np.arange(SLOTS) % 7 == 0
    rules, alone = make_columns(Rules, SLOTS), make_columns(Rules, 1)
    recall = np.random.default_rng(2).random((SLOTS, 6))
    rows = v.conditions(asked, recall)
    write_rules(rules, slots, asked, is_arrival)
    assert rows.shape == (SLOTS, v.CONDITION)
    for index in range(0, SLOTS, 7):
        one = slice(index, index + 1)
        assert np.array_equal(v.conditions(asked[one], recall[one]), rows[one])
        write_rules(alone, np.array([0]), asked[one], is_arrival[one])
        for name, together, single in zip(Rules._fields, rules, alone, strict=True):
            assert np.array_equal(together[slots[index]], single[0]), name


def test_what_is_recalled_and_what_is_wrong(asked) -> None:
    """Slots are at beats of their own; half of them repeat two beats for ever."""
    num_slots = SLOTS // 2  # a memory takes a third of a megabyte
    rng, memory, every, asked = np.random.default_rng(3), Memory(num_slots), np.arange(num_slots), asked[:num_slots]
    beats = every % 50 + MEMORY_BEATS - 20  # the ring's seam among them
    figures = np.sort(rng.integers(0, 24, (num_slots, 2, v.MAX_EVENTS_PER_BEAT, 1)), axis=2)
    events = np.concatenate([np.full_like(figures, v.NUM_KINDS - 1), figures, figures + 200, figures, figures], axis=3)
    for back in range(24, -1, -1):
        num_events = np.where(every % 2, 3, rng.integers(0, 20, num_slots))
        memory.remember(every, beats - back, events[every, (beats - back) % 2], num_events, asked)
    now = asked.copy()
    now["recall_bars"], now["recall_strength"], now["beat"] = rng.integers(0, 12, (num_slots, 6)), 0.9, 3
    out, alone = (np.zeros((num_slots, v.MAX_EVENTS_PER_BEAT, 5), np.int64) for _ in range(2))
    counts, strength = memory.recall(every, beats, now, out)
    faults, loops = find_faults(memory, every, beats, now), find_loops(memory, every, beats, 3)
    kept, num_kept = memory.events(every, beats)
    assert 0 < (counts > 0).sum() < num_slots and 0 < (strength > 0).mean() < 1
    assert 0 < (faults != NO_FAULT).sum() < num_slots and loops[1::2].all() and not loops.all()
    for slot in range(0, num_slots, 3):
        one = np.array([slot])
        count, single = memory.recall(one, beats[one], now[one], alone)
        assert count == counts[slot] and np.array_equal(single[0], strength[slot])
        assert np.array_equal(alone[slot, : count[0]], out[slot, : count[0]])
        assert find_faults(memory, one, beats[one], now[one]) == faults[slot]
        assert find_loops(memory, one, beats[one], 3) == loops[slot]
        first = num_kept[:slot].sum()
        assert np.array_equal(memory.events(one, beats[one])[0], kept[first : first + num_kept[slot]])


def test_notes_wait_for_their_frames() -> None:
    """Of every slot each note comes once, at its time, in order of frames; of one frame in the order put in."""
    rng, queue = np.random.default_rng(4), Queue(SLOTS)
    frames, heard = np.zeros(SLOTS, np.int64), defaultdict(list)
    wanted = defaultdict(list)
    for number in range(60):
        slots = rng.integers(0, SLOTS, 500)
        notes = np.zeros(500, SOUND)
        notes["frame"], notes["pitch"] = frames[slots] + rng.integers(0, 3000, 500), number
        queue.put(slots, notes)
        for slot, note in zip(slots.tolist(), notes.tolist(), strict=True):
            wanted[slot].append(note)
        called = rng.permutation(SLOTS)[: SLOTS // 2]
        frames[called] += BLOCK_FRAMES
        due = queue.take(called, frames[called])
        for index, slot in enumerate(called.tolist()):
            mine = due.of(index)
            assert (mine["frame"] < frames[slot]).all() and (mine["frame"] >= frames[slot] - BLOCK_FRAMES).all()
            heard[slot] += mine.tolist()
    for slot in range(SLOTS):
        whole = sorted(wanted[slot], key=lambda note: note[0])
        assert heard[slot] + queue.of(slot).tolist() == whole


class HashTrunk:
    """Stands for the trunk: hidden states that depend on nothing but what a row is shown, and are quickly there."""

    def __init__(self, max_slots: int) -> None:
        self.num_rows = num_rows(max_slots)
        self._states = np.random.default_rng(5).standard_normal((997, TINY.dim)).astype(np.float32)

    def advance(self, rows: np.ndarray, positions: np.ndarray, since: np.ndarray, *shown: np.ndarray) -> np.ndarray:
        events, recalled, conditions = shown
        number = 31 * positions + since + events.sum(axis=1) + recalled.sum(axis=1)
        return self._states[(number + np.rint(100 * conditions.sum(axis=1, dtype=np.float64)).astype(np.int64)) % 997]


class Notebook:
    """Stands for the synth's renderer: writes down the notes and colours that each slot is given."""

    def __init__(self) -> None:
        self.notes: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
        self.colours: defaultdict[int, list[bytes]] = defaultdict(list)

    def open(self, slot: int, state: Any) -> None:
        pass

    def close(self, slot: int) -> None:
        self.notes.pop(slot, None)
        self.colours.pop(slot)

    def render(self, slots: Sequence[int], notes: Ragged, colours: Ragged, *_: Any) -> tuple[np.ndarray, np.ndarray]:
        for index, slot in enumerate(slots):
            self.notes[slot] += notes.of(index).tolist()
            self.colours[slot].append(colours.of(index).tobytes())
        return np.zeros((len(slots), 2, BLOCK_FRAMES), np.float32), np.zeros((len(slots), 5, 2, 0), np.float32)


class Stations:
    """Music made without kernels but the sampler's, on weights that nobody trained."""

    def __init__(self, heads: Heads, max_slots: int) -> None:
        self.renderer, synth = Notebook(), Synth(max_slots)
        synth._renderer = self.renderer
        composer = Composer(HashTrunk(max_slots), heads, max_slots)
        self.generator = ScoreGenerator(composer, synth, max_slots, piece_slots=max_slots)
        self.controllers: dict[int, Controller] = {}

    def open(self, slot: int, number: int) -> None:
        self.controllers[slot] = Controller(
            Opening(mood=MOODS[number % len(MOODS)], bpm=60 + number % 120), seed=number
        )
        self.generator.open(slot, self.controllers[slot])

    def control(self, slot: int, block: int, number: int) -> None:
        """What station `number` is asked for before this block; most for nothing."""
        rng = random.Random(1000 * number + block)
        if rng.random() > 0.03:
            return
        wish = rng.choice([
            {"type": "steer", "set": {"energy": rng.random(), "mood": rng.choice(MOODS)}, "over": "1 beat"},
            {"type": "steer", "set": {"brightness": rng.random(), "layers": {"drums": -6}}, "over": 0.1},
            {"type": "duck", "gain_db": -9, "over": 0.05},
            {"type": "hit", "at": rng.choice(["now", "beat"]), "strength": rng.random()},
            {"type": "stinger", "name": "alert", "at": rng.choice(["now", "beat"])},
        ])  # fmt: skip
        applied = self.controllers[slot].apply(parse_control(wish), block * BLOCK_FRAMES)
        if applied.changed_since is not None:
            self.generator.revise(slot, applied.changed_since)


def test_a_thousand_stations_are_each_as_if_alone() -> None:
    """Notes and colours, with controls of all kinds on the way; alone nothing is composed ahead."""
    num_stations, num_blocks = 1000, 32
    heads = pack_heads({name: tensor.numpy() for name, tensor in ScoreTransformer(TINY).state_dict().items()})
    many = Stations(heads, num_stations)
    slots = np.random.default_rng(6).permutation(num_stations).tolist()
    for number, slot in enumerate(slots):
        many.open(slot, number)
    for block in range(num_blocks):
        for number, slot in enumerate(slots):
            many.control(slot, block, number)
        many.generator.work(slots)
        assert many.generator.step(slots).block.shape == (num_stations, 2, BLOCK_FRAMES)
    assert sum(map(len, many.renderer.notes.values())) > 3 * num_stations
    one = Stations(heads, 1)
    for number in range(0, num_stations, 80):
        one.open(0, number)
        for block in range(num_blocks):
            one.control(0, block, number)
            one.generator.step((0,))
        assert one.renderer.notes[0] == many.renderer.notes[slots[number]]
        assert one.renderer.colours[0] == many.renderer.colours[slots[number]]
        one.generator.close(0)
