"""The server's settings. In: undersong.toml and overrides; out: `Config`, its text. Remembers nothing; any thread."""

from __future__ import annotations

import functools
import ipaddress
import json
import math
import os
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias, get_args, get_origin
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from engine.backends import GENERATORS
from engine.config import DEVICES
from moods.autopilot import Autopilot
from moods.errors import MoodsError, shown
from moods.fields import MoodFields, parse
from moods.mood import find_mood
from moods.names import nearest
from moods.opening import Opening, parse_opening
from moods.states import StateTables
from streaming.chat.actions import Action, read_action
from streaming.chat.allow import read_words
from streaming.chat.commands import CommandName
from streaming.chat.said import EventKind, RoleName
from streaming.errors import BadConfig
from streaming.journal import LOG_LEVELS
from streaming.orders import Order, read_order, same_name
from streaming.programme.schedule import Schedule, read_schedule

_ICE_URL = re.compile(
    r"(?:stuns?|turns?):(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?(?:\?transport=(?:udp|tcp))?"
)
"""RFC 7064 and 7065: no user and no password stand in the address."""
if TYPE_CHECKING:  # a checker reads no names that are made
    Device: TypeAlias = str
    Backend: TypeAlias = str
    LogLevel: TypeAlias = str
else:
    Device, Backend, LogLevel = Literal[DEVICES], Literal[tuple(GENERATORS)], Literal[LOG_LEVELS]
Profile: TypeAlias = Literal["plain", "robust"]
"""How a WebRTC listener is sent to; robust sends every packet twice."""
MAX_ENGINES = 64
_MAX_SLOTS = 1000
_STATIONS_AN_ENGINE = 8
"""An engine more is worth its memory from so many stations on."""
_ORIGIN = re.compile(r"https?://[^\s/?#@]+|null|\*")
_HOST = re.compile(r"\*|(?:\*\.)?[A-Za-z0-9._-]+")
_PUBLIC_URL = re.compile(r"https?://[^\s/?#@]+(?:/[A-Za-z0-9._~/-]*)?")


@functools.cache
def read_secret(file: str, setting: str) -> str:
    """The first line of a file that a setting names, so that no secret stands in the settings. Raises `BadConfig`."""
    try:
        first, *_ = Path(file).read_text(encoding="utf-8").splitlines() or [""]
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"{setting} is {shown(file, 200)}, which cannot be read: {error}", field=setting) from None
    if not first.strip():
        raise BadConfig(f"{setting} is {shown(file, 200)}, whose first line is empty", field=setting)
    return first.strip()


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class IceServer(_Settings):
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
            read_secret(self.secret_file, "ice_servers.secret_file")
        elif self.url.startswith("turn") and (self.username is None or self.credential is None):
            raise BadConfig(
                f"ice_servers holds {shown(self.url)} without username and credential; write "
                f'{{ url = "{self.url}", secret_file = "…" }}, or username = "…", credential = "…"',
                field="ice_servers",
            )
        return self


class Osc(_Settings):
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


def _listed(value: object) -> object:
    """TOML's lists, as what does not change."""
    return tuple(value) if isinstance(value, list) else value


_Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Chat(_Settings):
    """What viewers may ask for, wherever they write: [twitch], [irc], or POST /v1/stations/{id}/chat; docs/chat.md."""

    station: str = Field("main", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    """The name of the station that chat steers."""
    prefix: str = Field("!", pattern=r"^[!-/:-@\[-`{-~]{1,3}$")
    """What commands begin with."""
    language: Literal["en", "zh"] = "en"
    """Of replies."""
    replies: Literal["none", "few", "all"] = "few"
    """few: to np and help, and to moderators whose command was refused. all: to everybody whose command was."""
    may: dict[CommandName, RoleName] = {}
    """Who may use a command, from which role on: { mood = "vip", energy = "moderator", skip = "moderator", poll =
    "moderator", ban = "moderator" } where nothing else is said, and everybody the others."""
    votes: bool = True
    """Let mood, energy and skip of those who may not use them be votes."""
    quorum: int = Field(3, ge=1, le=10_000)
    """So many must have voted."""
    vote_phrases: int = Field(2, ge=1, le=64)
    """How long a vote runs, in phrases of four bars."""
    weights: dict[RoleName, Annotated[float, Field(ge=0, le=100)]] = {}
    """How much the vote of a role weighs; 1 where nothing is said."""
    blend: bool = True
    """A vote on moods leads to their mixture by shares; false: to the one that most want."""
    over_bars: float = Field(2.0, ge=0, le=64)
    """How long a change takes, from a bar line on."""
    min_change_s: float = Field(20.0, ge=0, le=3600)
    """Chat changes the music at most so often; moderators may at any time."""
    cooldown_s: float = Field(10.0, ge=0, le=3600)
    """How long somebody waits between two commands of one kind; moderators do not."""
    moods: _Texts = ()
    """The moods that may be asked for by name; by default all presets."""
    least_energy: float = Field(0.1, ge=0, le=1)
    """Chat leads the energy no further down …"""
    most_energy: float = Field(0.9, ge=0, le=1)
    """… and no further up."""
    requests: bool = True
    """Free text may be asked for, and waits for the streamer's approval."""
    max_characters: int = Field(120, ge=1, le=500)
    """Of free text."""
    filter: str = ""
    """A file of words that free text may not hold, one a line."""
    banned: _Texts = ()
    """Who is not listened to: ids, or names without regard to case."""
    audit: str = "auto"
    """A file to which a line of JSON is added for each command: who, what, what became of it, and why. auto is a file
    of this user's; "" keeps none."""
    audit_mb: float = Field(5.0, ge=0.01, le=10_000)
    """How large that file grows before it begins anew; the four before it are kept."""

    @field_validator("moods")
    @classmethod
    def _are_moods(cls, moods: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(find_mood(name).name for name in moods)
        except MoodsError as error:
            raise BadConfig(f"chat.moods: {error}", field="chat") from None

    @field_validator("filter")
    @classmethod
    def _can_be_read(cls, file: str) -> str:
        read_words(file)
        return file

    @model_validator(mode="after")
    def _has_room_for_energy(self) -> Chat:
        if self.least_energy > self.most_energy:
            raise BadConfig(
                f"chat.least_energy is {self.least_energy:g}, above most_energy, which is {self.most_energy:g}",
                field="chat",
            )
        return self


class Twitch(_Settings):
    """A channel of Twitch whose chat is heard; docs/chat.md. Reading chat needs no account."""

    channel: str = Field("", pattern=r"^[A-Za-z0-9_]{0,25}$")
    """The channel's name; "" hears none."""
    login: str = Field("", pattern=r"^[A-Za-z0-9_]{0,25}$")
    """The account that answers; "" only reads."""
    token: str = Field("", pattern=r"^[!-~]*$")
    """An OAuth token of that account, better given by token_file or the environment."""
    token_file: str = ""
    """A file that holds the token; it is read again for every connection."""
    client_id: str = Field("", pattern=r"^[A-Za-z0-9]*$")
    """Of the application that the token was made for; needed for events."""
    chat: Literal["irc", "eventsub"] = "irc"
    """Where chat is read."""
    events: dict[str, Any] = {}
    """What events do: points, "points:TITLE" of a reward, cheer, raid, subscribe, follow, each a table of mood fields
    and controls such as { stinger = "victory", least = 10, every_s = 5 }, or { vote = "epic" }. Any of them needs token
    and client_id."""
    irc_url: str = Field("wss://irc-ws.chat.twitch.tv:443", pattern=r"^wss?://\S+$")
    """Where chat is read; to be changed for tests."""
    eventsub_url: str = Field("wss://eventsub.wss.twitch.tv/ws", pattern=r"^wss?://\S+$")
    """Where events come from."""
    api_url: str = Field("https://api.twitch.tv/helix", pattern=r"^https?://\S+$")
    """Where they are subscribed to."""

    @model_validator(mode="after")
    def _can_be_reached(self) -> Twitch:
        _ = self.actions
        needs_token = bool(self.events) or self.chat == "eventsub" or bool(self.login)
        if self.channel and needs_token and not (self.token or self.token_file):
            raise BadConfig("twitch has no token, and login, events or chat needs one; set token_file", field="twitch")
        if self.channel and (self.events or self.chat == "eventsub") and not self.client_id:
            raise BadConfig("twitch.client_id is missing; events need that of the token's application", field="twitch")
        return self

    @property
    def actions(self) -> dict[str, Action]:
        """What the events do, by their names in small letters. Raises `BadConfig`."""
        known = get_args(EventKind)
        for name in self.events:
            if name not in known and not name.startswith("points:"):
                raise BadConfig(
                    f'twitch.events has {shown(name)}; known: {", ".join(known)}, "points:TITLE"', field="twitch"
                )
        try:
            tables = self.events.items()
            return {name.casefold(): read_action(table, f"twitch.events.{name}") for name, table in tables}
        except MoodsError as error:
            raise BadConfig(str(error), field="twitch") from None


class Irc(_Settings):
    """A channel of any IRC server whose chat is heard (RFC 1459); docs/chat.md."""

    host: str = Field("", pattern=r"^\S*$")
    """The server; "" hears none."""
    port: int = Field(6697, ge=1, le=65535)
    tls: bool = True
    channel: str = Field("", pattern=r"^([#&+!][^\s,\x07]{1,49})?$")
    """Such as "#music"."""
    nick: str = Field("undersong", pattern=r"^[A-Za-z\[\]\\`_^{|}][A-Za-z0-9\[\]\\`_^{|}-]{0,29}$")
    password: str = Field("", pattern=r"^[!-~]*$")
    """Of the server, better given by password_file or the environment."""
    password_file: str = ""
    broadcaster: str = ""
    """The nick of the streamer. Operators of the channel are moderators, who has a voice is a vip."""

    @model_validator(mode="after")
    def _has_a_channel(self) -> Irc:
        if bool(self.host) != bool(self.channel):
            missing = "channel" if self.host else "host"
            raise BadConfig(f"irc.{missing} is missing; a room is a host and a channel", field="irc")
        return self


def secret(given: str, file: str) -> str:
    """What a setting says, or the file that it names, read anew each time: secrets are changed. Raises OSError."""
    return given or ("".join(Path(file).read_text(encoding="utf-8").split()) if file else "")


def is_loopback(host: str) -> bool:
    """Whether an address, or a name that browsers look up nowhere, is this machine's own."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


_PUSH_KINDS = {
    "icecast": "icecast", "icecasts": "icecast", "rtmp": "rtmp", "rtmps": "rtmp", "srt": "srt",
    "whip+http": "whip", "whip+https": "whip",
}  # fmt: skip


class Push(_Settings):
    """A stream of a station that the server sends elsewhere, for as long as both are there; see docs/streams.md."""

    station: str
    """The name or id of the station; one that is not there yet is waited for."""
    to: str
    """icecast://HOST:PORT/MOUNT (icecasts:// by TLS), rtmp://HOST/APP (rtmps://), srt://HOST:PORT, or whip+https:// and
    what follows in the address of a WHIP endpoint."""
    format: Literal["mp3", "aac", "ogg"] = "mp3"
    """What an Icecast server is sent; the others take AAC, or by WHIP Opus."""
    bit_rate: int = Field(192_000, ge=32_000, le=320_000)
    """Bit/s of mp3 and aac."""
    user: str = Field("source", pattern=r"^[!-9;-~]+$")
    """Of an Icecast server."""
    password: str = Field("", pattern=r"^[ -~]*$")
    """An Icecast server's; RTMP's stream key, SRT's passphrase, WHIP's bearer token."""
    password_file: str = ""
    """A file with it instead, so that it stands in no settings."""
    picture: str = ""
    """What is seen by RTMP and SRT, where platforms want a film: a picture's file, or "black"; "" sends none."""

    @field_validator("to")
    @classmethod
    def _is_address(cls, to: str) -> str:
        try:
            parts = urlsplit(to)
            is_fit = parts.scheme in _PUSH_KINDS and parts.hostname and (parts.port or True) and to.isprintable()
        except ValueError:
            is_fit = False
        if not is_fit or " " in to:
            kinds = ", ".join(f"{scheme}://" for scheme in _PUSH_KINDS)
            raise BadConfig(f"push.to is {shown(to)}; expected an address that begins with {kinds}", field="push")
        if parts.username is not None:
            raise BadConfig(
                "push.to holds a user; user, password and password_file have keys of their own", field="push"
            )
        return to

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Push:
        if self.kind == "icecast" and len(self.address.path) < 2:
            raise BadConfig(
                f"push.to is {shown(self.to)}, without a mount; write icecast://HOST:PORT/MOUNT", field="push"
            )
        _ = self.key
        return self

    @property
    def kind(self) -> str:
        """`icecast`, `rtmp`, `srt` or `whip`."""
        return _PUSH_KINDS[self.address.scheme]

    @property
    def told(self) -> str:
        """Where it goes, as others may know it: the rest of such addresses may be a key."""
        return f"{self.address.scheme}://{self.address.netloc}"

    @property
    def address(self) -> SplitResult:
        return urlsplit(self.to)

    @property
    def key(self) -> str:
        """The password, wherever it stands. Raises `BadConfig`."""
        return read_secret(self.password_file, "push.password_file") if self.password_file else self.password


_OBS_URL = re.compile(r"wss?://[^\s/?#@]+(?:/[A-Za-z0-9._~/-]*)?")


class ObsOrders(NamedTuple):
    """What happens in OBS, and what is asked of the station then; scenes by name."""

    scenes: dict[str, Order]
    stream_started: Order | None
    stream_stopped: Order | None


class Obs(_Settings):
    """OBS Studio, whose scenes and microphones steer a station where its address is set; see docs/obs.md."""

    url: str = ""
    """Where OBS' WebSocket server is found, such as "ws://127.0.0.1:4455"; none by default."""
    password: str = ""
    """The password of that server, which a file keeps better."""
    password_file: str = ""
    """A file that holds it."""
    station: str = "main"
    """The name or id of the station that is steered."""
    scenes: dict[str, Any] = {}
    """What is asked for when a scene begins, by its name: mood fields and controls, such as
    "Starting" = { mood = "focus", countdown = 300 }."""
    stream_started: dict[str, Any] = {}
    """The same when the stream has started."""
    stream_stopped: dict[str, Any] = {}
    """And when it has stopped."""
    microphone: tuple[str, ...] = ()
    """Audio sources under whose voices the music is lowered, such as "Mic/Aux"; one or several."""
    threshold_db: float = Field(-35.0, ge=-60, le=0)
    """The peak level, dBFS behind the source's fader, from which on somebody speaks."""
    depth_db: float = Field(-9.0, ge=-60, le=0)
    """How much lower the music is then."""
    attack_s: float = Field(0.15, ge=0, le=10)
    """How long it takes to get there."""
    hold_s: float = Field(0.8, ge=0.1, le=30)
    """How long nobody has to have spoken before it comes back."""
    release_s: float = Field(1.0, ge=0, le=30)
    """How long that takes."""

    @field_validator("url")
    @classmethod
    def _is_socket(cls, url: str) -> str:
        if url and not _OBS_URL.fullmatch(url):
            raise BadConfig(f"obs.url is {shown(url)}; expected for example ws://127.0.0.1:4455", field="obs")
        return url

    @field_validator("microphone", mode="before")
    @classmethod
    def _are_names(cls, names: object) -> object:
        names = (names,) if isinstance(names, str) else names
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise BadConfig(f'obs.microphone is {shown(names)}; expected for example "Mic/Aux"', field="obs")
        return tuple(name for name in names if name)

    @model_validator(mode="after")
    def _orders_can_be_read(self) -> Obs:
        _ = self.orders
        return self

    @property
    def orders(self) -> ObsOrders:
        """What the tables ask for. Raises `BadConfig`."""

        def read(table: dict[str, Any], where: str) -> Order | None:
            try:
                return read_order(table, f"obs.{where}") if table else None
            except MoodsError as error:
                raise BadConfig(str(error), field="obs") from None

        scenes = {same_name(name): read(table, f"scenes.{name}") for name, table in self.scenes.items()}
        return ObsOrders(
            {name: order for name, order in scenes.items() if order is not None},
            read(self.stream_started, "stream_started"),
            read(self.stream_stopped, "stream_stopped"),
        )

    @property
    def secret(self) -> str:
        """The password. Reads a file; raises `BadConfig`."""
        return read_secret(self.password_file, "obs.password_file") if self.password_file else self.password


def address_of(target: str) -> tuple[str, int]:
    """Host and port of "HOST:PORT", where brackets may stand around a host of IPv6."""
    host, _, port = target.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _is_udp_address(target: object) -> bool:
    if not isinstance(target, str) or not re.fullmatch(r"[^\s:]+:\d{1,5}|\[[0-9A-Fa-f:.]+\]:\d{1,5}", target):
        return False
    return 0 < address_of(target)[1] < 65536


def _read_ice_server(entry: object) -> object:
    if isinstance(entry, str):
        return {"url": entry}
    if not isinstance(entry, Mapping | IceServer):
        raise BadConfig(f"ice_servers holds {shown(entry)}; expected an address such as stun:HOST:PORT or a table")
    return entry


def _read_engines(value: object) -> object:
    if value == "auto" or (type(value) is int and 1 <= value <= MAX_ENGINES):
        return value
    raise BadConfig(
        f'engines is {shown(value)}; allowed is "auto" or 1 … {MAX_ENGINES}',
        field="engines", value=value, range=[1, MAX_ENGINES],
    )  # fmt: skip


class Config(_Settings):
    """Settings of one server; every field can be given in undersong.toml under its own name.

    Raises `BadConfig` with the field, its value and what is allowed.
    """

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 lets other machines in."""
    port: int = Field(8400, ge=0, le=65535)
    """The port to listen on; 0 lets the system choose."""
    public_url: str = ""
    """Where clients find this server if not at its own address, such as https://example.org/music behind a proxy that
    strips /music: its path begins the addresses that are given out."""
    tokens: Literal["auto", "always", "never"] = "auto"
    """Who needs a token, see docs/security.md: auto is everybody but programs on this machine, where host is a loopback
    address; never lets in whoever reaches the server."""
    secret_file: str = ""
    """A file with the secret that signs tokens, of 32 characters or more; by default one beside the folder `stations`,
    made when it is needed. Without such a folder the secret, and all tokens with it, is forgotten at the end."""
    revoked: tuple[str, ...] = ()
    """Ids of tokens that are no longer valid, beside those that `undersong token --revoke` has taken back."""
    origins: tuple[str, ...] = ()
    """Where pages come from that may steer and read, such as "https://example.org"; "*" is anywhere. The server's own
    may, and those of programs on the listener's own machine."""
    hosts: tuple[str, ...] = ()
    """Names by which clients may call this server, such as "music.example.org" or "*.example.org", beside addresses,
    this machine's own name and the one in public_url; "*" is any."""
    frame_ancestors: tuple[str, ...] = ()
    """Origins whose pages may show this server's pages in a frame."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Addresses or networks of proxies that are believed about who asks (X-Forwarded-For, X-Forwarded-Proto)."""
    hsts_days: int = Field(0, ge=0, le=3650)
    """For how many days browsers are to ask for this host by https alone; 0 says nothing of it."""
    max_connections_per_address: int = Field(512, ge=1, le=100_000)
    """How many connections one address may have open; proxies that are trusted are not counted."""
    requests_per_s: float = Field(50.0, ge=1, le=100_000)
    """How many requests a second one token may make, and twice as many at once; who needs none is not counted."""
    offers_per_s: float = Field(10.0, ge=0.1, le=10_000)
    """How many offers of WebRTC a second one address may make, and twice as many at once; likewise."""
    failed_tokens_per_minute: float = Field(30.0, ge=1, le=100_000)
    """How many tokens that are none one address may send; then it is told to wait."""
    device: Device = "auto"
    """What composes and sounds the music: auto is the CPU."""
    backend: Backend = "score"
    """The generator."""
    engines: Annotated[int | Literal["auto"], BeforeValidator(_read_engines)] = "auto"
    """How many engine processes share the stations: 1 … 64, or auto: one a core, but no more than one for every eight
    of max_stations; on CUDA one."""
    max_stations: int = Field(16, ge=1, le=100_000)
    """How many stations may be open at a time."""
    max_load: float = Field(0.95, ge=0.1, le=1)
    """A new station is refused where it would take more of every engine's time than this; those that play are never
    ended for it."""
    max_lag_ms: float = Field(100.0, ge=1, le=10_000)
    """A new listener is refused while one in ten of the server's ticks, of which there are 50 a second, is later than
    this: those who listen already would lose sound."""
    max_sessions: int = Field(256, ge=1, le=100_000)
    """How many listeners all stations together may have."""
    controls_per_s: float = Field(60.0, ge=1, le=10_000)
    """How many controls a second one client may have applied, and twice as many at once; of more, the newest wish of a
    kind waits, and hits and stingers are refused."""
    lead_ms: float = Field(15.0, ge=10, le=2000)
    """How long before its tick a block is made at least: less is quicker to the hand. An engine that
    comes late takes more, up to 150 ms, until it has been quiet for a while."""
    idle_close_s: float = Field(300.0, ge=0, le=86_400)
    """A station without a name, listeners and clients is closed after this; 0 keeps it."""
    sleep_s: float = Field(60.0, ge=0, le=86_400)
    """A station that nobody has listened to or steered for so long sleeps: its music stands still, and costs nothing,
    until somebody does; 0 lets it play on."""
    setup_timeout_s: float = Field(10.0, ge=0.1, le=300)
    """A WebRTC peer that has not connected by then is dropped."""
    snapshot_s: float = Field(5.0, ge=0.1, le=3600)
    """How often each station's state is kept for the recovery of the engine."""
    hang_s: float = Field(1.0, ge=0.2, le=600)
    """An engine that is silent for this long is taken for dead."""
    opus_bit_rate: int = Field(160_000, ge=32_000, le=510_000)
    """Bit/s of the Opus packets that all listeners share."""
    whep_profile: Profile = "plain"
    """How WebRTC listeners are sent to that do not ask for a profile: plain, or robust, which takes twice the bandwidth
    to send every packet twice, against losses on the way."""
    ice_servers: tuple[Annotated[IceServer, BeforeValidator(_read_ice_server)], ...] = ()
    """STUN addresses, such as "stun:192.0.2.1:3478", and TURN servers as
    { url = "turn:192.0.2.1:3478", username = "…", credential = "…" }; none by default, so that no third party learns of
    a listener."""
    patches: str = ""
    """A folder of patch files beside the shipped ones; see docs/sound.md."""
    stations: str = "auto"
    """A folder of this server's own for its stations, so that they outlast it, however it ends: when it starts again
    they are there under their ids and names, asleep where they were. auto is a folder of this user's for each port, and
    none for port 0; with "" nothing is kept."""
    restore: bool = True
    """Have the stations again that the folder holds; those that somebody was listening to play at once."""
    renders: str = ""
    """A folder of this server's own for renders and uploads, so that they outlast it; by default a temporary one, gone
    when the server ends."""
    render_workers: int = Field(1, ge=1, le=16)
    """How many renders may be made at a time, each by a process of its own."""
    max_renders_waiting: int = Field(32, ge=1, le=10_000)
    """How many renders, and how many analyses, may wait for their turn."""
    keep_renders_s: float = Field(86_400.0, ge=60, le=31_536_000)
    """What a render has made, and an upload, is removed so long after it was wanted last."""
    max_renders_mb: int = Field(20_000, ge=100, le=100_000_000)
    """How much renders and uploads may keep together; what has been kept for longest goes first."""
    max_upload_mb: int = Field(2_000, ge=1, le=1_000_000)
    """The largest picture that may be sent."""
    max_picture_s: float = Field(7_200.0, ge=1, le=21_600)
    """The longest picture that may be sent."""
    max_render_s: float = Field(7_200.0, ge=1, le=21_600)
    """The longest piece that may be asked for."""
    drain_s: float = Field(0.0, ge=0, le=86_400)
    """How long a server that is told to end waits, when the music has faded out, for the renders that are being made.
    Those that are not ready by then, or wait, are made by the next server where `renders` names a folder. A second
    signal ends it at once."""
    lyria_keys: tuple[Annotated[str, Field(pattern=r"^[!-~]+$")], ...] = ()
    """Keys that the Lyria RealTime endpoint takes; by default any, or none at all."""
    lyria_buffer_s: float = Field(0.2, ge=0, le=2)
    """How far ahead of its time a client of that endpoint is sent its music, where it does not ask for more or less:
    a longer store forgives a worse network, and is heard as so much more delay of every change."""
    tls_cert: str = ""
    """A file in PEM with the certificate, and those that lead to it, under which the server speaks https and wss
    instead of http and ws."""
    tls_key: str = ""
    """The file in PEM with its key."""
    webhook_secret: str = Field("", pattern=r"^[ -~]*$")
    """The key that webhooks are signed with where a request brings none of its own."""
    webhook_secret_file: str = ""
    """A file with that key, so that it stands in no settings."""
    webhook_hosts: tuple[str, ...] = ()
    """Hosts that webhooks may go to, such as "hooks.example.org" or "192.168.1.20"; by default any of the internet,
    and none of this machine or its networks."""
    c2pa_certificate: str = ""
    """A file in PEM with the certificates under which renders are signed as made by a machine; by default a test
    certificate that the server makes for itself."""
    c2pa_key: str = ""
    """The file in PEM with its key."""
    states: dict[str, Any] = {}
    """States that a station has which is opened without any of its own, as POST /v1/stations takes them; so are
    transitions, initial and parameters. See docs/states.md."""
    transitions: list[Any] = []
    """Between those states."""
    initial: str = ""
    """The one of them that a station begins in that asks for no mood of its own; by default none."""
    parameters: dict[str, Any] = {}
    """Numbers that games send, and the mood fields that they drive."""
    themes: dict[str, Any] = {}
    """Melodies for these states and the `theme` control."""
    stingers: dict[str, Any] = {}
    """Stingers beside those that every station has."""
    autopilot: dict[str, Any] = {}
    """The autopilot of a station that is opened without saying anything of one, as POST /v1/stations takes it; by
    default none. See docs/autopilot.md."""
    log_level: LogLevel = "info"
    """The least that is worth a line on stderr; info tells of the start, stations, sessions, refusals and ends."""
    log_json: bool = False
    """One JSON object a line, for machines that collect logs."""
    open: tuple[dict[str, Any], ...] = ()
    """Stations that are always there, each a table [[open]] with a name and whatever else POST /v1/stations takes. They
    sleep until somebody comes, and are never closed for want of listeners. One that the folder `stations` holds under
    that name is left as it is."""
    push: tuple[Push, ...] = ()
    """Streams that are sent elsewhere, each a table [[push]] with station, to and more; see docs/streams.md."""
    osc: Osc = Osc()
    """Open Sound Control, off by default; see docs/live.md."""
    chat: Chat = Chat()
    """What viewers may ask for in chat; see docs/chat.md."""
    twitch: Twitch = Twitch()
    """A channel of Twitch whose chat is heard, none by default; see docs/chat.md."""
    irc: Irc = Irc()
    """A channel of an IRC server whose chat is heard, none by default; see docs/chat.md."""
    programme: tuple[dict[str, Any], ...] = ()
    """Moods by the time of day, each a table [[programme]] with from = "06:00", mood = "focus", over = "8 bars", and
    with days = "mon-fri" or a station other than "main" if need be. See docs/obs.md."""
    time_zone: str = ""
    """The time zone of the programme, such as "Europe/Berlin"; by default this machine's."""
    obs: Obs = Obs()
    """OBS Studio, whose scenes and microphones steer a station, off by default; see docs/obs.md."""
    generator: str = Field("engine.backends:open_generator", pattern=r"^[^:]+:[^:]+$")
    """`module:function` that makes the engine's generator from an `engine.config.EngineConfig`."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first, *others = [_in_words(row) for row in error.errors(include_url=False)]
            first.others = tuple(others)
            raise first from None

    @field_validator("ice_servers", mode="before")
    @classmethod
    def _is_list(cls, servers: object) -> object:
        if not isinstance(servers, list | tuple):
            raise BadConfig(f"ice_servers is {shown(servers)}; a list is expected", field="ice_servers")
        return tuple(servers)

    @field_validator("push", mode="before")
    @classmethod
    def _are_pushes(cls, pushes: object) -> object:
        if not isinstance(pushes, list | tuple) or not all(isinstance(push, Mapping | Push) for push in pushes):
            raise BadConfig(f"push is {shown(pushes)}; write each as a table [[push]]", field="push")
        return tuple(pushes)

    @field_validator("webhook_hosts", mode="before")
    @classmethod
    def _are_hosts(cls, hosts: object) -> object:
        if not isinstance(hosts, list | tuple) or not all(isinstance(host, str) and host for host in hosts):
            raise BadConfig(f"webhook_hosts is {shown(hosts)}; a list of host names is expected", field="webhook_hosts")
        return tuple(host.lower() for host in hosts)

    @field_validator("public_url")
    @classmethod
    def _is_url(cls, url: str) -> str:
        if url and not _PUBLIC_URL.fullmatch(url):
            raise BadConfig(f"public_url is {shown(url)}; expected http(s)://HOST/PATH", field="public_url")
        return url.rstrip("/")

    @field_validator("revoked", "origins", "hosts", "frame_ancestors", "trusted_proxies", mode="before")
    @classmethod
    def _are_texts(cls, texts: object, field: ValidationInfo) -> object:
        name = str(field.field_name)
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) and text for text in texts):
            raise BadConfig(f"{name} is {shown(texts)}; a list of texts is expected", field=name)
        return tuple(texts)

    @field_validator("origins", "frame_ancestors")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...], field: ValidationInfo) -> tuple[str, ...]:
        lowered = tuple(origin.lower().rstrip("/") for origin in origins)
        for origin in lowered:
            if not _ORIGIN.fullmatch(origin):
                name = str(field.field_name)
                raise BadConfig(f'{name} holds {shown(origin)}; expected http(s)://HOST or "*"', field=name)
        return lowered

    @field_validator("hosts")
    @classmethod
    def _are_names(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                text = f'hosts holds {shown(host)}; expected HOST, *.HOST or "*", without a port'
                raise BadConfig(text, field="hosts")
        return tuple(host.lower() for host in hosts)

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ipaddress.ip_network(proxy, strict=False)
            except ValueError:
                raise BadConfig(
                    f"trusted_proxies holds {shown(proxy)}; expected an address or network, such as 10.0.0.0/8",
                    field="trusted_proxies",
                ) from None
        return proxies

    @field_validator("lyria_keys", mode="before")
    @classmethod
    def _are_keys(cls, keys: object) -> object:
        if not isinstance(keys, list | tuple):
            raise BadConfig('lyria_keys is no list; write it as ["KEY", …]', field="lyria_keys")
        return tuple(keys)

    @model_validator(mode="after")
    def _certificates_have_keys(self) -> Config:
        for pair in (("c2pa_certificate", "c2pa_key"), ("tls_cert", "tls_key")):
            given, missing = sorted(pair, key=lambda name: not getattr(self, name))
            if getattr(self, given) and not getattr(self, missing):
                raise BadConfig(f"{given} is set and {missing} is not; set both", field=missing)
        return self

    @field_validator("programme", mode="before")
    @classmethod
    def _are_entries(cls, tables: object) -> object:
        if not isinstance(tables, list | tuple):
            raise BadConfig(
                f"programme is {shown(tables)}; write each entry as a table [[programme]]", field="programme"
            )
        return tuple(tables)

    @model_validator(mode="after")
    def _programme_can_be_read(self) -> Config:
        _ = self.schedule
        return self

    @property
    def schedule(self) -> Schedule:
        """What is on when. Raises `BadConfig`."""
        return read_schedule(self.programme, self.time_zone)

    @model_validator(mode="after")
    def _secrets_can_be_read(self) -> Config:
        _ = self.webhook_key
        return self

    @property
    def webhook_key(self) -> str:
        """Raises `BadConfig`."""
        file = self.webhook_secret_file
        return read_secret(file, "webhook_secret_file") if file else self.webhook_secret

    @model_validator(mode="after")
    def _states_agree(self) -> Config:
        try:
            parse(StateTables, self._tables)
            parse(Autopilot, self.autopilot)
        except MoodsError as error:
            raise BadConfig(str(error)) from None
        return self

    @field_validator("open", mode="before")
    @classmethod
    def _are_tables(cls, openings: object) -> object:
        if not isinstance(openings, list | tuple) or not all(isinstance(each, Mapping) for each in openings):
            raise BadConfig(f"open is {shown(openings)}; write each station as a table [[open]]", field="open")
        return tuple(openings)

    @model_validator(mode="after")
    def _openings_can_be_had(self) -> Config:
        names = [opening.name for opening in self.openings]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise _bad_opening(number, f"has the name {shown(name)}, as another has; give it one of its own")
        if len(names) > self.max_stations:
            raise _bad_opening(self.max_stations, f"is one more than max_stations, which is {self.max_stations}")
        return self

    @property
    def openings(self) -> tuple[Opening, ...]:
        """Of the stations that are always there, each with a name. Raises `BadConfig`."""
        openings = []
        for number, asked in enumerate(self.open):
            try:
                opening = parse_opening(self.furnished(asked))
            except MoodsError as error:
                raise _bad_opening(number, f"cannot be had: {error}") from None
            if opening.name is None:
                raise _bad_opening(number, 'has no name; give it one, such as "main"')
            if opening.timeline is not None:
                raise _bad_opening(number, "has a timeline, which ends; open such a station when it is wanted")
            openings.append(opening)
        return tuple(openings)

    @property
    def _tables(self) -> dict[str, Any]:
        """What is set of states, as an opening has it."""
        return {name: value for name in StateTables.model_fields if (value := getattr(self, name))}

    def furnished(self, asked: object) -> object:
        """The body that opens a station, with the states and the autopilot of the settings where it says none."""
        if not isinstance(asked, Mapping) or "timeline" in asked:
            return asked
        autopilot = {"autopilot": self.autopilot} if self.autopilot else {}
        if StateTables.model_fields.keys() & asked.keys():
            return autopilot | {**asked}
        has_mood = bool(MoodFields.model_fields.keys() & asked.keys())
        tables = {name: value for name, value in self._tables.items() if name != "initial" or not has_mood}
        return autopilot | tables | {**asked}

    @model_validator(mode="after")
    def _engines_have_work(self) -> Config:
        if self.num_engines > self.max_stations:
            raise BadConfig(
                f"engines is {self.engines}; allowed is no more than max_stations, which is {self.max_stations}",
                field="engines",
            )
        if self.num_engines > 1 and self.device == "cuda":
            raise BadConfig(
                f'engines is {self.engines}; on cuda one engine plays all stations: set 1 or "auto"', field="engines"
            )
        return self

    @property
    def num_engines(self) -> int:
        """How many engine processes there are."""
        if self.engines != "auto":
            return self.engines
        if self.device == "cuda":
            return 1
        num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(num_cores, MAX_ENGINES, math.ceil(self.max_stations / _STATIONS_AN_ENGINE))

    @property
    def stations_folder(self) -> Path | None:
        """Where stations outlast the server; None where they do not."""
        if self.stations != "auto":
            return Path(self.stations).absolute() if self.stations else None
        home = os.environ.get("XDG_STATE_HOME", "") or os.path.expanduser("~/.local/state")
        # Without a home there is none; nor has a port that the system chooses once anything to come back to.
        return Path(home) / "undersong" / "stations" / str(self.port) if self.port and os.path.isabs(home) else None

    @property
    def secret_path(self) -> Path | None:
        """Where the secret of tokens is; None where it lives only as long as the server."""
        if self.secret_file:
            return Path(self.secret_file).absolute()
        folder = self.stations_folder
        return None if folder is None else folder.with_name(f"{folder.name}.secret")

    @property
    def is_for_this_machine(self) -> bool:
        """Whether nobody elsewhere is to reach it."""
        public_host = urlsplit(self.public_url).hostname
        return is_loopback(self.host) and (public_host is None or is_loopback(public_host))

    @property
    def max_playing(self) -> int:
        """How many stations one engine may play at a time."""
        return min(self.max_stations, _MAX_SLOTS)

    def to_toml(self) -> str:
        """The settings as a file to be edited: each under what it means and may be."""
        values = self.model_dump(mode="json", exclude_none=True)
        tables = {name: value for name in values if isinstance(value := getattr(self, name), BaseModel)}
        text = [_setting(name, values[name], type(self)) for name in values if name not in tables]
        for name, table in tables.items():
            text.append(f"{_comment(name, type(self))}[{name}]\n")
            text += [_setting(each, values[name][each], type(table)) for each in values[name]]
        return "\n".join(text)


def _setting(name: str, value: object, model: type[BaseModel]) -> str:
    return f"{_comment(name, model)}{name} = {_toml(value)}\n"


def _comment(name: str, model: type[BaseModel]) -> str:
    described = " ".join(str(model.model_fields[name].description).split())
    range_ = _range_of(name, model)
    lines = textwrap.wrap(f"{described}{f' Allowed: {range_}.' if range_ else ''}", 110)
    return "".join(f"# {line}\n" for line in lines)


_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "string": "a text",
    "bool": "true or false",
    "model": "a table",
}


def _bad_opening(number: int, why: str) -> BadConfig:
    """`number` counts from 0, what is told from 1."""
    error = BadConfig(f"table {number + 1} of open {why}", field="open")
    error.loc = ("open", number)
    return error


def _in_words(row: ErrorDetails) -> BadConfig:
    error = row.get("ctx", {}).get("error")
    if not isinstance(error, BadConfig):
        field, text = str(row["loc"][0]), _complaint(row)
        error = BadConfig(text, field=field)
    error.loc = row["loc"] or error.loc or (error.members.get("field", ""),)
    return error


def _complaint(row: ErrorDetails) -> str:
    loc = row["loc"]
    key, model = ".".join(map(str, loc)), _model_at(loc)
    if row["type"] == "extra_forbidden":
        return f"unknown setting {shown(key)}; {_nearest(str(loc[-1]), model)}"
    if row["type"] == "missing":
        return f"{key} is missing"
    expected = _EXPECTED.get(row["type"].split("_")[0])
    range_ = _range_of(str(loc[-1]), model)
    if row["type"].endswith(("_type", "_from_float")) and expected:
        way_out = f"{expected} is expected"
    elif range_:
        way_out = f"allowed is {range_}"
    elif row["type"] == "string_pattern_mismatch":
        way_out = "expected module:function" if loc[0] == "generator" else "expected printable ASCII"
    else:
        way_out = row["msg"][:1].lower() + row["msg"][1:]
    return f"{key} is {shown(row['input'])}; {way_out}"


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The table that a setting stands in."""
    model: type[BaseModel] = Config
    for part in loc[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _table_of(model.model_fields[part].annotation) or model
    return model


def _table_of(annotation: object) -> type[BaseModel] | None:
    """The model of a field that is a table, or holds tables."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for each in get_args(annotation) if (table := _table_of(each))), None)


def _nearest(name: str, model: type[BaseModel]) -> str:
    near = nearest(name, model.model_fields, 2)
    return f"nearest: {', '.join(near)}" if near else f"known: {', '.join(model.model_fields)}"


def _range_of(name: str, model: type[BaseModel]) -> str:
    """What a setting may be, in words; empty where anything of its kind may."""
    field = model.model_fields.get(name)
    if field is None:
        return ""
    bounds = {kind: getattr(each, kind) for each in field.metadata for kind in ("ge", "le") if hasattr(each, kind)}
    if bounds:
        return "{ge:.12g} … {le:.12g}".format(**bounds)
    return ", ".join(get_args(field.annotation)) if get_origin(field.annotation) is Literal else ""


def _toml(value: Any) -> str:
    """A setting's value as TOML; basic strings have JSON's escapes."""
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_toml_key(key)} = {_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _toml(key)
