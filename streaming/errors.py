"""What can go wrong on the way to a listener, and what an operator can set wrongly.

StreamingError
├── UnknownStation, UnknownSession           404
├── UnknownAction                            404: an action link that does nothing
├── TooManyStations, TooManySessions         503, with the seconds after which to try again
├── NoHeadroom                               503: this process has no time for another listener
├── NoWebRtcNetwork                          501: no network interface that WebRTC uses
├── EngineUnavailable                        503: the engine restarts or has no time left
│   └── ServerEnds                           503: this server is about to end
├── ControlRefused                           409: a control that fits, but not where the music is now
├── NameTaken                                409: another station has this name
├── BadRequest                               400: a body that cannot be read
│   ├── BadOffer                             400: an SDP offer that cannot be answered
│   └── BadMessage                           a message of the Lyria protocol that cannot be read
├── KeyRefused                               401: none of the keys that the Lyria endpoint takes
├── Unauthorized                             401, each of which is
│   ├── TokenMissing, TokenInvalid
│   └── TokenExpired, TokenRevoked
├── Forbidden                                403: a token whose role or station this is not
├── OriginRefused                            403: the page of another site, in a browser
├── HostRefused                              421: a name that is not this server's
├── TooManyFailures, TooManyRequests         429: tokens that are none; requests that come too fast
├── TooManyOffers                            429: offers of WebRTC from one address
├── TooManyConnections                       429: connections of one address
├── BadText                                  422: text that is not Unicode
├── TooLarge                                 413: a body or message above the limit
├── TooManyControls                          422: a list of controls above the limit
├── RateLimited                              429: controls that come too fast, with when to try again
├── BadParameter, UnknownFormat              422: in the address
├── UpgradeRequired                          426: a WebSocket's address, asked for over HTTP
├── WrongContentType                         415
├── IceRestartRefused                        422
├── PreconditionMissing, PreconditionFailed  428, 412
├── EngineFailed                             the engine process could not start
├── UnknownJob, UnknownJobFile, UnknownUpload 404
├── TooManyJobs                              503, with the seconds after which to try again
├── NoRoomForJobs                            507: the disk is full, or what jobs may keep of it
├── KeyReused                                422: an Idempotency-Key that came with another request before
├── WebhookRefused                           403: an address that webhooks may not go to, or no secret
├── NothingToHear                            409: a job that ended before anything was composed
├── TooSlow                                  408: a body that does not come on
├── NotAPicture                              415: an upload that is no film clip
├── BadConfig                                a setting that is unknown or out of range
├── PortUnavailable                          the address to listen on cannot be had
└── DeviceUnavailable                        no PortAudio, no output device, or it has gone
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from moods.errors import shown
from moods.names import nearest


class StreamingError(Exception):
    """Base of all errors of this package; `code` is the stable name sent to clients, `status` the HTTP status."""

    code, status, title = "streaming_error", 500, "Something failed"
    retry_after_s: int | None = None
    headers: Mapping[str, str] = MappingProxyType({})
    """Further headers of the answer."""

    def __init__(self, detail: str, **members: Any) -> None:
        """`members` are further members of the problem sent to the client (field, value, range, nearest)."""
        super().__init__(detail)
        self.detail, self.members = detail, members


class UnknownStation(StreamingError):
    code, status, title = "unknown_station", 404, "No such station"

    def __init__(self, station: str) -> None:
        super().__init__(
            f"there is no station {shown(station)}; GET /v1/stations lists them", field="station", value=station
        )


class UnknownSession(StreamingError):
    code, status, title = "unknown_session", 404, "No such session"

    def __init__(self, session: str) -> None:
        super().__init__(f"there is no session {shown(session)}; it may have ended", field="session", value=session)


class UnknownAction(StreamingError):
    code, status, title = "unknown_action", 404, "No such action"

    def __init__(self, action: str, known: Sequence[str]) -> None:
        near = nearest(action, known, 1)
        way_out = f"expected one of {', '.join(known)}{f'; nearest: {near[0]}' if near else ''}"
        super().__init__(f"there is no action {shown(action)}; {way_out}", field="action", value=action, nearest=near)


class TooManyStations(StreamingError):
    code, status, title, retry_after_s = "too_many_stations", 503, "All stations are taken", 10

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} stations are open, which is the limit max_stations; delete one or try later", limit=limit
        )


class TooManySessions(StreamingError):
    code, status, title, retry_after_s = "too_many_sessions", 503, "All sessions are taken", 10

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} sessions listen, which is the limit max_sessions; try later", limit=limit)


class NoHeadroom(StreamingError):
    code, status, title, retry_after_s = "no_headroom", 503, "The server has no time for another listener", 10

    def __init__(self, lag_s: float, most_lag_s: float) -> None:
        super().__init__(
            f"one tick in ten is {lag_s * 1000:.0f} ms late, which is above max_lag_ms, {most_lag_s * 1000:g}: another "
            "listener would cost the others sound; try later, or have another server",
            lag_ms=round(lag_s * 1000, 1), limit=round(most_lag_s * 1000, 1),
        )  # fmt: skip


class NoWebRtcNetwork(StreamingError):
    code, status, title = "no_webrtc_network", 501, "No network for WebRTC"

    def __init__(self) -> None:
        super().__init__(
            "this machine has no network interface but its own loopback, which WebRTC leaves out; "
            "listen by the WebSocket /v1/stations/{id}/audio or the stream audio.ogg instead"
        )


class EngineUnavailable(StreamingError):
    code, status, title, retry_after_s = "engine_unavailable", 503, "The engine cannot take this now", 5


class ServerEnds(EngineUnavailable):
    code, title, retry_after_s = "server_ends", "The server is ending", 10

    def __init__(self) -> None:
        super().__init__("the server is ending; try when it is back")


class ControlRefused(StreamingError):
    """A control that reads well, refused for what the station is doing; `code` is the moods error's."""

    code, status, title = "bad_control", 409, "The control does not fit where the music is now"

    def __init__(self, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail, **members)
        self.code = code


