"""How kernels are compiled: two decorators, and the digest that their cache hangs on. Remembers nothing.

Kernels call one another and are entered from Python through `mixer.render_slot` only, so the wrappers that would make
each of them callable by itself are left out; they cost a fifth of the compilation. No fast-math: additions keep their
order, so that a row of 64 frames is the same as 13 and then 51.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

from numba import njit

kernel = njit(error_model="numpy", nogil=True, fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True)

merged = njit(error_model="numpy", nogil=True, fastmath={"contract"}, no_cpython_wrapper=True, no_cfunc_wrapper=True, inline="always")
"""For what has one caller and many callees: written into the caller instead of being compiled on the way to it."""


def _source_digest() -> int:
    digest = hashlib.sha256()
    for name in sorted(item.name for item in files("engine.synth").iterdir() if item.name.endswith(".py")):
        digest.update((files("engine.synth") / name).read_bytes())
    return int.from_bytes(digest.digest()[:7], "little")


SOURCE_DIGEST = _source_digest()
"""Of every source file of the synth, 56 bits; an entry that captures it is compiled again when any of them changed."""
