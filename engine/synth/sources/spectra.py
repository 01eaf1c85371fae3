"""Spectra of ensembles as long periodic tables. In: a `Spectrum`; out: float32 tables and a ZONE record for each.

Every partial is a narrow band of noise, as the sum of many players a little apart in pitch is: Nasca O Paul,
"PADsynth algorithm" (2004). Built at load with numpy; any thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE
from engine.synth.sources.kind import Range
from engine.synth.sources.tones import steady_levels_db
from engine.synth.sources.wavetables import BAND

FIELDS: dict[str, Range] = {
    "slope_db": (-40, 6, -6), "bass_hz": (10, 4000, 10), "corner_hz": (20, 20_000, 20_000),
    "corner_slope_db": (-60, 0, -12), "even_db": (-60, 6, 0), "bandwidth_cents": (0.1, 400, 20),
    "bandwidth_growth": (0, 2, 1), "steady_db": (-40, 40, 3), "flutter_hz": (0, 20, 0), "flutter_db": (-40, 12, -3),
    "lowest_key": (12, 108, 36), "highest_key": (24, 120, 96), "zone_semitones": (3, 24, 6), "short_key": (12, 128, 58),
}  # fmt: skip
"""What a table of spectra.toml may say; see `Spectrum`."""
PAIR_FIELDS = ("slope_db", "corner_hz")
LIST_FIELDS: dict[str, tuple[Range, ...]] = {
    "partials": ((0.25, 64, 1), (-80, 12, 0)), "formants": ((50, 16_000, 1000), (-40, 40, 0), (0.02, 4, 0.3)),
}  # fmt: skip

ZONE = np.dtype(
    [
        ("soft", np.int64),  # where its table begins in the flat array; `num_frames` + GUARD_FRAMES long
        ("loud", np.int64),  # the same of the table for loud playing; equal to `soft` where there is one only
        ("num_frames", np.int64),  # a power of two
        ("increment", np.float64),  # cycles of the fundamental per frame of the table
        ("agreement", np.float64),  # share of the power that is the same, whole cycles later
    ]
)
GUARD_FRAMES = 3
"""The first frames again behind the last, for the interpolation."""
RMS = 0.35
SHORT_FRAMES, LONG_FRAMES = 2**15, 2**16
TWOFOLD_KEY, FOURFOLD_KEY, TOP_KEY = 88.0, 98.0, 108.0
"""Zones whose middle is above the first and second hold twice and four times the frames per second, which the
interpolation needs. One more zone than asked for, up to the last, takes the few notes above; it is at least twofold."""


@dataclass(frozen=True)
class Spectrum:
    """What the players of an ensemble sound like; pairs are for soft and loud playing."""

    tone: str  # whose held notes the harmonics' levels are, before all that follows; empty: all equally strong
    slope_db: tuple[float, float]  # per octave above the fundamental
    bass_hz: float  # below it 6 dB an octave less, as bodies and bells radiate
    corner_hz: tuple[float, float]  # above it another `corner_slope_db` per octave
    corner_slope_db: float
    even_db: float  # of the even harmonics, beside the odd ones
    bandwidth_cents: float  # of the fundamental, between half powers
    bandwidth_growth: float  # bandwidth in hertz goes with this power of the harmonic's number; 1: equal in cents
    steady_db: float  # power of the fundamental's line at the middle of its band beside the band; -3 dB an octave
    flutter_hz: float  # rate of the players' own tremolo, each in a time of his own
    flutter_db: float  # its side bands, beside the steady part
    partials: tuple[tuple[float, float], ...]  # ratio and level in dB; none: all harmonics
    formants: tuple[tuple[float, float, float], ...]  # centre in hertz, gain in dB, width in octaves
    lowest_key: float
    highest_key: float
    zone_semitones: float
    short_key: float  # zones whose middle is above have tables of half the length, for their bands are wide

    @property
    def num_dynamics(self) -> int:
        is_single = self.slope_db[0] == self.slope_db[1] and self.corner_hz[0] == self.corner_hz[1]
        return 1 if is_single and not self.tone else 2

    @property
    def num_zones(self) -> int:
        return max(1, round((self.highest_key - self.lowest_key) / self.zone_semitones)) + 1

    def zone_keys(self, index: int) -> tuple[float, float]:
        """Lowest and highest key of a zone."""
        low = self.lowest_key + index * self.zone_semitones
        return low, (low + self.zone_semitones if index + 1 < self.num_zones else max(TOP_KEY, low + 1))


def _levels_db(
    spectrum: Spectrum, ratios: npt.NDArray[np.float64], base_hz: float, dynamic: int
) -> npt.NDArray[np.float64]:
    """Level of each partial of a note of `base_hz`."""
    hz = ratios * base_hz
    levels = spectrum.slope_db[dynamic] * np.log2(ratios)
    levels -= 10 * np.log10(1 + (spectrum.bass_hz / hz) ** 2)
    levels += spectrum.corner_slope_db * np.log2(1 + (hz / spectrum.corner_hz[dynamic]) ** 2) / 2
    if spectrum.tone:
        measured_db = steady_levels_db(spectrum.tone, 69 + 12 * np.log2(base_hz / 440), dynamic)
        levels += np.interp(ratios, np.arange(1, len(measured_db) + 1), measured_db, right=measured_db.min())
    levels += np.where((np.rint(ratios) % 2 == 0) & (ratios > 1.5), spectrum.even_db, 0.0)
    for centre_hz, gain_db, octaves in spectrum.formants:
        levels += gain_db * np.exp(-0.5 * (np.log2(hz / centre_hz) / octaves) ** 2)
    return levels


def _bands(
    spectrum: Spectrum, base_hz: float, bin_hz: float, num_bins: int, top_hz: float
) -> tuple[list[npt.NDArray[np.float64]], float]:
    """Magnitudes [num_bins] for each dynamic, and the steady share of their power.

    Every bin belongs to the nearest partial.
    """
    if spectrum.partials:
        ratios, given_db = np.array(sorted(spectrum.partials)).T
    else:
        ratios = np.arange(1, max(1, int(top_hz / base_hz)) + 1.0)
        given_db = np.zeros(len(ratios))
    kept = ratios * base_hz <= top_hz
    ratios, given_db = ratios[kept], given_db[kept]
    centres = ratios * base_hz / bin_hz
    bins = np.arange(num_bins)
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, bins)
    width_hz = (2 ** (spectrum.bandwidth_cents / 1200) - 1) * base_hz * ratios**spectrum.bandwidth_growth
    sigmas = np.maximum(width_hz / bin_hz / 2.355, 0.3)
    shape = np.zeros(num_bins)
    flutter_bins, side = spectrum.flutter_hz / bin_hz, 10 ** (spectrum.flutter_db / 20)
    for offset, gain in ((0.0, 1.0), (flutter_bins, side), (-flutter_bins, side)):
        if offset == 0.0 or spectrum.flutter_hz > 0.0:
            spread = sigmas if offset == 0.0 else np.hypot(sigmas, 0.22 * flutter_bins)
            away = (bins - (centres + offset)[nearest]) / spread[nearest]
            shape += (gain**2 / np.maximum(spread * 1.772, 1.0))[nearest] * np.exp(-(away**2))
    # What all players agree on: without it every partial would fade out now and then, as noise does.
    steady = 10 ** (spectrum.steady_db / 10) / ratios
    shape /= (1 + steady)[nearest]
    shape[np.rint(centres).astype(int)] += steady / (1 + steady)
    shape = np.sqrt(shape)
    levels_db = [given_db + _levels_db(spectrum, ratios, base_hz, dynamic) for dynamic in range(spectrum.num_dynamics)]
    agreement = np.average(steady / (1 + steady), weights=10 ** (levels_db[0] / 10))
    return [shape * 10 ** (partials_db[nearest] / 20) for partials_db in levels_db], float(agreement)


@cache
def _phasors(num_frames: int) -> npt.NDArray[np.complex64]:
    """The random phases of all tables of a length; soft and loud share them, so that they can be faded."""
    turns = np.random.default_rng(num_frames).random(num_frames // 2 + 1)
    return np.exp(2j * np.pi * turns).astype(np.complex64)


def build_spectrum(spectrum: Spectrum) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.void]]:
    """The tables one after another, and their zones [num_zones] ZONE, counted from the first table's beginning."""
    zones = np.zeros(spectrum.num_zones, ZONE)
    tables: list[npt.NDArray[np.float32]] = []
    end = 0
    for index, zone in enumerate(zones):
        low_key, high_key = spectrum.zone_keys(index)
        # The middle, also of the zone above the others: most of its notes are near its lower end.
        key = low_key + spectrum.zone_semitones / 2
        num_frames = SHORT_FRAMES if key >= spectrum.short_key else LONG_FRAMES
        oversampling = 4 if key >= FOURFOLD_KEY else 2 if key >= TWOFOLD_KEY or index + 1 == len(zones) else 1
        bin_hz = oversampling * SAMPLE_RATE / num_frames
        cycles = round(440 * 2 ** ((key - 69) / 12) / bin_hz)
        top_hz = BAND * SAMPLE_RATE / 2 ** ((high_key - key) / 12)
        zone["num_frames"], zone["increment"] = num_frames, cycles / num_frames
        bands, zone["agreement"] = _bands(spectrum, cycles * bin_hz, bin_hz, num_frames // 2 + 1, top_hz)
        for dynamic, band in enumerate(bands):
            band[:2] = 0.0
            table = np.fft.irfft(band.astype(np.float32) * _phasors(num_frames), num_frames)
            table *= RMS / np.sqrt(np.mean(table**2))
            zone["loud" if dynamic else "soft"] = end
            tables.append(np.concatenate([table, table[:GUARD_FRAMES]]).astype(np.float32))
            end += len(tables[-1])
        if spectrum.num_dynamics == 1:
            zone["loud"] = zone["soft"]
    return np.concatenate(tables), zones
