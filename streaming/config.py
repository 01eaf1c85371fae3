"""The server's settings. In: undersong.toml and overrides; out: `Config`, its text. Remembers nothing; any thread."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from engine.backends import GENERATORS
from engine.config import DEVICES
from engine.errors import EngineError
from moods.autopilot import Autopilot
from moods.errors import MoodsError, shown
from moods.fields import MoodFields, parse
from moods.opening import Opening, parse_opening
from moods.states import StateTables
from streaming.addresses import Hosts, Networks, Origins, PublicUrl, Texts, is_loopback
from streaming.chat.settings import Chat, Irc, Twitch
from streaming.errors import BadConfig
from streaming.journal import LOG_LEVELS
from streaming.obs.settings import Obs
from streaming.programme.schedule import Schedule, read_schedule
from streaming.push.settings import Push
from streaming.setting_words import complaint, settings_file
from streaming.table import Table, kept_secret
from streaming.transports.settings import IceServers, Osc, Profile

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


def _read_engines(value: object) -> object:
    if value == "auto" or (type(value) is int and 1 <= value <= MAX_ENGINES):
        return value
    raise BadConfig(
        f'engines is {shown(value)}; allowed is "auto" or 1 … {MAX_ENGINES}',
        field="engines", value=value, range=[1, MAX_ENGINES],
    )  # fmt: skip


class Config(Table):
    """Settings of one server; every field can be given in undersong.toml under its own name.

    Raises `BadConfig` with the field, its value and what is allowed.
    """

    host: str = "127.0.0.1"
    """The address to listen on; 0.0.0.0 lets other machines in."""
    port: int = Field(8400, ge=0, le=65535)
    """The port to listen on; 0 lets the system choose."""
    public_url: PublicUrl = ""
    """Where clients find this server if not at its own address, such as https://example.org/music behind a proxy that
    strips /music: its path begins the addresses that are given out."""
    tokens: Literal["auto", "always", "never"] = "auto"
    """Who needs a token, see docs/security.md: auto is everybody but programs on this machine, where host is a loopback
    address; never lets in whoever reaches the server."""
    secret_file: str = ""
    """A file with the secret that signs tokens, of 32 characters or more; by default one beside the folder `stations`,
    made when it is needed. Without such a folder the secret, and all tokens with it, is forgotten at the end."""
    revoked: Texts = ()
    """Ids of tokens that are no longer valid, beside those that `undersong token --revoke` has taken back."""
    origins: Origins = ()
    """Where pages come from that may steer and read, such as "https://example.org"; "*" is anywhere. The server's own
    may, and those of programs on the listener's own machine."""
    hosts: Hosts = ()
    """Names by which clients may call this server, such as "music.example.org" or "*.example.org", beside addresses,
    this machine's own name and the one in public_url; "*" is any."""
    frame_ancestors: Origins = ()
    """Origins whose pages may show this server's pages in a frame."""
    trusted_proxies: Networks = ("127.0.0.1", "::1")
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
    ice_servers: IceServers = ()
    """STUN addresses, such as "stun:192.0.2.1:3478", and TURN servers as
    { url = "turn:192.0.2.1:3478", username = "…", credential = "…" }; none by default, so that no third party learns of
    a listener."""
    patches: str = ""
    """A folder of patch files beside the shipped ones; see docs/sound.md."""
    soundfont: str = ""
    """A soundfont for General MIDI, a file in SF2 or SF3, that the whole band is played with, drums included; see
    docs/sound.md."""
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

    @field_validator("soundfont")
    @classmethod
    def _can_be_played(cls, soundfont: str) -> str:
        if soundfont:
            from engine.synth.soundfonts.bank import Bank  # numpy, which settings do without

            try:
                Bank(Path(soundfont))
            except EngineError as error:
                raise BadConfig(str(error), field="soundfont") from None
        return soundfont

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
        return kept_secret(file, "webhook_secret_file") if file else self.webhook_secret

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
        return settings_file(self)


def _bad_opening(number: int, why: str) -> BadConfig:
    """`number` counts from 0, what is told from 1."""
    error = BadConfig(f"table {number + 1} of open {why}", field="open")
    error.loc = ("open", number)
    return error


def _in_words(row: ErrorDetails) -> BadConfig:
    error = row.get("ctx", {}).get("error")
    if not isinstance(error, BadConfig):
        field, text = str(row["loc"][0]), complaint(row, Config)
        error = BadConfig(text, field=field)
    error.loc = row["loc"] or error.loc or (error.members.get("field", ""),)
    return error
