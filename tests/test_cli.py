"""The command line keeps its promises: exit statuses, one-line errors, JSON alone on stdout, exact files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from streaming.cli import main
from streaming.files import export
from streaming.files.loudness import measure
from streaming.files.media import FORMATS, format_of, write_audio
from tests.signals import lufs, sine, true_peak_db


def undersong(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "streaming.cli", *words], capture_output=True, text=True)


def decoded(path: Path) -> np.ndarray:
    """Float [frames, 2] as a player hears it, with what the codec padded left out."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="stereo", rate=48_000)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        return np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in frames])


@pytest.mark.parametrize(
    ("words", "status", "parts"),
    [
        (["frobnicate"], 2, ["frobnicate", "--help"]),
        (["render", "focus"], 2, ["--out"]),
        (["render", "focus", "--out", "x.wma"], 2, ["x.wma", ".flac"]),
        (["render", "focus", "--out", "x.wav", "--seconds", "0"], 2, ["--seconds is 0", "7200"]),
        (["render", "focus", "--out", "x.wav", "--seconds", "nan"], 2, ["--seconds is nan"]),
        (["render", "focus", "--out", "x.wav", "--lufs", "3"], 2, ["--lufs is 3", "-40"]),
        (["render", "focus", "--out", "x.wav", "--energy", "7"], 2, ["energy", "7", "0 … 1"]),
        (["render", "focus", "--out", "x.wav", "--style", "loffi"], 2, ["loffi", "lofi"]),
        (["render", "focus", "--out", "x.wav", "--key", "H minor"], 2, ["H minor"]),
        (["render", "focus", "--out", "x.wav", "--ending", "bang"], 2, ["bang", "cadence"]),
        (["render", "focus", "--out", "x.wav/"], 2, ["x.wav/", "folder"]),
        (["render", "focus", "--out", "/no/such/folder/x.wav"], 1, ["/no/such/folder"]),
        (["render", "focus", "--energy", "1", "--take", "t", "--out", "x.wav"], 2, ["MOOD, --energy and --take"]),
        (["render", "--preset", "15s", "--take", "t", "--out", "x.wav"], 2, ["--preset and --take"]),
        (["render", "focus", "--preset", "99s", "--out", "x.wav"], 2, ["99s", "15s"]),
        (["render", "focus", "--redo", "8", "--out", "x.wav"], 2, ["'8'", "8-16"]),
        (["render", "focus", "--variations", "0", "--out", "x.wav"], 2, ["'0'", "1 … 8"]),
        (["render", "focus", "--duck", "low", "--out", "x.wav"], 2, ["low", "-12"]),
        (["render", "focus", "--video", "/no/such.mp4", "--out", "x.mp4"], 2, ["such.mp4", "No such file"]),
        (["render", "focus", "--out", "x.wav", "--markers", "x.doc"], 2, ["x.doc", ".otio"]),
        (["render", "focus", "--out", "x.wav", "--midi", "x.txt"], 2, ["x.txt", ".mid"]),
        (["render", "focus", "--out", "x.wav", "--stems", __file__], 1, ["test_cli.py", "File exists"]),
        (["render", "--timeline", "/no/such.json", "--out", "x.wav"], 2, ["--timeline", "/no/such.json"]),
        (["render", "--speech", "/no/such.srt", "--out", "x.wav"], 2, ["--speech", "/no/such.srt"]),
        (["render", "--take", "/no/such.jsonl", "--out", "x.wav"], 2, ["--take", "/no/such.jsonl"]),
        (["render", "--take", __file__, "--out", "x.wav"], 1, ["test_cli.py: line 1 is not JSON"]),
        (["models", "verify", "/no/such/folder"], 1, ["/no/such/folder", "manifest"]),
        (["serve", "--port", "99999"], 2, ["99999", "65535"]),
        (["serve", "--config", "/no/such.toml"], 2, ["/no/such.toml"]),
        (["bench", "nothing"], 2, ["nothing", "reaction"]),
        (["bench", "harness"], 2, ["harness", "reaction"]),
    ],
)
def test_a_mistake_is_one_line_with_its_value_and_the_way_out(
    words: list[str], status: int, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1 and err.startswith("undersong: ")
    for part in parts:
        assert part in err


def test_a_timeline_is_not_replaced_by_its_markers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    timeline = tmp_path / "cut.json"
    timeline.write_text('{"duration": 2}')
    words = ["--timeline", str(timeline), "--out", str(tmp_path / "x.wav"), "--markers", str(timeline)]
    assert main(["render", *words]) == 2
    assert "cut.json' is read for" in capsys.readouterr().err
    assert timeline.read_text() == '{"duration": 2}'


def test_a_folder_that_cannot_be_written_is_found_before_composing(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        target = Path("/proc/undersong.wav")  # root may write everywhere but there
    else:
        tmp_path.chmod(0o500)
        target = tmp_path / "x.wav"
    done = undersong("render", "focus", "--out", str(target), "--seconds", "7000")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr and done.stderr.count("\n") == 1


def test_help_and_moods_import_nothing_heavy() -> None:
    heavy = "{'torch', 'numba', 'av', 'fastapi', 'aiortc', 'sounddevice'} & set(sys.modules)"
    code = f"import sys; from streaming.cli import main; main(['moods']); sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_moods_lists_the_presets_in_both_languages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["moods", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    names = {mood["name"]: mood["zh"] for mood in listed["moods"]}
    assert names["healing"] == "治愈" and names["victory"] == "胜利"
    assert {"lofi", "guofeng"} <= {style["name"] for style in listed["styles"]}


def test_explain_says_how_a_prompt_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["moods", "--explain", "sad rainy night", "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert {"prompt", "mood", "valence", "energy", "tension", "style", "unknown"} <= explained.keys()
    assert explained["valence"] < 0
    assert main(["moods", "--explain", "sad, no drums, 90 bpm"]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (rows["layers"], rows["bpm"], rows["unknown"]) == ("drums mute", "90", "–")


def test_settings_can_be_printed_edited_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "9001", "--log-level", "error", "--print-config"]) == 0
    path = tmp_path / "undersong.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["serve", "--config", str(path), "--print-config"]) == 0
    assert capsys.readouterr().out == path.read_text(encoding="utf-8")


def test_settings_can_be_checked_without_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "undersong.toml"
    path.write_text('[states.calm]\n[states.combat]\nenergy = 0.9\n[[transitions]]\nto = "combat"\n')
    assert main(["serve", "--config", str(path), "--check-config"]) == 0
    path.write_text(path.read_text() + 'how = "cut"\nover = "2 bars"\n')
    assert main(["serve", "--config", str(path), "--check-config"]) != 0
    assert "from * to combat" in capsys.readouterr().err


def test_the_shipped_checkpoint_is_what_its_manifest_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"]


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_a_file_holds_the_frames_it_was_given(suffix: str, tmp_path: Path) -> None:
    path, wave = tmp_path / f"tone{suffix}", sine(440.0, 2.0)[:95_003]
    with path.open("w+b") as file:
        write_audio(file, [wave], format_of(path), {"comment": "Generated by a test"})
    heard = decoded(path)
    with av.open(str(path)) as container:
        tags = {**container.metadata, **container.streams.audio[0].metadata}
        assert {name.lower(): text for name, text in tags.items()}["comment"] == "Generated by a test"
        seconds = container.duration / av.time_base
    if suffix in (".wav", ".flac"):
        assert len(heard) == len(wave)
        assert np.abs(heard - wave).max() < 2**-22  # 24 bits
    else:
        padding_frames = -len(wave) % format_of(path).packet_frames
        assert len(heard) - len(wave) == padding_frames and (padding_frames == 0 or suffix in (".m4a", ".mp4"))
        assert seconds == pytest.approx(len(wave) / 48_000, abs=0.008)  # Opus counts its 6.5 ms of pre-skip
        assert np.abs(heard[4800:90_000] - wave[4800:90_000]).max() < 0.05  # in place: no encoder delay is left


@pytest.mark.parametrize("seconds", [4.0, 3.75])
def test_loudness_agrees_with_an_independent_meter(seconds: float) -> None:
    wave = sine(440.0, seconds, level=0.4)
    measured = measure([wave])
    assert measured.lufs == pytest.approx(lufs(wave), abs=0.1)
    assert measured.true_peak_db == pytest.approx(true_peak_db(wave), abs=0.2)


def test_silence_has_no_loudness() -> None:
    assert measure([np.zeros((48_000, 2), np.float32)]).lufs is None


@pytest.mark.slow
def test_render_is_exact_repeatable_and_reports_itself(tmp_path: Path) -> None:
    words = ["render", "focus", "--seconds", "7.25", "--seed", "5", "--json", "--out"]
    first, second = (undersong(*words, str(tmp_path / name)) for name in ("a.wav", "b.wav"))
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["frames"] == 348_000 and report["seconds"] == 7.25 and report["seed"] == 5
    assert report["files"] == [report["out"]] == [str(tmp_path / "a.wav")]
    assert report["beats"][0] == 0.0 and report["beats"] == sorted(report["beats"])
    assert report["sections"][0]["at"] == 0.0 and report["padding_frames"] == 0
    sound = decoded(tmp_path / "a.wav")
    assert sound.shape == (348_000, 2)
    assert report["loudness"]["true_peak_db"] <= -1.0
    assert second.returncode == 0
    np.testing.assert_array_equal(sound, decoded(tmp_path / "b.wav"))
    assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "b.wav"}


@pytest.mark.slow
def test_render_reaches_the_loudness_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "loud.flac"
    done = undersong("render", "epic", "--seconds", "12", "--seed", "3", "--lufs", "-14", "--out", str(out), "--json")
    assert done.returncode == 0, done.stderr
    sound = decoded(out)
    assert lufs(sound) == pytest.approx(-14.0, abs=0.3)
    assert true_peak_db(sound) <= -1.0


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [6.0, 6.0126])
def test_a_stop_goes_on_to_its_frame_and_ends_at_zero(seconds: float, tmp_path: Path) -> None:
    out = tmp_path / "stop.wav"
    words = ["--seed", "5", "--ending", "stop", "--seconds", str(seconds), "--out", str(out)]
    assert undersong("render", "focus", *words).returncode == 0
    sound = decoded(out)
    assert len(sound) == round(seconds * 48_000)
    assert not sound[-1].any() and np.abs(sound[-48:]).max() < 0.005
    assert np.abs(sound[-4800:-2400]).max() > 0.02


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_whoever_ends_a_render_finds_nothing_left(number: signal.Signals, tmp_path: Path) -> None:
    words = ["render", "focus", "--seconds", "7000", "--out", str(tmp_path / "x.wav")]
    # A signal that is ignored stays so, as under nohup; whoever runs the tests may have been started that way.
    hear = (
        f"import os, signal, sys; signal.signal({int(number)}, signal.SIG_DFL); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-c", hear, sys.executable, "-m", "streaming.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + 30
            while not any(tmp_path.iterdir()) and time.monotonic() < deadline:
                time.sleep(0.01)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 1
    assert out == "" and err.splitlines()[-1] == "undersong: interrupted" and "Traceback" not in err
    assert not any(tmp_path.iterdir())


def test_an_interruption_while_the_file_is_measured_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(samples: np.ndarray) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "measure", interrupted)
    assert main(["render", "focus", "--seconds", "1", "--out", str(tmp_path / "x.wav")]) == 1
    assert "interrupted" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
