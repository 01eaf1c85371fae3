"""Takes, played twice. In: a take; out: its sound by our synth, and by a General MIDI bank.

Both hear the same onsets, lengths, pitches and velocities; the bank gets the General MIDI instruments that a careful
user would choose for the style, with as many choices by seed as the style has there. Remembers the synth; one thread.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import symusic

from benchmarks.likeness import bank
from benchmarks.likeness.takes import Take, controller
from engine.audio import SAMPLE_RATE
from engine.synth.synth import Synth
from moods.intent import LAYERS

Float = npt.NDArray[np.float32]

# Programs from 0, by style: drum kit, then choices for bass, harmony, texture, lead.
PROGRAMS: dict[str, tuple[int, tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "lofi": (0, (33, 32), (4, 0), (89, 26), (11, 108)),
    "ambient": (40, (39, 43), (89, 91), (88, 98), (10, 14)),
    "cinematic": (48, (43, 48), (48, 60), (49, 52), (40, 0)),
    "suspense": (48, (43, 39), (50, 44), (92, 88), (98, 0)),
    "synthwave": (24, (38, 39), (62, 90), (89, 81), (81, 80)),
    "house": (25, (38, 39), (0, 16), (90, 89), (80, 81)),
    "chiptune": (25, (80, 38), (80,), (80,), (80, 81)),
    "acoustic": (40, (32, 33), (24, 25), (48, 0), (0, 73)),
    "orchestral": (48, (43,), (48, 60), (46, 49), (73, 40)),
    "jazz": (40, (32,), (4, 0), (48, 89), (0, 66)),
    "upbeat": (0, (33,), (25, 0), (45, 12), (12, 9)),
    "hiphop": (25, (38, 33), (4, 0), (89, 46), (108, 80)),
    "guofeng": (0, (32, 43), (107, 46), (48, 89), (77, 105)),
}
_PANS = (64, 64, 50, 78, 64)
"""A light mix, as a careful user would make: MIDI pan by layer."""
_REVERB, _CHORUS = 50, 20
"""Sends (controllers 91 and 93) of every channel."""
_TICKS_A_SECOND = 960
"""MIDI at its standard 120 beats a minute, 480 ticks each: onsets to the millisecond."""


@cache
def _synth() -> Synth:
    return Synth(1)


def play_ours(take: Take, seconds: float) -> Float:
    """The first `seconds` by our synth, [2, T], as a station of the take's course plays them."""
    synth, course = _synth(), controller(take.style, take.seed)
    synth.open(0, course.seed)
    try:
        synth.play(0, take.notes)
        return synth.render((0,), lambda _, frame: course.intent(frame), int(seconds * SAMPLE_RATE))[0]
    finally:
        synth.close(0)


def play_bank(take: Take, seconds: float, folder: Path) -> Float:
    """The same by the bank that is installed or in `folder`. Raises `NoBank`."""
    size = int(seconds * SAMPLE_RATE)
    sound = bank.play(as_midi(take), folder)[:, :size]
    return np.pad(sound, ((0, 0), (0, size - sound.shape[1])))


def as_midi(take: Take) -> symusic.Score:
    """The take for a General MIDI player, a channel for each layer."""
    kit, *choices = PROGRAMS[take.style]
    score = symusic.Score(_TICKS_A_SECOND // 2)
    score.tempos.append(symusic.Tempo(0, 120))
    for layer, name in enumerate(LAYERS):
        options = choices[layer - 1] if layer else (kit,)
        track = symusic.Track(name, options[(take.seed // (1 + layer)) % len(options)], is_drum=layer == 0)
        for number, value in ((10, _PANS[layer]), (91, _REVERB), (93, _CHORUS)):
            track.controls.append(symusic.ControlChange(0, number, value))
        for note in take.notes[take.notes["layer"] == layer]:
            start, length = (round(int(note[of]) * _TICKS_A_SECOND / SAMPLE_RATE) for of in ("frame", "length"))
            track.notes.append(symusic.Note(start, max(1, length), int(note["pitch"]), int(note["velocity"])))
        score.tracks.append(track)
    return score
