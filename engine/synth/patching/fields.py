"""What a patch file may say: for every kind of instrument its numbers, words and lists, with their ranges.

Times of decay and release are to -60 dB, ring times likewise; levels are amplitudes, *_db decibels. The kernels take
the kinds' numbers from here. Remembers nothing.
"""

from __future__ import annotations

from engine.audio import SAMPLE_RATE
from engine.synth.sources.wavetables import WAVES
from engine.synth.state import MAX_HARMONICS, MAX_PARTIALS, MAX_TICKS, NUM_BODY_MODES

Range = tuple[float, float, float]
"""Low, high, default."""

KINDS = ("analog", "fm", "pluck", "modal", "drum", "additive", "ensemble", "chip")
ANALOG, FM, PLUCK, MODAL, DRUM, ADDITIVE, ENSEMBLE, CHIP = range(len(KINDS))

_COMMON: dict[str, Range] = {
    "level_db": (-40, 24, 0), "pan": (-1, 1, 0), "transpose": (-36, 36, 0),
    "attack_s": (0.0005, 8, 0.002), "decay_s": (0.005, 30, 1), "sustain": (0, 1, 1), "release_s": (0.005, 20, 0.3),
    "cutoff_hz": (20, 20_000, 12_000), "resonance": (0, 0.97, 0), "key_tracking": (0, 1, 0.5),
    "envelope_octaves": (-6, 8, 0), "filter_attack_s": (0.0005, 8, 0.002), "filter_decay_s": (0.005, 30, 0.6),
    "filter_sustain": (0, 1, 0), "velocity_octaves": (0, 6, 1), "brightness_octaves": (0, 6, 1.5),
    "vibrato_cents": (0, 100, 0), "vibrato_hz": (0.1, 12, 5), "vibrato_delay_s": (0, 4, 0.3),
    "tremolo": (0, 1, 0), "tremolo_hz": (0.05, 12, 4), "drive": (0, 8, 0), "noise_level": (0, 1, 0),
    "noise_decay_s": (0.005, 30, 0.1),
}  # fmt: skip
# Of every instrument but drums: slow motion of filter and pitch, noise beside the tone (breath, hammer, bow), and how
# it is played: slurs that glide, notes begun below their pitch, chords spread and onsets loosened (always later).
_LIFE: dict[str, Range] = {
    "motion_octaves": (0, 3, 0), "motion_hz": (0.02, 8, 0.15), "drift_cents": (0, 30, 0),
    "noise_hz": (100, 16_000, 3000), "noise_sustain": (0, 1, 0), "release_noise": (0, 1, 0),
    "jitter_cents": (0, 20, 0), "glide_s": (0, 1, 0), "slur_share": (0, 1, 1), "scoop_cents": (-300, 300, 0),
    "scoop_s": (0.01, 2, 0.1), "scoop_share": (0, 1, 1), "strum_s": (0, 0.02, 0), "looseness_s": (0, 0.02, 0),
}  # fmt: skip
_OF_KIND: dict[str, dict[str, Range]] = {
    "analog": {
        "num_oscillators": (1, 7, 1), "detune_cents": (0, 50, 0), "width": (0, 1, 0), "pulse_width": (0.05, 0.5, 0.5),
        "pulse_motion": (0, 0.45, 0), "pulse_motion_hz": (0.02, 8, 0.5), "sub_level": (0, 1, 0), **_LIFE,
    },
    "ensemble": {
        "detune_cents": (0, 50, 6), "width": (0, 1, 0.7), "dynamics": (0, 1, 1), "swell": (0, 1, 0), **_LIFE,
    },
    "chip": {
        "volume_decay_s": (0.02, 30, 1), "volume_sustain": (0, 1, 1), "duty_ticks": (1, 60, 1),
        "arpeggio_ticks": (1, 60, 2), "arpeggio_repeats": (0, 1, 0), "clock_ratio": (1, 400, 32), **_LIFE,
    },
    "fm": {
        "carrier_ratio": (0.25, 8, 1), "modulator_ratio": (0.25, 16, 1), "index": (0, 8, 1),
        "index_sustain": (0, 1, 0.2), "index_decay_s": (0.005, 10, 0.8), "tine_ratio": (0.5, 24, 14),
        "tine_level": (0, 1, 0), "tine_decay_s": (0.005, 6, 0.4), "twin_cents": (0, 30, 0),
        "second_ratio": (0.25, 16, 1), "second_index": (0, 8, 0), "second_sustain": (0, 1, 0),
        "second_decay_s": (0.005, 10, 0.5), **_LIFE,
    },
    "pluck": {
        "ring_s": (0.05, 20, 3), "ring_tracking": (0, 1, 0.4), "treble_s": (0.02, 10, 0.6), "stiffness": (0, 0.85, 0),
        "second_cents": (0, 10, 0), "pick_position": (0.02, 0.5, 0.15), "pick_hz": (200, 16_000, 4000),
        "pick_noise": (0, 1, 0.05), "pick_level": (0, 1, 1), "repick_hz": (0, 20, 0), "knock": (0, 2, 0),
        "bow_level": (0, 1, 0), **_LIFE,
    },
    "additive": {
        "soft_slope_db": (-40, 0, -15), "loud_slope_db": (-40, 0, -9), "bloom": (0, 1, 0.5), "roughness": (0, 0.5, 0),
        "speak_s": (0.002, 1, 0.05), "arch_db": (0, 6, 0), "vibrato_db": (0, 9, 0), **_LIFE,
    },
    "modal": {
        "ring_s": (0.03, 40, 4), "ring_damping": (0, 4, 0.4), "inharmonicity": (0, 0.02, 0), "tilt": (-1, 4, 1),
        "num_partials": (0, MAX_PARTIALS, 0), "ring_tracking": (0, 1.5, 0.5), "damping_hz": (200, 1e5, 1e5),
        "strike_position": (0, 0.5, 0), "hammer_hz": (100, 1e5, 1e5), "hammer_octaves": (0, 6, 2),
        "radiation_hz": (0, 500, 0), "num_strings": (1, 3, 1), "num_doubled": (0, MAX_PARTIALS, 12),
        "string_cents": (0, 30, 0.6), "after_level": (0, 1, 0.4), "after_ring": (0.2, 8, 2.5), "width": (0, 1, 0.25),
        "thump_level": (0, 1, 0), "thump_hz": (30, 1000, 110), "thump_s": (0.01, 1, 0.15), **_LIFE,
    },
    "drum": {
        "key_tracking": (0, 1, 0), "attack_s": (0.0005, 8, 0.0005), "cutoff_hz": (20, 20_000, 18_000),
        "velocity_octaves": (0, 6, 0.6), "brightness_octaves": (0, 6, 0.6),
        "tone_hz": (20, 8000, 100), "tone_level": (0, 1, 0), "tone_decay_s": (0.005, 6, 0.2),
        "sweep_octaves": (-2, 6, 0), "sweep_s": (0.002, 1, 0.05), "overtone_ratio": (1, 6, 1.6),
        "overtone_level": (0, 1, 0), "num_partials": (0, MAX_PARTIALS, 0), "mode_hz": (30, 8000, 200),
        "mode_level": (0, 1, 0), "mode_decay_s": (0.005, 20, 0.3), "mode_damping": (0, 4, 0.1), "tilt": (-1, 4, 0),
        "clash": (0, 40, 0), "grit": (0, 1, 0), "noise_hz": (60, 16_000, 3000), "noise_octaves": (0.1, 8, 2),
        "hiss_level": (0, 1, 0), "hiss_hz": (60, 18_000, 8000), "hiss_octaves": (0.1, 8, 2),
        "hiss_decay_s": (0.005, 20, 0.2), "hiss_attack_s": (0.0001, 2, 0.0001), "noise_lift": (0, 3, 0.7),
        "hold_hz": (0, SAMPLE_RATE, 0), "noise_period": (0, 65_536, 0), "bursts": (0, 8, 0),
        "burst_s": (0.002, 0.2, 0.011), "width": (0, 1, 0), "choke": (0, 4, 0),
    },
}  # fmt: skip
NUMBERS: dict[str, dict[str, Range]] = {kind: {**_COMMON, **_OF_KIND[kind]} for kind in KINDS}

