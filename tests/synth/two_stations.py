"""Two stations with every kind of patch, rendered in uneven calls. `python -m tests.synth.two_stations DEVICE FILE.npz`.

Its own process, since numba decides at its import whether kernels are compiled or, in its CUDA simulator, interpreted.
"""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from typing import Any

import numpy as np

from engine.synth.patch import KINDS, PatchTables, shipped_tables
from engine.synth.sound import SOUND
from engine.synth.synth import Synth
from moods.intent import LAYERS, STYLES, Intent
from tests.synth.music import intent

CALLS = (100, 64, 206, 30)
"""Frames of each call, 400 in all."""
SNAPSHOT_AFTER = 2
"""Calls; with both stations sounding."""


def _tables() -> tuple[PatchTables, int]:
    """The shipped tables with one patch of every kind but drums in turn as the lead of a style, and how many those are."""
    tables = shipped_tables()
    kinds = [kind for kind in range(len(KINDS)) if KINDS[kind] != "drum"]
    choices = tables.choices.copy()
    for style, kind in enumerate(kinds):
        choices[style, LAYERS.index("lead")] = -1
        choices[style, LAYERS.index("lead"), 0] = np.flatnonzero(tables.patches["kind"] == kind)[0]
    return replace(tables, choices=choices), len(kinds)


def _intent_of(slot: int, frame: int) -> Intent:
    return intent(STYLES[0], energy=0.7, brightness=0.6, gain_db=-1.0 - slot)


def _sounds(slot: int) -> np.ndarray:
    """Leads and drums at frames that no chunk ends at."""
    lead, drums = LAYERS.index("lead"), LAYERS.index("drums")
    rows = [(7 * slot, 250, lead, 60 + 5 * slot, 90), (33 + slot, 40, drums, 36, 110), (151, 90, lead, 76, 60)]
    return np.array([*rows, (151, 90, drums, 42, 80), (210 + slot, 60, lead, 60 + 5 * slot, 100)], SOUND)


def render(device: str) -> dict[str, Any]:
    """Per kind of lead: the blocks [2, 2, 400], the stems of the last call, and a snapshot taken in between."""
    tables, num_kinds = _tables()
    found: dict[str, Any] = {}
    for style in range(num_kinds):
        synth = Synth(3, device=device, tables=replace(tables, choices=np.roll(tables.choices, -style, axis=0)))
        for slot in range(2):
            synth.open(slot, seed=slot)
            synth.play(slot, _sounds(slot))
        parts = []
        for call, num_frames in enumerate(CALLS):
            parts.append(synth.render([1, 0], _intent_of, num_frames))
            if call + 1 == SNAPSHOT_AFTER:
                found[f"snapshot_{style}"] = np.frombuffer(pickle.dumps(synth.snapshot(0)), np.uint8)
        found[f"blocks_{style}"] = np.concatenate(parts, axis=2)
    return found


def main() -> None:
    device, file = sys.argv[1:]
    np.savez(file, **render(device))


if __name__ == "__main__":
    main()
