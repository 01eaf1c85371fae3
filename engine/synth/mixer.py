"""The kernel of one slot: queue, voices, buses, effects, master. In: notes, a colour row a block; out: frames.

Remembers in a `SlotState`. One call renders any number of frames of one slot without the interpreter lock; many
threads may each render a slot of their own.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba import int64, typeof

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.synth.allocation import start_due_notes
from engine.synth.compile import entry, kernel, part
from engine.synth.effects.ambience import AUDIBLE, add_ambience
from engine.synth.effects.chorus import add_chorus
from engine.synth.effects.delay import add_delay, advance_delay, set_delay_time
from engine.synth.effects.dynamics import aim_speech, compress_bus, leave_room_for_speech
from engine.synth.effects.limiter import limit, limit_alike, mean_gain
from engine.synth.effects.loudness import REFERENCE_LUFS, follow_loudness, measure_loudness, note_mood
from engine.synth.effects.reverb import REVERB_LINES, add_reverb, aim_reverb, set_room
from engine.synth.effects.saturation import LEAST_DRIVE, aim_share, saturate, take_share, wobble
from engine.synth.effects.strip import is_strip_active, shape_layer
from engine.synth.effects.tone import equalise, shape_tone, shelf_gain
from engine.synth.envelopes import FREE
from engine.synth.patching.tables import Tables
from engine.synth.sizes import CONTROL_FRAMES, NUM_LAYERS, NUM_VOICES, WORK_ROWS
from engine.synth.sources.oscillators import white_noise
from engine.synth.state import FRAME, PIECE, SEED, SlotState, new_state
from engine.synth.targets import (
    AMBIENCE_LEVEL,
    BPM,
    BRIGHTNESS,
    C_BPM,
    C_BRIGHTNESS,
    C_ENERGY,
    C_GAIN_DB,
    C_LAYERS,
    C_LOUDNESS,
    C_PIECE,
    C_SPEECH,
    C_STYLES,
    CHORUS_SEND,
    DELAY_BEATS,
    DELAY_FEEDBACK,
    DELAY_SEND,
    DRIVE,
    DUCK_BEATS,
    DUCK_DB,
    ENERGY,
    GAIN,
    LEVEL,
    LOUDNESS,
    MIX,
    NUM_AMBIENCES,
    NUM_TARGETS,
    PREDELAY_S,
    REVERB_DAMPING_HZ,
    REVERB_LOW,
    REVERB_S,
    REVERB_SEND,
    ROOM,
    ROOM_SIZE,
    SPEECH,
    WOW_CENTS,
    value,
)
from engine.synth.voices import render_voice
from moods.intent import LAYERS, MUTE_DB

TEXTURE = LAYERS.index("texture")
SEND_OFF = 10.0 ** (-59.9 / 20)
"""A send at its lowest, -60 dB, is closed."""
DUCK_ATTACK = 1.0 - math.exp(-CONTROL_FRAMES / (0.003 * SAMPLE_RATE))


class Scratch(NamedTuple):
    """Rows that a call overwrites; one per thread."""

    work: np.ndarray  # [WORK_ROWS, CONTROL_FRAMES] a voice, and rows for its source
    noise: np.ndarray  # [2, CONTROL_FRAMES] white noise for all who need some
    buses: np.ndarray  # [1 + layers, 2, CONTROL_FRAMES] the mix, then the layers
    sends: np.ndarray  # [1 + layers, 3, 2, CONTROL_FRAMES] reverb, delay, chorus
    taps: np.ndarray  # [REVERB_LINES, CONTROL_FRAMES]


def new_scratch() -> Scratch:
    shape = (2, CONTROL_FRAMES)
    return Scratch(
        np.zeros((WORK_ROWS, CONTROL_FRAMES)),
        np.zeros(shape),
        np.zeros((1 + NUM_LAYERS, *shape)),
        np.zeros((1 + NUM_LAYERS, 3, *shape)),
        np.zeros((REVERB_LINES, CONTROL_FRAMES)),
    )


@kernel
def take_colours(state: SlotState, tables: Tables, colour: np.ndarray, is_first: bool) -> None:
    """Begin a block: its targets are the last block's end and this block's intent, with the styles' mixes blended."""
    before, target = state.targets[0], state.targets[1]
    for index in range(NUM_TARGETS):
        before[index] = target[index]
    target[:] = 0.0
    target[LOUDNESS], target[BRIGHTNESS] = colour[C_LOUDNESS], colour[C_BRIGHTNESS]
    target[ENERGY], target[BPM] = colour[C_ENERGY], colour[C_BPM]
    target[SPEECH] = colour[C_SPEECH]
    state.clock[PIECE] = int(colour[C_PIECE])
    target[GAIN] = 10.0 ** (colour[C_GAIN_DB] / 20) if colour[C_GAIN_DB] > MUTE_DB else 0.0
    for style in range(state.styles.shape[0]):
        weight = colour[C_STYLES + style]
        state.styles[style] = weight
        if weight <= 0.0:
            continue
        for k in range(tables.rooms.shape[1]):
            target[ROOM + k] += weight * tables.rooms[style, k]
        for k in range(tables.mix.shape[2]):
            for layer in range(NUM_LAYERS):
                target[MIX + NUM_LAYERS * k + layer] += weight * tables.mix[style, layer, k]
    for layer in range(NUM_LAYERS):
        gain_db = colour[C_LAYERS + layer]
        gain = 10.0 ** (gain_db / 20) if gain_db > MUTE_DB else 0.0
        target[LEVEL + layer] *= gain
        if layer == TEXTURE:
            for kind in range(NUM_AMBIENCES):
                target[AMBIENCE_LEVEL + kind] *= gain
    if is_first:
        for index in range(NUM_TARGETS):
            before[index] = target[index]
    note_mood(state.master[0].meter, colour, is_first)
    sends = state.sends[0]
    set_delay_time(sends.delay, int(round(target[DELAY_BEATS] * 60.0 * SAMPLE_RATE / target[BPM])))
    set_room(sends.reverb, target[REVERB_S], target[REVERB_LOW], target[REVERB_DAMPING_HZ], target[ROOM_SIZE])


