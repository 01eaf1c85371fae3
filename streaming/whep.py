"""WHEP, the WebRTC-HTTP egress protocol (draft-ietf-wish-whep). In: requests; out: responses.

Remembers nothing: a session carries its peer. Event loop only.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request
from fastapi.responses import Response

from streaming.access import Grant, Role, access_of, allowed
from streaming.errors import (
    BadOffer,
    BadRequest,
    Forbidden,
    IceRestartRefused,
    NoWebRtcNetwork,
    PreconditionFailed,
    PreconditionMissing,
    TooLarge,
    TooManyOffers,
    TooManySessions,
    TooSlow,
    UnknownSession,
    UnknownStation,
    WrongContentType,
)
from streaming.openapi import answer, refusals, text_body
from streaming.reading import read_body
from streaming.routes import StationId, conductor_of, new_session, prefix_of
from streaming.transports.offers import Offer
from streaming.transports.settings import IceServer, Profile
from streaming.transports.turn import logged_in
from streaming.transports.webrtc import MAX_QUEUED_CHUNKS, WhepPeer

router = APIRouter(prefix="/whep/{station_id}", tags=["whep"], dependencies=[Depends(allowed(Role.LISTEN))])

_SDP = "application/sdp"
_FRAGMENT = "application/trickle-ice-sdpfrag"
SessionId = Annotated[str, Path(description="The last part of the session's `Location`.")]
AskedProfile = Annotated[
    Profile | None,
    Query(description="`robust` sends every packet twice, against losses; the setting `whep_profile` if not said."),
]
IfMatch = Annotated[str | None, Header(description="The session's ETag, or `*`; needed.")]


_ENDPOINT: dict[int | str, dict[str, Any]] = {
    204: answer("It takes an SDP offer.", "", {}, Accept_Post=_SDP, Allow="What can be done here.")
}


@router.options(
    "", status_code=204, operation_id="describeWhep", response_class=Response,
    responses=_ENDPOINT | refusals(UnknownStation),
)  # fmt: skip
@router.get(
    "", status_code=204, operation_id="getWhep", response_class=Response,
    responses=_ENDPOINT | refusals(UnknownStation),
)  # fmt: skip
async def describe(request: Request, station_id: StationId) -> Response:
    """Tell what can be posted here; the endpoint itself has no content.

    `Link` names STUN and TURN servers where there are any, for who needs them before there is an offer.
    """
    conductor = conductor_of(request)
    conductor.station(station_id)
    response = Response(status_code=204, headers={"Accept-Post": _SDP, "Allow": "GET, HEAD, OPTIONS, POST"})
    _name_servers(response, logged_in(conductor.config.ice_servers, secrets.token_hex(8)))
    return response


@router.post(
    "",
    status_code=201,
    operation_id="listenByWhep",
    response_class=Response,
    responses={
        201: answer(
            "An SDP answer; `Link` names STUN and TURN servers where there are any.", _SDP, {"type": "string"},
            Location="The session.", ETag="Of the session, for `If-Match`.", Accept_Patch=_FRAGMENT,
        ),
        **refusals(
            UnknownStation, BadOffer, WrongContentType, TooLarge, TooSlow, TooManyOffers, TooManySessions,
            NoWebRtcNetwork,
        ),
    },
    openapi_extra=text_body(_SDP, "An offer that receives audio, with Opus; a data channel `live` may be part of it."),
)  # fmt: skip
async def post_offer(
    request: Request,
    station_id: StationId,
    grant: Annotated[Grant, Depends(allowed(Role.LISTEN))],
    profile: AskedProfile = None,
) -> Response:
    """Listen over WebRTC.

    An SDP offer is answered; the audio begins when the peers have connected.
    """
    conductor = conductor_of(request)
    station = conductor.station(station_id)
    access_of(request).check_offer(request)
    offer = Offer(await _read(request, _SDP))
    session = new_session(conductor, station, "whep", MAX_QUEUED_CHUNKS)
    try:
        asked = profile or conductor.config.whep_profile
        peer = WhepPeer(conductor, station, session, offer, grant, profile=asked)
        answer = await peer.answer()
    except BaseException:
        station.remove_session(session)
        raise
    access_of(request).hold(grant, lambda: asyncio.ensure_future(peer.close()), lambda: session.mailbox.is_closed)
    location = f"{station.links(prefix_of(request))['whep']}/{session.id}"
    headers = {"Location": location, "ETag": peer.etag, "Accept-Patch": _FRAGMENT}
    response = Response(answer, 201, headers, _SDP)
    _name_servers(response, logged_in(conductor.config.ice_servers, session.id))
    return response


def _name_servers(response: Response, servers: Iterable[IceServer]) -> None:
    for server in servers:
        response.headers.append("Link", _link(server))


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


@router.get(
    "/{session_id}",
    status_code=204,
    operation_id="getWhepSession",
    response_class=Response,
    responses={
        204: answer("It lives; `Undersong-Began-Frame` tells when its audio began.", "", {}, ETag="Of the session."),
        **refusals(UnknownStation, UnknownSession),
    },
)
async def get_session(request: Request, station_id: StationId, session_id: SessionId) -> Response:
    """Is the session alive?

    The header says at which stream frame its audio began.
    """
    peer = _peer(request, station_id, session_id)
    began = peer.session.began_frame
    headers = {"ETag": peer.etag} | ({} if began is None else {"Undersong-Began-Frame": str(began)})
    return Response(status_code=204, headers=headers)


@router.patch(
    "/{session_id}",
    status_code=204,
    operation_id="trickleWhep",
    response_class=Response,
    responses=refusals(
        UnknownStation, UnknownSession, BadRequest, BadOffer, WrongContentType, TooLarge, TooSlow,
        PreconditionMissing, PreconditionFailed, IceRestartRefused,
    ),
    openapi_extra=text_body(_FRAGMENT, "Candidates, as RFC 8840 writes them."),
)  # fmt: skip
async def patch_session(
    request: Request, station_id: StationId, session_id: SessionId, if_match: IfMatch = None
) -> Response:
    """Add trickled ICE candidates."""
    peer = _peer(request, station_id, session_id)
    fragment = await _read(request, _FRAGMENT)
    if if_match is None:
        raise PreconditionMissing
    if if_match not in (peer.etag, "*"):
        raise PreconditionFailed(if_match)
    await peer.trickle(fragment)
    return Response(status_code=204)


@router.delete(
    "/{session_id}",
    operation_id="endWhepSession",
    response_class=Response,
    responses={200: {"description": "It has ended."}, **refusals(UnknownStation, UnknownSession)},
)
async def delete_session(request: Request, station_id: StationId, session_id: SessionId) -> Response:
    """End the session."""
    await _peer(request, station_id, session_id).close()
    return Response(status_code=200)


def _peer(request: Request, station_id: str, session_id: str) -> WhepPeer:
    """Raises `UnknownStation`, `UnknownSession`, `Forbidden`: others are told of a session's id, too."""
    session = conductor_of(request).station(station_id).sessions.get(session_id)
    if session is None or not isinstance(peer := session.carrier, WhepPeer):
        raise UnknownSession(session_id)
    grant: Grant = request.state.grant
    if not grant.may_steer and grant.id != peer.grant.id:
        raise Forbidden("the session was begun with another token; only that, or one that may steer, ends it")
    return peer


async def _read(request: Request, expected: str) -> str:
    """The body as text. Raises `WrongContentType`, `TooLarge`, `TooSlow`, `BadOffer`."""
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type != expected:
        raise WrongContentType(content_type, expected)
    try:
        return (await read_body(request)).decode()
    except UnicodeDecodeError as error:
        raise BadOffer(f"the body is not UTF-8: {error}") from error
