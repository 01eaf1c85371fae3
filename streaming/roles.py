"""Roles, and what a token gives. In: JSON values; out: checked objects. Remembers nothing; any thread."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import Field

from moods.fields import Model

DAYS = 30.0
"""How long a token holds where nobody says."""
MAX_DAYS = 3650.0
_A_SECOND = 1 / 86_400


class Role(IntEnum):
    """What somebody may do; each may also do what those before it may."""

    LISTEN = 1
    """Hear, and follow what happens."""
    CONTROL = 2
    """Steer what plays."""
    ADMIN = 3
    """Open and close stations, render, and give tokens to others."""

    def __str__(self) -> str:
        return self.name.lower()


ROLES = tuple(map(str, Role))


def role_named(name: str) -> Role:
    return Role[name.upper()]


@dataclass(frozen=True)
class Grant:
    """What one token gives, or an open server to everybody."""

    role: Role
    station: str | None = None
    """The id or name of the only station that it is for; None: all there are."""
    id: str | None = None
    expires: int | None = None
    """Unix time, seconds; None: not at all."""
    note: str = ""
    """Whom it was made for, in their words who made it."""

    @property
    def may_steer(self) -> bool:
        return self.role >= Role.CONTROL


EVERYTHING = Grant(Role.ADMIN)


class TokenRequest(Model):
    """A token to be made for somebody."""

    role: Literal["listen", "control", "admin"] = "listen"
    """listen hears, control steers as well, admin may do all."""
    station: Annotated[str, Field(pattern="^[A-Za-z0-9_-]{1,64}$")] | None = Field(default=None, examples=["main"])
    """The id or name of the only station that it is for; null or left out: all."""
    days: float = Field(default=DAYS, ge=_A_SECOND, le=MAX_DAYS)
    """How long it holds."""
    note: Annotated[str, Field(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    """Whom it is for, so that it can be told from others."""
