"""What one slot remembers, as a small set of arrays, so that a snapshot is a copy. Engine thread only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS
from moods.intent import LAYERS, STYLES

CONTROL_FRAMES = 64
"""Envelopes of filters, vibrato and ramps are computed at absolute multiples of this; it divides a block."""
assert BLOCK_FRAMES % CONTROL_FRAMES == 0

NUM_LAYERS = len(LAYERS)
MAX_VOICES = 64
NUM_VOICES = MAX_VOICES + 8
"""The last few hold voices that are fading out after their place was taken."""

STRING_FRAMES = 2048
MAX_PARTIALS = 48
REVERB_LINES = 8
REVERB_FRAMES = 4096
DIFFUSER_FRAMES = 1024
DELAY_FRAMES = 131_072
CHORUS_FRAMES = 2048
MASTER_FRAMES = 256
WINDOW_FRAMES = 64
"""Look-ahead over which the limiter's gain comes down."""
FIXED_POINT = 2**40
"""1.0 in the limiter's running sum."""
MAX_SLOT_SEED = 2**63 - 1

FREE, ATTACK, DECAY, RELEASE = range(4)

VOICE = np.dtype(
    [
        ("stage", np.int64),  # FREE … RELEASE
        ("filter_stage", np.int64),
        ("patch", np.int64),
        ("layer", np.int64),
        ("pitch", np.int64),
        ("onset", np.int64),  # absolute frame
        ("release_at", np.int64),  # absolute frame
        ("noise", np.int64),  # xorshift32 state
        ("string_length", np.int64),
        ("string_at", np.int64),
        ("velocity", np.float64),  # 0 … 1
        ("hz", np.float64),
        ("gain_left", np.float64),  # at the last control point
        ("gain_right", np.float64),
        ("step_left", np.float64),
        ("step_right", np.float64),
        ("pan_left", np.float64),
        ("pan_right", np.float64),
        ("level", np.float64),  # amplitude envelope
        ("fade", np.float64),  # 1 … 0 after the voice was stolen
        ("fade_step", np.float64),
        ("filter_level", np.float64),  # filter envelope
        ("num_modes", np.int64),  # partials not yet died away
        ("g", np.float64),  # tan(π·cutoff / sample rate) at the last control point
        ("g_next", np.float64),  # and at the next
        ("increment", np.float64),  # fundamental over sample rate, with vibrato
        ("bend", np.float64),  # FM depth in turns before the index envelope, at the last control point
        ("bend_next", np.float64),  # and at the next
        ("index", np.float64),  # FM index envelope, 1 … index_sustain
        ("tine", np.float64),  # FM second pair's envelope; drums: tone's
        ("noise_level", np.float64),  # noise envelope
        ("second", np.float64),  # FM second index envelope; drums: second noise's
        ("sweep", np.float64),  # drums: pitch envelope
        ("rise", np.float64),  # drums: what is left of the second noise's bloom
        ("burst_frames", np.float64),  # drums: between two hands
        ("bands", np.float64, (10,)),  # drums: memory of two noise bands and of the grit a channel
        ("string_last", np.float64),
        ("string_loss", np.float64),  # factor of one turn
        ("allpass", np.float64),
        ("allpass_last", np.float64),
        ("phase", np.float64, (8,)),
        ("memory", np.float64, (4,)),  # state-variable filter, two integrators per channel
        ("breath", np.float64, (3,)),  # low-passes of the noise that comes beside the tone
        ("breath_gain", np.float64),
        ("breath_step", np.float64),
    ]
)

MASTER = np.dtype(
    [
        ("highpass", np.float64, (CHANNELS, 2)),
        ("shelf", np.float64, (CHANNELS,)),
        ("weighting", np.float64, (CHANNELS, 4)),
        ("mean_square", np.float64),  # K-weighted, long window
        ("momentary", np.float64),  # K-weighted, 400 ms
        ("power", np.float64),  # K-weighted, sum over the control period so far
        ("heard_frames", np.int64),  # frames in the long window so far
        ("gain_db", np.float64),  # of the loudness follower, at the next control point
        ("gain_db_before", np.float64),  # at the last one
        ("quiet_frames", np.int64),  # since a sample that could make a peak
        ("limit", np.float64),  # limiter gain after release, before smoothing
        ("limit_sum", np.int64),  # sum over the smoothing window, fixed point
        ("lowest", np.float64),  # least limiter target in the look-ahead
        ("lowest_age", np.int64),
    ]
)

EFFECTS = np.dtype(
    [
        ("damping", np.float64, (REVERB_LINES,)),
        ("line_gain", np.float64, (2, REVERB_LINES)),  # loss of one pass, at the block's beginning and end
        ("delay_frames", np.int64),
        ("delay_frames_before", np.int64),
        ("delay_fade", np.float64),  # 0 … 1, from the old delay time to the new
        ("delay_damping", np.float64, (CHANNELS,)),
    ]
)

# Places in SlotState.clock.
FRAME, NEXT_SOUND, NUM_STARTED, SEED = range(4)

