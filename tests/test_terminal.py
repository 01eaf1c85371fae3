"""The command speaks to any terminal: text that it cannot show is escaped, what cannot be printed is an error."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streaming.cli import main

TERMINALS = {
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}


def undersong(words: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a line of the shell in which `undersong` is the command."""
    function = f'undersong() {{ "{sys.executable}" -m streaming.cli "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", function + words], env=os.environ | (environment or {}), capture_output=True, encoding="latin-1"
    )


@pytest.mark.parametrize("terminal", TERMINALS)
def test_words_of_another_script_are_understood_and_printed_escaped(terminal: str) -> None:
    plain = undersong("undersong moods --explain '雨天 😢'", TERMINALS[terminal])
    assert plain.returncode == 0 and plain.stderr == ""
    assert r"prompt      \u96e8\u5929 \U0001f622" in plain.stdout
    told = undersong("undersong moods --explain '雨天 😢' --json", TERMINALS[terminal])
    assert json.loads(told.stdout)["prompt"] == "雨天 😢"


@pytest.mark.parametrize("words", ["moods", "moods --json", "--help", "render --help", "moods --explain 'é雨'"])
def test_every_answer_can_be_printed_in_ascii(words: str) -> None:
    done = undersong(f"undersong {words}", TERMINALS["ascii"])
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.isascii() and "json" not in words or json.loads(done.stdout)


def test_a_mistake_in_another_script_is_one_line() -> None:
    done = undersong("undersong render --out 音.xyz; undersong 雨", TERMINALS["ascii"])
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 2 and done.stderr.isascii() and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["音乐.wav", "bad\udcff.wav", "two\nlines\x1b[31m.wav"])
def test_a_file_of_any_name_is_reported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="latin-1"))
    words = ["render", "雨天", "--seconds", "1", "--seed", "1", "--out", str(tmp_path / name)]
    assert main([*words, "--json"]) == 0
    assert json.loads(printed.getvalue())["out"] == str(tmp_path / name)
    assert (tmp_path / name).exists()
    printed.truncate(0)
    assert main(words) == 0
    assert printed.getvalue().count(b"\n") == 1 and b"\x1b" not in printed.getvalue()


@pytest.mark.parametrize("words", ["moods", "moods --json", "--help", "--version", "models list"])
@pytest.mark.parametrize("place", [">&-", "> /dev/full"])
def test_an_answer_that_is_lost_is_an_error(words: str, place: str) -> None:
    done = undersong(f"undersong {words} {place}")
    assert done.returncode == 1
    assert done.stderr.startswith("undersong: standard output cannot be written: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("place", ["2>&-", "2> /dev/full"])
def test_a_lost_complaint_keeps_its_status(place: str) -> None:
    done = undersong(f"undersong frobnicate {place}")
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    done = undersong("undersong moods | head -n 1; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("mood")
