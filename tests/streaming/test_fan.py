"""Packets for many peers at once: each gets every one of them, its own numbers, and nothing of another's trouble."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Iterator

import pylibsrtp
import pytest
from aioice import Connection
from aiortc.rtp import RtpPacket

from engine.audio import BLOCK_FRAMES
from streaming.messages import LiveMessage
from streaming.session import Session
from streaming.transports.fan import COPY_AFTER, KEPT_PACKETS, Look, Peer, RtpFan
from streaming.transports.ports import Port, Ports
from tests.streaming.test_sender import chunk_of

PLAIN = Look(port=None, extension_bytes=0, opus=96, red=None, has_own_copies=False)


def policy(key: bytes, ssrc: int | None, inbound: bool) -> pylibsrtp.Policy:
    kind = pylibsrtp.Policy.SSRC_ANY_INBOUND if inbound else pylibsrtp.Policy.SSRC_ANY_OUTBOUND
    found = pylibsrtp.Policy(key, pylibsrtp.Policy.SSRC_SPECIFIC if ssrc else kind, ssrc or 0,
                             pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM)  # fmt: skip
    found.allow_repeat_tx = True
    return found


class Ear:
    """Who is sent to: what came, as it came, and decrypted."""

    all_sockets: list[socket.socket] = []

    def __init__(self, number: int, look: Look, *, ssrc: int | None = None) -> None:
        """Its sender's encryption knows no other `ssrc`."""
        key = bytes([number]) * 28
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.all_sockets.append(self.socket)
        self.datagrams: list[bytes] = []
        self.events: list[LiveMessage] = []
        self.reports: list[int] = []
        self.session = Session("test", 10, on_event=lambda session, event: self.events.append(event))
        self.peer = Peer(
            session=self.session,
            srtp=pylibsrtp.Session(policy(key, ssrc, inbound=False)),
            ssrc=1000 + number,
            payload_type=look.opus if look.red is None else look.red,
            extension=bytes.fromhex("bede000110300000")[: look.extension_bytes],  # one-byte headers, RFC 8285
            origin=(1 << 32) - 7 * BLOCK_FRAMES + number,
            sequence=65_530 + number % 5,
            report=self.reports.append,
            send=lambda datagram, address: self.datagrams.append(bytes(datagram)),
            address=self.socket.getsockname(),
        )
        self._opened = pylibsrtp.Session(policy(key, None, inbound=True))

    def join(self, fan: RtpFan) -> None:
        fan.join(self.peer)
        self.session.push_to(fan)

    def take(self) -> list[RtpPacket]:
        """The packets that came since."""
        while True:
            try:
                self.datagrams.append(self.socket.recv(2048))
            except BlockingIOError:
                break
        packets = [RtpPacket.parse(self._opened.unprotect(datagram)) for datagram in self.datagrams]
        self.datagrams.clear()
        return packets


@pytest.fixture(autouse=True)
def no_sockets_left() -> Iterator[None]:
    yield
    while Ear.all_sockets:
        Ear.all_sockets.pop().close()


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    port = Port("127.0.0.1", Ports())
    agent = Connection(ice_controlling=False)
    protocol = port.open(agent)
    yield port
    port.close(protocol)


