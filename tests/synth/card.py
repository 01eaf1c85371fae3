"""What takes a minute and more without a card: simulating it, and compiling for it. `CardWork` has others do it.

`python -m tests.synth.card OUT.ptx` compiles; `tests.synth.two_stations` simulates.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[np.generic]]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 600.0
"""Longer than both take on a machine that is busy with everything else."""


class CardWork:
    """Two processes that give way to everything else, begun with the session and awaited by the tests.

    Where tests run side by side, the first of the processes that run them begins both; what they leave in `folder` is
    for all.
    """

    def __init__(self, folder: Path, *, is_first: bool, is_alone: bool) -> None:
        self._folder, self._is_alone = folder, is_alone
        self._cpu, self._cuda, self._code = folder / "cpu.npz", folder / "cuda.npz", folder / "card.ptx"
        self._begun: list[subprocess.Popen[bytes]] = []
        if is_first:
            folder.mkdir()
            python = f"nice -n 19 {shlex.quote(sys.executable)} -m tests.synth"
            simulate = f"NUMBA_ENABLE_CUDASIM=1 NUMBA_DISABLE_JIT=1 {python}.two_stations cuda {self._cpu} {self._cuda}"
            self._start("simulation", f"{python}.two_stations cpu - {self._cpu} && {simulate}")
            self._start("compilation", f"{python}.card {self._code}")

    def _start(self, name: str, line: str) -> None:
        """What it says and how it ended is in files of its name, when it has ended."""
        said, ended = self._folder / f"{name}.txt", self._folder / f"{name}.status"
        line = f"( {line} ) > {said} 2>&1; echo $? > {ended}.new; mv {ended}.new {ended}"
        self._begun.append(subprocess.Popen(line, shell=True, cwd=ROOT, start_new_session=True))

    def simulated(self) -> tuple[Arrays, Arrays]:
        """What the CPU renders, and what the simulated card does."""
        self._await("simulation")
        with np.load(self._cpu) as cpu, np.load(self._cuda) as cuda:
            return dict(cpu), dict(cuda)

    def compiled(self) -> str:
        """The kernels' PTX."""
        self._await("compilation")
        return self._code.read_text(encoding="utf-8")

    def stop(self) -> None:
        """End what still runs, unless another process may wait for it: then it ends by itself."""
        for process in self._begun:
            if self._is_alone and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _await(self, name: str) -> None:
        ended, deadline_s = self._folder / f"{name}.status", time.monotonic() + PATIENCE_S
        while not ended.exists():
            assert time.monotonic() < deadline_s, f"the {name} does not end"
            time.sleep(0.1)
        assert ended.read_text().strip() == "0", (self._folder / f"{name}.txt").read_text()


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
