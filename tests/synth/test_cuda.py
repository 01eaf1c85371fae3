"""The card's synth is the CPU's: simulated, on a card where there is one, and compiled for one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.errors import DeviceMissing
from engine.synth.mixer import new_scratch
from engine.synth.patching.tables import shipped_tables
from engine.synth.sound import SOUND
from engine.synth.state import new_state
from engine.synth.synth import Synth
from tests.synth.two_stations import CALLS, NUM_BEFORE, PITCHED, Arrays, render

ROOT = Path(__file__).resolve().parents[2]
WORST_DB = -90.0
"""Measured in the simulator: no difference but of plucked strings, -143 dB, whose float32 sums numpy rounds sooner."""


def difference_db(one: np.ndarray, other: np.ndarray) -> float:
    return float(10 * np.log10(np.mean((one - other) ** 2) / np.mean(one**2) + 1e-30))


def check(cpu: Arrays, cuda: Arrays) -> None:
    for kind in PITCHED:
        blocks = cpu[f"blocks {kind}"]
        assert np.abs(blocks).max() > 0.05, kind
        assert difference_db(blocks, cuda[f"blocks {kind}"]) < WORST_DB, kind
        assert difference_db(cpu[f"stems {kind}"], cuda[f"stems {kind}"]) < WORST_DB, kind
        rest = blocks[1:, :, sum(CALLS[:NUM_BEFORE]) :]
        assert difference_db(rest, cuda[f"moved {kind}"]) < WORST_DB, kind


def run(device: str, tmp_path: Path, **environment: str) -> tuple[Arrays, Arrays]:
    """What the CPU renders here, and what `device` does in a process with `environment`."""
    cpu = render("cpu", {})
    given, made = tmp_path / "cpu.npz", tmp_path / "cuda.npz"
    np.savez(given, **cpu)
    done = subprocess.run(
        [sys.executable, "-m", "tests.synth.two_stations", device, str(given), str(made)],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(made) as arrays:
        return cpu, dict(arrays)


def test_the_simulated_card_renders_what_the_cpu_does(tmp_path: Path) -> None:
    cpu, cuda = run("cuda", tmp_path, NUMBA_ENABLE_CUDASIM="1", NUMBA_DISABLE_JIT="1")
    check(cpu, cuda)
    # And back again: what the card remembers, the CPU goes on from.
    back = render("cpu", cuda)
    for kind in PITCHED:
        assert difference_db(cuda[f"moved {kind}"], back[f"moved {kind}"]) < WORST_DB, kind


@pytest.mark.gpu
def test_the_card_renders_what_the_cpu_does(tmp_path: Path) -> None:
    from numba import cuda

    if not cuda.is_available():
        pytest.skip("numba finds no CUDA device")
    check(*run("cuda", tmp_path))


def test_kernels_compile_for_a_card_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them to PTX of compute capability 9.0, the H100's."""
    if importlib.util.find_spec("numba_cuda") is None:
        pytest.skip("numba-cuda is not installed; pip install undersong[cuda]")
    from numba import cuda, typeof
    from numba.cuda import dispatcher

    from engine.synth.cuda import render_slots

    def of_slots(one: tuple[np.ndarray, ...]) -> Any:
        return type(one)(*(array[None] for array in one))

    tables = shipped_tables().flat()
    numbers, voice_rows, controls = np.zeros(1, np.int64), np.zeros((1, 5, 64, 72)), np.zeros((1, 1))
    block, stems = np.zeros((1, 2, 960), np.float32), np.zeros((1, 5, 2, 1), np.float32)
    arguments = (
        numbers, of_slots(new_state(0)), tables, of_slots(new_scratch()), voice_rows, np.zeros(1, SOUND), numbers,
        controls, numbers, block, stems,
    )  # fmt: skip
    # Device functions ask the card for its capability, whatever the caller names.
    monkeypatch.setattr(dispatcher, "get_current_device", lambda: SimpleNamespace(compute_capability=(9, 0)))
    code, _ = cuda.compile_ptx(render_slots.py_func, tuple(map(typeof, arguments)), cc=(9, 0))
    assert ".target sm_90" in code and ".visible .entry" in code


def test_no_number_of_a_record_crosses_a_word() -> None:
    """A card cannot read one that does."""
    arrays = [*new_state(0), *shipped_tables().flat(), np.zeros(1, SOUND)]
    for kind in (array.dtype for array in arrays if array.dtype.fields):
        for field, (number, offset) in kind.fields.items():
            assert offset % number.base.itemsize == 0 and kind.itemsize % number.base.itemsize == 0, field


def test_a_missing_card_is_named() -> None:
    from numba import cuda

    if cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(DeviceMissing, match="use --device cpu"):
        Synth(1, device="cuda")
