"""Many WebRTC listeners of one station from a process of its own, cheap enough to run on the machine that they measure.

In: a station's WHEP address; out: how late its packets came. Each connects by aiortc, as a browser does; then its
socket is read here: of a packet of sound the time is noted at which the system received it, whenever this process
gets to read it, and nothing is decrypted. All else goes on to aiortc, which so gives the consent that the server asks
for. `Peers` is the handle in the benchmark's process.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import socket
import struct
import time
from array import array
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtp import RtcpReceiverInfo, RtcpRrPacket

from engine.audio import BLOCK_FRAMES, BLOCK_SECONDS, SAMPLE_RATE

_SO_TIMESTAMPNS = 35
_JOINS_AT_ONCE = 3
_CONNECTED_S = 60.0
_REPORT_S = 5.0
"""As often as Chromium reports what it received of a sound."""
_TIMESPEC = struct.Struct("@qq")
_RTP = struct.Struct("!BBHLL")


@dataclass(frozen=True)
class Lateness:
    """Of the packets of all listeners over a while."""

    late_s: npt.NDArray[np.float32]
    """After the tick at which the server had the block."""
    num_lost: int

    def within(self, limit_s: float) -> float:
        """The share of packets that were no later than that; what was lost was later."""
        return float((self.late_s <= limit_s).sum() / max(1, len(self.late_s) + self.num_lost))


class _Peer:
    """One listener. `arrived_ns` and `timestamps` grow by one packet every 20 ms."""

    def __init__(self) -> None:
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.arrived_ns, self.timestamps = array("q"), array("L")
        self._ssrc = self._sequence = 0

    async def join(self, client: httpx.AsyncClient, whep: str) -> None:
        receiver = self._pc.addTransceiver("audio", direction="recvonly").receiver
        receiver.receive = self._receive  # in place of a thread that decodes and a report a second
        self._connected = asyncio.Event()
        await self._pc.setLocalDescription(await self._pc.createOffer())
        offer, headers = self._pc.localDescription.sdp, {"Content-Type": "application/sdp"}
        answer = (await client.post(whep, content=offer, headers=headers)).raise_for_status()
        await self._pc.setRemoteDescription(RTCSessionDescription(answer.text, "answer"))
        await asyncio.wait_for(self._connected.wait(), _CONNECTED_S)
        self._dtls = receiver.transport
        self._sockets = [self._take(protocol) for protocol in self._dtls.transport._connection._protocols]

    async def _receive(self, parameters: Any) -> None:
        self._connected.set()

    def _take(self, protocol: Any) -> socket.socket:
        """Read its socket in its place."""
        loop = asyncio.get_running_loop()
        descriptor = protocol.transport.get_extra_info("socket").fileno()
        loop._remove_reader(descriptor)  # type: ignore[attr-defined]  # the transport's own
        taken = socket.socket(fileno=os.dup(descriptor))
        taken.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        loop.add_reader(taken, self._read, taken, protocol)
        return taken

    def _read(self, taken: socket.socket, protocol: Any) -> None:
        try:
            while True:
                datagram, ancillary, _, address = taken.recvmsg(2048, 64)
                if 128 <= datagram[0] < 192 and not 192 <= datagram[1] < 224:
                    _, _, self._sequence, timestamp, self._ssrc = _RTP.unpack_from(datagram)
                    seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
                    self.arrived_ns.append(seconds * 1_000_000_000 + nanoseconds)
                    self.timestamps.append(timestamp)
                else:
                    protocol.datagram_received(datagram, address)
        except BlockingIOError:
            pass

    async def report(self) -> None:
        """Tell the server how well it is received."""
        info = RtcpReceiverInfo(
            ssrc=self._ssrc, fraction_lost=0, packets_lost=0, highest_sequence=self._sequence, jitter=0, lsr=0, dlsr=0
        )
        await self._dtls._send_rtp(bytes(RtcpRrPacket(ssrc=1, reports=[info])))

    def lateness(self) -> tuple[npt.NDArray[np.float32], int]:
        """Seconds late of each packet, and how many did not come.

        Blocks are handed out at multiples of 20 ms of the monotonic clock. The promptest packet has come less than that
        after its tick; the ticks of all others follow by their RTP time.
        """
        offset_ns = time.monotonic_ns() - time.time_ns()
        arrived_s = (np.array(self.arrived_ns) + offset_ns) / 1e9
        media_s = np.unwrap(np.array(self.timestamps, np.int64), period=1 << 32) / SAMPLE_RATE
        first = int((arrived_s - media_s).argmin())
        tick_s = np.floor(arrived_s[first] / BLOCK_SECONDS) * BLOCK_SECONDS
        num_expected = 1 + round((media_s[-1] - media_s[0]) * SAMPLE_RATE / BLOCK_FRAMES)
        return (arrived_s - tick_s - media_s + media_s[first]).astype(np.float32), num_expected - len(arrived_s)

    def forget(self) -> None:
        self.arrived_ns, self.timestamps = array("q"), array("L")

    async def leave(self) -> None:
        for taken in self._sockets:
            asyncio.get_running_loop().remove_reader(taken)
            taken.close()
        await self._pc.close()


class _Audience:
    """The listeners of one process."""

    def __init__(self, whep: str) -> None:
        self._whep = whep
        self._peers: list[_Peer] = []

    async def set_number(self, number: int) -> None:
        async with httpx.AsyncClient(timeout=_CONNECTED_S) as client:
            turns = asyncio.Semaphore(_JOINS_AT_ONCE)

            async def join() -> None:
                async with turns:
                    peer = _Peer()
                    await peer.join(client, self._whep)
                    self._peers.append(peer)

            await asyncio.gather(*(join() for _ in range(number - len(self._peers))))
        while len(self._peers) > number:
            await self._peers.pop().leave()

    async def report(self) -> None:
        """Report for each in turn until cancelled."""
        while True:
            for peer in random.sample(self._peers, len(self._peers)):
                await peer.report()
                await asyncio.sleep(_REPORT_S / len(self._peers))
            await asyncio.sleep(0.01)

    async def measure(self, seconds: float) -> Lateness:
        for peer in self._peers:
            peer.forget()
        await asyncio.sleep(seconds)
        found = [peer.lateness() for peer in self._peers]
        return Lateness(np.concatenate([late_s for late_s, _ in found]), sum(lost for _, lost in found))


async def _serve(pipe: Connection, whep: str) -> None:
    audience = _Audience(whep)
    reporting = asyncio.create_task(audience.report())
    while (asked := await asyncio.to_thread(pipe.recv)) is not None:
        name, argument = asked
        try:
            pipe.send(await getattr(audience, name)(argument))
        except Exception as error:  # whatever it is, the benchmark is to tell it
            pipe.send(RuntimeError(f"{type(error).__name__}: {error}"))
    reporting.cancel()
    await audience.set_number(0)
    pipe.send(None)


def _listen(pipe: Connection, whep: str, cores: set[int]) -> None:
    os.sched_setaffinity(0, cores)
    asyncio.run(_serve(pipe, whep))


class Peers:
    """A process of listeners of one station, bound to `cores`."""

    def __init__(self, whep: str, cores: set[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_listen, args=(theirs, whep, cores), daemon=True)
        self._process.start()
        theirs.close()

    def set_number(self, number: int) -> None:
        """Have so many listeners; raises `RuntimeError` where one cannot join."""
        self._ask(("set_number", number))

    def measure(self, seconds: float) -> Lateness:
        return self._ask(("measure", seconds))

    def leave(self) -> None:
        self._ask(None)
        self._process.join()

    def _ask(self, asked: tuple[str, Any] | None) -> Any:
        self._pipe.send(asked)
        answer = self._pipe.recv()
        if isinstance(answer, RuntimeError):
            raise answer
        return answer
