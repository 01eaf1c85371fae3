"""What a compiled kernel's place in numba's cache hangs on. Remembers nothing; any thread."""

from __future__ import annotations

import hashlib
from importlib.resources import files


def source_digest(package: str) -> int:
    """56 bits of all Python sources directly in `package`.

    Numba compiles a cached function again when its own file changed, and does not see that a callee in another file
    did. A function that captures this number is compiled again when any source of the package changed.
    """
    digest = hashlib.sha256()
    for source in sorted(files(package).iterdir(), key=lambda item: item.name):
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")
