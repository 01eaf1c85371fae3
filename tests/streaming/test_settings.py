"""Settings come from a file, the environment and the command line, and all that is wrong with them is told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from streaming.cli import main
from streaming.config import Config
from streaming.errors import BadConfig
from streaming.settings import load_config, setting_variables, strange_variables
from streaming.table import read_secret
from streaming.transports.turn import logged_in


def written(folder: Path, text: str) -> Path:
    path = folder / "undersong.toml"
    path.write_text(text)
    return path


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    path = written(tmp_path, 'host = "::1"\nport = 1\nmax_stations = 1\n[osc]\nport = 1\n')
    environment = {"UNDERSONG_PORT": "2", "UNDERSONG_MAX_STATIONS": "2", "UNDERSONG_OSC__PORT": "2"}
    config = load_config(path, {"port": 3}, environment)
    assert (config.host, config.port, config.max_stations, config.osc.port) == ("::1", 3, 2, 2)
    named = {"UNDERSONG_CONFIG": str(path)}
    assert load_config(None, {}, named).host == "::1"
    assert load_config(written(tmp_path, "port = 7"), {}, {}).port == 7


def test_every_setting_has_a_variable_that_takes_what_the_file_takes() -> None:
    text = Config(port=9001, webhook_hosts=("a.example",), ice_servers=("stun:192.0.2.1",)).to_toml()
    settings, table = [], ""
    for line in text.splitlines():
        if line.startswith("["):
            table = f"{line.strip('[]')}__"
        elif line[:1].isalpha():
            name, _, value = line.partition(" = ")
            settings.append((table + name, value))
    environment = {f"UNDERSONG_{name.upper()}": json.loads(value) if value.startswith('"') else value
                   for name, value in settings}  # fmt: skip
    assert set(environment) == set(setting_variables())
    assert load_config(None, {}, environment).to_toml() == text


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("UNDERSONG_PORT", "many", ["UNDERSONG_PORT", "many", "whole number"]),
        ("UNDERSONG_LOG_JSON", "yes", ["UNDERSONG_LOG_JSON", "yes", "true or false"]),
        ("UNDERSONG_OSC__HOST__", "x", ["UNDERSONG_OSC__HOST__", "nearest: UNDERSONG_OSC__HOST"]),
        ("UNDERSONG_MAX_STATION", "3", ["UNDERSONG_MAX_STATION", "nearest: UNDERSONG_MAX_STATIONS"]),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert main(["serve", "--check-config"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words)


def test_a_variable_that_is_no_setting_stops_no_server() -> None:
    environment = {"UNDERSONG_TOKEN": "x", "HOME": "/"}
    assert load_config(None, {}, environment) == Config()
    assert len(strange_variables(environment)) == 1


def test_all_that_is_wrong_is_told_at_once_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, """# ours
prot = 1
lead_ms = "soon"
themes = {}
webhook_hosts = [
    "a.example",
]
max_stations = 0

[osc]
port = -1
hots = "::1"
""")  # fmt: skip
    assert main(["serve", "--config", str(path), "--check-config"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 5
    for line, words in [(2, "nearest: port"), (3, "a number"), (8, "1 … 100000"), (11, "65535"), (12, "nearest: host")]:
        assert any(f"line {line}: " in each and words in each for each in told), (line, told)


def test_files_that_settings_name_are_looked_into_and_none_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    settings = f'secret_file = "{secret}"\n'
    assert main(["serve", "--config", str(written(tmp_path, settings)), "--check-config"]) == 0
    assert not secret.exists()
    secret.write_text("short")
    assert main(["serve", "--config", str(written(tmp_path, settings)), "--check-config"]) == 2
    assert "secret_file" in capsys.readouterr().err
    settings = 'tls_cert = "/no/such.pem"\ntls_key = "/no/such.key"\n'
    assert main(["serve", "--config", str(written(tmp_path, settings)), "--check-config"]) == 2
    assert "tls_cert is /no/such.pem" in capsys.readouterr().err


def test_a_secret_that_cannot_be_one_is_not_told(tmp_path: Path) -> None:
    text = """lyria_keys = ["ge heim"]
webhook_secret = "ge\u00a0heim"
ice_servers = [{ url = "turn:host", username = "u", credential = "ge\u00a0heim" }]
[twitch]
token = "ge heim"
[[push]]
station = "main"
to = "icecast://host/mount"
password = "ge\u00a0heim"
"""
    with pytest.raises(BadConfig) as error:
        load_config(written(tmp_path, text), {}, {})
    told = [str(each) for each in (error.value, *error.value.others)]
    assert len(told) == 5 and all("ASCII" in each and "heim" not in each for each in told), told


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[open]]\nname = "main"\n[[open]]\nmood = "night"\n', ["line 3", "table 2 of open", "name"]),
        ('[[open]]\nname = "main"\n[[open]]\nname = "main"\n', ["line 3", "main", "of its own"]),
        ('[[open]]\nname = "main"\nenergy = 3\n', ["line 1", "energy is 3", "0 … 1"]),
        ('[[open]]\nname = "a b"\n', ["a b", "letters"]),
        ('[[open]]\nname = "main"\n[open.timeline]\nduration = 9\n', ["timeline"]),
        ('max_stations = 1\n[[open]]\nname = "a"\n[[open]]\nname = "b"\n', ["line 4", "max_stations"]),
        ('open = "main"\n', ["line 1", "[[open]]"]),
        ('[chat]\nstation = "a b"\n', ["line 2", "chat.station", "a b", "A-Za-z0-9_-"]),
        ('webhook_secret_file = "/no/such"\n', ["line 1", "/no/such", "cannot be read"]),
        ('[[ice_servers]]\nurl = "turn:host"\nsecret_file = "/no/such"\n', ["line 1", "/no/such", "cannot be read"]),
    ],
)
def test_wrong_tables_are_named(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(BadConfig) as error:
        load_config(written(tmp_path, text), {}, {})
    assert all(word in str(error.value) for word in words), str(error.value)


def test_a_secret_may_lie_in_a_file_and_is_printed_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame\n")
    turn = {"url": "turn:192.0.2.1:3478", "secret_file": str(secret)}
    config = Config(webhook_secret_file=str(secret), ice_servers=(turn, "stun:192.0.2.1"))
    assert config.webhook_key == "sesame" and "sesame" not in config.to_toml()
    with pytest.raises(BadConfig, match="empty"):
        read_secret("/dev/null", "webhook_secret_file")


def test_each_session_has_a_login_of_its_own_as_coturn_checks_it(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("north")
    servers = Config(ice_servers=({"url": "turn:192.0.2.1:3478", "secret_file": str(secret)},)).ice_servers
    (one,) = logged_in(servers, "08c41f2a", now_s=1_800_000_000)
    # printf 1800086400:08c41f2a | openssl dgst -sha1 -hmac north -binary | base64
    assert (one.username, one.credential) == ("1800086400:08c41f2a", "i9K31p5/eJ0l7XGHEalUMGVAaK0=")
    assert logged_in(servers, "08c41f2b", now_s=1_800_000_000)[0].credential != one.credential
