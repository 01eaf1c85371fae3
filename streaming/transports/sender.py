"""A station's packets as RTP to one WebRTC peer. In: chunks; out: SRTP datagrams on the path that ICE has chosen.

ICE, DTLS and what the peer says stay aiortc's. Its own sender keeps two tasks a peer and wakes one for every packet;
this one has none: a chunk has left when `send` returns. Remembers the packets of the last second. Event loop only.
"""

from __future__ import annotations

import contextlib
import random
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pylibsrtp
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
from pylibsrtp._binding import ffi as srtp_ffi
from pylibsrtp._binding import lib as srtp

from engine.audio import BLOCK_FRAMES
from streaming.engines.ring import Chunk
from streaming.session import Session

_memory = srtp_ffi.new("char[]", 2048)
_scratch = memoryview(srtp_ffi.buffer(_memory))
_size = srtp_ffi.new("int *")
"""Where each packet is encrypted, one after another."""
_HEAD = struct.Struct("!BBHLL")
_RTP_VERSION, _HAS_EXTENSION, _MARKER = 0x80, 0x10, 0x80
_CNAME = 1
_MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
_REPORT_PACKETS = 250
"""A sender report, and the clock of the live channel, every 5 s: what RFC 3550, section 6.2, asks for at least."""
_KEPT_PACKETS = 64
"""For a peer that asks again; whoever waits longer for a packet has played over it."""
COPY_AFTER = 2
"""By so many packets a copy follows its packet: a burst that takes both is rare, and players wait for 40 ms."""
MAX_PAYLOAD_BYTES = 1200
"""More might be cut up on its way, and is then lost with any of its pieces."""
_MAX_RED_BYTES = 1023
"""RFC 2198, section 3."""


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


def with_copy(payload_type: int, chunk: Chunk, earlier: Chunk | None) -> bytes:
    """The payload of RFC 2198 of a chunk with an earlier one, where there is room for it."""
    primary = bytes((payload_type,)) + chunk.packet
    if earlier is None:
        return primary
    offset, length = chunk.frame - earlier.frame, len(earlier.packet)
    if not 0 < offset < 1 << 14 or length > _MAX_RED_BYTES or len(primary) + 4 + length > MAX_PAYLOAD_BYTES:
        return primary
    head = (0x80 | payload_type) << 24 | offset << 10 | length
    return head.to_bytes(4) + primary[:1] + earlier.packet + chunk.packet


def _lose(datagram: bytes | memoryview, address: Any) -> None:
    """There is no way to the peer."""


