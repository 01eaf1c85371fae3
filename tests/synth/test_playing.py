"""How notes are played: strums and loose onsets come late but never early, slurs go on in one voice without a click."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from engine.audio import SAMPLE_RATE
from engine.notes import as_sounds
from engine.synth.envelopes import FREE
from engine.synth.patching.tables import shipped_tables
from engine.synth.playing import MAX_LATE_FRAMES
from engine.synth.synth import Synth
from tests.synth.music import intent, play_lead

STEADY = intent("guofeng")
CHORD = (52, 59, 64, 68, 71, 76)


def voices_after(patch: str, rows: list[tuple[int, int, int, int, int]], frames: int) -> np.ndarray:
    synth = Synth(1, tables=shipped_tables().alone(patch))
    synth.open(0, 4)
    synth.play(0, as_sounds(rows))
    synth.render([0], lambda slot, frame: STEADY, frames)
    voices = synth.snapshot(0)["voices"]
    return voices[voices["stage"] != FREE]


def test_chords_are_strummed_down_then_up_and_never_early() -> None:
    rows = [(frame, 20_000, 4, pitch, 90) for frame in (1000, 30_000) for pitch in CHORD]
    for frame, direction in ((1000, 1), (30_000, -1)):
        voices = voices_after("steel_guitar", rows, frame + 400)
        voices = np.sort(voices[voices["written"] == frame], order="pitch")
        late = voices["onset"] - frame
        assert len(late) == len(CHORD)
        assert late.min() >= 0 and 0 < late.max() <= MAX_LATE_FRAMES
        assert direction * (late[-2] - late[0]) > 0


def test_what_is_struck_begins_at_its_frame_by_any_instrument() -> None:
    for patch in ("steel_guitar", "erhu", "felt_piano"):
        synth = Synth(1, tables=shipped_tables().alone(patch))
        synth.open(0, 4)
        sounds = as_sounds([(0, 1000, 4, 60, 90), *((1000, 9000, 4, pitch, 90) for pitch in CHORD)])
        sounds["is_struck"][1:] = 1
        synth.play(0, sounds)
        synth.render([0], lambda slot, frame: STEADY, 2000)
        voices = synth.snapshot(0)["voices"]
        assert (voices["onset"][(voices["written"] == 1000) & (voices["stage"] != FREE)] == 1000).sum() == len(CHORD)


def test_electronic_instruments_keep_to_the_grid() -> None:
    voices = voices_after("chip_pulse_25", [(1000, 9000, 4, pitch, 90) for pitch in CHORD], 2000)
    assert (voices["onset"] == 1000).all()


def test_a_melody_is_slurred_in_one_voice() -> None:
    rows = [(i * 12_000, 12_200, 4, pitch, 90) for i, pitch in enumerate((69, 72, 71, 76))]
    voices = voices_after("erhu", rows, 40_000)
    assert len(voices) == 1 and voices["pitch"][0] == 76


def test_a_held_note_is_not_taken_by_a_melody_above_it() -> None:
    rows = [(0, 90_000, 4, 60, 90), (12_000, 12_000, 4, 67, 90)]
    assert sorted(voices_after("erhu", rows, 20_000)["pitch"]) == [60, 67]


@pytest.mark.parametrize("patch", ["erhu", "solo_violin", "bamboo_flute", "clarinet"])
def test_a_slur_makes_no_click(patch: str) -> None:
    notes = [(0.0, 1.01, 69, 60), (1.0, 1.0, 74, 110)]
    sound = play_lead(patch, notes, 1.6, noise_level=0.0, noise_db=-40.0, roughness=0.0, jitter_cents=0.0)
    high = np.abs(sosfilt(butter(8, 17_000, "highpass", fs=SAMPLE_RATE, output="sos"), sound, axis=1)).max(axis=0)
    assert high[47_500:54_000].max() < 1.2 * high[58_000:70_000].max() + 1e-5  # -100 dB


def test_cutting_changes_nothing_of_how_notes_are_played() -> None:
    rng = np.random.default_rng(2)
    rows = [(beat * 9000, 9500, 4, int(pitch), 80) for beat in range(8) for pitch in rng.integers(55, 80, 3)]
    for patch in ("guzheng", "mandolin", "erhu", "steel_guitar"):
        sounds = []
        for cuts in ([80_000], [64, 7777, 1, 960, 30_000, 41_198]):
            synth = Synth(1, tables=shipped_tables().alone(patch))
            synth.open(0, 4)
            synth.play(0, as_sounds(rows))
            parts = [synth.render([0], lambda slot, frame: STEADY, cut)[0] for cut in cuts]
            sounds.append(np.concatenate(parts, axis=1))
        assert np.array_equal(*sounds), patch
