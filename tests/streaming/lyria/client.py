"""A client of the Lyria protocol that speaks it by hand. In: messages; out: chunks, decoded."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection

from tests.streaming.conftest import Running, dial

PATH = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateMusic"
LIMIT_S = 20.0


class Client:
    """One connection that has been set up. `samples` is all that was received: int16 [T, 2]."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.chunks: list[dict[str, Any]] = []
        self._samples: list[bytes] = []

    @property
    def samples(self) -> np.ndarray:
        return np.frombuffer(b"".join(self._samples), "<i2").reshape(-1, 2)

    def send(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def prompts(self, **weights: float) -> None:
        self.send(clientContent={"weightedPrompts": [{"text": text, "weight": w} for text, w in weights.items()]})

    def config(self, **fields: Any) -> None:
        self.send(musicGenerationConfig=fields)

    def do(self, control: str) -> None:
        self.send(playbackControl=control)

    def chunk(self) -> dict[str, Any]:
        """The next chunk."""
        return self.take(json.loads(self.socket.recv(LIMIT_S)))

    def take(self, message: dict[str, Any]) -> dict[str, Any]:
        """Take in a chunk that has come."""
        assert list(message) == ["serverContent"] and len(message["serverContent"]["audioChunks"]) == 1, message
        (chunk,) = message["serverContent"]["audioChunks"]
        self.chunks.append(chunk)
        self._samples.append(base64.b64decode(chunk["data"], validate=True))
        return chunk

    def until(self, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first chunk of which it is so."""
        until_s = time.monotonic() + LIMIT_S
        while time.monotonic() < until_s:
            if is_so(chunk := self.chunk()):
                return chunk
        raise AssertionError("no such chunk")

    def hear(self, num_frames: int) -> np.ndarray:
        """So many frames from the next chunk on, or a little more."""
        before = len(self.samples)
        while len(self.samples) < before + num_frames:
            self.chunk()
        return self.samples[before:]

    def silence(self, seconds: float) -> list[dict[str, Any]]:
        """The chunks that still come within `seconds` after the last."""
        came = []
        try:
            while True:
                came.append(json.loads(self.socket.recv(seconds)))
        except TimeoutError:
            return came


@contextmanager
def playing(server: Running, query: str = "", **headers: str) -> Any:
    with dial(server.ws(PATH) + query, additional_headers=headers) as socket:
        socket.send('{"setup": {"model": "models/lyria-realtime-exp"}}')
        assert json.loads(socket.recv(LIMIT_S)) == {"setupComplete": {}}
        yield Client(socket)