@pytest.mark.parametrize("is_shared", [True, False], ids=["one socket", "ways of their own"])
async def test_each_gets_every_packet_from_its_coming_to_its_leaving(port: Port, is_shared: bool) -> None:
    chance, fans = random.Random(5), []
    look = PLAIN._replace(port=port if is_shared else None)
    fan = RtpFan(look, fans)
    ears, there, wanted = [Ear(number, look) for number in range(40)], set(), {}
    for block in range(60):
        for ear in chance.sample(ears, 3):
            if ear in there and chance.random() < 0.5:
                ear.session.close()
                there.discard(ear)
            elif ear not in wanted:
                wanted[ear] = []
                ear.join(fan)
                there.add(ear)
        chunk = chunk_of((block + (5 if block >= 30 else 0)) * BLOCK_FRAMES, 300 + block)
        fan.push(chunk)
        for ear in there:
            wanted[ear].append(chunk)
    assert len(wanted) > 30 and len(there) > 5
    for ear, chunks in wanted.items():
        packets = ear.take()
        assert [packet.payload for packet in packets] == [chunk.packet for chunk in chunks]
        numbers, times = ([getattr(packet, name) for packet in packets] for name in ("sequence_number", "timestamp"))
        first = 65_530 + (ear.peer.ssrc - 1000) % 5
        assert numbers == [(first + number) % 65_536 for number in range(len(packets))]
        assert times == [(ear.peer.origin + chunk.frame) % (1 << 32) for chunk in chunks]
        begun = [chunk.frame for chunk, packet in zip(chunks, packets, strict=True) if packet.marker]
        assert begun == [chunk.frame for chunk in chunks if chunk in (chunks[0],) or chunk.frame == 35 * BLOCK_FRAMES]
        assert {packet.ssrc for packet in packets} <= {ear.peer.ssrc}
        gaps = [event for event in ear.events if event["type"] == "dropped"]
        spans_the_gap = chunks and chunks[0].frame < 30 * BLOCK_FRAMES < chunks[-1].frame
        assert [(gap["frame"], gap["frames"]) for gap in gaps] == (
            [(30 * BLOCK_FRAMES, 5 * BLOCK_FRAMES)] if spans_the_gap else []
        )
    for ear in there:
        ear.session.close()
    assert not fans


async def test_what_is_sent_again_is_the_same_to_the_bit_and_only_what_was_sent() -> None:
    look = PLAIN._replace(extension_bytes=8)
    fan, ears = RtpFan(look, []), [Ear(number, look) for number in range(3)]
    ears[0].join(fan)
    for block in range(2 * KEPT_PACKETS):
        if block == KEPT_PACKETS + 40:
            ears[1].join(fan)
        if block == KEPT_PACKETS + 50:
            ears[0].session.close()
            ears[0].join(fan)  # in another row
        fan.push(chunk_of((block + 3 * (block > KEPT_PACKETS + 45)) * BLOCK_FRAMES, 200))
    for ear, num_sent in ((ears[0], KEPT_PACKETS - 50), (ears[1], KEPT_PACKETS - 40)):
        sent = list(ear.datagrams)
        assert not fan.send_again(ear.peer, num_sent) and not fan.send_again(ear.peer, -1)
        assert all(fan.send_again(ear.peer, back) for back in range(num_sent))
        assert ear.datagrams[len(sent) :][::-1] == sent[-num_sent:]


async def test_copies_of_their_own_are_those_of_what_was_sent() -> None:
    look = PLAIN._replace(has_own_copies=True)
    fan, ear = RtpFan(look, []), Ear(1, look)
    ear.join(fan)
    for block in range(20):
        fan.push(chunk_of(block * BLOCK_FRAMES, 100))
    copies = ear.datagrams[COPY_AFTER + 1 :: 2]
    assert copies == [*ear.datagrams[:COPY_AFTER], *ear.datagrams[COPY_AFTER::2]][: len(copies)]


async def test_one_that_cannot_be_encrypted_for_ends_alone(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    look = PLAIN._replace(port=port)
    fan = RtpFan(look, [])
    ears = [Ear(number, look, ssrc=9 if number == 1 else None) for number in range(4)]
    for ear in ears:
        ear.join(fan)
    chunks = [chunk_of(block * BLOCK_FRAMES, 300) for block in range(5)]
    for chunk in chunks:
        fan.push(chunk)
    assert ears[1].session.mailbox.is_closed and not ears[1].take()
    assert [len(ear.take()) for ear in ears if ear is not ears[1]] == 3 * [len(chunks)]
    assert len([record for record in caplog.records if "cannot be sent to" in record.getMessage()]) == 1
