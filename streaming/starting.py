"""What a first start tells while it compiles. In: how many kernels are done; out: a line on stderr.

Remembers what it has told. On a terminal the line counts, elsewhere it is one plain line. Any thread.
"""

from __future__ import annotations

import sys

_TEXT = "undersong: compiling the synthesizer and the model, once for this machine"


class StartNotice:
    """Called as `engine.compile.Report` asks."""

    def __init__(self) -> None:
        self._is_open = False

    def __call__(self, done: int, total: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{_TEXT}: {100 * done // total} %", end="", file=sys.stderr, flush=True)
        elif not self._is_open:
            print(_TEXT, file=sys.stderr, flush=True)
        self._is_open = True

    def end(self) -> None:
        """The engine has started: leave the line to others."""
        if self._is_open and sys.stderr.isatty():
            print(f"\r{' ' * (len(_TEXT) + 7)}\r", end="", file=sys.stderr, flush=True)
        self._is_open = False
