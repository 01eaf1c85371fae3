"""Every process of ours runs our own packages: the working folder decides nothing, and a namesake is told."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from undersong_launch import PACKAGES, ROOT, child_command, child_environment

pytestmark = pytest.mark.slow

COMMAND = "import sys; from undersong_launch import command; sys.exit(command())"
TRAPS = (*PACKAGES, "numba", "numpy", "pickle", "queue", "random", "tests", "tomllib", "undersong_launch")
SINES = 'port = 0\ngenerator = "tests.streaming.sines:open_sines"\n'


def undersong(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """The command as its script starts it, typed in `folder`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", COMMAND, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**child_environment(), **environment}, text=True,
    )  # fmt: skip


@pytest.fixture
def trapped(tmp_path: Path) -> Path:
    """A folder of files with the names of modules; whichever is imported leaves a file named `sprung`."""
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'a').write({name!r} + ' ')\n")
    return tmp_path


def test_a_working_folder_that_is_gone_or_closed_decides_nothing(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    in_gone = f"import os, sys; os.rmdir({str(gone)!r}); from undersong_launch import command; sys.exit(command())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", in_gone, "serve", "--print-config"], cwd=gone, env=child_environment(),
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "port = 8400" in done.stdout, done.stderr


def sprung(folder: Path) -> str:
    return (folder / "sprung").read_text() if (folder / "sprung").exists() else ""


@pytest.mark.parametrize("python_path", [ROOT, ROOT + os.pathsep], ids=["ours", "ours and an empty entry"])
def test_serve_imports_nothing_from_the_working_folder(trapped: Path, python_path: str) -> None:
    """With an empty entry, which means the working folder, Python and what starts with it read modules of the standard
    library from there before we begin; from then on nothing does."""
    if python_path != ROOT:
        for name in set(TRAPS) & sys.stdlib_module_names:
            (trapped / f"{name}.py").unlink()
    (trapped / "undersong.toml").write_text(SINES)
    process = undersong(trapped, "serve", PYTHONPATH=python_path)
    try:
        assert process.stdout is not None
        assert "http://" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert sprung(trapped) == ""


def test_render_imports_nothing_from_the_working_folder(trapped: Path) -> None:
    process = undersong(trapped, "render", "focus", "--seconds", "1", "--out", "x.wav")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert (trapped / "x.wav").exists()
    assert sprung(trapped) == ""


def test_a_child_finds_what_its_parent_finds(tmp_path: Path) -> None:
    """A parent that was given a folder of modules hands it on, in its order; the working folder it does not."""
    given = tmp_path / "given"
    given.mkdir()
    (given / "plugin.py").write_text("def shout(*words):\n    print(*words)\n")
    code = (
        "import subprocess, sys; from undersong_launch import child_command, child_environment;"
        "sys.exit(subprocess.run(child_command('plugin:shout', 'a', 'b'), env=child_environment()).returncode)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(given), ROOT))},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "a b\n"), done.stderr


@pytest.mark.parametrize("name", PACKAGES)
def test_a_namesake_on_the_path_is_one_line_with_its_place_and_the_way_out(tmp_path: Path, name: str) -> None:
    namesake = tmp_path / "site" / name / "__init__.py"
    namesake.parent.mkdir(parents=True)
    namesake.write_text("raise SystemExit('a namesake runs')\n")
    path = os.pathsep.join((str(tmp_path / "site"), ROOT))
    for command in (
        [sys.executable, "-P", "-c", COMMAND, "moods"],
        child_command("streaming.engines.process:main", "0"),
    ):
        done = subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert done.stdout == "" and done.stderr.count("\n") == 1
        assert done.stderr.startswith("undersong: ") and "pipx install undersong" in done.stderr
        assert str(namesake) in done.stderr


def test_a_namesake_installed_over_ours_is_told(tmp_path: Path) -> None:
    shutil.copy(Path(ROOT) / "undersong_launch.py", tmp_path)
    for name in PACKAGES:
        (tmp_path / name).symlink_to(Path(ROOT) / name)
    (tmp_path / "streaming").unlink()
    shutil.copytree(Path(ROOT) / "streaming", tmp_path / "streaming")
    (tmp_path / "streaming" / "__init__.py").write_text("import torch_of_another\n")
    process = undersong(tmp_path.parent, "moods", PYTHONPATH=str(tmp_path))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and err.count("\n") == 1
    assert str(tmp_path / "streaming" / "__init__.py") in err
