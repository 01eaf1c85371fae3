"""A socket of the Lyria protocol has a station of its own: what is played, held, begun anew, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket as sockets
import threading
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from engine.audio import BLOCK_FRAMES, SAMPLE_RATE
from moods.prompt import Prompt, resolve_prompt
from streaming.encoders.pcm import to_s16le
from streaming.lyria import deck, session
from tests.streaming.conftest import Running, dial
from tests.streaming.lyria.client import PATH, Client, playing
from tests.streaming.sines import Sines
from tests.streaming.test_engines import wait_until


def stations(server: Running) -> list[dict[str, object]]:
    return server.http.get("/v1/stations").json()["stations"]


@pytest.fixture(autouse=True)
def none_is_left(server: Running) -> Iterator[None]:
    """A client that goes takes its station with it."""
    yield
    wait_until(lambda: not stations(server))


def assert_is_the_take(server: Running, client: Client) -> None:
    """All that was received is what the station's take makes, from its first sample on."""
    (station,) = stations(server)
    num_blocks = len(client.samples) // BLOCK_FRAMES
    wanted = np.frombuffer(to_s16le(server.performed(station, Sines(1), num_blocks)), "<i2").reshape(-1, 2)
    assert len(client.samples) == num_blocks * BLOCK_FRAMES
    np.testing.assert_array_equal(client.samples, wanted)


