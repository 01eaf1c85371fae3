"""What the README shows runs: its blocks marked `<!-- run -->`, against a real server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page

from benchmarks.harness import Server
from moods.opening import parse_opening
from moods.timeline import parse_timeline

pytestmark = pytest.mark.slow

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCKS = re.findall(r"<!-- run -->\n```(\w+)\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
COMMANDS = {"bash": ["bash", "-euc"], "python": [sys.executable, "-c"]}


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=[language for language, _ in BLOCKS])
def test_the_example_runs(language: str, code: str, server: Server, tmp_path: Path, page: Page) -> None:
    code = code.replace("127.0.0.1:8400", server.url.removeprefix("http://"))
    if language == "js":
        page.goto(server.url)
        page.evaluate(f"async () => {{ {code} }}")
        return
    done = subprocess.run([*COMMANDS[language], code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if language == "bash":
        assert (tmp_path / "night.wav").stat().st_size > 2 * 48_000 * 2  # at least one second arrived


def test_the_timeline_and_the_game_are_what_they_are_called() -> None:
    timeline, game = map(json.loads, re.findall(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL))
    assert {anchor.kind for anchor in parse_timeline(timeline).plan.anchors} == {"section", "hit", "cut", "end"}
    assert parse_opening(game).matrix.passage("explore", "combat").how == "cut"


def test_there_is_an_example_in_every_language() -> None:
    assert [language for language, _ in BLOCKS] == ["bash", "python", "js"]
