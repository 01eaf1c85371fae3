"""What takes a minute and more without a card: simulating it, and compiling for it. `CardWork` has others do it.

`python -m tests.synth.card OUT.ptx` compiles; `tests.synth.two_stations` simulates.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]
ROOT = Path(__file__).resolve().parents[2]


class CardWork:
    """Two processes that give way to everything else, begun with the session and awaited by the tests."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="undersong-card-")
        folder = Path(self._folder.name)
        self._cpu, self._cuda, self._code = folder / "cpu.npz", folder / "cuda.npz", folder / "card.ptx"
        python = f"nice -n 19 {shlex.quote(sys.executable)} -m tests.synth"
        simulate = f"NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 {python}.two_stations cuda {self._cpu} {self._cuda}"
        self._simulation = self._start(f"{python}.two_stations cpu - {self._cpu} && {simulate}")
        self._compilation = self._start(f"{python}.card {self._code}")

    def _start(self, line: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(line, shell=True, cwd=ROOT, start_new_session=True, **pipes)

    def simulated(self) -> tuple[Arrays, Arrays]:
        """What the CPU renders, and what the simulated card does."""
        _await(self._simulation)
        with np.load(self._cpu) as cpu, np.load(self._cuda) as cuda:
            return dict(cpu), dict(cuda)

    def compiled(self) -> str:
        """The kernels' PTX."""
        _await(self._compilation)
        return self._code.read_text(encoding="utf-8")

    def stop(self) -> None:
        for process in (self._simulation, self._compilation):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        self._folder.cleanup()


def _await(process: subprocess.Popen[str]) -> None:
    said = process.communicate()[0] if process.returncode is None else ""
    assert process.returncode == 0, said


def compile_for_card() -> str:
    """The PTX of all kernels for compute capability 9.0, the H100's."""
    from numba import cuda, typeof
    from numba.cuda import dispatcher

    from engine.notes import SOUND
    from engine.synth.cuda import render_slots
    from engine.synth.mixer import new_scratch
    from engine.synth.patching.tables import shipped_tables
    from engine.synth.state import new_state

    def of_slots(one: tuple[np.ndarray, ...]) -> Any:
        return type(one)(*(array[None] for array in one))

    tables = shipped_tables().flat()
    numbers, voice_rows, controls = np.zeros(1, np.int64), np.zeros((1, 5, 64, 72)), np.zeros((1, 1))
    block, stems = np.zeros((1, 2, 960), np.float32), np.zeros((1, 5, 2, 1), np.float32)
    arguments = (
        numbers, of_slots(new_state(0)), tables, of_slots(new_scratch()), voice_rows, np.zeros(1, SOUND), numbers,
        controls, numbers, block, stems, False,
    )  # fmt: skip
    # Device functions ask the card for its capability, whatever the caller names.
    dispatcher.get_current_device = lambda: SimpleNamespace(compute_capability=(9, 0))
    code, _ = cuda.compile_ptx(render_slots.py_func, tuple(map(typeof, arguments)), cc=(9, 0))
    return code


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(compile_for_card(), encoding="utf-8")
