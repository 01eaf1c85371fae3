"""This machine's loudspeaker through PortAudio. In: an iterator of blocks; out: sound. Remembers a small queue.

The calling thread makes the blocks; PortAudio's thread only copies them.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable
from typing import Any

import numpy as np

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE, Block
from streaming.errors import DeviceUnavailable

__all__ = ["DeviceUnavailable", "list_devices", "play"]

_LEAD_BLOCKS = 5


def _import_sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise DeviceUnavailable(
            f"sound output is not available: {error}; install PortAudio (libportaudio2) or use `undersong render`"
        ) from error
    return sounddevice


def list_devices() -> str:
    """The devices PortAudio knows, one a line. Raises `DeviceUnavailable`."""
    return str(_import_sounddevice().query_devices()) or "no audio devices"


def play(blocks: Iterable[Block], *, device: int | str | None = None, lead_blocks: int = _LEAD_BLOCKS) -> int:
    """Play blocks, float32 [1, 2, up to 960], until they end; answer how many came too late.

    Raises `DeviceUnavailable` where there is no PortAudio, no such device, or it does not take 48 kHz stereo.
    """
    sounddevice = _import_sounddevice()
    ready: queue.Queue[Any] = queue.Queue(lead_blocks)
    late_blocks = 0
    has_begun = False

    def callback(out: Any, num_frames: int, times: Any, status: Any) -> None:
        nonlocal late_blocks
        try:
            out[:] = ready.get_nowait()
        except queue.Empty:
            out.fill(0.0)
            late_blocks += has_begun

    try:
        output = sounddevice.OutputStream(
            SAMPLE_RATE, BLOCK_FRAMES, device, CHANNELS, "float32", callback=callback, latency="low"
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise DeviceUnavailable(f"no output device can play 48 kHz stereo: {error}") from error
    with output:
        for block in blocks:
            pcm = np.zeros((BLOCK_FRAMES, CHANNELS), np.float32)
            pcm[: block.shape[2]] = block[0].T
            ready.put(pcm)
            has_begun = True
        has_begun = False
        for _ in range(lead_blocks + 1):
            ready.put(np.zeros((BLOCK_FRAMES, CHANNELS), np.float32))
    return late_blocks
