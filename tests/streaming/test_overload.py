"""An engine with too much to do for good: the newest station rests, and its clients and its take say so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.streaming.conftest import SINES, Running, dial

pytestmark = pytest.mark.slow

COSTLY = SINES.model_copy(update={"generator": "tests.streaming.sines:open_costly", "engines": 1})


def test_the_newest_station_rests_and_says_so(make_server: Callable[..., Running]) -> None:
    server = make_server(COSTLY)
    first, second, newest = [server.open() for _ in range(3)]
    with (
        dial(server.ws(first["links"]["live"])) as live_of_first,
        dial(server.ws(second["links"]["live"])),
        dial(server.ws(newest["links"]["live"])) as live,
    ):
        wait_for_status(live, gives_way=True)
        assert not wait_for_status(live_of_first, gives_way=False)["is_filling"]
    lines = server.http.get(newest["links"]["take"]).text.splitlines()
    entries = [json.loads(line)["type"] for line in lines[1:]]
    assert [entry for entry in entries if entry != "skip"][0] == "rest"  # for how long is the machine's affair


def wait_for_status(live: Any, *, gives_way: bool) -> dict[str, Any]:
    """The health of the next status in which this is so."""
    while True:
        event = json.loads(live.recv(20))
        if event["type"] == "status" and event["health"]["gives_way"] is gives_way:
            return event["health"]
