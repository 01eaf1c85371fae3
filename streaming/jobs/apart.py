"""Looks into a file that somebody has sent, in a process of its own: whatever it does to a decoder or a reader, the
server and its music live on. In: a function, words and bytes; out: what it tells. Remembers nothing. Event loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import threading
from collections.abc import Callable
from subprocess import DEVNULL, PIPE
from typing import Any

from streaming.children import end_with_parent
from streaming.errors import StreamingError
from streaming.terminal import tell
from undersong_launch import child_command, child_environment

_PATIENCE_S = 120.0
_MOST_BYTES = 4 << 30
"""Of memory."""


class FoundApart(StreamingError):
    """An error as the process found it."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__(found["detail"], **found["members"])
        self.code, self.status, self.title = found["code"], found["status"], found["title"]


async def look_apart(function: str, *words: str, document: bytes = b"") -> Any:
    """What `function`, "module:name", called with `words` there, tells; `document` is on its stdin.

    None where it died or took too long. Raises `FoundApart`.
    """
    process = await asyncio.create_subprocess_exec(
        *child_command(function, *words), env=child_environment(), stdin=PIPE, stdout=PIPE, stderr=DEVNULL
    )
    try:
        told, _ = await asyncio.wait_for(process.communicate(document), _PATIENCE_S)
        found = json.loads(told or b"null")
    except (TimeoutError, ValueError):
        return None
    finally:
        if process.returncode is None:  # it takes too long, or nobody waits any more
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if isinstance(found, dict) and "error" in found:
        raise FoundApart(found["error"])
    return found


def tell_apart(look: Callable[[], Any]) -> int:
    """In that process: tell on stdout what `look` gives as JSON, or the error that it raises."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (round(_PATIENCE_S), round(_PATIENCE_S)))
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    try:
        found = look()
    except StreamingError as error:
        said = {"code": error.code, "status": error.status, "title": error.title, "detail": error.detail}
        found = {"error": said | {"members": error.members}}
    tell(json.dumps(found))
    return 0
