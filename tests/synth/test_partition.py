"""However the frames are cut into calls, and whoever shares them, a slot gives the same samples."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES
from engine.synth.synth import Synth
from moods.intent import Intent
from tests.synth.music import arrangement, intent

FRAMES = 100 * BLOCK_FRAMES
SOUNDS = arrangement(FRAMES / 48_000)


def changing(slot: int, frame: int) -> Intent:
    """A different intent in every block, through three styles and two tempi."""
    block = frame // BLOCK_FRAMES
    style = ("lofi", "synthwave", "acoustic")[(block // 30 + slot) % 3]
    return intent(style, energy=block % 7 / 7, brightness=block % 5 / 5, bpm=100 if block < 50 else 128)


def reference(slot: int = 0) -> np.ndarray:
    synth = Synth(4)
    synth.open(slot, seed=slot)
    synth.play(slot, SOUNDS)
    return synth.render([slot], changing, FRAMES)[0]


@pytest.mark.parametrize("cut", [64, 100, 480, 960, 4800, "random"])
def test_cutting_changes_nothing(cut: int | str) -> None:
    synth = Synth(1)
    synth.open(0, seed=0)
    rng = np.random.default_rng(1)
    parts, frame, queued = [], 0, 0
    while frame < FRAMES:
        length = int(rng.integers(1, 3000)) if cut == "random" else int(cut)
        length = min(length, FRAMES - frame)
        until = np.searchsorted(SOUNDS["frame"], frame + length + 500)
        synth.play(0, SOUNDS[queued:until])
        queued = max(queued, int(until))
        parts.append(synth.render([0], changing, length)[0])
        frame += length
    assert np.array_equal(np.concatenate(parts, axis=1), reference())


@pytest.mark.parametrize("num_threads", [1, 2])
def test_neighbours_change_nothing(num_threads: int) -> None:
    synth = Synth(4, num_threads=num_threads)
    for slot in range(3):
        synth.open(slot, seed=slot)
        synth.play(slot, SOUNDS)
    together = synth.render([2, 0, 1], changing, FRAMES)
    for row, slot in enumerate([2, 0, 1]):
        assert np.array_equal(together[row], reference(slot))


def test_stems_do_not_change_the_block() -> None:
    synth = Synth(1)
    synth.open(0, seed=0)
    synth.play(0, SOUNDS)
    block, _ = synth.render_stems([0], changing, FRAMES)
    assert np.array_equal(block[0], reference())


@pytest.mark.parametrize("cut", [960, 33_333])
def test_restored_snapshot_continues_bit_exact(cut: int) -> None:
    synth = Synth(1)
    synth.open(0, seed=0)
    synth.play(0, SOUNDS)
    synth.render([0], changing, cut)
    snapshot = pickle.loads(pickle.dumps(synth.snapshot(0)))
    synth.render([0], changing, 5000)
    synth.close(0)
    synth.restore(0, snapshot)
    rest = synth.render([0], changing, FRAMES - cut)[0]
    assert np.array_equal(rest, reference()[:, cut:])
    assert sum(array.nbytes for array in snapshot.values()) <= 2**21


def test_seed_decides() -> None:
    def sound(seed: int) -> np.ndarray:
        synth = Synth(1)
        synth.open(0, seed)
        synth.play(0, SOUNDS)
        return synth.render([0], changing, FRAMES)[0]

    assert np.array_equal(sound(2**63 - 1), sound(2**63 - 1))
    assert not np.array_equal(sound(1), sound(2))
