"""Stations are sent elsewhere: to a real Icecast, to ffmpeg by RTMP and SRT, to a media server by WHIP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest
import uvicorn
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.harness import free_port
from streaming.config import Config
from streaming.errors import BadConfig
from streaming.push import film, icecast
from streaming.push.pushes import Pushes
from streaming.push.settings import Push
from streaming.transports.whip import ice_servers
from tests.streaming.conftest import SINES, Running
from tests.streaming.test_engines import wait_until

needs_icecast = pytest.mark.skipif(shutil.which("icecast2") is None, reason="there is no icecast2 on this machine")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg on this machine")
_PASSWORD = "hackme's"
_ICECAST = """<icecast>
  <limits><clients>20</clients><sources>4</sources><burst-size>65535</burst-size></limits>
  <authentication><source-password>{password}</source-password><admin-user>admin</admin-user>
    <admin-password>{password}</admin-password></authentication>
  <hostname>localhost</hostname>
  <listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
  <paths><basedir>/</basedir><logdir>/dev</logdir><webroot>/usr/share/icecast2/web</webroot>
    <adminroot>/usr/share/icecast2/admin</adminroot></paths>
  <logging><accesslog>null</accesslog><errorlog>null</errorlog><loglevel>2</loglevel></logging>
  <security><chroot>0</chroot>{owner}</security>
</icecast>"""


@pytest.fixture(scope="module")
def server(make_server: Callable[[Config], Running]) -> Running:
    return make_server(SINES)


@contextlib.contextmanager
def pushing(server: Running, **push: Any) -> Iterator[Any]:
    """Push while entered, and answer the door."""
    config = server.conductor.config.model_copy(update={"push": (Push(**push),)})
    before, server.conductor.config = server.conductor.config, config
    pushes = Pushes(server.conductor)
    server.conductor.config = before
    server.call(pushes.__aenter__())
    try:
        yield server.conductor.doors[-1]
    finally:
        server.call(pushes.__aexit__())


@contextlib.contextmanager
def icecast_server(port: int, folder: Path) -> Iterator[None]:
    owner = "<changeowner><user>nobody</user><group>nogroup</group></changeowner>" if os.geteuid() == 0 else ""
    config = folder / "icecast.xml"
    config.write_text(_ICECAST.format(port=port, owner=owner, password=_PASSWORD))
    process = subprocess.Popen(["icecast2", "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(port))
        yield
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def title_at(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/status-json.xsl").json()["icestats"]["source"].get("title", "")


@needs_icecast
@pytest.mark.slow
@pytest.mark.parametrize(
    ("format_", "codec"),
    [
        ("mp3", "mp3"),
        pytest.param("ogg", "opus", marks=pytest.mark.long),
        pytest.param("aac", "aac", marks=pytest.mark.long),
    ],
)
def test_an_icecast_server_is_sent_the_station_with_its_titles_again_after_it_was_gone(
    server: Running, tmp_path: Path, format_: str, codec: str
) -> None:
    station = server.open(name="desk", mood="epic")
    port = free_port()
    to = f"icecast://127.0.0.1:{port}/live.{format_}"
    with pushing(server, station="desk", to=to, format=format_, password=_PASSWORD) as door:
        wait_until(lambda: door.state.now == "waiting")
        assert not server.conductor.stations[station["id"]].sessions  # without a target it costs nothing
        for _ in range(2 if format_ == "mp3" else 1):
            with icecast_server(port, tmp_path):
                wait_until(lambda: door.state.now == "connected")
                with av.open(f"http://127.0.0.1:{port}/live.{format_}", timeout=20) as heard:
                    assert heard.streams.audio[0].codec_context.name.startswith(codec)
                    frames = [frame.to_ndarray() for frame, _ in zip(heard.decode(audio=0), range(60), strict=False)]
                assert max(np.abs(frame).max() for frame in frames[20:]) > 0.1
                if format_ != "ogg":
                    wait_until(lambda: "Epic" in title_at(port))
            wait_until(lambda: door.state.now == "waiting")


@needs_icecast
@pytest.mark.slow
def test_a_wrong_password_is_told_and_tried_again(server: Running, tmp_path: Path) -> None:
    server.open(name="desk")
    port = free_port()
    with (
        icecast_server(port, tmp_path),
        pushing(server, station="desk", to=f"icecast://127.0.0.1:{port}/live", password="wrong") as door,
    ):
        wait_until(lambda: door.state.now == "refused")
        assert "401" in door.state.last_error and "password" in door.state.last_error
        assert "wrong" not in door.name + door.state.last_error


def film_of(path: Path) -> dict[str, Any]:
    with av.open(str(path)) as film:
        kinds = {stream.type: stream.codec_context.name for stream in film.streams}
        sound = np.concatenate([frame.to_ndarray() for frame in film.decode(audio=0)], axis=1)
    return {**kinds, "loudest": np.abs(sound).max(), "seconds": sound.shape[1] / 48_000}


@contextlib.contextmanager
def ffmpeg_listener(url: str, *options: str, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Takes what comes to `url` for two seconds."""
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", *options, "-i", url, "-t", "2", "-c", "copy", "-y", str(out)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@needs_ffmpeg
@pytest.mark.long
@pytest.mark.parametrize("picture", ["", "black"])
def test_a_platform_is_sent_a_film_by_rtmp_under_its_key(server: Running, tmp_path: Path, picture: str) -> None:
    station, port, out = server.open(name="desk"), free_port(), tmp_path / "film.flv"
    to = f"rtmp://127.0.0.1:{port}/live"
    with pushing(server, station="desk", to=to, password="key-of-mine", picture=picture) as door:
        wait_until(lambda: door.state.now == "waiting")
        assert not server.conductor.stations[station["id"]].sessions
        assert "key-of-mine" not in door.name + door.state.last_error
        with ffmpeg_listener(f"{to}/key-of-mine", "-listen", "1", out=out) as listener:
            listener.wait(30)
    film_ = film_of(out)
    assert film_["audio"] == "aac" and film_["loudest"] > 0.1 and film_["seconds"] > 1.5
    assert film_.get("video") == ("h264" if picture else None)


