"""What leaves the synth is as loud as asked, under the ceiling, and follows a control in the next block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyloudnorm
import pytest
from scipy.signal import butter, resample_poly, sosfilt

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.notes import SOUND, as_sounds
from engine.synth.patching.tables import PatchTables, shipped_tables
from engine.synth.playing import MAX_LATE_FRAMES
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.synth import Synth
from engine.synth.targets import ROOM_SIDE_DB, ROOM_TONES
from moods.intent import LAYERS, MUTE_DB, STYLES, Intent
from tests.signals import lufs
from tests.synth.music import arrangement, intent, play

SECOND = SAMPLE_RATE


def true_peak_db(sound: np.ndarray) -> float:
    """Eight-fold oversampled peak, by scipy's own filter."""
    return float(20 * np.log10(np.abs(resample_poly(sound.astype(np.float64), 8, 1, axis=1)).max()))


@pytest.mark.parametrize("style", ["lofi", "cinematic", "house", "chiptune", "jazz", "ambient"])
@pytest.mark.parametrize("loudness_lufs", [-19.0, -14.0])
def test_loudness_reaches_its_target(style: str, loudness_lufs: float) -> None:
    sound = play(14, lambda slot, frame: intent(style, loudness_lufs=loudness_lufs), arrangement(14))
    heard = pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(sound[:, 8 * SECOND :].T.astype(np.float64))
    assert heard == pytest.approx(loudness_lufs, abs=1.0)
    assert true_peak_db(sound) <= -1.0


