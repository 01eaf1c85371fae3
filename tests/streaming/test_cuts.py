"""Cuts are found to the frame, and what is no cut is not: motion, a pan, a flash, a dissolve."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from streaming.files.cuts import find_cuts
from streaming.files.video import Video, probe
from tests.clips import NTSC, Picture, write_clip

CUTS = (31, 50, 97, 130)


def frames(video: Video) -> list[int]:
    """The frames at which cuts are found, each exactly at its time."""
    cuts = find_cuts(video)
    found = (
        [round(cut.at * float(video.average_fps)) for cut in cuts]
        if video.fps
        else [next(frame for frame in range(video.num_frames) if float(video.time_of(frame)) == cut.at) for cut in cuts]
    )
    assert [cut.at for cut in cuts] == [float(video.time_of(frame)) for frame in found]
    return found


@pytest.mark.parametrize(("fps", "likeness"), [(24, 0.0), (NTSC, 0.9), (60, 0.5)])
def test_cuts_are_found_to_the_frame(fps: Fraction | int, likeness: float, tmp_path: Path) -> None:
    shown = Picture(num_frames=150, fps=fps, cuts=CUTS, likeness=likeness, size=(160, 90))
    assert frames(probe(write_clip(tmp_path / "x.mp4", shown))) == list(CUTS)


@pytest.mark.parametrize(
    "shown",
    [
        Picture(num_frames=150, pan=6.0, cuts=CUTS, size=(160, 90)),
        Picture(num_frames=150, flashes=(10, 40, 41, 75), cuts=CUTS, size=(160, 90)),
        Picture(num_frames=150, dissolves=((60, 12), (110, 15)), cuts=CUTS[:2], size=(160, 90)),
        Picture(num_frames=60, size=(160, 90)),
    ],
    ids=["pan", "flashes", "dissolves", "one shot"],
)
def test_what_is_no_cut_is_not_found(shown: Picture, tmp_path: Path) -> None:
    assert frames(probe(write_clip(tmp_path / "x.mp4", shown))) == list(shown.cuts)


def test_cuts_lie_on_the_real_times_of_frames_at_no_steady_rate(tmp_path: Path) -> None:
    times_s, now_s = [], 0.0
    for frame in range(81):
        times_s.append(now_s)
        now_s += (0.03, 0.05, 0.04, 0.08)[frame % 4]
    shown = Picture(num_frames=80, cuts=(21, 55), times_s=times_s, size=(160, 90))
    video = probe(write_clip(tmp_path / "x.mp4", shown))
    assert video.fps is None and frames(video) == [21, 55]


def test_a_larger_change_weighs_more(tmp_path: Path) -> None:
    weights = [
        max(cut.weight for cut in find_cuts(probe(write_clip(tmp_path / "x.mp4", shown))))
        for shown in (Picture(cuts=(30,), likeness=likeness, size=(160, 90)) for likeness in (0.95, 0.0))
    ]
    assert 0 < weights[0] < weights[1] <= 1


def test_damaged_pictures_are_passed_over(tmp_path: Path) -> None:
    shown = Picture(num_frames=150, cuts=CUTS, size=(160, 90))
    path = write_clip(tmp_path / "x.mp4", shown, codec_options={"preset": "ultrafast", "g": "25"})
    content = bytearray(path.read_bytes())
    middle = int(len(content) * 0.47)
    content[middle : middle + 400] = bytes(400)
    path.write_bytes(content)
    assert {31, 130} <= set(frames(probe(path)))
