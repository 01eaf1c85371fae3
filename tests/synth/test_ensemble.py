"""Ensembles: in tune, wide but whole in mono, and brighter, not only louder, when played harder."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import butter, sosfilt

from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.patching.tables import shipped_tables
from engine.synth.sources.spectra import GUARD_FRAMES, RMS, Spectrum, build_spectrum
from engine.synth.synth import Synth
from moods.intent import LAYERS
from tests.synth.music import intent

TABLES = shipped_tables()
ENSEMBLES = [name for name in TABLES.names if TABLES.kind(name) == "ensemble"]
HARMONY = LAYERS.index("harmony")


def dry(
    name: str, pitch: int, velocity: int = 90, seconds: float = 2.5, energy: float = 0.5, seed: int = 1
) -> npt.NDArray[np.float64]:
    """A held note of one patch without sends: [2, T]."""
    synth = Synth(1, tables=TABLES.alone(name))
    synth.open(0, seed)
    synth.play(0, as_sounds([(0, 10**6, HARMONY, pitch, velocity)]))
    still = intent("cinematic", energy=energy)
    _, stems = synth.render_stems([0], lambda slot, frame: still, int(seconds * SAMPLE_RATE))
    return stems[0, HARMONY].astype(np.float64)


def centroid_hz(sound: npt.NDArray[np.float64]) -> float:
    power = np.abs(np.fft.rfft(sound.mean(axis=0)[SAMPLE_RATE // 2 :])) ** 2
    return float((power * np.arange(len(power))).sum() / power.sum() * SAMPLE_RATE / 2 / (len(power) - 1))


def test_all_tables_are_small_and_alike_in_level() -> None:
    assert TABLES.waves.nbytes + TABLES.zones.nbytes <= 25e6
    for zone in TABLES.zones:
        for start in (zone["soft"], zone["loud"]):
            table = TABLES.waves[start : start + zone["num_frames"] + GUARD_FRAMES]
            assert np.sqrt(np.mean(table**2)) == pytest.approx(RMS, rel=0.01)
            assert np.array_equal(table[:GUARD_FRAMES], table[-GUARD_FRAMES:])
            assert np.abs(table).max() < 8 * RMS


@pytest.mark.parametrize("name", ["string_ensemble", "horns", "choir_aah", "pipe_organ", "glass_pad"])
@pytest.mark.parametrize("pitch", [41, 57, 72, 90, 103])
def test_every_zone_is_in_tune(name: str, pitch: int) -> None:
    sound = dry(name, pitch).mean(axis=0)[SAMPLE_RATE:]
    size = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 2**20))
    bins = np.fft.rfftfreq(2**20, 1 / SAMPLE_RATE)
    hz = 440 * 2 ** ((pitch - 69) / 12)
    near = np.abs(1200 * np.log2(np.maximum(bins, 1) / hz)) < 60
    # The middle of a band of many players.
    heard = (bins[near] * size[near] ** 2).sum() / (size[near] ** 2).sum()
    assert abs(1200 * np.log2(heard / hz)) < 12


@pytest.mark.parametrize("name", ENSEMBLES)
def test_it_is_wide_and_whole_in_mono(name: str) -> None:
    sound = np.concatenate([dry(name, pitch, seconds=3, seed=pitch) for pitch in (48, 60, 67)], axis=1)
    mono_db = 10 * np.log10((sound.mean(axis=0) ** 2).mean() / (sound**2).mean())
    assert -3.0 < mono_db < -0.1


@pytest.mark.parametrize("name", ["string_ensemble", "horns", "brass_section", "low_brass", "violins"])
def test_harder_and_livelier_is_brighter(name: str) -> None:
    soft, loud = centroid_hz(dry(name, 55, 50)), centroid_hz(dry(name, 55, 120))
    assert loud > 1.25 * soft
    assert centroid_hz(dry(name, 55, 85, energy=1.0)) > 1.05 * centroid_hz(dry(name, 55, 85, energy=0.0))


@pytest.mark.parametrize("name", ["string_ensemble", "choir_aah", "tremolo_strings"])
def test_a_held_note_does_not_come_round(name: str) -> None:
    sound = dry(name, 67, seconds=10)[0, SAMPLE_RATE:]
    band = sosfilt(butter(4, (800, 3000), "bandpass", fs=SAMPLE_RATE, output="sos"), sound)
    levels = np.log(np.sqrt((band[: len(band) // 480 * 480].reshape(-1, 480) ** 2).mean(axis=1)))
    levels -= levels.mean()
    likeness = [np.corrcoef(levels[:-lag], levels[lag:])[0, 1] for lag in range(30, 250)]
    assert max(likeness) < 0.6  # a table read round and round: 0.9


def test_two_notes_are_not_the_same_moment_of_the_table() -> None:
    one, two = dry("string_ensemble", 60, seed=1), dry("string_ensemble", 60, seed=2)
    assert abs(np.corrcoef(one[0], two[0])[0, 1]) < 0.5


def test_a_spectrum_is_built_the_same_every_time() -> None:
    spectrum = Spectrum(
        tone="", slope_db=(-8.0, -6.0), bass_hz=10.0, corner_hz=(3000.0, 5000.0), corner_slope_db=-12.0, even_db=0.0,
        bandwidth_cents=20.0, bandwidth_growth=1.0, steady_db=3.0, flutter_hz=0.0, flutter_db=-3.0, partials=(),
        formants=(), lowest_key=60.0, highest_key=66.0, zone_semitones=6.0, short_key=58.0,
    )  # fmt: skip
    tables, zones = build_spectrum(spectrum)
    again, _ = build_spectrum(spectrum)
    assert np.array_equal(tables, again)
    assert len(zones) == 2 and spectrum.num_dynamics == 2
