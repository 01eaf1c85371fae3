"""When somebody speaks. In: sound; out: spans in seconds.

Silero's detector tells how likely each 32 ms are speech; what it hears is carried from one to the next. It works in a
process of its own, `detector.py`, beside all else. Remembers one search; threads are told where they matter.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import numpy as np

from streaming.files.errors import CannotListen
from streaming.files.filters import filtered
from streaming.files.sound import Samples, Sound
from undersong_launch import child_command, child_environment

_RATE = 16_000
"""What the detector was made for."""
_CHUNK_FRAMES = 512
_CHUNK_S = _CHUNK_FRAMES / _RATE
_BEGINS, _GOES_ON = 0.5, 0.35
"""Probabilities from which speech begins, and below which it ends."""
_LEAST_SPEECH_S, _LEAST_SILENCE_S = 0.2, 0.3
_EARLIER_S, _LATER_S = 0.1, 0.06
"""Consonants at both ends are softer than what is found."""
_SILENT = 1e-3
"""Peak of a chunk in which nobody needs to look for speech."""

Span = tuple[float, float]
"""Start and end in seconds."""


class Listening:
    """Speech being looked for, while the caller does something else. Use as `with`: who leaves early ends it.

    A thread of its own goes through `sound`. Raises `CannotListen`.
    """

    def __init__(self, sound: Sound) -> None:
        try:
            self.process = subprocess.Popen(
                child_command("streaming.files.detector:main"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=child_environment(),
                process_group=0,  # Ctrl-C is for this process, which ends it in its own time
            )
        except OSError as error:
            raise CannotListen(f"cannot be started: {error.strerror}") from error
        pool = ThreadPoolExecutor(1, "speech")
        self._spans = pool.submit(self._find, sound)
        pool.shutdown(wait=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self._spans.exception()  # with its other end gone, the thread ends at once

    def spans(self) -> list[Span]:
        """Wait for them: in order, with silence between them. Raises `CannotListen`, and what `sound` does."""
        return self._spans.result()

    def _find(self, sound: Sound) -> list[Span]:
        with self.process:
            try:
                return _spans(self._probabilities(sound))
            finally:
                self.process.kill()

    def _probabilities(self, sound: Sound) -> Iterator[float]:
        """How likely each chunk of `sound` is speech."""
        process = self.process
        assert process.stdin is not None and process.stdout is not None
        are_loud: list[bool] = []
        with contextlib.suppress(BrokenPipeError), process.stdin as pipe:  # how it ended is said below
            for chunks in _chunked(sound):
                loud = np.abs(chunks).max(axis=1) >= _SILENT
                are_loud.extend(loud)
                pipe.write(chunks[loud].tobytes())
        answer = process.stdout.read()
        if status := process.wait():
            raise CannotListen(f"was ended by signal {-status}" if status < 0 else f"ended with status {status}")
        found = iter(np.frombuffer(answer, np.float64).tolist())
        return (next(found) if is_loud else 0.0 for is_loud in are_loud)


def find_speech(sound: Sound) -> list[Span]:
    """Spans of speech in order, with silence between them. Raises `CannotListen`, and what `sound` does."""
    with Listening(sound) as listening:
        return listening.spans()


def _spans(probabilities: Iterable[float]) -> list[Span]:
    """From how likely speech is in each chunk."""
    voiced: list[Span] = []
    start_s, time_s = None, 0.0
    for probability in itertools.chain(probabilities, [0.0]):
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


def _chunked(sound: Sound) -> Iterator[Samples]:
    """Runs of chunks, [chunks, frames], as the detector takes them; a last one not whole is filled up with silence."""
    rest = np.zeros(0, np.float32)
    mono = filtered(sound, [("aformat", f"flt:{_RATE}:mono")])
    last = [np.zeros(_CHUNK_FRAMES - 1, np.float32)]
    for samples in itertools.chain((frame.to_ndarray()[0] for frame in mono), last):
        rest = np.concatenate([rest, samples])
        whole = len(rest) // _CHUNK_FRAMES * _CHUNK_FRAMES
        yield rest[:whole].reshape(-1, _CHUNK_FRAMES)
        rest = rest[whole:]
