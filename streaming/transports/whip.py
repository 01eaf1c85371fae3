"""Pushes a station by WHIP, the WebRTC-HTTP ingestion protocol (RFC 9725), to a media server.

In: a session's packets; out: an SDP offer over HTTP, then RTP. Remembers the peer connection. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable

import httpx
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.rtcicetransport import parse_stun_turn_uri
from httpx import Response

from streaming.push.settings import Push
from streaming.push.target import PushFailed, PushRefused
from streaming.station import Station
from streaming.titles import ARTIST
from streaming.transports.sender import PLAIN, OpusSender
from streaming.transports.webrtc import MAX_QUEUED_CHUNKS, with_music_opus

_ANSWER_S = 10.0
_CONNECTING_S = 15.0
_GOODBYE_S = 2.0
_CODECS = RTCRtpSender.getCapabilities("audio").codecs
_OPUS_BIT_RATE = 510_000
"""The most that a station's packets may have."""
_LINK = re.compile(r'<([^>]+)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^",;\s]+))*)')
_PARAMETER = re.compile(r';\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",;\s]+))')


class Whip:
    """One WHIP endpoint."""

    def __init__(self, push: Push) -> None:
        self._url = push.to.removeprefix("whip+")
        self._headers = {"User-Agent": ARTIST, **({"Authorization": f"Bearer {push.key}"} if push.key else {})}

    async def send(self, station: Station, on_connected: Callable[[], None]) -> None:
        """Send the station until it ends. Raises `PushFailed`, `UnknownStation`, OSError, TimeoutError."""
        try:
            async with self._client() as client:
                await self._send(client, station, on_connected)
        except httpx.HTTPError as error:
            raise PushFailed(f"{type(error).__name__}: {error}") from error

    @contextlib.asynccontextmanager
    async def _client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Made on a thread, for it reads the system's certificates."""

        def make() -> httpx.AsyncClient:
            return httpx.AsyncClient(headers=self._headers, timeout=_ANSWER_S, follow_redirects=True)

        async with await asyncio.to_thread(make) as client:
            yield client

    async def _send(self, client: httpx.AsyncClient, station: Station, on_connected: Callable[[], None]) -> None:
        servers = ice_servers((await client.options(self._url)).headers.get_list("link"))
        session = station.add_session("whip", MAX_QUEUED_CHUNKS)
        peer, changed, resource = RTCPeerConnection(RTCConfiguration(iceServers=servers)), asyncio.Event(), None
        peer.on("connectionstatechange", changed.set)
        session.carrier = _Ended(changed)
        try:
            transceiver = peer.addTransceiver("audio", "sendonly")
            transceiver.setCodecPreferences([codec for codec in _CODECS if codec.mimeType == "audio/opus"])
            OpusSender(session, transceiver.sender, PLAIN)
            await peer.setLocalDescription(await peer.createOffer())
            answer = await self._offer(client, with_music_opus(peer.localDescription.sdp, _OPUS_BIT_RATE))
            resource = answer.headers.get("location") and str(answer.url.join(answer.headers["location"]))
            try:
                await peer.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
            except Exception as error:  # aiortc raises whatever its parser stumbles over
                raise PushFailed(f"the answer cannot be used: {error or type(error).__name__}") from error
            async with asyncio.timeout(_CONNECTING_S):
                while peer.connectionState in ("new", "connecting"):
                    await _next(changed)
            if peer.connectionState == "connected":
                on_connected()
            while peer.connectionState == "connected" and not session.mailbox.is_closed:
                await _next(changed)
            if not session.mailbox.is_closed:
                raise PushFailed(f"the connection is {peer.connectionState}")
        finally:
            station.remove_session(session)
            await peer.close()
            if resource is not None:
                with contextlib.suppress(httpx.HTTPError):
                    await client.delete(resource, timeout=_GOODBYE_S)

    async def _offer(self, client: httpx.AsyncClient, sdp: str) -> Response:
        """Raises `PushFailed`, `httpx.HTTPError`."""
        answer = await client.post(self._url, content=sdp, headers={"Content-Type": "application/sdp"})
        if answer.status_code in (401, 403):
            raise PushRefused(f"the endpoint answered {answer.status_code}: look at the token, which is the password")
        if answer.status_code != 201:
            raise PushFailed(f"the endpoint answered {answer.status_code}")
        return answer


class _Ended:
    """Tells who carries a session that it has ended."""

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed

    async def close(self) -> None:
        self._changed.set()


async def _next(changed: asyncio.Event) -> None:
    await changed.wait()
    changed.clear()


def ice_servers(links: Iterable[str]) -> list[RTCIceServer]:
    """Those of Link headers that aiortc can ask (RFC 9725, section 4.6)."""
    found = []
    for url, parameters in _LINK.findall(", ".join(links)):
        told = {name: re.sub(r"\\(.)", r"\1", quoted) or bare for name, quoted, bare in _PARAMETER.findall(parameters)}
        if told.get("rel") == "ice-server":
            with contextlib.suppress(ValueError):
                parse_stun_turn_uri(url)
                found.append(RTCIceServer(url, told.get("username"), told.get("credential")))
    return found
