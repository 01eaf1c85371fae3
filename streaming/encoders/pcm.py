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


def endless_wav_header() -> bytes:
    """The 44 bytes before endless signed 16-bit stereo at 48 kHz."""
    frame_bytes = 2 * CHANNELS
    fmt = struct.pack("<HHIIHH", 1, CHANNELS, SAMPLE_RATE, SAMPLE_RATE * frame_bytes, frame_bytes, 16)
    return (
        b"RIFF"
        + struct.pack("<I", ENDLESS)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + fmt
        + b"data"
        + struct.pack("<I", ENDLESS)
    )
