"""A listener over WebRTC, the media half of WHEP. In: an SDP offer; out: an SDP answer, then RTP.

Remembers the peer connection. Event loop only. Opus packets are encoded elsewhere, once for all listeners, and sent by
`OpusSender`; the rest is aiortc's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcicetransport import parse_stun_turn_uri
from aiortc.sdp import candidate_from_sdp

from moods.errors import shown
from streaming import live
from streaming.conductor import Conductor
from streaming.errors import BadOffer, BadRequest, EngineUnavailable, IceRestartRefused, NoWebRtcNetwork
from streaming.messages import Closed
from streaming.reading import MAX_MESSAGE_BYTES
from streaming.roles import Grant
from streaming.session import BINARY, FLOODED, TOO_LONG, LiveClient, Session
from streaming.station import Station
from streaming.transports.offers import Offer, read_lines
from streaming.transports.ports import share_ports
from streaming.transports.sender import PLAIN, OpusSender, Protection
from streaming.transports.settings import IceServer, Profile
from streaming.transports.turn import logged_in

MAX_QUEUED_CHUNKS = 10
_MAX_BUFFERED_BYTES = 1 << 18
_MAX_MESSAGE_BYTES = 1 << 20
_MAX_UNHEARD = 512
"""So many messages of a data channel wait to be read: nothing there tells the other side to send more slowly."""
_UNSENT_S = 0.02
_GOODBYE_S = 0.5
"""How long the last words of the live channel may take."""
_closings: set[asyncio.Task[None]] = set()
"""The event loop itself holds its tasks weakly."""
_GATHERING_S = 0.6
"""How long an answer waits for STUN and TURN servers: they are asked anew for every peer, and some never answer."""


def with_music_opus(sdp: str, bit_rate: int, protection: Protection = PLAIN) -> str:
    """Say in an answer that Opus is stereo, at `bit_rate` bit/s (RFC 7587, section 7), and how it is protected."""
    match = re.search(r"^a=rtpmap:(\d+) opus/48000/2\r?$", sdp, re.MULTILINE | re.IGNORECASE)
    if match is None:
        return sdp
    payload = match[1]
    sdp = re.sub(rf"^a=fmtp:{payload} .*\r?\n", "", sdp, flags=re.MULTILINE)
    lines = f"a=fmtp:{payload} minptime=20;stereo=1;sprop-stereo=1;maxaveragebitrate={bit_rate}\r\n"
    if protection.nack:
        lines += f"a=rtcp-fb:{payload} nack\r\n"
    if protection.red is not None:
        lines += f"a=rtpmap:{protection.red} red/48000/2\r\na=fmtp:{protection.red} {payload}/{payload}\r\n"
    at = sdp.index("\n", match.start()) + 1
    sdp = sdp[:at] + lines + sdp[at:]
    if protection.red is not None:
        sdp = re.sub(rf"^(m=audio .* {payload})\b", rf"\1 {protection.red}", sdp, flags=re.MULTILINE)
    return sdp


def usable(servers: Sequence[IceServer]) -> list[RTCIceServer]:
    """Those that aiortc can ask itself; clients are told of all."""
    found = []
    for server in servers:
        with contextlib.suppress(ValueError):
            parse_stun_turn_uri(server.url)
            found.append(RTCIceServer(server.url, server.username, server.credential))
    return found


class WhepPeer:
    """One WHEP session: a peer connection that sends the station's packets to who made `offer`."""

    def __init__(
        self,
        conductor: Conductor,
        station: Station,
        session: Session,
        offer: Offer,
        grant: Grant,
        *,
        profile: Profile = "plain",
    ) -> None:
        config = conductor.config
        self.station, self.session, self.grant = station, session, grant
        self.etag = f'"{secrets.token_hex(4)}"'
        self._conductor, self._bit_rate = conductor, config.opus_bit_rate
        self._setup_timeout_s = config.setup_timeout_s
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=usable(logged_in(config.ice_servers, session.id))))
        self._pc.on("connectionstatechange", self._on_state)
        self._pc.on("datachannel", self._on_channel)
        self._offer = offer
        is_robust = profile == "robust"
        self._protection = Protection(is_robust, offer.red() if is_robust else None, offer.asks_again)
        self._tasks: set[asyncio.Task[None]] = set()
        self._channels: dict[asyncio.Task[None], tuple[RTCDataChannel, LiveClient]] = {}
        self._closing: asyncio.Task[None] | None = None
        session.carrier = self

    async def answer(self) -> str:
        """Answer the offer and begin to connect. Raises `BadOffer`, `NoWebRtcNetwork`, `EngineUnavailable`."""
        self._attach_sender()
        try:
            await self._pc.setRemoteDescription(RTCSessionDescription(self._offer.reduced(), "offer"))
            self._share_ports()
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except OSError as error:
            raise EngineUnavailable(f"no socket for another listener: {error.strerror or error}") from error
        except Exception as error:  # aiortc raises whatever its parser stumbles over
            raise BadOffer(f"the SDP offer cannot be used: {error or type(error).__name__}") from error
        answer = self._pc.localDescription.sdp
        if "a=candidate:" not in answer:
            raise NoWebRtcNetwork
        self._spawn(self._give_up_unless_connected())
        return self._offer.complete(with_music_opus(answer, self._bit_rate, self._protection))

    def _attach_sender(self) -> None:
        OpusSender(self.session, self._pc.addTransceiver("audio", "sendonly").sender, self._protection)

    def _share_ports(self) -> None:
        transports = {transceiver.receiver.transport for transceiver in self._pc.getTransceivers()}
        for transport in transports | ({self._pc.sctp.transport} if self._pc.sctp else set()):
            share_ports(transport.transport.iceGatherer._connection, _GATHERING_S)

    async def trickle(self, fragment: str) -> None:
        """Add the candidates of an SDP fragment (RFC 8840). Raises `IceRestartRefused`, `BadRequest`."""
        lines = [(name, value) for name, _, value in (line.partition(":") for line in read_lines(fragment))]
        if {value for name, value in lines if name == "a=ice-ufrag"} - self._offer.ice_ufrags():
            raise IceRestartRefused
        mid, candidates = None, []
        for name, value in lines:
            if name == "a=mid":
                mid = value
            elif name == "a=candidate":
                try:
                    candidate = candidate_from_sdp(value)
                except (ValueError, IndexError, AssertionError) as error:
                    refused = BadRequest(f"the candidate {shown(value)} cannot be read", field="candidate", value=value)
                    raise refused from error
                candidate.sdpMid = self._offer.peer_mid(mid)
                candidates += [candidate] if candidate.sdpMid is not None else []
        for candidate in candidates:
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
        await self._finish_channels()
        for task in self._tasks:
            task.cancel()
        await self._pc.close()

    async def _finish_channels(self) -> None:
        """Let the live channel say its last words."""
        channels = dict(self._channels)
        until_s = time.monotonic() + _GOODBYE_S
        for _, client in channels.values():
            self.station.remove_client(client)
        if channels:
            await asyncio.wait(channels, timeout=_GOODBYE_S)
        while any(channel.bufferedAmount for channel, _ in channels.values()) and time.monotonic() < until_s:
            await asyncio.sleep(0.01)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _give_up_unless_connected(self) -> None:
        await asyncio.sleep(self._setup_timeout_s)
        if self._pc.connectionState != "connected":
            await self.close()

    async def _on_state(self) -> None:
        if self._pc.connectionState in ("failed", "closed"):
            await self.close()

    def _on_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == "live":
            client = LiveClient(self.session.id)
            task = self._spawn(self._serve_channel(channel, client))
            self._channels[task] = channel, client
            task.add_done_callback(self._channels.pop)

    async def _serve_channel(self, channel: RTCDataChannel, client: LiveClient) -> None:
        messages: asyncio.Queue[str] = asyncio.Queue(_MAX_UNHEARD)

        def on_message(message: str | bytes) -> None:
            if not isinstance(message, str):
                client.cut(BINARY)
            elif len(message) > _MAX_MESSAGE_BYTES:
                client.cut(TOO_LONG)
            elif messages.full():
                client.cut(FLOODED)
            else:
                messages.put_nowait(message[: MAX_MESSAGE_BYTES + 1])  # what is longer is refused, and not kept

        async def send(text: str) -> None:
            while channel.readyState == "open" and channel.bufferedAmount > _MAX_BUFFERED_BYTES:
                await asyncio.sleep(_UNSENT_S)
            if channel.readyState == "open":
                channel.send(text)

        channel.on("message", on_message)
        channel.on("close", lambda: self.station.remove_client(client))
        self.station.add_client(client)
        hearing = live.Hearing(self._conductor, self.station, client.tell, may_steer=self.grant.may_steer)
        parts = live.tell(client, send), client.is_cut_off(), _hear_channel(hearing, messages)
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            self.station.remove_client(client)
        if (ending := client.mailbox.ending) is not None and channel.readyState == "open":
            channel.send(json.dumps(Closed(type="closed", code=ending.code, reason=ending.reason)))
            channel.close()


async def _hear_channel(hearing: live.Hearing, messages: asyncio.Queue[str]) -> None:
    while True:
        await hearing.hear(await messages.get())
