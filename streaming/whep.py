"""WHEP, the WebRTC-HTTP egress protocol (draft-ietf-wish-whep). In: requests; out: responses.

Remembers nothing: a session carries its peer. Event loop only.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from streaming.errors import BadOffer, PreconditionFailed, PreconditionMissing, UnknownSession, WrongContentType
from streaming.routes import conductor_of, new_session, read_body
from streaming.transports.webrtc import MAX_QUEUED_CHUNKS, WhepPeer, check_offer

router = APIRouter(prefix="/whep/{station_id}", tags=["whep"])

_SDP = "application/sdp"
_FRAGMENT = "application/trickle-ice-sdpfrag"


@router.options("")
async def describe(request: Request, station_id: str) -> Response:
    """What can be posted here."""
    conductor_of(request).station(station_id)
    return Response(status_code=204, headers={"Accept-Post": _SDP, "Allow": "OPTIONS, POST"})


@router.post("", status_code=201)
async def post_offer(request: Request, station_id: str) -> Response:
    """Answer an SDP offer; the audio begins when the peers have connected."""
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    offer = await _read(request, _SDP)
    check_offer(offer)
    session = new_session(conductor, station, "whep", MAX_QUEUED_CHUNKS)
    peer = WhepPeer(conductor, station, session)
    try:
        answer = await peer.answer(offer)
    except BaseException:
        await peer.close()
        raise
    headers = {"Location": f"/whep/{station.id}/{session.id}", "ETag": peer.etag, "Accept-Patch": _FRAGMENT}
    response = Response(answer, 201, headers, _SDP)
    for server in conductor.config.ice_servers:
        response.headers.append("Link", f'<{server.url}>; rel="ice-server"')
    return response


@router.head("/{session_id}", include_in_schema=False)
@router.get("/{session_id}", status_code=204)
async def get_session(request: Request, station_id: str, session_id: str) -> Response:
    """The session is alive; the header says at which stream frame its audio began."""
    peer = _peer(request, station_id, session_id)
    began = peer.session.began_frame
    headers = {"ETag": peer.etag} | ({} if began is None else {"Undersong-Began-Frame": str(began)})
    return Response(status_code=204, headers=headers)


@router.patch("/{session_id}", status_code=204)
async def patch_session(request: Request, station_id: str, session_id: str) -> Response:
    """Add trickled ICE candidates."""
    peer = _peer(request, station_id, session_id)
    fragment = await _read(request, _FRAGMENT)
    match = request.headers.get("if-match")
    if match is None:
        raise PreconditionMissing
    if match not in (peer.etag, "*"):
        raise PreconditionFailed(match)
    await peer.trickle(fragment)
    return Response(status_code=204)


@router.delete("/{session_id}")
async def delete_session(request: Request, station_id: str, session_id: str) -> Response:
    """End the session."""
    await _peer(request, station_id, session_id).close()
    return Response(status_code=200)


def _peer(request: Request, station_id: str, session_id: str) -> WhepPeer:
    session = conductor_of(request).station(station_id).sessions.get(session_id)
    if session is None or not isinstance(session.carrier, WhepPeer):
        raise UnknownSession(session_id)
    return session.carrier


async def _read(request: Request, expected: str) -> str:
    """The body as text. Raises `WrongContentType`, `TooLarge`, `BadOffer`."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != expected:
        raise WrongContentType(content_type, expected)
    try:
        return (await read_body(request)).decode()
    except UnicodeDecodeError as error:
        raise BadOffer(f"the body is not UTF-8: {error}") from error
