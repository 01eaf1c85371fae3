"""Compiled code is kept where nobody else can write, found again, and made anew where it is not whole."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import pytest

from engine import code_cache
from engine.compile import entry
from streaming.cli import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def add(a, b):
    return a + b


def compiled_add():
    """What a new process has: nothing compiled yet, no folder chosen."""
    code_cache._store = code_cache._Store()
    return entry()(add)


def was_loaded(function) -> bool:
    """Was it read from disk, and right?"""
    assert function(1.5, 2.0) == 3.5
    return sum(function.stats.cache_hits.values()) == 1


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(code_cache, "_store", code_cache._Store())
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv(code_cache.SPARE_CODE_FOLDER, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return tmp_path / "undersong"


def test_what_is_compiled_is_found_by_the_next_process(folder: Path) -> None:
    assert not was_loaded(compiled_add())
    assert was_loaded(compiled_add())
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_cut_or_foreign_file_is_compiled_anew_and_healed(folder: Path) -> None:
    was_loaded(compiled_add())
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    flipped = whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:]
    cuts = (0, 1, 16, 17, 18, 48, 49, 50, 100, len(whole) // 2, len(whole) - 1)
    for damaged in (b"not ours", flipped, *(whole[:cut] for cut in cuts)):
        file.write_bytes(damaged)
        assert not was_loaded(compiled_add()), len(damaged)
        assert was_loaded(compiled_add()), len(damaged)


@pytest.mark.parametrize("other", ["numba", "processor", "sources"])
def test_code_of_another_version_is_not_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    with monkeypatch.context() as elsewhere:
        if other == "numba":
            elsewhere.setattr(numba, "__version__", "0.1")
        elif other == "processor":
            elsewhere.setattr("numba.core.codegen.JITCPUCodegen.magic_tuple", lambda self: ("other",))
        else:
            elsewhere.setattr("engine.compile._digest_of", lambda name: 7)
        was_loaded(compiled_add())
    assert not was_loaded(compiled_add())


@pytest.mark.parametrize("environment", [
    {}, {"HOME": ""}, {"HOME": "~"}, {"HOME": "."}, {"XDG_CACHE_HOME": "cache"}, {"NUMBA_CACHE_DIR": "cache"},
    {"NUMBA_CACHE_DIR": "~/cache", "HOME": ""}, {"NUMBA_CACHE_DIR": ".", "HOME": "."},
])  # fmt: skip
def test_no_place_depends_on_the_working_folder(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for place in code_cache.places():
        assert place.is_absolute() and "~" not in str(place) and not place.is_relative_to(tmp_path), place


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o702])
def test_a_folder_that_others_may_write_is_left_alone(
    folder: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    was_loaded(compiled_add())
    folder.chmod(mode)
    assert not was_loaded(compiled_add())
    (warning,) = caplog.messages
    assert str(folder) in warning and "NUMBA_CACHE_DIR" in warning and "\n" not in warning
    assert was_loaded(compiled_add())  # by a child, from the temporary folder
    assert Path(os.environ[code_cache.SPARE_CODE_FOLDER]).parent == folder.parent
    shutil.rmtree(os.environ.pop(code_cache.SPARE_CODE_FOLDER))


def test_a_full_disk_is_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    was_loaded(compiled_add())
    (file,) = folder.iterdir()
    file.unlink()
    (folder / f"{file.name}.{os.getpid()}.part").symlink_to("/dev/full")
    assert not was_loaded(compiled_add())
    (warning,) = caplog.messages
    assert str(folder) in warning and "No space left" in warning
    assert not list(folder.iterdir())


def test_processes_that_start_together_do_not_disturb_one_another(folder: Path) -> None:
    words = "from tests.test_code_cache import add, entry; print(entry()(add)(1.5, 2.0))"
    started = [
        subprocess.Popen([sys.executable, "-c", words], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [process.communicate()[0] for process in started] == ["3.5\n"] * 3
    assert [file.suffix for file in folder.iterdir()] == [".code"]


def test_warm_says_where_the_code_lies(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warm", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(Path(report["folder"]).glob("engine.synth.mixer.render_slot-*.code"))
    assert report["bytes"] > 0 and report["wall_seconds"] > 0


def test_a_user_without_a_home_plays_from_a_warm_folder() -> None:
    """As in an image: what was compiled beside the sources is used by another user, and nothing is written."""
    assert main(["warm"]) == 0
    render = [sys.executable, "-m", "streaming.cli", "render", "focus", "--seconds", "1", "--out", "x.wav"]
    as_nobody = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"]
    can_change = os.geteuid() == 0 and subprocess.run(
        [*as_nobody, sys.executable, "-c", f"open({__file__!r})"], capture_output=True
    ).returncode == 0  # fmt: skip
    with tempfile.TemporaryDirectory() as working_folder:  # pytest's own lies where another user cannot go
        os.chmod(working_folder, 0o777)
        done = subprocess.run(
            [*(as_nobody if can_change else []), *render], cwd=working_folder, capture_output=True, text=True,
            env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert done.returncode == 0 and done.stderr == "", done.stderr
        assert os.listdir(working_folder) == ["x.wav"]
