"""What a patch file may say: for every kind of instrument its numbers, words and lists, with their ranges.

Times of decay and release are to -60 dB, ring times likewise; levels are amplitudes, *_db decibels. What only one kind
knows stands beside its kernels, in `sources`. Remembers nothing.
"""

from __future__ import annotations

from engine.synth.sources.kind import Length, Range, Words
from engine.synth.sources.kinds import KINDS

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
# Slow motion of filter and pitch, noise beside the tone (breath, hammer, bow), and how it is played: slurs that glide,
# notes begun below their pitch, chords spread and onsets loosened (always later).
_PITCHED: dict[str, Range] = {
    "motion_octaves": (0, 3, 0), "motion_hz": (0.02, 8, 0.15), "drift_cents": (0, 30, 0),
    "noise_hz": (100, 16_000, 3000), "noise_sustain": (0, 1, 0), "release_noise": (0, 1, 0),
    "jitter_cents": (0, 20, 0), "glide_s": (0, 1, 0), "slur_share": (0, 1, 1), "scoop_cents": (-300, 300, 0),
    "scoop_s": (0.01, 2, 0.1), "scoop_share": (0, 1, 1), "strum_s": (0, 0.02, 0), "looseness_s": (0, 0.02, 0),
    "vibrato_rise_s": (0.05, 4, 0.4),
}  # fmt: skip
_FILTER: Words = (("lowpass", "bandpass", "highpass"), "lowpass")

NUMBERS: dict[str, dict[str, Range]] = {
    kind.name: {**_COMMON, **(_PITCHED if kind.is_pitched else {}), **kind.numbers} for kind in KINDS
}
WORDS: dict[str, dict[str, Words]] = {kind.name: {"filter": _FILTER, **kind.words} for kind in KINDS}
LISTS: dict[str, dict[str, Length]] = {kind.name: dict(kind.lists) for kind in KINDS}
