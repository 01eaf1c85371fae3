"""What the mix of a block aims at. In: a colour row and the styles' mixes; out: targets that glide through the block.

Remembers nothing; the kernels' targets are rows of `SlotState.targets`. Called inside the slot kernel.
"""

from __future__ import annotations

import numpy as np

from engine.audio import BLOCK_FRAMES
from engine.synth.compile import kernel
from engine.synth.sizes import NUM_LAYERS
from engine.synth.sources.kind import Range
from moods.intent import STYLES

AMBIENCES = ("vinyl", "tape", "rain", "room", "wind", "city")
NUM_AMBIENCES = len(AMBIENCES)
AMBIENCE_DB: Range = (-90, -20, -90)

ROOM_FIELDS: dict[str, Range] = {
    "reverb_s": (0.2, 12, 1.8), "reverb_low": (0.2, 2, 1), "reverb_damping_hz": (500, 16_000, 5000),
    "room_size": (0, 1, 0.4), "predelay_s": (0, 0.15, 0.01), "delay_beats": (0.25, 0.75, 0.75),
    "delay_feedback": (0, 0.8, 0.35), "duck_beats": (0.05, 1, 0.22), "drive": (0, 4, 0), "wow_cents": (0, 10, 0),
    "side_db": (-12, 9, 0),
}  # fmt: skip
"""A style's numbers beside its layers'; the gains of the master's equaliser, in decibels, and the ambiences' levels,
amplitudes, follow them."""
NUM_TONES = 6
TONE_RANGE: Range = (-12, 12, 0)
MIX_FIELDS: dict[str, Range] = {
    "level_db": (-24, 12, 0), "reverb_db": (-60, 6, -60), "delay_db": (-60, 6, -60), "chorus_db": (-60, 6, -60),
    "duck_db": (0, 24, 0), "tube": (0, 4, 0), "low_hz": (20, 1000, 40), "low_db": (-40, 9, 0),
    "peak_hz": (80, 10_000, 1000), "peak_db": (-12, 9, 0), "high_hz": (1000, 16_000, 6000), "high_db": (-24, 9, 0),
    "width": (0, 2, 1), "spread": (0, 0.8, 0),
}  # fmt: skip
"""A layer's numbers in a style; levels, sends and the equaliser's gains are kept as amplitudes."""

# Indices of targets: what an intent says, the styles' rooms blended, then runs of one value per layer.
(LOUDNESS, BRIGHTNESS, ENERGY, BPM, GAIN, SPEECH, ROOM) = range(7)
(
    REVERB_S, REVERB_LOW, REVERB_DAMPING_HZ, ROOM_SIZE, PREDELAY_S, DELAY_BEATS, DELAY_FEEDBACK, DUCK_BEATS, DRIVE,
    WOW_CENTS, SIDE_DB,
) = range(ROOM, ROOM + len(ROOM_FIELDS))  # fmt: skip
TONE_DB = ROOM + len(ROOM_FIELDS)
AMBIENCE_LEVEL = TONE_DB + NUM_TONES
MIX = AMBIENCE_LEVEL + NUM_AMBIENCES
(
    LEVEL, REVERB_SEND, DELAY_SEND, CHORUS_SEND, DUCK_DB, TUBE, LOW_HZ, LOW_GAIN, PEAK_HZ, PEAK_GAIN, HIGH_HZ,
    HIGH_GAIN, WIDTH, SPREAD,
) = (MIX + NUM_LAYERS * run for run in range(len(MIX_FIELDS)))  # fmt: skip
NUM_TARGETS = MIX + NUM_LAYERS * len(MIX_FIELDS)
ROOM_SIDE_DB, ROOM_TONES = SIDE_DB - ROOM, slice(TONE_DB - ROOM, AMBIENCE_LEVEL - ROOM)
ROOM_AMBIENCES = slice(AMBIENCE_LEVEL - ROOM, MIX - ROOM)
"""Columns of a style's row in the tables, which holds its room as targets do: a width, the equaliser, the ambiences."""

# Indices of a colour row: what the kernel takes from an Intent.
(C_LOUDNESS, C_BRIGHTNESS, C_ENERGY, C_BPM, C_GAIN_DB, C_SPEECH, C_PIECE, C_LAYERS) = range(8)
C_STYLES = C_LAYERS + NUM_LAYERS
NUM_COLOURS = C_STYLES + len(STYLES)


@kernel
def value(targets: np.ndarray, index: int, offset: int) -> float:
    """A target `offset` frames into the block: a straight line from the last block's to this one's."""
    before, after = targets[0, index], targets[1, index]
    return before + (after - before) * (offset * (1.0 / BLOCK_FRAMES))
