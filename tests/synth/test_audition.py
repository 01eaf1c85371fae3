"""The audition measures what is there, names what is wrong, and writes what it says."""

from __future__ import annotations

import json
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.audio import SAMPLE_RATE
from engine.synth import __main__ as command
from engine.synth.listening.audition import audition_patches, audition_styles
from engine.synth.listening.metering import cents_off, meter, true_peak_db
from engine.synth.patching.tables import shipped_tables


def tone(hz: float, seconds: float = 1.5, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


def stereo(left: np.ndarray, right: np.ndarray | None = None) -> np.ndarray:
    return np.stack([left, left if right is None else right]).astype(np.float32)


@pytest.mark.parametrize("hz", [55.0, 261.6, 1046.5])
@pytest.mark.parametrize("off", [-12.0, 0.0, 7.0])
def test_pitch_error_is_measured_to_half_a_cent(hz: float, off: float) -> None:
    assert cents_off(tone(hz * 2 ** (off / 1200)), hz) == pytest.approx(off, abs=0.5)


def test_vibrato_counts_by_its_middle() -> None:
    seconds = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    phase = 440 * seconds + 440 * 0.01 / (2 * np.pi * 5) * np.sin(2 * np.pi * 5 * seconds)
    assert cents_off(np.sin(2 * np.pi * phase), 440) == pytest.approx(0, abs=0.7)


def test_noise_has_no_pitch() -> None:
    assert np.isnan(cents_off(np.random.default_rng(1).normal(size=SAMPLE_RATE), 440))


@pytest.mark.parametrize(
    ("sound", "fault"),
    [
        (stereo(np.zeros(SAMPLE_RATE)), "silent"),
        (stereo(tone(200, level=1.2)), "clips"),
        (stereo(tone(200), -0.8 * tone(200)), "in mono"),
        (stereo(tone(200) + 0.05), "DC"),
    ],
)
def test_a_fault_is_named(sound: np.ndarray, fault: str) -> None:
    assert any(fault in found for found in meter(sound).faults())


def test_a_clean_tone_has_no_fault() -> None:
    found = meter(stereo(tone(200), tone(200.3)))
    assert found.faults() == []
    assert found.peak_db == pytest.approx(-6.0, abs=0.1)
    assert found.centroid_hz == pytest.approx(200, rel=0.01)


def test_envelope_times_are_those_of_the_envelope() -> None:
    seconds = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    envelope = np.where(seconds < 0.1, seconds / 0.1, 10 ** (-(seconds - 0.1) / 0.5))
    found = meter(stereo(envelope * tone(440, 2.0)))
    assert found.attack_ms == pytest.approx(80, abs=12)
    assert found.decay_s == pytest.approx(1.0, abs=0.03)


def test_true_peak_is_found_between_the_samples() -> None:
    quarter = np.sin(np.pi / 2 * np.arange(4800) + np.pi / 4)
    assert np.abs(quarter).max() == pytest.approx(0.707, abs=1e-3)
    assert true_peak_db(stereo(quarter)) == pytest.approx(0.0, abs=0.15)


def test_a_patch_is_measured_at_every_velocity() -> None:
    (found,) = audition_patches(shipped_tables(), ["felt_piano"])
    assert found.sound.shape[0] == 2
    assert found.figures["velocity_db"] > 6
    assert abs(found.figures["cents"]) < 10


def test_a_silent_patch_is_called_so() -> None:
    tables = shipped_tables()
    index = tables.names.index("felt_piano")
    patches = tables.patches.copy()
    patches["level_db"][index] = -300
    (found,) = audition_patches(replace(tables, patches=patches), ["felt_piano"])
    assert sum("silent" in fault for fault in found.faults) == 9


def test_a_style_stays_under_the_true_peak() -> None:
    (found,) = audition_styles(shipped_tables(), chosen=["jazz"])
    assert found.figures["true_peak_db"] <= -1.0
    assert found.faults == []


def test_everything_is_written(tmp_path: Path) -> None:
    command.main(["audition", "kick_jazz", "jazz", "--out", str(tmp_path)])
    for folder, name in (("patches", "kick_jazz"), ("kits", "jazz"), ("styles", "jazz")):
        place = tmp_path / folder
        assert {f"{name}.wav", f"{name}.png", "sheet.png", "figures.json", "figures.md"} <= {
            file.name for file in place.iterdir()
        }
        with wave.open(str(place / f"{name}.wav")) as file:
            assert (file.getnchannels(), file.getframerate()) == (2, SAMPLE_RATE)
        assert json.loads((place / "figures.json").read_text())[0]["name"] == name


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(SystemExit, match="lute"):
        command.main(["audition", "lute"])
