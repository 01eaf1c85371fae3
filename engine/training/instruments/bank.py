"""Single notes out of a SoundFont, as FluidSynth plays them. In: a bank's file and notes; out: their sound, dry.

So loops, envelopes, filters and layers are the bank's own, and a note may be held as long as a measurement needs.
Takes Debian's `fluidsynth`. Remembers nothing.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import mido
import numpy as np
import numpy.typing as npt

from engine.audio import SAMPLE_RATE

TICKS_PER_SECOND = 960
"""480 a beat, two beats a second."""
LEAD_S = 0.1
"""Silence before each note."""


class Preset(NamedTuple):
    """Where an instrument lies: the SoundFont's file, its bank (128: drums) and program."""

    file: Path
    bank: int
    program: int


def play_notes(
    preset: Preset, notes: Sequence[tuple[int, int]], held_s: float, tail_s: float
) -> npt.NDArray[np.float64]:
    """Every (key, velocity), held for `held_s`, heard `tail_s` longer: [notes, frames]; LEAD_S of silence first."""
    score = mido.MidiFile(ticks_per_beat=TICKS_PER_SECOND // 2)
    track = mido.MidiTrack()
    score.tracks.append(track)
    track.append(mido.Message("control_change", control=0, value=preset.bank % 128))
    track.append(mido.Message("program_change", program=preset.program))
    for key, velocity in notes:
        track.append(mido.Message("note_on", note=key, velocity=velocity, time=_ticks(LEAD_S)))
        track.append(mido.Message("note_off", note=key, time=_ticks(held_s)))
        track.append(mido.Message("control_change", control=119, value=0, time=_ticks(tail_s)))
    with tempfile.TemporaryDirectory() as folder:
        score.save(f"{folder}/notes.mid")
        subprocess.run(
            ["fluidsynth", "-niq", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(SAMPLE_RATE), "-O", "float",
             "-o", "synth.midi-bank-select=gs", "-T", "raw", "-F", f"{folder}/notes.raw", str(preset.file),
             f"{folder}/notes.mid"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        left = np.fromfile(f"{folder}/notes.raw", np.float32)[::2].astype(np.float64)
    size = (_ticks(LEAD_S) + _ticks(held_s) + _ticks(tail_s)) * SAMPLE_RATE // TICKS_PER_SECOND
    left = np.pad(left, (0, max(0, size * len(notes) - len(left))))
    return left[: size * len(notes)].reshape(len(notes), size)


def _ticks(seconds: float) -> int:
    return round(seconds * TICKS_PER_SECOND)
