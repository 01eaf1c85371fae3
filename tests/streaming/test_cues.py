"""Hits and stingers over HTTP and the live channel: acks, markers ahead of the sound, the take."""

from __future__ import annotations

import json

import pytest

from moods.controller import LEAD_FRAMES
from tests.streaming.conftest import Running, dial
from tests.streaming.test_live import next_event


def test_a_hit_is_acknowledged_to_the_frame_and_marked_ahead(server: Running) -> None:
    station = server.open(bpm=180)
    with dial(server.ws(station["links"]["live"])) as socket:
        beat = next_event(socket, "beat")
        seconds = beat["seconds"] + 1.2345
        socket.send(json.dumps({"type": "hit", "at": {"seconds": seconds}, "strength": 0.8, "id": "h"}))
        ack = next_event(socket, "ack")
        marker = next_event(socket, "marker")
        assert marker["frame"] >= server.conductor.stations[station["id"]].frame
    assert ack["effective_at"]["frame"] == marker["frame"] == round(seconds * 48_000)
    assert ack["fields"]["pickup"]["frame"] < ack["effective_at"]["frame"]
    assert (marker["name"], marker["id"], marker["strength"]) == ("hit", "h", 0.8)
    assert {"bar", "beat", "bpm", "seconds"} <= set(marker)


@pytest.mark.parametrize("at", ["now", "beat"])
def test_a_hit_at_once_is_marked_though_its_beat_is_already_told(server: Running, at: str) -> None:
    station = server.open(bpm=120)
    with dial(server.ws(station["links"]["live"])) as socket:
        next_event(socket, "beat")
        ack = server.http.post(station["links"]["controls"], json={"type": "hit", "at": at}).json()
        assert next_event(socket, "marker")["frame"] == ack["effective_at"]["frame"]


def test_a_hit_asked_for_now_in_a_pause_sounds_where_the_music_goes_on(server: Running) -> None:
    station = server.open(bpm=120)
    controls = station["links"]["controls"]
    with dial(server.ws(station["links"]["live"])) as socket:
        next_event(socket, "beat")
        server.http.post(controls, json={"type": "transport", "do": "pause"})
        while next_event(socket, "status")["state"] != "paused":
            pass
        hit = server.http.post(controls, json={"type": "hit", "at": "now"}).json()["effective_at"]
        played = server.http.post(controls, json={"type": "transport", "do": "play"}).json()["effective_at"]
        marker = next_event(socket, "marker")
    assert 0 <= marker["frame"] - played["frame"] < LEAD_FRAMES
    assert (marker["bar"], marker["beat"]) == (hit["bar"], hit["beat"])


def test_a_stinger_is_marked_with_its_name_and_an_unknown_one_answered_with_names(server: Running) -> None:
    station = server.open(bpm=180)
    names = [stinger["name"] for stinger in server.http.get("/v1/moods").json()["stingers"]]
    with dial(server.ws(station["links"]["live"])) as socket:
        socket.send(json.dumps({"type": "stinger", "name": "revel", "id": "s"}))
        error = next_event(socket, "error")
        assert (error["code"], error["detail"]) == ("unknown_stinger", 'unknown stinger "revel"; nearest: reveal')
        socket.send(json.dumps({"type": "stinger", "name": "xyz"}))
        detail = next_event(socket, "error")["detail"]
        assert all(name in detail for name in names)
        ack = server.http.post(station["links"]["controls"], json={"type": "stinger", "name": "logo"}).json()
        marker = next_event(socket, "marker")
    assert (marker["name"], marker["stinger"]) == ("stinger", "logo")
    assert marker["frame"] == ack["effective_at"]["frame"]


def test_a_hit_in_the_past_is_answered_in_seconds_of_the_stream(server: Running) -> None:
    station = server.open()
    controls = station["links"]["controls"]
    with dial(server.ws(station["links"]["live"])) as socket:
        next_event(socket, "beat")
        server.http.post(controls, json={"type": "transport", "do": "pause"})
        next_event(socket, "status"), next_event(socket, "status")
        played = server.http.post(controls, json={"type": "transport", "do": "play"}).json()["effective_at"]
    refusal = server.http.post(controls, json={"type": "hit", "at": {"seconds": 0.1}})
    assert refusal.status_code == 409 and refusal.json()["field"] == "at.seconds"
    assert refusal.json()["range"][0] > played["seconds"]
    hit = {"type": "hit", "at": {"seconds": refusal.json()["range"][0] + 0.5}}
    assert server.http.post(controls, json=hit).json()["effective_at"]["seconds"] == pytest.approx(hit["at"]["seconds"])


def test_hits_and_stingers_are_in_the_take_and_can_be_cancelled(server: Running) -> None:
    station = server.open()
    wishes = [
        {"type": "hit", "at": {"seconds": 30}, "id": "h"},
        {"type": "stinger", "name": "comic", "at": "phrase"},
        {"type": "cancel", "id": "h"},
    ]
    acks = server.http.post(station["links"]["controls"], json=wishes).json()
    assert [ack["type"] for ack in acks] == ["ack"] * 3
    assert acks[2]["fields"]["hit"]["seconds"] == 30
    _, *entries = map(json.loads, server.http.get(station["links"]["take"]).text.splitlines())
    assert [{name: entry[name] for name in wish} for entry, wish in zip(entries, wishes, strict=True)] == wishes
