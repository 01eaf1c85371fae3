"""What the SoundFont standard 2.04 says of generators, chapter 8.1. Remembers nothing."""

from __future__ import annotations

START_OFFSET, END_OFFSET, LOOP_START_OFFSET, LOOP_END_OFFSET = (0, 4), (1, 12), (2, 45), (3, 50)
"""Frames, and 32,768 frames, that a zone moves its sample's marks by."""
INSTRUMENT, SAMPLE, SAMPLE_MODES, EXCLUSIVE_CLASS, ROOT_KEY = 41, 53, 54, 57, 58
KEY_RANGE, VELOCITY_RANGE, INITIAL_ATTENUATION = 43, 44, 48

ATTENUATION_SHARE = 0.4
"""The sound card that the standard describes took this much of an attenuation, and banks are made by ear."""

DEFAULTS: dict[int, float] = {
    8: 13_500,  # cutoff
    **dict.fromkeys((21, 23, *range(25, 29), 30, *range(33, 37), 38), -12_000),  # delays and other times
    46: -1, 47: -1, INITIAL_ATTENUATION: 0,
    56: 100,  # cents a key
    ROOT_KEY: -1,
}  # fmt: skip
"""Those that are not 0."""
LIMITS: dict[int, tuple[float, float]] = {
    8: (1500, 13_500), 9: (0, 960), 17: (-500, 500), 21: (-12_000, 5000), 22: (-16_000, 4500), 23: (-12_000, 5000),
    24: (-16_000, 4500), **dict.fromkeys((25, 27, 33, 35), (-12_000, 5000)),
    **dict.fromkeys((26, 28, 30, 34, 36, 38), (-12_000, 8000)), 29: (0, 1000), 37: (0, 1440), 48: (0, 1440),
    51: (-120, 120), 52: (-99, 99), 56: (0, 1200),
}  # fmt: skip
"""What is allowed of the sum of an instrument's and a preset's, where it matters."""
NOT_OF_PRESETS = frozenset((*range(5), 12, 41, 43, 44, 45, 46, 47, 50, 53, 54, 57, 58))
"""Have no meaning in a preset, or are no amounts that could be added."""
