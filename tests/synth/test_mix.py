"""The room is dense and decays as asked, drive folds little, the limiter keeps waves whole, speech gets its room."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numba import njit
from scipy.signal import butter, sosfilt, sosfiltfilt, welch

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.synth.effects.limiter import CEILING, limit
from engine.synth.effects.reverb import REVERB_LINES, add_reverb, aim_reverb, set_room
from engine.synth.effects.saturation import saturate
from engine.synth.effects.tone import equalise, response_db
from engine.synth.sizes import CONTROL_FRAMES
from engine.synth.state import SlotState, new_state
from engine.synth.targets import NUM_TARGETS, NUM_TONES, SIDE_DB, TONE_DB
from tests.signals import noise
from tests.synth.music import arrangement, intent, play

PERIODS_A_BLOCK = BLOCK_FRAMES // CONTROL_FRAMES


@njit(error_model="numpy")
def through_reverb(state: SlotState, wave: np.ndarray, reverb_s: float, low_ratio: float, damping_hz: float) -> None:
    """Replace `wave` [2, T] by its reverb."""
    taps = np.zeros((REVERB_LINES, CONTROL_FRAMES))
    room, filters = state.sends[0].reverb, state.filters[0].reverb
    for chunk in range(wave.shape[1] // CONTROL_FRAMES):
        if chunk % PERIODS_A_BLOCK == 0:
            set_room(room, reverb_s, low_ratio, damping_hz, 0.5)
        aim_reverb(room, chunk * CONTROL_FRAMES)
        row = wave[:, chunk * CONTROL_FRAMES : (chunk + 1) * CONTROL_FRAMES]
        send = row.copy()
        row[:] = 0.0
        add_reverb(
            room, filters, state.reverb[0], state.diffusers[0], state.predelay[0], send, taps, row, 480.0, 0.0,
            chunk * CONTROL_FRAMES, CONTROL_FRAMES,
        )  # fmt: skip


@njit(error_model="numpy")
def through_limiter(state: SlotState, wave: np.ndarray, out: np.ndarray) -> None:
    gains = np.zeros(CONTROL_FRAMES)
    for chunk in range(wave.shape[1] // CONTROL_FRAMES):
        first = chunk * CONTROL_FRAMES
        row = wave[:, first : first + CONTROL_FRAMES]
        limit(
            state.master[0].limiter, state.lookahead[0], state.limits, state.smoothing, row, gains, out, first, first,
            CONTROL_FRAMES,
        )  # fmt: skip


@njit(error_model="numpy")
def through_saturation(wave: np.ndarray, drive: float, bias: float) -> None:
    memory, plain = np.zeros(2), np.zeros(CONTROL_FRAMES)
    for first in range(0, len(wave), CONTROL_FRAMES):
        saturate(memory, 0, wave[first : first + CONTROL_FRAMES], plain, drive, 0.0, bias, 0)


@njit(error_model="numpy")
def through_equaliser(state: SlotState, wave: np.ndarray, targets: np.ndarray) -> None:
    added = np.zeros((2, CONTROL_FRAMES))
    for first in range(0, wave.shape[1], CONTROL_FRAMES):
        row = wave[:, first : first + CONTROL_FRAMES]
        equalise(state.mastered[0].tone, row, added, targets, first, CONTROL_FRAMES)


def impulse_response(reverb_s: float, low_ratio: float = 1.0, damping_hz: float = 16_000.0) -> np.ndarray:
    """[2, 4 s] of a click in the middle, begun after the room has settled."""
    wave = np.zeros((2, 4 * SAMPLE_RATE + 2 * BLOCK_FRAMES))
    wave[:, 2 * BLOCK_FRAMES] = 1.0
    through_reverb(new_state(1), wave, reverb_s, low_ratio, damping_hz)
    return wave[:, 2 * BLOCK_FRAMES :]


def decay_s(wave: np.ndarray, low_hz: float, high_hz: float) -> float:
    """Time to -60 dB in a band, from the slope of the energy still to come, -5 … -30 dB (Schroeder 1965)."""
    band = sosfilt(butter(4, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE, output="sos"), wave, axis=1)
    left = 10 * np.log10(np.cumsum((band**2).sum(axis=0)[::-1])[::-1] + 1e-30)
    left -= left[0]
    first, last = np.flatnonzero(left < -5)[0], np.flatnonzero(left < -30)[0]
    return 60 / 25 * (last - first) / SAMPLE_RATE


@pytest.mark.slow
@pytest.mark.parametrize("reverb_s", [1.2, 3.0])
def test_the_room_decays_as_asked(reverb_s: float) -> None:
    room = impulse_response(reverb_s, low_ratio=1.3, damping_hz=4000.0)
    assert decay_s(room, 700, 1400) == pytest.approx(reverb_s, rel=0.2)
    assert decay_s(room, 60, 120) == pytest.approx(1.3 * reverb_s, rel=0.2)
    assert decay_s(room, 3600, 4400) == pytest.approx(0.5 * reverb_s, rel=0.25)


def test_the_room_is_dense_after_a_tenth_of_a_second() -> None:
    # Normalised echo density (Abel & Huang 2006): of noise, 1; of single echoes, near 0.
    room = impulse_response(2.5)
    for channel in room:
        for start in (4800, 9600, 19_200):
            piece = channel[start : start + 2400]
            density = (np.abs(piece) > piece.std()).mean() / math.erfc(math.sqrt(0.5))
            assert density > 0.75, start  # measured 0.80 at the least


def test_saturation_folds_little() -> None:
    hz, time = 5001.0, np.arange(SAMPLE_RATE) / SAMPLE_RATE
    wave = 0.8 * np.sin(2 * np.pi * hz * time)
    through_saturation(wave, 2.0, 0.35)
    size = 20 * np.log10(np.abs(np.fft.rfft(wave * np.blackman(len(wave)))) + 1e-12)
    size -= size.max()
    bins = np.arange(len(size))
    is_harmonic = np.abs((bins + hz / 2) % hz - hz / 2) < 20
    assert size[~is_harmonic & (bins > 20) & (bins < 16_000)].max() < -45


def test_a_loud_bass_does_not_work_the_limiter() -> None:
    time = np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE
    wave = np.tile(1.5 * np.sin(2 * np.pi * 50 * time), (2, 1))
    wave[:, 2 * SAMPLE_RATE :] *= 0.1
    out = np.zeros(wave.shape, np.float32)
    through_limiter(new_state(1), wave.copy(), out)
    assert np.abs(out).max() <= CEILING * 1.001
    steady = out[0, SAMPLE_RATE : 2 * SAMPLE_RATE].astype(np.float64)
    size = np.abs(np.fft.rfft(steady * np.blackman(len(steady)))) ** 2
    near = np.abs(np.arange(len(size)) - 50) < 8
    assert 10 * np.log10(size[~near].sum() / size[near].sum()) < -45  # measured -49.6
    # And lets go again, within a second.
    assert np.abs(out[0, -4800:]).max() == pytest.approx(0.15, rel=0.12)


def test_speech_gets_its_room_and_nothing_else_changes() -> None:
    sounds = arrangement(4)
    off = play(4, lambda slot, frame: intent("acoustic"), sounds).astype(np.float64)
    on = play(4, lambda slot, frame: intent("acoustic", voice_room=1.0), sounds).astype(np.float64)

    def change_db(low_hz: float, high_hz: float) -> float:
        band = butter(4, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE, output="sos")
        power = [(sosfiltfilt(band, sound[:, SAMPLE_RATE:].mean(axis=0)) ** 2).mean() for sound in (on, off)]
        return 10 * math.log10(power[0] / power[1])

    assert -9.5 < change_db(2300, 2700) < -4.0
    assert change_db(60, 200) > -0.5
    assert change_db(10_000, 14_000) > -1.5


def test_ambience_is_heard_where_it_belongs_and_falls_silent_with_its_layer() -> None:
    def level_db(style: str, texture_db: float = 0.0) -> float:
        gains = (0.0, 0.0, 0.0, texture_db, 0.0)
        sound = play(2, lambda slot, frame: intent(style, gains_db=gains), arrangement(0))
        return 10 * math.log10((sound.astype(np.float64) ** 2).mean() + 1e-15)

    assert -66 < level_db("lofi") < -35
    assert -75 < level_db("ambient") < -45
    assert level_db("house") < -120
    assert level_db("lofi", -120.0) < -120


def test_saturation_leaves_quiet_sound_alone() -> None:
    quiet = noise(1.0, level=1e-4)[:, 0].astype(np.float64)[: 700 * CONTROL_FRAMES]
    wave = quiet.copy()
    through_saturation(wave, 2.0, 0.35)
    _, before = welch(quiet, SAMPLE_RATE, nperseg=1024)
    _, after = welch(wave, SAMPLE_RATE, nperseg=1024)
    assert np.abs(10 * np.log10(after[8:] / before[8:])).max() < 0.1


@pytest.mark.parametrize("gains_db", [[6, 0, 0, 0, 0, -9], [0, -8, 5, 0, 0, 0], [3, -2, 4, -6, 6, 8]])
def test_the_master_has_the_tone_and_the_width_that_a_style_asks_for(gains_db: list[float]) -> None:
    targets = np.zeros((2, NUM_TARGETS))
    targets[:, TONE_DB : TONE_DB + NUM_TONES], targets[:, SIDE_DB] = gains_db, -6
    wave = np.zeros((2, SAMPLE_RATE // CONTROL_FRAMES * CONTROL_FRAMES))
    wave[0, 0] = 1.0
    through_equaliser(new_state(1), wave, targets)
    middle, side = np.abs(np.fft.rfft((wave[0] + wave[1], wave[0] - wave[1])))
    hz = np.fft.rfftfreq(wave.shape[1], 1 / SAMPLE_RATE)
    heard = (hz > 30) & (hz < 18_000)
    assert np.abs(20 * np.log10(middle[heard]) - response_db(gains_db, hz[heard])).max() < 0.05
    assert np.allclose(side[heard], 10 ** (-6 / 20) * middle[heard])