class OpusSender:
    """Sends one session's chunks to its peer, in place of the aiortc sender whose SSRC it has."""

    def __init__(self, session: Session, sender: RTCRtpSender, protection: Protection) -> None:
        self._session, self._aiortc, self._protection = session, sender, protection
        self._ssrc: int = sender._ssrc  # aiortc finds the sender of a report by it
        sender.send, sender.stop = self.start, self.stop
        self._dtls: Any = None
        self._origin = random.getrandbits(32)
        self._sequence = random.getrandbits(15)
        """Begins in the lower half: a receiver that misses the first packets guesses how often it has gone round."""
        self._num_packets = self._num_bytes = 0
        self._next_frame = -1
        self._chunks: deque[Chunk] = deque(maxlen=COPY_AFTER)
        """Those before the one to send, where they travel with it."""
        self._has_own_copies = protection.is_robust and protection.red is None
        self._keeps = protection.nack or self._has_own_copies
        self._kept: deque[tuple[int, bytes]] = deque(maxlen=_KEPT_PACKETS)
        """Sequence number and datagram: what is sent again is the same to the bit, for a cipher uses a nonce once."""
        self._num_spare = 0
        """So many may be sent again: in the long run each once."""
        self._pair: Any = None
        self._sendto: Callable[[bytes | memoryview, Any], object] = _lose
        self._address: Any = None

    async def start(self, parameters: RTCRtpSendParameters) -> None:
        """The peer is connected: begin. aiortc calls it after every negotiation."""
        if self._dtls is not None:
            return
        self._dtls = self._aiortc.transport
        self._dtls._register_rtp_sender(self, parameters)
        self._context = self._dtls._tx_srtp._srtp[0]
        self._nominated = self._dtls.transport._connection._nominated
        self._opus = parameters.codecs[0].payloadType
        self._payload_type = self._opus if self._protection.red is None else self._protection.red
        extensions = [
            (extension.id, parameters.muxId.encode())
            for extension in parameters.headerExtensions
            if extension.uri == _MID and parameters.muxId
        ]
        profile, value = pack_header_extensions(extensions)
        self._extension = struct.pack("!HH", profile, len(value) // 4) + value if extensions else b""
        self._first_byte = _RTP_VERSION | (_HAS_EXTENSION if extensions else 0)
        self._cname = parameters.rtcp.cname or ""
        self._session.push_to(self.send)

    async def stop(self) -> None:
        """Say goodbye; nothing is sent afterwards."""
        self._session.close()
        if self._dtls is not None:
            self._dtls._unregister_rtp_sender(self)
            with contextlib.suppress(ConnectionError):
                await self._dtls._send_rtp(bytes(RtcpByePacket(sources=[self._ssrc])))

    def send(self, chunk: Chunk) -> None:
        """Send 20 ms."""
        timestamp = (self._origin + chunk.frame) & 0xFFFFFFFF
        payload = chunk.packet
        if self._protection.red is not None:
            payload = with_copy(self._opus, chunk, self._chunks[0] if len(self._chunks) == COPY_AFTER else None)
            self._chunks.append(chunk)
        payload_type = self._payload_type if chunk.frame == self._next_frame else self._payload_type | _MARKER
        head = _HEAD.pack(self._first_byte, payload_type, self._sequence, timestamp, self._ssrc)
        datagram = self._protect(head + self._extension + payload)
        self._put(datagram)
        if self._keeps:
            self._kept.append((self._sequence, bytes(datagram)))
            if self._has_own_copies and len(self._kept) > COPY_AFTER:
                self._put(self._kept[-1 - COPY_AFTER][1])
            self._num_spare = min(self._num_spare + 1, _KEPT_PACKETS)
        self._next_frame = chunk.frame + BLOCK_FRAMES
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._num_bytes += len(payload)
        self._num_packets += 1
        if self._num_packets % _REPORT_PACKETS == 1:
            self._session.tell_clock(chunk.frame, timestamp)
            self._report(timestamp)

    def _protect(self, packet: bytes) -> memoryview:
        """The packet encrypted, until the next is: what pylibsrtp does, without its allocations."""
        size = len(packet)
        _scratch[:size] = packet
        _size[0] = size
        if failure := srtp.srtp_protect(self._context, _memory, _size):
            raise pylibsrtp.Error(pylibsrtp.ERRORS[failure])
        return _scratch[: _size[0]]

    def _put(self, datagram: bytes | memoryview) -> None:
        """Send on the pair of candidates that is chosen now, if any is; it does not wait, by way of a relay neither."""
        pair = self._nominated.get(1)
        if pair is not self._pair:
            self._choose(pair)
        with contextlib.suppress(OSError):  # what the system has no room for now is lost as it might be on its way
            self._sendto(datagram, self._address)

    def _choose(self, pair: Any) -> None:
        self._pair = pair
        if pair is None:
            self._sendto = _lose
            return
        transport, self._address = pair.protocol.transport, pair.remote_addr
        own = transport.get_extra_info("socket")
        self._sendto = transport.sendto if own is None else own._sock.sendto  # a relay has none

    def _report(self, timestamp: int) -> None:
        now = RtcpSenderInfo(clock.current_ntp_time(), timestamp, self._num_packets, self._num_bytes & 0xFFFFFFFF)
        name = RtcpSourceInfo(ssrc=self._ssrc, items=[(_CNAME, self._cname.encode())])
        packet = bytes(RtcpSrPacket(ssrc=self._ssrc, sender_info=now)) + bytes(RtcpSdesPacket(chunks=[name]))
        self._put(self._dtls._tx_srtp.protect_rtcp(packet))

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        """Send again what the peer misses; of its other reports nothing is needed."""
        if not isinstance(packet, RtcpRtpfbPacket) or packet.fmt != RTCP_RTPFB_NACK:
            return
        lost = {sequence & 0xFFFF for sequence in packet.lost}
        for datagram in [datagram for sequence, datagram in self._kept if sequence in lost][: self._num_spare]:
            self._num_spare -= 1
            self._put(datagram)
