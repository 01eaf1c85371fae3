"""How kernels are compiled: decorators over numba's. Remember nothing.

Python enters a few functions, `entry`; these call `kernel`s, which call one another. So only entries have the wrappers
that make a function callable from Python (they cost a fifth of the compilation; without one the call crashes), and
only entries are cached. A kernel allocates nothing and counts no references, which costs another fifth and, run, as
much; one that allocates is `allocating`.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from types import CellType, FunctionType
from typing import Any

from numba import njit

from undersong_launch import child_command, child_environment

CONTRACT = {"contract"}
"""Products and sums may fuse, as a card's always do. The order of sums stays: 64 frames are the same as 13 and 51."""

_inner = partial(njit, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
kernel, allocating = partial(_inner, _nrt=False), _inner
merged = partial(kernel, inline="always")
"""For what has one caller and many callees: written into the caller instead of being compiled on the way to it."""


def _sources(package: str) -> list[Path]:
    return sorted(Path(str(files(package))).rglob("*.py"))


@cache
def _digest_of(package: str) -> int:
    digest = hashlib.sha256()
    for file in _sources(package):
        digest.update(file.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


def bound_to_sources(function: FunctionType, packages: Iterable[str]) -> FunctionType:
    """The same function with a digest of all sources of `packages` as one more captured value.

    Numba's cache looks at the function's own file alone, and would keep serving old code after a change in another;
    captured values are part of its key.
    """
    code = function.__code__.replace(co_freevars=(*function.__code__.co_freevars, "source_digest"))
    digest = CellType(sum(map(_digest_of, packages)))
    closure = (*(function.__closure__ or ()), digest)
    return FunctionType(code, function.__globals__, function.__name__, function.__defaults__, closure)


def entry(*packages: str, **options: Any) -> Callable[[FunctionType], Any]:
    """Compile what Python calls, cached on disk until a source file of `packages` changes."""

    def compiled(function: FunctionType) -> Any:
        return njit(nogil=True, cache=True, **options)(bound_to_sources(function, packages))

    return compiled


def is_cached(compiled: Any, package: str) -> bool:
    """Is there machine code of an entry that is younger than every source of `package`?"""
    newest = max(file.stat().st_mtime for file in _sources(package))
    code = Path(compiled.stats.cache_path).glob(f"*.{compiled.__name__}-*.nbc")
    return any(file.stat().st_mtime > newest for file in code)


@contextmanager
def compiled_beside(module: str) -> Iterator[None]:
    """Run `warm_up()` of `module` in another process meanwhile: numba compiles one function at a time in each."""
    command = child_command(f"{module}:warm_up")
    with subprocess.Popen(command, env=child_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        yield
