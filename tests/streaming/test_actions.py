"""Action links: what an address asks for, and that opening it does just that."""

from __future__ import annotations

from typing import Any

import pytest

from moods.control import parse_control
from moods.errors import MoodsError
from streaming.action_routes import control_of
from streaming.errors import StreamingError
from tests.streaming.conftest import Running
from tests.streaming.test_http import assert_problem

LINKS: list[tuple[str, str | None, dict[str, str], dict[str, Any]]] = [
    ("panic", None, {}, {"type": "panic"}),
    ("play", None, {}, {"type": "transport", "do": "play"}),
    ("pause", None, {"at": "bar"}, {"type": "transport", "do": "pause", "at": "bar"}),
    ("slow", None, {"rate": "0.5"}, {"type": "transport", "do": "slow", "rate": 0.5}),
    ("duck", None, {"gain_db": "-9", "voice": "true"}, {"type": "duck", "gain_db": -9, "voice": True}),
    ("volume", None, {"by_db": "-3"}, {"type": "volume", "by_db": -3}),
    ("volume", "-6", {"over": "1"}, {"type": "volume", "gain_db": -6, "over": 1}),
    ("mood", "热血", {}, {"type": "steer", "set": {"mood": "热血"}}),
    ("energy", "0.8", {"over": "2 bars"}, {"type": "steer", "set": {"energy": 0.8}, "over": "2 bars"}),
    (
        "steer", None, {"mood": "epic", "style": "lofi=0.7,jazz=0.3", "how": "cut", "at": "bar", "token": "secret"},
        {"type": "steer", "set": {"mood": "epic", "style": {"lofi": 0.7, "jazz": 0.3}}, "how": "cut", "at": "bar"},
    ),
    ("parameter", None, {"danger": "0.7"}, {"type": "parameter", "set": {"danger": 0.7}}),
    ("state", "2", {}, {"type": "state", "name": "2"}),
    ("stinger", None, {"name": "reveal", "at": '{"seconds": 9}'},
     {"type": "stinger", "name": "reveal", "at": {"seconds": 9}}),
    ("hit", "now", {}, {"type": "hit", "at": "now"}),
]  # fmt: skip


@pytest.mark.parametrize(("action", "argument", "fields", "control"), LINKS)
def test_an_address_is_a_control(
    action: str, argument: str | None, fields: dict[str, str], control: dict[str, Any]
) -> None:
    assert control_of(action, argument, fields) == control
    parse_control(control)


@pytest.mark.parametrize(
    ("action", "argument", "fields", "way_out"),
    [
        ("dance", None, {}, "expected one of play, pause"),
        ("panik", None, {}, "nearest: panic"),
        ("panic", "now", {}, "expected fields behind panic?"),
        ("volume", "3", {"gain_db": "4"}, "expected fields behind volume?"),
        ("volume", None, {"gain_db": "9"}, "allowed is -60 … 6"),
        ("duck", None, {"depth": "9"}, "depth"),
        ("energy", "much", {}, "expected a number 0 … 1"),
        ("hit", None, {"at": '{"seconds"'}, "not JSON"),
        ("steer", None, {}, "set is missing"),
    ],
)
def test_what_is_no_action_is_refused_with_the_way_out(
    action: str, argument: str | None, fields: dict[str, str], way_out: str
) -> None:
    with pytest.raises((MoodsError, StreamingError)) as raised:
        parse_control(control_of(action, argument, fields))
    assert way_out in str(raised.value)


def test_opening_a_link_does_what_it_says_and_looking_at_it_nothing(server: Running) -> None:
    station = server.open(name="links")
    do = f"{station['links']['self']}/do"
    for look in (server.http.head(f"{do}/panic"), server.http.get(f"{do}/panic", headers={"Sec-Purpose": "prefetch"})):
        assert look.status_code == 204 and look.headers["cache-control"] == "no-store"
    ack = server.http.get(f"{do}/volume", params={"gain_db": -6, "id": "v"}).raise_for_status().json()
    assert ack["type"] == "ack" and ack["id"] == "v" and "volume_db" in ack["fields"]
    assert server.http.post(f"{do}/volume/-9").json()["type"] == "ack"
    assert server.http.get(f"/v1/stations/links/do/mood/{'epic'}?over=2 bars").json()["fields"]["energy"]
    state = server.http.get(station["links"]["self"]).json()
    assert state["volume_db"] == -9 and state["state"] == "playing"
    assert_problem(server.http.get(f"{do}/volume?gain_db=40"), 422, "out_of_range")
    assert_problem(server.http.get(f"{do}/dance"), 404, "unknown_action")
    assert_problem(server.http.get("/v1/stations/nowhere/do/panic"), 404, "unknown_station")
