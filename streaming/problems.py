"""Problems as clients read them (RFC 9457). In: errors; out: responses. Remembers nothing; any thread."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi.responses import JSONResponse, Response

from streaming import messages
from streaming.errors import StreamingError


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
