"""How much memory does it take to score an hour of film, and how long?

`undersong render --video` as a user starts it, on a clip of MINUTES (60): one minute of moving pictures with cuts and
speech, encoded once and repeated packet by packet. `peak_mb` is the most that the command and whatever it starts hold
together (proportional set size, looked at twice a second); `off_frames` how much longer or shorter the scored clip is,
in frames of its picture.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import psutil

from benchmarks.harness import ROOT, record
from streaming.files.video import probe
from tests.clips import Picture, speech_track, write_clip

MINUTES, FPS = 60, 25
CUTS = (110, 260, 333, 520, 700, 905, 1130, 1400)
SPEECH_S = (4.0, 15.0, 24.0, 41.0, 52.0)


def long_clip(folder: Path, minutes: int) -> Path:
    minute, clip = folder / "minute.mkv", folder / "clip.mkv"
    sound, _ = speech_track(60.0, list(SPEECH_S), level_db=-20.0)
    write_clip(minute, Picture(num_frames=60 * FPS, fps=FPS, cuts=CUTS), sound, sound_codec="ac3",
               codec_options={"preset": "ultrafast", "crf": "35", "g": "250", "bf": "0"})  # fmt: skip
    with av.open(str(clip), "w") as here:
        copies = []
        for number in range(minutes):
            with av.open(str(minute)) as there:
                if not copies:
                    copies = [here.add_stream_from_template(stream, opaque=True) for stream in there.streams]
                for packet in there.demux():
                    if packet.pts is None or packet.pts * packet.time_base >= 60:
                        continue
                    shift = round(number * 60 / packet.time_base)
                    packet.pts += shift
                    packet.dts = packet.pts
                    packet.stream = copies[packet.stream_index]
                    here.mux(packet)
    return clip


def peak_mb(process: psutil.Process) -> float:
    """Wait for the end; the most that was held."""
    peak = 0.0
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        held = 0
        try:
            for one in [process, *process.children(recursive=True)]:
                held += one.memory_full_info().pss
        except psutil.Error:  # it has ended meanwhile
            pass
        peak = max(peak, held / 1e6)
        time.sleep(0.5)
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(prog="hour_of_video")
    parser.add_argument("--minutes", type=int, default=MINUTES)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as name:
        clip, out = long_clip(Path(name), minutes), Path(name) / "scored.mkv"
        words = ["render", "healing", "--video", str(clip), "--out", str(out), "--seed", "7", "--json"]
        began = time.monotonic()
        told = Path(name) / "report.json"  # longer than a pipe holds
        with told.open("w") as output:
            running = subprocess.Popen([sys.executable, "-m", "streaming.cli", *words], cwd=ROOT, stdout=output)
            held_mb = peak_mb(psutil.Process(running.pid))
        wall_s = time.monotonic() - began
        assert running.wait() == 0, running.returncode
        report = json.loads(told.read_text(encoding="utf-8"))
        off = (probe(out).duration - probe(clip).duration) * Fraction(FPS)
        record("hour_of_video", {
            "minutes": minutes,
            "peak_mb": round(held_mb),
            "wall_s": round(wall_s),
            "cuts": len(report["video"]["cuts"]),
            "off_frames": float(off),
            "lufs": report["loudness"]["lufs"],
        }, is_kept=minutes == MINUTES)  # fmt: skip


if __name__ == "__main__":
    main()
