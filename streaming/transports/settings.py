"""Settings of transports: servers of ICE, Open Sound Control. In: tables; out: checked. Any thread."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Field, field_validator, model_validator

from moods.errors import shown
from streaming.errors import BadConfig
from streaming.table import Table, kept_secret

_ICE_URL = re.compile(
    r"(?:stuns?|turns?):(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?(?:\?transport=(?:udp|tcp))?"
)
"""RFC 7064 and 7065: no user and no password stand in the address."""
Profile: TypeAlias = Literal["plain", "robust"]
"""How a WebRTC listener is sent to; robust sends every packet twice."""


class IceServer(Table):
    """A STUN or TURN server, for this server's own use and told to clients."""

    url: str
    username: str | None = Field(None, pattern=r"^[ -~]*$")
    credential: str | None = Field(None, pattern=r"^[ -~]*$")
    secret_file: str | None = None
    """A file with the secret that a TURN server shares with this one, coturn's `static-auth-secret`: each listener then
    gets a login of its own, good for a day, instead of one that all know."""

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        if not _ICE_URL.fullmatch(url):
            hint = "; username and credential have keys of their own" if "@" in url else ""
            raise BadConfig(
                f"ice_servers holds {shown(url)}; an address is stun:HOST:PORT or turn:HOST:PORT{hint}",
                field="ice_servers",
            )
        return url

    @model_validator(mode="after")
    def _turn_has_a_password(self) -> IceServer:
        if self.secret_file is not None:
            kept_secret(self.secret_file, "ice_servers.secret_file")
        elif self.url.startswith("turn") and (self.username is None or self.credential is None):
            raise BadConfig(
                f"ice_servers holds {shown(self.url)} without username and credential; write "
                f'{{ url = "{self.url}", secret_file = "…" }}, or username = "…", credential = "…"',
                field="ice_servers",
            )
        return self


def _read_ice_server(entry: object) -> object:
    if isinstance(entry, str):
        return {"url": entry}
    if not isinstance(entry, Mapping | IceServer):
        raise BadConfig(f"ice_servers holds {shown(entry)}; expected an address such as stun:HOST:PORT or a table")
    return entry


def _are_listed(servers: object) -> object:
    if not isinstance(servers, list | tuple):
        raise BadConfig(f"ice_servers is {shown(servers)}; a list is expected", field="ice_servers")
    return tuple(servers)


IceServers: TypeAlias = Annotated[
    tuple[Annotated[IceServer, BeforeValidator(_read_ice_server)], ...], BeforeValidator(_are_listed)
]


class Osc(Table):
    """Open Sound Control, which is neither heard nor told unless it is set; see docs/live.md."""

    port: int = Field(0, ge=0, le=65535)
    """The UDP port on which controls are heard; 0 hears none."""
    host: str = "127.0.0.1"
    """The address on which they are heard; whoever reaches it can steer every station."""
    targets: tuple[str, ...] = ()
    """Who is told of beats, bars, sections, states and markers: "HOST:PORT" each."""
    ahead_ms: float = Field(0.0, ge=-5000, le=5000)
    """How long before its sound leaves the server each is told, then in a bundle with the time of its sound; 0 as it
    leaves, less than 0 later, for listeners whose players hold sound in store. Beats are known about one beat ahead."""

    @field_validator("targets", mode="before")
    @classmethod
    def _are_addresses(cls, targets: object) -> object:
        if not isinstance(targets, list | tuple) or not all(map(_is_udp_address, targets)):
            raise BadConfig(f'osc.targets is {shown(targets)}; a list of "HOST:PORT" is expected', field="osc")
        return tuple(targets)


def address_of(target: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT", where brackets may stand around a host of IPv6."""
    host, _, port = target.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_udp_address(target: object) -> bool:
    if not isinstance(target, str) or not re.fullmatch(r"[^\s:]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}", target):
        return False
    return 0 < address_of(target)[1] < 65536
