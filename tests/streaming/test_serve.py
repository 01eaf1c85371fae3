"""The server process: what it says when it cannot start, and what it leaves behind when it ends."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from moods.opening import parse_opening
from streaming import journal
from streaming.access import Access
from streaming.config import Config
from streaming.errors import BadConfig
from streaming.journal import about
from streaming.server import admin_token, greeting
from streaming.settings import load_config

SERVE = "import sys; from streaming import config, server; sys.exit(server.serve(config.Config({})))"


@contextmanager
def serving(settings: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVE.format(settings)]
    quiet = os.environ | {"PYTHONASYNCIODEBUG": ""}  # whose warnings of a loaded machine are not the server's words
    process = subprocess.Popen(command, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def engine_of(process: subprocess.Popen[str]) -> int:
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def has_ended(pid: int) -> bool:
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
            return True
        time.sleep(0.05)
    return False


def folders_of(process: subprocess.Popen[str]) -> set[Path]:
    """What the server has made for rings and for stations that sleep."""
    places = Path("/dev/shm"), Path(tempfile.gettempdir())
    return {folder for place in places for folder in place.glob(f"undersong-{process.pid}-*")}


@pytest.mark.slow
def test_broken_checkpoint_is_one_line_and_status_1_before_listening() -> None:
    with serving("port=0, generator='tests.streaming.sines:open_broken'") as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert out == ""
    assert "sha256 bb" in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.slow
def test_port_in_use_is_one_line_and_status_1() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with serving(f"port={other.getsockname()[1]}, generator='tests.streaming.sines:open_sines'") as process:
            out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(err.strip().splitlines()) == 1
    assert "--port" in err


@pytest.mark.slow
def test_an_engine_started_ahead_of_a_server_that_cannot_listen_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "undersong.toml").write_text("generator = 'tests.streaming.sines:open_sines'")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        command = [sys.executable, "-m", "streaming.cli", "serve", "--port", str(other.getsockname()[1])]
        command += ["--config", str(tmp_path / "undersong.toml")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "--port" in err and "Traceback" not in err
    assert not folders_of(process)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(how: signal.Signals) -> None:
    with serving("port=0, generator='tests.streaming.sines:open_sines'") as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[3]
        station = httpx.post(address + "v1/stations", json={}, timeout=60).json()
        engine = engine_of(process)
        assert len(folders_of(process)) >= 2
        with httpx.stream("GET", address.rstrip("/") + station["links"]["wav"]) as listening:
            next(listening.iter_bytes())
            os.kill(process.pid, how)
            process.wait(20)
        err = process.stderr.read() if process.stderr else ""
    if how is not signal.SIGKILL:
        assert process.returncode == 0
        assert "Traceback" not in err and "error:" not in err and "warning:" not in err
    assert has_ended(engine)
    for _ in range(100):
        if not folders_of(process):
            break
        time.sleep(0.05)
    assert not folders_of(process)


@pytest.mark.slow
def test_whoever_runs_it_reads_what_happens_as_lines_of_json() -> None:
    with serving("port=0, generator='tests.streaming.sines:open_sines', log_json=True") as process:
        assert process.stdout is not None and process.stderr is not None
        address = process.stdout.readline().split()[3]
        station = httpx.post(address + "v1/stations", json={"prompt": "calm\npiano", "seed": 7}, timeout=60).json()
        httpx.post(address + "v1/stations", json={"energy": 7}, timeout=60)
        httpx.post(f"{address}v1/stations/{station['id']}/controls", json=[{"type": "dance"}], timeout=60)
        with httpx.stream("GET", address.rstrip("/") + station["links"]["wav"]) as listening:
            next(listening.iter_bytes())
        httpx.delete(f"{address}v1/stations/{station['id']}")
        process.send_signal(signal.SIGTERM)
        lines = [json.loads(line) for line in process.stderr]
    told = [line["event"] for line in lines]
    expected = ["server started", "station opened", "request refused", "control refused", "session began"]
    assert told[:5] == expected and sorted(told[5:-1]) == ["session ended", "station closed"]
    assert told[-1] == "server ended"
    assert lines[1]["station"] == station["id"] and lines[1]["prompt"] == "calm\npiano" and lines[1]["seed"] == 7
    assert lines[2]["status"] == 422 and "energy" in lines[2]["detail"]


def test_no_client_writes_lines_of_its_own_into_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.LogRecord("streaming", logging.WARNING, "", 0, "request refused", (), None)
    vars(record).update(about(path="/x\n2026 undersong: all is well", client="192.0.2.7", name='"', code=None))
    vars(record)["about"] |= {"detail": "\x9b2J\u2028"}
    line = journal.Text().format(record)
    assert len(line.splitlines()) == 1
    assert 'warning: request refused path="/x\\n2026 undersong' in line and line.endswith(
        'name="\\"" detail="\\u009b2J\\u2028"'
    )


@pytest.mark.parametrize(("host", "here"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_server_for_this_machine_alone_gives_one_address(host: str, here: str) -> None:
    assert greeting(host, 80, Config(host=host)) == f"Undersong plays at http://{here}:80/ (Ctrl-C ends it)"


@pytest.mark.parametrize(("host", "here"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("192.0.2.7", "192.0.2.7")])
def test_a_server_for_others_says_who_can_steer_it(host: str, here: str) -> None:
    config = Config(host=host, public_url="https://example.org/music", tokens="never")
    first, *others = greeting(host, 80, config).splitlines()
    assert f"http://{here}:80/" in first
    assert "0.0.0.0" not in "".join(others) and "127.0.0.1" not in "".join(others)
    assert "https://example.org/music/" in others[-2] and "Whoever" in others[-1] and "steer" in others[-1]
    asking = config.model_copy(update={"tokens": "auto"})
    *_, last = greeting(host, 80, asking, token="a.b.c").splitlines()
    assert "steer without a token" in last and last.endswith(" https://example.org/music/?token=a.b.c")
    *_, last = greeting(host, 80, asking, token="").splitlines()
    assert "steer without a token" in last and "undersong token" in last and "?token=" not in last


def test_a_token_is_told_to_who_looks_on_and_to_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, forgotten = FastAPI(), FastAPI()
    kept.state.access = Access(Config(host="0.0.0.0", stations=str(tmp_path / "stations")))
    forgotten.state.access = Access(Config(host="0.0.0.0", stations=""))
    monkeypatch.setattr("sys.stdout.isatty", lambda: False)
    assert admin_token(kept) == ""
    assert admin_token(forgotten), "there is no other way to one"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert admin_token(kept)


@pytest.mark.slow
def test_front_process_imports_no_heavy_library() -> None:
    code = "import sys, streaming.server; sys.exit(bool({'torch', 'numba', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1", ["prot", "port"]),
        ("port = 70000", ["port", "70000", "65535"]),
        ("lead_ms = 'soon'", ["lead_ms", "soon"]),
        ("port = [", ["undersong.toml"]),
        ("ice_servers = 3", ["ice_servers", "3", "list"]),
        ("ice_servers = [3]", ["ice_servers", "3", "stun:"]),
        ("host = 1", ["host", "1", "text"]),
        ("device = []", ["device", "[]", "cpu"]),
        ("backend = true", ["backend", "true", "score"]),
        ("generator = 'os'", ["generator", '"os"', "module:function"]),
        ("max_stations = 1.5", ["max_stations", "1.5", "whole"]),
        ("port = 2020-01-01", ["port", "2020", "whole"]),
        ('ice_servers = ["http://x"]', ["ice_servers", "http://x", "stun:"]),
        ('ice_servers = ["turn:u:p@host"]', ["ice_servers", "turn:u:p@host", "username"]),
        ('ice_servers = ["turn:host"]', ["turn:host", "credential"]),
        ('ice_servers = [{ url = "turn:host", username = "u", credential = "\u043f" }]', ["credential", "ASCII"]),
        ('ice_servers = [{ url = "turn:host", username = "u\\nX", credential = "p" }]', ["username", "ASCII"]),
        ('ice_servers = [{ url = "stun:host", user = "u" }]', ["ice_servers", "user", "username"]),
        ('public_url = "example.org/music"', ["public_url", "example.org", "http"]),
        ('log_level = "loud"', ["log_level", "loud", "warning"]),
        ("[states.combat]\nenergy = 3", ["states.combat", "energy is 3", "0 … 1"]),
        ('initial = "combt"\n[states.combat]', ["combt", "nearest: combat"]),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "undersong.toml"
    path.write_text(text)
    with pytest.raises(BadConfig) as error:
        load_config(path)
    assert all(word in str(error.value) for word in words)


def test_settings_are_read_and_given_ones_win(tmp_path: Path) -> None:
    path = tmp_path / "undersong.toml"
    path.write_text('port = 9000\nlead_ms = 40\nice_servers = ["stun:192.0.2.1"]')
    config = load_config(path, {"port": 9001})
    assert config == Config(port=9001, lead_ms=40, ice_servers=["stun:192.0.2.1"])
    with pytest.raises(BadConfig, match="missing"):
        load_config(tmp_path / "missing.toml")


def test_settings_saved_by_another_system_are_read_or_named(tmp_path: Path) -> None:
    path = tmp_path / "undersong.toml"
    path.write_text("port = 9000\r\n", encoding="utf-8-sig")
    assert load_config(path).port == 9000
    path.write_text("port = 9000", encoding="utf-16")
    with pytest.raises(BadConfig, match="save it as UTF-8"):
        load_config(path)


def test_a_station_without_states_gets_those_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "undersong.toml"
    path.write_text('initial = "explore"\n[states.explore]\nmood = "night"\n[states."boss fight"]\nmood = "epic"')
    config = load_config(path)
    opened = parse_opening(config.furnished({"seed": 7}))
    assert (opened.seed, opened.initial, [*opened.states]) == (7, "explore", ["explore", "boss fight"])
    assert parse_opening(config.furnished({"mood": "focus"})).initial is None
    assert not parse_opening(config.furnished({"states": {}})).states
    assert not parse_opening(config.furnished({"timeline": {"duration": 9}})).states
    wandering = Config(autopilot={"drift": 0.2}, states={"a": {}})
    assert wandering.furnished({"states": {}}) == {"autopilot": {"drift": 0.2}, "states": {}}
    assert parse_opening(wandering.furnished({"autopilot": None})).autopilot is None
    assert parse_opening(wandering.furnished({"timeline": {"duration": 9}})).autopilot is None
    with pytest.raises(BadConfig, match="drift is 3"):
        Config(autopilot={"drift": 3})
    path.write_text(config.to_toml(), encoding="utf-8")
    assert load_config(path) == config


def test_printed_settings_are_the_settings_and_say_what_they_mean(tmp_path: Path) -> None:
    turn = {"url": "turn:192.0.2.1:3478?transport=tcp", "username": 'a"b', "credential": "c\\d"}
    config = Config(port=9001, host="::", ice_servers=["stun:192.0.2.1", turn], public_url="https://example.org/music/")
    path = tmp_path / "undersong.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert load_config(path) == config
    tables = {name: type(table) for name, table in config if isinstance(table, BaseModel)}
    expected = [f"{name} = " for name in Config.model_fields if name not in tables]
    for name, table in tables.items():
        expected += [f"[{name}]", *(f"{each} = " for each in table.model_fields)]
    for begin, paragraph in zip(expected, config.to_toml().split("\n\n"), strict=True):
        comment, _, setting = paragraph.rpartition("# ")[2].partition("\n")
        assert comment and setting.startswith(begin)
