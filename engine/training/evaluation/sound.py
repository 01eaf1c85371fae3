"""Pieces as sound, through the synth that plays live. In: a piece; out: frames, loudness, colour. Offline.

Whoever wrote the piece, its bars' labels are the mood that the synth hears. Remembers nothing; one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from engine.notes import TICKS_PER_BEAT, notes_to_sounds
from engine.score.piece import Piece
from engine.synth.synth import Synth
from engine.training.figures import excerpt
from moods.controller import Controller
from moods.intent import BEATS_PER_BAR, Intent
from moods.mood import Mood

Float = npt.NDArray[np.float32]


def bar_intents(piece: Piece, brightness: float | None = None) -> list[Intent]:
    """What the synth is told in each bar, as a steady station of that mood would tell it."""
    return [
        replace(
            Controller(
                Mood(
                    "bar", "bar", bar.valence, bar.energy, bar.tension, tuple(bar.style.tolist()),
                    bpm=piece.bpm, key=piece.key, brightness=brightness,
                )
            ).intent(0),
            bpm=piece.bpm,
        )
        for bar in piece.bars
    ]  # fmt: skip


class Player:
    """Renders pieces one after another, faster than real time. Remembers nothing between them."""

    def __init__(self) -> None:
        self._synth = Synth(1)

    def play(self, piece: Piece, seed: int = 0, brightness: float | None = None) -> tuple[Float, float]:
        """The piece's sound, float32 [2, T], and its loudness before loudness following, in LUFS.

        The loudness is the K-weighted mean of the mix's last two seconds that were not silent, as the master's
        follower hears it.
        """
        synth = self._synth
        synth.open(0, seed)
        try:
            synth.play(0, notes_to_sounds(piece.notes, 0, self._frames_per_tick(piece)))
            num_frames = int(len(piece.bars) * BEATS_PER_BAR * TICKS_PER_BEAT * self._frames_per_tick(piece))
            sound = synth.render((0,), _intent_reader(piece, brightness), num_frames)[0]
            mean_square = float(synth.snapshot(0)["master"]["meter"]["music_steps"][0].mean())
        finally:
            synth.close(0)
        return sound, 10 * float(np.log10(mean_square + 1e-12)) - 0.691

    @staticmethod
    def _frames_per_tick(piece: Piece) -> float:
        return 60 * SAMPLE_RATE / (piece.bpm * TICKS_PER_BEAT)


def _intent_reader(piece: Piece, brightness: float | None) -> Callable[[int, int], Intent]:
    intents = bar_intents(piece, brightness)
    frames_a_bar = 60 * SAMPLE_RATE * BEATS_PER_BAR / piece.bpm
    return lambda _, frame: intents[min(int(frame / frames_a_bar), len(intents) - 1)]


def to_hear(piece: Piece, first_bar: int, seconds: float) -> Piece:
    """At least `seconds` of the piece from `first_bar` on, or what there is."""
    num_bars = int(np.ceil(seconds / 60 * piece.bpm / BEATS_PER_BAR))
    first = max(0, min(first_bar, len(piece.bars) - num_bars))
    return excerpt(piece, first, min(len(piece.bars), first + num_bars))


def spectral_centroid_hz(sound: Float) -> float:
    """Power-weighted mean of log frequency over the whole sound, 40 Hz … 16 kHz, as a frequency; NaN: silence."""
    mono = sound.mean(axis=0)
    size = BLOCK_FRAMES * 4
    frames = mono[: len(mono) // size * size].reshape(-1, size) * np.hanning(size)
    magnitude = np.abs(np.fft.rfft(frames, axis=1)).mean(axis=0)
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    heard = (hz >= 40) & (hz <= 16_000)
    if magnitude[heard].sum() <= 0:
        return float("nan")
    return float(np.exp(np.average(np.log(hz[heard]), weights=magnitude[heard])))
