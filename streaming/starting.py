"""What a first start tells while it compiles. In: how many kernels are done; out: a line on stderr.

Remembers what it has told. On a terminal the line counts, elsewhere it is one plain line. Any thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from streaming.terminal import note

_TEXT = "compiling the synthesizer and the model, once for this machine"


class StartNotice:
    """Called as `engine.compile.Report` asks. What is to `tell` the line, if not stderr, is told it once."""

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self._tell = tell
        self._is_told = False
        self._progress: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._tell is not None or not sys.stderr.isatty():
            if not self._is_told:
                (self._tell or note)(_TEXT)
            self._is_told = True
            return
        if self._progress is None:
            from rich.console import Console
            from rich.progress import Progress

            self._progress = Progress(console=Console(stderr=True), transient=True)
            self._progress.add_task(_TEXT, total=total)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done)

    def end(self) -> None:
        """The engine has started: leave the line to others."""
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._is_told = None, False
