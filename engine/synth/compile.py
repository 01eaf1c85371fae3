"""The synth's kernels: `engine.compile` with fused products. Remembers nothing."""

from __future__ import annotations

from typing import Any

from engine import compile as any_kernel

Record = Any
"""An element of an array of records; in compiled functions its fields are attributes."""

kernel = any_kernel.kernel(fastmath=any_kernel.CONTRACT)
part = any_kernel.part("engine.synth", fastmath=any_kernel.CONTRACT)
entry = any_kernel.entry("engine.synth", fastmath=any_kernel.CONTRACT)
