"""Who may do what: the one thing that every route, socket, WHEP call and data channel asks. In: requests; out: grants.

`Depends(allowed(Role.CONTROL))` on a route asks for that role, `Depends(open_to_all)` says that it asks for none. A
server for this machine alone gives all to whoever is on it, except to pages of other sites that are open in a browser
there; any other asks for a token. Remembers how often each client has come. Event loop only.
"""

from __future__ import annotations

import asyncio
import functools
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import quote, urlsplit

from starlette.requests import HTTPConnection

from streaming.addresses import is_loopback
from streaming.config import Config
from streaming.errors import (
    Forbidden,
    OriginRefused,
    StreamingError,
    TokenInvalid,
    TokenMissing,
    TooManyFailures,
    TooManyOffers,
    TooManyRequests,
    Unauthorized,
    UnknownStation,
)
from streaming.limits import Limits
from streaming.roles import EVERYTHING, Grant, Role
from streaming.tokens import Tokens, open_tokens

__all__ = ["Access", "Grant", "Role", "access_of", "allowed", "open_to_all", "token_query"]

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_FAILURES_S = 60.0
"""Who has sent no bad token for so long may send a minute's at once."""
_LOOK_S = 1.0
"""How often it is looked whether a token with open connections is over."""
LOOPBACK_ORIGIN = re.compile(r"https?://(?:localhost|[a-z0-9-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?")
"""Pages that programs of this machine serve."""