class NameTaken(StreamingError):
    code, status, title = "name_taken", 409, "Another station has this name"

    def __init__(self, name: str) -> None:
        super().__init__(f"name is {shown(name)}, as another station is; choose another", field="name", value=name)


class BadRequest(StreamingError):
    code, status, title = "bad_request", 400, "The request cannot be read"


class BadOffer(BadRequest):
    code, title = "bad_offer", "The SDP offer cannot be answered"


class BadMessage(BadRequest):
    code = "bad_message"


class KeyRefused(StreamingError):
    code, status, title = "key_refused", 401, "A key is needed"
    headers = {"WWW-Authenticate": "Bearer"}

    def __init__(self) -> None:
        super().__init__("this server takes keys that it knows: send one as x-goog-api-key, ?key= or a bearer token")


class Unauthorized(StreamingError):
    code, status, title = "unauthorized", 401, "A token is needed"
    headers = {"WWW-Authenticate": 'Bearer realm="undersong"'}
    detail = ""

    def __init__(self) -> None:
        super().__init__(self.detail)


class TokenMissing(Unauthorized):
    code = "token_missing"
    detail = (
        "send a token as Authorization: Bearer TOKEN or ?token=TOKEN; undersong token makes one, and undersong serve "
        "prints a link that holds one"
    )


class TokenInvalid(Unauthorized):
    code, title = "token_invalid", "The token is none of this server's"
    detail = "the token was not made with this server's secret, or not copied whole; undersong token makes another"


class TokenExpired(Unauthorized):
    code, title = "token_expired", "The token has expired"
    detail = "the token's time is over; undersong token makes another"


class TokenRevoked(Unauthorized):
    code, title = "token_revoked", "The token was taken back"
    detail = "the token was revoked; undersong token makes another"


