"""How kernels are compiled: two decorators, and the digest that their cache hangs on. Remembers nothing.

Kernels call one another and are entered from Python through `mixer.render_slot` only, so the wrappers that would make
each of them callable by itself are left out; they cost a fifth of the compilation. No fast-math: additions keep their
order, so that a row of 64 frames is the same as 13 and then 51.
"""

from __future__ import annotations

from numba import njit

from engine.compiling import source_digest

_OPTIONS = {
    "error_model": "numpy", "nogil": True, "fastmath": {"contract"}, "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}  # fmt: skip
kernel = njit(**_OPTIONS)

merged = njit(**_OPTIONS, inline="always")
"""For what has one caller and many callees: written into the caller instead of being compiled on the way to it."""

SOURCE_DIGEST = source_digest("engine.synth")
"""An entry that captures it is compiled again when any source file of the synth changed."""
