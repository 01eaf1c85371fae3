"""How soon does a program written for Lyria RealTime hear us, and does it play for as long as it likes?

Google's SDK for Python plays over TLS, under a certificate made by `openssl` as docs/lyria.md says.
`play_ms`: from PLAY on a connection that is set up to the first chunk received.
`control_ms`: two clients play the same seed, and one is given other prompts: from sending them to receiving the first
chunk with a sample that differs. `raw_…` is the same by a client that speaks the protocol by hand, without TLS.
`resume_ms` is from PLAY after a pause to the first chunk.

With MINUTES both SDKs, `NODE_PATH` leads to @google/genai, play for so long while their weights are moved: `drift_s` is
the sound received beyond the time that has passed, `longest_wait_ms` the longest time between chunks, after the first.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import websockets
from google import genai
from google.genai import types

from benchmarks.harness import percentiles, record, running_server, trusting
from benchmarks.lines import ROOT
from engine.audio import SAMPLE_RATE

NUM_TRIALS = 20
PATH = "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateMusic"
FRAME_BYTES = 4
BEFORE, AFTER = {"ambient piano": 1.0}, {"epic orchestral": 1.0}
OPENSSL = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=localhost"
    " -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out cert.pem"
)
SCRIPT = ROOT / "tests" / "streaming" / "lyria" / "sdk.mjs"


class Client(Protocol):
    async def steer(self, weights: dict[str, float], seed: int) -> None: ...
    async def control(self, control: str) -> None: ...
    async def chunk(self) -> bytes: ...


class Sdk:
    """Google's own."""

    def __init__(self, session: Any) -> None:
        self._session = session

    async def steer(self, weights: dict[str, float], seed: int) -> None:
        await self._session.set_music_generation_config(types.LiveMusicGenerationConfig(seed=seed))
        prompts = [types.WeightedPrompt(text=text, weight=weight) for text, weight in weights.items()]
        await self._session.set_weighted_prompts(prompts)

    async def control(self, control: str) -> None:
        await {"PLAY": self._session.play, "PAUSE": self._session.pause, "STOP": self._session.stop}[control]()

    async def chunk(self) -> bytes:
        return (await anext(self._session.receive())).server_content.audio_chunks[0].data


class Raw:
    """The protocol by hand."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket

    async def _send(self, **message: Any) -> None:
        await self._socket.send(json.dumps(message))

    async def steer(self, weights: dict[str, float], seed: int) -> None:
        await self._send(musicGenerationConfig={"seed": seed})
        prompts = [{"text": text, "weight": weight} for text, weight in weights.items()]
        await self._send(clientContent={"weightedPrompts": prompts})

    async def control(self, control: str) -> None:
        await self._send(playbackControl=control)

    async def chunk(self) -> bytes:
        message = json.loads(await self._socket.recv())
        return base64.b64decode(message["serverContent"]["audioChunks"][0]["data"])


@asynccontextmanager
async def sdk(url: str) -> AsyncIterator[Client]:
    options = types.HttpOptions(base_url=url.replace("127.0.0.1", "localhost"), api_version="v1alpha")
    client = genai.Client(api_key="any", http_options=options)
    async with client.aio.live.music.connect(model="models/lyria-realtime-exp") as session:
        yield Sdk(session)


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Client]:
    async with websockets.connect(url.replace("http", "ws", 1) + PATH) as socket:
        await socket.send('{"setup":{"model":"models/lyria-realtime-exp"}}')
        await socket.recv()
        yield Raw(socket)


class Tape:
    """All that a client receives, and when."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.samples = bytearray()
        self.arrivals: list[tuple[int, float]] = []
        """Where a chunk ends, in bytes, and when it came."""

    async def run(self) -> None:
        while True:
            self.samples += await self._client.chunk()
            self.arrivals.append((len(self.samples), time.monotonic()))


