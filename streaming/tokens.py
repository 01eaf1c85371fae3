"""Tokens: signed texts that give a role until they expire. In: roles, texts; out: texts, `Grant`s.

Remembers the secret that signs them, and which were revoked: in a file beside it, so that `undersong token --revoke`
reaches a server that runs. Any thread.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jwt

from streaming.config import Config
from streaming.errors import BadConfig, TokenExpired, TokenInvalid, TokenRevoked
from streaming.roles import DAYS, Grant, Role, role_named

_ALGORITHM = "HS256"
_MAX_LENGTH = 2048
_SECRET_BYTES = 32
"""As many as the digest has (RFC 7518, section 3.2)."""
_LOOK_S = 1.0
"""How often it is looked whether others have revoked any."""
_DAY_S = 86_400


class Tokens:
    """Makes and reads the tokens of one secret."""

    def __init__(self, secret: str, revoked: Iterable[str] = (), revoked_file: Path | None = None) -> None:
        self._secret = secret
        self._revoked = set(revoked)
        self._file, self._looked_s, self._file_time = revoked_file, 0.0, 0
        self.cookie = f"undersong_{jwt.utils.base64url_encode(_digest(secret)).decode()[:8]}"
        """How cookies with these tokens begin: servers of one host, whatever their ports, share its cookies."""

    def sign(self, role: Role, station: str | None = None, days: float = DAYS, note: str = "") -> tuple[str, Grant]:
        """A new token, and what it gives."""
        now = int(time.time())
        grant = Grant(role, station, secrets.token_hex(6), now + round(days * _DAY_S), note)
        claims = {"role": str(role), "station": station, "jti": grant.id, "iat": now, "exp": grant.expires}
        claims |= {"note": note} if note else {}
        return jwt.encode(claims, self._secret, _ALGORITHM), grant

    def read(self, text: str) -> Grant:
        """Raises `TokenInvalid`, `TokenExpired`, `TokenRevoked`."""
        if len(text) > _MAX_LENGTH:
            raise TokenInvalid
        try:
            claims: dict[str, Any] = jwt.decode(
                text, self._secret, [_ALGORITHM], {"require": ["exp", "jti", "role"], "verify_iat": False}
            )
            grant = Grant(
                role_named(claims["role"]), claims.get("station"), claims["jti"], claims["exp"], claims.get("note", "")
            )
        except jwt.ExpiredSignatureError:
            raise TokenExpired from None
        except (jwt.InvalidTokenError, KeyError, AttributeError, ValueError):  # UnicodeError is a ValueError
            raise TokenInvalid from None
        if grant.id in self._revoked_elsewhere():
            raise TokenRevoked
        return grant

    def is_over(self, grant: Grant) -> bool:
        """Whether what was read before would be refused now."""
        has_expired = grant.expires is not None and time.time() > grant.expires
        return has_expired or grant.id in self._revoked_elsewhere()

    def revoke(self, token_id: str) -> None:
        """Take back what a token gives, for good where the secret has a file. Raises `BadConfig`."""
        self._revoked.add(token_id)
        if self._file is not None:
            try:
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(f"{token_id}\n")
            except OSError as error:
                raise BadConfig(f"{self._file} cannot be written: {error.strerror}", field="secret_file") from error

    def _revoked_elsewhere(self) -> set[str]:
        """Ours, and those of the file as of a moment ago."""
        now_s = time.monotonic()
        if self._file is not None and now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            with contextlib.suppress(OSError):
                if (changed := self._file.stat().st_mtime_ns) != self._file_time:
                    self._file_time = changed
                    self._revoked |= set(self._file.read_text(encoding="utf-8").split())
        return self._revoked


def _digest(secret: str) -> bytes:
    return jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(b"cookie", secret.encode())


def open_tokens(config: Config) -> Tokens:
    """The server's tokens, with a secret that is made where there is none; without a file it is forgotten at the end.

    Raises `BadConfig`.
    """
    path = config.secret_path
    if path is None:
        return Tokens(secrets.token_urlsafe(_SECRET_BYTES), config.revoked)
    secret, revoked = _read_or_make(path), path.with_name(f"{path.name}.revoked")
    with contextlib.suppress(OSError):
        revoked.touch(0o600)  # else it belongs to whoever revokes the first, and a server of another user cannot add
    return Tokens(secret, config.revoked, revoked)


def check_secret(config: Config) -> None:
    """Raises `BadConfig` where there is a secret that cannot be used, and makes none."""
    if config.secret_path is not None and os.path.exists(config.secret_path):
        _read_or_make(config.secret_path)


def _read_or_make(path: Path) -> str:
    """Raises `BadConfig`."""
    try:
        if not path.exists():
            _make(path)
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"secret_file is {path}, which cannot be used: {error}", field="secret_file") from error
    if len(secret) < _SECRET_BYTES:
        raise BadConfig(
            f"secret_file is {path}, which holds {len(secret)} characters; at least {_SECRET_BYTES} are needed: remove "
            "it, and a new one is made",
            field="secret_file",
        )
    return secret


def _make(path: Path) -> None:
    """Only its owner can read it, and it is never there by half."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{secrets.token_urlsafe(_SECRET_BYTES)}\n")
        with contextlib.suppress(FileExistsError):  # another process was first, and its secret counts
            os.link(draft, path)
    finally:
        draft.unlink()
