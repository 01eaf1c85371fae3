"""What sounds while the engine does not: the last bar again, joined to the music without a click on both sides.

In: the station's recent past and, once they come again, the engine's chunks; out: chunks. Remembers the loop, how far
it has played and an Opus encoder of its own. One thread calls it after it is made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE
from streaming.encoders.opus import PRIMING_BLOCKS, OpusEncoder
from streaming.engines.ring import Chunk, make_chunk

MAX_LOOP_FRAMES = 4 * SAMPLE_RATE
_JOIN_FRAMES = BLOCK_FRAMES
PAST_BLOCKS = (MAX_LOOP_FRAMES + _JOIN_FRAMES) // BLOCK_FRAMES
"""How much of what was sent a filler wants to know."""
_RISING = np.linspace(0.0, 1.0, _JOIN_FRAMES, dtype=np.float32)[:, None]


def make_loop(past: npt.NDArray[np.float32], bar_frames: int) -> npt.NDArray[np.float32]:
    """The last bar of `past`, float32 [T, 2], with its end crossfaded into what came before its beginning.

    A bar that is longer than the past there is, or than MAX_LOOP_FRAMES, is halved until it fits.
    """
    length = bar_frames
    room = min(MAX_LOOP_FRAMES, len(past) - _JOIN_FRAMES)
    while length > room and length > 2 * _JOIN_FRAMES:
        length //= 2
    if length > room:
        return np.zeros((BLOCK_FRAMES, CHANNELS), np.float32)
    loop = past[-length:].copy()
    before = past[-length - _JOIN_FRAMES : -length]
    loop[-_JOIN_FRAMES:] += _RISING * (before - loop[-_JOIN_FRAMES:])
    return loop


class Filler:
    """Stands in for the engine after the blocks of `past`, oldest first, until `is_done`."""

    def __init__(self, past: Sequence[npt.NDArray[np.float32]], bar_frames: int, bit_rate: int) -> None:
        self._past, self._bar_frames = past, bar_frames
        self._bit_rate = bit_rate
        self._encoder: OpusEncoder | None = None
        self._loop = self._last = np.zeros((BLOCK_FRAMES, CHANNELS), np.float32)
        """What sounds again and again; the block made last."""
        self._offset = 0
        self._is_looping = False
        self._num_settled = 0

    @property
    def is_done(self) -> bool:
        """The engine's own packets may follow: its sound is back and both encoders have heard the same for a while."""
        return self._num_settled > PRIMING_BLOCKS

    def next_chunk(self, block: int, engine_chunk: Chunk | None) -> Chunk:
        """Make block number `block`; `engine_chunk` is the engine's, if it has come."""
        if self._encoder is None:
            self._encoder = self._listen_to_past()
        if engine_chunk is None:
            pcm = self._read_loop()
            if not self._is_looping:
                mirrored = self._last[::-1]
                pcm = mirrored + _RISING * (pcm - mirrored)
            self._is_looping, self._num_settled = True, 0
        elif self._is_looping:
            pcm = self._read_loop()
            pcm = pcm + _RISING * (engine_chunk.pcm - pcm)
            self._is_looping = False
        else:
            pcm = engine_chunk.pcm
            self._num_settled += 1
        self._last = pcm
        return make_chunk(block * BLOCK_FRAMES, self._encoder.encode(pcm), pcm)

    def _listen_to_past(self) -> OpusEncoder:
        """Cut the loop and prime the encoder with the last blocks."""
        blocks = [np.zeros((BLOCK_FRAMES, CHANNELS), np.float32), *self._past]
        self._past = ()
        self._last = blocks[-1]
        if self._last.any():  # a station that pauses stays silent
            self._loop = make_loop(np.concatenate(blocks), self._bar_frames)
        encoder = OpusEncoder(self._bit_rate)
        for pcm in blocks[-PRIMING_BLOCKS:]:
            encoder.encode(pcm)
        return encoder

    def _read_loop(self) -> npt.NDArray[np.float32]:
        """The next 960 frames of the loop, [960, 2]."""
        frames = (self._offset + np.arange(BLOCK_FRAMES)) % len(self._loop)
        self._offset = int(frames[-1]) + 1
        return self._loop[frames]