async def end(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def timed(client: Client, control: str) -> float:
    """Milliseconds from a control to the next chunk."""
    began_s = time.monotonic()
    await client.control(control)
    await client.chunk()
    return 1000 * (time.monotonic() - began_s)


async def start_trial(connect: Any, url: str, seed: int) -> tuple[float, float]:
    """Milliseconds to the first chunk, and to that after a pause."""
    async with connect(url) as client:
        await client.steer(BEFORE, seed)
        await asyncio.sleep(0.2)
        play_ms = await timed(client, "PLAY")
        tape = Tape(client)
        playing = asyncio.create_task(tape.run())
        await asyncio.sleep(0.5)
        await client.control("PAUSE")
        await asyncio.sleep(0.5)
        await end(playing)
        return play_ms, await timed(client, "PLAY")


async def control_trial(connect: Any, url: str, seed: int) -> float | None:
    """Milliseconds from other prompts to the first chunk that is not the twin's; None where they were no twins before,
    as where a block came too late and was filled in."""
    async with AsyncExitStack() as stack:
        steered, twin = [await stack.enter_async_context(connect(url)) for _ in range(2)]
        tapes = [Tape(steered), Tape(twin)]
        for client in (steered, twin):
            await client.steer(BEFORE, seed)
            await client.control("PLAY")
        running = [asyncio.create_task(tape.run()) for tape in tapes]
        await asyncio.sleep(1.0 + 0.1 * (seed % 7) / 7)  # meet the chunks at any phase
        sent_s, before = time.monotonic(), len(tapes[0].samples)
        await steered.steer(AFTER, seed)
        await asyncio.sleep(1.0)
        await end(*running)
    both = min(len(tape.samples) for tape in tapes)
    mine, its = [np.frombuffer(bytes(tape.samples[:both]), np.uint8) for tape in tapes]
    changed = np.flatnonzero(mine != its)
    if not changed.size or changed[0] < before:
        return None
    return next(1000 * (at_s - sent_s) for end, at_s in tapes[0].arrivals if end > changed[0])


async def measure(connect: Any, url: str, num_trials: int, prefix: str = "") -> dict[str, Any]:
    starts = [await start_trial(connect, url, seed) for seed in range(num_trials)]
    controls_ms: list[float] = []
    thrown_away = 0
    while len(controls_ms) < num_trials:
        if (control_ms := await control_trial(connect, url, len(controls_ms) + thrown_away)) is not None:
            controls_ms.append(control_ms)
        else:
            thrown_away += 1
            assert thrown_away <= 2 * num_trials, "the machine is too busy to measure on"
    return {
        f"{prefix}play_ms": percentiles([play_ms for play_ms, _ in starts]),
        f"{prefix}resume_ms": percentiles([resume_ms for _, resume_ms in starts]),
        f"{prefix}control_ms": percentiles(controls_ms),
        f"{prefix}thrown_away": thrown_away,
    }


async def play_long(url: str, minutes: float) -> dict[str, Any]:
    """Play for so long while the weights are moved, as sliders are."""
    async with sdk(url) as client:
        await client.steer(BEFORE, 1)
        await client.control("PLAY")
        tape = Tape(client)
        await client.chunk()
        began_s = time.monotonic()
        playing = asyncio.create_task(tape.run())
        number = 0
        while time.monotonic() - began_s < 60 * minutes:
            await asyncio.sleep(0.2)
            assert not playing.done(), playing.result()
            number += 1
            wave = np.sin(number / 20)
            await client.steer({"ambient piano": 1.01 + wave, "techno": 1.01 - wave}, 1)
        played_s = time.monotonic() - began_s
        await end(playing)
    times_s = [began_s, *(at_s for _, at_s in tape.arrivals)]
    return {
        "minutes": round(played_s / 60, 2),
        "drift_s": round(len(tape.samples) / FRAME_BYTES / SAMPLE_RATE - played_s, 3),
        "longest_wait_ms": round(1000 * float(np.diff(times_s).max())),
    }


async def play_both_long(url: str, certificate: Path, minutes: float) -> dict[str, Any]:
    command = ["node", str(SCRIPT), url.replace("127.0.0.1", "localhost"), "any", str(round(60 * minutes))]
    environment = os.environ | {"NODE_EXTRA_CA_CERTS": str(certificate)}
    script = await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
    python = await play_long(url, minutes)
    out, _ = await script.communicate()
    return {"python": python, "javascript": {"status": script.returncode, **json.loads(out or b"{}")}}


def main(num_trials: int = NUM_TRIALS, minutes: float = 0.0) -> None:
    warnings.filterwarnings("ignore", "Realtime music generation is experimental")
    figures: dict[str, Any] = {"trials": num_trials}
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(OPENSSL.split(), cwd=folder, check=True, capture_output=True)
        tls = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        os.environ["SSL_CERT_FILE"] = str(tls[0])
        with running_server(tls=tls) as secure:
            secure.wait_for_all_engines(trusting(tls))
            if minutes:
                figures = asyncio.run(play_both_long(secure.url, tls[0], minutes))
            else:
                figures |= asyncio.run(measure(sdk, secure.url, num_trials))
        if not minutes:
            with running_server() as plain:
                plain.wait_for_all_engines()
                figures |= asyncio.run(measure(raw, plain.url, num_trials, "raw_"))
    record("lyria", figures)


if __name__ == "__main__":
    main(*[float(word) if "." in word else int(word) for word in sys.argv[1:]])
