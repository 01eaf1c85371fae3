"""What becomes of chat's commands, in a file. In: decisions; out: lines of JSON. Remembers those not yet written.

Event loop only; a thread of its own writes. Of a flood as many lines are kept as a disk bears, and how many are not.
"""

from __future__ import annotations

import asyncio
import json
import logging
import logging.handlers
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

from streaming.journal import about

log = logging.getLogger(__name__)

_NUM_OLD_FILES = 4
_MAX_UNWRITTEN = 1000
_WRITE_S = 1.0


class Audit:
    """One file that begins anew at a size, with the four before it beside; `async with` it. Without a path, nothing."""

    def __init__(self, path: Path | None, max_bytes: int) -> None:
        self._path, self._max_bytes = path, max_bytes
        self._unwritten: deque[str] = deque()
        self._num_left_out = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._path is not None:
            self._writer = ThreadPoolExecutor(1, "audit")
            self._task = asyncio.create_task(self._write_now_and_then())
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await self._flush()
            self._writer.shutdown()

    def add(self, decision: Mapping[str, Any]) -> None:
        if self._task is None:
            return
        if len(self._unwritten) >= _MAX_UNWRITTEN:
            self._num_left_out += 1
        else:
            self._unwritten.append(json.dumps(decision, ensure_ascii=False))

    async def _write_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_WRITE_S)
            await self._flush()

    async def _flush(self) -> None:
        lines = [*self._unwritten]
        if self._num_left_out:
            lines.append(json.dumps({"left_out": self._num_left_out}))
        self._unwritten.clear()
        self._num_left_out = 0
        if lines:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._write, lines)

    def _write(self, lines: list[str]) -> None:
        assert self._path is not None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = _PrivateFile(self._path, maxBytes=self._max_bytes, backupCount=_NUM_OLD_FILES, encoding="utf-8")
            try:
                for line in lines:
                    file.emit(logging.makeLogRecord({"msg": line}))
            finally:
                file.close()
        except OSError as error:
            log.warning("what chat asked for is not kept", extra=about(file=str(self._path), detail=str(error)))


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """For this user's eyes: it holds names."""

    def _open(self) -> Any:
        return os.fdopen(
            os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8"
        )

    def handleError(self, record: logging.LogRecord) -> None:
        raise