@kernel
def chunk_length(notes: np.ndarray, next_note: int, frame: int, end: int) -> int:
    """Frames until the next control point or `end`. Never past an onset, or stealing would depend on the length."""
    length = min(CONTROL_FRAMES - frame % CONTROL_FRAMES, end - frame)
    if next_note < len(notes):
        length = min(length, notes[next_note].frame - frame)
    return length


@kernel
def advance_duck(state: SlotState, frame: int) -> None:
    """At a control point, let the kick's envelope go on."""
    if frame % CONTROL_FRAMES == 0:
        state.duck[0] = state.duck[1]
        state.duck[1] += DUCK_ATTACK * (state.duck[2] - state.duck[1])
        base = frame % BLOCK_FRAMES
        decay_s = 60.0 * value(state.targets, DUCK_BEATS, base) / value(state.targets, BPM, base)
        state.duck[2] *= math.exp(-CONTROL_FRAMES / (decay_s * SAMPLE_RATE))


@kernel
def shape(
    state: SlotState, bus: np.ndarray, work: np.ndarray, layer: int, is_sounding: bool, frame: int, num_frames: int
) -> bool:
    """A layer's strip, fader and duck in place on `bus` [2, CONTROL_FRAMES]; is there anything to hear of it?"""
    offset = frame % BLOCK_FRAMES
    into = offset % CONTROL_FRAMES
    base = offset - into
    if not is_strip_active(state.strips[layer], is_sounding, into):
        return False
    shape_layer(state.strips[layer], state.spread[layer], bus, work, state.targets, layer, frame, base, num_frames)
    depth = value(state.targets, DUCK_DB + layer, base) * (-math.log(10.0) / 20)
    here = value(state.targets, LEVEL + layer, base) * math.exp(depth * state.duck[0])
    there = value(state.targets, LEVEL + layer, base + CONTROL_FRAMES) * math.exp(depth * state.duck[1])
    slope = (there - here) / CONTROL_FRAMES
    for channel in range(2):
        row = bus[channel, :num_frames]
        for i in range(num_frames):
            row[i] *= here + slope * (into + i)
    return True


