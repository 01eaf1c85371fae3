"""Sends a station's packets as RTP to many WebRTC peers at once. In: chunks; out: SRTP datagrams.

What differs between peers is a row of arrays: the head of the next packet, where its payload lies and is encrypted, its
address. A tick is a few operations on all rows, a call of libsrtp for each, and one of the system for all (`sendmmsg`).
A fan remembers its rows, and the payloads of the last second for who asks again. Event loop only.
"""

from __future__ import annotations

import ctypes
import ipaddress
import logging
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pylibsrtp
from pylibsrtp._binding import ffi, lib

from engine.audio import BLOCK_FRAMES
from streaming.engines.ring import Chunk
from streaming.journal import about
from streaming.session import Fan, Session
from streaming.transports.ports import Port

log = logging.getLogger(__name__)

MAX_PEERS = 128
"""A fan is sent to in one go: more would keep whoever else waits for the event loop."""
REPORT_PACKETS = 250
"""A sender report, and the clock of the live channel, every 5 s: what RFC 3550, section 6.2, asks for at least."""
KEPT_PACKETS = 64
"""For a peer that asks again; whoever waits longer for a packet has played over it."""
COPY_AFTER = 2
"""By so many packets a copy follows its packet: a burst that takes both is rare, and players wait for 40 ms."""
MAX_PAYLOAD_BYTES = 1200
"""More might be cut up on its way, and is then lost with any of its pieces."""
_RTP_VERSION, _HAS_EXTENSION = 0x80, 0x10
_MARKER, _NO_MARKER = np.uint8(0x80), np.uint8(0x7F)
_MAX_RED_BYTES = 1023
"""RFC 2198, section 3."""
_ROW_BYTES = 2048
"""A head with extensions, what one packet of Opus may take or RED does, and what encryption adds."""
_HEAD = np.dtype([("first", "u1"), ("type", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4")])
"""RFC 3550, section 5.1."""
_IOVEC = np.dtype([("base", "u8"), ("length", "u8")])
_MESSAGE = np.dtype(
    {
        "names": ["name", "name_length", "parts", "num_parts"],
        "formats": ["u8", "u4", "u8", "u8"],
        "offsets": [0, 8, 16, 24],
        "itemsize": 64,
    }
)
"""Linux' struct mmsghdr where a pointer has 64 bits."""
_NAME_BYTES = 28
"""As long as a sockaddr_in6."""
_sendmmsg: Any = None
_DONT_WAIT = 0
if sys.platform == "linux" and ctypes.sizeof(ctypes.c_void_p) == 8:
    _sendmmsg, _DONT_WAIT = ctypes.CDLL(None).sendmmsg, socket.MSG_DONTWAIT
    _sendmmsg.argtypes = ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int


class Look(NamedTuple):
    """What the packets of a fan have in common."""

    port: Port | None
    """By which all leave; None where each has a way of its own, as by a relay."""
    extension_bytes: int
    opus: int
    """The payload type of Opus."""
    red: int | None
    """That under which a packet carries an earlier one; see `Protection`."""
    has_own_copies: bool


class _Kept(NamedTuple):
    """What a packet sent before had in it."""

    frame: int
    payload: bytes
    has_gap: bool
    """It did not follow the one before."""


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


def _name_of(address: tuple[str, int]) -> bytes:
    """A sockaddr_in or sockaddr_in6."""
    host, number = ipaddress.ip_address(address[0]), struct.pack("!H", address[1])
    if host.version == 4:
        return struct.pack("=H", socket.AF_INET) + number + host.packed + bytes(8)
    return struct.pack("=H", socket.AF_INET6) + number + bytes(4) + host.packed + bytes(4)


@dataclass(eq=False)
class Peer:
    """Whom a fan sends to; it may go from one to another."""

    session: Session
    srtp: pylibsrtp.Session
    ssrc: int
    payload_type: int
    extension: bytes
    """What stands between head and payload."""
    origin: int
    """The RTP time of frame 0."""
    sequence: int
    """The number of its next packet, while it belongs to no fan."""
    report: Callable[[int], None]
    """Called with the frame of a packet, whenever a sender report is due."""
    send: Callable[[bytes | memoryview, tuple[str, int]], object] = lambda datagram, address: None
    address: tuple[str, int] = ("", 0)
    num_packets: int = 0
    num_bytes: int = 0
    """Both of the fans that it has left."""
    row: int = -1
    joined: tuple[int, int] = (0, 0)
    """How many packets and bytes its fan had sent before it came."""

    def fail(self, status: int) -> None:
        """End its session for a fault of ours."""
        facts = about(session=self.session.id, kind=self.session.kind)
        log.error("a listener cannot be sent to: %s", pylibsrtp.ERRORS[status], extra=facts)
        self.session.break_off()


class RtpFan(Fan):
    """Peers of one feed whose packets look alike, row by row."""

    def __init__(self, look: Look, fans: list[Fan]) -> None:
        """Be one of the feed's `fans` as long as there are peers."""
        self.look = look
        self._fans = fans
        self._peers: list[Peer] = []
        self._contexts: list[Any] = []
        """Of libsrtp, as the rows are."""
        self._fresh: list[Peer] = []
        """Those that have had no packet yet."""
        self._memory = np.zeros((MAX_PEERS, _ROW_BYTES), np.uint8)
        self._sizes = np.zeros(MAX_PEERS, np.int32)
        self._heads = self._memory[:, : _HEAD.itemsize].view(_HEAD)[:, 0]
        self._payload_at = _HEAD.itemsize + look.extension_bytes
        self._names = np.zeros((MAX_PEERS, _NAME_BYTES), np.uint8)
        self._parts, self._messages = np.zeros(MAX_PEERS, _IOVEC), np.zeros(MAX_PEERS, _MESSAGE)
        self._link_rows()
        self._chunks: deque[Chunk] = deque(maxlen=COPY_AFTER)
        """Those before the one to send, where they travel with it."""
        self._kept: deque[_Kept] = deque(maxlen=KEPT_PACKETS)
        self._frame, self._next_frame = 0, -1
        self._num_packets = self._num_bytes = 0
        self._reports: list[list[Peer]] = [[] for _ in range(REPORT_PACKETS)]
        """Who is due after how many packets."""
        fans.append(self)

    def _link_rows(self) -> None:
        """Point from the system's and libsrtp's structures into the arrays."""
        rows = np.arange(MAX_PEERS, dtype=np.uint64)
        self._parts["base"] = self._memory.ctypes.data + rows * np.uint64(_ROW_BYTES)
        self._messages["name"] = self._names.ctypes.data + rows * np.uint64(_NAME_BYTES)
        self._messages["parts"] = self._parts.ctypes.data + rows * np.uint64(_IOVEC.itemsize)
        self._messages["num_parts"] = 1
        self._starts = [ffi.cast("void *", int(base)) for base in self._parts["base"]]
        self._size_places = [ffi.cast("int *", self._sizes.ctypes.data + 4 * row) for row in range(MAX_PEERS)]

    @property
    def is_full(self) -> bool:
        return len(self._peers) == MAX_PEERS

    def join(self, peer: Peer) -> None:
        """Send to a peer from the next packet on."""
        row = peer.row = len(self._peers)
        peer.joined = self._num_packets, self._num_bytes
        self._peers.append(peer)
        self._contexts.append(peer.srtp._srtp[0])
        self._fresh.append(peer)
        first_byte = _RTP_VERSION | (_HAS_EXTENSION if peer.extension else 0)
        timestamp = (peer.origin + self._frame) & 0xFFFFFFFF
        self._heads[row] = first_byte, peer.payload_type, (peer.sequence - 1) & 0xFFFF, timestamp, peer.ssrc
        self._memory[row, _HEAD.itemsize : self._payload_at] = np.frombuffer(peer.extension, np.uint8)
        if self.look.port is not None:
            name = _name_of(peer.address)
            self._names[row, : len(name)] = np.frombuffer(name, np.uint8)
            self._messages["name_length"][row] = len(name)
        self._reports[self._num_packets % len(self._reports)].append(peer)

    def leave(self, session: Session) -> None:
        """Send no more to this session's peer."""
        peer = next(peer for peer in self._peers if peer.session is session)
        peer.sequence = self.next_sequence(peer)
        peer.num_packets, peer.num_bytes = self.sent_to(peer)
        self._note_end(peer)
        self._reports[peer.joined[0] % len(self._reports)].remove(peer)
        row, last, context = peer.row, self._peers.pop(), self._contexts.pop()
        for rows in (self._memory, self._sizes, self._names, self._messages["name_length"]):
            rows[row] = rows[last.row]
        if last is not peer:
            self._peers[row], self._contexts[row], last.row = last, context, row
        if peer in self._fresh:
            self._fresh.remove(peer)
        if not self._peers:
            self._fans.remove(self)

    def break_off(self) -> None:
        """End the sessions of all."""
        for peer in list(self._peers):
            peer.session.break_off()

    def next_sequence(self, peer: Peer) -> int:
        return (int(self._heads["sequence"][peer.row]) + 1) & 0xFFFF

    def sent_to(self, peer: Peer) -> tuple[int, int]:
        """How many packets, and bytes in them, a peer has been sent, here and before."""
        num_packets, num_bytes = peer.joined
        return peer.num_packets + self._num_packets - num_packets, peer.num_bytes + self._num_bytes - num_bytes

    def push(self, chunk: Chunk) -> None:
        """Send 20 ms to all."""
        if not self._peers:
            return
        has_gap = chunk.frame != self._next_frame
        for peer in self._peers if has_gap else self._fresh:
            self._note_end(peer)
            peer.session.note(chunk)
        due = self._reports[self._num_packets % len(self._reports)]
        self._fill(chunk, has_gap)
        self._encrypt()
        self._send()
        if self.look.has_own_copies:
            for peer in self._peers:
                self.send_again(peer, COPY_AFTER)
        for peer in list(due):
            peer.report(chunk.frame)

    def _note_end(self, peer: Peer) -> None:
        """Note until where a peer's session has been sent to."""
        if peer.joined[0] < self._num_packets:
            peer.session.next_frame = self._next_frame

    def _fill(self, chunk: Chunk, has_gap: bool) -> None:
        """Write each row's packet as it is before encryption."""
        payload, num = self._payload(chunk), len(self._peers)
        heads, size = self._heads[:num], self._payload_at + len(payload)
        heads["sequence"] += np.uint16(1)
        heads["timestamp"] += np.uint32((chunk.frame - self._frame) & 0xFFFFFFFF)
        heads["type"] &= _NO_MARKER
        for peer in self._peers if has_gap else self._fresh:
            heads["type"][peer.row] |= _MARKER
        self._fresh.clear()
        self._memory[:num, self._payload_at : size] = np.frombuffer(payload, np.uint8)
        self._sizes[:num] = size
        self._kept.append(_Kept(chunk.frame, payload, has_gap))
        self._frame, self._next_frame = chunk.frame, chunk.frame + BLOCK_FRAMES
        self._num_packets += 1
        self._num_bytes += len(payload)

    def _payload(self, chunk: Chunk) -> bytes:
        if self.look.red is None:
            return chunk.packet
        earlier = self._chunks[0] if len(self._chunks) == COPY_AFTER else None
        self._chunks.append(chunk)
        return with_copy(self.look.opus, chunk, earlier)

    def _encrypt(self) -> None:
        """Encrypt in place; who cannot be encrypted for is sent nothing more."""
        statuses = list(map(lib.srtp_protect, self._contexts, self._starts, self._size_places))
        if any(statuses):
            for peer, status in [pair for pair in zip(self._peers, statuses, strict=True) if pair[1]]:
                peer.fail(status)

    def _send(self) -> None:
        num = len(self._peers)
        if self.look.port is None or _sendmmsg is None:
            for peer in self._peers:
                peer.send(self._memory[peer.row, : self._sizes[peer.row]].tobytes(), peer.address)
            return
        self._parts["length"][:num] = self._sizes[:num]
        descriptor, messages, sent = self.look.port.socket.fileno(), self._messages.ctypes.data, 0
        while sent < num:
            done = _sendmmsg(descriptor, messages + sent * _MESSAGE.itemsize, num - sent, _DONT_WAIT)
            sent += max(1, done)  # the one that the system has no room for is lost as it might be on its way

    def send_again(self, peer: Peer, back: int) -> bool:
        """Send a peer the packet that came so many before its last, if it has had one and that is kept.

        It is encrypted anew, and is the same to the bit: a cipher may use a number once.
        """
        num_had = self._num_packets - peer.joined[0]
        if not 0 <= back < min(num_had, len(self._kept)):
            return False
        kept = self._kept[-1 - back]
        packet = self._memory[peer.row, : self._payload_at].copy()
        head = packet[: _HEAD.itemsize].view(_HEAD)
        head["sequence"] -= np.uint16(back)
        head["timestamp"] -= np.uint32((self._frame - kept.frame) & 0xFFFFFFFF)
        head["type"] &= _NO_MARKER
        if kept.has_gap or back == num_had - 1:
            head["type"] |= _MARKER
        peer.send(peer.srtp.protect(packet.tobytes() + kept.payload), peer.address)
        return True
