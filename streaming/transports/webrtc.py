"""A listener over WebRTC, the media half of WHEP. In: an SDP offer; out: an SDP answer, then RTP.

Remembers the peer connection. Event loop only. Opus packets are encoded elsewhere, once for all listeners: aiortc's
sender takes `av.Packet`s from a track as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets

import av
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from aiortc.sdp import MediaDescription, SessionDescription, candidate_from_sdp

from streaming import live
from streaming.conductor import Conductor
from streaming.errors import BadOffer, BadRequest, IceRestartRefused
from streaming.session import LiveClient, Session
from streaming.station import Station

MAX_QUEUED_CHUNKS = 10
_MAX_BUFFERED_BYTES = 1 << 18
_closings: set[asyncio.Task[None]] = set()
"""The event loop itself holds its tasks weakly."""
_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)", re.MULTILINE)


class PacketTrack(MediaStreamTrack):
    """A session's packets as aiortc wants them."""

    kind = "audio"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    async def recv(self) -> av.Packet:
        chunk = await self._session.next_chunk()
        if chunk is None:
            self.stop()
            raise MediaStreamError
        return chunk.av_packet


def without_mdns(sdp: str) -> str:
    """Drop candidates under `.local` names: looking them up costs a second, and peer-reflexive ones replace them."""
    return "".join(line for line in sdp.splitlines(True) if not (line.startswith("a=candidate:") and ".local " in line))


def with_music_opus(sdp: str, bit_rate: int) -> str:
    """Say in an answer that Opus is stereo, at `bit_rate` bit/s (RFC 7587, section 7)."""
    match = re.search(r"^a=rtpmap:(\d+) opus/48000/2\r?$", sdp, re.MULTILINE | re.IGNORECASE)
    if match is None:
        return sdp
    payload = match[1]
    sdp = re.sub(rf"^a=fmtp:{payload} .*\r?\n", "", sdp, flags=re.MULTILINE)
    fmtp = f"a=fmtp:{payload} minptime=20;stereo=1;sprop-stereo=1;maxaveragebitrate={bit_rate}\r\n"
    at = sdp.index("\n", match.start()) + 1
    return sdp[:at] + fmtp + sdp[at:]


def check_offer(offer: str) -> None:
    """Raise `BadOffer` where aiortc would stumble after it has answered, or could send nothing that is asked for."""
    try:
        sections = [media for media in SessionDescription.parse(without_mdns(offer)).media if media.port]
    except Exception as error:  # aiortc raises whatever its parser stumbles over
        raise BadOffer(f"the body is not an SDP offer: {error or type(error).__name__}") from error
    audio = next((media for media in sections if media.kind == "audio"), None)
    if audio is None:
        raise BadOffer("the offer has no audio section; add a transceiver that receives audio")
    if audio.direction not in ("recvonly", "sendrecv"):
        raise BadOffer(f"the offer's audio is {audio.direction}; it must receive, as recvonly does")
    if not any(codec.mimeType.lower() == "audio/opus" for codec in audio.rtp.codecs):
        raise BadOffer("the offer's audio has no Opus, the one codec that is sent; add opus/48000/2")
    for media in sections:
        _check_transport(media)


def _check_transport(media: MediaDescription) -> None:
    ice, dtls = media.ice, media.dtls
    given = {
        "a=ice-ufrag": ice.usernameFragment,
        "a=ice-pwd": ice.password,
        "a=setup": dtls,
        "a=fingerprint": dtls is None or dtls.fingerprints,
        "a=sctp-port": media.kind != "application" or media.profile == "DTLS/SCTP" or media.sctp_port,
    }
    missing = ", ".join(name for name, value in given.items() if not value)
    if missing:
        raise BadOffer(f"the offer's {media.kind} section lacks {missing}")


