"""What everything in the synth is counted in: periods, layers, voices. Remembers nothing."""

from __future__ import annotations

from engine.audio import BLOCK_FRAMES
from moods.intent import LAYERS

CONTROL_FRAMES = 64
"""Envelopes of filters, vibrato and ramps are computed at absolute multiples of this; it divides a block."""
assert BLOCK_FRAMES % CONTROL_FRAMES == 0

NUM_LAYERS = len(LAYERS)
MAX_VOICES = 64
NUM_VOICES = MAX_VOICES + 8
"""The last few hold voices that are fading out after others took over from them."""
WORK_ROWS = 5
"""Rows of scratch that a voice needs: left, right, and three more for its source."""
