"""The composer's takes, played twice. In: a style and seeds; out: excerpts by our synth and by a General MIDI bank.

The bank is FluidR3 (Debian's `fluid-soundfont-gm`), played by `fluidsynth` with its reverb and chorus on. Both hear the
same onsets, lengths, pitches and velocities; the bank gets the General MIDI instrument that the layer's name calls for,
with as many choices by seed as a style has there. Remembers nothing.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import symusic

from benchmarks.likeness.hearing import EXCERPT_S, is_audible
from engine.audio import SAMPLE_RATE
from engine.notes import TICKS_PER_BEAT
from engine.score.piece import Piece
from engine.training.evaluation import takes
from engine.training.evaluation.sound import Player
from engine.weights import read_checkpoint, shipped_checkpoint
from moods.intent import LAYERS

Float = npt.NDArray[np.float32]
BANK = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
EXCERPTS_AT = (0.35, 0.7)
"""Where a take's excerpts begin, as shares of what lies before the last possible beginning."""

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
_REVERB, _CHORUS, _GAIN = 50, 20, 0.4
"""Sends (controllers 91 and 93) of every channel, and the synth's gain, which leaves room for peaks."""


class NoBank(Exception):
    """`fluidsynth` or its bank is not installed."""


def compose(style: str, num_takes: int) -> list[Piece]:
    """Takes of 32 bars of the shipped model, moods all over their ranges."""
    sizes, tensors, _ = read_checkpoint(shipped_checkpoint())
    composer = takes.make_composer(sizes, tensors)
    return list(takes.compose_all(composer, takes.take_controllers(style, num_takes, None), takes.TAKE_BARS))


def play_ours(piece: Piece, seed: int) -> Float:
    """Our synth, [2, T], with the instruments that `seed` chooses."""
    return Player().play(piece, seed)[0]


def play_bank(piece: Piece, style: str, seed: int) -> Float:
    """FluidSynth's, [2, T]. Raises `NoBank`."""
    if not BANK.is_file():
        raise NoBank(f"{BANK} is missing: apt-get install fluidsynth fluid-soundfont-gm")
    with tempfile.TemporaryDirectory() as folder:
        midi, wav = Path(folder) / "take.mid", Path(folder) / "take.wav"
        as_midi(piece, style, seed).dump_midi(midi)
        words = ["fluidsynth", "-n", "-i", "-q", "-g", str(_GAIN), "-r", str(SAMPLE_RATE), "-R", "1", "-C", "1"]
        try:
            subprocess.run([*words, "-T", "wav", "-O", "float", "-F", wav, BANK, midi], check=True, capture_output=True)
        except FileNotFoundError:
            raise NoBank("fluidsynth is missing: apt-get install fluidsynth fluid-soundfont-gm") from None
        return np.ascontiguousarray(soundfile.read(wav, dtype="float32")[0].T)


def as_midi(piece: Piece, style: str, seed: int) -> symusic.Score:
    """The piece for a General MIDI player, a channel for each layer."""
    kit, *choices = PROGRAMS[style]
    score = symusic.Score(TICKS_PER_BEAT)
    score.tempos.append(symusic.Tempo(0, piece.bpm))
    for layer, name in enumerate(LAYERS):
        notes = piece.notes[piece.notes["layer"] == layer]
        options = choices[layer - 1] if layer else (kit,)
        track = symusic.Track(name, options[(seed // (1 + layer)) % len(options)], is_drum=layer == 0)
        for number, value in ((10, _PANS[layer]), (91, _REVERB), (93, _CHORUS)):
            track.controls.append(symusic.ControlChange(0, number, value))
        for note in notes:
            track.notes.append(
                symusic.Note(int(note["tick"]), int(note["length"]), int(note["pitch"]), int(note["velocity"]))
            )
        score.tracks.append(track)
    return score


def excerpts(sound: Float, starts: Sequence[float]) -> list[Float]:
    """`EXCERPT_S` of `sound` from each of `starts`, seconds."""
    firsts = [int(start * SAMPLE_RATE) for start in starts]
    return [sound[:, first : first + EXCERPT_S * SAMPLE_RATE] for first in firsts]


def excerpt_starts(piece: Piece) -> list[float]:
    """Seconds at which the excerpts of a take begin: the same in every rendition."""
    room = takes.seconds_of(piece) - EXCERPT_S - 1
    return [share * room for share in EXCERPTS_AT]


def audible(renditions: Sequence[Sequence[Float]]) -> list[int]:
    """Which excerpts are heard in all renditions."""
    return [index for index in range(len(renditions[0])) if all(is_audible(found[index]) for found in renditions)]
