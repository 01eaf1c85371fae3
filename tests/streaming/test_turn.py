"""A listener who reaches nothing but the relay hears music through it: coturn, as deploy/ has it configured."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy, RTCPeerConnection, RTCSessionDescription

from streaming.transports.turn import logged_in
from streaming.transports.webrtc import usable
from tests.streaming.conftest import SINES, Running
from tests.streaming.test_webrtc import SDP

CONFIGURED = Path(__file__).parents[2] / "deploy" / "turnserver.conf"
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("turnserver") is None, reason="needs coturn (apt install coturn)"),
]


def own_address() -> str:
    """By which this machine would reach others; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a relay that runs, and its secret."""
    secret, host = tmp_path / "secret", own_address()
    secret.write_text("north wind\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    command = ["turnserver", "-c", str(CONFIGURED), f"--listening-ip={host}", f"--listening-port={port}",
               f"--allowed-peer-ip={host}", "--realm=example.org", "--static-auth-secret=north wind",
               f"--pidfile={tmp_path / 'pid'}", f"--userdb={tmp_path / 'users'}"]  # fmt: skip
    with (tmp_path / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_until_it_answers(host, port, process)
            yield f"turn:{host}:{port}", secret
        finally:
            process.kill()
            print((tmp_path / "log").read_text()[-4000:])  # pytest shows it where a test failed


def _wait_until_it_answers(host: str, port: int, process: subprocess.Popen[bytes]) -> None:
    """By a STUN request (RFC 8489) without attributes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.1)
        for _ in range(200):
            assert process.poll() is None, "coturn has ended"
            asking.sendto(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), (host, port))
            try:
                asking.recv(1500)
                return
            except OSError:
                time.sleep(0.05)
    raise AssertionError("coturn does not answer")


def relayed(servers: list[RTCIceServer]) -> RTCPeerConnection:
    """A listener who reaches these servers alone."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=servers, iceTransportPolicy=RTCIceTransportPolicy.RELAY))
    peer.addTransceiver("audio", direction="recvonly")
    return peer


async def test_a_listener_behind_a_relay_hears_the_station(
    make_server: Callable[..., Running], relay: tuple[str, Path]
) -> None:
    url, secret = relay
    server = make_server(SINES.model_copy(update={
        "ice_servers": type(SINES)(ice_servers=({"url": url, "secret_file": str(secret)},)).ice_servers
    }))  # fmt: skip
    station = server.open(seed=2)
    link = httpx.options(server.address + station["links"]["whep"]).headers["Link"]
    username, credential = re.findall(r'(?:username|credential)="([^"]*)"', link)
    peer = relayed([RTCIceServer(url, username, credential)])
    await peer.setLocalDescription(await peer.createOffer())
    offered = peer.localDescription.sdp
    assert " typ relay" in offered and " typ host" not in offered
    async with httpx.AsyncClient(base_url=server.address) as http:
        answer = await http.post(station["links"]["whep"], content=offered, headers=SDP)
    assert answer.status_code == 201 and url in answer.headers["Link"] != link
    await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
    track = peer.getReceivers()[0].track
    frames = [(await track.recv()).to_ndarray().reshape(-1, 2) for _ in range(75)]
    await peer.close()
    spectrum = np.abs(np.fft.rfft(np.concatenate(frames)[48_000:], axis=0))
    peaks_hz = spectrum.argmax(axis=0) * 48_000 / 24_000
    assert np.allclose(peaks_hz, [300, 450], atol=6)


async def test_the_relay_refuses_a_login_that_is_forged_or_over(relay: tuple[str, Path], tmp_path: Path) -> None:
    url, secret = relay
    forged = tmp_path / "forged"
    forged.write_text("south wind")
    for file, now_s in ((forged, None), (secret, time.time() - 2 * 86_400)):
        servers = type(SINES)(ice_servers=({"url": url, "secret_file": str(file)},)).ice_servers
        peer = relayed(usable(logged_in(servers, "listener", now_s)))
        await peer.setLocalDescription(await peer.createOffer())
        assert " typ relay" not in peer.localDescription.sdp
        await peer.close()
