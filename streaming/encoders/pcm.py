"""Float samples to bytes. In: float32 interleaved; out: little-endian samples. Remembers nothing; any thread."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from engine.audio import CHANNELS, SAMPLE_RATE

ENDLESS = 0xFFFFFFFF
"""The length a WAV header gives when the end is not known."""


def to_s16le(pcm: npt.NDArray[np.float32]) -> bytes:
    """Round float32 samples (full scale ±1, clipped) to signed 16-bit little-endian."""
    return np.rint(np.clip(pcm, -1.0, 1.0) * 32767.0).astype("<i2").tobytes()


def to_f32le(pcm: npt.NDArray[np.float32]) -> bytes:
    return np.ascontiguousarray(pcm, "<f4").tobytes()


def wav_header(num_frames: int) -> bytes:
    """The 44 bytes before so many frames of signed 16-bit stereo at 48 kHz."""
    num_bytes = num_frames * 2 * CHANNELS
    return _wav_header(num_bytes + 36, num_bytes)


def endless_wav_header() -> bytes:
    """The same where the end is not known."""
    return _wav_header(ENDLESS, ENDLESS)


def _wav_header(riff_bytes: int, num_bytes: int) -> bytes:
    frame_bytes = 2 * CHANNELS
    fmt = struct.pack("<HHIIHH", 1, CHANNELS, SAMPLE_RATE, SAMPLE_RATE * frame_bytes, frame_bytes, 16)
    size, riff = struct.pack("<I", num_bytes), struct.pack("<I", riff_bytes)
    return b"RIFF" + riff + b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + size
