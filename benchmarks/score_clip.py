"""How long does `undersong render --video` take for a clip of 30 seconds, from the command to the scored file?

A clip of 1920x1080 at 30 fps in H.264 with eleven cuts and three sentences. `seconds` is the whole command, Python's
start included, the best of a few; `decoding_s` what decoding the pictures alone takes on this machine, all cores at it;
`besides_s` the difference, which is what the row of the README counts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av

from benchmarks.harness import ROOT, record
from tests.clips import Picture, speech_track, write_clip

CUTS = (45, 110, 170, 260, 300, 390, 480, 520, 610, 700, 790)
NUM_RUNS = 3


def decoding_s(clip: Path) -> float:
    began = time.monotonic()
    with av.open(str(clip)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for _ in container.decode(video=0):
            pass
    return time.monotonic() - began


def scoring_s(clip: Path, out: Path) -> float:
    words = ["render", "healing", "--video", str(clip), "--out", str(out), "--seed", "4"]
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "streaming.cli", *words], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def main(clip: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4" if clip is None else Path(clip)
        if clip is None:
            sound, _ = speech_track(30.0, [2.0, 9.0, 18.0])
            write_clip(path, Picture(num_frames=900, fps=30, cuts=CUTS, size=(1920, 1080)), sound)
        scoring_s(path, Path(folder) / "first.mp4")  # compiles, if this machine never has
        seconds = [scoring_s(path, Path(folder) / "scored.mp4") for _ in range(NUM_RUNS)]
        decoding = min(decoding_s(path) for _ in range(NUM_RUNS))
    record("score_clip", {
        "seconds": round(min(seconds), 2),
        "all": [round(each, 2) for each in seconds],
        "decoding_s": round(decoding, 2),
        "besides_s": round(min(seconds) - decoding, 2),
    })  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
