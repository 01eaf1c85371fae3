"""What a door does with those who are slow, silent or rude: it tells them, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import struct
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus

from engine.audio import BLOCK_FRAMES
from streaming.limits import Limits
from streaming.session import BINARY, TOO_SLOW
from tests.streaming.conftest import Running, dial
from tests.streaming.fuzz import fuzzed
from tests.streaming.test_engines import wait_until
from tests.streaming.test_live import closed_by, narrow, next_event

UPGRADE = "\r\n".join(
    (
        "HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "\r\n",
    )
)


def faults(complaints: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the server was sorry for; a warning may only tell of a busy machine."""
    return [record for record in complaints.records if record.levelno >= logging.ERROR]


def test_what_a_slow_reader_has_lost_is_told_to_it_and_to_its_own_clients(server: Running) -> None:
    station = server.open()
    path, live = server.ws(station["links"]["audio"]), server.ws(station["links"]["live"])
    with dial(f"{path}?format=pcm_f32le&buffer_ms=200", max_queue=1, sock=narrow(server)) as stalled:
        header = json.loads(stalled.recv(10))
        assert header["buffer_ms"] == 200
        with dial(f"{live}?session={header['session']}") as own, dial(live) as other:
            session = server.conductor.stations[station["id"]].sessions[header["session"]]
            wait_until(lambda: session.mailbox.num_dropped > 0)
            frames: list[int] = []
            while not isinstance(message := stalled.recv(10), str):
                frames.append(struct.unpack_from("<Q", message)[0])
            dropped = json.loads(message)
            assert (dropped["type"], dropped["frame"]) == ("dropped", frames[-1] + BLOCK_FRAMES)
            (next_frame,) = struct.unpack_from("<Q", stalled.recv(10))
            assert next_frame == dropped["frame"] + dropped["frames"]
            assert next_event(own, "dropped") == dropped
            status = next_event(own, "status")
            while not status["session"]["dropped_frames"]:
                status = next_event(own, "status")
            assert (status["session"]["id"], status["session"]["buffer_ms"]) == (header["session"], 200)
            status = next_event(other, "status")
            assert "session" not in status


@pytest.mark.parametrize("buffer_ms", ["", "39", "1e3", "10001"])
def test_a_buffer_out_of_range_is_refused(server: Running, buffer_ms: str) -> None:
    station = server.open()
    with pytest.raises(InvalidStatus) as refusal:
        dial(server.ws(station["links"]["audio"]) + f"?buffer_ms={buffer_ms}")
    problem = json.loads(refusal.value.response.body)
    assert (problem["status"], problem["field"], problem["range"]) == (422, "buffer_ms", [40, 10_000])


def test_beats_have_the_fields_of_fmod(server: Running) -> None:
    with dial(server.ws(server.open(bpm=180)["links"]["live"])) as socket:
        beat = next_event(socket, "beat")
    assert beat["position_ms"] == round(1000 * beat["seconds"])
    assert (beat["tempo"], beat["timesig_upper"], beat["timesig_lower"]) == (beat["bpm"], 4, 4)


def test_binary_on_the_live_channel_closes_it_alone(server: Running) -> None:
    live = server.ws(server.open()["links"]["live"])
    with dial(live) as wrong, dial(live) as other:
        wrong.send(b'{"type":"panic"}')
        code, words = closed_by(wrong)
        assert (code, words) == (1003, BINARY.reason)
        assert next_event(other, "status")["state"] == "playing"


def test_text_that_is_not_utf_8_closes_the_socket_without_a_complaint(
    server: Running, complaints: pytest.LogCaptureFixture
) -> None:
    with dial(server.ws(server.open()["links"]["live"])) as socket:
        socket.send(b"\xff\xfe", text=True)
        assert closed_by(socket)[0] == 1007
    assert not faults(complaints)


def test_a_client_that_leaves_too_much_unread_is_cut_off_and_told_why(server: Running) -> None:
    station = server.open()
    with dial(server.ws(station["links"]["live"]), max_queue=1, sock=narrow(server)) as slow:
        inside = server.conductor.stations[station["id"]]
        wait_until(lambda: len(inside._clients) == 1)
        (client,) = inside._clients

        async def tell_much() -> None:
            for frame in range(5000):
                inside.broadcast({"type": "session", "session": "x" * 200, "began_frame": frame})
                await asyncio.sleep(0)

        server.call(tell_much())
        assert client.mailbox.ending == TOO_SLOW
        assert not len(client.mailbox)
        wait_until(lambda: not inside._clients)
        assert closed_by(slow) == (TOO_SLOW.code, TOO_SLOW.reason)


