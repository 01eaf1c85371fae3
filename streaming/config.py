"""The server's settings. In: undersong.toml and overrides; out: `Config`, its text. Remembers nothing; any thread."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from engine.backends import GENERATORS
from engine.config import DEVICES
from moods.errors import MoodsError, shown
from moods.fields import MoodFields, parse
from moods.names import nearest
from moods.opening import Opening, parse_opening
from moods.states import StateTables
from streaming.errors import BadConfig
from streaming.journal import LOG_LEVELS

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
MAX_ENGINES = 64
_MAX_SLOTS = 1000
_STATIONS_AN_ENGINE = 8
"""An engine more is worth its memory from so many stations on."""
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
    log_level: LogLevel = "info"
    """The least that is worth a line on stderr; info tells of the start, stations, sessions, refusals and ends."""
    log_json: bool = False
    """One JSON object a line, for machines that collect logs."""
    open: tuple[dict[str, Any], ...] = ()
    """Stations that are always there, each a table [[open]] with a name and whatever else POST /v1/stations takes. They
    sleep until somebody comes, and are never closed for want of listeners. One that the folder `stations` holds under
    that name is left as it is."""
    osc: Osc = Osc()
    """Open Sound Control, off by default; see docs/live.md."""
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
        """The body that opens a station, with the states of the settings where it has none of its own."""
        own = {*StateTables.model_fields, "timeline"}
        if not isinstance(asked, Mapping) or own & asked.keys():
            return asked
        has_mood = bool(MoodFields.model_fields.keys() & asked.keys())
        return {name: value for name, value in self._tables.items() if name != "initial" or not has_mood} | {**asked}

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
