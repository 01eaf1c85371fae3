"""No change of mood makes a click: energy above 12 kHz, where held pads have little, stays below that of both moods."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.patching.tables import PatchTables, shipped_tables
from engine.synth.targets import NUM_AMBIENCES
from moods.intent import MUTE_DB, Intent
from tests.synth.music import intent, play

HIGHPASS = butter(8, 12_000, "highpass", fs=SAMPLE_RATE, output="sos")
AT = 100 * BLOCK_FRAMES


def breathless_tables() -> PatchTables:
    """The shipped patches without the noise beside and behind their tones, in which a click could hide."""
    tables = shipped_tables()
    patches, rooms = tables.patches.copy(), tables.rooms.copy()
    patches["noise_level"], patches["bow_level"] = 0.0, 0.0
    rooms[:, -NUM_AMBIENCES:] = 0.0
    return dataclasses.replace(tables, patches=patches, rooms=rooms)


def held_chord() -> np.ndarray:
    """Bass, chord, texture and lead that last; no onset near the change."""
    rows = [(0, 10**6, layer, pitch, 80) for layer, pitch in ((1, 40), (2, 60), (2, 64), (2, 67), (3, 72), (4, 79))]
    return as_sounds(rows)


def high_peaks(sound: np.ndarray) -> tuple[float, float]:
    """Peak of the high band in the 60 ms from the change on; the greater of those before and well after it."""
    high = np.abs(sosfilt(HIGHPASS, sound.astype(np.float64), axis=1)).max(axis=0)
    steady = max(high[AT - 24_000 : AT].max(), high[AT + 9600 : AT + 33_600].max())
    return float(high[AT : AT + 2880].max()), float(steady)


CHANGES = [
    *({"style": style, "energy": energy} for style, energy in itertools.product(("house", "ambient"), (0.0, 1.0))),
    {"brightness": 1.0},
    {"brightness": 0.0},
    {"bpm": 171.0},
    {"gain_db": -30.0},
    {"gain_db": MUTE_DB},
    {"gains_db": (MUTE_DB,) * 5},
    {"gains_db": (0.0, -20.0, 6.0, MUTE_DB, 3.0)},
    {"loudness_lufs": -24.0},
    {"voice_room": 1.0},
]


@pytest.mark.parametrize("style", ["ambient", "cinematic", "suspense"])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_makes_no_click(style: str, change: dict) -> None:
    start = {"style": style, "bpm": 90.0, "brightness": 0.5}

    def intent_of(slot: int, frame: int) -> Intent:
        return intent(**{**start, **change}) if frame >= AT else intent(**start)

    change_peak, steady_peak = high_peaks(play(2.8, intent_of, held_chord(), tables=breathless_tables()))
    # A brighter mood opens filters for good, which is more treble but no click; 2.5e-4 is -72 dBFS, measured 2.1e-4.
    assert change_peak < 1.5 * steady_peak + 2.5e-4


def test_stealing_makes_no_click() -> None:
    rows = [(index * 600, 10**6, 3, 36 + index % 24, 70) for index in range(160)]
    sound = play(2.2, lambda slot, frame: intent("ambient"), as_sounds(rows), tables=breathless_tables())
    high = np.abs(sosfilt(HIGHPASS, sound.astype(np.float64), axis=1)).max(axis=0)
    assert np.isfinite(sound).all()
    assert high.max() < 1e-4  # measured 3.7e-5
