"""States and parameters of a station, over the sockets of a real server."""

from __future__ import annotations

import json
from typing import Any

from engine.take import read_take
from tests.streaming.conftest import Running, dial
from tests.streaming.sines import Sines
from tests.streaming.test_live import next_event, read_until_same

OPENING = {
    "states": {"explore": {"mood": "night", "energy": 0.3}, "combat": {"mood": "epic", "energy": 0.9}},
    "transitions": [{"to": "combat", "at": "beat"}],
    "initial": "explore",
    "parameters": {"danger": {"to": [{"field": "brightness", "curve": [[0, 0.2], [1, 0.9]]}]}},
}


def test_a_state_is_told_ahead_and_stands_in_the_status_and_the_take(server: Running) -> None:
    station = server.open(**OPENING)
    assert station["states"] == {"now": "explore", "previous": None, "heading": "explore"}
    live, audio = (server.ws(station["links"][name]) for name in ("live", "audio"))
    with dial(live) as socket, dial(audio + "?format=pcm_f32le") as sound:
        sound.recv(10)
        socket.send(json.dumps({"type": "state", "name": "combat", "id": "c"}))
        told: dict[str, dict[str, Any]] = {}
        while not {"ack", "state"} <= told.keys():  # whichever comes first
            event = json.loads(socket.recv(10))
            told[event["type"]] = event
        ack, began = told["ack"], told["state"]
        assert (began["name"], began["previous"]) == ("combat", "explore")
        assert began["frame"] == ack["effective_at"]["frame"] == ack["fields"]["state"]["frame"]
        for number in range(40):
            value = 0.5 if number < 20 else 0.505
            socket.send(json.dumps({"type": "parameter", "set": {"danger": value}, "id": f"p{number}"}))
        assert [next_event(socket, "ack")["id"] for _ in range(40)] == [f"p{number}" for number in range(40)]
        status = next_event(socket, "status")
        while status.get("parameters") != {"danger": 0.5} or status["states"]["now"] != "combat":
            status = next_event(socket, "status")
        assert status["states"] == {"now": "combat", "previous": "explore", "heading": "combat"}
        read_until_same(server, station, Sines(1), sound, 20)
    take = read_take(server.http.get(station["links"]["take"]).text)
    assert [entry.control.asked()["type"] for entry in take.entries] == ["state", "parameter"]
    assert take.opening.states.keys() == {"explore", "combat"}
