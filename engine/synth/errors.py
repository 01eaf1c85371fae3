"""What the author of a patch file, or who brings a soundfont, can get wrong."""

from __future__ import annotations

from pathlib import Path

from engine.errors import EngineError


class PatchError(EngineError):
    """A patch file cannot be used. `file` and `line` (from 1) say where, the text says what and what is allowed."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        self.file, self.line, self.problem = file, line, problem
        super().__init__(f"{file}:{line}: {problem}")


class SoundFontError(EngineError):
    """A soundfont cannot be used: `file` says which, the text why."""

    def __init__(self, file: Path, problem: str) -> None:
        self.file, self.problem = file, problem
        super().__init__(f"soundfont {file}: {problem}; name another, SF2 or SF3, or fetch it again")
