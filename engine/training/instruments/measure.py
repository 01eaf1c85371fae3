"""One note taken apart. In: its recording and where its pitch should be; out: `Note`, levels of harmonics and noise.

Remembers nothing; any thread.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.sources.tones import (
    CHANNEL_OF,
    CHANNELS,
    MAX_HARMONICS,
    NUM_BANDS,
    NUM_LEVELS,
    NUM_SINGLE,
    NUM_TIMES,
    TIMES_S,
    band_shares,
)

Array = npt.NDArray[np.float64]
HOP_S = 0.01
PERIODS = 10
"""In a window: as many as keep the sides of a harmonic below the noise half-way to the next."""
SIDE = 0.44
"""A harmonic's lobe reaches so far, in distances of harmonics."""
QUANTILE = 0.25
FLOOR_DB = -96.0
STEADY_S = (0.9, 3.0)
"""Of a held note, what its levels are taken from in the long run."""
STRUCK_S = 0.3
"""The first of a struck note, beside which its levels are told."""


class Note(NamedTuple):
    """A note's rows [ROWS, CHANNELS] in dB as `tones` has them, and how it was played."""

    rows: Array
    level_db: float
    release_s: float  # to -60 dB
    vibrato_cents: float
    vibrato_hz: float
    wander_db: float  # of the whole note's level
    stretch: float  # partial k sounds at k·sqrt(1 + stretch·k²)


def envelope_of(sound: Array, window_s: float = 0.004) -> Array:
    """Effective value around every frame."""
    size = int(window_s * SAMPLE_RATE)
    power = np.convolve(sound**2, np.hanning(size) / np.hanning(size).sum(), "same")
    return np.sqrt(np.maximum(power, 1e-14))


