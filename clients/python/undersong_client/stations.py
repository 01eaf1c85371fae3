"""Finding a station over HTTP, or opening it. In: a server's address, names, an opening; out: the station. Remembers
nothing; blocks, so it runs on a thread."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

from undersong_client.errors import Refused, Unreachable

_TIMEOUT_S = 5.0
_NOT_FOUND, _CONFLICT = 404, 409


def find_or_open(
    url: str, token: str | None, ids: Iterable[str], name: str | None, opening: Mapping[str, Any]
) -> tuple[dict[str, Any], bool]:
    """The station that answers to one of `ids`, or a new one called `name`; and whether it is new.

    Raises `Refused` and `Unreachable`.
    """
    for each in ids:
        if (station := _find(url, token, each)) is not None:
            return station, False
    try:
        return _ask(url, token, "/v1/stations", {**opening, "name": name} if name else dict(opening)), True
    except _Problem as problem:
        # Another client may have opened it in between.
        if problem.status == _CONFLICT and name and (station := _find(url, token, name)) is not None:
            return station, False
        raise Refused(problem.code, problem.detail) from None


def _find(url: str, token: str | None, station_id: str) -> dict[str, Any] | None:
    try:
        return _ask(url, token, f"/v1/stations/{urllib.parse.quote(station_id, safe='')}")
    except _Problem as problem:
        if problem.status == _NOT_FOUND:
            return None
        raise Refused(problem.code, problem.detail) from None


def _ask(url: str, token: str | None, path: str, body: object = None) -> dict[str, Any]:
    """GET, or POST where there is a body."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"} | bearer(token)
    request = urllib.request.Request(
        url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers=headers,
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            problem = _Problem(error.code, error.read())
        if error.code >= 500 or error.code == 429:
            raise Unreachable(f"{url} cannot now: {problem.detail}") from None
        raise problem from None
    except (OSError, ValueError) as error:
        raise Unreachable(f"{url} is not there ({error}); is `undersong serve` running?") from error


def bearer(token: str | None) -> dict[str, str]:
    """The header that lets in."""
    return {} if token is None else {"Authorization": f"Bearer {token}"}


class _Problem(Exception):
    """An answer by RFC 9457."""

    def __init__(self, status: int, body: bytes) -> None:
        try:
            problem = json.loads(body)
        except ValueError:
            problem = {}
        self.status = status
        self.code = str(problem.get("code", status))
        self.detail = str(problem.get("detail", body[:200].decode("utf-8", "replace")))
        super().__init__(self.detail)
