"""One path from a control to different sound: shipped weights, real synth, the step() that live and render share."""

from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator, Made
from engine.render import perform
from moods.control import Opening, parse_control
from moods.controller import LEAD_FRAMES, Controller
from moods.harmony import PITCH_CLASSES, SCALES, parse_key
from tests.signals import centroid_hz, noise, rms_db, sine

SLOTS = 8


@pytest.fixture(scope="module")
def made() -> Generator:
    return open_generator(EngineConfig(max_slots=SLOTS))


@pytest.fixture
def generator(made: Generator) -> Iterator[Generator]:
    """The module's generator with all slots free again afterwards."""
    opened: list[int] = []

    class Tracked:
        def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
            return getattr(made, name)

        def open(self, slot: int, controller: Controller) -> None:
            made.open(slot, controller)
            opened.append(slot)

        def restore(self, slot: int, controller: Controller, snapshot) -> None:  # type: ignore[no-untyped-def]
            made.restore(slot, controller, snapshot)
            opened.append(slot)

    yield Tracked()  # type: ignore[misc]
    for slot in opened:
        made.close(slot)


def play(generator: Generator, slot: int, seconds: float) -> np.ndarray:
    """[T, 2] of one slot."""
    blocks = [generator.step([slot]).block[0] for _ in range(round(seconds * SAMPLE_RATE / BLOCK_FRAMES))]
    return np.concatenate(blocks, 1).T


def station(seed: int = 1, **fields: object) -> Controller:
    return Controller(Opening(**fields), seed)


def steer(generator: Generator, slot: int, controller: Controller, frame: int, **control: object):  # type: ignore[no-untyped-def]
    applied = controller.apply(parse_control({"type": "steer"} | control), frame)
    if applied.changed_since is not None:
        generator.revise(slot, applied.changed_since)
    return applied


def test_same_seed_and_controls_same_samples(generator) -> None:
    def take(slot: int) -> np.ndarray:
        controller = station(5, mood="healing")
        generator.open(slot, controller)
        first = play(generator, slot, 2)
        steer(generator, slot, controller, len(first), set={"energy": 0.9, "valence": -0.5}, at="beat")
        return np.concatenate((first, play(generator, slot, 3)))

    assert np.array_equal(take(0), take(1))


def test_another_seed_is_another_music(generator) -> None:
    for slot, seed in enumerate((1, 2)):
        generator.open(slot, station(seed, mood="healing"))
    assert not np.array_equal(play(generator, 0, 3), play(generator, 1, 3))


def test_a_row_does_not_hear_its_neighbours(generator) -> None:
    generator.open(0, station(5, mood="epic"))
    alone = play(generator, 0, 4)
    for slot, mood in enumerate(("sad", "epic", "sport", "night"), 1):
        generator.open(slot, station(5, mood=mood))
    together = np.concatenate([generator.step([1, 2, 3, 4]).block[1] for _ in range(200)], 1).T
    assert np.array_equal(together, alone)


def test_snapshot_restore_continue_is_exact(generator) -> None:
    controller = station(6, mood="travel")
    generator.open(0, controller)
    play(generator, 0, 3.3)
    saved, course = generator.snapshot(0), controller.snapshot()
    expected = play(generator, 0, 4)
    generator.restore(1, Controller.restore(course), saved)
    assert np.array_equal(play(generator, 1, 4), expected)


@pytest.mark.parametrize(
    "change, at",
    [({"energy": 1.0}, "beat"), ({"valence": -1.0, "tension": 0.9}, "bar"), ({"brightness": 0.0}, "now")],
)
def test_a_steer_is_heard_from_its_acknowledged_frame_on_and_not_before(generator, change, at) -> None:
    controllers = [station(7, mood="focus"), station(7, mood="focus")]
    for slot, controller in enumerate(controllers):
        generator.open(slot, controller)
    before = play(generator, 0, 2.5), play(generator, 1, 2.5)
    applied = steer(generator, 1, controllers[1], len(before[0]), set=change, at=at)
    untouched, steered = (np.concatenate((before[slot], play(generator, slot, 6))) for slot in (0, 1))
    first = int(np.flatnonzero((untouched != steered).any(1))[0])
    assert first >= applied.effective.frame
    if at == "beat":
        beat = controllers[1].clock.beat_at(applied.effective.frame)
        assert controllers[1].clock.frame_of_beat(beat) == applied.effective.frame
        assert applied.effective.frame < len(before[0]) + LEAD_FRAMES + controllers[1].clock.frame_of_beat(1)
    if at == "now":
        assert first < applied.effective.frame + 2 * BLOCK_FRAMES


