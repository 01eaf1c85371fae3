"""Problems as clients read them (RFC 9457), and as the log does. In: errors; out: responses, lines.

`Refusals` remembers how many lines there were. Event loop only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi.responses import JSONResponse, Response
from starlette.requests import HTTPConnection

from streaming import messages
from streaming.errors import StreamingError
from streaming.journal import about
from streaming.limits import Bucket

log = logging.getLogger(__name__)

_LINES_PER_S = 20.0
"""So many refusals have a line in the log, and twice as many at once; the metrics count all."""


def problem(
    status: int, code: str, title: str, detail: str, members: Mapping[str, Any] = MappingProxyType({})
) -> Response:
    """`members` are those that only some problems have."""
    kind = f"urn:undersong:problem:{code}"
    told = messages.Problem(type=kind, title=title, status=status, code=code, detail=detail)
    return JSONResponse({**told, **members}, status, media_type="application/problem+json")


def problem_of(error: StreamingError) -> Response:
    response = problem(error.status, error.code, error.title, error.detail, error.members)
    response.headers.update(error.headers)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


class Refusals:
    """What one server has refused of late: a flood of it does not fill the log."""

    def __init__(self) -> None:
        self._lines, self._num_untold = Bucket(_LINES_PER_S), 0

    def take(self) -> int | None:
        """How many before this one have no line; None where this one is to have none."""
        if not self._lines.take(time.monotonic()):
            self._num_untold += 1
            return None
        num_untold, self._num_untold = self._num_untold, 0
        return num_untold


def tell_refusal(asker: HTTPConnection, status: int, code: str, detail: str) -> None:
    asker.app.state.conductor.metrics.refusals.labels(code).inc()
    if (num_untold := asker.app.state.refusals.take()) is None:
        return
    method, client = asker.scope.get("method", "WS"), asker.client.host if asker.client else None
    facts = about(
        status=status, code=code, method=method, path=asker.scope["path"], client=client, detail=detail,
        untold=num_untold or None,
    )  # fmt: skip
    log.log(logging.INFO if status < 500 else logging.WARNING, "request refused", extra=facts)
