"""What a client asks is read once, where it arrives, and a prompt understood once; engines are told what was read."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from engine.config import EngineConfig
from moods import control, fields, opening
from streaming.config import Config
from tests.streaming.conftest import SINES, Running, dial
from tests.streaming.sines import Sines, open_sines
from tests.streaming.test_live import next_event
from tests.streaming.test_sleep import fall_asleep

pytestmark = pytest.mark.slow


def open_sines_that_read_nothing(config: EngineConfig) -> Sines:
    """Runs in the engine process: who reads or understands there, fails, and every control with it."""
    control.parse = opening.parse = fields.resolve_prompt = None
    return open_sines(config)


@pytest.fixture(scope="module")
def server(make_server: Callable[[Config], Running]) -> Running:
    generator = f"{__name__}:open_sines_that_read_nothing"
    return make_server(SINES.model_copy(update={"generator": generator, "snapshot_s": 60.0}))


def test_a_control_is_read_once_whatever_way_it_comes(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    understood: list[str] = []
    parse, resolve = fields.parse, fields.resolve_prompt
    for reader in (control, opening):
        monkeypatch.setattr(reader, "parse", lambda model, obj: read.append(obj) or parse(model, obj))
    monkeypatch.setattr(fields, "resolve_prompt", lambda text: understood.append(text) or resolve(text))
    begun_with = {"prompt": "rainy grommet night", "seed": 1}
    opened = server.http.post("/v1/stations", json=begun_with).json()
    links = opened["links"]
    asked = [{"type": "steer", "set": {"prompt": text}, "id": text} for text in ("sad", "happy", "quux")]
    acks = [server.http.post(links["controls"], json=asked[0]).json()]
    acks += server.http.post(links["controls"], json=asked[1:]).json()
    server.http.patch(links["self"], json={"prompt": "calm", "name": "desk"})
    with dial(server.ws(links["live"])) as live:
        live.send(json.dumps({"type": "steer", "set": {"prompt": "epic"}, "id": "live"}))
        acks.append(next_event(live, "ack"))
    states = [server.http.get(links["self"]).json() for _ in range(3)]
    assert [ack["understood"]["prompt"] for ack in acks] == ["sad", "happy", "quux", "epic"]
    assert [state["understood"]["unknown"] for state in states] == [["grommet"]] * 3
    assert understood == ["rainy grommet night", "sad", "happy", "quux", "calm", "epic"]
    live_control = {"type": "steer", "set": {"prompt": "epic"}, "id": "live"}
    assert read == [begun_with, *asked, {"prompt": "calm", "name": "desk"}, live_control]
    header, *lines = map(json.loads, server.http.get(links["take"]).text.splitlines())
    assert [line["set"]["prompt"] for line in lines] == ["sad", "happy", "quux", "calm", "epic"]
    assert "name" not in lines[3]["set"]


def steer(server: Running, station: dict[str, Any], prompt: str) -> dict[str, Any]:
    return server.http.post(station["links"]["controls"], json={"type": "steer", "set": {"prompt": prompt}}).json()


def test_nor_is_it_read_again_when_an_engine_dies_or_a_station_wakes(server: Running) -> None:
    station = server.http.post("/v1/stations", json={"prompt": "calm", "seed": 1}).json()
    steer(server, station, "sad")
    os.kill(server.engine.pid, signal.SIGKILL)
    assert steer(server, station, "happy")["understood"]["prompt"] == "happy"
    fall_asleep(server, station)
    assert steer(server, station, "epic")["understood"]["prompt"] == "epic"
    os.kill(server.engine.pid, signal.SIGKILL)
    assert steer(server, station, "night")["understood"]["prompt"] == "night"
    lines = [json.loads(line) for line in server.http.get(station["links"]["take"]).text.splitlines()]
    assert [line["set"]["prompt"] for line in lines[1:]] == ["sad", "happy", "epic", "night"]
