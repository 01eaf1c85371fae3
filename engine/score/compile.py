"""How the composer's kernels are compiled. Remembers nothing.

Few of them are called from Python; those have `njit(cache=True)` of their own. The others are called by kernels only,
and the wrappers that would make each of them callable by itself are left out: they cost a fifth of the compilation.
(To call such a kernel in a test, put it into a function that `njit` compiles; called directly, it crashes.)
"""

from __future__ import annotations

from numba import njit

INNER = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
kernel = njit(**INNER)
