"""A session's part in the sending of a station's packets to one WebRTC peer. In: what ICE has chosen; out: a place in a
fan, which sends, and reports.

ICE, DTLS and what the peer says stay aiortc's. Its own sender keeps two tasks a peer and wakes one for every packet;
here no task is woken, and nothing is done for one peer that can be done for all. Event loop only.
"""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiortc import RTCRtpSender, clock
from aiortc.rtcrtpparameters import RTCRtpSendParameters
from aiortc.rtp import (
    RTCP_RTPFB_NACK,
    AnyRtcpPacket,
    RtcpByePacket,
    RtcpRtpfbPacket,
    RtcpSdesPacket,
    RtcpSenderInfo,
    RtcpSourceInfo,
    RtcpSrPacket,
    pack_header_extensions,
)

from streaming.session import Session
from streaming.transports.fan import KEPT_PACKETS, Look, Peer, RtpFan
from streaming.transports.ports import PortProtocol

_CNAME = 1
_MID = "urn:ietf:params:rtp-hdrext:sdes:mid"


@dataclass(frozen=True)
class Protection:
    """What is done against the loss of packets on the way to a peer."""

    is_robust: bool = False
    """Every packet is sent twice."""
    red: int | None = None
    """The payload type under which a packet carries an earlier one (RFC 2198); None where the peer does not read it,
    and copies are packets of their own."""
    nack: bool = False
    """The peer asks again for what it misses (RFC 4585)."""


PLAIN = Protection()


class OpusSender:
    """Has one session's chunks sent to its peer, in place of the aiortc sender whose SSRC it has."""

    def __init__(self, session: Session, sender: RTCRtpSender, protection: Protection) -> None:
        self._session, self._aiortc, self._protection = session, sender, protection
        self._ssrc: int = sender._ssrc  # aiortc finds the sender of a report by it
        sender.send, sender.stop = self.start, self.stop
        self._dtls: Any = None
        self._fan: RtpFan | None = None
        self._num_spare, self._num_counted = 0, 0
        """So many packets may be sent again, in the long run each once, of those counted until then."""

    async def start(self, parameters: RTCRtpSendParameters) -> None:
        """The peer is connected: begin. aiortc calls it after every negotiation."""
        if self._dtls is not None:
            return
        self._dtls = self._aiortc.transport
        self._dtls._register_rtp_sender(self, parameters)
        extensions = [
            (extension.id, parameters.muxId.encode())
            for extension in parameters.headerExtensions
            if extension.uri == _MID and parameters.muxId
        ]
        profile, value = pack_header_extensions(extensions)
        extension = struct.pack("!HH", profile, len(value) // 4) + value if extensions else b""
        self._opus, red = parameters.codecs[0].payloadType, self._protection.red
        self._peer = Peer(
            session=self._session,
            srtp=self._dtls._tx_srtp,
            ssrc=self._ssrc,
            payload_type=self._opus if red is None else red,
            extension=extension,
            origin=random.getrandbits(32),
            sequence=random.getrandbits(15),  # a receiver that misses the first ones guesses how often it went round
            report=self._report,
        )
        self._cname = parameters.rtcp.cname or ""
        connection = self._dtls.transport._connection
        self._nominated = connection._nominated = _Nominated(connection._nominated, self._follow)
        self._follow()

    async def stop(self) -> None:
        """Say goodbye; nothing is sent afterwards."""
        self._session.close()
        if self._dtls is not None:
            self._dtls._unregister_rtp_sender(self)
            with contextlib.suppress(ConnectionError):
                await self._dtls._send_rtp(bytes(RtcpByePacket(sources=[self._ssrc])))

    def _follow(self) -> None:
        """Be sent to on the pair of candidates that is chosen now, if any is."""
        if self._session.fan is not None:
            self._session.fan.leave(self._session)
            self._session.fan = None
        pair = self._nominated.get(1)
        if pair is None or self._session.mailbox.is_closed:
            return
        port = pair.protocol.port if isinstance(pair.protocol, PortProtocol) else None
        self._peer.send = pair.protocol.transport.sendto if port is None else port.send
        self._peer.address = pair.remote_addr
        has_own_copies = self._protection.is_robust and self._protection.red is None
        look = Look(port, len(self._peer.extension), self._opus, self._protection.red, has_own_copies)
        fans = (fan for fan in self._session.fans if isinstance(fan, RtpFan) and fan.look == look and not fan.is_full)
        self._fan = next(fans, None) or RtpFan(look, self._session.fans)
        self._fan.join(self._peer)
        self._session.push_to(self._fan)

    def _report(self, frame: int) -> None:
        """Tell the peer, and the clients of the live channel, which time a frame has."""
        assert self._fan is not None
        timestamp = (self._peer.origin + frame) & 0xFFFFFFFF
        self._session.tell_clock(frame, timestamp)
        num_packets, num_bytes = self._fan.sent_to(self._peer)
        now = RtcpSenderInfo(clock.current_ntp_time(), timestamp, num_packets & 0xFFFFFFFF, num_bytes & 0xFFFFFFFF)
        name = RtcpSourceInfo(ssrc=self._ssrc, items=[(_CNAME, self._cname.encode())])
        packet = bytes(RtcpSrPacket(ssrc=self._ssrc, sender_info=now)) + bytes(RtcpSdesPacket(chunks=[name]))
        self._peer.send(self._dtls._tx_srtp.protect_rtcp(packet), self._peer.address)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        """Send again what the peer misses; of its other reports nothing is needed."""
        is_asking = isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK
        if not is_asking or self._fan is None or self._session.fan is not self._fan:
            return
        num_packets, _ = self._fan.sent_to(self._peer)
        self._num_spare = min(self._num_spare + num_packets - self._num_counted, KEPT_PACKETS)
        self._num_counted = num_packets
        following = self._fan.next_sequence(self._peer)
        for sequence in sorted({sequence & 0xFFFF for sequence in packet.lost}):
            if self._num_spare and self._fan.send_again(self._peer, (following - 1 - sequence) & 0xFFFF):
                self._num_spare -= 1


class _Nominated(dict[int, Any]):
    """The pairs of candidates that an ICE agent has chosen; tells when others are."""

    def __init__(self, pairs: dict[int, Any], on_change: Callable[[], None]) -> None:
        super().__init__(pairs)
        self._on_change = on_change

    def __setitem__(self, component: int, pair: Any) -> None:
        is_new = self.get(component) is not pair
        super().__setitem__(component, pair)
        if is_new:
            self._on_change()

    def clear(self) -> None:
        super().clear()
        self._on_change()
