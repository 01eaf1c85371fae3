"""This machine's loudspeaker through PortAudio. In: an iterator of blocks; out: sound. Remembers a small queue.

The calling thread makes the blocks; PortAudio's thread only copies them. A device may go at any moment: PortAudio then
no longer asks for sound, and where the sound server hangs, neither do its own functions return.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np

from engine.audio import BLOCK_FRAMES, CHANNELS, SAMPLE_RATE, Block
from streaming.errors import DeviceUnavailable

__all__ = ["DeviceUnavailable", "list_devices", "play"]

Result = TypeVar("Result")

_LEAD_BLOCKS = 5
_LOOK_S = 0.25
"""How often a device that takes nothing is looked at."""
_NUM_LOOKS = 20
"""A sound server may take seconds at a time; who takes nothing for longer than this is not there."""
_OPEN_S = 10.0
_CLOSE_S = 1.0


def _import_sounddevice() -> Any:
    def load() -> Any:
        import sounddevice

        return sounddevice

    try:
        return _in_time(load, _OPEN_S)
    except DeviceUnavailable:
        raise
    except Exception as error:  # besides a missing library, PortAudio's own error where it cannot begin
        raise DeviceUnavailable(
            f"sound output is not available: {error}; install PortAudio (libportaudio2) or use `undersong render`"
        ) from error


def list_devices() -> str:
    """The devices PortAudio knows, one a line. Raises `DeviceUnavailable`."""
    with _only_our_words():
        return str(_import_sounddevice().query_devices()) or "no audio devices"


def play(blocks: Iterable[Block], *, device: int | str | None = None, lead_blocks: int = _LEAD_BLOCKS) -> int:
    """Play blocks, float32 [1, 2, up to 960], until they end; answer how many came too late.

    Raises `DeviceUnavailable` where there is no PortAudio, no such device, it does not take 48 kHz stereo, or it goes.
    """
    with _only_our_words():
        return _play(_import_sounddevice(), blocks, device, lead_blocks)


def _play(sounddevice: Any, blocks: Iterable[Block], device: int | str | None, lead_blocks: int) -> int:
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

    def begin() -> Any:
        output = sounddevice.OutputStream(
            SAMPLE_RATE, BLOCK_FRAMES, device, CHANNELS, "float32", callback=callback, latency="low"
        )
        output.start()
        return output

    def put(pcm: Any) -> None:
        for _ in range(_NUM_LOOKS):
            with contextlib.suppress(queue.Full):
                return ready.put(pcm, timeout=_LOOK_S)
            if not output.active:
                break
        raise DeviceUnavailable(
            "the output device has gone: it takes no more sound; plug it in, or choose another as the "
            "system's output, and play again"
        )

    try:
        output = _in_time(begin, _OPEN_S)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise DeviceUnavailable(
            f"no output device can play 48 kHz stereo: {error}; see `undersong play --list-devices`"
        ) from error
    try:
        for block in blocks:
            pcm = np.zeros((BLOCK_FRAMES, CHANNELS), np.float32)
            pcm[: block.shape[2]] = block[0].T
            put(pcm)
            has_begun = True
        has_begun = False
        for _ in range(lead_blocks + 1):
            put(np.zeros((BLOCK_FRAMES, CHANNELS), np.float32))
        _in_time(output.stop, _OPEN_S)  # what PortAudio has taken is still to sound
    finally:
        with contextlib.suppress(DeviceUnavailable):
            _in_time(lambda: (output.abort(), output.close()), _CLOSE_S)
    return late_blocks


def _in_time(call: Callable[[], Result], limit_s: float) -> Result:
    """Let a thread of its own call PortAudio: the caller can be interrupted, and gives up where the call hangs.

    Raises `DeviceUnavailable` then, and what the call raises.
    """
    result: Future[Result] = Future()

    def run() -> None:
        try:
            result.set_result(call())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return result.result(limit_s)
    except TimeoutError:
        raise DeviceUnavailable(
            f"the system's sound does not answer for {limit_s:g} s; restart its sound server"
        ) from None
    finally:
        if not result.done():  # PortAudio's goodbye at the end of the process would hang as well
            goodbye: Any = getattr(sys.modules.get("sounddevice"), "_exit_handler", None)
            atexit.unregister(goodbye)


@contextlib.contextmanager
def _only_our_words() -> Iterator[None]:
    """Leave standard error to us: PortAudio and ALSA write there, in lines of their own, whatever goes wrong."""
    previous = sys.stderr
    try:
        is_ours = previous.fileno() == 2
    except (AttributeError, OSError):
        is_ours = False
    if not is_ours:
        yield
        return
    previous.flush()
    with open(os.dup(2), "w", buffering=1, encoding=previous.encoding, errors=previous.errors) as kept:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        sys.stderr = kept
        try:
            yield
        finally:
            sys.stderr = previous
            os.dup2(kept.fileno(), 2)
