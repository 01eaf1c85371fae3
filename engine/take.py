"""A take: what was asked of a performance, and before which block of its stream. Remembers nothing; any thread."""

from __future__ import annotations

from dataclasses import dataclass

from moods.control import Control


@dataclass(frozen=True, slots=True)
class Skip:
    """Blocks of the stream were left out, as an engine does that comes too late; the music went on after them."""

    blocks: int


@dataclass(frozen=True, slots=True)
class Rest:
    """The music faded out and waits, while the stream goes on."""


@dataclass(frozen=True, slots=True)
class Resume:
    """The music goes on where it rested."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing done to a performance before block `block` of its stream; `index` counts them from 0."""

    index: int
    block: int
    control: Control | Skip | Rest | Resume
