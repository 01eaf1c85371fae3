"""`python -m benchmarks [NAME]`: all of them one after another, or one."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.harness import ROOT

NAMES = ("station_cost", "synth_speed", "render_speed", "coldstart", "first_packet", "reaction", "memory", "capacity")


def main(names: list[str]) -> int:
    failed = [
        name
        for name in names or NAMES
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT).returncode
    ]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
