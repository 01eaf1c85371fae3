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

WORK_ROWS = 5
"""Rows of scratch that a voice needs: left, right, and three more for its source."""
STRING_FRAMES = 2048
MAX_PARTIALS = 48
MAX_HARMONICS = 64
BODY_POINTS = 104
"""Of a body's response, twelve an octave."""
NUM_BODY_MODES = 4
MAX_TICKS = 8
REVERB_LINES = 16
REVERB_FRAMES = 4096
DIFFUSER_FRAMES = 1024
PREDELAY_FRAMES = 8192
NUM_EARLY = 10
"""Early reflections a channel."""
DELAY_FRAMES = 65_536
CHORUS_FRAMES = 2048
SPREAD_FRAMES = 512
TAPE_FRAMES = 512
AMBIENCES = ("vinyl", "tape", "rain", "room", "wind", "city")
NUM_AMBIENCES = len(AMBIENCES)
MASTER_FRAMES = 256
WINDOW_FRAMES = 64
"""Look-ahead over which the limiter's gain comes down."""
METER_STEPS = 20
"""Steps of 100 ms that the loudness follower remembers."""
FIXED_POINT = 2**40
"""1.0 in the limiter's running sum."""
MAX_SLOT_SEED = 2**63 - 1

LONG_QUIET = 1 << 40
"""Control periods; a layer that never sounded."""

FREE, ATTACK, DECAY, RELEASE = range(4)
ATTACK_OVERSHOOT = 1.3
"""Attacks aim at this and end at 1."""

VOICE = np.dtype(
    [
        ("stage", np.int64),  # FREE … RELEASE
        ("filter_stage", np.int64),
        ("patch", np.int64),
        ("layer", np.int64),
        ("pitch", np.int64),
        ("onset", np.int64),  # absolute frame; may lie ahead
        ("written", np.int64),  # frame of the last note that this voice was given
        ("is_upstroke", np.int64),  # of the strum that the note belongs to
        ("next_pick", np.int64),  # frame of a tremolo's next stroke
        ("release_at", np.int64),  # absolute frame
        ("noise", np.int64),  # xorshift32 state
        ("num_lines", np.int64),  # polarisations of a string
        ("num_harmonics", np.int64),  # that are heard in this control period
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
        ("glide", np.float64),  # octaves from the note to where it is slurred from
        ("scoop", np.float64),  # cents from the note to where it begins
        ("jitter", np.float64),  # random walk of pitch, effective value 1
        ("period", np.float64, (2,)),  # of a string's lines in frames, at the last control point
        ("period_step", np.float64, (2,)),
        ("loop_delay", np.float64),  # frames of a turn that the loop's filters take
        ("loss_feed", np.float64, (2,)),
        ("loss_pole", np.float64),
        ("loss_memory", np.float64, (2,)),
        ("bowed", np.float64),  # amplitude that keeps a string sounding
        ("bow_low", np.float64, (2,)),  # low-pass of the bow's noise
        ("stretch", np.float64, (4,)),  # two all-passes of each line
        ("body", np.float64, (10,)),  # four resonators, then the last two inputs
        ("step", np.float64),  # turns a frame of the harmonics, at the last control point
        ("step_rise", np.float64),
        ("rough", np.float64),  # noise that shakes them, at the last control point
        ("rough_next", np.float64),
        ("phase", np.float64, (9,)),
        ("dynamic", np.float64, (2,)),  # ensembles: soft 0 … 1 loud, at the last control point and the next
        ("memory", np.float64, (4,)),  # state-variable filter, two integrators per channel
        ("breath", np.float64, (3,)),  # low-passes of the noise that comes beside the tone
        ("breath_gain", np.float64),
        ("breath_step", np.float64),
    ]
)

WANDER, SUB_PHASE = 7, 8
"""Places in VOICE.phase: what tells the slow motions of equal voices apart; the oscillator an octave below."""

MASTER = np.dtype(
    [
        ("drive", np.float64, (CHANNELS,)),  # the sample before the tape
        ("highpass", np.float64, (CHANNELS, 2)),
        ("shelf", np.float64, (CHANNELS,)),
        ("weighting", np.float64, (CHANNELS, 4)),
        ("power", np.float64),  # K-weighted, sum over the control period so far
        ("step_periods", np.int64),  # control periods in the meter's step so far
        ("music_power", np.float64),  # sums over them: before the follower's gain, and behind it
        ("heard_power", np.float64),
        ("num_steps", np.int64),  # since the slot began, silent ones not counted
        ("music_steps", np.float64, (METER_STEPS,)),  # rings of the last steps' mean powers
        ("heard_steps", np.float64, (METER_STEPS,)),
        ("wanted_db", np.float64),  # the gain that the follower moves to
        ("gain_db", np.float64),  # of the loudness follower, at the next control point
        ("gain_db_before", np.float64),  # at the last one
        ("bus_level", np.float64),  # the bus compressor's detector, a power
        ("bus_db", np.float64),  # its gain at the next control point
        ("bus_db_before", np.float64),
        ("voice_band", np.float64, (2,)),  # state-variable filter of the band that leaves room for a voice
        ("voice_power", np.float64),  # sum of the band over the control period so far
        ("voice_level", np.float64),  # its mean
        ("voice_cut", np.float64),  # share of the band taken off, at the next control point
        ("voice_cut_before", np.float64),
        ("quiet_frames", np.int64),  # since a sample that could make a peak
        ("limit", np.float64),  # limiter gain after release, before smoothing
        ("habit", np.float64),  # where the limiter's gain has been of late
        ("limit_sum", np.int64),  # sum over the smoothing window, fixed point
        ("lowest", np.float64),  # least limiter target in the look-ahead
        ("lowest_age", np.int64),
    ]
)