# Places in SlotState.targets: first the scalars, then runs of one value per layer.
(
    LOUDNESS, BRIGHTNESS, ENERGY, BPM, GAIN, REVERB_S, REVERB_DAMPING_HZ, DELAY_BEATS, DELAY_FEEDBACK, CRACKLE,
    DRIVE, NUM_SCALARS,
) = range(12)  # fmt: skip
LEVEL, REVERB_SEND, DELAY_SEND, CHORUS_SEND, DUCK_DB = (NUM_SCALARS + NUM_LAYERS * run for run in range(5))
NUM_TARGETS = NUM_SCALARS + NUM_LAYERS * 5

# Places in one row of controls: what the kernel takes from an Intent.
(C_LOUDNESS, C_BRIGHTNESS, C_ENERGY, C_BPM, C_GAIN_DB, C_LAYERS) = range(6)
C_STYLES = C_LAYERS + NUM_LAYERS
NUM_CONTROLS = C_STYLES + len(STYLES)


class SlotState(NamedTuple):
    """All memory of a slot. E is 1, or 6 once stems were asked for: the mix first, then every layer by itself."""

    clock: npt.NDArray[np.int64]  # [4]
    voices: npt.NDArray[np.void]  # [NUM_VOICES] VOICE
    strings: npt.NDArray[np.float32]  # [NUM_VOICES, STRING_FRAMES]
    modes: npt.NDArray[np.float64]  # [NUM_VOICES, MAX_PARTIALS, 4]
    targets: npt.NDArray[np.float64]  # [2, NUM_TARGETS]: at the block's beginning, at its end
    styles: npt.NDArray[np.float64]  # [styles] weights of the current block
    duck: npt.NDArray[np.float64]  # [3]: now, at the next control point, envelope of the kick
    crackle: npt.NDArray[np.float64]  # [5]: noise state, click's height and side, low-passes of the hiss
    effects: npt.NDArray[np.void]  # [E] EFFECTS
    reverb: npt.NDArray[np.float32]  # [E, REVERB_LINES, REVERB_FRAMES]
    diffusers: npt.NDArray[np.float32]  # [E, 4, DIFFUSER_FRAMES]
    delay: npt.NDArray[np.float32]  # [E, 2, DELAY_FRAMES]
    chorus: npt.NDArray[np.float32]  # [E, 2, CHORUS_FRAMES]
    master: npt.NDArray[np.void]  # [1] MASTER
    lookahead: npt.NDArray[np.float64]  # [2, 2 * MASTER_FRAMES], written twice so that a window is one piece
    limits: npt.NDArray[np.float64]  # [MASTER_FRAMES] limiter targets
    smoothing: npt.NDArray[np.int64]  # [MASTER_FRAMES] limiter gains in fixed point


def new_state(seed: int) -> SlotState:
    """A silent slot at frame 0."""
    assert 0 <= seed <= MAX_SLOT_SEED, seed
    state = SlotState(
        clock=np.zeros(4, np.int64),
        voices=np.zeros(NUM_VOICES, VOICE),
        strings=np.zeros((NUM_VOICES, STRING_FRAMES), np.float32),
        modes=np.zeros((NUM_VOICES, MAX_PARTIALS, 4)),
        targets=np.zeros((2, NUM_TARGETS)),
        styles=np.zeros(len(STYLES)),
        duck=np.zeros(3),
        crackle=np.zeros(5),
        effects=np.zeros(1, EFFECTS),
        reverb=np.zeros((1, REVERB_LINES, REVERB_FRAMES), np.float32),
        diffusers=np.zeros((1, 4, DIFFUSER_FRAMES), np.float32),
        delay=np.zeros((1, CHANNELS, DELAY_FRAMES), np.float32),
        chorus=np.zeros((1, CHANNELS, CHORUS_FRAMES), np.float32),
        master=np.zeros(1, MASTER),
        lookahead=np.zeros((CHANNELS, 2 * MASTER_FRAMES)),
        limits=np.ones(MASTER_FRAMES),
        smoothing=np.zeros(MASTER_FRAMES, np.int64),
    )
    state.clock[SEED] = seed
    state.crackle[0] = 1 + seed % 0xFFFF_FFFE
    for field in ("limit", "lowest"):
        state.master[field] = 1.0
    state.smoothing[:] = FIXED_POINT
    state.master["limit_sum"] = FIXED_POINT * WINDOW_FRAMES
    return state


def with_stem_effects(state: SlotState) -> SlotState:
    """The same slot with effects for every layer beside those of the mix; their tails begin now."""
    if len(state.effects) > 1:
        return state
    grown = {
        name: np.concatenate([getattr(state, name), np.zeros((NUM_LAYERS, *getattr(state, name).shape[1:]), kind)])
        for name in ("effects", "reverb", "diffusers", "delay", "chorus")
        for kind in (getattr(state, name).dtype,)
    }
    for field in ("delay_frames", "delay_frames_before", "delay_fade"):
        grown["effects"][field][1:] = state.effects[field][0]
    return state._replace(**grown)
