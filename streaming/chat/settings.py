"""Settings of the chat: what may be asked for, and where chat is heard. In: tables; out: checked. Any thread."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from moods.errors import MoodsError, shown
from moods.mood import find_mood
from streaming.chat.actions import Action, read_action
from streaming.chat.allow import read_words
from streaming.chat.commands import CommandName
from streaming.chat.said import EventKind, RoleName
from streaming.errors import BadConfig
from streaming.table import Table, read_secret


def _listed(value: object) -> object:
    """TOML's lists, as what does not change."""
    return tuple(value) if isinstance(value, list) else value


_Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class Chat(Table):
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


class Twitch(Table):
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

    @property
    def secret(self) -> str:
        """The token. Reads a file, anew each time; raises `BadConfig`."""
        return read_secret(self.token_file, "twitch.token_file") if self.token_file else self.token


class Irc(Table):
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

    @property
    def secret(self) -> str:
        """The password. Reads a file, anew each time; raises `BadConfig`."""
        return read_secret(self.password_file, "irc.password_file") if self.password_file else self.password
