"""Measured instruments: in tune with their tone, alive while they are held, and gone when they have died away."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.envelopes import FREE
from engine.synth.patching.tables import shipped_tables
from engine.synth.sources.tones import (
    BANDS_HZ,
    NOISE_FRAMES,
    NUM_LEVELS,
    NUM_TIMES,
    SHIPPED,
    band_shares,
    build_noise,
    read_tone,
    tone_names,
)
from engine.synth.synth import Synth
from tests.synth.music import intent, play_lead

TABLES = shipped_tables()
STILL = {
    "life": 0.0, "resonance_db": 0.0, "sway_db": 0.0, "arch_db": 0.0, "vibrato_cents": 0.0, "vibrato_db": 0.0,
    "jitter_cents": 0.0, "roughness": 0.0, "scoop_cents": 0.0, "noise_db": -40.0, "brightness_octaves": 0.0,
}  # fmt: skip


def is_struck(name: str) -> bool:
    patch = TABLES.patches[TABLES.names.index(name)]
    return bool(patch["tone_keys"] > 0 and not patch["tone_holds"])


def harmonics_db(sound: npt.NDArray[np.float64], hz: float, count: int) -> npt.NDArray[np.float64]:
    """Levels beside the strongest."""
    size = np.abs(np.fft.rfft(sound * np.blackman(len(sound))))
    bin_hz = SAMPLE_RATE / len(sound)
    peaks = [size[int((k - 0.2) * hz / bin_hz) : int((k + 0.2) * hz / bin_hz)].max() for k in range(1, count + 1)]
    return 20 * np.log10(np.array(peaks) / max(peaks))


def course_db(sound: npt.NDArray[np.float64], hz: float, k: int) -> npt.NDArray[np.float64]:
    """Level of the k-th harmonic every 10 ms."""
    turns = np.exp(-2j * np.pi * k * hz * np.arange(len(sound)) / SAMPLE_RATE)
    size, hop = 2400, 480
    window = np.hanning(size)
    at = range(0, len(sound) - size, hop)
    return np.array([20 * np.log10(abs((sound[i : i + size] * turns[i : i + size] * window).sum()) + 1e-9) for i in at])


def test_tones_are_small_and_hold_at_one_level() -> None:
    assert sum(len((SHIPPED / f"{name}.safetensors").read_bytes()) for name in tone_names()) < 1e6
    for name in tone_names():
        tone = read_tone(name)
        assert np.isfinite(tone.levels).all()
        power = (np.exp(tone.levels[:, :, NUM_TIMES - 1, :NUM_LEVELS]) ** 2).sum(axis=2)
        if tone.holds:
            assert np.abs(10 * np.log10(power)).max() < 3, name
        else:
            assert (power < (np.exp(tone.levels[:, :, 4, :NUM_LEVELS]) ** 2).sum(axis=2)).all(), name


def test_bands_of_noise_share_all_that_is() -> None:
    hz = np.geomspace(20, 24_000, 500)
    assert np.allclose(band_shares(hz).sum(axis=0), 1)
    rows = build_noise().reshape(len(BANDS_HZ), NOISE_FRAMES)
    assert np.allclose((rows**2).mean(axis=1), 1, atol=1e-3)
    assert np.abs(np.corrcoef(rows) - np.eye(len(rows)))[np.triu_indices(len(rows), 2)].max() < 0.01


def test_it_sounds_as_it_was_measured() -> None:
    tone = read_tone("flute")
    key = int(tone.lowest_key + 4 * tone.key_step)
    hz = 440 * 2 ** ((key - 69) / 12)
    sound = play_lead("flute", [(0, 2, key, 90)], 2, **STILL, tilt_db=0.0)[0, SAMPLE_RATE:]
    wanted = tone.levels[4, :, NUM_TIMES - 1, :8] * 20 / np.log(10)
    wanted -= wanted.max(axis=1, keepdims=True)
    heard = harmonics_db(sound, hz, 8)
    assert ((heard > wanted.min(axis=0) - 1.5) & (heard < wanted.max(axis=0) + 1.5)).all()


@pytest.mark.parametrize("name", ["solo_violin", "flute"])
def test_harder_is_brighter_all_the_way(name: str) -> None:
    centroids = []
    for velocity in (40, 75, 110):
        sound = play_lead(name, [(0, 1, 69, velocity)], 1, **STILL)[0, SAMPLE_RATE // 2 :]
        size = np.abs(np.fft.rfft(sound)) ** 2
        centroids.append((size * np.arange(len(size))).sum() / size.sum())
    assert centroids[0] < centroids[1] < centroids[2]


def test_a_held_note_lives_and_no_two_are_alike() -> None:
    hz = 440.0
    still = {**STILL, "life": 1.0}
    sound = play_lead("solo_violin", [(0, 2.4, 69, 90)], 2.4, **still)[0, SAMPLE_RATE // 2 :]
    courses = np.array([course_db(sound, hz, k) for k in (1, 2, 3, 4, 5)])
    assert (courses.std(axis=1) > 0.2).all()
    apart = np.corrcoef(courses) - np.eye(5)
    assert np.abs(apart).mean() < 0.5
    two = play_lead("solo_violin", [(0, 0.5, 69, 90), (1, 0.5, 69, 90)], 2)[0]
    one, other = (np.abs(np.fft.rfft(two[first : first + SAMPLE_RATE // 2])) for first in (0, SAMPLE_RATE))
    assert np.abs(one - other).max() > 0.05 * one.max()


def test_vibrato_begins_late_and_widens() -> None:
    fields = {**STILL, "vibrato_cents": 30.0}
    sound = play_lead("solo_violin", [(0, 2.4, 69, 90)], 2.4, **fields)[0]
    turns = np.unwrap(np.angle(np.array([
        (sound[i : i + 960] * np.hanning(960) * np.exp(-2j * np.pi * 440 * np.arange(i, i + 960) / SAMPLE_RATE)).sum()
        for i in range(2400, len(sound) - 960, 240)
    ])))  # fmt: skip
    cents = 1200 / np.log(2) * np.diff(turns) * 200 / (2 * np.pi * 440)
    early, middle, late = cents[:20].std(), cents[70:110].std(), cents[300:400].std()
    assert early < 0.3 * late and middle < 0.9 * late and late > 15


@pytest.mark.parametrize("name", [name for name in TABLES.names if is_struck(name)])
def test_what_dies_away_gives_its_voice_back(name: str) -> None:
    synth, still = Synth(1, tables=TABLES.alone(name)), intent("orchestral")
    synth.open(0, 1)
    synth.play(0, as_sounds([(0, 10**7, 4, 84, 90)]))
    for _ in range(12):
        synth.render([0], lambda slot, frame: still, SAMPLE_RATE)
        if (synth.snapshot(0)["voices"]["stage"] == FREE).all():
            return
    pytest.fail("it still sounds after 12 s")
