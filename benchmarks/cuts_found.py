"""Are the cuts of a clip found, to the frame, and nothing else taken for one?

Edited clips made in code, encoded by x264, with shots of half a second to four. Each kind is hard in its way: views of
one scene in nearly the same colours, fast pans, flashes, dissolves between the cuts, a single shot that lasts. A cut
counts in `recall` and `precision` where it is found at exactly its frame; `ms_a_frame` is what finding takes beside
decoding.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.harness import record
from streaming.files.cuts import find_cuts
from streaming.files.video import Video, probe
from tests.clips import NTSC, NTSC_FILM, Picture, write_clip

SECONDS, CLIPS_A_KIND = 15, 4
KINDS = {
    "plain": {},
    "alike": {"likeness": 0.8},
    "one scene": {"likeness": 0.95},
    "fast pan": {"pan": 8.0, "likeness": 0.3},
    "flashes": {},
    "dissolves": {},
    "60 fps": {"fps": 60, "pan": 3.0, "likeness": 0.5},
    "one shot": {"pan": 2.0},
}
RATES = (25, NTSC_FILM, NTSC, 24)


def edited(kind: str, number: int) -> Picture:
    random = np.random.default_rng([list(KINDS).index(kind), number])
    fields = {"fps": RATES[number % len(RATES)], **KINDS[kind]}
    fps = Fraction(fields["fps"])
    shots = np.cumsum(random.uniform(0.5, 4.0, SECONDS * 2) * float(fps)).astype(int)
    frames = round(SECONDS * fps)
    changes = [] if kind == "one shot" else [int(frame) for frame in shots if frame < frames - 10]
    return Picture(
        num_frames=frames,
        cuts=changes[::2] if kind == "dissolves" else changes,
        dissolves=[(frame, 12) for frame in changes[1::2]] if kind == "dissolves" else (),
        flashes=[frame + 7 for frame in changes[::2]] if kind == "flashes" else (),
        seed=number,
        **fields,
    )


def decoding_s(video: Video) -> float:
    began = time.monotonic()
    with av.open(str(video.path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        container.streams.video[0].codec_context.options = {"skip_loop_filter": "all"}
        for _ in container.decode(video=0):
            pass
    return time.monotonic() - began


def main(clips_a_kind: int = CLIPS_A_KIND) -> None:
    hits, made, told = defaultdict(int), defaultdict(int), defaultdict(int)
    spent_s, num_frames = 0.0, 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            for number in range(clips_a_kind):
                picture = edited(kind, number)
                video = probe(write_clip(Path(folder) / "clip.mp4", picture))
                spent_s -= decoding_s(video)
                began = time.monotonic()
                found = {round(cut.at * float(video.average_fps)) for cut in find_cuts(video)}
                spent_s += time.monotonic() - began
                num_frames += video.num_frames
                hits[kind] += len(found & set(picture.cuts))
                made[kind] += len(picture.cuts)
                told[kind] += len(found)
    record("cuts_found", {
        "cuts": sum(made.values()),
        "recall": round(sum(hits.values()) / sum(made.values()), 4),
        "precision": round(sum(hits.values()) / sum(told.values()), 4),
        "by_kind": {kind: f"{hits[kind]} of {made[kind]}, {told[kind] - hits[kind]} more" for kind in KINDS},
        "ms_a_frame": round(1000 * spent_s / num_frames, 2),
    }, is_kept=clips_a_kind >= CLIPS_A_KIND)  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
