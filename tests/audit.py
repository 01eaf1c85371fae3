"""Known weaknesses of what we depend on: `python -m tests.audit`. In: constraints.txt; out: 1 where there is one.

Remembers for a day that there was none. Where the index of weaknesses does not answer in time it says so in one line,
and that is no failure: a check of our own code does not wait for others.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINNED = ROOT / "constraints.txt"
STAMP = Path(sys.prefix) / ".audited"
LIMIT_S, DAY_S = 10, 86_400


def is_fresh() -> bool:
    """Whether the same versions were looked up a moment ago."""
    try:
        return STAMP.read_text() == PINNED.read_text() and time.time() - STAMP.stat().st_mtime < DAY_S
    except OSError:
        return False


def main() -> int:
    if is_fresh():
        return 0
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(PINNED), "--no-deps", "--disable-pip"]
    command += ["--progress-spinner", "off", "--timeout", "3", "--format", "json"]
    try:
        audit = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        print(f"audit: the index did not answer within {LIMIT_S} s; known weaknesses were not looked up")
        return 0
    try:
        looked_up = [each for each in json.loads(audit.stdout)["dependencies"] if "vulns" in each]
    except ValueError:
        looked_up = []
    if not looked_up:  # some mirrors know packages, and nothing of their weaknesses
        print("audit: the index does not tell of known weaknesses; they were not looked up")
        return 0
    weak = [(each, weakness) for each in looked_up for weakness in each["vulns"]]
    for each, weakness in weak:
        versions = ", ".join(weakness["fix_versions"]) or "no version yet"
        print(f"audit: {each['name']} {each['version']} has {weakness['id']}; mended in {versions}")
    if not weak:
        STAMP.write_text(PINNED.read_text())
    return int(bool(weak))


if __name__ == "__main__":
    sys.exit(main())
