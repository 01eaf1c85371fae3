"""What `pip install undersong` brings is enough: a station on the CPU needs nothing else, and says so where it does."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

from undersong_launch import PACKAGES, ROOT

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-P", "-c", "import sys; from undersong_launch import command; sys.exit(command())"]
BLOCKER = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def brought_along(requirements: list[str]) -> set[str]:
    """Names of the distributions that pip installs for `requirements`, extras left out."""
    found: set[str] = set()
    open_ones = list(requirements)
    while open_ones:
        line = open_ones.pop()
        name = normal(re.match(r"[\w.-]+", line)[0])
        if "extra ==" in line or name in found:
            continue
        found.add(name)
        try:
            open_ones += requires(name) or []
        except PackageNotFoundError:  # for another platform or Python
            found.discard(name)
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which Python, in every process, finds nothing but what the base dependencies bring."""
    project = tomllib.loads((Path(ROOT) / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    brought = brought_along(project["dependencies"])
    assert {"numpy", "llvmlite", "aioice"} <= brought
    absent = {
        module
        for module, owners in packages_distributions().items()
        if module not in (*PACKAGES, "undersong_launch") and not {normal(owner) for owner in owners} & brought
    }
    assert {"torch", "scipy", "numba_cuda", "playwright"} <= absent
    folder = tmp_path_factory.mktemp("bare")
    (folder / "sitecustomize.py").write_text(BLOCKER.format(absent=absent))
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), ROOT))}


def test_render_needs_the_base_dependencies_alone(bare: dict[str, str], tmp_path: Path) -> None:
    command = [*COMMAND, "render", "focus", "--seconds", "1", "--out", "x.flac"]
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.flac").stat().st_size > 10_000


def test_serve_needs_the_base_dependencies_alone(bare: dict[str, str], tmp_path: Path) -> None:
    command = [*COMMAND, "serve", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, env=bare, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert "http://" in process.stdout.readline()
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


@pytest.mark.parametrize(
    "words",
    [("render", "focus", "--out", "x.wav", "--device", "cuda"), ("serve",)],
    ids=["by a word", "by a setting"],
)
def test_a_card_without_its_libraries_is_one_line_with_the_way_out(
    bare: dict[str, str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "undersong.toml").write_text('port = 0\ndevice = "cuda"\n')
    done = subprocess.run([*COMMAND, *words], cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert 'pip install "undersong[gpu]"' in done.stderr and "--device cpu" in done.stderr


def test_make_adds_the_libraries_of_a_card_where_it_finds_one_and_says_so(tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(Path(ROOT) / name, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "nvidia-smi").write_text("#!/bin/sh\necho 'GPU 0: a card (UUID: GPU-0)'\n")
    (tools / "nvidia-smi").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}

    def planned(*words: str) -> str:
        command = ["make", "--dry-run", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout

    assert "-e '.[gpu]'" in planned("serve") and "NVIDIA card" in planned("serve")
    assert "[gpu]" not in planned("serve", "GPU=no") and "-e ." in planned("serve", "GPU=no")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for stamp in ("bin/python", ".ready-run", ".ready-gpu"):
        (tmp_path / ".venv" / stamp).touch()
    assert "pip install" not in planned("serve")
