"""WHEP against a real aiortc listener over the machine's own network interface."""

from __future__ import annotations

import asyncio
import gc
import json
import math
import re
import socket
import time
from dataclasses import dataclass, field
from typing import Any

import aiortc.codecs.opus
import httpx
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket

from engine.audio import BLOCK_FRAMES
from streaming.config import Config
from streaming.engines.ring import Chunk
from streaming.session import BINARY, DELETED, TOO_LONG, Ending
from streaming.transports.fan import RtpFan
from streaming.transports.webrtc import with_music_opus
from tests.streaming.conftest import SINES, Running
from tests.streaming.test_http import assert_problem

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


@dataclass
class Listener:
    """A WHEP client."""

    peer: RTCPeerConnection
    channel: RTCDataChannel
    answer: str = ""
    location: str = ""
    etag: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    async def hear(self, num_blocks: int) -> np.ndarray:
        """Samples [T, 2] of the next blocks, full scale ±1."""
        track = self.peer.getReceivers()[0].track
        frames = [await asyncio.wait_for(track.recv(), 60) for _ in range(num_blocks)]
        return np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in frames]) / 32_768

    async def event(self, kind: str) -> dict[str, Any]:
        for _ in range(500):
            for event in self.events:
                if event["type"] == kind:
                    return event
            await asyncio.sleep(0.01)
        raise AssertionError(f"no {kind} event")


async def make_offer() -> Listener:
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio", direction="recvonly")
    listener = Listener(peer, peer.createDataChannel("live"))
    listener.channel.on("message", lambda text: listener.events.append(json.loads(text)))
    await peer.setLocalDescription(await peer.createOffer())
    return listener


async def listen(server: Running, station: dict[str, Any]) -> Listener:
    listener = await make_offer()
    async with httpx.AsyncClient(base_url=server.address) as http:
        response = await http.post(station["links"]["whep"], content=listener.peer.localDescription.sdp, headers=SDP)
    assert response.status_code == 201, response.text
    listener.answer, listener.location = response.text, response.headers["location"]
    listener.etag = response.headers["etag"]
    await listener.peer.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
    return listener


async def test_listener_hears_the_station_in_stereo(server: Running) -> None:
    station = server.open(seed=2)
    listener = await listen(server, station)
    sound = (await listener.hear(75))[48_000:]
    await listener.peer.close()
    spectrum = np.abs(np.fft.rfft(sound, axis=0))
    peaks_hz = spectrum.argmax(axis=0) * 48_000 / len(sound)
    assert np.allclose(peaks_hz, [300, 450], atol=3)
    assert "stereo=1;sprop-stereo=1;maxaveragebitrate=160000" in listener.answer