@kernel
def send(state: SlotState, scratch: Scratch, layer: int, frame: int, num_frames: int) -> None:
    """Add a layer's bus to the mix, and to the sends of the mix and of its stem. Every frame by itself."""
    offset = frame % BLOCK_FRAMES
    into = offset % CONTROL_FRAMES
    base = offset - into
    stems = len(state.filters) > 1
    for channel in range(2):
        bus, mix = scratch.buses[1 + layer, channel, :num_frames], scratch.buses[0, channel, :num_frames]
        for i in range(num_frames):
            mix[i] += bus[i]
    for kind in range(3):
        index = (REVERB_SEND, DELAY_SEND, CHORUS_SEND)[kind] + layer
        gain, next_gain = value(state.targets, index, base), value(state.targets, index, base + CONTROL_FRAMES)
        if max(gain, next_gain) < SEND_OFF:
            continue
        gain_slope = (next_gain - gain) / CONTROL_FRAMES
        for channel in range(2):
            bus = scratch.buses[1 + layer, channel, :num_frames]
            mix_send = scratch.sends[0, kind, channel, :num_frames]
            for i in range(num_frames):
                mix_send[i] += bus[i] * (gain + gain_slope * (into + i))
            if stems:
                stem_send = scratch.sends[1 + layer, kind, channel, :num_frames]
                for i in range(num_frames):
                    stem_send[i] = bus[i] * (gain + gain_slope * (into + i))


@kernel
def add_effects(state: SlotState, scratch: Scratch, frame: int, num_frames: int) -> None:
    """Chorus, delay and reverb of the mix and, where they are kept, of every stem; then the ambience."""
    offset = frame % BLOCK_FRAMES
    offset -= offset % CONTROL_FRAMES
    feedback = value(state.targets, DELAY_FEEDBACK, offset)
    predelay = 1.0 + SAMPLE_RATE * value(state.targets, PREDELAY_S, offset)
    predelay_slope = (state.targets[1, PREDELAY_S] - state.targets[0, PREDELAY_S]) * SAMPLE_RATE / BLOCK_FRAMES
    aims = state.sends[0]
    aim_reverb(aims.reverb, frame)
    for e in range(len(state.filters)):
        bus, sends, filters = scratch.buses[e], scratch.sends[e], state.filters[e]
        add_chorus(state.chorus[e], sends[2], scratch.taps[0, :num_frames], bus, frame)
        add_delay(
            aims.delay, filters.delay, state.delay[e], sends[1], scratch.taps, bus, sends[0], feedback, frame,
            num_frames,
        )  # fmt: skip
        add_reverb(
            aims.reverb, filters.reverb, state.reverb[e], state.diffusers[e], state.predelay[e], sends[0], scratch.taps,
            bus, predelay, predelay_slope, frame, num_frames,
        )  # fmt: skip
    advance_delay(aims.delay, num_frames)
    for kind in range(NUM_AMBIENCES):
        level = value(state.targets, AMBIENCE_LEVEL + kind, offset)
        if level > AUDIBLE:
            wet = scratch.sends[0, 0]
            wet[:] = 0.0
            add_ambience(state.ambience[kind], kind, scratch.noise, wet, level, frame, num_frames)
            for e in (0, 1 + TEXTURE):
                for channel in range(2):
                    for i in range(num_frames):
                        scratch.buses[e, channel, i] += wet[channel, i]


@kernel
def share_saturation(state: SlotState, into: int) -> None:
    """At a control point, let each stem's part in what saturation adds go on."""
    if into > 0:
        return
    total = 0.0
    for layer in range(NUM_LAYERS):
        share = state.mastered[1 + layer].share
        aim_share(share)
        total += share.level
    for layer in range(NUM_LAYERS):
        share = state.mastered[1 + layer].share
        share.share_before = share.share
        share.share = share.level / total if total > 0.0 else 1.0 / NUM_LAYERS
        if share.share_before == 0.0 and total <= 0.0:
            share.share_before = share.share