@pytest.mark.parametrize("control", [{"type": "hit", "strength": 0.4}, {"type": "stinger", "name": "reveal"}])
def test_what_is_asked_for_now_is_heard_now_and_as_well_after_a_restart(generator, control) -> None:
    """Not before its frame, within the lead and the look-ahead after it, the same in company and from a snapshot."""
    controllers = [station(7, mood="focus") for _ in range(3)]
    for slot, controller in enumerate(controllers):
        generator.open(slot, controller)
    before = play(generator, 0, 2.62), play(generator, 1, 2.62), play(generator, 2, 2.62)
    frame = len(before[0])
    applied = [steer(generator, slot, controllers[slot], frame, at="now", **control) for slot in (1, 2)]
    untouched, asked = (np.concatenate((before[slot], play(generator, slot, 0.3))) for slot in (0, 1))
    first = int(np.flatnonzero((untouched != asked).any(1))[0])
    at = applied[0].effective.frame
    assert frame <= at <= first < min(frame + LEAD_FRAMES, at + BLOCK_FRAMES) + generator.traits.latency_frames
    generator.restore(3, Controller.restore(controllers[1].snapshot()), generator.snapshot(1))
    alone = np.concatenate((asked, play(generator, 1, 3)))[frame:]
    company = np.concatenate([generator.step([2, 0]).block[0] for _ in range(len(alone) // BLOCK_FRAMES)], 1).T
    assert np.array_equal(company, alone)
    assert np.array_equal(play(generator, 3, 3), alone[-3 * SAMPLE_RATE :])


def test_louder_and_brighter_when_asked(generator) -> None:
    controller = station(8, mood="focus", energy=0.1, brightness=0.2)
    generator.open(0, controller)
    play(generator, 0, 4)
    calm = play(generator, 0, 6)
    steer(generator, 0, controller, 480_000, set={"energy": 1.0, "brightness": 1.0})
    play(generator, 0, 6)
    driving = play(generator, 0, 6)
    assert rms_db(driving) > rms_db(calm) + 2
    assert centroid_hz(driving) > centroid_hz(calm)


def clicks(signal: np.ndarray) -> int:
    """Breaks in the wave of either channel: samples whose fourth difference stands alone.

    It must exceed a fixed level and sixty times the median around it, and be over within 8 samples; the attack of a
    noisy drum stays rough for longer.
    """
    count = 0
    for channel in signal.T:
        rough = np.abs(np.diff(channel, 4))
        for index in np.flatnonzero(rough > 0.12):
            around, after = rough[max(0, index - 200) : index + 200], rough[index + 8 : index + 40]
            is_alone = rough[index] == around.max() > 60 * np.median(around)
            count += is_alone and after.max(initial=0.0) < rough[index] / 8
    return count


def test_the_click_detector_finds_a_break_of_one_twentieth() -> None:
    sound = sine(220.0, 3.0) + noise(3.0, level=1e-4)
    assert clicks(sound) == 0
    sound[100_000:, 1] += 0.05
    assert clicks(sound) == 1


MOODS = ("healing", "epic", "horror", "sport", "night", "comedy")


@pytest.mark.parametrize("start", MOODS)
def test_no_click_at_any_change_of_mood(generator, start: str) -> None:
    controller = station(9, mood=start)
    generator.open(0, controller)
    parts = [play(generator, 0, 1)]
    for mood in MOODS:
        steer(generator, 0, controller, sum(map(len, parts)), set={"mood": mood}, at="now")
        parts.append(play(generator, 0, 1.5))
    assert clicks(np.concatenate(parts)) == 0


def heard_signature(signal: np.ndarray) -> frozenset[int]:
    """The seven pitch classes of a diatonic scale that hold most of the chroma that librosa reads from the sound."""
    chroma = librosa.feature.chroma_cqt(y=librosa.to_mono(signal.T.astype(np.float32)), sr=SAMPLE_RATE).mean(1)
    scales = [frozenset((tonic + step) % 12 for step in SCALES["major"]) for tonic in range(12)]
    return max(scales, key=lambda scale: chroma[list(scale)].sum())


@pytest.mark.parametrize("key", ["C major", "A minor", "F# minor", "Eb major"])
def test_the_asked_key_is_heard(generator, key: str) -> None:
    generator.open(0, station(13, mood="healing", key=key, tension=0.0, layers={"drums": "mute"}))
    play(generator, 0, 4)
    heard = heard_signature(play(generator, 0, 24))
    assert heard == parse_key(key).pitch_classes, f"heard {sorted(PITCH_CLASSES[p] for p in heard)}"


@pytest.mark.parametrize("bpm", [92, 120, 128])
def test_the_asked_tempo_is_heard(generator, bpm: int) -> None:
    generator.open(0, station(13, style="house", energy=0.8, bpm=bpm))
    play(generator, 0, 8)
    mono = librosa.to_mono(play(generator, 0, 20).T.astype(np.float32))
    heard = float(librosa.feature.tempo(y=mono, sr=SAMPLE_RATE)[0])
    ratio = min((heard * octave / bpm for octave in (0.5, 1, 2)), key=lambda r: abs(r - 1))
    assert ratio == pytest.approx(1, abs=0.04), heard


def test_a_file_begins_where_the_music_does(generator) -> None:
    """Live sound comes a look-ahead late; in a file the beats lie where the clock has them."""
    live = station(14, mood="epic")
    generator.open(0, live)
    raw = play(generator, 0, 1)
    late = generator.traits.latency_frames
    filed = np.concatenate([block[0] for block in perform(FirstFree(generator), station(14, mood="epic"), 40_000)], 1).T
    assert len(filed) == 40_000
    assert np.array_equal(filed, raw[late : late + 40_000])


class FirstFree:
    """A generator whose slot 0 is slot 7 of another."""

    def __init__(self, generator: Generator) -> None:
        self._generator, self.traits = generator, generator.traits

    def open(self, slot: int, controller: Controller) -> None:
        self._generator.open(7, controller)

    def step(self, slots: object) -> Made:
        return self._generator.step((7,))

    def close(self, slot: int) -> None:
        """The fixture closes it."""