class Forbidden(StreamingError):
    code, status, title = "forbidden", 403, "The token does not give this"


class OriginRefused(StreamingError):
    code, status, title = "origin_refused", 403, "A page of another site"

    def __init__(self, origin: str | None) -> None:
        site = "another site" if origin is None else shown(origin)
        super().__init__(
            f"a page of {site} asks for this, and only this server's own may; name its origin in the setting origins",
            field="Origin", value=origin,
        )  # fmt: skip


class HostRefused(StreamingError):
    code, status, title = "host_refused", 421, "Not a name of this server"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Host is {shown(host)}, which is no name of this server; add it to the setting hosts, or set public_url",
            field="Host", value=host,
        )  # fmt: skip


class BadText(StreamingError):
    code, status, title = "bad_text", 422, "Text that is not Unicode"

    def __init__(self, text: str) -> None:
        """`text` holds half of a surrogate pair, which JSON can write but UTF-8 cannot."""
        super().__init__(f"{shown(text, 60)} holds half of a surrogate pair; send whole characters")


class TooLarge(StreamingError):
    code, status, title = "too_large", 413, "Too large"
    headers = {"Connection": "close"}  # or the server would read on, only to throw it away

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"more than {limit_bytes} bytes were sent; {limit_bytes} are allowed", limit=limit_bytes)


class TooManyControls(StreamingError):
    code, status, title = "too_many_controls", 422, "Too many controls at once"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"the list has {count} controls; {limit} are allowed at once", limit=limit)


class RateLimited(StreamingError):
    code, status, title = "rate_limited", 429, "Controls come too fast"

    def __init__(self, per_s: float, wait_s: float, what_follows: str = "") -> None:
        """`wait_s`: when the next can be taken; `what_follows`: what becomes of what was asked."""
        told_s = max(0.01, wait_s)
        super().__init__(f"more than {per_s:g} controls a second were sent; try again in {told_s:.2f} s{what_follows}")
        self.wait_s = round(wait_s, 3)
        self.retry_after_s = math.ceil(wait_s)


class _TooOften(StreamingError):
    """What comes more than `per_s` times a second; `wait_s`: when the next can be taken."""

    status = 429
    what = "requests a second of this client"

    def __init__(self, per_s: float, wait_s: float) -> None:
        super().__init__(f"more than {self._rate(per_s)} came; try again in {max(0.01, wait_s):.2f} s")
        self.retry_after_s = math.ceil(wait_s)

    def _rate(self, per_s: float) -> str:
        return f"{per_s:g} {self.what}"


class TooManyRequests(_TooOften):
    code, title = "too_many_requests", "Requests come too fast"


class TooManyOffers(_TooOften):
    code, title, what = "too_many_offers", "Offers come too fast", "offers of WebRTC a second from this address"


class TooManyFailures(_TooOften):
    code, title = "too_many_failures", "Too many tokens that are none"

    def _rate(self, per_s: float) -> str:
        return f"{60 * per_s:g} tokens a minute that are none, from this address,"


class TooManyConnections(StreamingError):
    code, status, title, retry_after_s = "too_many_connections", 429, "Too many connections", 5

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} connections of this address are open, which is the limit max_connections_per_address; close one "
            "or try later",
            limit=limit,
        )


class BadParameter(StreamingError):
    code, status, title = "bad_parameter", 422, "A parameter cannot be used"


class UnknownFormat(StreamingError):
    code, status, title = "unknown_format", 422, "No such format"

    def __init__(self, value: str, known: Iterable[str]) -> None:
        super().__init__(
            f"format is {shown(value)}; allowed is {', '.join(known)}",
            field="format", value=value, nearest=nearest(value, known),
        )  # fmt: skip


class UpgradeRequired(StreamingError):
    code, status, title = "upgrade_required", 426, "This address is a WebSocket's"
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}

    def __init__(self) -> None:
        super().__init__("this address speaks WebSocket alone; open it with a WebSocket client, under ws:// or wss://")


