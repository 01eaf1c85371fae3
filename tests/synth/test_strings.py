"""Plucked, bowed and blown instruments keep their pitch, ring as long as they say, and answer to the player."""

from __future__ import annotations

import numpy as np
import pytest

from engine.audio import SAMPLE_RATE
from tests.synth.music import play_lead

STEADY = {
    "vibrato_cents": 0.0, "vibrato_db": 0.0, "jitter_cents": 0.0, "scoop_cents": 0.0, "roughness": 0.0,
    "noise_level": 0.0, "looseness_s": 0.0, "drive": 0.0,
}  # fmt: skip


def strongest_hz(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Frequency of the highest peak, by a parabola through the logarithm of a Gaussian-windowed spectrum."""
    time = np.linspace(-1, 1, len(wave))
    size = np.log(np.abs(np.fft.rfft(wave * np.exp(-12 * time**2), 2**18)) + 1e-12)
    hz_per_bin = SAMPLE_RATE / 2**18
    first, last = int(low_hz / hz_per_bin), int(high_hz / hz_per_bin) + 1
    k = first + int(size[first:last].argmax())
    a, b, c = size[k - 1], size[k], size[k + 1]
    return (k + 0.5 * (a - c) / (a - 2 * b + c)) * hz_per_bin


def cents_off(wave: np.ndarray, pitch: int) -> float:
    hz = 440 * 2 ** ((pitch - 69) / 12)
    return 1200 * np.log2(strongest_hz(wave, hz * 0.97, hz * 1.03) / hz)


def level_db(wave: np.ndarray, hz: float) -> float:
    size = np.abs(np.fft.rfft(wave * np.blackman(len(wave)), 2**17))
    k = round(hz * 2**17 / SAMPLE_RATE)
    return 20 * np.log10(size[k - 6 : k + 7].max() + 1e-12)


def centroid_hz(wave: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float((power * np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)).sum() / power.sum())


@pytest.mark.parametrize("patch", ["nylon_guitar", "steel_guitar", "harp", "finger_bass"])
def test_strings_are_in_tune_from_bass_to_treble(patch: str) -> None:
    pitches = range(28, 97, 4)
    sound = play_lead(patch, [(i, 0.99, pitch, 90) for i, pitch in enumerate(pitches)], len(pitches), **STEADY)
    for i, pitch in enumerate(pitches):
        start = i * SAMPLE_RATE + 2400
        wave = sound.mean(axis=0)[start : start + (38_000 if pitch < 60 else 16_000)]
        assert abs(cents_off(wave, pitch)) < 3.0, pitch


@pytest.mark.parametrize("patch", ["flute", "clarinet", "solo_violin", "erhu", "solo_horn"])
def test_winds_and_bows_are_in_tune(patch: str) -> None:
    for pitch in (57, 69, 84):
        wave = play_lead(patch, [(0, 1, pitch, 90)], 1, **STEADY).mean(axis=0)[9600:43_200]
        assert abs(cents_off(wave, pitch)) < 1.0, pitch


def test_a_string_rings_as_long_as_its_patch_says() -> None:
    for pitch in (48, 60, 72):
        sound = play_lead("muted_guitar", [(0, 3, pitch, 90)], 1, ring_s=2.0, ring_tracking=0.5, **STEADY)
        hz = 440 * 2 ** ((pitch - 69) / 12)
        early, late = sound[0, 4800:14_400], sound[0, 28_800:38_400]
        ring_s = 60 * 0.5 / (level_db(early, hz) - level_db(late, hz))
        assert ring_s == pytest.approx(2.0 * 2 ** (-0.5 * (pitch - 60) / 12), rel=0.05)


def test_harmonics_do_not_fold() -> None:
    wave = play_lead("bamboo_flute", [(0, 1.5, 96, 127)], 1.2, **STEADY)[0, 9600:]
    size = 20 * np.log10(np.abs(np.fft.rfft(wave * np.blackman(len(wave)))) + 1e-12)
    hz = np.fft.rfftfreq(len(wave), 1 / SAMPLE_RATE)
    note = 440 * 2 ** (27 / 12)
    away = np.abs((hz + note / 2) % note - note / 2) > 40
    assert size[away & (hz < 16_000)].max() < size.max() - 80


@pytest.mark.parametrize("patch", ["nylon_guitar", "guzheng", "upright_bass", "solo_violin", "flute", "solo_horn"])
def test_a_harder_note_is_brighter(patch: str) -> None:
    pitch = 40 if patch == "upright_bass" else 67
    soft, hard = (play_lead(patch, [(0, 1, pitch, velocity)], 1).mean(axis=0) for velocity in (40, 120))
    assert centroid_hz(hard) > 1.08 * centroid_hz(soft)


def test_a_clarinet_leaves_out_the_octave() -> None:
    wave = play_lead("clarinet", [(0, 1, 57, 90)], 1, **STEADY)[0, 9600:43_200]
    assert level_db(wave, 440) < level_db(wave, 660) - 12


def test_a_long_pipa_note_is_picked_again() -> None:
    sound = np.abs(play_lead("pipa", [(0, 2, 69, 90)], 2.2, looseness_s=0.0)).max(axis=0)
    swell = [sound[at : at + 480].max() for at in range(0, 86_400, 480)]
    rises = sum(b > 1.3 * a for a, b in zip(swell, swell[1:], strict=False))
    assert 12 <= rises <= 26  # 11.5 strokes a second
