"""The Unity package: its C# is read by a parser everywhere, and where there is Mono, compiled and run without Unity."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Wire

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "clients" / "unity"
HERE = Path(__file__).parent / "unity"
SOURCES = sorted(PACKAGE.rglob("*.cs"))
NEWTONSOFT = Path("/usr/lib/cli/Newtonsoft.Json-5.0/Newtonsoft.Json.dll")


def test_every_file_is_c_sharp_and_the_manifest_names_what_it_needs() -> None:
    tree_sitter = pytest.importorskip("tree_sitter")
    language = tree_sitter.Language(pytest.importorskip("tree_sitter_c_sharp").language())
    assert len(SOURCES) >= 5
    for file in SOURCES:
        assert not tree_sitter.Parser(language).parse(file.read_bytes()).root_node.has_error, file
    manifest = json.loads((PACKAGE / "package.json").read_text())
    assert "com.unity.nuget.newtonsoft-json" in manifest["dependencies"]
    assert all((PACKAGE / sample["path"]).is_dir() for sample in manifest["samples"])
    json.loads((PACKAGE / "Runtime" / "Undersong.asmdef").read_text())


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, stand-ins for Unity's names, and a main that reads as a sound card does; a warning is an error."""
    if shutil.which("mcs") is None or not NEWTONSOFT.exists():
        pytest.skip("no Mono with Newtonsoft.Json: apt-get install mono-mcs libnewtonsoft-json5.0-cil")
    folder = tmp_path_factory.mktemp("unity")
    shutil.copy(NEWTONSOFT, folder)
    inspector = "-nowarn:0649,0169,0414"  # fields that Unity's inspector sets
    subprocess.run(
        ["mcs", "-langversion:7", "-warnaserror", inspector, f"-out:{folder}/check.exe", f"-r:{NEWTONSOFT}",
         "-r:System.Net.Http.dll", *map(str, sorted(HERE.glob("*.cs"))), *map(str, SOURCES)],
        check=True, timeout=120,
    )  # fmt: skip
    return folder / "check.exe"


@pytest.mark.slow
def test_it_plays_follows_and_bridges_a_cut(program: Path, wire: Wire) -> None:
    command = ["mono", str(program), wire.address, "unity", "14", ""]
    told: list[dict[str, Any]] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(json.loads(line))
            kinds = [each["type"] for each in told]
            if kinds.count("beat") == 12 and "gone" not in kinds:
                wire.cut()
            elif kinds.count("gone") == 1 and kinds.count("back") == 1 and kinds[-1] == "gone":
                threading.Timer(3, wire.mend).start()
    kinds = [each["type"] for each in told]
    assert [kind for kind in kinds if kind in ("gone", "back")] == ["back", "gone", "back"]
    beats = [each for each in told if each["type"] == "beat"]
    assert sum(beat["is_bridging"] for beat in beats) >= 8, "beats go on through the bed"
    assert not beats[-1]["is_bridging"]
    numbers = [4 * beat["bar"] + beat["beat"] for beat in beats]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert told[-1]["longest_silence_s"] < 0.05
    assert told[-1]["largest_step"] < 0.1, "and no click"
