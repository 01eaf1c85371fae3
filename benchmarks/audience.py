"""Listens to many stations from one process of its own, cheaply: it shares the machine with the server it listens to.

In: stations of a running server; out: for each the frame, a digest of the samples, how loud it was and the moment
of every block that came. `Audience` is the handle in the benchmark's process.
"""

from __future__ import annotations

import base64
import hashlib
import multiprocessing
import os
import re
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

import numpy as np

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from streaming.pacing import prefer_to_others

_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10
_JOIN_S = 20.0
_PARTS = 4
"""Of a block, each told by its peak."""
_SILENT = 1e-4


def digest_of(samples: bytes) -> bytes:
    """Eight bytes that stand for one block of interleaved samples."""
    return hashlib.blake2b(samples, digest_size=8).digest()


@dataclass
class Heard:
    """What one listener received, block by block."""

    frames: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    arrivals_s: list[float] = field(default_factory=list)
    """Monotonic."""
    peaks: list[float] = field(default_factory=list)
    """Of every 5 ms; only where samples are asked for as float32."""
    ended: str | None = None
    """How the server ended it, if it did."""

    @property
    def breaks(self) -> int:
        """How often a block did not begin where the last one ended."""
        return sum(b - a != BLOCK_FRAMES for a, b in zip(self.frames, self.frames[1:], strict=False))

    def longest_silence_ms(self, since_s: float) -> float:
        """Of what came after a moment, below −80 dBFS."""
        begin = _PARTS * sum(at_s < since_s for at_s in self.arrivals_s)
        longest = run = 0
        for peak in self.peaks[begin:]:
            run = run + 1 if peak < _SILENT else 0
            longest = max(longest, run)
        return longest * 1000 * BLOCK_FRAMES / _PARTS / SAMPLE_RATE

    def longest_wait_ms(self, since_s: float) -> float:
        """For a block, after a moment."""
        arrivals_s = [at_s for at_s in self.arrivals_s if at_s >= since_s]
        return 1000 * max(b - a for a, b in zip(arrivals_s, arrivals_s[1:], strict=False))


class _Socket:
    """A WebSocket that is only read: RFC 6455 without extensions, as far as our own server speaks it."""

    def __init__(self, url: str, station: str, audio_format: str) -> None:
        address = urlsplit(url)
        assert address.hostname and address.port, url
        self._socket = socket.create_connection((address.hostname, address.port), _JOIN_S)
        key = base64.b64encode(os.urandom(16)).decode()
        path = f"/v1/stations/{station}/audio?format={audio_format}"
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        received = b""
        while b"\r\n\r\n" not in received:
            piece = self._socket.recv(4096)
            assert piece, f"the server hung up on {path}"
            received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        assert re.match(rb"HTTP/1\.1 101 ", head), head
        self._buffer, self._has_samples = bytearray(rest), audio_format == "pcm_f32le"
        self._socket.setblocking(False)
        self.heard = Heard()

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> None:
        """Take in what has come."""
        try:
            piece = self._socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self.heard.ended = str(error)
            return
        if not piece:
            self.heard.ended = self.heard.ended or "closed"
            return
        self._buffer += piece
        self.parse()

    def parse(self) -> None:
        buffer, at, now_s = self._buffer, 0, time.monotonic()
        while len(buffer) - at >= 2:
            opcode, length, body = buffer[at] & 0x0F, buffer[at + 1], at + 2
            if length == 126:
                body += 2
                length = int.from_bytes(buffer[at + 2 : body]) if len(buffer) >= body else 1 << 16
            assert length < 127 or body > at + 2, "a message of 64 KiB or more"
            if len(buffer) < body + length:
                break
            if opcode == _BINARY:
                (frame,) = struct.unpack_from("<Q", buffer, body)
                self.heard.frames.append(frame)
                samples = bytes(buffer[body + 8 : body + length])
                self.heard.digests.append(digest_of(samples))
                if self._has_samples:
                    self.heard.peaks += np.abs(np.frombuffer(samples, "<f4").reshape(_PARTS, -1)).max(axis=1).tolist()
                self.heard.arrivals_s.append(now_s)
            elif opcode == _PING:
                self._answer(_PONG, bytes(buffer[body : body + length]))
            elif opcode == _CLOSE:
                self.heard.ended = bytes(buffer[body + 2 : body + length]).decode(errors="replace") or "closed"
            at = body + length
        del buffer[:at]

    def _answer(self, opcode: int, payload: bytes) -> None:
        self._socket.send(bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload)  # masked with zeros

    def close(self) -> None:
        self._socket.close()


def _listen(pipe: Connection, url: str, audio_format: str) -> None:
    """The process: a station to join comes as its id and the listener's name, None asks for what was heard.

    Listeners elsewhere would not wait for this machine's time, so it is not kept waiting either.
    """
    prefer_to_others()
    sockets: dict[int, tuple[str, _Socket]] = {}
    poll = select.poll()
    poll.register(pipe.fileno(), select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor != pipe.fileno():
                _, reader = sockets[descriptor]
                reader.read()
                if reader.heard.ended is not None:
                    poll.unregister(descriptor)
                continue
            joined = pipe.recv()
            if joined is None:
                pipe.send({name: reader.heard for name, reader in sockets.values()})
                for _, reader in sockets.values():
                    reader.close()
                return
            station, name = joined
            reader = _Socket(url, station, audio_format)
            reader.parse()
            sockets[reader.fileno()] = (name, reader)
            poll.register(reader.fileno(), select.POLLIN)
            pipe.send(None)


class Audience:
    """Listeners, each to a station that is joined."""

    def __init__(self, url: str, audio_format: str = "pcm_f32le") -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_listen, args=(theirs, url, audio_format), daemon=True)
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def join(self, station: str, name: str | None = None) -> None:
        """Listen to `station` from now on, as the station's only listener or under a name."""
        self._pipe.send((station, name or station))
        self._pipe.recv()

    def leave(self) -> dict[str, Heard]:
        """Stop listening; what was heard, by station or by name."""
        self._pipe.send(None)
        heard = self._pipe.recv()
        self._process.join()
        return heard
