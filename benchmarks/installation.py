"""How long from nothing to the first sound, and how much disk does it take?

A fresh clone of the last commit, in which `make serve` is typed; seconds from before the clone to the end of the
installation, to `/readyz`, and to the first bytes of music. pip's cache is warm in the second run, kernels are compiled
anew in each. The size is that of the environment after it has played, and of the three packages.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from benchmarks.harness import ROOT, Server, record, running_server

NUM_RUNS = 2
NUM_LARGEST = 10


def size_mb(path: Path) -> float:
    """What `path` and all that lies in it take on the disk."""
    return sum(file.lstat().st_blocks * 512 for file in (path, *path.rglob("*"))) / 1e6


def largest_mb(environment: Path) -> dict[str, float]:
    (packages,) = environment.glob("lib/python*/site-packages")
    sizes = {entry.name: size_mb(entry) for entry in packages.iterdir()}
    return {name: round(sizes[name], 1) for name in sorted(sizes, key=sizes.__getitem__)[: -NUM_LARGEST - 1 : -1]}


def hear(server: Server) -> None:
    """Return when the first sample of a new station has arrived."""
    address = server.url.replace("http", "ws") + server.open_station(mood="focus")["links"]["audio"]
    with connect(address) as music:
        music.recv(10), music.recv(10)  # the header, then sound


def one_run() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        clone, environment = Path(folder) / "undersong", Path(folder) / "undersong" / ".venv"
        began, began_s = time.monotonic(), time.time()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        with running_server(environment={"NUMBA_CACHE_DIR": f"{folder}/kernels"}, clone=clone) as server:
            ready_s = time.monotonic() - began
            hear(server)
            sound_s = time.monotonic() - began
        installed_s = (environment / ".ready-run").stat().st_mtime - began_s
        packages_mb = sum(size_mb(clone / room) for room in ("engine", "moods", "streaming"))
        return {
            "installed_s": round(installed_s, 1), "ready_s": round(ready_s, 1), "first_sound_s": round(sound_s, 1),
            "installed_mb": round(size_mb(environment) + packages_mb), "largest_mb": largest_mb(environment),
        }  # fmt: skip


def main(num_runs: int = NUM_RUNS) -> None:
    runs = [one_run() for _ in range(num_runs)]
    record("installation", {**runs[-1], "earlier_first_sound_s": [run["first_sound_s"] for run in runs[:-1]]})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
