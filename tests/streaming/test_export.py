"""A job's files: all of them or none, stems that sum to the mix, a clip with its own pictures, what is said in them."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import mido
import numpy as np
import pytest
import soundfile

from engine.backends import open_generator
from engine.config import EngineConfig
from engine.generator import Generator
from engine.take import Take
from moods.intent import LAYERS
from moods.opening import Opening
from moods.timeline import LoudnessGoal, parse_timeline
from streaming.files.errors import Cancelled, UnknownFormat, WouldReplace
from streaming.files.exchange import read_timeline
from streaming.files.export import Progress, RenderJob, export
from streaming.files.media import format_of, in_floats, read_audio, write_audio
from streaming.files.preparing import timeline_for
from streaming.files.video import probe
from tests.clips import Picture, speech_track, write_clip
from tests.signals import lufs, noise, rms_db, sine, true_peak_db

SECONDS = 4.0


@pytest.fixture(scope="module")
def generator() -> Generator:
    return open_generator(EngineConfig(max_slots=1))


@pytest.fixture
def make(generator: Generator) -> Callable[..., dict[str, Any]]:
    def make(job: RenderJob, **watched: Any) -> dict[str, Any]:
        return export(job, make_generator=lambda config: generator, **watched)

    return make


def job_for(out: Path, asked: dict[str, Any] | None = None, **more: Any) -> RenderJob:
    timeline = parse_timeline({"duration": SECONDS, "mood": "sport", "seed": 3} | (asked or {}))
    take = Take(Opening(timeline=timeline), 3)
    return RenderJob(take=take, num_frames=timeline.num_frames, out=out, config=EngineConfig(max_slots=1), **more)


def everything(folder: Path) -> RenderJob:
    return job_for(
        folder / "x.wav",
        {"fps": 25, "hits": [2.0]},
        also=(folder / "x.m4a",),
        goal=LoudnessGoal(lufs=-16.0),
        stems=folder / "stems",
        midi=folder / "x.mid",
        markers=(folder / "x.csv",),
        sheet=folder / "LICENCE.txt",
        unducked=folder / "music.flac",
    )


def all_files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_what_is_read_for_a_job_is_not_written_over(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", Picture(num_frames=50, fps=25))
    linked = tmp_path / "linked.mp4"
    linked.hardlink_to(clip)
    before = clip.read_bytes()
    for job in (
        job_for(clip, video=clip),
        job_for(linked, video=clip),
        job_for(tmp_path / "new.mp4", also=(clip,), video=clip),
        job_for(tmp_path / "new.wav", markers=(tmp_path / "cut.json",), sources=(tmp_path / "cut.json",)),
    ):
        (tmp_path / "cut.json").write_text("{}")
        with pytest.raises(WouldReplace):
            export(job)
    assert clip.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"clip.mp4", "linked.mp4", "cut.json"}


@pytest.fixture(scope="module")
def done(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RenderJob, dict[str, Any]]]:
    job = everything(tmp_path_factory.mktemp("job"))
    yield job, export(job, make_generator=lambda config: generator)


def test_what_the_report_names_is_what_there_is(done: tuple[RenderJob, dict[str, Any]]) -> None:
    job, report = done
    assert {str(path) for path in all_files(job.out.parent)} == set(report["files"])
    assert set(report["stems"]) == set(LAYERS)
    assert report["hits"] == [{"at": 2.0, "error_ms": 0.0}]
    assert {"asked", "lowest", "highest"} == report["tempo"].keys()
    for path, level in report["levels"].items():
        with Path(path).open("rb") as file:
            heard = np.concatenate(list(read_audio(file)))
        assert len(heard) - job.num_frames in range(1024)
        if heard.any():
            assert level["lufs"] == pytest.approx(lufs(heard), abs=0.2), path
            assert true_peak_db(heard) <= -1.0
    assert report["loudness"]["lufs"] == pytest.approx(-16.0, abs=0.1)
    assert report["loudness"] == report["levels"][str(job.out)]


def test_stems_sum_to_the_mix_at_its_level(done: tuple[RenderJob, dict[str, Any]]) -> None:
    job, report = done
    mix, _ = soundfile.read(job.out)
    stems = [soundfile.read(path)[0] for path in report["stems"].values()]
    assert rms_db(np.sum(stems, axis=0) - mix) < rms_db(mix) - 90.0
    assert sum(rms_db(stem) > rms_db(mix) - 40.0 for stem in stems) >= 3


def test_markers_and_notes_lie_where_the_report_has_them(done: tuple[RenderJob, dict[str, Any]]) -> None:
    job, report = done
    song = mido.MidiFile(job.midi)
    assert song.length == pytest.approx(SECONDS, abs=0.01)
    assert sum(message.type == "note_on" for track in song.tracks for message in track) > 10
    read = read_timeline(job.markers[0])
    assert [hit.at for hit in read.hits] == [2.0]
    assert "LICENCE" in job.sheet.read_text()


@pytest.mark.parametrize("stage", ["composing", "levelling", "encoding"])
def test_a_cancelled_job_leaves_nothing(stage: str, make: Callable[..., Any], tmp_path: Path) -> None:
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        make(everything(tmp_path), on_progress=seen.append, is_cancelled=lambda: seen[-1:] and seen[-1].stage == stage)
    assert list(tmp_path.iterdir()) == []
    shares = [progress.share for progress in seen]
    assert shares == sorted(shares) and shares[0] >= 0.0 and shares[-1] <= 1.0


def test_one_file_that_cannot_be_made_leaves_none_of_the_others(make: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match=r"x\.doc"):
        make(job_for(tmp_path / "x.wav", markers=(tmp_path / "x.doc",), stems=tmp_path / "stems"))
    with pytest.raises(Exception, match="same file"):
        make(job_for(tmp_path / "x.wav", also=(tmp_path / "." / "x.wav",)))
    assert list(tmp_path.iterdir()) == []


def test_a_file_may_begin_in_the_middle_of_a_take(make: Callable[..., Any], tmp_path: Path) -> None:
    whole, heard = job_for(tmp_path / "whole.wav"), []
    make(whole)
    part = RenderJob(whole.take, 48_000, tmp_path / "part.wav", whole.config, from_frame=100_003)
    report = make(part, on_sound=heard.append)
    one, other = (soundfile.read(path)[0] for path in (whole.out, part.out))
    assert np.array_equal(other[:-192], one[100_003 : 148_003 - 192])
    assert sum(map(len, heard)) == 48_000 == report["frames"]
    assert all(0.0 <= at < 1.0 for at in report["beats"])


def test_a_loop_says_so_behind_its_samples(make: Callable[..., Any], tmp_path: Path) -> None:
    job = job_for(tmp_path / "x.wav", {"ending": "loop"})
    make(job)
    content = job.out.read_bytes()
    at = content.index(b"smpl")
    assert content[36:40] == b"data" and at >= 44 + 6 * job.num_frames
    assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8
    assert struct.unpack_from("<6I", content, at + 8 + 36) == (0, 0, 0, job.num_frames - 1, 0, 0)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_sixteen_bits_are_dithered_the_same_each_time(suffix: str) -> None:
    tone, files = sine(440.0, 1.0, 0.25) + noise(1.0, 1e-3), [io.BytesIO(), io.BytesIO()]
    for file in files:
        write_audio(file, [tone], format_of(Path(f"x{suffix}"), 16), {"comment": "a test"})
    files[0].seek(0)
    read, rate = soundfile.read(files[0], dtype="int16")
    assert files[0].getvalue() == files[1].getvalue() and rate == 48_000
    rest = read / 2**15 - tone
    assert np.abs(rest).max() < 1.6 / 2**15
    assert rms_db(rest) == pytest.approx(20 * np.log10(0.5 / 2**15), abs=0.5)  # a step's noise thrice over
    assert abs(np.corrcoef(rest[:, 0], tone[:, 0])[0, 1]) < 0.01


def test_what_is_composed_once_more_changes_nothing_else_at_a_level_either(
    make: Callable[..., Any], tmp_path: Path
) -> None:
    asked, files, reports = {"duration": 8, "loudness": {"lufs": -12}}, [], []
    for name, redo in (("one.wav", []), ("other.wav", [{"start": 3, "end": 5, "seed": 9}])):
        job = job_for(tmp_path / name, asked | {"redo": redo}, goal=LoudnessGoal(lufs=-12))
        reports.append(make(job))
        files.append(soundfile.read(job.out)[0])
    ((start_s, end_s),) = reports[1]["redo"]
    is_other = np.flatnonzero((files[0] != files[1]).any(axis=1)) / 48_000
    assert len(is_other) > 10_000 and start_s <= is_other[0] and is_other[-1] <= end_s


def test_a_layer_above_full_scale_is_kept_whole() -> None:
    tone, file = sine(440.0, 1.0, 1.6), io.BytesIO()
    write_audio(file, [tone], in_floats(format_of(Path("x.wav"))), {"comment": "a test"})
    file.seek(0)
    read, _ = soundfile.read(file, dtype="float32")
    np.testing.assert_array_equal(read, tone)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    sound, _ = speech_track(SECONDS, [0.8])
    picture = Picture(num_frames=96, fps=Fraction(24000, 1001), cuts=[30, 62])
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", picture, sound)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


@pytest.mark.slow
def test_a_clip_comes_back_with_music_and_its_own_pictures(
    clip: Path, make: Callable[..., Any], tmp_path: Path
) -> None:
    video = probe(clip)
    timeline = timeline_for({"mood": "sport", "seed": 3}, video)
    assert timeline.num_frames == video.num_sound_frames and len(timeline.cuts) == 2 and timeline.speech
    job = RenderJob(
        Take(Opening(timeline=timeline), 3), video.num_sound_frames, tmp_path / "scored.mp4", EngineConfig(max_slots=1),
        goal=LoudnessGoal(), video=clip, also=(tmp_path / "x.wav",), stems=tmp_path / "stems",
    )  # fmt: skip
    report = make(job)
    assert packets(job.out) == packets(clip)
    scored = probe(job.out)
    assert (scored.num_frames, scored.duration) == (video.num_frames, video.duration)
    assert report["video"]["frames"] == 96 and report["video"]["fps"] == "24000/1001"
    assert report["loudness"]["lufs"] == pytest.approx(-14.0, abs=0.2)
    mix, _ = soundfile.read(tmp_path / "x.wav")
    stems = [soundfile.read(path)[0] for path in report["stems"].values()]
    assert len(mix) == video.num_sound_frames and "original" in report["stems"]
    assert rms_db(np.sum(stems, axis=0) - mix) < rms_db(mix) - 90.0
    with job.out.open("rb") as file:
        heard = np.concatenate(list(read_audio(file)))[: len(mix)]
    assert rms_db(heard - mix) < rms_db(mix) - 12.0  # the same music, in place
