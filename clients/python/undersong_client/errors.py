"""What can go wrong, each with words that say what, and the way out.

ClientError
├── Unreachable     the server is not there
├── Refused         the server was asked for what it cannot do: its code and its words
├── Replaced        a later wish took the place of one that had not arrived
└── NoSound         this machine has no way to play
"""

from __future__ import annotations


class ClientError(Exception):
    """The root of all errors of this package."""


class Unreachable(ClientError):
    """The server is not there, or went away before it answered."""


class Refused(ClientError):
    """The server said no. `code` is stable and names the kind of mistake; the text says what and the way out."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Replaced(ClientError):
    """A later `state` was asked for while this one was still waiting for the server."""


class NoSound(ClientError):
    """There is no loudspeaker, or the library for it is missing."""
