"""WebSockets: the live channel and raw audio."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import av
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

from engine.audio import BLOCK_FRAMES
from engine.generator import Generator
from streaming.session import DELETED, IDLE, SHUT_DOWN, Ending, Mailbox
from tests.streaming.conftest import Running, dial


def next_event(socket: ClientConnection, kind: str) -> dict[str, object]:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        event = json.loads(socket.recv(10))
        if event["type"] == kind:
            return event
    raise AssertionError(f"no {kind} event")


def read_pcm(socket: ClientConnection, num_blocks: int) -> tuple[list[int], np.ndarray]:
    """Frames and float32 samples [T, 2] of messages in pcm_f32le."""
    frames, blocks = [], []
    while len(blocks) < num_blocks:
        message = socket.recv(10)
        if isinstance(message, str):  # a gap is told
            continue
        frames.append(struct.unpack_from("<Q", message)[0])
        blocks.append(np.frombuffer(message, "<f4", offset=8).reshape(-1, 2))
    return frames, np.concatenate(blocks)


def read_until_same(
    server: Running,
    station: dict[str, Any],
    generator: Generator,
    audio: ClientConnection,
    num_same: int,
    at_once: int = 25,
) -> tuple[list[int], np.ndarray]:
    """Read, as `read_pcm`, until so many blocks in a row are those of the station's take performed again.

    A busy machine may miss blocks, and an engine needs its time to come back: that is no fault, and is read over.
    """
    frames: list[int] = []
    pieces: list[np.ndarray] = []
    in_a_row = 0
    while in_a_row < num_same:
        assert len(frames) < 3000, "the music has not come back"
        more_frames, pcm = read_pcm(audio, at_once)
        wanted = server.performed(station, generator, more_frames[-1] // BLOCK_FRAMES + 1)
        for frame, block in zip(more_frames, pcm.reshape(-1, BLOCK_FRAMES, 2), strict=True):
            in_a_row = in_a_row + 1 if (block == wanted[frame : frame + BLOCK_FRAMES]).all() else 0
        frames, pieces = frames + more_frames, [*pieces, pcm]
    return frames, np.concatenate(pieces)


def test_controls_are_acknowledged_and_status_follows(server: Running) -> None:
    station = server.open()
    with dial(server.ws(station["links"]["live"])) as socket:
        status = next_event(socket, "status")
        assert status["id"] == station["id"]
        socket.send(json.dumps({"type": "steer", "set": {"energy": 0.1}, "id": "x", "at": "now"}))
        ack = next_event(socket, "ack")
        assert ack["id"] == "x"
        assert 0 < ack["latency_ms"] < 1000
        while status["mood"].get("energy") != 0.1:
            status = next_event(socket, "status")
        assert {"frame", "seconds", "bar", "beat", "bpm"} == set(status["position"])
        assert -18.5 - 5 <= status["target_lufs"] <= -18.5 + 3


def test_beats_come_ahead_of_their_sound_and_in_order(server: Running) -> None:
    station = server.open(bpm=180)
    with dial(server.ws(station["links"]["live"])) as socket:
        beats = []
        for _ in range(6):
            beat = next_event(socket, "beat")
            assert beat["frame"] >= server.conductor.stations[station["id"]].frame
            beats.append(beat)
    assert all(later["frame"] - earlier["frame"] == 16_000 for earlier, later in zip(beats, beats[1:], strict=False))
    numbers = [4 * (beat["bar"] - 1) + beat["beat"] for beat in beats]
    assert numbers == list(range(numbers[0], numbers[0] + 6))


def test_malformed_json_is_an_error_event_and_the_connection_goes_on(server: Running) -> None:
    station = server.open()
    with dial(server.ws(station["links"]["live"])) as socket:
        for text, code in [
            ("{nope", "bad_json"),
            ("[1]", "bad_control"),
            ('{"type":"steer"}', "bad_control"),
            (r'{"type":"steer","set":{"style":{"\ud800":1}}}', "bad_text"),
            (r'{"type":"duck","gain_db":-9,"id":"\ud800"}', "bad_text"),
            (r'{"type":"\udc00"}', "bad_text"),
            ("[" * 60_000, "bad_json"),
            (" " * 65_537, "too_large"),
            ("音" * 30_000, "too_large"),
        ]:
            socket.send(text)
            assert next_event(socket, "error")["code"] == code
        socket.send(json.dumps({"type": "steer", "set": {"mood": "epik"}, "id": "m"}))
        error = next_event(socket, "error")
        assert (error["id"], error["code"]) == ("m", "unknown_mood")
        socket.send(json.dumps({"type": "duck", "gain_db": -9, "id": "d"}))
        assert next_event(socket, "ack")["id"] == "d"


def test_session_learns_where_its_audio_began(server: Running) -> None:
    station = server.open()
    with (
        dial(server.ws(station["links"]["live"])) as live,
        dial(server.ws(station["links"]["audio"]) + "?format=opus") as audio,
    ):
        header = json.loads(audio.recv(10))
        began = next_event(live, "session")
        assert began["began_frame"] == header["first_frame"]
        with dial(server.ws(station["links"]["live"]) + f"?session={began['session']}") as own:
            assert next_event(own, "status")["session_began_frame"] == header["first_frame"]


def test_pcm_audio_is_seamless(server: Running) -> None:
    station = server.open()
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as socket:
        header = json.loads(socket.recv(10))
        frames, pcm = read_pcm(socket, 50)
    assert (header["format"], header["rate"], header["channels"]) == ("pcm_f32le", 48_000, 2)
    assert frames == list(range(header["first_frame"], header["first_frame"] + 50 * 960, 960))
    assert np.abs(np.diff(pcm, axis=0)).max() < 0.05


def test_opus_audio_decodes_to_the_pcm(server: Running) -> None:
    station = server.open()
    base = server.ws(station["links"]["audio"])
    with dial(base + "?format=opus") as opus, dial(base + "?format=pcm_f32le") as plain:
        opus.recv(10), plain.recv(10)
        packets = {}
        for _ in range(40):
            message = opus.recv(10)
            packets[struct.unpack_from("<Q", message)[0]] = message[8:]
        frames, pcm = read_pcm(plain, 40)
    codec = av.CodecContext.create("libopus", "r")
    codec.sample_rate, codec.layout = 48_000, "stereo"
    decoded = {
        frame: np.concatenate([out.to_ndarray().reshape(-1, 2) for out in codec.decode(av.Packet(packet))])
        for frame, packet in packets.items()
    }
    common = [frame for frame in frames if frame in decoded][5:]
    sound = np.concatenate([decoded[frame] for frame in common])
    wanted = np.concatenate([pcm[frame - frames[0] :][:960] for frame in common])
    sound = sound / 32_768 if sound.dtype == np.int16 else sound
    delay = 312  # libopus' look-ahead, 6.5 ms
    error = sound[delay:] - wanted[:-delay]
    assert np.sqrt(np.mean(error**2)) < 0.05 * np.sqrt(np.mean(wanted**2))


def narrow(server: Running) -> socket.socket:
    """A connection for which the system does not keep seconds of sound."""
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    opened.connect((server.http.base_url.host, server.http.base_url.port))
    return opened


def test_a_reader_that_stalls_loses_its_own_oldest_and_harms_nobody(server: Running) -> None:
    station = server.open()
    path = server.ws(station["links"]["audio"]) + "?format=pcm_f32le"
    with dial(path, max_queue=1, sock=narrow(server)) as stalled, dial(path) as lively:
        stalled.recv(10)
        lively.recv(10)
        frames, pcm = read_pcm(lively, 150)
        late_frames, _ = read_pcm(stalled, 200)
    assert frames == list(range(frames[0], frames[0] + 150 * 960, 960))
    assert np.abs(np.diff(pcm, axis=0)).max() < 0.05
    lost = np.diff(late_frames) - 960
    assert lost.max() >= 50 * 960 and 2 * lost.max() > lost.sum()  # one long gap, not many short ones
    assert late_frames[-1] >= frames[-1] - 50 * 960  # and then what is new


@pytest.mark.parametrize("path", ["/v1/stations/none/live", "/v1/stations/none/audio"])
def test_socket_of_an_unknown_station_is_refused(
    server: Running, complaints: pytest.LogCaptureFixture, path: str
) -> None:
    with pytest.raises(InvalidStatus) as refusal:
        dial(server.ws(path))
    assert refusal.value.response.status_code == 404
    assert json.loads(refusal.value.response.body)["code"] == "unknown_station"
    assert server.http.get("/healthz").is_success  # by now the server has come to the end of the refusal
    assert not complaints.records


def test_a_huge_message_closes_the_socket_alone(server: Running) -> None:
    station = server.open()
    with dial(server.ws(station["links"]["live"])) as socket, pytest.raises(ConnectionClosed) as closed:
        socket.send(" " * 2_000_000)
        for _ in range(20):
            socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_socket_with_an_unknown_format_is_refused(server: Running, complaints: pytest.LogCaptureFixture) -> None:
    station = server.open()
    with pytest.raises(InvalidStatus) as refusal:
        dial(server.ws(station["links"]["audio"]) + "?format=flac")
    assert refusal.value.response.status_code == 422
    assert server.http.get("/healthz").is_success  # by now the server has come to the end of the refusal
    assert not complaints.records


def test_pause_moves_the_frames_of_what_follows(server: Running) -> None:
    station = server.open(bpm=240)
    controls = station["links"]["controls"]
    with (
        dial(server.ws(station["links"]["live"])) as live,
        dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio,
    ):
        audio.recv(10)
        beats = [next_event(live, "beat") for _ in range(3)]  # by now the first of them sounds
        paused = server.http.post(controls, json={"type": "transport", "do": "pause"}).json()["effective_at"]["frame"]
        frames, pcm = read_pcm(audio, 60)
        silent = pcm.reshape(-1, 960, 2)[np.array(frames) > paused]
        assert len(silent) > 1
        assert not silent.any()
        assert np.abs(np.diff(pcm, axis=0)).max() < 0.05
        played = server.http.post(controls, json={"type": "transport", "do": "play"}).json()["effective_at"]["frame"]
        beats += [next_event(live, "beat") for _ in range(12)]
    known = {(beat["bar"], beat["beat"]): beat["frame"] for beat in beats}  # the last word counts
    places = sorted(known.items())
    steps = {later[1] - earlier[1] for earlier, later in zip(places, places[1:], strict=False)}
    shift = played - paused - 960
    assert steps <= {12_000, 12_000 + shift}
    assert 12_000 + shift in steps


def test_panic_is_silent_at_once_and_without_a_click(server: Running) -> None:
    station = server.open()
    with dial(server.ws(station["links"]["audio"]) + "?format=pcm_f32le") as audio:
        audio.recv(10)
        ack = server.http.post(station["links"]["controls"], json={"type": "panic"}).json()
        frames, pcm = read_pcm(audio, 20)
    at = ack["effective_at"]["frame"] - frames[0]
    assert pcm[:at].any()
    assert not pcm[at + 480 :].any()
    assert np.abs(np.diff(pcm, axis=0)).max() < 0.05


def test_restart_plays_the_same_music_again(server: Running) -> None:
    station = server.open()
    path = server.ws(station["links"]["audio"]) + "?format=pcm_f32le"
    with dial(path) as audio:
        audio.recv(10)
        ack = server.http.post(station["links"]["controls"], json={"type": "transport", "do": "restart"}).json()
        frames, pcm = read_pcm(audio, 40)
    begin = ack["effective_at"]["frame"] + 960 - frames[0]
    times = np.arange(960, 4800) / 48_000
    wanted = np.sin(2 * np.pi * 250 * times)
    heard = pcm[begin + 960 : begin + 4800, 0]
    assert np.corrcoef(wanted, heard)[0, 1] > 0.999


def test_a_prompt_is_answered_with_how_it_was_understood(server: Running) -> None:
    opened = server.http.post("/v1/stations", json={"prompt": "rainy flurbly night"}).json()
    assert opened["understood"]["unknown"] == ["flurbly"]
    steer = {"type": "steer", "set": {"prompt": "热血 grommet"}, "id": "p"}
    (ack,) = server.http.post(opened["links"]["controls"], json=[steer]).json()
    assert ack["understood"]["unknown"] == ["grommet"]
    assert ack["understood"]["understood"] and "epic" in ack["understood"]["mood"]
    (ack,) = server.http.post(opened["links"]["controls"], json=[{**steer, "set": {"prompt": "grommet"}}]).json()
    assert not ack["understood"]["understood"] and not ack["fields"]


def closed_by(socket: ClientConnection) -> tuple[int, str]:
    """Code and reason with which the server ends the connection."""
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            socket.recv(10)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.mark.parametrize(
    ("ending", "reason"), [(DELETED, "the station was deleted"), (IDLE, "nobody listened"), (SHUT_DOWN, "shut down")]
)
def test_every_end_of_a_station_is_told_to_its_sockets(server: Running, ending: Ending, reason: str) -> None:
    station = server.open()
    live, audio = server.ws(station["links"]["live"]), server.ws(station["links"]["audio"])
    with dial(live) as events, dial(f"{audio}?format=pcm_s16le") as pcm, dial(f"{audio}?format=opus") as opus:
        pcm.recv(10), opus.recv(10)
        server.call(close_station(server, station["id"], ending))
        status = next_event(events, "status")
        while status["state"] != "closed":
            status = next_event(events, "status")
        assert status["reason"] == ending.reason
        for socket in (events, pcm, opus):
            code, words = closed_by(socket)
            assert code == 1001
            assert reason in words


async def close_station(server: Running, station_id: str, ending: Ending) -> None:
    server.conductor.close_station(server.conductor.stations[station_id], ending)


def test_a_full_mailbox_of_sound_begins_again_with_what_is_new() -> None:
    events, sound = Mailbox(3), Mailbox(3, jumps=True)
    for number in range(4):
        events.put(number)
        sound.put(number)
    events.close(), sound.close()

    async def read(mailbox: Mailbox[int]) -> list[int]:
        return [item async for item in items(mailbox)]

    async def items(mailbox: Mailbox[int]) -> AsyncIterator[int]:
        while (item := await mailbox.get()) is not None:
            yield item

    assert (asyncio.run(read(events)), events.num_dropped) == ([1, 2, 3], 1)
    assert (asyncio.run(read(sound)), sound.num_dropped) == ([3], 3)
