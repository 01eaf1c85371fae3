"""Everything a client can get wrong has a named error that says where and what is allowed."""

from __future__ import annotations

import json
import math
import pickle
from typing import Any

import pytest

from moods.control import Steer, parse_control
from moods.controller import Controller
from moods.errors import BadControl, MoodsError, OutOfRange, UnknownKey, UnknownMood, UnknownStyle
from moods.opening import parse_changes, parse_opening
from moods.prompt import resolve_prompt


def steer(**fields: Any) -> dict[str, Any]:
    return {"type": "steer", "set": fields}


BAD = [
    (None, BadControl, "expected an object"),
    ([], BadControl, "expected an object"),
    ({}, BadControl, "type is missing; expected one of steer"),
    ({"type": "dance"}, BadControl, "expected one of steer, state, parameter, section, skip, end, countdown"),
    ({"type": ["steer"]}, BadControl, "type is"),
    ({"type": "steer"}, BadControl, "set is missing"),
    ({"type": "steer", "set": 3}, BadControl, "set is 3"),
    (steer(mood="suspence"), UnknownMood, "suspense"),
    (steer(key="H major"), UnknownKey, "nearest"),
    (steer(key="A minr"), UnknownKey, "A minor"),
    (steer(style={"lofy": 1}), UnknownStyle, "lofi"),
    (steer(style="housee"), UnknownStyle, "house"),
    (steer(style=[1]), BadControl, "style is"),
    (steer(style=[1] * 1000), BadControl, "style is"),
    (steer(style={"x" * 1000: -1}), UnknownStyle, "unknown style"),
    (steer(style={"\ud800": -1}), UnknownStyle, r'"\ud800"'),
    (steer(layers={"x" * 1000: 1}), BadControl, "drums, bass"),
    (steer(layers=["x" * 1000]), BadControl, "layers is"),
    ({**steer(), "over": "x" * 1000}, BadControl, "over is"),
    (steer(energy="x" * 1000), BadControl, "energy is"),
    (steer(style={"lofi": -1}), OutOfRange, "style.lofi is -1; allowed is 0"),
    (steer(style={}), BadControl, "style has no weight"),
    (steer(valence=-1.01), OutOfRange, "valence is -1.01; allowed is -1 … 1"),
    (steer(energy=math.nan), OutOfRange, "energy is NaN; allowed is 0 … 1"),
    (steer(energy=math.inf), OutOfRange, "energy is Infinity"),
    (steer(energy=10**400), OutOfRange, "energy"),
    (steer(bpm=39), OutOfRange, "bpm is 39; allowed is 40 … 240"),
    (steer(temperature=0), OutOfRange, "temperature is 0"),
    (steer(energy="loud"), BadControl, 'energy is "loud"'),
    (steer(energy=True), BadControl, "energy is true"),
    (steer(energy=None), BadControl, "energy is null"),
    (steer(energi=1), BadControl, '"energi" is not a field here; nearest: energy'),
    (steer(enery=1, colour=2), BadControl, '"enery" is not a field here; nearest: energy'),
    (steer(colour=2), BadControl, '"colour" is not a field here; expected mood, prompt'),
    ({"type": "Stear"}, BadControl, "nearest: steer"),
    ({"type": {"a": [None]}}, BadControl, 'type is {"a": [null]}; expected'),
    (steer(energy=[None, True, "x"]), BadControl, 'energy is [null, true, "x"]; expected'),
    ({"type": "steer", "set": [None]}, BadControl, "set is [null]; expected an object"),
    ({"type": "hit", "at": {"minutes": None}}, BadControl, 'at is {"minutes": null}; expected now, beat'),
    (steer(mood="sad", prompt="happy"), BadControl, "mood and prompt"),
    (steer(layers={"drum": 0}), BadControl, "drums, bass"),
    (steer(layers={"drums": 40}), OutOfRange, "layers.drums is 40"),
    (steer(layers={"drums": "off"}), BadControl, "layers.drums"),
    (steer(layers="mute"), BadControl, "layers is"),
    ({**steer(), "over": "2 parsecs"}, BadControl, 'over is "2 parsecs"'),
    ({**steer(), "over": -1}, OutOfRange, "over is -1; allowed is 0 … 600"),
    ({**steer(), "over": "99999 bars"}, OutOfRange, "over"),
    ({**steer(), "at": "noon"}, BadControl, 'at is "noon"; expected now, beat, bar, phrase, section, "N beats"'),
    ({**steer(), "id": 7}, BadControl, "id is 7"),
    ({"type": "end", "how": "bang"}, BadControl, 'how is "bang"'),
    ({"type": "end", "at": {"seconds": -1}}, OutOfRange, "at.seconds"),
    ({"type": "end", "at": {"minutes": 1}}, BadControl, "minutes"),
    ({"type": "transport", "do": "fly"}, BadControl, 'do is "fly"'),
    ({"type": "duck", "gain_db": 3}, OutOfRange, "gain_db is 3; allowed is -120 … 0"),
    ({"type": "duck"}, BadControl, "gain_db is missing"),
    ({"type": "duck", "voice": 1}, BadControl, "voice is 1; expected true or false"),
    ({"type": "volume", "gain_db": 7}, OutOfRange, "gain_db is 7; allowed is -60 … 6"),
    ({"type": "volume", "by_db": "loud"}, BadControl, 'by_db is "loud"; expected a number -24 … 24'),
    ({"type": "volume"}, BadControl, "gain_db is missing, and so is by_db; expected one of them"),
    ({"type": "volume", "gain_db": 0, "by_db": 3}, BadControl, "gain_db and by_db are given; expected one of them"),
    ({"type": "cancel"}, BadControl, "target is missing"),
    ({"type": "hit", "strength": 1.2}, OutOfRange, "strength is 1.2; allowed is 0 … 1"),
    ({"type": "hit", "at": "0 bars"}, BadControl, 'at is "0 bars"'),
    ({"type": "hit", "at": {"marker": ""}}, BadControl, 'marker is ""'),
    ({"type": "hit", "at": {"seconds": 1, "marker": "x"}}, BadControl, "at is"),
    ({"type": "hit", "at": None}, BadControl, "at is null"),
    ({**steer(), "how": "jump"}, BadControl, 'how is "jump"'),
    ({**steer(), "how": "cut", "over": 1}, BadControl, 'over is given with how "cut"; only a glide takes time'),
    ({"type": "section", "do": "go"}, BadControl, "to is missing; expected A, B, break or intro"),
    ({"type": "section", "do": "stay", "to": "A"}, BadControl, "only go goes to a section"),
    ({"type": "section", "do": "go", "to": "outro"}, BadControl, 'to is "outro"'),
    ({"type": "transport", "do": "slow"}, BadControl, "rate is missing"),
    ({"type": "transport", "do": "slow", "rate": 0.2}, OutOfRange, "rate is 0.2; allowed is 0.25 … 1"),
    ({"type": "transport", "do": "play", "rate": 1}, BadControl, "only slow has it"),
    ({"type": "panic", "at": "bar"}, BadControl, 'at is "bar"; input should be "now"'),
    ({"type": "transport", "do": "play", "at": "bar"}, BadControl, 'at is "bar"; play is always "now"'),
    ({"type": "transport", "do": "pause", "at": "soon"}, BadControl, 'at is "soon"; expected now, beat, bar'),
    ({"type": "state"}, BadControl, "name is missing"),
    ({"type": "parameter", "set": {}}, BadControl, "set is {}"),
    ({"type": "parameter", "set": {"danger": "x"}}, BadControl, 'set.danger is "x"'),
    ({"type": "parameter", "set": {"danger": math.nan}}, OutOfRange, "set.danger is NaN"),
    ({"type": "hit", "at": {"seconds": math.nan}}, OutOfRange, "at.seconds is NaN"),
    ({"type": "panic", "by": 7}, BadControl, "by is 7"),
    ({"type": "panic", "by": "x" * 65}, BadControl, "by has 65 characters"),
    ({"type": "panic", "by": " \u202e\u200b\n"}, BadControl, "by has 0 characters"),
    ({"type": "stinger"}, BadControl, "name is missing"),
    ({"type": "theme"}, BadControl, "name is missing"),
]


