"""What the server tells whoever runs it: one line on stderr an event. In: log records; out: text or JSON lines.

`log.info("station opened", extra=about(station=…))` anywhere in this package. Remembers nothing; any thread.
"""

from __future__ import annotations

import json
import logging
import re
import time
from contextvars import ContextVar
from typing import Any

from streaming.terminal import printable

LOG_LEVELS = ("debug", "info", "warning", "error")
_FIELDS = "about"
_PLAIN = re.compile(r"[^\s\"=\\]+")
_SECRETS = re.compile(r"(?<=[?&]token=)[^&\s\"]{8,}|(?<=[?&]key=)[^&\s\"]{8,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*")
"""Tokens and keys, in addresses or by themselves: whoever reads the log is not to have them."""
_OURS = ("streaming", "engine", "moods", "undersong")


_request: ContextVar[str | None] = ContextVar("request", default=None)


def begin_request(request_id: str) -> None:
    """Name, from now on in this context and the tasks that it begins, the request that a line is due to."""
    _request.set(request_id)


def about(**fields: Any) -> dict[str, Any]:
    """Named facts of an event, as `extra` of a log call; those that are None are left out."""
    return {_FIELDS: {name: value for name, value in fields.items() if value is not None}}


class Text(logging.Formatter):
    """`2026-11-28 09:30:00 undersong: station opened station=4f21 seed=7`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={_text(value)}" for name, value in _facts(record).items())
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        when = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        message = printable(" ".join(record.getMessage().split()))
        text = f"{when} undersong: {level}{message} {fields}".rstrip()
        return without_secrets(text if record.exc_info is None else f"{text}\n{self.formatException(record.exc_info)}")


class Json(logging.Formatter):
    """The same as one JSON object with `time` (RFC 3339, UTC), `level`, `event`, and the facts by name."""

    converter = time.gmtime  # type: ignore[assignment]  # as the library itself does

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return without_secrets(json.dumps(line, default=str))


def without_secrets(text: str) -> str:
    return _SECRETS.sub("[…]", text)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    request_id = _request.get()
    facts: dict[str, Any] = getattr(record, _FIELDS, {})
    return facts if request_id is None else {**facts, "request": request_id}


def _text(value: object) -> str:
    """Bare where no reader can mistake it; quoted and escaped otherwise, so that no client writes lines of its own."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if _PLAIN.fullmatch(text) and text.isprintable():
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def open_journal(level: str, as_json: bool) -> None:
    """Send this process's log to stderr from `level` on; of other libraries' words only warnings, unless debugging."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if as_json else Text())
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(handlers=[handler], level=number if level == "debug" else max(number, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(number)
