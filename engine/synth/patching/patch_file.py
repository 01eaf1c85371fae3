"""One TOML file of patches, with the place of every table and field for messages. Remembers its text; any thread."""

from __future__ import annotations

import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from engine.synth.errors import PatchError
from engine.synth.sources.kind import Length, Range


class PatchFile:
    """A file's tables; raises `PatchError` where it cannot be read or is no TOML."""

    def __init__(self, source: Traversable) -> None:
        self.name = source.name
        self.folder = source.parent if isinstance(source, Path) else Path()
        try:
            self.text = source.read_text(encoding="utf-8-sig")  # editors of Windows put a mark before the text
        except UnicodeDecodeError as error:
            raise PatchError(
                self.name, 1, f"not UTF-8: {error.reason} at byte {error.start}; save it as UTF-8"
            ) from error
        except OSError as error:
            raise PatchError(self.name, 1, f"cannot be read: {error.strerror}") from error
        try:
            self.tables: dict[str, Any] = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise PatchError(self.name, getattr(error, "lineno", 1), f"not TOML: {error}") from error

    def fail(self, table: str, field: str | None, problem: str) -> PatchError:
        """The error that names the line of `field` in [table], or of the table."""
        line, inside = 1, False
        for number, text in enumerate(self.text.splitlines(), 1):
            if text.startswith("["):
                inside = text.strip("[] ") == table
                line = number if inside else line
            elif inside and field is not None and text.split("=")[0].strip() == field:
                line = number
        return PatchError(self.name, line, f"[{table}] {problem}")

    def number(self, table: str, field: str, value: object, limits: Range) -> float:
        low, high, _ = limits
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.fail(table, field, f"{field} is {value!r}; allowed is {low:g} … {high:g}")
        return float(value)

    def word(self, table: str, field: str, value: object, words: tuple[str, ...]) -> int:
        """The index of `value` among `words`."""
        if value not in words:
            raise self.fail(table, field, f"{field} is {value!r}; allowed is one of {', '.join(words)}")
        return words.index(value)

    def numbers(self, table: str, field: str, value: object, limits: Length) -> list[float]:
        low, high, longest = limits
        if not isinstance(value, list) or not 1 <= len(value) <= longest:
            raise self.fail(table, field, f"{field} is {value!r}; allowed is a list of 1 … {longest} numbers")
        return [self.number(table, field, item, (low, high, 0)) for item in value]
