"""A WHEP listener that keeps packets as they arrive. In: a station's WHEP address; out: packets with times.

Lives in the benchmark's event loop.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

import httpx
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtpPacket


@dataclass(frozen=True, slots=True)
class Arrival:
    monotonic_s: float
    timestamp: int
    """RTP timestamp: 48 kHz frames from an arbitrary beginning, modulo 2^32."""
    payload: bytes


class WhepListener:
    """Connects on `connect`, then `arrivals` grows by one Opus packet every 20 ms."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._first = asyncio.Event()
        self.session = ""
        """The listening session's id, once it is connected."""
        self.arrivals: list[Arrival] = []

    async def connect(self, client: httpx.AsyncClient) -> None:
        """Offer, answer, and wait for the first media packet."""
        receiver = self._pc.addTransceiver("audio", direction="recvonly").receiver
        # aiortc hands out decoded frames only after its jitter buffer; the packet itself is what is measured here.
        receiver._handle_rtp_packet = self._on_packet
        await self._pc.setLocalDescription(await self._pc.createOffer())
        headers = {"Content-Type": "application/sdp"}
        answer = await client.post(self._url, content=self._pc.localDescription.sdp, headers=headers)
        answer.raise_for_status()
        self.session = answer.headers["Location"].rpartition("/")[2]
        await self._pc.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        await asyncio.wait_for(self._first.wait(), 10)

    async def close(self) -> None:
        await self._pc.close()

    async def _on_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        self.arrivals.append(Arrival(time.monotonic(), packet.timestamp, bytes(packet.payload)))
        self._first.set()