def close_of(client: Client) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            client.socket.recv(20)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_play_opens_a_station_of_its_own_and_its_sound_comes_whole_and_in_order(server: Running) -> None:
    with playing(server) as client:
        client.prompts(Piano=2.0)
        assert not client.silence(0.05) and not stations(server)
        client.do("PLAY")
        first = client.chunk()
        assert first["mimeType"] == "audio/l16;rate=48000;channels=2"
        assert len(client.samples) == BLOCK_FRAMES, "the first is as short as can be"
        (station,) = stations(server)
        assert station["kind"] == "lyria" and station["state"] == "playing"
        client.hear(SAMPLE_RATE // 3)
        assert_is_the_take(server, client)
        sent = [chunk["undersong"]["sent"] for chunk in client.chunks]
        assert sent == [chunk["undersong"]["frame"] for chunk in client.chunks]
        assert [chunk["undersong"]["bar"] for chunk in client.chunks] == [1] * len(client.chunks)


def test_what_was_asked_is_told_with_the_music_that_is_made_from_it(server: Running) -> None:
    with playing(server) as client:
        client.prompts(Piano=2.0)
        client.config(bpm=90, density=0.5)
        client.do("PLAY")
        source = client.until(lambda chunk: "Piano" in json.dumps(chunk["sourceMetadata"]))["sourceMetadata"]
        assert source["clientContent"]["weightedPrompts"] == [{"text": "Piano", "weight": 2.0}]
        assert source["musicGenerationConfig"] == {"bpm": 90, "density": 0.5}
        assert type(source["musicGenerationConfig"]["bpm"]) is int
        client.hear(SAMPLE_RATE // 4)
        before = len(client.samples)
        client.prompts(epic=1.0)
        chunk = client.until(lambda chunk: "epic" in json.dumps(chunk["sourceMetadata"]))
        at = chunk["undersong"]["frame"]
        assert len(chunk["data"]) * 3 // 4 // 4 == BLOCK_FRAMES, "what changes does not wait for more"
        assert at >= before
        client.hear(SAMPLE_RATE // 4)
        assert_is_the_take(server, client)
        loudness = np.abs(client.samples.astype(float)).max(axis=1)
        assert loudness[:at].max() < loudness[at:].max()


def test_a_pause_holds_the_music_to_the_sample(server: Running) -> None:
    with playing(server) as client:
        client.do("PLAY")
        for _ in range(3):
            client.hear(SAMPLE_RATE // 4)
            client.do("PAUSE")
            wait_until(lambda: stations(server)[0]["state"] == "asleep")
            for message in client.silence(0.05):
                client.take(message)
            assert not client.silence(0.1)
            client.prompts(epic=1.0)
            for control in ("PLAY", "PAUSE", "PLAY"):
                client.do(control)
        client.hear(SAMPLE_RATE // 4)
        assert_is_the_take(server, client)


def test_a_paused_station_sleeps_though_it_is_watched_and_refuses_controls(server: Running) -> None:
    with playing(server) as client:
        client.do("PLAY")
        client.hear(SAMPLE_RATE // 4)
        (station,) = stations(server)
        client.do("PAUSE")
        with dial(server.ws(station["links"]["live"])):
            wait_until(lambda: stations(server)[0]["state"] == "asleep")
            refusal = server.http.post(station["links"]["controls"], json={"type": "panic"})
            assert refusal.status_code == 503 and "has paused it" in refusal.json()["detail"]
        client.do("PAUSE")
        client.do("PLAY")
        client.hear(SAMPLE_RATE // 3)
        wait_until(lambda: stations(server)[0]["state"] == "playing")


def test_tempo_and_scale_are_heard_from_a_new_context_on(server: Running) -> None:
    with playing(server) as client:
        client.config(bpm=90, scale="D_MAJOR_B_MINOR")
        client.do("PLAY")
        client.chunk()
        (first,) = stations(server)
        assert (first["mood"]["bpm"], first["mood"]["key"]) == (90, "D major")
        client.config(bpm=120, scale="E_FLAT_MAJOR_C_MINOR", brightness=0.9)
        client.until(lambda chunk: chunk["sourceMetadata"]["musicGenerationConfig"].get("bpm") == 120)
        (same,) = stations(server)
        assert same["id"] == first["id"]
        assert (same["heading"]["bpm"], same["heading"]["key"]) == (90, "D major")
        client.do("RESET_CONTEXT")
        chunk = client.until(lambda chunk: chunk["undersong"]["station"] != first["id"])
        assert chunk["undersong"]["sent"] == len(client.samples) - BLOCK_FRAMES
        (second,) = stations(server)
        assert (second["mood"]["bpm"], second["mood"]["key"]) == (120, "Eb major")
        client.config()
        client.do("STOP")
        wait_until(lambda: not stations(server))
        client.do("PLAY")
        client.until(lambda chunk: chunk["undersong"]["station"] != second["id"])
        (third,) = stations(server)
        assert third["mood"]["bpm"] != 120


def test_a_new_context_joins_the_old_without_a_gap(server: Running) -> None:
    """Of sines that are as loud as each other nothing is louder at the seam than both are, and nothing falls silent."""
    with playing(server) as client:
        client.config(seed=1)
        client.do("PLAY")
        client.hear(SAMPLE_RATE // 4)
        client.config(seed=2)
        client.do("RESET_CONTEXT")
        chunk = client.until(lambda chunk: chunk["undersong"]["frame"] == 0 and chunk["undersong"]["sent"])
        client.hear(SAMPLE_RATE // 4)
        seam = chunk["undersong"]["sent"]
    peaks = [np.abs(client.samples[at : at + BLOCK_FRAMES]).max() for at in range(0, seam + 9600, BLOCK_FRAMES)]
    assert min(peaks) > 0.6 * max(peaks[:3]) and max(peaks) < 1.5 * max(peaks[:3])
    steps = np.abs(np.diff(client.samples[:, 0].astype(int)))
    assert steps[seam - 5 : seam + BLOCK_FRAMES + 5].max() < 2 * steps[: seam - BLOCK_FRAMES].max()


def test_stop_ends_softly_and_play_begins_again(server: Running) -> None:
    with playing(server) as client:
        client.do("PLAY")
        client.hear(SAMPLE_RATE // 4)
        client.do("STOP")
        for message in client.silence(0.2):
            client.take(message)
        assert np.abs(client.samples[-8:]).max() < 600
        assert not stations(server)
        for control in ("STOP", "PAUSE", "RESET_CONTEXT", "PLAYBACK_CONTROL_UNSPECIFIED"):
            client.do(control)
        before = len(client.samples)
        client.do("PLAY")
        client.do("PLAY")
        place = client.chunk()["undersong"]
        assert [place[name] for name in ("frame", "bar", "beat", "sent")] == [0, 1, 1, before]


def test_the_run_ahead_is_what_was_asked_for_and_no_more(server: Running) -> None:
    buffer_s = 2.0
    with playing(server, f"?buffer_s={buffer_s}") as client:
        client.do("PLAY")
        began_s = time.monotonic()
        client.hear(round((buffer_s + 0.6) * SAMPLE_RATE))
        assert time.monotonic() - began_s > 0.4, "it is sent no faster than it plays, once it is ahead"
        (station,) = stations(server)
        assert station["position"]["seconds"] <= time.monotonic() - began_s + buffer_s + 0.1


def test_who_reads_too_slowly_loses_nothing_and_has_the_music_wait(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deck, "MAX_UNREAD_BLOCKS", 10)
    port = int(server.address.rpartition(":")[2])
    with sockets.socket() as raw:
        raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        raw.connect(("127.0.0.1", port))
        with dial(server.ws(PATH), sock=raw, max_queue=1) as socket:
            client = Client(socket)
            client.send(setup={"model": "models/lyria-realtime-exp"})
            client.do("PLAY")
            client.socket.recv(20)
            client.chunk()
            wait_until(lambda: stations(server)[0]["state"] == "asleep")
            position = stations(server)[0]["position"]["frame"]
            time.sleep(0.3)
            assert stations(server)[0]["position"]["frame"] == position
            client.hear(position + SAMPLE_RATE // 4)
            assert_is_the_take(server, client)


def test_an_engine_that_dies_leaves_no_silence(server: Running) -> None:
    with playing(server) as client:
        client.do("PLAY")
        client.hear(SAMPLE_RATE // 3)
        server.engine._kill()
        wait_until(lambda: not server.engine.is_ready)
        client.hear(SAMPLE_RATE // 4)
        wait_until(lambda: server.engine.is_ready)
        client.hear(SAMPLE_RATE // 3)
        places = [chunk["undersong"] for chunk in client.chunks]
        assert [place["frame"] for place in places] == [place["sent"] for place in places]
        num_blocks = len(client.samples) // BLOCK_FRAMES
        peaks = np.abs(client.samples[: num_blocks * BLOCK_FRAMES]).reshape(num_blocks, -1).max(axis=1)
        assert peaks.min() > 0.5 * np.median(peaks)


def test_events_come_only_to_who_asks_for_them(server: Running) -> None:
    with playing(server, "?events=1") as client:
        client.config(bpm=200)
        client.do("PLAY")
        client.prompts(epic=1.0)
        kinds = set()
        until_s = time.monotonic() + 20
        while not {"beat", "ack", "status"} <= kinds and time.monotonic() < until_s:
            message = json.loads(client.socket.recv(20))
            kinds.add(message.get("undersong", {}).get("type"))
        assert {"beat", "ack", "status"} <= kinds


@pytest.mark.parametrize("path", ["/", "/lyria/", "//lyria//"])
@pytest.mark.parametrize("version", ["v1", "v1alpha", "v1beta"])
def test_any_prefix_and_version_is_the_endpoint(server: Running, path: str, version: str) -> None:
    with dial(server.ws(path) + PATH.replace("v1alpha", version)) as socket:
        socket.send('{"setup":{}}')
        assert json.loads(socket.recv(20)) == {"setupComplete": {}}
        assert socket.response.headers.get("Sec-WebSocket-Extensions") is None


def test_other_addresses_and_plain_requests_are_not(server: Running) -> None:
    for path in ("/other" + PATH[1:], PATH.replace("BidiGenerateMusic", "BidiGenerateContent")):
        with pytest.raises(InvalidStatus), dial(server.ws(path)):
            pass
    assert server.http.get(PATH).status_code == 426
    with pytest.raises(InvalidStatus) as refused, dial(server.ws(PATH) + "?buffer_s=3"):
        pass
    assert refused.value.response.status_code == 422


def test_music_does_not_wait_for_a_prompt_that_takes_long_to_read(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_read = threading.Event()

    def slowly(text: str) -> Prompt:
        may_read.wait(20)
        return resolve_prompt(text)

    monkeypatch.setattr(session, "resolve_prompt", slowly)
    with playing(server) as client:
        client.prompts(epic=1.0)
        client.do("PLAY")
        assert client.chunk()["sourceMetadata"]["clientContent"]["weightedPrompts"] == []
        may_read.set()
        client.until(lambda chunk: "epic" in json.dumps(chunk["sourceMetadata"]))
        (station,) = stations(server)
        assert station["heading"]["energy"] == pytest.approx(resolve_prompt("epic").point.energy, abs=0.01)


def test_of_many_new_prompts_few_are_read_and_the_last_is(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    may_read, texts = threading.Event(), list[str]()

    def slowly(text: str) -> Prompt:
        texts.append(text)
        may_read.wait(20)
        return resolve_prompt(text)

    monkeypatch.setattr(session, "resolve_prompt", slowly)
    monkeypatch.setattr(session, "_READING_S", 0.02)
    with playing(server) as client:
        client.do("PLAY")
        client.chunk()
        for name in "abcdef":
            client.send(clientContent={"weightedPrompts": [{"text": f"epic {name}"}]})
            client.do("RESET_CONTEXT")
            client.hear(SAMPLE_RATE // 10)
        may_read.set()
        client.until(lambda chunk: "epic f" in json.dumps(chunk["sourceMetadata"]))
        assert len(texts) <= 4


async def test_what_forgets_that_it_was_cancelled_is_cancelled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `asyncio.wait_for` does in Python 3.11 where an answer comes at that moment."""
    monkeypatch.setattr(session, "_AGAIN_S", 0.01)

    async def forgets() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        await asyncio.sleep(3600)

    task = asyncio.create_task(forgets())
    await asyncio.sleep(0)
    await session._end_all([task])
    assert task.cancelled()


def test_whatever_is_asked_at_once_the_last_wish_stands(server: Running) -> None:
    wishes = random.Random(7)
    with playing(server) as client:
        for _ in range(150):
            match wishes.randrange(4):
                case 0:
                    client.prompts(epic=wishes.random() + 0.01, sad=wishes.random() - 0.5)
                case 1:
                    client.config(bpm=wishes.randrange(60, 200), mute_bass=wishes.random() < 0.5)
                case _:
                    client.do(wishes.choice(["PLAY", "PLAY", "PAUSE", "STOP", "RESET_CONTEXT"]))
        client.config(bpm=77)
        client.prompts(Piano=1.0)
        client.do("STOP")
        client.do("PLAY")
        last = client.until(lambda chunk: chunk["sourceMetadata"]["musicGenerationConfig"] == {"bpm": 77})
        client.hear(SAMPLE_RATE // 3)
        sent = [chunk["undersong"]["sent"] for chunk in client.chunks]
        assert sent[-1] + len(client.chunks[-1]["data"]) * 3 // 16 == len(client.samples)
        (station,) = stations(server)
        assert station["mood"]["bpm"] == 77 and last["undersong"]["bpm"] == 77


@pytest.mark.parametrize(
    "text, reason",
    [
        ("{", "what was sent is not JSON"),
        ('{"clientContent":{"weightedPrompts":[{"text":"x","weight":"much"}]}}', "weightedPrompts.0.weight"),
        ('{"musicGenerationConfig":{"bpm":90.5}}', "musicGenerationConfig.bpm is 90.5"),
        ('{"playbackControl":"PLAYY"}', "PLAY"),
        ('{"clientContents":{}}', "clientContent"),
    ],
)
def test_what_cannot_be_read_ends_the_connection_and_says_why(server: Running, text: str, reason: str) -> None:
    with playing(server) as client:
        client.do("PLAY")
        client.socket.send(text)
        code, told = close_of(client)
        assert code == 1007 and reason in told


def test_setup_comes_first(server: Running) -> None:
    with dial(server.ws(PATH)) as socket:
        client = Client(socket)
        client.do("PLAY")
        code, reason = close_of(client)
        assert code == 1007 and "setup" in reason


def test_whatever_ends_the_station_is_told(server: Running) -> None:
    with playing(server) as client:
        client.do("PLAY")
        client.chunk()
        server.http.delete(stations(server)[0]["links"]["self"])
        assert close_of(client) == (1001, "the station was deleted")


def test_messages_are_as_short_as_every_client_takes(server: Running) -> None:
    """A client of the Python SDK takes no message above 1 MiB, whatever was asked is told in it."""
    with playing(server) as client:
        client.send(clientContent={"weightedPrompts": [{"text": "lofi " * 198, "weight": 1.5}] * 60})
        client.do("PLAY")
        for _ in range(6):
            chunk = client.chunk()
            assert len(json.dumps(chunk)) < 2**20
        assert session.CHUNK_BYTES * 4 / 3 + 64 * 1024 < 2**20
        assert httpx.get(server.address + "/healthz").status_code == 200
