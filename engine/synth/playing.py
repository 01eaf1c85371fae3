"""How notes are played: strums, loose timing, slurs. In: a note and the slot's voices; out: when and by which voice.

Remembers in VOICE. Called inside the slot kernel when a note begins.
"""

from __future__ import annotations

import numpy as np

from engine.audio import SAMPLE_RATE
from engine.synth.compile import Record, kernel
from engine.synth.envelopes import FREE
from engine.synth.sources.oscillators import hash32

MAX_LATE_FRAMES = int(0.03 * SAMPLE_RATE)
"""No note begins later than this after its written frame; none earlier."""
SLUR_OVERLAP_FRAMES = int(0.12 * SAMPLE_RATE)
SLUR_GAP_FRAMES = int(0.04 * SAMPLE_RATE)
"""A note is slurred to one that ends at most so much later or earlier than it begins."""


@kernel
def rank_in_chord(notes: np.ndarray, index: int) -> tuple[int, int]:
    """How many notes of the same layer and frame lie below, and how many above, notes[index]."""
    note = notes[index]
    first = index
    while first > 0 and notes[first - 1].frame == note.frame:
        first -= 1
    below, above = 0, 0
    while first < len(notes) and notes[first].frame == note.frame:
        if notes[first].layer == note.layer:
            below += notes[first].pitch < note.pitch
            above += notes[first].pitch > note.pitch
        first += 1
    return below, above


@kernel
def is_upstroke(voices: np.ndarray, layer: int, frame: int) -> bool:
    """The direction of the chord written at `frame`: the other one than the layer's last."""
    latest, upward = -1, True
    for index in range(len(voices)):
        voice = voices[index]
        if voice.layer == layer and voice.written > latest and voice.written <= frame:
            latest, upward = voice.written, voice.is_upstroke
    return upward if latest == frame else not upward


@kernel
def lateness(patch: Record, below: int, above: int, upward: bool, noise: int) -> int:
    """Frames that a note comes after its written frame: its turn in the strum and the player's looseness."""
    seconds = patch.strum_s * (above if upward else below)
    seconds += patch.looseness_s * hash32(noise, 1) / 4294967296.0
    return min(int(seconds * SAMPLE_RATE), MAX_LATE_FRAMES)


@kernel
def find_slurred(voices: np.ndarray, patch_index: int, layer: int, pitch: int, frame: int) -> int:
    """The voice, nearest in pitch, that ends about where a new note of its layer and patch begins; -1 if none."""
    found, nearest = -1, 13
    for index in range(len(voices)):
        voice = voices[index]
        if voice.stage == FREE or voice.layer != layer or voice.patch != patch_index or voice.fade_step > 0.0:
            continue
        distance = abs(voice.pitch - pitch)
        gap = frame - voice.release_at
        if voice.written < frame and -SLUR_OVERLAP_FRAMES <= gap <= SLUR_GAP_FRAMES and 0 < distance < nearest:
            found, nearest = index, distance
    return found
