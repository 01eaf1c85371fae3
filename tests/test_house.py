"""The house stands: rooms import one way only, heavy things stay where they belong, the wheel holds all it needs."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {"moods": {"moods"}, "engine": {"moods", "engine"}, "streaming": {"moods", "engine", "streaming"}}
ONLY_IN = {
    "torch": ("engine",),
    "sounddevice": ("streaming/transports/device.py",),
    "aiortc": ("streaming/transports", "streaming/session.py"),
}
SHIPPED = (".toml", ".json", ".safetensors", ".html", ".css", ".js", ".ts", ".svg")


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def modules(file: Path) -> set[str]:
    """Modules that `file` imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imports(file: Path) -> set[str]:
    """Top-level packages that `file` imports anywhere."""
    return {module.split(".")[0] for module in modules(file)}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_downstream(room: str) -> None:
    rooms = {*MAY_IMPORT, "tests", "benchmarks"}
    for file in sources(room):
        assert imports(file) & rooms <= MAY_IMPORT[room], file


@pytest.mark.parametrize("part, other", [("score", "synth"), ("synth", "score")])
def test_score_and_synth_do_not_know_each_other(part: str, other: str) -> None:
    for file in sources(f"engine/{part}"):
        assert not [module for module in modules(file) if module.startswith(f"engine.{other}")], file


@pytest.mark.parametrize("library", ONLY_IN)
def test_heavy_libraries_are_imported_in_one_place(library: str) -> None:
    for file in [file for room in MAY_IMPORT for file in sources(room)]:
        if library in imports(file):
            assert file.relative_to(ROOT).as_posix().startswith(ONLY_IN[library]), file


def test_training_is_imported_by_no_other_room() -> None:
    for file in [file for room in MAY_IMPORT for file in sources(room) if "training" not in file.parts]:
        assert "engine.training" not in file.read_text(encoding="utf-8"), file


def test_the_sample_rate_has_one_home() -> None:
    """48000 is written in engine/audio.py, and in moods/clock.py, which may not import it."""
    homes = {ROOT / "engine" / "audio.py", ROOT / "moods" / "clock.py"}
    for file in [file for room in MAY_IMPORT for file in sources(room) if file not in homes]:
        numbers = [
            node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
        ]
        assert not [node for node in numbers if node.value == 48_000 and type(node.value) is int], file


def test_every_requirement_is_pinned_in_the_constraints() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    pinned = set(re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    assert {re.match(r"[\w-]+", name)[0] for name in wanted} - {"undersong"} <= pinned


def test_what_takes_a_browser_or_a_card_is_not_in_the_quick_tier() -> None:
    """`-m "not slow"` leaves it out, and every mark that is promised is there."""
    marks = set()
    for file in sources("tests"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        of_file = [statement.value for statement in tree.body if isinstance(statement, ast.Assign)]
        for test in [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"]:
            own = {ast.unparse(node).removeprefix("pytest.mark.") for node in [*of_file, *test.decorator_list]}
            marks |= own
            fixtures = {argument.arg for argument in test.args.args}
            assert "slow" in own or not fixtures & {"page", "card_work"}, f"{file}: {test.name}"
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    assert {mark.split(":")[0] for mark in options["markers"]} <= marks


def test_processes_of_ours_are_started_in_one_way() -> None:
    """Another way would look for modules in the working folder, or would not find what the parent finds."""
    for file in [file for room in MAY_IMPORT for file in sources(room)]:
        assert "sys.executable" not in file.read_text(encoding="utf-8"), file


@pytest.mark.parametrize("program", ["moods", "engine", "streaming"])
def test_every_room_runs_alone(program: str) -> None:
    done = subprocess.run([sys.executable, "-m", program, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_the_wheel_holds_all_that_the_rooms_read_and_no_training(tmp_path: Path) -> None:
    source = tmp_path / "source"  # setuptools leaves its build folder where it works
    for room in MAY_IMPORT:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in [*ROOT.glob("*.toml"), *ROOT.glob("*.md"), *ROOT.glob("*.py"), ROOT / "LICENSE", *ROOT.glob("NOTICE")]:
        shutil.copy(file, source)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(source)], check=True)
    (wheel,) = tmp_path.glob("undersong-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    files = [file for room in MAY_IMPORT for file in (source / room).rglob("*") if file.suffix in (".py", *SHIPPED)]
    read = {file.relative_to(source).as_posix() for file in files if "training" not in file.parts}
    assert {name for name in held if not name.startswith("undersong-")} == {*read, "undersong_launch.py"}
    assert {name.split("/")[0] for name in held} == {*MAY_IMPORT, "undersong_launch.py", "undersong-0.1.0.dist-info"}
