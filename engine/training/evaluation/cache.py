"""Results of long parts, kept in a folder so that a crash loses nothing. In: a name and how to make it; out: it.

Remembers in files; one process at a time.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
_ROOT = Path(__file__).resolve().parents[3]


def digest_of(folders: Iterable[str], *words: object) -> str:
    """Of the sources in `folders` (from the repository's root, files or folders) and of `words`."""
    digest = hashlib.sha256(repr(words).encode())
    for folder in folders:
        root = _ROOT / folder
        files = (
            [root]
            if root.is_file()
            else sorted(file for end in ("json", "py", "toml") for file in root.rglob(f"*.{end}"))
        )
        for file in files:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


class Cache:
    """Pickles of our own making; what was made from other sources or options has another name and is made anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, digest: str, make: Callable[[], Result]) -> Result:
        """What `make` gave for this name and digest, now or in an earlier run."""
        file = self._folder / f"{name}-{digest}.pickle"
        if file.exists():
            return pickle.loads(file.read_bytes())
        result = make()
        self._folder.mkdir(parents=True, exist_ok=True)
        for stale in self._folder.glob(f"{name}-{'?' * len(digest)}.pickle"):
            stale.unlink()
        unfinished = file.with_suffix(".tmp")
        unfinished.write_bytes(pickle.dumps(result))
        unfinished.replace(file)
        return result