def onset_of(envelope: Array) -> int:
    """The first frame above -35 dB of the loudest of the first half second."""
    peak = envelope[: SAMPLE_RATE // 2].max()
    return int(np.argmax(envelope > 10 ** (-35 / 20) * peak))


class _Spectra(NamedTuple):
    power: Array  # [frames, bins]; a sine of amplitude 1 gives 1 at its bin
    bins: Array  # [bins] hertz
    noise_gain: float  # white noise of variance v gives 4·v·noise_gain in every bin: one side, twice the amplitude
    half: int  # of a window, in frames of the sound


def _spectra(sound: Array, hz: float, seconds: float) -> _Spectra:
    """Every HOP_S, through a Blackman-Harris window of four terms."""
    size = int(max(PERIODS * SAMPLE_RATE / hz, 1400)) // 2 * 2
    turn = 2 * np.pi * np.arange(size) / size
    window = 0.35875 - 0.48829 * np.cos(turn) + 0.14128 * np.cos(2 * turn) - 0.01168 * np.cos(3 * turn)
    starts = np.arange(0, int(seconds * SAMPLE_RATE) - size, int(HOP_S * SAMPLE_RATE))
    padded = 1 << int(np.ceil(np.log2(2 * size)))
    frames = sound[starts[:, None] + np.arange(size)] * (2 * window / window.sum())
    power = np.abs(np.fft.rfft(frames, padded)) ** 2
    noise_gain = float((window**2).sum() / window.sum() ** 2)
    return _Spectra(power, np.fft.rfftfreq(padded, 1 / SAMPLE_RATE), noise_gain, size // 2)


def _peak_hz(power: Array, hz: Array, low: float, high: float) -> tuple[Array, Array]:
    """Frequency and power of the strongest bin of each frame between `low` and `high`, by a parabola."""
    first, last = np.searchsorted(hz, (low, high))
    at = first + power[:, first:last].argmax(axis=1)
    rows = np.arange(len(power))
    a, b, c = (np.log(power[rows, np.clip(at + shift, 0, len(hz) - 1)] + 1e-30) for shift in (-1, 0, 1))
    away = 0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-9)
    return (at + np.clip(away, -0.5, 0.5)) * (hz[1] - hz[0]), power[rows, at]


def _pitch(power: Array, bins: Array, hz: float, holds: bool) -> tuple[Array, float]:
    """Fundamental of each frame and the note's stretch, from its strongest harmonics."""
    heard, weights = [], []
    count = min(8, int(0.4 * SAMPLE_RATE / hz))
    for k in range(1, count + 1):
        peak, strength = _peak_hz(power, bins, k * hz * 0.965, k * hz * 1.035)
        heard.append(peak / k)
        weights.append(strength)
    ratios, strengths = np.array(heard), np.array(weights)
    early = slice(5, 40)
    stretch = 0.0
    if count >= 5 and not holds:
        numbers = np.arange(1, count + 1)
        mean = np.median(ratios[:, early], axis=1) ** 2
        share = strengths[:, early].mean(axis=1) ** 0.25
        slope = np.polyfit(numbers**2, mean, 1, w=share)
        stretch = float(max(slope[0] / slope[1], 0.0))
        stretch = stretch if stretch > 2e-5 else 0.0
    ratios /= np.sqrt(1 + stretch * np.arange(1, count + 1)[:, None] ** 2)
    strength = strengths.sum(axis=0)
    heard_hz = (ratios * strengths).sum(axis=0) / np.maximum(strength, 1e-12)
    return np.where(strength > 1e-11, heard_hz, hz), stretch


def _smooth_rows(grid_s: Array, power: Array) -> Array:
    """Power [frames, channels] at TIMES_S, each the mean of what lies nearer to it than to others."""
    edges = np.concatenate([[0.0], (TIMES_S[1:] + TIMES_S[:-1]) / 2, [TIMES_S[-1] + 0.2]])
    rows = np.empty((NUM_TIMES, power.shape[1]))
    for j in range(NUM_TIMES):
        inside = (grid_s >= edges[j]) & (grid_s < edges[j + 1])
        if not inside.any():
            inside = np.abs(grid_s - TIMES_S[j]) == np.abs(grid_s - TIMES_S[j]).min()
        rows[j] = power[inside].mean(axis=0)
    return rows


def measure_note(sound: Array, hz: float, held_s: float, holds: bool, many: bool) -> Note:
    """Take apart a note that begins somewhere in `sound` and is let go `held_s` later; `many` play it together."""
    envelope = envelope_of(sound)
    onset = onset_of(envelope)
    sound, envelope = sound[onset:], envelope[onset:]
    power, bins, noise_gain, half = _spectra(sound, hz, held_s)
    grid_s = (half + np.arange(len(power)) * HOP_S * SAMPLE_RATE) / SAMPLE_RATE
    pitch, stretch = _pitch(power, bins, hz, holds)
    place = bins[None, :] / pitch[:, None]
    between = np.abs(place - np.rint(place)) if stretch == 0.0 else np.abs(_unstretched(place, stretch))
    free = (between > SIDE) | (place < 1 - SIDE)

    noise = np.empty((len(power), NUM_BANDS))
    for band, share in enumerate(band_shares(bins)):
        inside = np.flatnonzero(share > 0.2)
        masked = np.where(free[:, inside], power[:, inside], np.nan)
        # A low quantile, which what the pitch's swing smears into the gaps does not reach; of noise it is this part.
        density = np.nan_to_num(np.nanquantile(masked, QUANTILE, axis=1)) / -np.log(1 - QUANTILE)
        noise[:, band] = density / (4 * noise_gain) * share.sum() / (len(bins) - 1)
    floor = noise / np.maximum(band_shares(bins).sum(axis=1), 1e-9) * (len(bins) - 1) * 4 * noise_gain

    number = np.arange(1, MAX_HARMONICS + 1)
    levels = np.full((len(power), MAX_HARMONICS), 1e-14)
    ratios = number * np.sqrt(1 + stretch * number**2)
    rows = np.arange(len(power))
    for k in range(MAX_HARMONICS):
        centre = pitch * ratios[k]
        if centre.max() > 0.46 * SAMPLE_RATE:
            break
        reach = min(max(0.006 * ratios[k], 0.08), 0.3) * hz
        best = np.zeros(len(power))
        for away in np.linspace(-reach, reach, 9):
            at = np.clip(np.rint((centre + away) / bins[1]).astype(int), 0, len(bins) - 1)
            best = np.maximum(best, power[rows, at])
        if many:  # whose harmonics are bands
            near = np.abs(bins - centre[:, None]) < SIDE * hz
            best = (power * near).sum(axis=1) / (noise_gain * 2 * (len(bins) - 1))
        share = band_shares(centre)
        levels[:, k] = np.maximum(best - 1.5 * (share.T * floor).sum(axis=1), 0.03 * best) + 1e-14
    channels = np.zeros((len(power), CHANNELS))
    for channel in range(NUM_LEVELS):
        nearest = np.abs(CHANNEL_OF - channel) <= (0.5 if channel >= NUM_SINGLE else 0.1)
        channels[:, channel] = levels[:, nearest].mean(axis=1)
    channels[:, NUM_LEVELS:] = noise

    result = _rows(grid_s, channels, envelope, half, holds)
    scale = _scale(result, grid_s, levels, holds)
    rows_db = np.maximum(10 * np.log10(result + 1e-14) - 10 * np.log10(scale), FLOOR_DB)
    life = _life(grid_s, channels, rows_db, holds)
    cents = 1200 * np.log2(pitch / np.median(pitch))
    vibrato_cents, vibrato_hz = _vibrato(cents[(grid_s > 0.8)])
    steady = (grid_s > STEADY_S[0]) & (grid_s < STEADY_S[1])
    whole_db = 10 * np.log10(levels.sum(axis=1)[steady])
    return Note(
        np.vstack([rows_db, life]), float(10 * np.log10(scale)), _release_s(envelope, held_s), vibrato_cents,
        vibrato_hz, float(whole_db.std()), stretch,
    )  # fmt: skip


def _unstretched(place: Array, stretch: float) -> Array:
    """How far from the nearest partial, in distances of harmonics."""
    number = np.sqrt((np.sqrt(1 + 4 * stretch * place**2) - 1) / (2 * stretch))
    return number - np.rint(number)


def _rows(grid_s: Array, channels: Array, envelope: Array, half: int, holds: bool) -> Array:
    """Power at TIMES_S; before the middle of the first window it goes with the envelope."""
    rows = _smooth_rows(grid_s, channels)
    if holds:
        steady = (grid_s > STEADY_S[0]) & (grid_s < STEADY_S[1])
        rows[np.greater(TIMES_S, STEADY_S[0])] = channels[steady].mean(axis=0)
    middle = envelope[half]
    for j in range(int(np.searchsorted(TIMES_S, half / SAMPLE_RATE))):
        rows[j] = channels[0] * min((envelope[int(TIMES_S[j] * SAMPLE_RATE)] / middle) ** 2, 16.0)
    return rows


def _scale(rows: Array, grid_s: Array, levels: Array, holds: bool) -> float:
    if holds:
        return float(levels[(grid_s > STEADY_S[0]) & (grid_s < STEADY_S[1])].sum(axis=1).mean())
    return float(levels[grid_s < STRUCK_S + grid_s[0]].sum(axis=1).mean())


def _life(grid_s: Array, channels: Array, rows_db: Array, holds: bool) -> Array:
    """Standard deviation in dB of each channel's level around its course, [channels]; of noise none, it is noise."""
    inside = (grid_s > 0.4) & (grid_s < 3.0)
    level_db = 10 * np.log10(channels[inside] + 1e-14)
    size = 40
    if len(level_db) < 2 * size:
        return np.zeros(CHANNELS)
    mean = np.apply_along_axis(lambda row: np.convolve(row, np.ones(size) / size, "valid"), 0, level_db)
    own = level_db[size // 2 : size // 2 + len(mean)] - mean
    life = np.minimum(own.std(axis=0), 2.5)
    life[rows_db[8] < -60] = 0.0
    life[NUM_LEVELS:] = 0.0
    return life


def _vibrato(cents: Array) -> tuple[float, float]:
    """Depth in cents and rate of what of the pitch swings at 3.5 … 8 Hz."""
    if len(cents) < 100:
        return 0.0, 0.0
    power = np.abs(np.fft.rfft((cents - cents.mean()) * np.hanning(len(cents)), 4096)) ** 2
    rate = np.fft.rfftfreq(4096, HOP_S)
    inside = (rate > 3.5) & (rate < 8)
    share = power[inside].sum() / power.sum()
    return float(np.sqrt(2 * share) * cents.std()), float(rate[inside][power[inside].argmax()])


def _release_s(envelope: Array, held_s: float) -> float:
    """To -60 dB, from how fast it falls from -5 to -25."""
    after = envelope[int(held_s * SAMPLE_RATE) :]
    down_db = 20 * np.log10(after / max(after[: SAMPLE_RATE // 100].max(), 1e-9))
    five, twenty = int(np.argmax(down_db < -5)), int(np.argmax(down_db < -25))
    return 3.0 * (twenty - five) / SAMPLE_RATE if twenty > five else 0.0
