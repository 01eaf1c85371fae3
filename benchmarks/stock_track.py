"""A server whose WebRTC listeners are sent to by aiortc's own sender, to measure ours against.

`python -m benchmarks.stock_track serve …` is otherwise `undersong serve`.
"""

from __future__ import annotations

import sys
from typing import Any

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from streaming import cli
from streaming.encoders.opus import wrap_packet
from streaming.session import Session
from streaming.transports.webrtc import WhepPeer


class PacketTrack(MediaStreamTrack):
    """A session's packets, encoded already, as aiortc wants them."""

    kind = "audio"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    async def recv(self) -> av.Packet[Any]:
        chunk = await self._session.next_chunk()
        if chunk is None:
            self.stop()
            raise MediaStreamError
        return wrap_packet(chunk.packet, chunk.frame)


class StockPeer(WhepPeer):
    def _attach_sender(self) -> None:
        self._pc.addTransceiver(PacketTrack(self.session), "sendonly")


if __name__ == "__main__":
    WhepPeer._attach_sender = StockPeer._attach_sender
    sys.exit(cli.main())
