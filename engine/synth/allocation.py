"""Who plays what: notes that are due find an instrument and a voice. In: the queue; out: voices that begin.

Remembers in a `SlotState`. Called inside the slot kernel, between chunks.
"""

from __future__ import annotations

import numpy as np

from engine.synth.compile import Record, kernel
from engine.synth.envelopes import ATTACK, FREE, RELEASE
from engine.synth.patching.tables import DRUMS, Tables
from engine.synth.playing import find_slurred, is_upstroke, lateness, rank_in_chord
from engine.synth.sizes import MAX_VOICES, NUM_VOICES
from engine.synth.sources.oscillators import hash32
from engine.synth.state import NUM_STARTED, PIECE, SEED, SlotState
from engine.synth.voices import SLUR_FADE_FRAMES, STEAL_FRAMES, octaves_to, slur_voice, start_voice

KICK = 36
COMPARABLE = 0.1
"""A second style this strong, after weights are cubed, may lend its instruments to some layers."""


@kernel
def band_salt(band: int, choice: int) -> int:
    """By what one of a band's choices is drawn; the first band's are the seed's own."""
    return (band << 16) + choice


@kernel
def _choose_style(state: SlotState, layer: int) -> int:
    """The style whose instrument the layer takes: the strongest, or by seed one of two comparable ones."""
    first, second = 0, -1
    for style in range(1, len(state.styles)):
        if state.styles[style] > state.styles[first]:
            first, second = style, first
        elif second < 0 or state.styles[style] > state.styles[second]:
            second = style
    one, two = state.styles[first] ** 3, state.styles[second] ** 3
    share = two / (one + two + 1e-12)
    chance = hash32(state.clock[SEED], band_salt(state.clock[PIECE], 101 + layer)) / 4294967296.0
    return second if share > COMPARABLE and chance < share else first


@kernel
def _choose(state: SlotState, tables: Tables, style: int, layer: int) -> int:
    """The instrument, or of the drums the kit, that the slot's seed gives to a layer of a style in the running band."""
    choices = tables.choices[style, layer]
    count = 1
    while count < len(choices) and choices[count] >= 0:
        count += 1
    return choices[hash32(state.clock[SEED], band_salt(state.clock[PIECE], 11 + layer)) % count]


@kernel
def _take_voice(state: SlotState) -> int:
    """A free voice. At MAX_VOICES the quietest is faded out, of those let go if there are any."""
    free, sounding, quietest, least = -1, 0, 0, 1e9
    for index in range(NUM_VOICES):
        voice = state.voices[index]
        if voice.stage == FREE:
            free = index if free < 0 else free
        elif voice.fade_step == 0.0:
            sounding += 1
            loudness = voice.level * (voice.pan_left + voice.pan_right)
            if voice.stage != RELEASE:
                loudness += 1e6 if voice.stage == ATTACK else 1e3
            if loudness < least:
                quietest, least = index, loudness
    if sounding >= MAX_VOICES:
        state.voices[quietest].fade_step = 1.0 / STEAL_FRAMES
    if free >= 0:
        return free
    lowest = 0
    for index in range(NUM_VOICES):
        if state.voices[index].fade < state.voices[lowest].fade:
            lowest = index
    return lowest


@kernel
def _start_note(state: SlotState, tables: Tables, note: Record, below: int, above: int) -> None:
    """Give a queued sound a voice, let go of what it replaces, and note a kick for the duck.

    `below` and `above` count the other notes of its chord.
    """
    layer, pitch = int(note.layer), int(note.pitch)
    style = _choose_style(state, layer)
    if layer == DRUMS:
        patch_index = tables.kits[_choose(state, tables, style, layer), pitch & 127]
        if patch_index < 0:
            return
        if pitch == KICK:
            state.duck[2] = max(state.duck[2], 0.4 + 0.6 * note.velocity / 127.0)
    else:
        patch_index = _choose(state, tables, style, layer)
    patch = tables.patches[patch_index]
    for index in range(NUM_VOICES):
        voice = state.voices[index]
        if voice.stage == FREE or voice.layer != layer or voice.written == note.frame:
            continue
        if layer == DRUMS:
            other = tables.patches[voice.patch]
            if patch.choke > 0.0 and other.choke == patch.choke and voice.fade_step == 0.0:
                voice.fade_step = 1.0 / 600
        elif voice.pitch == pitch and voice.stage != RELEASE:
            voice.release_at = min(voice.release_at, note.frame)
    velocity = min(max(note.velocity, 1), 127) / 127.0
    noise = hash32(state.clock[SEED], 1000 + state.clock[NUM_STARTED])
    state.clock[NUM_STARTED] += 1
    slide = 0.0
    if patch.glide_s > 0.0 and not note.is_struck and hash32(noise, 4) < patch.slur_share * 4294967296.0:
        slurred = find_slurred(state.voices, patch_index, layer, pitch, note.frame)
        if slurred >= 0:
            slide = octaves_to(state.voices[slurred], patch, pitch)
            if patch.slurs:
                slur_voice(state.voices[slurred], patch, note.frame, note.length, pitch, velocity, slide)
                return
            state.voices[slurred].fade_step = 1.0 / SLUR_FADE_FRAMES
    upward = is_upstroke(state.voices, layer, note.frame)
    index = _take_voice(state)
    voice = state.voices[index]
    voice.patch, voice.layer, voice.written, voice.is_upstroke, voice.glide = (
        patch_index, layer, note.frame, upward, slide,
    )  # fmt: skip
    onset = note.frame
    if not note.is_struck:
        onset += lateness(patch, below, above, upward, noise)
    start_voice(
        voice, patch, tables, state.lines[index], state.modes[index], onset, note.length, pitch, velocity, noise
    )  # fmt: skip


@kernel
def start_due_notes(state: SlotState, tables: Tables, notes: np.ndarray, next_note: int, frame: int) -> int:
    """Start those of `notes`, from `next_note` on, that begin at `frame`; returns the first that does not."""
    while next_note < len(notes) and notes[next_note].frame <= frame:
        below, above = rank_in_chord(notes, next_note)
        _start_note(state, tables, notes[next_note], below, above)
        next_note += 1
    return next_note
