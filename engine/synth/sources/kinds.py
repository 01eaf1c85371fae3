"""The kinds of instruments. In: their files; out: what is made of all of them, and kernels that call the right one.

Remembers nothing; any thread. A new kind is a file beside this one and a line in `KINDS`.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np

from engine.synth.compile import kernel
from engine.synth.sources import additive, analog, chip, drums, ensemble, fm, measured, modal, sampler, strings
from engine.synth.sources.kind import Fields

KINDS = (
    analog.KIND, fm.KIND, strings.KIND, modal.KIND, drums.KIND, additive.KIND, ensemble.KIND, chip.KIND,
    measured.KIND, sampler.KIND,
)  # fmt: skip
"""In the order of the numbers that PATCH.kind holds."""
KIND_NAMES = tuple(kind.name for kind in KINDS)
assert len(set(KIND_NAMES)) == len(KINDS), KIND_NAMES

VOICE_FIELDS: Fields = tuple((kind.name, np.dtype(list(kind.memory))) for kind in KINDS if kind.memory)
"""A field of VOICE for every kind that remembers anything."""
LINE_FRAMES = max(kind.line_frames for kind in KINDS)
NUM_MODES = max(kind.num_modes for kind in KINDS)


def _of_kind(verb: str, arguments: str, otherwise: str) -> Any:
    """A kernel that calls `verb` of the patch's kind with those of `arguments` that it names; what is not among them
    is an array of the `tables`.

    Its text is made, since a compiled function cannot walk a list of kernels.
    """
    names: dict[str, Any] = {"__name__": __name__}
    lines = [f"def {verb}_source({arguments}):"]
    for number, kind in enumerate(KINDS):
        if (called := getattr(kind, verb)) is not None:
            names[kind.name] = called
            known = arguments.split(", ")
            wanted = [
                name if name in known else f"tables.{name}"
                for name in signature(getattr(called, "py_func", called)).parameters
            ]
            lines += [f"    if patch.kind == {number}:", f"        return {kind.name}({', '.join(wanted)})"]
    exec("\n".join([*lines, f"    return {otherwise}"]), names)
    return kernel(names[f"{verb}_source"])


start_source = _of_kind("start", "voice, patch, tables, line, modes, seed", "None")
aim_source = _of_kind("aim", "voice, patch, tables, line, modes, moment", "None")
render_source = _of_kind("render", "voice, patch, tables, line, modes, work, noise, frame, num_frames", "None")
is_source_silent = _of_kind("is_silent", "voice, patch", "False")
