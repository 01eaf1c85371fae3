"""Settings of what is sent elsewhere. In: tables [[push]]; out: checked. Any thread."""

from __future__ import annotations

from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator, model_validator

from moods.errors import shown
from streaming.errors import BadConfig
from streaming.table import Table, kept_secret

_PUSH_KINDS = {
    "icecast": "icecast", "icecasts": "icecast", "rtmp": "rtmp", "rtmps": "rtmp", "srt": "srt",
    "whip+http": "whip", "whip+https": "whip",
}  # fmt: skip


class Push(Table):
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
        return kept_secret(self.password_file, "push.password_file") if self.password_file else self.password
