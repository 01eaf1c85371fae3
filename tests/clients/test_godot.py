"""The Godot add-on: read by a parser of GDScript and held to its style. See clients/README.md for what was run."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "clients" / "godot"
SCRIPTS = sorted(ROOT.rglob("*.gd"))


@pytest.mark.filterwarnings("default")
def test_every_script_parses_and_is_clean() -> None:
    parser = pytest.importorskip("gdtoolkit.parser").parser
    linter = pytest.importorskip("gdtoolkit.linter")
    assert len(SCRIPTS) >= 4
    for script in SCRIPTS:
        code = script.read_text()
        parser.parse(code)
        assert not linter.lint_code(code), script


def test_what_the_scene_and_the_plugin_name_is_there() -> None:
    paths = re.findall(
        r"res://([\w./]+)", (ROOT / "demo" / "demo.tscn").read_text() + (ROOT / "project.godot").read_text()
    )
    assert len(paths) >= 4 and all((ROOT / path).is_file() for path in paths)
    plugin = configparser.ConfigParser()
    plugin.read(ROOT / "addons" / "undersong" / "plugin.cfg")
    assert (ROOT / "addons" / "undersong" / plugin["plugin"]["script"].strip('"')).is_file()
    demo = (ROOT / "demo" / "demo.tscn").read_text()
    for name in re.findall(r"\$([\w/]+)", (ROOT / "demo" / "demo.gd").read_text()):
        assert f'[node name="{name.rpartition("/")[2]}"' in demo, name
