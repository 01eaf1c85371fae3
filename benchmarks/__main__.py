"""`python -m benchmarks [NAME [ARGUMENT …]]`: all of them one after another, or one.

`likeness`, `signatures`, `mix`, `instruments`, `moods_heard`, `stations_gpu` and `overlay_hours` are run by their names
only: they need hours of reference music and networks that listen, a CUDA card, and hours.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.harness import ROOT

NAMES = (
    "station_cost", "render_speed", "coldstart", "first_packet", "reaction", "memory", "capacity", "overload",
    "isolation", "stalls", "engine_death", "sleeping", "aliasing", "loudness", "clicks", "synth_speed",
    "slots", "score_clip", "cuts_on_beats", "theme_from", "endings", "cuts_found", "speech_bed", "loudness_report",
    "stems_sum", "phrases", "leitmotif", "renders_beside", "hour_of_video", "installation", "lyria",
    "slow_reader", "http_join", "parameter_updates", "hammering", "clock_error", "state_changes", "server_restart",
    "drain", "repetition", "countdown", "listeners", "loss", "tunes", "short_pieces",
)  # fmt: skip


def main(words: list[str]) -> int:
    names, arguments = words[:1] or NAMES, words[1:]
    failed = [
        name
        for name in names
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], cwd=ROOT).returncode
    ]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