async def test_many_listeners_share_one_packet(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine has encoded it once; here it is only handed on, and aiortc never encodes."""
    num_sent: dict[int, int] = {}
    encoded: list[object] = []
    push = RtpFan.push

    def recorded(self: RtpFan, chunk: Chunk) -> None:
        num_sent[chunk.frame] = num_sent.get(chunk.frame, 0) + len(self._peers)
        push(self, chunk)

    monkeypatch.setattr(RtpFan, "push", recorded)
    monkeypatch.setattr(aiortc.codecs.opus.OpusEncoder, "encode", lambda *_, **__: encoded.append(1))
    station = server.open()
    listeners = [await listen(server, station) for _ in range(3)]
    for listener in listeners:
        assert np.abs(await listener.hear(20)).max() > 0.1
    for listener in listeners:
        await listener.peer.close()
    assert list(num_sent.values()).count(len(listeners)) >= 10
    assert not encoded


async def test_data_channel_is_the_live_channel(server: Running) -> None:
    listener = await listen(server, server.open())
    await listener.event("status")
    listener.channel.send(json.dumps({"type": "steer", "set": {"energy": 0.5}, "id": "dc"}))
    assert (await listener.event("ack"))["id"] == "dc"
    await listener.hear(2)
    assert (await listener.event("session"))["session"] == listener.location.rsplit("/", 1)[1]
    listener.channel.send("{nope")
    assert (await listener.event("error"))["code"] == "bad_json"
    await listener.peer.close()


async def test_the_clock_tells_which_frame_a_packet_begins_with(server: Running) -> None:
    station = server.open()
    listener = await listen(server, station)
    received: dict[int, bytes] = {}

    async def receive(packet: RtpPacket, arrival_time_ms: int) -> None:
        received[packet.timestamp] = bytes(packet.payload)

    listener.peer.getReceivers()[0]._handle_rtp_packet = receive
    clock, began = await listener.event("clock"), await listener.event("session")
    assert clock["began_frame"] == began["began_frame"]
    played, sent = server.conductor.stations[station["id"]], {}
    while not received.keys() & sent.keys():
        for block in range(played.frame // BLOCK_FRAMES - 50, played.frame // BLOCK_FRAMES):
            if (chunk := played.read(max(0, block))) is not None:
                sent[(clock["rtp_timestamp"] + chunk.frame - clock["frame"]) % (1 << 32)] = chunk.packet
        await asyncio.sleep(0.02)
    assert all(received[timestamp] == sent[timestamp] for timestamp in received.keys() & sent.keys())
    await listener.peer.close()


@pytest.mark.parametrize(("wrong", "ending"), [(b"{}", BINARY), (" " * 1_100_000, TOO_LONG)])
async def test_a_rude_data_channel_is_closed_with_a_word_and_the_music_goes_on(
    server: Running, wrong: str | bytes, ending: Ending
) -> None:
    listener = await listen(server, server.open())
    await listener.event("status")
    listener.peer.sctp._remote_max_message_size = 0  # as if the server had not said how much it takes
    listener.channel.send(wrong)
    closed = await listener.event("closed")
    assert (closed["code"], closed["reason"]) == (ending.code, ending.reason)
    assert len(await listener.hear(5)) == 5 * BLOCK_FRAMES
    await listener.peer.close()


async def test_the_end_of_the_station_is_the_last_word_on_the_data_channel(server: Running) -> None:
    station = server.open()
    listener = await listen(server, station)
    await listener.event("status")
    server.http.delete(station["links"]["self"])
    closed = await listener.event("closed")
    assert (closed["code"], closed["reason"]) == (DELETED.code, DELETED.reason)
    assert [event.get("state") for event in listener.events[-2:]] == ["closed", None]
    await listener.peer.close()


async def test_session_answers_get_patch_and_delete(server: Running) -> None:
    listener = await listen(server, server.open())
    await listener.hear(2)
    async with httpx.AsyncClient(base_url=server.address) as http:
        got = await http.get(listener.location)
        assert (got.status_code, got.content) == (204, b"")
        assert int(got.headers["undersong-began-frame"]) % 960 == 0
        assert (await http.head(listener.location)).status_code == 204
        hosts = ("192.0.2.77", "x.local")
        candidate = "a=mid:0\r\n" + "".join(f"a=candidate:1 1 udp 1 {host} 9 typ host\r\n" for host in hosts)
        bare = await http.patch(listener.location, content=candidate, headers=FRAGMENT)
        assert_problem(bare, 428, "precondition_required")
        stale = await http.patch(listener.location, content=candidate, headers=FRAGMENT | {"If-Match": '"old"'})
        assert_problem(stale, 412, "precondition_failed")
        match = FRAGMENT | {"If-Match": listener.etag}
        assert (await http.patch(listener.location, content=candidate, headers=match)).status_code == 204
        restart = await http.patch(listener.location, content="a=ice-ufrag:new\r\na=ice-pwd:x\r\n", headers=match)
        assert_problem(restart, 422, "ice_restart")
        broken = await http.patch(listener.location, content="a=candidate:what\r\n", headers=match)
        assert_problem(broken, 400, "bad_request")
        assert (await http.delete(listener.location)).status_code == 200
        assert_problem(await http.delete(listener.location), 404, "unknown_session")
    await listener.peer.close()


@pytest.mark.parametrize(
    "body", ["", "v=0\r\n", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF\r\n", "hello", "v=0\r\nm=audio x y\r\n"]
)
def test_malformed_offer_is_a_problem(server: Running, body: str) -> None:
    station = server.open()
    assert_problem(server.http.post(station["links"]["whep"], content=body, headers=SDP), 400, "bad_offer")
    assert not server.conductor.stations[station["id"]].sessions


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (r"a=rtpmap:\d+ opus/.*\r\n", "", "no Opus"),
        (r"a=fingerprint:.*\r\n", "", "audio section lacks a=fingerprint"),
        (r"a=setup:.*\r\n", "", "lacks a=setup"),
        (r"a=ice-pwd:.*\r\n", "", "lacks a=ice-pwd"),
        (r"a=recvonly", "a=sendonly", "sendonly"),
        (r"a=recvonly", "a=inactive", "inactive"),
        (r"m=audio \d+", "m=audio 0", "no audio section"),
        (r"m=audio[\s\S]*(?=m=application)", "", "no audio section"),
    ],
)
async def test_an_offer_that_cannot_be_served_is_named_and_sets_nothing_up(
    server: Running, caplog: pytest.LogCaptureFixture, old: str, new: str, words: str
) -> None:
    station = server.open()
    offerer = await make_offer()
    offer, count = re.subn(old, new, offerer.peer.localDescription.sdp)
    await offerer.peer.close()
    assert count
    problem = assert_problem(server.http.post(station["links"]["whep"], content=offer, headers=SDP), 400, "bad_offer")
    assert words in str(problem["detail"])
    assert not server.conductor.stations[station["id"]].sessions
    await asyncio.sleep(0.05)
    gc.collect()
    said = [record for record in caplog.records if record.name != "asyncio"]
    assert not [record for record in said if "stood still" not in record.msg]  # both tell of a busy machine


def test_whep_refuses_other_types_and_stations(server: Running) -> None:
    whep = server.open()["links"]["whep"]
    assert_problem(server.http.post(whep, json={}), 415, "wrong_content_type")
    assert_problem(server.http.post("/whep/none", content="v=0", headers=SDP), 404, "unknown_station")
    options = server.http.options(whep)
    assert options.headers["accept-post"] == "application/sdp"
    origin = {"Origin": "http://localhost:5173"}
    exposed = server.http.get("/healthz", headers=origin).headers["access-control-expose-headers"]
    assert {"Location", "ETag", "Link"} <= set(exposed.split(", "))


async def unfinished_closes() -> list[str]:
    """The closes of peers that still run on the loop that this is called on."""
    return [repr(task) for task in asyncio.all_tasks() if "WhepPeer" in repr(task) and "close" in repr(task)]


async def test_peer_that_never_connects_is_dropped(make_server: object) -> None:
    server = make_server(Config(port=0, generator=SINES.generator, setup_timeout_s=0.3))
    station = server.open()
    offerer = await make_offer()
    offer = "".join(line for line in offerer.peer.localDescription.sdp.splitlines(True) if "candidate" not in line)
    for _ in range(4):
        assert server.http.post(station["links"]["whep"], content=offer, headers=SDP).status_code == 201
    sessions = server.conductor.stations[station["id"]].sessions
    for _ in range(200):
        if not sessions:
            break
        await asyncio.sleep(0.02)
    assert not sessions
    for _ in range(200):
        if not (unfinished := server.call(unfinished_closes())):
            break
        await asyncio.sleep(0.02)
    assert not unfinished
    await offerer.peer.close()


async def test_deleting_the_station_ends_its_sessions_and_says_so(server: Running) -> None:
    station = server.open()
    listener = await listen(server, station)
    await listener.hear(2)
    await listener.event("status")
    listener.events.clear()
    server.http.delete(station["links"]["self"])
    while (status := await listener.event("status"))["state"] != "closed":
        listener.events.remove(status)
    assert status["reason"] == "the station was deleted"
    for _ in range(300):
        if listener.peer.connectionState == "closed":
            break
        await asyncio.sleep(0.02)
    assert listener.peer.connectionState == "closed"
    await listener.peer.close()


def test_answer_says_music_once() -> None:
    answer = with_music_opus("a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=mid:0\r\n", 128_000)
    assert answer.count("a=fmtp:96 ") == 1
    assert "stereo=1;sprop-stereo=1;maxaveragebitrate=128000\r\na=mid:0" in answer


async def test_candidates_of_any_section_of_the_bundle_are_taken(server: Running) -> None:
    listener = await listen(server, server.open())
    fragment = "".join(
        f"m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\na=candidate:1 1 udp 1 192.0.2.{77 + mid} 9 typ host\r\n"
        for mid in (0, 1, 2)  # audio, data, and none that was offered
    )
    async with httpx.AsyncClient(base_url=server.address) as http:
        match = FRAGMENT | {"If-Match": listener.etag}
        assert (await http.patch(listener.location, content=fragment, headers=match)).status_code == 204
    (session,) = server.conductor.stations[listener.location.split("/")[2]].sessions.values()
    transport = session.carrier._pc.getTransceivers()[0].receiver.transport.transport
    hosts = {candidate.ip for candidate in transport.getRemoteCandidates()}
    assert {"192.0.2.77", "192.0.2.78"} <= hosts and "192.0.2.79" not in hosts
    await listener.peer.close()


async def test_a_microphone_that_is_offered_stays_unheard(server: Running) -> None:
    offerer = await make_offer()
    offer = offerer.peer.localDescription.sdp.replace("a=recvonly", "a=sendrecv")
    await offerer.peer.close()
    answer = server.http.post(server.open()["links"]["whep"], content=offer, headers=SDP)
    assert (answer.status_code, "a=sendonly" in answer.text) == (201, True)


async def test_servers_that_relay_are_told_with_their_password_and_hold_no_answer_up(make_server: object) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        turn = {"url": f"turn:{host}", "username": 'a"b', "credential": "c\\d"}
        ice_servers = [f"stun:{host}", turn, "stun:[::1]:3478"]
        server = make_server(Config(port=0, generator=SINES.generator, ice_servers=ice_servers))
        offerer = await make_offer()
        whep, took_s = server.open()["links"]["whep"], []
        while min(took_s, default=math.inf) > 1:  # the quickest tells what the server does, the others what else runs
            began_s = time.monotonic()
            answer = server.http.post(whep, content=offerer.peer.localDescription.sdp, headers=SDP)
            took_s.append(time.monotonic() - began_s)
            assert len(took_s) < 5, took_s
        await offerer.peer.close()
    assert answer.status_code == 201
    assert answer.headers.get_list("link") == [
        f'<stun:{host}>; rel="ice-server"',
        f'<turn:{host}>; rel="ice-server"; username="a\\"b"; credential="c\\\\d"; credential-type="password"',
        '<stun:[::1]:3478>; rel="ice-server"',
    ]


async def test_a_machine_without_a_network_says_so_at_once(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioice.ice.get_host_addresses", lambda **_: [])
    offerer = await make_offer()
    station = server.open()
    answer = server.http.post(station["links"]["whep"], content=offerer.peer.localDescription.sdp, headers=SDP)
    assert_problem(answer, 501, "no_webrtc_network")
    assert not server.conductor.stations[station["id"]].sessions
    await offerer.peer.close()


def test_the_endpoint_answers_every_method_as_the_draft_says(server: Running) -> None:
    whep = server.open()["links"]["whep"]
    for method in ("GET", "HEAD", "OPTIONS"):
        response = server.http.request(method, whep, headers={"Authorization": "Bearer x"})
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["accept-post"] == "application/sdp"
    refused = server.http.put(whep)
    assert_problem(refused, 405, "http_error")
    assert refused.headers["allow"] == "GET, HEAD, OPTIONS, POST"
