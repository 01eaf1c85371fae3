"""Files: whole or not at all, in the place that was named, readable by simple readers, without peaks of a codec."""

from __future__ import annotations

import errno
import io
import os
import resource
import signal
import socket
import stat
import struct
import threading
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from streaming import cli, scratch
from streaming.files import export
from streaming.files.errors import CannotKeep, CannotWrite
from streaming.files.loudness import level_for, measure
from streaming.files.media import FORMATS, read_audio, write_audio
from streaming.files.peaks import HOP_FRAMES, Curved, flat_curve, limiting, peak_db, true_peaks
from streaming.files.sound import StoredSound
from streaming.files.target import Part, Target
from tests.signals import lufs as meter_lufs
from tests.signals import noise, rms_db, sine, true_peak_db


def fill(path: Path, content: bytes, scratch_folder: Path) -> None:
    with Target(path).open(scratch_folder) as file:
        file.write(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one, beside the scratch folder `tmp_path`."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


# --- where a file goes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["x.wav", "-x.wav", "EP12:final.wav", "http:", "new\nline", "音乐", "\udcff", "n" * 255]
)
def test_any_name_that_the_file_system_takes_is_one(name: str, folder: Path, tmp_path: Path) -> None:
    fill(folder / name, b"music", tmp_path)
    assert [path.read_bytes() for path in folder.iterdir()] == [b"music"]


def test_a_new_file_is_for_whom_new_files_are(folder: Path, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        fill(folder / "x.wav", b"music", tmp_path)
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "x.wav").stat().st_mode) == 0o640


def test_a_file_that_is_replaced_stays_for_whom_it_was(folder: Path, tmp_path: Path) -> None:
    (folder / "x.wav").write_bytes(b"old and longer than the new")
    (folder / "x.wav").chmod(0o604)
    fill(folder / "x.wav", b"music", tmp_path)
    assert (folder / "x.wav").read_bytes() == b"music"
    assert stat.S_IMODE((folder / "x.wav").stat().st_mode) == 0o604


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_and_what_it_leads_to_is_written(is_there: bool, folder: Path, tmp_path: Path) -> None:
    if is_there:
        (tmp_path / "real").write_bytes(b"old")
    (folder / "x.wav").symlink_to(tmp_path / "real")
    fill(folder / "x.wav", b"music", tmp_path)
    assert (folder / "x.wav").is_symlink() and (tmp_path / "real").read_bytes() == b"music"


def test_both_names_of_a_file_keep_it(folder: Path, tmp_path: Path) -> None:
    (folder / "x.wav").write_bytes(b"old and longer than the new")
    (folder / "y.wav").hardlink_to(folder / "x.wav")
    fill(folder / "x.wav", b"music", tmp_path)
    assert (folder / "y.wav").read_bytes() == b"music"


def test_a_file_that_is_a_mount_is_filled(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*paths: Path) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    (folder / "x.wav").write_bytes(b"old and longer than the new")
    monkeypatch.setattr(os, "replace", busy)  # as the kernel answers for a mounted file; to mount needs root
    fill(folder / "x.wav", b"music", tmp_path)
    assert [path.read_bytes() for path in folder.iterdir()] == [b"music"]


def test_a_pipe_carries_the_whole_file(folder: Path, tmp_path: Path) -> None:
    pipe, read = folder / "x.wav", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    fill(pipe, b"music" * 100_000, tmp_path)
    reader.join()
    assert read == [b"music" * 100_000] and pipe.is_fifo()


def test_a_reader_that_leaves_a_pipe_is_told(folder: Path, tmp_path: Path) -> None:
    pipe = folder / "x.wav"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: pipe.open("rb").close())
    reader.start()
    with pytest.raises(CannotWrite, match="Broken pipe"):
        fill(pipe, b"music" * 1_000_000, tmp_path)
    reader.join()


def test_what_cannot_be_written_is_known_before_there_is_anything_to_write(folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "astray").symlink_to("nowhere/x.wav")
    (folder / "file").touch()
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            listening.bind("socket")
        finally:
            os.chdir(here)
        before = sorted(folder.iterdir())
        for name in ("folder", "loop", "astray", "socket", "file/x.wav", "none/x.wav", "n" * 256):
            with pytest.raises(CannotWrite) as caught:
                Target(folder / name)
            assert "name another place" in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ValueError])
