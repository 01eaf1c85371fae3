"""What does a visit to a CUDA card find, stage by stage: `make gpu`.

Installs; runs the tests that need a card; measures how many stations it carries (`stations_gpu`); trains the larger
composer for some minutes on pieces that were packed beforehand (`make gpu-data`), from where the visit before left it.
Every stage is a process of its own with a time limit and one JSON line in results/gpu_visit.jsonl, whatever becomes of
it; the others run all the same. Where nothing can be installed, the Python that runs this is used.

Needs Python alone, as the machine has nothing yet. `--rehearse` goes the same way on the CPU, with a tiny model.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.lines import ROOT, record

STAGES = ("installation", "tests", "stations", "training")
TRAINING = ROOT / "runs" / "gpu"
LAST_CHARACTERS = 1500


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    command: Sequence[str]
    limit_s: float


def python() -> str:
    """The environment that was installed, if it was."""
    return str(ROOT / ".venv/bin/python") if (ROOT / ".venv/.ready-dev").exists() else sys.executable


def stage(name: str, dataset: Path, minutes: float, is_rehearsal: bool) -> Stage:
    """What a stage does now that those before it are over."""
    device, size = ("cpu", "tiny") if is_rehearsal else ("cuda", "large")
    if name == "installation":
        return Stage(name, ["make", ".venv/.ready-gpu", ".venv/.ready-dev", f"PYTHON={sys.executable}"], 900)
    if name == "tests":
        files = sorted(
            str(file) for file in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in file.read_text("utf-8")
        )
        return Stage(name, [python(), "-m", "pytest", "-q", "-m", "gpu", *files], 300)
    if name == "stations":
        stations = ["--stations", "2", "4"] if is_rehearsal else []
        return Stage(name, [python(), "-m", "benchmarks.stations_gpu", "--device", device, *stations], 420)
    assert name == "training", name
    options = {
        "--device": device,
        "--size": size,
        "--dataset": dataset,
        "--out": TRAINING / size,
        "--minutes": minutes,
        "--workers": max(1, (os.cpu_count() or 1) - 2),
    }
    words = [str(word) for option in options.items() for word in option]
    return Stage(name, [python(), "-m", "engine.training.trainer", *words], 60 * minutes + 180)


def run(stage: Stage, is_kept: bool) -> bool:
    """Run a stage and keep what came of it as a JSON line; was it done?"""
    TRAINING.mkdir(parents=True, exist_ok=True)
    log = TRAINING / f"{stage.name}.log"
    print(f"gpu_visit: {stage.name}, said in {log}", file=sys.stderr, flush=True)
    began = time.monotonic()
    failed: str | None = None
    with log.open("w") as output:
        try:
            done = subprocess.run(stage.command, cwd=ROOT, timeout=stage.limit_s, stdout=output, stderr=output)
            failed = f"exit {done.returncode}" if done.returncode else None
        except subprocess.TimeoutExpired:
            failed = f"not over after {stage.limit_s:g} s"
        except OSError as error:
            failed = str(error)
    said = log.read_text(errors="replace").strip()
    outcome = {"found": _last_line(said)} if failed is None else {"failed": failed, "said": said[-LAST_CHARACTERS:]}
    record(
        "gpu_visit", {"stage": stage.name, "seconds": round(time.monotonic() - began, 1), **outcome}, is_kept=is_kept
    )
    return failed is None


def _last_line(said: str) -> Any:
    """The figures, if the last line is JSON, or what it says."""
    last = said.rpartition("\n")[2]
    try:
        return json.loads(last)
    except ValueError:
        return last


def has_card() -> bool:
    """Is there an NVIDIA card?"""
    if Path("/dev/nvidia0").exists():
        return True
    finder = shutil.which("nvidia-smi")
    return finder is not None and "GPU" in subprocess.run([finder, "-L"], capture_output=True, text=True).stdout


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_visit", description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", type=Path, default=TRAINING / "pieces.npz", help="as make gpu-data writes it")
    parser.add_argument("--minutes", type=float, default=8.0, help="how long to train")
    parser.add_argument("--only", nargs="+", choices=STAGES, help="these stages alone")
    parser.add_argument("--rehearse", action="store_true", help="without a card, quickly, and of no meaning")
    options = parser.parse_args(words)
    if not options.rehearse and not has_card():
        print("make gpu needs an NVIDIA card, and finds none here; ARGS=--rehearse goes without", file=sys.stderr)
        return 1
    names = options.only or STAGES[options.rehearse :]
    failed = [
        name
        for name in names
        if not run(stage(name, options.dataset, options.minutes, options.rehearse), is_kept=not options.rehearse)
    ]
    if failed:
        print(f"gpu_visit: failed: {', '.join(failed)}, see above", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
