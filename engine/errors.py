"""What an operator can get wrong about the engine.

EngineError
├── UnknownBackend       --backend is not one of ours
├── UnknownGenerator     what is to make the generator cannot be found, or does not make it
├── UnknownDevice        --device is not one of ours
├── DeviceMissing        the device asked for is not in this machine
├── BadCheckpoint        a checkpoint file is missing or not what its manifest says
├── BadTake              a take cannot be read, or not be performed again here
├── synth.errors.PatchError  a patch file is not what it should be
└── synth.errors.SoundFontError  a soundfont is not what it should be
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class EngineError(Exception):
    """Base of all errors of this package."""


class UnknownBackend(EngineError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown backend {name!r}; known: {', '.join(known)}")


class UnknownGenerator(EngineError):
    def __init__(self, path: str, why: str) -> None:
        why = " ".join(why.split())  # it may be another's words
        super().__init__(f"generator {path!r} cannot be had: {why}; expected module:function that makes one")


class UnknownDevice(EngineError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown device {name!r}; known: {', '.join(known)}")


class DeviceMissing(EngineError):
    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"device {name!r} cannot be used: {why}; use --device cpu")


class BadCheckpoint(EngineError):
    """`file` is not as expected; the text says what was expected and what was found."""

    def __init__(self, file: Path, expected: str, found: str) -> None:
        self.file, self.expected, self.found = file, expected, found
        super().__init__(f"checkpoint {file}: expected {expected}, found {found}; reinstall or name another checkpoint")


class BadTake(EngineError):
    """The text says where the take is not as expected, what is there, and the way out."""