_FILTER = {"filter": ("lowpass", "bandpass", "highpass")}
_BODY = {"body": ("string", "membrane", "bar", "metal")}
WORDS: dict[str, dict[str, tuple[str, ...]]] = {kind: dict(_FILTER) for kind in KINDS} | {
    "analog": {**_FILTER, "wave": WAVES},
    "chip": {**_FILTER, "wave": (*WAVES, "noise", "metal_noise")},
    "modal": {**_FILTER, **_BODY},
    "drum": {**_FILTER, **_BODY},
}
"""The first word is the default, but for waves; see `FIRST_WAVE`."""
FIRST_WAVE = {"analog": "saw", "chip": "pulse"}

_MODES = {"ratios": (0.25, 80.0, MAX_PARTIALS), "amplitudes": (0.0, 1.0, MAX_PARTIALS)}
LISTS: dict[str, dict[str, tuple[float, float, int]]] = {kind: {} for kind in KINDS} | {
    "modal": _MODES,
    "drum": _MODES,
    "pluck": {
        "body_hz": (40, 8000, NUM_BODY_MODES), "body_db": (0, 24, NUM_BODY_MODES), "body_q": (1, 60, NUM_BODY_MODES),
    },
    "additive": {
        "soft_db": (-80, 12, MAX_HARMONICS), "loud_db": (-80, 12, MAX_HARMONICS), "body_hz": (50, 16_000, 16),
        "body_db": (-40, 24, 16), "body_width_hz": (20, 10_000, 16),
    },
    "chip": {"duty": (0.05, 0.5, MAX_TICKS), "arpeggio": (-24.0, 24.0, MAX_TICKS)},
}  # fmt: skip
"""Low, high, longest."""
EQUALLY_LONG = {"pluck": ("body_hz", "body_db", "body_q"), "additive": ("body_hz", "body_db", "body_width_hz")}

SPECTRUM: dict[str, Range] = {
    "slope_db": (-40, 6, -6), "bass_hz": (10, 4000, 10), "corner_hz": (20, 20_000, 20_000),
    "corner_slope_db": (-60, 0, -12), "even_db": (-60, 6, 0), "bandwidth_cents": (0.1, 400, 20),
    "bandwidth_growth": (0, 2, 1), "steady_db": (-40, 40, 3), "flutter_hz": (0, 20, 0), "flutter_db": (-40, 12, -3),
    "lowest_key": (12, 108, 36), "highest_key": (24, 120, 96), "zone_semitones": (3, 24, 6), "short_key": (12, 128, 58),
}  # fmt: skip
"""Of the spectra that ensembles play; see `spectra.Spectrum`."""
SPECTRUM_PAIRS = ("slope_db", "corner_hz")
SPECTRUM_LISTS: dict[str, tuple[Range, ...]] = {
    "partials": ((0.25, 64, 1), (-80, 12, 0)), "formants": ((50, 16_000, 1000), (-40, 40, 0), (0.02, 4, 0.3)),
}  # fmt: skip
