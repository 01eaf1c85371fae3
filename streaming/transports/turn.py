"""Logins for TURN servers. In: the settings' servers; out: the same with a login for one session. Remembers nothing.

Where a server shares a secret with us, a login is the time at which it ends and a signature of that: coturn's
`use-auth-secret`, after the draft "A REST API For Access To TURN Services". Any thread.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Sequence

from streaming.table import kept_secret
from streaming.transports.settings import IceServer

_GOOD_S = 86_400


def logged_in(servers: Sequence[IceServer], session_id: str, now_s: float | None = None) -> list[IceServer]:
    """The servers with what this session says to them; `now_s` is of the wall clock, on which both sides agree."""
    until_s = int(time.time() if now_s is None else now_s) + _GOOD_S
    return [server if server.secret_file is None else _with_login(server, f"{until_s}:{session_id}")
            for server in servers]  # fmt: skip


def _with_login(server: IceServer, username: str) -> IceServer:
    assert server.secret_file is not None
    secret = kept_secret(server.secret_file, "ice_servers.secret_file")
    digest = hmac.digest(secret.encode(), username.encode(), hashlib.sha1)
    return server.model_copy(update={"username": username, "credential": base64.b64encode(digest).decode()})