def test_a_crescendo_passes_once_the_mood_has_come_to_rest() -> None:
    sounds = arrangement(28)
    second = sounds["frame"] / SECOND
    sounds["velocity"] = np.interp(second, [18, 25], [30, 112])

    def grown_lu(restless_until_s: float) -> float:
        def intent_of(_: int, frame: int) -> Intent:
            is_restless = frame < restless_until_s * SECOND
            return intent("jazz", brightness=0.5 + 0.2 * (is_restless and frame // SECOND % 2))

        sound = play(28, intent_of, sounds)
        soft, loud = (lufs(sound[:, first * SECOND : (first + 2) * SECOND].T) for first in (16, 26))
        return loud - soft

    assert grown_lu(0) > 4.0
    assert abs(grown_lu(28)) < 1.5  # a mood that moves is at its target all the same


def test_true_peak_holds_on_a_dense_loud_arrangement() -> None:
    rng = np.random.default_rng(0)
    rows = [
        (int(rng.integers(0, 3 * SECOND)), 20_000, layer, 36 if layer == 0 else int(rng.integers(30, 100)), 127)
        for layer in rng.integers(0, 5, 300)
    ]
    sound = play(3, lambda slot, frame: intent("chiptune", loudness_lufs=-9.0, brightness=1.0), as_sounds(rows))
    assert np.isfinite(sound).all()
    assert true_peak_db(sound) <= -1.0


def test_silence_stays_silent_and_is_not_turned_up() -> None:
    quiet = play(4, lambda slot, frame: intent("jazz"), np.zeros(0, SOUND))
    assert np.abs(quiet).max() < 1e-6
    tail = play(12, lambda slot, frame: intent("jazz"), arrangement(2))
    assert np.abs(tail[:, 10 * SECOND :]).max() < 1e-3


@pytest.mark.parametrize(
    "change",
    [
        {"loudness_lufs": -19.0},
        {"brightness": 0.9},
        {"gain_db": -9.0},
        {"gains_db": (0.0, 0.0, MUTE_DB, 0.0, 0.0)},
        {"energy": 1.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_is_heard_in_its_block_and_not_before(change: dict) -> None:
    at = 100 * BLOCK_FRAMES
    sounds = arrangement(4)
    before = play(3, lambda slot, frame: intent("synthwave"), sounds)
    after = play(3, lambda slot, frame: intent("synthwave", **change) if frame >= at else intent("synthwave"), sounds)
    assert np.array_equal(before[:, :at], after[:, :at])
    assert not np.array_equal(before[:, at : at + BLOCK_FRAMES], after[:, at : at + BLOCK_FRAMES])


def test_a_note_begins_within_the_latency() -> None:
    onset = 4_711
    for style in STYLES:
        sounds = as_sounds([(onset, 20_000, 4, 72, 110)])
        # Without the texture there is no crackle either.
        steady = intent(style, gains_db=(0.0, 0.0, 0.0, MUTE_DB, 0.0))
        sound = play(0.5, lambda slot, frame, steady=steady: steady, sounds)
        first = int(np.flatnonzero(np.abs(sound).max(axis=0) > 1e-9)[0])
        # A sine begins at zero; a swinging tape is up to 3 ms late.
        wow_frames = 144 if style in ("lofi", "hiphop") else 1
        assert onset <= first <= onset + Synth.latency_frames + MAX_LATE_FRAMES + wow_frames, style


def untouched_tables() -> PatchTables:
    """The shipped ones with masters that leave colour and width alone."""
    tables = shipped_tables()
    rooms = tables.rooms.copy()
    rooms[:, ROOM_TONES] = rooms[:, ROOM_SIDE_DB] = 0.0
    return replace(tables, rooms=rooms)


def stems_of(intent_of: Callable[[int, int], Intent]) -> tuple[np.ndarray, np.ndarray]:
    synth = Synth(1, tables=untouched_tables())
    synth.open(0, 5)
    synth.play(0, arrangement(6))
    block, stems = synth.render_stems([0], intent_of, 6 * SECOND)
    return block[0].astype(np.float64), stems[0].astype(np.float64)


def test_stems_sum_to_the_mix() -> None:
    # At brightness 0.25 the shelf is flat and at -30 LUFS the limiter idle: what remains is a high-pass and a gain
    # that goes straight from one control point to the next.
    block, stems = stems_of(lambda slot, frame: intent("synthwave", brightness=0.25, loudness_lufs=-30.0))
    mix = sosfilt(butter(2, 25, "highpass", fs=SAMPLE_RATE, output="sos"), stems.sum(axis=0), axis=1)
    time = np.arange(CONTROL_FRAMES)
    for start in range(2 * SECOND, 5 * SECOND, CONTROL_FRAMES):
        wanted = mix[:, start : start + CONTROL_FRAMES]
        heard = block[:, start + Synth.latency_frames :][:, :CONTROL_FRAMES].ravel()
        shapes = np.stack([wanted.ravel(), (wanted * time).ravel()], axis=1)
        gain, *_ = np.linalg.lstsq(shapes, heard, rcond=None)
        assert ((heard - shapes @ gain) ** 2).sum() < 1e-9 * (heard**2).sum()


def test_a_muted_layer_is_silent_in_its_stem() -> None:
    gains = (0.0, 0.0, 0.0, 0.0, MUTE_DB)
    _, stems = stems_of(lambda slot, frame: intent("synthwave", gains_db=gains))
    assert np.abs(stems[4]).max() < 1e-12
    assert all(np.abs(stems[layer]).max() > 1e-3 for layer in range(4))


def test_there_is_no_dc() -> None:
    for style in ("lofi", "ambient", "synthwave"):
        sound = play(6, lambda slot, frame, style=style: intent(style), arrangement(6)).astype(np.float64)
        assert abs(sound.mean()) < 1e-3


@pytest.mark.parametrize("style", STYLES)
def test_every_layer_is_safe_in_mono(style: str) -> None:
    _, stems = stems_of(lambda slot, frame: intent(style))
    for layer, stem in zip(LAYERS, stems, strict=True):
        mono, stereo = (stem.mean(axis=0) ** 2).mean(), (stem**2).mean()
        assert 10 * np.log10(mono / stereo) > -3.0, layer
