"""What leaves for a WebRTC peer: packets, their copies where they are protected, and what it asks for again."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Container
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from aiortc import RTCSessionDescription
from aiortc.rtp import RTCP_RTPFB_NACK, RtcpPacket, RtcpRtpfbPacket, RtcpSrPacket, RtpPacket, is_rtcp

from engine.audio import BLOCK_FRAMES
from streaming.engines.ring import Chunk
from streaming.transports import fan as sending_to_many
from streaming.transports import sender as sending
from streaming.transports.fan import COPY_AFTER, MAX_PAYLOAD_BYTES, with_copy
from tests.streaming.conftest import Running
from tests.streaming.test_http import assert_problem
from tests.streaming.test_webrtc import SDP, Listener, make_offer

OPUS, RED = 96, 63
TIMESTAMPS = 1 << 32


class Wire:
    """What a peer receives, in the order of arrival, but for the packets of sound whose number is in `lost`."""

    def __init__(self, listener: Listener, lost: Container[int] = ()) -> None:
        self.packets: list[RtpPacket] = []
        self.reports: list[RtcpSrPacket] = []
        self.num_sent = 0
        """Packets of sound that came so far or were lost, copies included."""
        self._lost, self._arrived = lost, asyncio.Event()
        self.dtls = listener.peer.getReceivers()[0].transport
        self.dtls._handle_rtp_data, self.dtls._handle_rtcp_data = self._take, self._take_report
        self._receive, self.dtls.transport._recv = self.dtls.transport._recv, self._pass

    async def _pass(self) -> bytes:
        while True:
            datagram = await self._receive()
            if not 128 <= datagram[0] < 192 or is_rtcp(datagram):
                return datagram
            self.num_sent += 1
            if self.num_sent - 1 not in self._lost:
                return datagram

    async def _take(self, datagram: bytes, arrival_time_ms: int) -> None:
        self.packets.append(RtpPacket.parse(datagram))
        self._arrived.set()

    async def _take_report(self, datagram: bytes) -> None:
        self.reports += [packet for packet in RtcpPacket.parse(datagram) if isinstance(packet, RtcpSrPacket)]
        self._arrived.set()

    async def until(self, is_there: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_there():
                self._arrived.clear()
                await self._arrived.wait()


async def hear(server: Running, *lines: str, query: str = "", lost: Container[int] = ()) -> tuple[Listener, Wire]:
    """Listen with an offer that says `lines` of Opus, too."""
    listener = await make_offer()
    said = "".join(f"{line}\r\n" for line in lines)
    offer = re.sub(r"a=rtpmap:96 opus.*\r\n", rf"\g<0>{said}", listener.peer.localDescription.sdp)
    wire = Wire(listener, lost)
    async with httpx.AsyncClient(base_url=server.address) as http:
        response = await http.post(server.open()["links"]["whep"] + query, content=offer, headers=SDP)
    assert response.status_code == 201, response.text
    listener.answer = response.text
    await listener.peer.setRemoteDescription(RTCSessionDescription(response.text, "answer"))
    return listener, wire


def chunk_of(frame: int, length: int) -> Chunk:
    return Chunk(frame, bytes(frame // BLOCK_FRAMES % 256 for _ in range(length)), np.zeros((960, 2), np.float32), 0, 0)


def read_red(payload: bytes) -> list[tuple[int, int, bytes]]:
    """Payload type, distance in frames, and bytes of each block, the newest last (RFC 2198, section 3)."""
    heads, at = [], 0
    while payload[at] & 0x80:
        head = int.from_bytes(payload[at : at + 4])
        heads.append((head >> 24 & 0x7F, head >> 10 & 0x3FFF, head & 0x3FF))
        at += 4
    heads.append((payload[at], 0, len(payload) - at - 1 - sum(length for *_, length in heads)))
    at, blocks = at + 1, []
    for payload_type, offset, length in heads:
        blocks.append((payload_type, offset, payload[at : at + length]))
        at += length
    return blocks


def test_a_copy_is_read_as_the_standard_says() -> None:
    earlier, chunk = chunk_of(3 * BLOCK_FRAMES, 300), chunk_of(5 * BLOCK_FRAMES, 401)
    blocks = read_red(with_copy(OPUS, chunk, earlier))
    assert blocks == [(OPUS, 2 * BLOCK_FRAMES, earlier.packet), (OPUS, 0, chunk.packet)]
    assert read_red(with_copy(OPUS, chunk, None)) == [(OPUS, 0, chunk.packet)]


@pytest.mark.parametrize(
    "earlier",
    [
        chunk_of(38 * BLOCK_FRAMES, 1100),
        chunk_of(38 * BLOCK_FRAMES, 900),
        chunk_of(19 * BLOCK_FRAMES, 20),
        chunk_of(40 * BLOCK_FRAMES, 20),
    ],
)
def test_a_copy_that_has_no_room_is_left_out(earlier: Chunk) -> None:
    chunk = chunk_of(40 * BLOCK_FRAMES, 400)
    payload = with_copy(OPUS, chunk, earlier)
    assert read_red(payload) == [(OPUS, 0, chunk.packet)] and len(payload) <= MAX_PAYLOAD_BYTES


async def test_packets_follow_one_another_in_number_and_time(server: Running) -> None:
    listener, wire = await hear(server)
    await wire.until(lambda: len(wire.packets) >= 30)
    await listener.peer.close()
    numbers = np.array([packet.sequence_number for packet in wire.packets])
    times = np.unwrap([packet.timestamp for packet in wire.packets], period=TIMESTAMPS)
    assert (np.diff(numbers) == 1).all()
    assert (np.diff(times) == BLOCK_FRAMES).all()
    assert [packet.marker for packet in wire.packets[:3]] == [1, 0, 0]
    assert len({packet.ssrc for packet in wire.packets}) == 1


async def test_numbers_and_times_go_round(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    near_the_end = {15: (1 << 16) - 10, 32: TIMESTAMPS - 5 * BLOCK_FRAMES}
    monkeypatch.setattr(sending, "random", SimpleNamespace(getrandbits=near_the_end.__getitem__))
    listener, wire = await hear(server)
    await wire.until(lambda: len(wire.packets) >= 30)
    await listener.peer.close()
    numbers = np.array([packet.sequence_number for packet in wire.packets])
    times = np.array([packet.timestamp for packet in wire.packets])
    assert numbers.min() == 0 and numbers.max() == 65535
    assert (np.diff(numbers) % 65536 == 1).all()
    assert (np.diff(times) % TIMESTAMPS == BLOCK_FRAMES).all()


async def test_a_report_says_which_time_the_sound_has(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending_to_many, "REPORT_PACKETS", 10)
    listener, wire = await hear(server)
    await wire.until(lambda: len(wire.reports) >= 2 and len(wire.packets) >= 20)
    await listener.peer.close()
    first, second = (report.sender_info for report in wire.reports[:2])
    times = {packet.timestamp for packet in wire.packets}
    assert {first.rtp_timestamp, second.rtp_timestamp} <= times
    assert second.packet_count - first.packet_count == 10
    assert {report.ssrc for report in wire.reports} == {wire.packets[0].ssrc}
    assert second.ntp_timestamp > first.ntp_timestamp


async def test_what_is_missed_is_sent_again_and_no_more_than_was_sent(server: Running) -> None:
    listener, wire = await hear(server, "a=rtcp-fb:96 nack", lost=range(5, 8))
    assert "a=rtcp-fb:96 nack" in listener.answer
    await wire.until(lambda: len(wire.packets) >= 20)
    last = wire.packets[4]
    missed = [(last.sequence_number + number) % 65536 for number in (1, 2, 3)]
    ahead = (missed[-1] + 1000) % 65536
    nack = bytes(RtcpRtpfbPacket(fmt=RTCP_RTPFB_NACK, ssrc=1, media_ssrc=last.ssrc, lost=[*missed, ahead]))
    for _ in range(100):
        await wire.dtls._send_rtp(nack)
    await wire.until(lambda: {packet.sequence_number for packet in wire.packets} >= set(missed))
    found = [packet for packet in wire.packets if packet.sequence_number in missed]
    assert [(packet.timestamp - last.timestamp) % TIMESTAMPS for packet in found] == [
        number * BLOCK_FRAMES for number in (1, 2, 3)
    ]
    first_sent = wire.num_sent
    await wire.until(lambda: wire.num_sent >= first_sent + 50)
    await listener.peer.close()
    assert wire.num_sent <= 2 * len(wire.packets)


async def test_a_robust_listener_that_reads_it_gets_each_packet_within_a_later_one(server: Running) -> None:
    lines = f"a=rtpmap:{RED} red/48000/2", f"a=fmtp:{RED} {OPUS}/{OPUS}"
    listener, wire = await hear(server, *lines, query="?profile=robust")
    await wire.until(lambda: len(wire.packets) >= 20)
    await listener.peer.close()
    assert f"a=rtpmap:{RED} red/48000/2" in listener.answer
    assert re.search(rf"^m=audio \d+ \S+ {OPUS} {RED}\r?$", listener.answer, re.MULTILINE)
    assert {packet.payload_type for packet in wire.packets} == {RED}
    blocks = [read_red(packet.payload) for packet in wire.packets[COPY_AFTER:]]
    primary = [read_red(packet.payload)[-1][2] for packet in wire.packets]
    assert [(payload_type, offset, sound) for (payload_type, offset, sound), _ in blocks] == [
        (OPUS, COPY_AFTER * BLOCK_FRAMES, sound) for sound in primary[:-COPY_AFTER]
    ]


async def test_a_robust_listener_that_does_not_gets_each_packet_twice(server: Running) -> None:
    listener, wire = await hear(server, query="?profile=robust", lost=range(10, 1000, 9))
    await wire.until(lambda: len(wire.packets) >= 40)
    await listener.peer.close()
    assert "red/48000" not in listener.answer
    numbers = sorted(packet.sequence_number for packet in wire.packets)
    assert (np.diff(numbers[: -COPY_AFTER - 1]) == 1).all()
    assert wire.num_sent > 1.9 * len(numbers) - 2 * COPY_AFTER


def test_a_profile_that_there_is_not_is_refused_with_those_that_there_are(server: Running) -> None:
    answer = server.http.post(server.open()["links"]["whep"] + "?profile=strong", content="v=0", headers=SDP)
    problem = assert_problem(answer, 422, "bad_parameter")
    assert "plain" in str(problem) and "robust" in str(problem)