def test_a_peer_that_does_not_answer_is_given_up(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its machine may be gone: nothing comes of it, not even an end, and what is sent stays unread."""
    settings = server._server.config
    monkeypatch.setattr(settings, "ws_ping_interval", 0.2)
    monkeypatch.setattr(settings, "ws_ping_timeout", 0.2)
    station = server.open()
    inside, connections = server.conductor.stations[station["id"]], server._server.server_state.connections
    path = f"{station['links']['audio']}?format=pcm_f32le"
    with narrow(server) as peer:
        num_connections = len(connections)
        peer.sendall(f"GET {path} {UPGRADE}".encode())
        wait_until(lambda: len(inside.sessions) == 1)
        wait_until(lambda: not inside.sessions)
        wait_until(lambda: len(connections) <= num_connections)


def test_sockets_are_not_compressed(server: Running) -> None:
    with dial(server.ws(server.open()["links"]["audio"])) as socket:
        assert socket.response is not None and "Sec-WebSocket-Extensions" not in socket.response.headers


def test_every_control_is_answered_once_across_the_death_of_the_engine(server: Running) -> None:
    station = server.open()
    asked = [f"c{number}" for number in range(60)]
    with dial(server.ws(station["links"]["live"])) as socket:
        answered: Counter[str] = Counter()
        for number, control_id in enumerate(asked):
            energy = round(0.1 + 0.01 * number, 2)
            socket.send(json.dumps({"type": "steer", "set": {"energy": energy}, "at": "now", "id": control_id}))
            if number == 20:
                os.kill(server.engine._process.pid, signal.SIGKILL)
        while len(answered) < len(asked):
            event = json.loads(socket.recv(20))
            if event["type"] in ("ack", "error"):
                answered[event["id"]] += 1
        while (status := next_event(socket, "status"))["mood"]["energy"] != energy:
            pass
    assert answered == Counter(asked)
    assert status["state"] == "playing"


def test_three_hundred_controls_in_one_go_leave_an_answer_each_and_the_last_wish(server: Running) -> None:
    station = server.open()
    random = Random(7)
    asked = [f"c{number}" for number in range(300)]
    with dial(server.ws(station["links"]["live"])) as socket:
        for control_id in asked:
            control = random.choice(
                [
                    {"type": "steer", "set": {"energy": random.random()}, "at": "now"},
                    {"type": "steer", "set": {"energy": 7}},
                    {"type": "hit", "at": "beat"},
                    {"type": "duck", "gain_db": -random.random()},
                    {"type": "transport", "do": random.choice(["pause", "play"])},
                    {"type": "dance"},
                ]
            )
            socket.send(json.dumps({**control, "id": control_id}))
        socket.send('{"type":"transport","do":"play","id":"play"}')
        socket.send('{"type":"steer","set":{"energy":0.25},"at":"now","id":"last"}')
        answers: dict[str, list[str]] = {}
        limited = 0
        while len(answers) < len(asked) + 2:
            event = json.loads(socket.recv(20))
            if event["type"] in ("ack", "error"):
                limited += event.get("code") == "rate_limited"
                if event["id"] is not None:  # that too much was sent is told besides
                    answers.setdefault(event["id"], []).append(event["type"])
        while (status := next_event(socket, "status"))["mood"]["energy"] != 0.25:
            pass
    assert answers.keys() == {*asked, "play", "last"} and all(len(kinds) == 1 for kinds in answers.values())
    assert answers["last"] == answers["play"] == ["ack"]
    assert limited > 0
    assert status["state"] == "playing"


def test_a_flood_over_http_is_told_when_to_try_again(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server._server.config.app.state, "limits", Limits(1.0))
    controls = server.open()["links"]["controls"]
    ducks = [{"type": "duck", "gain_db": -1}] * 2
    assert server.http.post(controls, json=ducks).status_code == 200
    refused = server.http.post(controls, json=ducks[0])
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["Retry-After"] == "1"
    assert server.http.post(controls, json=ducks).headers["Retry-After"] == "2"


def test_a_socket_takes_any_bytes_and_the_others_hear_nothing_of_it(
    server: Running, complaints: pytest.LogCaptureFixture
) -> None:
    station = server.open()

    @fuzzed(25)
    @given(
        st.sampled_from(["live", "audio"]),
        st.lists(
            st.binary(max_size=40)
            | st.builds(
                lambda first, length, rest: bytes([first, 0x80 | length]) + b"\0\0\0\0" + rest,
                st.sampled_from([0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0x8A, 0xC1, 0x83, 0x8F]),
                st.integers(0, 127),
                st.binary(max_size=130),
            ),
            max_size=4,
        ),
    )
    def poke(door: str, pieces: list[bytes]) -> None:
        with socket.create_connection((server.http.base_url.host, server.http.base_url.port), 10) as peer:
            peer.sendall(f"GET {station['links'][door]} {UPGRADE}".encode())
            assert b"101" in peer.recv(12)
            try:
                for piece in pieces:
                    peer.sendall(piece)
            except OSError:  # it has been closed, as it should be
                pass

    with dial(server.ws(station["links"]["live"])) as other:
        poke()
        other.send('{"type":"hit","id":"h"}')
        assert next_event(other, "ack")["id"] == "h"
    assert not faults(complaints)