@part
def finish(
    state: SlotState, scratch: Scratch, num_stems: int, out: np.ndarray, stems: np.ndarray, first: int, frame: int,
    num_frames: int,
) -> None:  # fmt: skip
    """Master the mix of one chunk into out[:, first:]: tape, tone, compressor, loudness, room for speech, limiter.

    The same happens to the first `num_stems` layers, into stems[:, :, first:]: what is done to the mix is linear at any
    moment but for the saturation, and of what that adds they have their shares. So they still sum to it.
    """
    master, targets, mix = state.master[0], state.targets, scratch.buses[0]
    offset = frame % BLOCK_FRAMES
    into = offset % CONTROL_FRAMES
    base, end = offset - into, offset - into + CONTROL_FRAMES
    wow, next_wow = value(targets, WOW_CENTS, base), value(targets, WOW_CENTS, end)
    for e in range(1 + num_stems):
        wobble(state.tape[e], scratch.buses[e], wow, next_wow, frame, num_frames)
    if num_stems > 0:
        share_saturation(state, into)
    drive, next_drive = value(targets, DRIVE, base), value(targets, DRIVE, end)
    if max(drive, next_drive) > LEAST_DRIVE:
        for channel in range(2):
            row, plain = mix[channel, :num_frames], scratch.taps[0, :num_frames]
            saturate(master.tape.before, channel, row, plain, drive, (next_drive - drive) / CONTROL_FRAMES, 0.0, into)
            for e in range(1, 1 + num_stems):
                take_share(state.mastered[e].share, scratch.buses[e, channel], plain, row, into, num_frames)
    shelf = shelf_gain(value(targets, BRIGHTNESS, base))
    shelf_slope = (shelf_gain(value(targets, BRIGHTNESS, end)) - shelf) / CONTROL_FRAMES
    for e in range(1 + num_stems):
        shape_tone(state.mastered[e].tone, scratch.buses[e], shelf, shelf_slope, into, num_frames)
        equalise(state.mastered[e].tone, scratch.buses[e], scratch.sends[0, 0], targets, frame, num_frames)
    meter, bus = master.meter, master.bus
    if into == 0:
        power = meter.power / CONTROL_FRAMES
        meter.power = 0.0
        limited = mean_gain(master.limiter)
        heard = power * 10.0 ** (bus.gain_db / 10) * limited * limited
        follow_loudness(meter, heard, value(targets, LOUDNESS, end))
        compress_bus(bus, power, meter.moment_lufs)
        aim_speech(master.speech, value(targets, SPEECH, end))
    measure_loudness(meter, mix, num_frames)
    here_db = meter.target_lufs_before - REFERENCE_LUFS + meter.gain_db_before + bus.gain_db_before
    there_db = meter.target_lufs - REFERENCE_LUFS + meter.gain_db + bus.gain_db
    here = 10.0 ** (here_db / 20) * value(targets, GAIN, base)
    there = 10.0 ** (there_db / 20) * value(targets, GAIN, end)
    slope = (there - here) / CONTROL_FRAMES
    for e in range(1 + num_stems):
        for channel in range(2):
            for i in range(num_frames):
                scratch.buses[e, channel, i] *= here + slope * (into + i)
        leave_room_for_speech(master.speech, state.mastered[e].band, scratch.buses[e], e == 0, into, num_frames)
    gains = scratch.taps[1]
    limit(
        master.limiter, state.lookahead[0], state.limits, state.smoothing, mix, gains, out, first, frame, num_frames
    )  # fmt: skip
    for layer in range(num_stems):
        limit_alike(
            state.lookahead[1 + layer], gains, scratch.buses[1 + layer], stems[layer], first, frame, num_frames
        )  # fmt: skip


@kernel
def make_noise(state: SlotState, scratch: Scratch, frame: int, num_frames: int) -> None:
    """White noise of the frames from `frame` on, for all who need some."""
    for channel in range(2):
        white_noise(state.clock[SEED] + channel, frame, scratch.noise[channel, :num_frames])


