"""The interface is as its description says: what is sent, what is answered, what the page of `/docs` shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from playwright.sync_api import Page
from pydantic import TypeAdapter

from engine.take import TakeOpening
from moods.control import Control, parse_control
from moods.errors import MoodsError
from moods.mood import list_moods
from moods.opening import Changes, Opening, parse_changes, parse_opening
from streaming import messages
from streaming.messages.schema import schema_document
from tests.streaming.conftest import Running, dial
from tests.streaming.test_http import assert_problem
from tests.streaming.test_live import next_event

pytestmark = pytest.mark.slow

LIVE = TypeAdapter(messages.LiveMessage)
HEADER = TypeAdapter(messages.AudioHeader)


def test_every_message_has_a_name_of_its_own() -> None:
    """Those of two that share one would hold the names of modules."""
    assert not [name for name in schema_document()["$defs"] if "__" in name]


@pytest.mark.long
def test_every_operation_answers_as_described(server: Running) -> None:
    """All that is documented and some that is not, as schemathesis makes it up; much longer by hand: `described.py`."""
    settings = Path(__file__).with_name("schemathesis.toml")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings), "run"]
    bounds = ["--checks", "all", "--phases", "examples,fuzzing", "-n", "5", "--seed", "1", "--no-color"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.streaming.described"}
    done = subprocess.run(
        [*command, f"{server.address}/openapi.json", *bounds],
        cwd=settings.parents[2], env=environment, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr


def test_every_message_of_the_live_channel_is_of_its_type(server: Running) -> None:
    station = server.open(bpm=240)
    seen: dict[str, int] = {}
    with (
        dial(server.ws(station["links"]["live"])) as live,
        dial(server.ws(station["links"]["audio"]) + "?format=opus") as audio,
    ):
        HEADER.validate_json(audio.recv(10))
        for control in (
            {"type": "steer", "set": {"prompt": "热血 grommet", "layers": {"lead": "mute"}}, "id": "p"},
            {"type": "hit", "at": "beat"},
            {"type": "stinger", "name": "揭晓", "at": "bar"},
            {"type": "duck", "voice": True, "over": "1 beat"},
            {"type": "cancel", "id": "not there"},
            {"type": "transport", "do": "pause"},
            {"type": "transport", "do": "play"},
            {"type": "end"},
            {"type": "dance"},
        ):
            live.send(json.dumps(control))
        server.call(_broadcast(server, {"type": "skip", "frame": 0, "index": 9, "blocks": 3}))
        kinds = {"ack", "error", "beat", "section", "marker", "status", "session", "skip"}
        for _ in range(300):
            text = live.recv(10)
            message = LIVE.validate_json(text)
            seen[message["type"]] = seen.get(message["type"], 0) + 1
            if kinds <= seen.keys() and seen["ack"] == 7:
                break
    assert kinds <= seen.keys()


async def _broadcast(server: Running, event: dict[str, Any]) -> None:
    for station in server.conductor.stations.values():
        station.broadcast(event)


def test_every_answer_over_http_is_of_its_type(server: Running) -> None:
    opened = server.http.post("/v1/stations", json={"prompt": "rainy flurbly night"})
    TypeAdapter(messages.Station).validate_json(opened.content)
    station = opened.json()["links"]
    for path, message in [
        (station["self"], messages.Station),
        ("/v1/stations", messages.Stations),
        ("/v1/moods", messages.Moods),
        ("/v1/moods/explain?prompt=雨夜 grommet", messages.ExplainedPrompt),
        ("/healthz", messages.Alive),
        ("/readyz", messages.Readiness),
        ("/v1/nothing", messages.Problem),
    ]:
        TypeAdapter(message).validate_json(server.http.get(path).content)
    bad = server.http.post(station["controls"], json={"type": "steer", "set": {"energy": 2}})
    TypeAdapter(messages.Problem).validate_json(bad.content)
    several = server.http.post(station["controls"], json=[{"type": "panic"}, None, {"type": "duck", "gain_db": -9}])
    TypeAdapter(list[messages.Answer]).validate_json(several.content)
    opening, *lines = server.http.get(station["take"]).text.splitlines()
    TakeOpening.model_validate_json(opening)
    assert [TypeAdapter(messages.TakeLine).validate_json(line)["type"] for line in lines] == ["panic", "duck"]


def test_a_new_station_is_told_whole(server: Running) -> None:
    opened = server.open(mood="night", key="D minor", bpm=100)
    again = server.http.get(opened["links"]["self"]).json()
    for state in (opened, again):
        assert (state["mood"]["key"], state["mood"]["bpm"], state["position"]["bpm"]) == ("D minor", 100, 100)
        assert state["heading"]["style"]


def test_a_change_is_answered_with_where_it_leads(server: Running) -> None:
    station = server.open(energy=0.2)
    assert server.http.patch(station["links"]["self"], json={"energy": 0.9}).json()["heading"]["energy"] == 0.9


# --- the schemas ------------------------------------------------------------------------------------------------------


def test_the_schema_is_one_and_fits_what_crosses_a_socket(server: Running) -> None:
    document = server.http.get("/v1/schema.json").json()
    jsonschema_rs.meta.validate(document)
    fits = jsonschema_rs.Draft202012Validator(document).is_valid
    station = server.open()
    with dial(server.ws(station["links"]["live"])) as live:
        assert fits(next_event(live, "status")) and fits(next_event(live, "beat"))
    assert fits({"type": "steer", "set": {"mood": "epic"}, "over": "2 bars"})
    assert not fits({"type": "steer", "set": {"energy": 2}}) and not fits({"type": "dance"})
    assert set(document["x-groups"]["sent by clients"]) >= {"#/$defs/Control", "#/$defs/Opening"}


CONTROLS = [
    {"type": "steer", "set": {}},
    {"type": "steer", "set": {"mood": "热血"}, "over": None, "at": None, "id": None},
    {"type": "steer", "set": {"mood": "sad", "prompt": "happy"}},
    {"type": "steer", "set": {"mood": None}},
    {"type": "steer", "set": {"bpm": None, "key": None, "density": None, "brightness": None}},
    {"type": "steer", "set": {"style": "爵士"}},
    {"type": "steer", "set": {"style": {"jazz": 0}}},
    {"type": "steer", "set": {"style": {"jazz": 0, "lofi": 1000}}},
    {"type": "steer", "set": {"style": {}}},
    {"type": "steer", "set": {"style": {"jazz": -1}}},
    {"type": "steer", "set": {"key": "F#m"}},
    {"type": "steer", "set": {"key": "H major"}},
    {"type": "steer", "set": {"layers": {"drums": "mute", "bass": -60}}},
    {"type": "steer", "set": {"layers": {"drums": "off"}}},
    {"type": "steer", "set": {"temperature": 0.05}},
    {"type": "steer", "set": {}, "over": "2.5 beats"},
    {"type": "steer", "set": {}, "over": 601},
    {"type": "steer", "set": {}, "how": "cut", "at": "section"},
    {"type": "steer", "set": {}, "how": "cut", "over": 1},
    {"type": "state", "name": "combat", "how": "bridge", "over": "2 bars"},
    {"type": "steer", "set": {}, "how": "glide", "over": 1},
    {"type": "steer", "set": {}, "id": "x" * 129},
    {"type": "duck"},
    {"type": "duck", "gain_db": None},
    {"type": "duck", "gain_db": None, "voice": False},
    {"type": "duck", "gain_db": 1},
    {"type": "volume", "gain_db": -6, "over": "1 bar"},
    {"type": "volume", "by_db": 3},
    {"type": "volume", "gain_db": 7},
    {"type": "volume"},
    {"type": "volume", "gain_db": 0, "by_db": 3},
    {"type": "volume", "gain_db": None, "by_db": 3},
    {"type": "cancel"},
    {"type": "cancel", "target": "c"},
    {"type": "cancel", "target": None, "id": None},
    {"type": "cancel", "target": "c", "id": "d"},
    {"type": "hit", "at": "phrase"},
    {"type": "hit", "at": "12 bars"},
    {"type": "hit", "at": "0 bars"},
    {"type": "hit", "at": {"marker": "reveal"}},
    {"type": "hit", "at": {"marker": ""}},
    {"type": "hit", "at": {"seconds": 3}},
    {"type": "hit", "at": {"seconds": 3, "minutes": 1}},
    {"type": "stinger", "name": "揭晓"},
    {"type": "stinger", "name": "boom"},
    {"type": "end", "how": "bang"},
    {"type": "state", "name": "combat"},
    {"type": "state", "name": "combat", "at": None, "over": None, "how": None},
    {"type": "parameter", "set": {"danger": 0.5}},
    {"type": "parameter", "set": {}},
    {"type": "parameter", "set": {"danger": "much"}},
    {"type": "section", "do": "next"},
    {"type": "section", "do": "go", "to": "B"},
    {"type": "section", "do": "go"},
    {"type": "section", "do": "stay", "to": "B"},
    {"type": "transport", "do": "slow", "rate": 0.5, "over": "1 bar"},
    {"type": "transport", "do": "slow"},
    {"type": "transport", "do": "play", "rate": 1},
    {"set": {}},
    [],
    None,
]


@pytest.mark.parametrize(
    ("message", "read", "sent"),
    [(Control, parse_control, control) for control in CONTROLS]
    + [
        (Opening, parse_opening, each)
        for each in (
            {},
            {"seed": 0},
            {"seed": 7.0},
            {"seed": 7.5},
            {"seed": -1},
            {"seed": None},
            {"name": 3},
            {"id": 1},
        )
    ]
    + [(Changes, parse_changes, each) for each in ({"name": None}, {"seed": 1}, {"energy": 1}, {"energy": None})],
    ids=lambda value: getattr(value, "__name__", str(value))[:60],
)
def test_what_is_documented_is_what_is_read(message: Any, read: Any, sent: Any) -> None:
    is_documented = jsonschema_rs.Draft202012Validator(TypeAdapter(message).json_schema()).is_valid(sent)
    try:
        read(sent)
        is_read = True
    except MoodsError:
        is_read = False
    assert is_read == is_documented


def test_every_control_has_examples_that_work(server: Running) -> None:
    described = server.http.get("/openapi.json").json()
    operation = described["paths"]["/v1/stations/{station_id}/controls"]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    kinds = {example["value"]["type"] for example in examples.values() if isinstance(example["value"], dict)}
    assert kinds == set(described["components"]["schemas"]["Control"]["discriminator"]["mapping"])
    for example in examples.values():
        for control in example["value"] if isinstance(example["value"], list) else [example["value"]]:
            parse_control(control)
    moods = described["components"]["schemas"]["MoodFields"]["properties"]["mood"]["enum"]
    assert {name for mood in list_moods() for name in mood.names} == set(moods)


def test_every_operation_says_what_it_is(server: Running) -> None:
    described = server.http.get("/openapi.json").json()
    operations = [operation for path in described["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids) and all(name.isalnum() for name in ids)
    tags = {tag["name"] for tag in described["tags"]}
    for operation in operations:
        assert operation["summary"] and operation["description"] and set(operation["tags"]) <= tags
    assert "HTTPValidationError" not in json.dumps(described)
    assert described["info"]["license"]["identifier"] == "Apache-2.0"


# --- what is refused --------------------------------------------------------------------------------------------------


def test_values_are_told_as_json(server: Running) -> None:
    controls = server.open()["links"]["controls"]
    for value, text in [(None, "null"), (True, "true"), ({"a": [None]}, '{"a": [null]}'), ("é", '"é"')]:
        problem = server.http.post(controls, json={"type": "steer", "set": {"tension": value}}).json()
        assert f"tension is {text}" in problem["detail"]
    outside = server.http.post(controls, json={"type": "steer", "set": {"tension": 7.5}})
    assert assert_problem(outside, 422, "out_of_range")["value"] == 7.5
    huge = server.http.post(
        controls, content='{"type":"steer","set":{"tension":1e999}}', headers={"Content-Type": "application/JSON"}
    )
    assert assert_problem(huge, 422, "out_of_range")["value"] == "Infinity"


def test_what_does_not_fit_the_moment_is_a_conflict(server: Running) -> None:
    controls = server.open()["links"]["controls"]
    assert_problem(server.http.post(controls, json={"type": "cancel", "id": "x"}), 409, "bad_control")
    far = {"type": "end", "at": {"seconds": 31_000_000}}
    assert assert_problem(server.http.post(controls, json=far), 409, "out_of_range")["range"][1] < 8000
    assert_problem(server.http.post(controls, json={"type": "state", "name": "combat"}), 409, "unknown_state")


def test_all_methods_of_an_address_are_told(server: Running) -> None:
    station = server.open()["links"]["self"]
    for path, methods in [("/v1/stations", {"GET", "POST"}), (station, {"GET", "PATCH", "DELETE"})]:
        response = server.http.put(path)
        assert_problem(response, 405, "http_error")
        assert set(response.headers["allow"].split(", ")) - {"HEAD"} == methods


def test_a_sockets_address_says_over_http_what_it_is(server: Running) -> None:
    station = server.open()["links"]
    for path in (station["live"], station["audio"]):
        response = server.http.get(path)
        assert_problem(response, 426, "upgrade_required")
        assert response.headers["upgrade"] == "websocket"
    assert_problem(server.http.get(station["audio"] + "?format=flac"), 422, "bad_parameter")


def test_a_body_may_begin_with_a_mark(server: Running) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    body = b'\xef\xbb\xbf{"mood": "epic"}'
    assert server.http.post("/v1/stations", content=body, headers=headers).status_code == 201


# --- /docs ------------------------------------------------------------------------------------------------------------


def test_docs_show_and_try_every_operation_without_any_other_host(server: Running, page: Page) -> None:
    """Under a prefix that a proxy takes off again, for which the browser is asked to stand in."""
    asked: list[str] = []

    def pass_on(route: Any) -> None:
        url = urllib.parse.urlsplit(route.request.url)
        asked.append(url.path)
        if url.netloc != "example.test" or not url.path.startswith("/music/"):
            route.abort()
            return
        request = route.request
        answer = server.http.request(
            request.method, url.path.removeprefix("/music"), content=request.post_data_buffer,
            headers={"Content-Type": request.headers.get("content-type", "application/json")},
        )  # fmt: skip
        route.fulfill(status=answer.status_code, headers=dict(answer.headers), body=answer.content)

    page.route("**/*", pass_on)
    page.goto("http://example.test/music/docs")
    page.locator(".opblock").first.wait_for()
    assert page.locator(".opblock").count() == sum(map(len, server.http.get("/openapi.json").json()["paths"].values()))
    page.locator("#operations-stations-openStation .opblock-summary-control").click()
    page.locator("#operations-stations-openStation .execute").click()
    page.locator("#operations-stations-openStation .live-responses-table").wait_for()
    assert server.http.get("/v1/stations").json()["stations"]
    assert all(path.startswith("/music/") for path in asked), asked
