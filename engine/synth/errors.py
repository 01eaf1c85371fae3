"""What the author of a patch file can get wrong."""

from __future__ import annotations

from engine.errors import EngineError


class PatchError(EngineError):
    """A patch file cannot be used. `file` and `line` (from 1) say where, the text says what and what is allowed."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        self.file, self.line, self.problem = file, line, problem
        super().__init__(f"{file}:{line}: {problem}")
