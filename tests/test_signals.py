"""The measures agree with what is known of the signals."""

import pytest

from tests.signals import centroid_hz, lufs, rms_db, sine, true_peak_db


def test_a_sine_has_the_level_peak_and_pitch_it_was_made_with() -> None:
    wave = sine(997.0, 5.0, level=0.5)
    assert rms_db(wave) == pytest.approx(-9.03, abs=0.02)
    assert true_peak_db(wave) == pytest.approx(-6.02, abs=0.05)
    assert centroid_hz(wave) == pytest.approx(997.0, abs=2.0)


def test_loudness_of_the_reference_tone_is_as_in_bs1770() -> None:
    assert lufs(sine(997.0, 5.0, level=1.0)) == pytest.approx(0.0, abs=0.1)  # both channels: -3.01 + 3.01