class WhepPeer:
    """One WHEP session: a peer connection that sends the station's packets."""

    def __init__(self, conductor: Conductor, station: Station, session: Session) -> None:
        config = conductor.config
        self.station, self.session = station, session
        session.carrier = self
        self.etag = f'"{secrets.token_hex(4)}"'
        self._conductor, self._bit_rate = conductor, config.opus_bit_rate
        self._setup_timeout_s = config.setup_timeout_s
        servers = [RTCIceServer(each.url, each.username, each.credential) for each in config.ice_servers]
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._pc.on("connectionstatechange", self._on_state)
        self._pc.on("datachannel", self._on_channel)
        self._offer_ufrags: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: asyncio.Task[None] | None = None

    async def answer(self, offer: str) -> str:
        """Answer an SDP offer that passed `check_offer`, and begin to connect. Raises `BadOffer`."""
        self._offer_ufrags = set(_UFRAG.findall(offer))
        self._pc.addTrack(PacketTrack(self.session))
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(without_mdns(offer), "offer"))
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except Exception as error:  # aiortc raises whatever its parser stumbles over
            raise BadOffer(f"the SDP offer cannot be used: {error or type(error).__name__}") from error
        self._spawn(self._give_up_unless_connected())
        return with_music_opus(self._pc.localDescription.sdp, self._bit_rate)

    async def trickle(self, fragment: str) -> None:
        """Add the candidates of an SDP fragment (RFC 8840). Raises `IceRestartRefused`, `BadRequest`."""
        if set(_UFRAG.findall(fragment)) - self._offer_ufrags:
            raise IceRestartRefused
        mid = re.search(r"^a=mid:(\S+)", fragment, re.MULTILINE)
        for line in without_mdns(fragment).splitlines():
            if not line.startswith("a=candidate:"):
                continue
            try:
                candidate = candidate_from_sdp(line.removeprefix("a=candidate:").strip())
            except (ValueError, IndexError, AssertionError) as error:
                raise BadRequest(f"the candidate {line!r} cannot be read", field="candidate", value=line) from error
            candidate.sdpMid, candidate.sdpMLineIndex = (mid[1], None) if mid else (None, 0)
            await self._pc.addIceCandidate(candidate)

    async def close(self) -> None:
        """End the session; all who ask wait for the same end."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
            _closings.add(self._closing)
            self._closing.add_done_callback(_closings.discard)
        await asyncio.shield(self._closing)  # aiortc never ends a close that was cut short

    async def _close(self) -> None:
        self.station.remove_session(self.session)
        for task in self._tasks:
            task.cancel()
        await self._pc.close()

    def _spawn(self, coroutine: asyncio.Future[None] | object) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _give_up_unless_connected(self) -> None:
        await asyncio.sleep(self._setup_timeout_s)
        if self._pc.connectionState != "connected":
            await self.close()

    async def _on_state(self) -> None:
        if self._pc.connectionState in ("failed", "closed"):
            await self.close()

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == "live":
            self._spawn(self._serve_channel(channel))

    async def _serve_channel(self, channel: RTCDataChannel) -> None:
        client = LiveClient(self.session.id)
        messages: asyncio.Queue[str | bytes] = asyncio.Queue(64)

        def on_message(message: str | bytes) -> None:
            with contextlib.suppress(asyncio.QueueFull):
                messages.put_nowait(message)

        async def send(text: str) -> None:
            if channel.readyState == "open" and channel.bufferedAmount < _MAX_BUFFERED_BYTES:
                channel.send(text)

        channel.on("message", on_message)
        channel.on("close", lambda: self.station.remove_client(client))
        self.station.add_client(client)
        telling = asyncio.create_task(live.tell(client, send))
        hearing = asyncio.create_task(self._hear_channel(client, messages))
        try:
            await telling
        finally:
            telling.cancel()
            hearing.cancel()
            self.station.remove_client(client)

    async def _hear_channel(self, client: LiveClient, messages: asyncio.Queue[str | bytes]) -> None:
        while True:
            await live.hear(self._conductor, self.station, client, await messages.get())
