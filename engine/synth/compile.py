"""How kernels are compiled: two decorators. Remembers nothing.

Kernels call one another and are entered from Python through `mixer.render_slot` only, so the wrappers that would make
each of them callable by itself are left out; they cost a fifth of the compilation. No fast-math: additions keep their
order, so that a row of 64 frames is the same as 13 and then 51.
"""

from __future__ import annotations

from numba import njit

kernel = njit(error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)

merged = njit(error_model="numpy", nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, inline="always")
"""For what has one caller and many callees: written into the caller instead of being compiled on the way to it."""
