"""What operators are told: figures, and what is made of them; refusals for want of time; lines with a request's id."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from streaming import journal
from streaming.doors import DoorState
from streaming.errors import EngineUnavailable, NoHeadroom
from streaming.headroom import Headroom
from streaming.journal import about, begin_request
from tests.streaming.conftest import Running, dial
from tests.streaming.test_engines import wait_until
from tests.streaming.test_sleep import steer

DEPLOY = Path(__file__).parents[2] / "deploy"
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
_OF_PROMETHEUS = {"job", "instance"}


def told(server: Running) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """What /metrics says: values by their labels, by name; nothing under a name without series yet."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {"up": {}}
    for family in text_string_to_metric_families(server.http.get("/metrics").text):
        for suffix in _SUFFIXES[family.type]:
            found[family.name + suffix] = {}
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def queries() -> Iterator[tuple[str, str]]:
    board = json.loads((DEPLOY / "grafana" / "undersong.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for note in board["annotations"]["list"]:
        yield note["name"], note["expr"]
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def asked_of(query: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics of a query, each with the labels that it is chosen and grouped by."""
    query = query.replace("$__rate_interval", "5m").replace("$instance", ".*")
    nodes: list[Any] = []
    promql_parser.walk(promql_parser.parse(query), lambda node: nodes.append(node))
    kinds = promql_parser.AggregateExpr
    grouped = {label for node in nodes if isinstance(node, kinds) and node.modifier for label in node.modifier.labels}
    for node in nodes:
        if isinstance(node, promql_parser.VectorSelector):
            yield node.name, grouped | {matcher.name for matcher in node.matchers.matchers}


def test_dashboard_and_alerts_ask_for_figures_that_there_are(server: Running) -> None:
    station = server.open()
    DoorState("somewhere", server.conductor.metrics).connected()
    server.http.get("/v1/stations/nowhere")
    with dial(server.ws(station["links"]["audio"])) as audio:
        audio.recv(10)
        steer(server, station, 0.2)
        figures = told(server)
    titles = set()
    for title, query in queries():
        titles.add(title)
        for name, labels in asked_of(query):
            assert name in figures, (title, name)
            known = {label for series in figures[name] for label, _ in series}
            assert labels - _OF_PROMETHEUS <= known or not figures[name], (title, name, labels)
    assert len(titles) > 30


def test_every_alert_has_its_place_in_the_handbook() -> None:
    handbook = (DEPLOY.parent / "docs" / "operate.md").read_text()
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert f"### {rule['alert']}\n" in handbook


def test_figures_tell_who_listens_what_waits_and_what_processes_take(server: Running) -> None:
    station = server.open()

    def value(name: str, **labels: str) -> float:
        return told(server)[f"undersong_{name}"].get(tuple(sorted(labels.items())), 0.0)

    with dial(server.ws(station["links"]["audio"])) as audio, dial(server.ws(station["links"]["live"])) as live:
        audio.recv(10), live.recv(10)
        assert value("listeners", transport="websocket") == value("clients") == 1
        assert value("stations_by_state", state="playing") == 1
        assert 5e6 < value("resident_bytes", process="engine-1") < 5e9
        assert 5e6 < value("resident_bytes", process="server") < 5e9
        wait_until(lambda: value("encode_milliseconds_count") > 20)
        assert value("tick_lag_milliseconds_count") > 20
    wait_until(lambda: value("listeners", transport="websocket") == 0)
    (labels,) = told(server)["undersong_build_info"]
    assert {"version", "python", "device", "backend"} == {name for name, _ in labels}


def test_doors_are_listed_with_how_they_fare(server: Running) -> None:
    class Chat:
        name = "chat"
        state = DoorState("chat", server.conductor.metrics)

    server.conductor.doors.append(Chat())
    Chat.state.waiting(ConnectionRefusedError("nobody there"))
    try:
        (door,) = server.http.get("/v1/doors").json()["doors"]
    finally:
        server.conductor.doors.clear()
    assert (door["name"], door["state"], door["error"]) == ("chat", "waiting", "ConnectionRefusedError: nobody there")


def test_ticks_that_are_late_again_and_again_leave_no_room_and_a_moment_of_standstill_does() -> None:
    headroom = Headroom(most_lag_s=0.02)
    for tick in range(250):
        headroom.note(0.5 if tick == 100 else 0.001, now_s=0.02 * tick)
    headroom.check()
    for tick in range(250, 300):
        headroom.note(0.03, now_s=0.02 * tick)
    with pytest.raises(NoHeadroom, match="30 ms late"):
        headroom.check()
    for tick in range(300, 600):  # and it comes back
        headroom.note(0.001, now_s=0.02 * tick)
    headroom.check()


def test_whoever_finds_no_time_left_is_told_what_is_free_and_when_to_come_again(server: Running) -> None:
    station = server.open()
    link = server.engine
    with dial(server.ws(station["links"]["audio"])) as audio:
        audio.recv(10)
        measured, link.station_load = link.station_load, 0.9
        link.load = 0.5
        try:
            answer = server.http.post("/v1/stations", json={})
        finally:
            link.station_load, link.load = measured, 0.0
        assert (answer.status_code, answer.json()["code"]) == (503, EngineUnavailable.code)
        assert answer.json()["needed"] == 0.9 and answer.json()["free"] < 0.5
        assert int(answer.headers["Retry-After"]) > 0

        async def come_late() -> None:
            for _ in range(300):
                server.conductor.headroom.note(0.5, time.monotonic())

        server.call(come_late())
        answer = server.http.get(station["links"]["wav"])
        assert (answer.status_code, answer.json()["code"]) == (503, NoHeadroom.code)
        assert answer.json()["lag_ms"] > answer.json()["limit"]
        server.conductor.headroom._lags_s.clear()


def test_a_request_and_all_its_lines_have_one_id(server: Running) -> None:
    given = {"X-Request-Id": "proxy-7"}
    assert server.http.get("/v1/stations/nowhere", headers=given).headers["X-Request-Id"] == "proxy-7"
    strange = server.http.get("/healthz", headers={"X-Request-Id": "a b"}).headers["X-Request-Id"]
    assert len(strange) == 12 and server.http.get("/healthz").headers["X-Request-Id"] != strange


async def test_a_line_names_the_request_that_it_is_due_to() -> None:
    record = logging.LogRecord("streaming", logging.INFO, "", 0, "station opened", (), None)
    vars(record).update(about(station="4f21"))
    assert "request" not in json.loads(journal.Json().format(record))
    begin_request("7c1d")
    assert journal.Text().format(record).endswith("station opened station=4f21 request=7c1d")
    assert json.loads(journal.Json().format(record))["request"] == "7c1d"
