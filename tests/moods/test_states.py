"""States, the ways between them and parameters are checked when they are given, and say one thing of every pair."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from moods.controller import Controller
from moods.errors import BadControl, MoodsError, UnknownState
from moods.glide import Span
from moods.opening import Opening, parse_opening
from moods.parameters import GameParameter

STATES: dict[str, Any] = {
    "explore": {"mood": "night", "energy": 0.3},
    "combat": {"mood": "epic", "energy": 0.9, "key": "D minor", "layers": {"lead": 3}, "min_dwell": "2 bars"},
    "victory": {"mood": "victory", "priority": 2, "temperature": 1.5},
    "camp": {"energy": 0.1},
}
DANGER: dict[str, Any] = {"to": [{"field": "energy", "curve": [[0, 0.2], [0.6, 0.5], [1, 0.95]]}]}


def opening(*transitions: dict[str, Any], **more: Any) -> Opening:
    return parse_opening({"states": STATES, "transitions": list(transitions), **more})


def test_an_opening_with_states_is_read_again_as_it_was() -> None:
    read = opening(
        {"from": ["explore", "camp"], "to": "combat", "at": "beat"}, initial="camp", parameters={"d": DANGER}
    )
    assert parse_opening(read.asked()) == read == pickle.loads(pickle.dumps(read))
    assert read.asked()["transitions"] == [{"from": ["explore", "camp"], "to": "combat", "at": "beat"}]


TWO = {"a": {}, "b": {}}
BAD: list[tuple[dict[str, Any], type[MoodsError], str]] = [
    ({"initial": "combat"}, UnknownState, 'unknown state "combat"; the station has no states'),
    ({"states": STATES, "initial": "combt"}, UnknownState, "nearest: combat"),
    ({"states": STATES, "transitions": [{"from": "combt"}]}, UnknownState, "nearest: combat"),
    ({"states": {"a": {"energy": 3}}}, BadControl, "states.a: energy is 3; allowed is 0 … 1"),
    ({"states": {"a": {"mood": "epik"}}}, BadControl, 'states.a: unknown mood "epik"; nearest: epic'),
    ({"states": {"a": {"min_dwel": 3}}}, BadControl, "nearest: min_dwell"),
    ({"states": {"a": 3}}, BadControl, "states.a is 3; expected an object"),
    ({"states": [1]}, BadControl, "states is [1]; expected an object"),
    ({"states": {"previous": {}}}, BadControl, '"previous"; that name is taken'),
    ({"states": {"*": {}}}, BadControl, '"*"; that name is taken'),
    ({"states": {"": {}}}, BadControl, "expected a name"),
    ({"states": {str(n): {} for n in range(101)}}, BadControl, "states"),
    ({"states": {str(n): {"prompt": "x" * 2000} for n in range(11)}}, BadControl, "22000 characters"),
    ({"transitions": {}}, BadControl, "transitions is {}; expected a list"),
    ({"transitions": [{"fro": "a"}]}, BadControl, "nearest: from"),
    ({"transitions": [{"from": 3}]}, BadControl, "expected a state, a list of states"),
    ({"transitions": [{"min_dwell": "3 days"}]}, BadControl, 'min_dwell is "3 days"; expected seconds'),
    ({"transitions": [{"return_after": 1e9}]}, BadControl, "return_after is 1000000000.0; allowed is 0 … 600"),
    ({"transitions": [{"return_after": 0}]}, BadControl, "return_after 0"),
    ({"transitions": [{"stinger": "reveel"}]}, BadControl, "nearest: reveal"),
    ({"transitions": [{"how": "cut", "bridge": True}]}, BadControl, "bridge and how"),
    (
        {"states": TWO, "transitions": [{"to": "b", "how": "cut", "over": "4 bars"}]},
        BadControl,
        'from * to b: over is given with how "cut"; only a glide takes time',
    ),
    ({"transitions": [{"bridge": True, "over": 2}]}, BadControl, 'from * to *: over is given with how "bridge"'),
    ({"states": TWO, "timeline": {"duration": 9}}, BadControl, "states and timeline are both given"),
    ({"parameters": {"d": {}}}, BadControl, "parameters.d: to is missing"),
    ({"parameters": {"d": {"to": [{"field": "enery", "curve": [[0, 0], [1, 1]]}]}}}, BadControl, '"energy"'),
    ({"parameters": {"d": {"to": [{"field": "energy", "curve": [[0, 0], [1, 2]]}]}}}, BadControl, "allowed is 0 … 1"),
    ({"parameters": {"d": {"to": [{"field": "energy", "curve": [[1, 0], [0, 1]]}]}}}, BadControl, "left to right"),
    ({"parameters": {"d": DANGER | {"min": 1}}}, BadControl, "expected a min below max"),
    ({"parameters": {"d": DANGER | {"default": 2}}}, BadControl, "default is 2.0; allowed is 0 … 1"),
    ({"parameters": {"d": DANGER, "e": DANGER}}, BadControl, "energy is driven by d and by e"),
]


@pytest.mark.parametrize("asked, error, text", BAD)
def test_a_mistake_is_named_with_its_place_and_the_way_out(
    asked: dict[str, Any], error: type[MoodsError], text: str
) -> None:
    with pytest.raises(error) as raised:
        parse_opening(asked)
    assert text in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "rows, pair",
    [
        ([{"from": "a", "to": "b"}, {"from": ["b", "a"], "to": "b", "at": "beat"}], "from a to b"),
        ([{"to": "b"}, {"from": "*", "to": ["a", "b"]}], "from * to b"),
        ([{}, {"at": "phrase"}], "from * to *"),
    ],
)
def test_rows_that_contradict_each_other_are_refused_with_the_pair(rows: list[dict[str, Any]], pair: str) -> None:
    with pytest.raises(BadControl, match="equally specific") as raised:
        parse_opening({"states": TWO, "transitions": rows})
    assert pair in str(raised.value)


@pytest.mark.parametrize(
    "rows",
    [
        [{"from": "a", "to": "b", "return_after": 4}, {"from": "b", "to": "a", "return_after": "1 bar"}],
        [{"return_after": "4 bars"}],
        [{"to": "b", "return_after": 4}, {"from": "b", "return_after": 4}],
    ],
)
def test_states_that_would_return_to_each_other_for_ever_are_refused_with_the_pair(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(BadControl, match="from a to b and from b to a both have return_after"):
        parse_opening({"states": TWO, "transitions": rows})


def test_the_most_specific_row_counts() -> None:
    rows = [
        {"at": "phrase"}, {"from": "explore", "at": "now"}, {"to": "combat", "at": "beat"},
        {"from": "explore", "to": "combat", "at": "bar"},
    ]  # fmt: skip
    matrix = opening(*rows).matrix
    pairs = [("explore", "combat"), ("camp", "combat"), ("explore", "camp"), ("camp", "explore"), (None, "combat")]
    assert [matrix.passage(*pair).at for pair in pairs] == ["bar", "beat", "now", "phrase", "beat"]


def test_a_state_of_much_more_energy_begins_with_a_cut_and_a_calmer_one_by_a_glide() -> None:
    matrix = opening().matrix
    assert [matrix.passage(*pair).how for pair in (("explore", "combat"), ("combat", "explore"))] == ["cut", "glide"]
    assert matrix.passage("explore", "combat").over is None and matrix.passage("combat", "camp").over == "2 bars"
    assert matrix.passage("explore", "combat").at == "bar"
    said = opening({"to": "combat", "over": "1 beat"}, {"to": "camp", "bridge": True}).matrix
    assert [said.passage("explore", name).how for name in ("combat", "camp")] == ["glide", "bridge"]


def test_a_row_says_otherwise_what_a_state_says_of_its_dwell() -> None:
    matrix = opening({"from": "combat", "to": "camp", "min_dwell": 4}).matrix
    assert matrix.passage("combat", "explore").min_dwell == Span(8.0, True)
    assert matrix.passage("combat", "camp").min_dwell == Span(4.0)
    assert matrix.passage(None, "camp").min_dwell == matrix.passage("camp", "combat").min_dwell == Span(0.0)


def test_nothing_of_one_state_stays_in_another() -> None:
    matrix = opening(mood="focus", bpm=84).matrix
    whole = {name: matrix.fields(name).asked() for name in STATES}
    assert whole["explore"] == {
        "mood": "night", "energy": 0.3, "bpm": 84.0, "key": None, "temperature": 1.0, "layers": {"lead": 0.0},
    }  # fmt: skip
    assert whole["camp"]["mood"] == "focus" and whole["camp"]["energy"] == 0.1
    assert whole["combat"]["layers"] == {"lead": 3.0} and whole["combat"]["key"] == "D minor"
    words = opening(prompt="calm piano", states=STATES | {"slow": {"prompt": "no drums"}}).matrix
    assert words.fields("camp").prompt == "calm piano" and words.fields("slow").valence is not None


def test_a_station_begins_in_its_initial_state_and_with_what_its_parameters_drive() -> None:
    begun = Controller(opening(mood="focus", initial="combat"), 1).intent(0)
    assert begun.energy == 0.9 and str(begun.key) == "D minor"
    driven = opening(initial="combat", parameters={"danger": DANGER | {"default": 0.6}})
    assert Controller(driven, 1).intent(0).energy == 0.5
    assert Controller(opening(mood="focus", parameters={"danger": DANGER}), 1).intent(0).energy != 0.2


def test_a_parameter_follows_what_is_worth_following() -> None:
    parameter = GameParameter.model_validate(DANGER | {"hysteresis": 0.05})
    assert [parameter.to[0].at(value) for value in (-1, 0, 0.3, 0.6, 1, 9)] == [0.2, 0.2, 0.35, 0.5, 0.95, 0.95]
    assert parameter.within(7) == 1 and parameter.within(-7) == 0
    assert parameter.is_moved(None, 0.3) and not parameter.is_moved(0.3, 0.39) and parameter.is_moved(0.3, 0.41)
    assert parameter.is_moved(0.99, 1.0) and not parameter.is_moved(1.0, 1.0)
