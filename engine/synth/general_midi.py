"""The General MIDI program nearest to each instrument. In: tables, a seed and a style; out: programs. Any thread."""

from __future__ import annotations

from collections.abc import Callable

from engine.synth.allocation import band_salt
from engine.synth.patching.programs import OTHERS, PROGRAMS
from engine.synth.patching.tables import DRUMS, PatchTables
from engine.synth.sources.oscillators import hash32
from moods.intent import LAYERS

_hash32: Callable[[int, int], int] = getattr(hash32, "py_func", hash32)
_band_salt: Callable[[int, int], int] = getattr(band_salt, "py_func", band_salt)
"""The kernels as Python runs them."""


def instruments(tables: PatchTables, seed: int, style: int, band: int = 0) -> tuple[str | None, ...]:
    """The patch that a band of this seed plays each layer of a style with; None for drums, which have kits."""
    chosen: list[str | None] = []
    for layer in range(len(LAYERS)):
        choices = [index for index in tables.choices[style, layer].tolist() if index >= 0]
        choice = _hash32(seed, _band_salt(band, 11 + layer)) % len(choices)
        chosen.append(tables.names[choices[choice]] if layer != DRUMS else None)
    return tuple(chosen)


def programs(tables: PatchTables, seed: int, style: int, band: int = 0) -> tuple[int, ...]:
    """The programs of those, in the order of LAYERS."""
    names = instruments(tables, seed, style, band)
    return tuple(PROGRAMS.get(name or "", OTHERS[layer]) for layer, name in zip(LAYERS, names, strict=True))
