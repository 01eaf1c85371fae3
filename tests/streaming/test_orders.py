"""A table of the settings says what several controls say."""

from __future__ import annotations

from typing import Any

import pytest

from moods.errors import BadControl
from streaming.orders import read_order


@pytest.mark.parametrize(
    ("table", "controls"),
    [
        ({"mood": "epic", "energy": 0.8, "over": "2 bars"},
         [{"type": "steer", "set": {"mood": "epic", "energy": 0.8}, "over": "2 bars"}]),
        ({"countdown": 300, "mood": "focus"},
         [{"type": "steer", "set": {"mood": "focus"}}, {"type": "countdown", "seconds": 300}]),
        ({"countdown": {"seconds": 60, "then": "go on"}}, [{"type": "countdown", "seconds": 60, "then": "go on"}]),
        ({"state": "combat", "at": "beat"}, [{"type": "state", "name": "combat", "at": "beat"}]),
        ({"section": "B"}, [{"type": "section", "do": "go", "to": "B"}]),
        ({"section": "next", "duck": -9}, [{"type": "section", "do": "next"}, {"type": "duck", "gain_db": -9}]),
        ({"parameter": {"danger": 0.5}}, [{"type": "parameter", "set": {"danger": 0.5}}]),
        ({"panic": True}, [{"type": "panic"}]),
        ({"end": "ring", "hit": 0.5, "stinger": {"name": "reveal", "at": "bar"}},
         [{"type": "end", "how": "ring"}, {"type": "hit", "strength": 0.5},
          {"type": "stinger", "name": "reveal", "at": "bar"}]),
    ],
)  # fmt: skip
def test_fields_and_controls_stand_beside_each_other(table: dict[str, Any], controls: list[dict[str, Any]]) -> None:
    assert [control.asked() for control in read_order(table, "here").controls] == controls


def test_a_place_is_given_to_what_says_none() -> None:
    def places(table: dict[str, Any]) -> list[Any]:
        return [control.asked().get("at") for control in read_order(table, "here", at="bar").controls]

    assert places({"mood": "epic", "countdown": 9}) == ["bar", None]
    assert places({"mood": "epic", "at": "phrase"}) == ["phrase"]


def test_what_lasts_is_told_from_what_happens_once() -> None:
    order = read_order({"mood": "epic", "countdown": 9, "stinger": "reveal", "theme": None}, "here")
    assert [control.type for control in order.lasting.controls] == ["steer", "theme"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "here is {}; expected a table"),
        (7, "here is 7; expected a table"),
        ({"mood": "epik"}, 'here: unknown mood "epik"; nearest: epic'),
        ({"enregy": 1}, 'here: "enregy" is nothing that can be asked for; nearest: energy'),
        ({"panic": 3}, "here: panic is 3; expected true"),
        ({"over": 3, "hit": 1}, "here: over is given without a mood field or state"),
        ({"countdown": 0}, "here: seconds is 0"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_where_it_stands(table: Any, said: str) -> None:
    with pytest.raises(BadControl) as refused:
        read_order(table, "here")
    assert str(refused.value).startswith(said)
