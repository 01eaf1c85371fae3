"""Two stations with every kind of patch, in uneven calls: `python -m tests.synth.two_stations DEVICE IN.npz OUT.npz`.

A process of its own, since numba decides at its import whether kernels are compiled or, in its CUDA simulator,
interpreted. IN holds another device's snapshots, that this one goes on from; `-` is none.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.notes import as_sounds
from engine.synth.patching.tables import SHIPPED, PatchTables, load_tables, shipped_tables
from engine.synth.sources import sampler
from engine.synth.sources.kinds import KINDS
from engine.synth.synth import Synth
from moods.intent import LAYERS, STYLES, Intent
from tests.synth.card import Arrays
from tests.synth.music import intent
from tests.synth.soundfonts import MOVING, soundfont

CALLS = (100, 64, 206, 30)
"""Frames of each call."""
NUM_BEFORE = 2
"""Calls before the snapshot; both stations sound then."""
LEAD, DRUMS = LAYERS.index("lead"), LAYERS.index("drums")
PITCHED = tuple(kind.name for kind in KINDS if kind.is_pitched)


def _tables(kind: str) -> PatchTables:
    """The shipped tables with a patch of `kind` as every lead; drums are recorded too where the leads are."""
    tables = shipped_tables()
    if kind == sampler.KIND.name:
        with tempfile.TemporaryDirectory() as folder:
            bank = Path(folder) / "bank.sf2"
            bank.write_bytes(soundfont({(0, program): MOVING for program in range(128)} | {(128, 0): MOVING}))
            tables = load_tables(SHIPPED, soundfont=bank)
    choices = tables.choices.copy()
    choices[:, LEAD] = -1
    choices[:, LEAD, 0] = [tables.kind(name) for name in tables.names].index(kind)
    return replace(tables, choices=choices)


def _intent_of(slot: int, frame: int) -> Intent:
    return intent(STYLES[0], energy=0.7, brightness=0.6, gain_db=-1.0 - slot)


def _sounds(slot: int) -> npt.NDArray[np.void]:
    """Leads and drums at frames that no chunk ends at."""
    rows = [
        (7 * slot, 250, LEAD, 60 + 5 * slot, 90), (33 + slot, 40, DRUMS, 36, 110), (151, 90, LEAD, 76, 60),
        (151, 90, DRUMS, 42, 80), (210 + slot, 60, LEAD, 60 + 5 * slot, 100),
    ]  # fmt: skip
    return as_sounds(rows)


@contextmanager
def counted_copies(device: str) -> Iterator[Counter[str]]:
    """How often anything is copied to the card and from it meanwhile."""
    copies: Counter[str] = Counter()
    if device == "cpu":
        yield copies
        return
    from numba import cuda

    array = type(cuda.device_array(1))
    names = ("copy_to_device", "copy_to_host")
    originals = {name: getattr(array, name) for name in names}

    def counted(name: str) -> Callable[..., Any]:
        def copy(*args: Any, **options: Any) -> Any:
            copies[name] += 1
            return originals[name](*args, **options)

        return copy

    for name in names:
        setattr(array, name, counted(name))
    try:
        yield copies
    finally:
        for name in names:
            setattr(array, name, originals[name])


def render(device: str, snapshots: Arrays) -> Arrays:
    """Per kind of lead its blocks [2, 2, 400], the last call's stems, and a snapshot of station 0 before the others.

    With `snapshots`, what another device's station 0 goes on with here, [1, 2, 236], too. `copies` [2] are those to
    the card and from it in a call for both stations.
    """
    found: Arrays = {}
    for kind in PITCHED:
        synth = Synth(3, device=device, tables=_tables(kind))
        for slot in range(2):
            synth.open(slot, seed=slot)
            synth.play(slot, _sounds(slot))
        parts = [synth.render([1, 0], _intent_of, num_frames) for num_frames in CALLS[:NUM_BEFORE]]
        found[f"snapshot {kind}"] = np.frombuffer(pickle.dumps(synth.snapshot(0)), np.uint8)
        with counted_copies(device) as copies:
            parts += [synth.render([1, 0], _intent_of, num_frames) for num_frames in CALLS[NUM_BEFORE:-1]]
        num_calls = len(CALLS[NUM_BEFORE:-1])
        found["copies"] = np.array([copies[name] / num_calls for name in ("copy_to_device", "copy_to_host")])
        last, found[f"stems {kind}"] = synth.render_stems([1, 0], _intent_of, CALLS[-1])
        found[f"blocks {kind}"] = np.concatenate([*parts, last], axis=2)
        if snapshots:
            synth.close(0)
            synth.restore(0, pickle.loads(snapshots[f"snapshot {kind}"].tobytes()))
            found[f"moved {kind}"] = synth.render([0], _intent_of, sum(CALLS[NUM_BEFORE:]))
    return found


def main() -> None:
    device, given, made = sys.argv[1:]
    snapshots = {} if given == "-" else dict(np.load(given))
    np.savez(made, **render(device, snapshots))


if __name__ == "__main__":
    main()
