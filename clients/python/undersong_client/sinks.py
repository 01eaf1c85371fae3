"""Where sound goes: a loudspeaker, pygame's mixer, a file, or whatever else reads. In: a player's `read`; out: sound.

A sink reads at its own pace from a thread of its own, and says when what it reads is heard, by `time.monotonic()`.
"""

from __future__ import annotations

import threading
import time
import wave
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from undersong_client.bed import CHANNELS, RATE, Samples
from undersong_client.errors import NoSound

if TYPE_CHECKING:
    import pygame

Read = Callable[[int, float], Samples]
"""`read(num_frames, heard_at_s)` answers float32 [num_frames, 2] and never waits."""


class Sink(Protocol):
    """What a client plays into."""

    def start(self, read: Read) -> None:
        """Begin to read. Raises `NoSound` where this machine cannot."""

    def close(self) -> None:
        """Read no more."""


class Loudspeaker:
    """This machine's sound card, by the package `sounddevice`."""

    def __init__(self, device: int | str | None = None, block_frames: int = 480, latency: float | str = "low") -> None:
        self._options = {"device": device, "blocksize": block_frames, "latency": latency}
        self._stream: Any = None

    def start(self, read: Read) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as error:
            way_out = 'pip install "undersong-client[sound]", and PortAudio on Linux; or give another sink'
            raise NoSound(f"sounddevice cannot be loaded ({error}): {way_out}") from error

        def play(out: Samples, num_frames: int, moment: Any, status: object) -> None:
            ahead_s = moment.outputBufferDacTime - moment.currentTime
            if not 0 < ahead_s < 2:  # some drivers do not say
                ahead_s = self._stream.latency if self._stream is not None else 0.0
            out[:] = read(num_frames, time.monotonic() + ahead_s)

        try:
            self._stream = sounddevice.OutputStream(
                samplerate=RATE, channels=CHANNELS, dtype="float32", callback=play, **self._options
            )
            self._stream.start()
        except sounddevice.PortAudioError as error:
            raise NoSound(f"no loudspeaker could be opened ({error}); give another sink, or none") from error

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


class Paced:
    """A sink without a clock of its own: a thread reads a block whenever one is over. `take` does something with it."""

    block_frames = RATE // 100

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, read: Read) -> None:
        self._thread = threading.Thread(target=self._run, args=(read,), name="undersong-sink", daemon=True)
        self._thread.start()

    def _run(self, read: Read) -> None:
        began_s, num_read = time.monotonic(), 0
        while not self._is_over.is_set():
            due_s = began_s + num_read / RATE
            if (wait_s := due_s - time.monotonic()) > 0:
                self._is_over.wait(wait_s)
            self.take(read(self.block_frames, due_s))
            num_read += self.block_frames

    def take(self, pcm: Samples) -> None:
        """One block, float32 [block_frames, 2]; on the sink's thread."""
        raise NotImplementedError

    def close(self) -> None:
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()


class WavFile(Paced):
    """A WAV file of 16 bit, for as long as the client runs."""

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._file = wave.open(str(path), "wb")  # noqa: SIM115 - closed by close
        self._file.setnchannels(CHANNELS)
        self._file.setsampwidth(2)
        self._file.setframerate(RATE)

    def take(self, pcm: Samples) -> None:
        self._file.writeframes(_s16le(pcm).tobytes())

    def close(self) -> None:
        super().close()
        self._file.close()


class PygameMixer:
    """A channel of pygame's mixer, so that a game's music and effects come out of one device.

    The mixer must have been opened with 48,000 Hz, 16 bit and 2 channels; `open` does that.
    """

    BUFFER_FRAMES = 512
    BLOCK_FRAMES = 2 * BUFFER_FRAMES
    """A multiple of the buffer: the mixer begins what is queued with a new buffer."""

    def __init__(self, channel: int = 0) -> None:
        self._index = channel
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def open(cls) -> None:
        """Open pygame's mixer as this sink needs it; instead of `pygame.mixer.init`, or after `pygame.init`."""
        import pygame

        pygame.mixer.quit()  # pygame.init has opened it otherwise
        try:
            pygame.mixer.init(RATE, -16, CHANNELS, cls.BUFFER_FRAMES, allowedchanges=0)
        except pygame.error as error:
            raise NoSound(f"pygame's mixer cannot be opened ({error}); try SDL_AUDIODRIVER=dummy") from error

    def start(self, read: Read) -> None:
        import pygame

        if pygame.mixer.get_init() != (RATE, -16, CHANNELS):
            raise NoSound(f"pygame's mixer is {pygame.mixer.get_init()}; call PygameMixer.open() after pygame.init()")
        pygame.mixer.set_reserved(self._index + 1)
        channel = pygame.mixer.Channel(self._index)
        self._thread = threading.Thread(target=self._run, args=(read, channel), name="undersong-mixer", daemon=True)
        self._thread.start()

    def _run(self, read: Read, channel: pygame.mixer.Channel) -> None:
        """Keep one block sounding and one queued."""
        import pygame

        block_s = self.BLOCK_FRAMES / RATE
        while not self._is_over.wait(block_s / 8):
            while channel.get_queue() is None and not self._is_over.is_set():
                # There is room when the block before it has just begun; without one it begins with the next buffer.
                is_queued = channel.get_busy()
                ahead_s = block_s if is_queued else self.BUFFER_FRAMES / RATE
                sound = pygame.mixer.Sound(buffer=_s16le(read(self.BLOCK_FRAMES, time.monotonic() + ahead_s)).tobytes())
                if is_queued:
                    channel.queue(sound)
                else:
                    channel.play(sound)

    def close(self) -> None:
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()


def _s16le(pcm: Samples) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.rint(np.clip(pcm, -1, 1) * 32_767).astype("<i2")