class Access:
    """What clients of one server may do."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._origins = {*config.origins, *([_origin_of(config.public_url)] if config.public_url else [])}
        self._requests = Limits(config.requests_per_s, TooManyRequests)
        self._offers = Limits(config.offers_per_s, TooManyOffers)
        self._held: dict[object, tuple[Grant, Callable[[], object], Callable[[], bool]]] = {}
        self._failures = Limits(config.failed_tokens_per_minute / 60, TooManyFailures, _FAILURES_S)

    @functools.cached_property
    def tokens(self) -> Tokens:
        """Raises `BadConfig` where the secret cannot be read or made."""
        return open_tokens(self.config)

    @property
    def asks_for_tokens(self) -> bool:
        """Whether somebody needs one for sure."""
        if self.config.tokens != "auto":
            return self.config.tokens == "always"
        return not self.config.is_for_this_machine

    def is_open_to(self, asker: HTTPConnection) -> bool:
        """Whether it needs no token: nobody does, or it is on this machine, and not behind a proxy that says so."""
        if self.config.tokens == "never":
            return True
        return not self.asks_for_tokens and asker.client is not None and is_loopback(asker.client.host)

    def grant(self, asker: HTTPConnection, *keys: str) -> Grant:
        """What the asker may do, by its token, `keys` or cookies.

        Raises `TokenMissing`, `TokenInvalid`, `TokenExpired`, `TokenRevoked`, `TooManyFailures`, `TooManyRequests`.
        """
        if self.is_open_to(asker):
            return EVERYTHING
        given = [*tokens_given(asker), *keys]
        grant = self._read(asker, given[0]) if given else self._granted_to_page(asker)
        self._requests.take(grant.id or _address_of(asker), time.monotonic())
        return grant

    def _read(self, asker: HTTPConnection, token: str) -> Grant:
        try:
            return self.tokens.read(token)
        except TokenInvalid:
            self._failures.take(_address_of(asker), time.monotonic())
            raise

    def _granted_to_page(self, asker: HTTPConnection) -> Grant:
        """The most that its cookies give: a page may have been opened by one link, and another by another."""
        grants = list[Grant]()
        refusal: StreamingError = TokenMissing()
        for name, value in asker.cookies.items():
            if name.startswith(self.tokens.cookie):
                try:
                    grants.append(self._read(asker, value))
                except (Unauthorized, TooManyFailures) as error:
                    refusal = error
        fitting = [grant for grant in grants if _is_for(asker, grant)] or grants
        if not fitting:
            raise refusal
        return max(fitting, key=lambda grant: (grant.role, grant.station is None))

    def hold(
        self, grant: Grant, end: Callable[[], object], is_gone: Callable[[], bool] = lambda: False
    ) -> Callable[[], None]:
        """Call `end` when the token is over, unless the connection is gone by then; answers what lets go of it."""
        if grant.id is None:
            return lambda: None
        if not self._held:
            asyncio.get_running_loop().call_later(_LOOK_S, self._look)
        key = object()
        self._held[key] = grant, end, is_gone
        return lambda: self._held.pop(key, None) and None

    def _look(self) -> None:
        for key, (grant, end, is_gone) in list(self._held.items()):
            if is_gone():
                del self._held[key]
            elif self.tokens.is_over(grant):
                del self._held[key]
                end()
        if self._held:
            asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def check_offer(self, asker: HTTPConnection) -> None:
        """Raises `TooManyOffers` where one address asks for WebRTC too often: each offer is work."""
        if not self.is_open_to(asker):
            self._offers.take(_address_of(asker), time.monotonic())

    def check_origin(self, asker: HTTPConnection) -> None:
        """Raises `OriginRefused` where a browser says that the page of another site is behind this."""
        origin, site = asker.headers.get("origin"), asker.headers.get("sec-fetch-site", "none")
        if origin is not None:
            if not self.is_welcome(origin, asker.headers.get("host", "")):
                raise OriginRefused(origin)
        elif site not in ("none", "same-origin") and not (site == "same-site" and _is_on_loopback(asker)):
            raise OriginRefused(None)

    def is_welcome(self, origin: str, host: str) -> bool:
        """Whether pages of that origin may steer: our own at `host`, those of this machine, those of the settings."""
        if "*" in self._origins or origin in self._origins:
            return True
        return bool(LOOPBACK_ORIGIN.fullmatch(origin)) or origin.partition("://")[2] == host.lower() != ""


def access_of(asker: HTTPConnection) -> Access:
    return asker.app.state.access


Check = Callable[[HTTPConnection], Awaitable[Grant]]


@functools.cache
def allowed(role: Role) -> Check:
    """The dependency of what takes `role`; it answers what the asker may do.

    Raises as `Access.grant`, and `OriginRefused`, `Forbidden`. A token for one station opens no door of the whole
    server but those to which listeners are let in.
    """

    async def check(asker: HTTPConnection) -> Grant:
        access = access_of(asker)
        grant = access.grant(asker)
        check_grant(asker, grant, role)
        if role > Role.LISTEN or asker.scope.get("method") not in _SAFE_METHODS:
            access.check_origin(asker)
        asker.state.grant = grant
        return grant

    check.role = role  # type: ignore[attr-defined]  # the tests look whether each route has one
    return check


async def open_to_all() -> None:
    """The dependency of what anybody may ask."""


def check_grant(asker: HTTPConnection, grant: Grant, role: Role) -> None:
    """Raises `Forbidden`."""
    if grant.role < role:
        raise Forbidden(f"this takes the role {role}, and the token's is {grant.role}; ask for another")
    if not _is_for(asker, grant) and (_station_in(asker) is not None or role > Role.LISTEN):
        raise Forbidden(f"the token is for the station {grant.station} alone; ask for one for all stations")


def _station_in(asker: HTTPConnection) -> str | None:
    """The station that the address names."""
    return asker.path_params.get("station_id", asker.path_params.get("station"))


def _is_for(asker: HTTPConnection, grant: Grant) -> bool:
    address = _station_in(asker)
    if grant.station is None or address == grant.station:
        return True
    try:
        station = asker.app.state.conductor.station(address or "")
    except UnknownStation:
        return False
    return grant.station in (station.id, station.name)


def tokens_given(asker: HTTPConnection) -> Iterator[str]:
    """Those that a program sends, or an address holds."""
    scheme, _, bearer = asker.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield bearer.strip()
    yield from asker.query_params.getlist("token")


def token_query(asker: HTTPConnection) -> str:
    """What an address needs behind it so that a player who knows no headers gets in as the asker did: "?token=…"."""
    token = next(tokens_given(asker), None)
    return "" if token is None else f"?token={quote(token)}"


def _is_on_loopback(asker: HTTPConnection) -> bool:
    return is_loopback(urlsplit(f"//{asker.headers.get('host', '')}").hostname or "")


def _address_of(asker: HTTPConnection) -> str:
    return asker.client.host if asker.client else ""


def _origin_of(url: str) -> str:
    scheme, host = urlsplit(url)[:2]
    return f"{scheme}://{host.lower()}"
