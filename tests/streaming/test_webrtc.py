"""WHEP against a real aiortc listener over the machine's own network interface."""

from __future__ import annotations

import asyncio
import gc
import json
import re
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from streaming.config import Config
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
        frames = [await asyncio.wait_for(track.recv(), 10) for _ in range(num_blocks)]
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


async def test_many_listeners_share_one_packet(server: Running) -> None:
    station = server.open()
    listeners = [await listen(server, station) for _ in range(3)]
    for listener in listeners:
        assert np.abs(await listener.hear(20)).max() > 0.1
    sessions = server.conductor.stations[station["id"]].sessions
    assert len(sessions) == 3
    for listener in listeners:
        await listener.peer.close()


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
        (r"a=sctp-port:.*\r\n", "", "application section lacks a=sctp-port"),
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
    assert not caplog.records


def test_whep_refuses_other_types_and_stations(server: Running) -> None:
    whep = server.open()["links"]["whep"]
    assert_problem(server.http.post(whep, json={}), 415, "wrong_content_type")
    assert_problem(server.http.post("/whep/none", content="v=0", headers=SDP), 404, "unknown_station")
    options = server.http.options(whep)
    assert options.headers["accept-post"] == "application/sdp"
    origin = {"Origin": "https://page.example"}
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


async def test_deleting_the_station_ends_its_sessions(server: Running) -> None:
    station = server.open()
    listener = await listen(server, station)
    await listener.hear(2)
    server.http.delete(station["links"]["self"])
    for _ in range(300):
        if listener.peer.connectionState == "closed":
            break
        await asyncio.sleep(0.02)
    assert listener.peer.connectionState == "closed"
    await listener.peer.close()


def test_mdns_candidates_are_dropped() -> None:
    kept = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
    assert without_mdns("v=0\r\na=candidate:2 1 udp 1 7f.local 9 typ host\r\n" + kept) == "v=0\r\n" + kept


def test_answer_says_music_once() -> None:
    answer = with_music_opus("a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\na=mid:0\r\n", 128_000)
    assert answer.count("a=fmtp:96 ") == 1
    assert "stereo=1;sprop-stereo=1;maxaveragebitrate=128000\r\na=mid:0" in answer