EFFECTS = np.dtype(
    [
        ("damping", np.float64, (REVERB_LINES,)),  # memory of the lines' low-passes
        ("damping_low", np.float64, (REVERB_LINES,)),  # and of what finds their bass
        ("gain", np.float64, (REVERB_LINES,)),  # the lines' loss in this control period
        ("keep", np.float64, (REVERB_LINES,)),  # the low-passes' coefficients
        ("bass", np.float64, (REVERB_LINES,)),  # and what is added of the bass
        ("line_gain", np.float64, (2, REVERB_LINES)),  # loss of one pass, at the block's beginning and end
        ("line_keep", np.float64, (2, REVERB_LINES)),
        ("line_bass", np.float64, (2, REVERB_LINES)),
        ("early", np.float64, (2, CHANNELS, NUM_EARLY)),  # gains of the early reflections
        ("delay_frames", np.int64),
        ("delay_frames_before", np.int64),
        ("delay_fade", np.float64),  # 0 … 1, from the old delay time to the new
        ("delay_top", np.float64, (CHANNELS,)),
        ("delay_bass", np.float64, (CHANNELS,)),
    ]
)

STRIP = np.dtype(
    [
        ("quiet_periods", np.int64),  # control periods since a voice of the layer sounded
        ("tube", np.float64, (CHANNELS,)),  # the sample before
        ("low", np.float64, (CHANNELS,)),
        ("high", np.float64, (CHANNELS,)),
        ("peak", np.float64, (CHANNELS, 2)),
        ("spread_low", np.float64),
    ]
)

AMBIENCE = np.dtype(
    [
        ("noise", np.int64),  # xorshift32 state
        ("low", np.float64, (CHANNELS,)),  # low-passes around the band of noise
        ("high", np.float64, (CHANNELS,)),
        ("ring", np.float64, (2,)),  # the resonator that a drop or a grain of dust strikes
        ("turn_cosine", np.float64),
        ("strike_left", np.float64),
        ("strike_right", np.float64),
    ]
)

# Places in SlotState.clock.
FRAME, NUM_STARTED, SEED = range(3)

# Places in SlotState.targets: what an intent says, the styles' rooms blended, then runs of one value per layer.
(LOUDNESS, BRIGHTNESS, ENERGY, BPM, GAIN, VOICE_ROOM, ROOM) = range(7)
ROOM_FIELDS = (
    "reverb_s", "reverb_low", "reverb_damping_hz", "room_size", "predelay_s", "delay_beats", "delay_feedback",
    "duck_beats", "drive", "wow_cents", *AMBIENCES,
)  # fmt: skip
"""A style's numbers beside its layers'; of an ambience its level, an amplitude."""
(
    REVERB_S, REVERB_LOW, REVERB_DAMPING_HZ, ROOM_SIZE, PREDELAY_S, DELAY_BEATS, DELAY_FEEDBACK, DUCK_BEATS, DRIVE,
    WOW_CENTS, AMBIENCE_LEVEL,
) = range(ROOM, ROOM + len(ROOM_FIELDS) - NUM_AMBIENCES + 1)  # fmt: skip
MIX = ROOM + len(ROOM_FIELDS)
MIX_FIELDS = (
    "level_db", "reverb_db", "delay_db", "chorus_db", "duck_db", "tube", "low_hz", "low_db", "peak_hz", "peak_db",
    "high_hz", "high_db", "width", "spread",
)  # fmt: skip
"""A layer's numbers in a style; levels, sends and the equaliser's gains are kept as amplitudes."""
(
    LEVEL, REVERB_SEND, DELAY_SEND, CHORUS_SEND, DUCK_DB, TUBE, LOW_HZ, LOW_GAIN, PEAK_HZ, PEAK_GAIN, HIGH_HZ,
    HIGH_GAIN, WIDTH, SPREAD,
) = (MIX + NUM_LAYERS * run for run in range(len(MIX_FIELDS)))  # fmt: skip
NUM_TARGETS = MIX + NUM_LAYERS * len(MIX_FIELDS)

