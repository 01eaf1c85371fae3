"""What one slot remembers, as a small set of arrays, so that a snapshot is a copy. Engine thread only.

Voices and effects say beside their kernels what they remember; here it is put together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.synth.effects.ambience import new_ambience
from engine.synth.effects.chorus import new_chorus
from engine.synth.effects.delay import DELAY, DELAY_FILTERS, new_delay
from engine.synth.effects.dynamics import BAND, BUS, SPEECH
from engine.synth.effects.limiter import LIMITER, new_limiter
from engine.synth.effects.loudness import METER
from engine.synth.effects.reverb import REVERB, REVERB_FILTERS, new_reverb
from engine.synth.effects.saturation import SHARE, TAPE, new_tape
from engine.synth.effects.strip import new_strips
from engine.synth.effects.tone import TONE
from engine.synth.sizes import NUM_LAYERS, NUM_VOICES
from engine.synth.sources.kinds import LINE_FRAMES, NUM_MODES
from engine.synth.targets import NUM_TARGETS
from engine.synth.voices import VOICE
from moods.intent import STYLES

MAX_SLOT_SEED = 2**63 - 1

SENDS = np.dtype([("reverb", REVERB), ("delay", DELAY)])
"""What the effects behind sends aim at; one for all buses."""
FILTERS = np.dtype([("reverb", REVERB_FILTERS), ("delay", DELAY_FILTERS)])
"""What their filters keep, of every bus."""
MASTER = np.dtype([("tape", TAPE), ("meter", METER), ("bus", BUS), ("speech", SPEECH), ("limiter", LIMITER)])
"""What the master decides, of the mix."""
MASTERED = np.dtype([("tone", TONE), ("band", BAND), ("share", SHARE)])
"""What its filters keep, of every bus."""

# Indices of SlotState.clock.
FRAME, NUM_STARTED, SEED, PIECE = range(4)


class SlotState(NamedTuple):
    """All memory of a slot. E is 1, or 6 once stems were asked for: the mix first, then every layer by itself."""

    clock: npt.NDArray[np.int64]  # [4]
    voices: npt.NDArray[np.void]  # [NUM_VOICES] VOICE
    lines: npt.NDArray[np.float32]  # [NUM_VOICES, LINE_FRAMES]
    modes: npt.NDArray[np.float64]  # [NUM_VOICES, NUM_MODES, 4]
    targets: npt.NDArray[np.float64]  # [2, NUM_TARGETS]: at the block's beginning, at its end
    styles: npt.NDArray[np.float64]  # [styles] weights of the current block
    duck: npt.NDArray[np.float64]  # [3]: now, at the next control point, envelope of the kick
    ambience: npt.NDArray[np.void]  # [ambiences] AMBIENCE
    strips: npt.NDArray[np.void]  # [layers] STRIP
    spread: npt.NDArray[np.float32]  # [layers, 2, SPREAD_FRAMES]
    sends: npt.NDArray[np.void]  # [1] SENDS
    filters: npt.NDArray[np.void]  # [E] FILTERS
    reverb: npt.NDArray[np.float32]  # [E, REVERB_LINES, REVERB_FRAMES]
    diffusers: npt.NDArray[np.float32]  # [E, 4, DIFFUSER_FRAMES]
    predelay: npt.NDArray[np.float32]  # [E, 2, PREDELAY_FRAMES]
    delay: npt.NDArray[np.float32]  # [E, 2, DELAY_FRAMES]
    chorus: npt.NDArray[np.float32]  # [E, 2, CHORUS_FRAMES]
    master: npt.NDArray[np.void]  # [1] MASTER
    mastered: npt.NDArray[np.void]  # [E] MASTERED
    tape: npt.NDArray[np.float32]  # [E, 2, TAPE_FRAMES]
    lookahead: npt.NDArray[np.float64]  # [E, 2, 2 * RING_FRAMES]
    limits: npt.NDArray[np.float64]  # [RING_FRAMES] limiter targets
    smoothing: npt.NDArray[np.int64]  # [RING_FRAMES] limiter gains


PER_BUS = ("filters", "reverb", "diffusers", "predelay", "delay", "chorus", "mastered", "tape", "lookahead")
"""The arrays whose first axis is E."""


def new_state(seed: int) -> SlotState:
    """A silent slot at frame 0."""
    assert 0 <= seed <= MAX_SLOT_SEED, seed
    strips, spread = new_strips()
    reverb, diffusers, predelay = new_reverb()
    limiter, lookahead, limits, smoothing = new_limiter()
    state = SlotState(
        clock=np.zeros(4, np.int64),
        voices=np.zeros(NUM_VOICES, VOICE),
        lines=np.zeros((NUM_VOICES, LINE_FRAMES), np.float32),
        modes=np.zeros((NUM_VOICES, NUM_MODES, 4)),
        targets=np.zeros((2, NUM_TARGETS)),
        styles=np.zeros(len(STYLES)),
        duck=np.zeros(3),
        ambience=new_ambience(seed),
        strips=strips,
        spread=spread,
        sends=np.zeros(1, SENDS),
        filters=np.zeros(1, FILTERS),
        reverb=reverb,
        diffusers=diffusers,
        predelay=predelay,
        delay=new_delay(),
        chorus=new_chorus(),
        master=np.zeros(1, MASTER),
        mastered=np.zeros(1, MASTERED),
        tape=new_tape(),
        lookahead=lookahead,
        limits=limits,
        smoothing=smoothing,
    )
    state.clock[SEED] = seed
    state.master["limiter"] = limiter
    return state


def keeps_stems(state: SlotState) -> bool:
    """Are there effects of every layer beside those of the mix?"""
    return len(state.filters) > 1


def with_stem_effects(state: SlotState) -> SlotState:
    """The same slot with effects for every layer beside those of the mix; their tails begin now."""
    if keeps_stems(state):
        return state
    grown = {
        name: np.concatenate([array, np.zeros((NUM_LAYERS, *array.shape[1:]), array.dtype)])
        for name in PER_BUS
        for array in (getattr(state, name),)
    }
    return state._replace(**grown)