@needs_ffmpeg
@pytest.mark.long
def test_a_media_server_is_sent_a_station_by_srt_under_a_passphrase(server: Running, tmp_path: Path) -> None:
    told = subprocess.run(["ffmpeg", "-hide_banner", "-protocols"], capture_output=True, text=True).stdout
    if "srt" not in told.split():
        pytest.skip("ffmpeg has no SRT on this machine")
    server.open(name="desk")
    port, out = free_port(), tmp_path / "sound.ts"
    to = f"srt://127.0.0.1:{port}"
    with (
        ffmpeg_listener(f"{to}?mode=listener&passphrase=long-enough-a-secret", out=out) as listener,
        pushing(server, station="desk", to=to, password="long-enough-a-secret") as door,
    ):
        wait_until(lambda: door.state.now == "connected")
        listener.wait(30)
    sound = film_of(out)
    assert sound["audio"] == "aac" and sound["loudest"] > 0.1


@pytest.mark.slow
def test_a_target_that_takes_nothing_is_given_up(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    station = server.open(name="desk")
    monkeypatch.setattr(icecast, "_UNREAD_S", 0.5)
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        to = f"icecast://127.0.0.1:{deaf.getsockname()[1]}/live"
        with pushing(server, station="desk", to=to, bit_rate=320_000) as door:
            taken, _ = deaf.accept()
            with taken:
                taken.recv(65_536)
                taken.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                wait_until(lambda: door.state.now == "connected")
                wait_until(lambda: door.state.now == "waiting")
                assert not server.conductor.stations[station["id"]].sessions


async def test_a_media_server_is_sent_the_stations_packets_by_whip(server: Running) -> None:
    station, heard = server.open(name="desk", seed=2), []
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    ended = asyncio.Event()

    async def options(request: Request) -> Response:
        return Response(status_code=204, headers={"Link": '<stun:127.0.0.1:1>; rel="other"'})

    async def offered(request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer a-token"
        peer.on("track", heard.append)
        await peer.setRemoteDescription(RTCSessionDescription((await request.body()).decode(), "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        headers = {"Location": "/resource", "Content-Type": "application/sdp"}
        return Response(peer.localDescription.sdp, 201, headers)

    async def deleted(request: Request) -> Response:
        ended.set()
        return Response()

    app = Starlette(
        routes=[
            Route("/whip", options, methods=["OPTIONS"]),
            Route("/whip", offered, methods=["POST"]),
            Route("/moved", lambda request: Response(status_code=307, headers={"Location": "/whip"}), methods=["POST"]),
            Route("/resource", deleted, methods=["DELETE"]),
        ]
    )
    media_server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        serving = asyncio.create_task(media_server.serve([listening]))
        to = f"whip+http://127.0.0.1:{listening.getsockname()[1]}/moved"
        push = pushing(server, station="desk", to=to, password="a-token")
        door = await asyncio.to_thread(push.__enter__)
        try:
            while not heard:
                await asyncio.sleep(0.02)
            frames = [await asyncio.wait_for(heard[0].recv(), 60) for _ in range(75)]
            assert door.state.now == "connected"
        finally:
            await asyncio.to_thread(push.__exit__, None, None, None)
        await asyncio.wait_for(ended.wait(), 60)
        await peer.close()
        media_server.should_exit = True
        await serving
    sound = np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in frames])[48_000:]
    peaks_hz = np.abs(np.fft.rfft(sound, axis=0)).argmax(axis=0) * 48_000 / len(sound)
    assert np.allclose(peaks_hz, [300, 450], atol=3)
    assert not server.conductor.stations[station["id"]].sessions


def test_ice_servers_are_read_from_links_as_they_may_be_written() -> None:
    links = [
        '<stun:a:1>; rel="ice-server"',
        '<turn:b:3478>; rel=ice-server; username="a\\"; b"; credential="c=="',
        "<x>; rel=next",
    ]
    found = ice_servers([links[0], ", ".join(links[1:])])
    assert [(server.urls, server.username, server.credential) for server in found] == [
        ("stun:a:1", None, None),
        ("turn:b:3478", 'a"; b', "c=="),
    ]


@pytest.mark.parametrize(
    ("push", "text"),
    [
        ({"to": "http://example.org/"}, "begins with icecast://"),
        ({"to": "icecast://source:secret@example.org/live"}, "password_file have keys of their own"),
        ({"to": "icecast://example.org"}, "without a mount"),
        ({"to": "rtmp://example.org:99999/live"}, "begins with"),
        ({"to": "rtmp://example.org/live", "bit_rate": 3}, "32000 … 320000"),
        ({"to": "rtmp://example.org/live", "password_file": "/nowhere"}, "cannot be read"),
        ({"to": "rtmp://example.org/live", "pictures": "black"}, "nearest: picture"),
    ],
)
def test_a_push_that_cannot_be_is_named(push: dict[str, Any], text: str) -> None:
    with pytest.raises(BadConfig, match=text) as refusal:
        Config(push=[{"station": "desk"} | push])
    assert "secret" not in str(refusal.value)


def test_a_key_stands_in_its_place_of_the_address_and_in_nothing_that_is_told(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("a&key\n")
    rtmp = Push(station="desk", to="rtmp://live.example.org/app/", password_file=str(file))
    srt = Push(station="desk", to="srt://media.example.org:9000?streamid=desk", password="a&key")
    assert film.address(rtmp) == "rtmp://live.example.org/app/a&key"
    assert film.address(srt) == "srt://media.example.org:9000?streamid=desk&passphrase=a%26key"
    assert (rtmp.told, srt.told) == ("rtmp://live.example.org", "srt://media.example.org:9000")
