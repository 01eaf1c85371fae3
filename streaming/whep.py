"""WHEP, the WebRTC-HTTP egress protocol (draft-ietf-wish-whep). In: requests; out: responses.

Remembers nothing: a session carries its peer. Event loop only.
"""

from __future__ import annotations

import re

from fastapi import APIRouter, Request
from fastapi.responses import Response

from streaming.config import IceServer
from streaming.errors import BadOffer, PreconditionFailed, PreconditionMissing, UnknownSession, WrongContentType
from streaming.routes import conductor_of, new_session, prefix_of, read_body
from streaming.transports.offers import Offer
from streaming.transports.webrtc import MAX_QUEUED_CHUNKS, WhepPeer

router = APIRouter(prefix="/whep/{station_id}", tags=["whep"])

_SDP = "application/sdp"
_FRAGMENT = "application/trickle-ice-sdpfrag"


@router.options("", status_code=204)
@router.get("", status_code=204)
async def describe(request: Request, station_id: str) -> Response:
    """What can be posted here; the endpoint itself has no content."""
    conductor_of(request).station(station_id)
    return Response(status_code=204, headers={"Accept-Post": _SDP, "Allow": "GET, HEAD, OPTIONS, POST"})


@router.post("", status_code=201)
async def post_offer(request: Request, station_id: str) -> Response:
    """Answer an SDP offer; the audio begins when the peers have connected."""
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    offer = Offer(await _read(request, _SDP))
    session = new_session(conductor, station, "whep", MAX_QUEUED_CHUNKS)
    peer = WhepPeer(conductor, station, session, offer)
    try:
        answer = await peer.answer()
    except BaseException:
        await peer.close()
        raise
    location = f"{station.links(prefix_of(request))['whep']}/{session.id}"
    headers = {"Location": location, "ETag": peer.etag, "Accept-Patch": _FRAGMENT}
    response = Response(answer, 201, headers, _SDP)
    for server in conductor.config.ice_servers:
        response.headers.append("Link", _link(server))
    return response


def _link(server: IceServer) -> str:
    """A server to the client, as RFC 9725 (section 4.6) writes it."""
    link = f'<{server.url}>; rel="ice-server"'
    if server.username is None or server.credential is None:
        return link
    login = f"username={_quoted(server.username)}; credential={_quoted(server.credential)}"
    return f'{link}; {login}; credential-type="password"'


def _quoted(text: str) -> str:
    """A quoted-string of RFC 9110, section 5.6.4."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


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