# Places in one row of controls: what the kernel takes from an Intent.
(C_LOUDNESS, C_BRIGHTNESS, C_ENERGY, C_BPM, C_GAIN_DB, C_VOICE_ROOM, C_LAYERS) = range(7)
C_STYLES = C_LAYERS + NUM_LAYERS
NUM_CONTROLS = C_STYLES + len(STYLES)


class SlotState(NamedTuple):
    """All memory of a slot. E is 1, or 6 once stems were asked for: the mix first, then every layer by itself."""

    clock: npt.NDArray[np.int64]  # [3]
    voices: npt.NDArray[np.void]  # [NUM_VOICES] VOICE
    strings: npt.NDArray[np.float32]  # [NUM_VOICES, STRING_FRAMES]
    modes: npt.NDArray[np.float64]  # [NUM_VOICES, MAX_PARTIALS, 4]
    targets: npt.NDArray[np.float64]  # [2, NUM_TARGETS]: at the block's beginning, at its end
    styles: npt.NDArray[np.float64]  # [styles] weights of the current block
    duck: npt.NDArray[np.float64]  # [3]: now, at the next control point, envelope of the kick
    ambience: npt.NDArray[np.void]  # [NUM_AMBIENCES] AMBIENCE
    strips: npt.NDArray[np.void]  # [layers] STRIP
    spread: npt.NDArray[np.float32]  # [layers, 2, SPREAD_FRAMES]: the middle, late; and its all-pass
    effects: npt.NDArray[np.void]  # [E] EFFECTS
    reverb: npt.NDArray[np.float32]  # [E, REVERB_LINES, REVERB_FRAMES]
    diffusers: npt.NDArray[np.float32]  # [E, 4, DIFFUSER_FRAMES]
    predelay: npt.NDArray[np.float32]  # [E, 2, PREDELAY_FRAMES]
    delay: npt.NDArray[np.float32]  # [E, 2, DELAY_FRAMES]
    chorus: npt.NDArray[np.float32]  # [E, 2, CHORUS_FRAMES]
    master: npt.NDArray[np.void]  # [1] MASTER
    tape: npt.NDArray[np.float32]  # [2, TAPE_FRAMES]
    lookahead: npt.NDArray[np.float64]  # [2, 2 * MASTER_FRAMES], written twice so that a window is one piece
    limits: npt.NDArray[np.float64]  # [MASTER_FRAMES] limiter targets
    smoothing: npt.NDArray[np.int64]  # [MASTER_FRAMES] limiter gains in fixed point


def new_state(seed: int) -> SlotState:
    """A silent slot at frame 0."""
    assert 0 <= seed <= MAX_SLOT_SEED, seed
    state = SlotState(
        clock=np.zeros(3, np.int64),
        voices=np.zeros(NUM_VOICES, VOICE),
        strings=np.zeros((NUM_VOICES, STRING_FRAMES), np.float32),
        modes=np.zeros((NUM_VOICES, MAX_PARTIALS, 4)),
        targets=np.zeros((2, NUM_TARGETS)),
        styles=np.zeros(len(STYLES)),
        duck=np.zeros(3),
        ambience=np.zeros(NUM_AMBIENCES, AMBIENCE),
        strips=np.zeros(NUM_LAYERS, STRIP),
        spread=np.zeros((NUM_LAYERS, 2, SPREAD_FRAMES), np.float32),
        effects=np.zeros(1, EFFECTS),
        reverb=np.zeros((1, REVERB_LINES, REVERB_FRAMES), np.float32),
        diffusers=np.zeros((1, 4, DIFFUSER_FRAMES), np.float32),
        predelay=np.zeros((1, CHANNELS, PREDELAY_FRAMES), np.float32),
        delay=np.zeros((1, CHANNELS, DELAY_FRAMES), np.float32),
        chorus=np.zeros((1, CHANNELS, CHORUS_FRAMES), np.float32),
        master=np.zeros(1, MASTER),
        tape=np.zeros((CHANNELS, TAPE_FRAMES), np.float32),
        lookahead=np.zeros((CHANNELS, 2 * MASTER_FRAMES)),
        limits=np.ones(MASTER_FRAMES),
        smoothing=np.zeros(MASTER_FRAMES, np.int64),
    )
    state.clock[SEED] = seed
    state.ambience["noise"] = 1 + (seed + 7919 * np.arange(NUM_AMBIENCES)) % 0xFFFF_FFFE
    state.strips["quiet_periods"] = LONG_QUIET
    for field in ("limit", "habit", "lowest"):
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
        for name in ("effects", "reverb", "diffusers", "predelay", "delay", "chorus")
        for kind in (getattr(state, name).dtype,)
    }
    for field in ("delay_frames", "delay_frames_before", "delay_fade", "line_gain", "line_keep", "line_bass", "early"):
        grown["effects"][field][1:] = state.effects[field][0]
    return state._replace(**grown)
