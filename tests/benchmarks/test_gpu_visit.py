"""A visit to a card goes through all its stages, and tells in a line each what became of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu_visit, lines
from benchmarks.gpu_visit import STAGES, Stage, main, stage


def says(code: str, limit_s: float = 60) -> Stage:
    return Stage("tests", [sys.executable, "-c", code], limit_s)


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lines, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(gpu_visit, "TRAINING", tmp_path / "runs")
    return tmp_path / "results" / "gpu_visit.jsonl"


def test_without_a_card_it_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(gpu_visit, "has_card", lambda: False)
    assert main([]) == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1 and "NVIDIA" in told.err


def test_what_fails_is_told_and_the_others_run(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {
        "installation": Stage("installation", ["/nowhere/make"], 60),
        "tests": says("print('no card'); raise SystemExit(3)"),
        "stations": says("print('warm'); print('{\"stations\": 250}')"),
        "training": says("import time; time.sleep(60)", limit_s=0.2),
    }
    monkeypatch.setattr(gpu_visit, "has_card", lambda: True)
    monkeypatch.setattr(gpu_visit, "stage", lambda name, *_: asked[name])
    assert main([]) == 1
    kept = [json.loads(line) for line in results.read_text().splitlines()]
    assert len(kept) == len(STAGES)
    assert "No such file" in kept[0]["failed"]
    assert (kept[1]["failed"], kept[1]["said"]) == ("exit 3", "no card")
    assert kept[2]["found"] == {"stations": 250} and "failed" not in kept[2]
    assert kept[3]["failed"] == "not over after 0.2 s"


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_has_a_program(name: str) -> None:
    command = list(stage(name, Path("pieces.npz"), 8, is_rehearsal=False).command)
    assert command[0] == "make" or Path(command[2].replace(".", "/") + ".py").exists() or command[2] == "pytest"


def test_it_needs_python_alone() -> None:
    """What tells that nothing could be installed cannot need what was to be installed."""
    asked = [sys.executable, "-S", "-m", "benchmarks.gpu_visit", "--help"]
    done = subprocess.run(asked, cwd=lines.ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--minutes" in done.stdout, done.stderr
