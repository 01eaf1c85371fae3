"""How schemathesis is to talk to a server: stations that exist, streams that never end. Loaded by its command.

Longer by hand, beside `python -m tests.streaming.described PORT`, which serves sines:
    SCHEMATHESIS_HOOKS=tests.streaming.described schemathesis --config-file tests/streaming/schemathesis.toml run \
        http://127.0.0.1:PORT/openapi.json --checks all -n 500 --phases examples,coverage,fuzzing
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
from typing import Any

import requests
import schemathesis
from aiortc import RTCPeerConnection
from hypothesis import strategies
from requests.adapters import HTTPAdapter
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

MAX_STATIONS = 6
_turns = itertools.count()
_send = HTTPAdapter.send


def _first_bytes(self: HTTPAdapter, request: requests.PreparedRequest, **options: Any) -> requests.Response:
    """A response; of sound, which never ends, no more than its beginning."""
    response = _send(self, request, **options | {"stream": True})
    if response.headers.get("Content-Type", "").startswith("audio/"):
        response._content = response.raw.read(500)
        response.close()
    return response


HTTPAdapter.send = _first_bytes


async def _offer() -> str:
    peer = RTCPeerConnection()
    peer.addTransceiver("audio", "recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    sdp = peer.localDescription.sdp
    await peer.close()
    return sdp


OFFER = asyncio.run(_offer())
FRAGMENT = "a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host\r\n"
for media_type, text in (("application/sdp", OFFER), ("application/trickle-ice-sdpfrag", FRAGMENT)):
    schemathesis.openapi.media_type(media_type, strategies.just(text.encode()))


@schemathesis.hook
def before_call(context: HookContext, case: Case, kwargs: dict[str, Any]) -> None:
    """Three of four calls are to a station, and a session, that exist; what calls leave behind is closed."""
    base = case.operation.base_url.rstrip("/.")
    turn = next(_turns)
    if "station_id" not in case.path_parameters and turn % 4:
        return
    stations = [each["links"] for each in requests.get(f"{base}/v1/stations", timeout=60).json()["stations"]]
    for links in stations[:-MAX_STATIONS]:
        requests.delete(base + links["self"], timeout=60)
    path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
    if case.meta is not None and case.meta.phase.name is TestPhase.STATEFUL:
        return  # it goes on with what it has opened itself
    if path is None or path.mode is GenerationMode.NEGATIVE or turn % 4 == 0:
        return
    links = stations[-1] if stations else requests.post(f"{base}/v1/stations", timeout=60).json()["links"]
    case.path_parameters["station_id"] = links["self"].rpartition("/")[2]
    if "session_id" in case.path_parameters:
        told = requests.post(
            base + links["whep"], OFFER, headers={"Content-Type": "application/sdp"}, timeout=60
        ).headers
        case.path_parameters["session_id"] = told["Location"].rpartition("/")[2]
        if case.headers.get("If-Match") is not None and turn % 2:
            case.headers["If-Match"] = told["ETag"]


if __name__ == "__main__":
    from streaming.config import Config
    from tests.streaming.conftest import SINES, Running

    server = Running(Config(**SINES.model_dump() | {"port": int(sys.argv[1]), "log_level": "error"}))
    server.start()
    threading.Event().wait()