@pytest.mark.parametrize(("obj", "error", "text"), BAD, ids=lambda value: str(value)[:50])
def test_bad_input_is_named(obj: object, error: type[MoodsError], text: str) -> None:
    with pytest.raises(error) as raised:
        parse_control(obj)
    assert text in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "7"])
def test_a_bad_seed_is_named(seed: object) -> None:
    with pytest.raises(MoodsError, match="seed is"):
        parse_opening({"seed": seed})


def test_the_interface_examples_are_read() -> None:
    control = parse_control(
        {"type": "steer", "set": {"mood": "epic", "energy": 0.8}, "over": "2 bars", "at": "bar", "id": "c1"}
    )
    assert isinstance(control, Steer) and control.span == (8.0, True)
    for obj in (
        {"type": "duck", "gain_db": -9, "over": 0.2},
        {"type": "duck", "voice": True, "over": "1 beat"},
        {"type": "volume", "gain_db": -6, "over": 1},
        {"type": "volume", "by_db": -3},
        {"type": "end", "how": "cadence", "at": "phrase"},
        {"type": "end", "at": {"seconds": 31.0}},
        {"type": "transport", "do": "pause"},
        {"type": "cancel", "id": "c1"},
        {"type": "cancel", "target": "c1", "id": "c2"},
        {"type": "panic"},
        {"type": "state", "name": "combat", "at": "4 bars", "over": "1 beat", "how": "glide"},
        {"type": "parameter", "set": {"danger": 0.7}},
        {"type": "section", "do": "go", "to": "B", "at": "section"},
        {"type": "transport", "do": "slow", "rate": 0.5, "over": 1},
        {"type": "steer", "set": {"energy": 1}, "at": {"marker": "reveal"}, "how": "bridge"},
        {"type": "hit", "at": {"seconds": 12.4}, "strength": 1.0},
        {"type": "stinger", "name": "reveal", "at": "beat"},
    ):
        assert parse_control(obj).type == obj["type"]


