"""Plain figures of a sound, and what in them is a fault. In: float frames [2, T]; out: numbers. Remembers nothing.

Offline: the audition and its tests call it, nothing that plays live.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE

Float = npt.NDArray[np.float32]
MOST_CENTS = 5.0
MOST_MONO_LOSS_DB = 3.0
MOST_DC_DB = -40.0
"""Of the mean, against the root mean square; a drum's lowest sweep is some, an oscillator's offset is more."""
MOST_FLOOR_DB = -70.0
"""What may be left, relative to the peak, where the sound should be over."""
QUIETEST_PEAK_DB = -60.0
_PITCH_WINDOW = 4096
_PITCH_HOP = 256
_ENVELOPE_FRAMES = 96


@dataclass(frozen=True)
class Meter:
    """Figures of one sound. NaN is what cannot be told: the pitch of a noise, the decay of a held tone."""

    peak_db: float  # of full scale
    rms_db: float  # of full scale, where it sounds
    centroid_hz: float  # of power
    attack_ms: float  # from a tenth to nine tenths of the greatest level
    decay_s: float  # from the greatest level to -40 dB of it
    correlation: float  # of left and right
    mono_loss_db: float  # of power, when both channels are added
    dc_db: float  # the mean against the root mean square
    floor_db: float  # of the last tenth of a second, against the peak

    def faults(self) -> list[str]:
        """What should not be, in words."""
        if not math.isfinite(self.peak_db) or self.peak_db < QUIETEST_PEAK_DB:
            return ["silent"]
        found = []
        if self.peak_db >= 0.0:
            found.append(f"clips at {self.peak_db:+.1f} dB")
        if self.mono_loss_db > MOST_MONO_LOSS_DB:
            found.append(f"loses {self.mono_loss_db:.1f} dB in mono")
        if self.dc_db > MOST_DC_DB:
            found.append(f"DC at {self.dc_db:.0f} dB")
        return found


def db(power: float) -> float:
    return 10 * math.log10(power) if power > 0 else -math.inf


def meter(sound: Float) -> Meter:
    """`sound` [2, T] begins with its onset and ends where it should be over."""
    frames = sound.astype(np.float64)
    left, right = frames
    power = frames.mean(axis=0) ** 2
    both = float((frames**2).mean())
    envelope = _envelope(frames)
    loud = envelope > 0.03 * envelope.max()
    middle = float(power.mean())
    spread = math.sqrt(float((left**2).mean() * (right**2).mean()))
    mean = float(np.abs(frames @ _window_of(frames.shape[1])).max())
    peak = float(np.abs(frames).max())
    last = frames[:, -SAMPLE_RATE // 10 :]
    return Meter(
        peak_db=db(peak**2),
        rms_db=db(float((envelope[loud] ** 2).mean())) if peak > 0 else -math.inf,
        centroid_hz=centroid_hz(frames.mean(axis=0)),
        attack_ms=_attack_ms(envelope),
        decay_s=_decay_s(envelope),
        correlation=float((left * right).mean()) / spread if spread > 0 else math.nan,
        mono_loss_db=db(both) - db(middle) if middle > 0 else math.inf if both > 0 else math.nan,
        dc_db=db(mean**2) - db(both) if both > 0 else math.nan,
        floor_db=db(float((last**2).mean())) - db(peak**2) if peak > 0 else math.nan,
    )


def _envelope(frames: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Root mean square of every 2 ms, both channels."""
    count = frames.shape[1] // _ENVELOPE_FRAMES
    steps = frames[:, : count * _ENVELOPE_FRAMES].reshape(2, count, _ENVELOPE_FRAMES)
    return np.sqrt((steps**2).mean(axis=(0, 2)))


def _window_of(num_frames: int) -> npt.NDArray[np.float64]:
    """Weights of a mean that tones leave no trace in."""
    window = np.hanning(num_frames + 2)[1:-1]
    return window / window.sum()


def _attack_ms(envelope: npt.NDArray[np.float64]) -> float:
    # Over 10 ms, or the waveform of a bass would count.
    smooth = np.convolve(envelope, np.full(5, 0.2), "same")
    if smooth.max() <= 0:
        return math.nan
    low, high = (int(np.argmax(smooth >= share * smooth.max())) for share in (0.1, 0.9))
    return 1000 * (high - low) * _ENVELOPE_FRAMES / SAMPLE_RATE


def _decay_s(envelope: npt.NDArray[np.float64]) -> float:
    at = int(np.argmax(envelope))
    below = np.flatnonzero(envelope[at:] < 0.01 * envelope[at])
    return float(below[0]) * _ENVELOPE_FRAMES / SAMPLE_RATE if len(below) else math.nan


def centroid_hz(channel: npt.NDArray[np.float64]) -> float:
    """Mean frequency, weighted by power; NaN: silence."""
    power = np.abs(np.fft.rfft(channel)) ** 2
    total = power.sum()
    return float((np.fft.rfftfreq(len(channel), 1 / SAMPLE_RATE) * power).sum() / total) if total > 0 else math.nan


def cents_off(channel: npt.NDArray[np.float64], hz: float) -> float:
    """How far a tone is from `hz`, by the strongest of its first three partials; NaN where none of them stands out.

    The channel is brought down by the partial's frequency and smoothed; what turns then turns by the error. The mean
    over the tone, weighted by power, so that vibrato and detuned unisons count by their middle.
    """
    window = np.hanning(_PITCH_WINDOW + 1)
    window /= window.sum()
    total = float((channel**2).mean())
    best, cents = 0.0, math.nan
    for partial in (1, 2, 3):
        turn = np.exp(-2j * math.pi * partial * hz / SAMPLE_RATE * np.arange(len(channel)))
        low = np.lib.stride_tricks.sliding_window_view(channel * turn, len(window))[::_PITCH_HOP] @ window
        power = 2 * float((np.abs(low) ** 2).mean())
        # The first partial is the pitch that is heard, unless it is all but missing.
        weight = power * (100.0 if partial == 1 else 1.0)
        if power > 0.003 * total and weight > best:
            error_hz = np.angle((low[1:] * low[:-1].conj()).sum()) * SAMPLE_RATE / (2 * math.pi * _PITCH_HOP)
            best, cents = weight, 1200 * math.log2(max(1e-9, 1 + error_hz / (partial * hz)))
    return cents


def true_peak_db(sound: Float) -> float:
    """Peak after four-fold oversampling of the whole sound by its spectrum, of full scale."""
    spectrum = np.fft.rfft(sound, axis=1)
    padded = np.zeros((2, 2 * sound.shape[1] + 1), complex)
    padded[:, : spectrum.shape[1]] = spectrum
    return db(float(np.abs(4 * np.fft.irfft(padded, 4 * sound.shape[1], axis=1)).max()) ** 2)