@kernel
def render_sounding(
    state: SlotState, tables: Tables, scratch: Scratch, index: int, work: np.ndarray, bus: np.ndarray, frame: int,
    num_frames: int,
) -> None:  # fmt: skip
    """Add a sounding voice to `bus` [2, CONTROL_FRAMES]; `work` [WORK_ROWS, CONTROL_FRAMES] is scratch."""
    offset = frame % BLOCK_FRAMES
    base = offset - offset % CONTROL_FRAMES
    voice = state.voices[index]
    # A note may begin later than it is written, at any frame of a chunk.
    first = max(0, voice.onset - frame)
    if first < num_frames:
        render_voice(
            voice, tables.patches[voice.patch], tables, state.lines[index], state.modes[index], work,
            scratch.noise[index % 2, first:], bus, first, frame + first, num_frames - first,
            value(state.targets, BRIGHTNESS, base), value(state.targets, ENERGY, base),
        )  # fmt: skip


@part
def mix_layers(state: SlotState, scratch: Scratch, sounding: int, frame: int, num_frames: int) -> None:
    """From the sum of each layer's voices to the mix, effects included; `sounding` has a bit for each layer."""
    for layer in range(NUM_LAYERS):
        is_sounding = sounding >> layer & 1 > 0
        if shape(state, scratch.buses[1 + layer], scratch.work, layer, is_sounding, frame, num_frames):
            send(state, scratch, layer, frame, num_frames)
    add_effects(state, scratch, frame, num_frames)


@kernel
def _render_chunk(state: SlotState, tables: Tables, scratch: Scratch, frame: int, num_frames: int) -> None:
    """Sound of all layers with effects into scratch.buses, before the master."""
    advance_duck(state, frame)
    scratch.buses[:] = 0.0
    scratch.sends[: len(state.filters)] = 0.0
    make_noise(state, scratch, frame, num_frames)
    sounding = 0
    for index in range(NUM_VOICES):
        voice = state.voices[index]
        if voice.stage != FREE:
            sounding |= 1 << voice.layer
            bus = scratch.buses[1 + voice.layer]
            render_sounding(state, tables, scratch, index, scratch.work, bus, frame, num_frames)
    mix_layers(state, scratch, sounding, frame, num_frames)


@entry
def render_slot(
    state: SlotState,
    tables: Tables,
    notes: np.ndarray,
    colours: np.ndarray,
    scratch: Scratch,
    out: np.ndarray,
    stems: np.ndarray,
    is_mastered: bool,
) -> None:
    """Render the slot's next frames into `out` [2, T] float32.

    `notes` [N] SOUND are those that begin in these frames, in order. `colours` [B, NUM_COLOURS] has a row for
    every multiple of BLOCK_FRAMES in the call. `stems` is [layers, 2, T], or has T = 0 where none are wanted; they are
    taken behind the master if `is_mastered`, or else before it.
    """
    num_stems = NUM_LAYERS if stems.shape[2] > 0 else 0
    start, block, next_note = state.clock[FRAME], 0, 0
    frame, end = start, start + out.shape[1]
    while frame < end:
        if frame % BLOCK_FRAMES == 0:
            take_colours(state, tables, colours[block], frame == 0)
            block += 1
        next_note = start_due_notes(state, tables, notes, next_note, frame)
        length = chunk_length(notes, next_note, frame, end)
        _render_chunk(state, tables, scratch, frame, length)
        for layer in range(0 if is_mastered else num_stems):
            for channel in range(2):
                for i in range(length):
                    stems[layer, channel, frame - start + i] = scratch.buses[1 + layer, channel, i]
        finish(state, scratch, num_stems if is_mastered else 0, out, stems, frame - start, frame, length)
        frame += length
    state.clock[FRAME] = frame


def compile_parts() -> None:
    """Compile what `render_slot` calls last, so that a process that compiles the rest of it finds it on disk."""
    scratch = new_scratch()
    slot, rows, out, stems = map(
        typeof, (new_state(0), scratch, np.zeros((2, 1), np.float32), np.zeros((NUM_LAYERS, 2, 1), np.float32))
    )
    signatures: list[tuple[Any, tuple[Any, ...]]] = [
        (mix_layers, (slot, rows, int64, int64, int64)), (finish, (slot, rows, int64, out, stems, int64, int64, int64)),
    ]  # fmt: skip
    for compiled, signature in signatures:
        compiled.compile(signature)
