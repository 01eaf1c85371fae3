"""One JSON line a run. In: figures; out: the last line on stdout, and the same line appended to results/NAME.jsonl.

Needs Python alone: what is to be told on a bare machine is that nothing could be installed there.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def record(name: str, figures: dict[str, Any], *, is_kept: bool = True) -> None:
    """Print the run as one JSON line and keep it, unless it was a rehearsal."""
    line = json.dumps({"benchmark": name, "date": datetime.now(UTC).isoformat(timespec="seconds"), "git": _git_sha(),
                       "machine": _machine(), **figures})  # fmt: skip
    if is_kept:
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{name}.jsonl").open("a") as results:
            results.write(line + "\n")
    print(line, flush=True)


def _git_sha() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    try:
        sha = git("rev-parse", "--short", "--verify", "-q", "HEAD") or "unborn"
        return f"{sha}+changes" if git("status", "--porcelain", "--", ":!benchmarks/results") else sha
    except FileNotFoundError:
        return "unknown"


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