def test_a_control_survives_json_and_pickling() -> None:
    thirds = {"lofi": 1, "jazz": 1, "ambient": 1, "爵士": 0.5, "house": 0}
    for obj in (
        {**steer(mood="热血", style="lofi", bpm=None, layers={"lead": "mute"}), "over": 1.5},
        {**steer(prompt="rainy night", style=thirds, key="am"), "over": "2 bars", "at": "bar", "id": "c"},
        {"type": "duck", "gain_db": -9},
        {"type": "end", "at": {"seconds": 31}},
        {"type": "cancel", "id": "c"},
        {"type": "hit", "by": "Zoë 👩\u200d🚀 晓"},
    ):
        control = parse_control(obj)
        again = parse_control(json.loads(json.dumps(control.asked())))
        assert again == control == pickle.loads(pickle.dumps(control))
        assert again.asked() == control.asked() and control.asked().keys() == obj.keys()


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ("  Anna\u00a0 B.\n", "Anna B."),
        ("a\u202ednoc\u202c\u2066b\u2069", "adnocb"),
        ("tab\tnul\0bell\x07esc\x1b[31m", "tab nulbellesc[31m"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
        ("👩\u200d🚀\ufe0f", "👩\u200d🚀\ufe0f"),
        ("نام\u200cها", "نام\u200cها"),
    ],
)
def test_a_name_is_freed_of_what_only_deceives_the_eye(asked: str, read: str) -> None:
    assert parse_control({"type": "panic", "by": asked}).by == read


@pytest.mark.parametrize(
    ("obj", "wish"),
    [
        (steer(mood="热血", energy=1), "epic"),
        (steer(prompt="rainy night"), "rainy night"),
        (steer(energy=0.8, style="lofi"), "energy 0.8, style"),
        ({"type": "state", "name": "combat"}, "combat"),
        ({"type": "section", "do": "next"}, "section"),
        ({"type": "duck", "gain_db": -9}, None),
        ({"type": "volume", "gain_db": -9}, None),
        ({"type": "transport", "do": "pause"}, None),
        ({"type": "panic"}, None),
    ],
)
def test_a_control_says_what_of_the_music_was_asked(obj: dict[str, Any], wish: str | None) -> None:
    assert parse_control(obj).wish == wish


def test_changes_are_a_steer_by_the_fields_given() -> None:
    steer = parse_changes({"name": "stage", "energy": 0.9, "bpm": None}).steer()
    assert steer is not None and steer.asked() == {"type": "steer", "set": {"energy": 0.9, "bpm": None}}
    assert parse_changes({"name": "stage"}).steer() is None


def test_a_prompt_is_understood_once_and_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    monkeypatch.setattr("moods.fields.resolve_prompt", lambda text: texts.append(text) or resolve_prompt(text))
    opening = pickle.loads(pickle.dumps(parse_opening({"prompt": "sad quux"})))
    steer = pickle.loads(pickle.dumps(parse_control({"type": "steer", "set": {"prompt": "epic"}})))
    assert texts == ["sad quux", "epic"]
    controller = Controller(opening, 1)
    controller.apply(steer, 0)
    assert opening.understood.unknown == ("quux",) and steer.set.understood.moods == {"epic": 1.0}
    assert texts == ["sad quux", "epic"]
