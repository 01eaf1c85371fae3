"""One path from a control to different sound: shipped weights, real synth, the step() that live and render share."""

from __future__ import annotations

from collections.abc import Iterator

import librosa
import numpy as np
import pytest

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.performance import Ack, Performance, step
from engine.render import begin, perform
from engine.take import Entry, Take
from engine.training.evaluation.listening import read_tempo, tempo_error, to_mono
from moods.control import parse_control
from moods.controller import LEAD_FRAMES
from moods.harmony import PITCH_CLASSES, SCALES, parse_key
from moods.intent import LAYERS
from moods.opening import Opening, parse_opening
from tests.signals import centroid_hz, lufs, noise, rms_db, sine

SLOTS = 8


@pytest.fixture(scope="module")
def made() -> Generator:
    return open_generator(EngineConfig(max_slots=SLOTS))


@pytest.fixture
def stage(made: Generator) -> Iterator[Stage]:
    """The module's generator, with all slots free again afterwards."""
    stage = Stage(made)
    yield stage
    for performance in stage.performances:
        performance.close()


class Stage:
    """Performances on one generator, one slot after another."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.performances: list[Performance] = []

    def open(self, seed: int = 1, **fields: object) -> Performance:
        return self._enter(Performance(self.generator, len(self.performances), Opening(**fields), seed))

    def restore(self, performance: Performance, snapshot: dict, opening: Opening | None = None) -> Performance:
        """Another performance that goes on from a snapshot of `performance`."""
        opening = opening or Opening()  # only a restart would read it, and states
        return self._enter(Performance.restore(self.generator, len(self.performances), opening, snapshot))

    def _enter(self, performance: Performance) -> Performance:
        self.performances.append(performance)
        return performance

    def play(self, seconds: float, *performances: Performance) -> np.ndarray:
        """[T, 2] of the last of `performances`, which play together."""
        num_blocks = round(seconds * SAMPLE_RATE / BLOCK_FRAMES)
        return np.concatenate([step(self.generator, performances)[-1].pcm for _ in range(num_blocks)])


def steer(performance: Performance, **control: object) -> Ack:
    return performance.apply(parse_control({"type": "steer"} | control))


def test_same_seed_and_controls_same_samples(stage: Stage) -> None:
    def take() -> np.ndarray:
        performance = stage.open(5, mood="healing")
        first = stage.play(2, performance)
        steer(performance, set={"energy": 0.9, "valence": -0.5}, at="beat")
        return np.concatenate((first, stage.play(3, performance)))

    assert np.array_equal(take(), take())


def test_another_seed_is_another_music(stage: Stage) -> None:
    one, other = (stage.open(seed, mood="healing") for seed in (1, 2))
    assert not np.array_equal(stage.play(3, one), stage.play(3, other))


def test_a_row_does_not_hear_its_neighbours(stage: Stage) -> None:
    alone = stage.play(4, stage.open(5, mood="epic"))
    company = [stage.open(5, mood=mood) for mood in ("sad", "sport", "night", "epic")]
    assert np.array_equal(stage.play(4, *company), alone)


def test_snapshot_restore_continue_is_exact(stage: Stage) -> None:
    performance = stage.open(6, mood="travel")
    stage.play(3.3, performance)
    saved = performance.snapshot()
    expected = stage.play(4, performance)
    assert np.array_equal(stage.play(4, stage.restore(performance, saved)), expected)


@pytest.mark.parametrize(
    "change, at",
    [({"energy": 1.0}, "beat"), ({"valence": -1.0, "tension": 0.9}, "bar"), ({"brightness": 0.0}, "now")],
)
def test_a_steer_is_heard_from_its_acknowledged_frame_on_and_not_before(stage: Stage, change, at) -> None:
    pair = [stage.open(7, mood="focus"), stage.open(7, mood="focus")]
    before = [stage.play(2.5, each) for each in pair]
    ack = steer(pair[1], set=change, at=at)
    untouched, steered = (
        np.concatenate((sound, stage.play(6, each))) for sound, each in zip(before, pair, strict=True)
    )
    first = int(np.flatnonzero((untouched != steered).any(1))[0])
    assert first >= ack.effective.frame
    if at == "beat":
        clock = pair[1].controller.clock
        assert clock.frame_of_beat(clock.beat_at(ack.effective.frame)) == ack.effective.frame
        assert ack.effective.frame < len(before[0]) + LEAD_FRAMES + clock.frame_of_beat(1)
    if at == "now":
        assert first < ack.effective.frame + 2 * BLOCK_FRAMES


@pytest.mark.parametrize("control", [{"type": "hit", "strength": 0.4}, {"type": "stinger", "name": "reveal"}])
def test_what_is_asked_for_now_is_heard_now_and_as_well_after_a_restart(stage: Stage, control) -> None:
    """Not before its frame, within the lead and the look-ahead after it, the same in company and from a snapshot."""
    three = [stage.open(7, mood="focus") for _ in range(3)]
    before = [stage.play(2.62, each) for each in three]
    frame = len(before[0])
    acks = [steer(each, at="now", **control) for each in three[1:]]
    untouched, asked = (np.concatenate((before[slot], stage.play(0.3, three[slot]))) for slot in (0, 1))
    first = int(np.flatnonzero((untouched != asked).any(1))[0])
    at, latency_frames = acks[0].effective.frame, stage.generator.traits.latency_frames
    assert frame <= at <= first < min(frame + LEAD_FRAMES, at + BLOCK_FRAMES) + latency_frames
    brought_back = stage.restore(three[1], three[1].snapshot())
    alone = np.concatenate((asked, stage.play(3, three[1])))[frame:]
    company = stage.play(len(alone) / SAMPLE_RATE, three[0], three[2])
    assert np.array_equal(company, alone)
    assert np.array_equal(stage.play(3, brought_back), alone[-3 * SAMPLE_RATE :])


def struck_from(stage: Stage, performance: Performance, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """[T, 2] and the frames at which notes begin."""
    sounds = [step(stage.generator, [performance], notes=True)[0] for _ in range(round(seconds * 50))]
    frames = [sound.notes["frame"] for sound in sounds if sound.notes is not None]
    return np.concatenate([sound.pcm for sound in sounds]), np.concatenate(frames)


@pytest.mark.parametrize("how", ["cut", "bridge"])
def test_a_cut_is_struck_on_its_frame_and_as_well_after_a_restart(stage: Stage, how) -> None:
    pair = [stage.open(11, mood="night", bpm=120) for _ in range(2)]
    before = [stage.play(0.5, each) for each in pair]
    ack = steer(pair[1], set={"mood": "epic", "bpm": 150}, how=how, at="bar")
    saved, at = pair[1].snapshot(), ack.effective.frame
    left_s = (at - len(before[0])) / SAMPLE_RATE
    sound, frames = struck_from(stage, pair[1], left_s + 2.5)
    untouched = stage.play(left_s + 2.5, pair[0])
    first = len(before[0]) + int(np.flatnonzero((untouched != sound).any(1))[0])
    changed = min(reach.begin.frame for reach in ack.fields.values())
    assert first >= changed and (how == "bridge") == (changed < at - SAMPLE_RATE)
    clock = pair[1].controller.clock
    beat = clock.beat_at(at)
    assert clock.frame_of_beat(beat) == at and (frames == at).sum() >= len(LAYERS)
    rest = [((frames >= clock.frame_of_beat(each)) & (frames < clock.frame_of_beat(each + 1))).sum()
            for each in range(beat + 1, beat + 4)]  # fmt: skip
    assert min(rest) > 0  # and the music goes on at once
    assert clock.frame_of_beat(beat + 4) - at == 4 * SAMPLE_RATE * 60 // 150
    assert rms_db(sound[-SAMPLE_RATE:]) > rms_db(sound[: SAMPLE_RATE // 2]) + 2
    again, _ = struck_from(stage, stage.restore(pair[1], saved), left_s + 2.5)
    assert np.array_equal(again, sound)


def test_states_and_parameters_are_the_same_music_again(stage: Stage) -> None:
    states = {"calm": {"mood": "night", "bpm": 120}, "combat": {"mood": "epic", "energy": 0.9}}
    danger = {"to": [{"field": "brightness", "curve": [[0, 0.2], [1, 0.9]]}]}
    opening = parse_opening({"states": states, "initial": "calm", "parameters": {"danger": danger}})
    performance = stage.open(**{name: getattr(opening, name) for name in opening.model_fields_set})
    entries: list[Entry] = []

    def ask(**control: object) -> Ack:
        entry = Entry(performance.num_controls, performance.next_block, parse_control(control))
        ack = performance.apply(entry.control)
        entries.extend([] if ack.is_idle else [entry])
        return ack

    first = stage.play(0.5, performance)
    ack = ask(type="state", name="combat")
    began, led_to = ack.effective.frame, min(reach.begin.frame for reach in ack.fields.values())
    assert ask(type="state", name="combat").is_idle
    second = stage.play(1.0, performance)
    ask(type="parameter", set={"danger": 0.8})
    assert ask(type="parameter", set={"danger": 0.81}).is_idle
    kept = performance.snapshot()
    third = stage.play(1.5, performance)
    assert len(entries) == performance.num_controls == 2
    restored = stage.restore(performance, kept, opening)
    assert np.array_equal(stage.play(1.5, restored), third)
    again = stage._enter(Performance.of(stage.generator, len(stage.performances), Take(opening, 1, tuple(entries))))
    assert np.array_equal(stage.play(3.0, again), np.concatenate([first, second, third]))
    calm = stage.open(**{name: getattr(opening, name) for name in opening.model_fields_set})
    untouched, heard = stage.play(3.0, calm), np.concatenate([first, second, third])
    assert SAMPLE_RATE < led_to < began and np.array_equal(untouched[:led_to], heard[:led_to])
    assert lufs(heard[began:]) > lufs(untouched[began:]) + 3


def test_another_piece_is_the_same_music_again_and_another_than_without(stage: Stage) -> None:
    opening = parse_opening({"mood": "sport", "bpm": 150})
    fields = {name: getattr(opening, name) for name in opening.model_fields_set}
    played, usual = stage.open(11, **fields), stage.open(11, **fields)
    first, skip = stage.play(2.0, played), parse_control({"type": "skip", "at": "bar"})
    entry = Entry(played.num_controls, played.next_block, skip)
    ack = played.apply(skip)
    second = stage.play(1.5, played)
    kept = played.snapshot()
    third = stage.play(2.5, played)
    heard, untouched = np.concatenate([first, second, third]), stage.play(6.0, usual)
    led_to, began = min(reach.begin.frame for reach in ack.fields.values()), ack.effective.frame
    assert 2 * SAMPLE_RATE < led_to <= began < 4 * SAMPLE_RATE and np.array_equal(heard[:led_to], untouched[:led_to])
    assert rms_db(heard[began:] - untouched[began:]) > rms_db(untouched[began:]) - 3
    again = stage._enter(Performance.of(stage.generator, len(stage.performances), Take(opening, 11, (entry,))))
    assert np.array_equal(stage.play(6.0, again), heard)
    assert np.array_equal(stage.play(2.5, stage.restore(played, kept, opening)), third)


def test_louder_and_brighter_when_asked(stage: Stage) -> None:
    performance = stage.open(8, mood="focus", energy=0.1, brightness=0.2)
    stage.play(4, performance)
    calm = stage.play(6, performance)
    steer(performance, set={"energy": 1.0, "brightness": 1.0})
    stage.play(6, performance)
    driving = stage.play(6, performance)
    assert rms_db(driving) > rms_db(calm) + 2
    assert centroid_hz(driving) > centroid_hz(calm)


def test_loudness_has_followed_energy_five_seconds_after_a_change(stage: Stage) -> None:
    """Eight fixed changes; `benchmarks/loudness.py` judges hundreds, of every kind, over the same three seconds."""
    calm, driving = {"energy": 0.15}, {"energy": 0.9}
    performances = [
        stage.open(seed, mood=mood, **(driving if seed % 2 else calm))
        for seed, mood in enumerate(("healing", "epic", "focus", "horror", "night", "sport", "romance", "tech"))
    ]
    stage.play(8, *performances)
    for seed, performance in enumerate(performances):
        steer(performance, set=calm if seed % 2 else driving)
    stage.play(5, *performances)
    frames = performances[0].music_frame + np.linspace(0, 3 * SAMPLE_RATE - 1, 30).astype(int)
    heard = zip(*[step(stage.generator, performances) for _ in range(150)], strict=True)
    errors_lu = []
    for performance, sounds in zip(performances, heard, strict=True):
        target = np.mean([performance.controller.intent(int(frame)).loudness_lufs for frame in frames])
        errors_lu.append(abs(lufs(np.concatenate([sound.pcm for sound in sounds])) - target))
    assert np.quantile(errors_lu, 0.9) <= 1.0 and max(errors_lu) <= 1.4, np.round(errors_lu, 2)


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


@pytest.mark.slow
@pytest.mark.parametrize("start", MOODS)
def test_no_click_at_any_change_of_mood(stage: Stage, start: str) -> None:
    performance = stage.open(9, mood=start)
    parts = [stage.play(1, performance)]
    for mood in MOODS:
        steer(performance, set={"mood": mood}, at="now")
        parts.append(stage.play(1.5, performance))
    assert clicks(np.concatenate(parts)) == 0


def heard_signature(signal: np.ndarray) -> frozenset[int]:
    """The seven pitch classes of a diatonic scale that hold most of the chroma that librosa reads from the sound."""
    chroma = librosa.feature.chroma_cqt(y=librosa.to_mono(signal.T.astype(np.float32)), sr=SAMPLE_RATE).mean(1)
    scales = [frozenset((tonic + step) % 12 for step in SCALES["major"]) for tonic in range(12)]
    return max(scales, key=lambda scale: chroma[list(scale)].sum())


@pytest.mark.slow
@pytest.mark.parametrize("key", ["C major", "A minor", "F# minor", "Eb major"])
def test_the_asked_key_is_heard(stage: Stage, key: str) -> None:
    performance = stage.open(13, mood="healing", key=key, tension=0.0, layers={"drums": "mute"})
    stage.play(4, performance)
    heard = heard_signature(stage.play(24, performance))
    assert heard == parse_key(key).pitch_classes, f"heard {sorted(PITCH_CLASSES[p] for p in heard)}"


@pytest.mark.slow
@pytest.mark.parametrize("bpm", [92, 120, 128])
def test_the_asked_tempo_is_heard(stage: Stage, bpm: int) -> None:
    performance = stage.open(13, style="house", energy=0.8, bpm=bpm)
    stage.play(8, performance)
    heard = read_tempo(to_mono(stage.play(20, performance).T.astype(np.float32)))
    assert tempo_error(heard, bpm) <= 0.04, heard


def test_a_file_begins_where_the_music_does(stage: Stage) -> None:
    """Live sound comes a look-ahead late; in a file the beats lie where the clock has them."""
    filed = perform(begin(stage.generator, Take(Opening(mood="epic"), 14)), 40_192)
    sound = np.concatenate([block[0] for block in filed], 1).T
    live, late = stage.play(1, stage.open(14, mood="epic")), stage.generator.traits.latency_frames
    assert len(sound) == 40_192 and not sound[-1].any()
    assert np.array_equal(sound[:40_000], live[late : late + 40_000])