class WrongContentType(StreamingError):
    code, status, title = "wrong_content_type", 415, "Wrong content type"

    def __init__(self, value: str, expected: str) -> None:
        super().__init__(f"Content-Type is {shown(value)}; send {expected}", field="Content-Type", value=value)


class IceRestartRefused(StreamingError):
    code, status, title = "ice_restart", 422, "ICE restart is not supported"

    def __init__(self) -> None:
        super().__init__("the fragment restarts ICE; DELETE this session and POST a new offer instead")


class PreconditionMissing(StreamingError):
    code, status, title = "precondition_required", 428, "If-Match is missing"

    def __init__(self) -> None:
        super().__init__("send If-Match with the ETag of the session", field="If-Match")


class PreconditionFailed(StreamingError):
    code, status, title = "precondition_failed", 412, "If-Match does not fit"

    def __init__(self, value: str) -> None:
        super().__init__(f"If-Match is {shown(value)}, which is not this session's ETag", field="If-Match", value=value)


class UnknownJob(StreamingError):
    code, status, title = "unknown_render", 404, "No such job"

    def __init__(self, job: str) -> None:
        super().__init__(
            f"there is no job {shown(job)}; GET /v1/renders lists them, and each is forgotten after a while",
            field="job", value=job,
        )  # fmt: skip


class UnknownJobFile(StreamingError):
    code, status, title = "unknown_file", 404, "No such file"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(
            f"the job has no file {shown(name)}; it has {', '.join(known) or 'none yet'}", field="name", value=name
        )


class UnknownUpload(StreamingError):
    code, status, title = "unknown_upload", 404, "No such upload"

    def __init__(self, upload: str) -> None:
        super().__init__(
            f"there is no upload {shown(upload)}; it may have been forgotten: send the picture again",
            field="video", value=upload,
        )  # fmt: skip


class TooManyJobs(StreamingError):
    code, status, title, retry_after_s = "too_many_renders", 503, "All places in the queue are taken", 30

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} jobs wait, which is the limit max_renders_waiting; try later", limit=limit)


class NoRoomForJobs(StreamingError):
    code, status, title = "no_room", 507, "No room to keep this"


class KeyReused(StreamingError):
    code, status, title = "key_reused", 422, "The Idempotency-Key belongs to another request"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"Idempotency-Key is {shown(key)}, which came with another request before; send a new one",
            field="Idempotency-Key", value=key,
        )  # fmt: skip


class WebhookRefused(StreamingError):
    code, status, title = "webhook_refused", 403, "This webhook is not allowed"

    def __init__(self, detail: str, **members: Any) -> None:
        super().__init__(detail, field="webhook", **members)


class NothingToHear(StreamingError):
    code, status, title = "nothing_to_hear", 409, "There is nothing to hear"


class TooSlow(StreamingError):
    code, status, title = "too_slow", 408, "The body came too slowly"
    headers = {"Connection": "close"}

    def __init__(self, patience_s: float) -> None:
        super().__init__(f"what was to come did not within {patience_s:g} s; send it again", limit=round(patience_s))


class NotAPicture(StreamingError):
    code, status, title = "not_a_picture", 415, "This is no film clip"


class EngineFailed(StreamingError):
    code, title = "engine_failed", "The engine could not start"


class BadConfig(StreamingError, ValueError):
    """A `ValueError`, so that pydantic goes on and finds what else is wrong.

    `loc` is the way to the setting through tables and lists, `others` are what else is wrong."""

    code, title = "bad_config", "A setting is wrong"
    loc: tuple[int | str, ...] = ()
    others: tuple[BadConfig, ...] = ()


class PortUnavailable(StreamingError):
    code, title = "port_unavailable", "The address cannot be had"


class DeviceUnavailable(StreamingError):
    code, title = "no_audio_device", "No audio output"
