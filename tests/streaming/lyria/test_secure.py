"""A server with TLS, keys and room for one station: all is behind TLS, and the SDKs of others play unmodified."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from google import genai
from google.genai import types
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.streaming.certificates import make_certificate
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.lyria.client import PATH, Client
from tests.streaming.test_engines import wait_until

KEY = "a-key-of-ours"
CHUNK_FRAMES = 4800


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(make_server: Callable[..., Running], certificate: tuple[Path, Path]) -> Running:
    cert, key = map(str, certificate)
    settings = {"tls_cert": cert, "tls_key": key, "lyria_keys": ("another", KEY), "max_stations": 1}
    return make_server(SINES.model_copy(update=settings))


@pytest.fixture(scope="module")
def trust(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])


def test_pages_calls_and_sockets_are_reached_by_https_and_wss_alone(server: Running, trust: ssl.SSLContext) -> None:
    assert server.http.get("/").status_code == 200
    station = server.open()
    with dial(server.ws(station["links"]["live"]), ssl=trust) as live:
        assert json.loads(live.recv(10))["type"] == "status"
    with dial(server.ws(station["links"]["audio"]), ssl=trust) as audio:
        assert json.loads(audio.recv(10))["format"] == "pcm_s16le"
        assert len(audio.recv(10)) == 8 + 960 * 4
    answer = server.http.post(station["links"]["whep"], content="v=0", headers={"Content-Type": "application/sdp"})
    assert answer.json()["code"] == "bad_offer"
    with pytest.raises(httpx.TransportError):
        httpx.get(server.address.replace("https", "http") + "/healthz", timeout=60)


def test_keys_are_taken_in_every_way_and_never_logged(
    server: Running, trust: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    logging.getLogger("websockets.client").setLevel(logging.INFO)
    caplog.set_level(logging.DEBUG)
    for query, headers in [
        (f"?key={KEY}", {}),
        ("", {"x-goog-api-key": "another"}),
        ("", {"Authorization": f"Bearer {KEY}"}),
    ]:
        with dial(server.ws(PATH) + query, ssl=trust, additional_headers=headers) as socket:
            socket.send('{"setup":{}}')
            assert socket.recv(20)
    wrong: list[tuple[str, dict[str, str]]] = [("", {}), ("?key=wrong", {}), ("?key=", {"x-goog-api-key": KEY + "t"})]
    for query, headers in wrong:
        with pytest.raises(InvalidStatus) as refused:
            dial(server.ws(PATH) + query, ssl=trust, additional_headers=headers)
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body)["code"] == "key_refused"
    assert not [text for text in (KEY, "another", "wrong") if text in caplog.text]


def test_a_server_that_is_full_says_try_again_later(server: Running, trust: ssl.SSLContext) -> None:
    server.open()
    with dial(server.ws(PATH) + f"?key={KEY}", ssl=trust) as socket:
        client = Client(socket)
        client.send(setup={})
        client.do("PLAY")
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(20)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1013
    assert "max_stations" in closed.value.rcvd.reason


@pytest.mark.filterwarnings("ignore:Realtime music generation is experimental")
def test_the_python_sdk_plays_steers_pauses_resets_and_stops(
    server: Running, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    asyncio.run(_use_python_sdk(server.address))
    wait_until(lambda: not server.http.get("/v1/stations").json()["stations"])


async def _use_python_sdk(address: str) -> None:
    address = address.replace("127.0.0.1", "localhost")
    client = genai.Client(api_key=KEY, http_options={"base_url": address, "api_version": "v1alpha"})
    async with client.aio.live.music.connect(model="models/lyria-realtime-exp") as session:
        await session.set_weighted_prompts(
            [types.WeightedPrompt(text="minimal techno", weight=1.0), types.WeightedPrompt(text="sad", weight=-0.5)]
        )
        config = types.LiveMusicGenerationConfig(bpm=90, temperature=1.0, scale=types.Scale.C_MAJOR_A_MINOR, seed=-1)
        await session.set_music_generation_config(config)
        await session.play()
        messages = session.receive()

        async def chunks(num_frames: int) -> list[types.AudioChunk]:
            """Chunks of so many frames, as the SDK's own samples read them."""
            found: list[types.AudioChunk] = []
            async for message in messages:
                found.append(message.server_content.audio_chunks[0])
                if sum(len(chunk.data) for chunk in found) >= 4 * num_frames:
                    break
            return found

        heard = await chunks(5 * CHUNK_FRAMES)
        assert heard[0].mime_type == "audio/l16;rate=48000;channels=2"
        while not heard[-1].source_metadata.client_content.weighted_prompts:  # they may still have to be read
            heard += await chunks(1)
        source = heard[-1].source_metadata
        assert source.music_generation_config == config
        assert [prompt.weight for prompt in source.client_content.weighted_prompts] == [1.0, -0.5]
        await session.set_weighted_prompts([types.WeightedPrompt(text="Piano")])
        while heard[-1].source_metadata.client_content.weighted_prompts != [types.WeightedPrompt(text="Piano")]:
            heard += await chunks(1)
        await session.pause()
        await asyncio.sleep(0.3)
        await session.play()
        await chunks(5 * CHUNK_FRAMES)
        config.bpm = 140
        await session.set_music_generation_config(config)
        await session.reset_context()
        while (await chunks(1))[0].source_metadata.music_generation_config.bpm != 140:
            pass
        await session.stop()
        await session.play()
        await chunks(CHUNK_FRAMES)
        await session.close()
        with pytest.raises(genai.errors.APIError) as closed:
            while True:
                await chunks(CHUNK_FRAMES)
        assert closed.value.code == 1000


@pytest.mark.slow
def test_the_javascript_sdk_plays_steers_pauses_resets_and_stops(
    server: Running, certificate: tuple[Path, Path]
) -> None:
    """Where node and @google/genai are: npm install --global @google/genai, or NODE_PATH."""
    node = shutil.which("node")
    script = Path(__file__).with_name("sdk.mjs")
    command = [node or "", str(script), server.address.replace("127.0.0.1", "localhost"), KEY]
    if node is None or subprocess.run([node, str(script), "--find"], capture_output=True).returncode:
        pytest.skip("node or its package @google/genai is not there")
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=_trusting(certificate[0]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["close"] in (1000, 1005), "as the client closes it, without a code"


def _trusting(certificate: Path) -> dict[str, str]:
    return os.environ | {"NODE_EXTRA_CA_CERTS": str(certificate)}