def test_an_error_leaves_all_as_it_was(error: type[BaseException], folder: Path, tmp_path: Path) -> None:
    (folder / "old.wav").write_bytes(b"old")
    for name in ("old.wav", "new.wav"):
        with pytest.raises(error), Target(folder / name).open(tmp_path) as file:
            file.write(b"half")
            raise error
    assert [path.read_bytes() for path in folder.iterdir()] == [b"old"]


# --- room ------------------------------------------------------------------------------------------------------------


@contextmanager
def room_for(num_bytes: int) -> Iterator[None]:
    """As on a disk that is full: the system lets no file grow beyond `num_bytes`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a", ".opus", ".ogg"])
def test_a_disk_that_fills_up_is_an_error_and_leaves_nothing(suffix: str, folder: Path, tmp_path: Path) -> None:
    with room_for(20_000), pytest.raises(OSError), Target(folder / "x").open(tmp_path) as file:
        write_audio(file, [noise(3.0)], FORMATS[suffix], {"comment": "a test"})
    assert not any(folder.iterdir())


def test_scratch_that_fills_up_is_named(tmp_path: Path) -> None:
    with room_for(100_000), pytest.raises(CannotKeep, match="TMPDIR"), StoredSound(tmp_path) as sound:
        for _ in range(10):
            sound.append(noise(0.5))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "status"), [(".wav", 1), (".mp3", 0)])
def test_what_cannot_fit_is_refused_before_composing(
    suffix: str, status: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "free_bytes", lambda place: 10_000_000)
    if status:
        monkeypatch.setattr(export, "begin", lambda *others: pytest.fail("it composed"))
    assert cli.main(["render", "focus", "--seconds", "20", "--out", str(folder / f"x{suffix}")]) == status
    err = capsys.readouterr().err
    assert len(list(folder.iterdir())) == 1 - status
    if status:
        assert " MB are needed in " in err and "10.0 MB are free" in err and err.count("\n") == 1


def test_scratch_goes_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    small, large, tiny = Path("small"), Path("large"), Path("tiny")
    free = {small: 10, large: 1000, tiny: 1}
    monkeypatch.setattr(scratch, "free_bytes", free.__getitem__)
    assert scratch.roomy_folder(5, small, large) == small
    assert scratch.roomy_folder(50, small, large) == large
    assert scratch.roomy_folder(5000, tiny, small) == small


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_wav_is_what_the_simplest_readers_expect() -> None:
    file, tone = io.BytesIO(), sine(440.0, 0.1)
    write_audio(file, [tone], FORMATS[".wav"], {"comment": "Generated by a test"})
    content = file.getvalue()
    assert content[:4] == b"RIFF" and struct.unpack_from("<I", content, 4)[0] == len(content) - 8
    assert content[8:16] == b"WAVEfmt " and struct.unpack_from("<IHHIIHH", content, 16) == (
        16, 1, 2, 48_000, 288_000, 6, 24
    )  # fmt: skip
    assert content[36:40] == b"data" and struct.unpack_from("<I", content, 40)[0] == len(tone) * 6
    assert content.index(b"LIST") == 44 + len(tone) * 6 and b"Generated by a test" in content
    file.seek(0)
    with wave.open(file) as read:
        assert (read.getnchannels(), read.getsampwidth(), read.getframerate()) == (2, 3, 48_000)
        assert read.getnframes() == len(tone)


@pytest.mark.parametrize("suffix", [".wav", ".mp3"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_happens_while_a_library_writes_is_not_lost(suffix: str, error: type[BaseException]) -> None:
    class Interrupted(io.BytesIO):
        def write(self, packed: bytes) -> int:
            if self.tell() > 20_000:
                raise error
            return super().write(packed)

    with pytest.raises(error):
        write_audio(Interrupted(), [noise(0.5)] * 10, FORMATS[suffix], {"comment": "a test"})


def test_an_interruption_ends_a_codecs_work_in_its_own_thread(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    has_ended = threading.Event()

    def work_until_closed(finish: object, files: list[tuple[Part, object]], *others: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        while not files[0][0].file.closed:
            time.sleep(0.01)
        has_ended.set()

    monkeypatch.setattr(export._Finish, "fill", work_until_closed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
    try:
        assert cli.main(["render", "focus", "--seconds", "1", "--out", str(folder / "x.ogg")]) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted" in capsys.readouterr().err
    assert has_ended.wait(20) and not any(folder.iterdir())


def loud_music() -> np.ndarray:
    """Beats of noise over chords, far too loud: what a limiter lets through is at its ceiling most of the time."""
    time_s = np.arange(3 * 48_000) / 48_000
    beats = noise(3.0, 1.0) * np.exp(-20 * (time_s % 0.25))[:, None]
    chords = sum(sine(frequency_hz, 3.0, 0.4) for frequency_hz in (110.0, 277.2, 659.3))
    return (beats + chords).astype(np.float32)


@pytest.mark.parametrize("suffix", [".mp3", ".m4a", ".opus", ".ogg"])
def test_decoded_peaks_stay_below_the_limit(suffix: str) -> None:
    music, file = loud_music(), io.BytesIO()
    sound = Curved([music], level_for([music], -9.0, 0.0))
    write_audio(file, sound, FORMATS[suffix], {"comment": "a test"})
    assert true_peak_db(np.concatenate(list(read_audio(file)))) > -1.0  # what the codec makes of it
    loudness, _ = export.write_within_peak(file, sound, len(music), FORMATS[suffix], {"comment": "a test"}, -1.0)
    heard = np.concatenate(list(read_audio(file)))
    assert true_peak_db(heard) <= -1.0
    assert loudness == measure([heard])
    assert loudness.lufs == pytest.approx(measure(sound).lufs, abs=1.0)


@pytest.mark.parametrize("lufs", [-23.0, -14.0, -12.0])
def test_sound_is_brought_to_a_loudness_and_no_peak_above_the_ceiling(lufs: float) -> None:
    music = loud_music()
    levelled = np.concatenate(list(Curved([music], level_for([music], lufs, -2.0))))
    assert meter_lufs(levelled) == pytest.approx(lufs, abs=0.2)
    assert true_peak_db(levelled) <= -2.0


@pytest.mark.parametrize("num_frames", [95, 96, 97, 48_003])
def test_a_curve_covers_the_whole(num_frames: int) -> None:
    tone = sine(1000.0, 2.0, 0.5)[:num_frames]
    peaks = true_peaks([tone])
    assert len(peaks) == len(flat_curve(num_frames)) - 1 == -(-num_frames // HOP_FRAMES)
    lowered = np.concatenate(list(Curved([tone[:50], tone[50:]], limiting(peaks, -12.0))))
    assert len(lowered) == num_frames and np.abs(lowered).max() <= 10 ** (-12 / 20) * 1.01


def test_gain_is_taken_away_around_a_peak_and_given_back() -> None:
    tone = sine(1000.0, 1.0, 0.25)
    tone[24_000:24_048] *= 3.0
    curve = limiting(true_peaks([tone]), -12.0)
    lowered = np.concatenate(list(Curved([tone], curve)))
    assert true_peak_db(lowered[23_000:25_000]) == pytest.approx(-12.0, abs=0.1)
    before, after = round(0.48 * 48_000), round(0.7 * 48_000)
    assert (lowered[:before] == tone[:before]).all() and (lowered[after:] == tone[after:]).all()
    assert peak_db(true_peaks([lowered])).max() <= -12.0 + 0.01


def test_one_curve_over_stems_sums_to_the_mix_under_it() -> None:
    stems = [loud_music(), noise(3.0, 0.3), sine(330.0, 3.0, 0.5)]
    mix = np.sum(stems, axis=0)
    curve = level_for([mix], -10.0, -1.0)
    summed = sum(np.concatenate(list(Curved([stem], curve))) for stem in stems)
    rest = summed - np.concatenate(list(Curved([mix], curve)))
    assert curve.min() < 0.8 * curve.max() and rms_db(rest) < -120.0
