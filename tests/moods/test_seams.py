"""Cuts and bridges are all at once on one beat; what takes time has arrived when it is over."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest

from moods.control import parse_control
from moods.controller import MAX_WAITING, Applied, Controller
from moods.errors import BadControl, OutOfRange, TooManyWaiting, UnknownMarker
from moods.intent import LAYERS
from moods.mood import find_mood
from moods.opening import parse_opening

SECOND = 48_000
DRUMS = LAYERS.index("drums")


def opened(seed: int = 1, **fields: Any) -> Controller:
    return Controller(parse_opening(fields or {"mood": "night"}), seed)


def send(controller: Controller, frame: int, **control: Any) -> Applied:
    return controller.apply(parse_control(control), frame)


def steer(controller: Controller, frame: int, /, **control: Any) -> Applied:
    """What is no part of the control's own are mood fields."""
    own = {name: control.pop(name) for name in ("how", "at", "over") if name in control}
    return send(controller, frame, type="steer", set=control, id="c", **own)


def beat_of(controller: Controller, frame: int) -> int:
    beat = controller.beat_at(frame)
    assert controller.frame_of_beat(beat) == frame
    return beat


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("at", ["beat", "bar", "3 beats", "2 bars", "phrase", "section", {"seconds": 14.2}])
@pytest.mark.parametrize("how", ["cut", "bridge"])
def test_a_cut_has_all_of_the_new_mood_from_its_frame_on(how: str, at: Any, seed: int) -> None:
    controller, epic = opened(seed), find_mood("epic")
    applied = steer(controller, 9 * SECOND, how=how, at=at, mood="epic", key="D minor", layers={"bass": "mute"})
    beat = beat_of(controller, applied.effective.frame)
    before, there = controller.beat_intent(beat - 1), controller.beat_intent(beat)
    assert (there.valence, there.energy, there.style) == (epic.valence, epic.energy, epic.style)
    assert str(there.key) == "D minor" and before.valence != epic.valence and str(before.key) != "D minor"
    assert (
        there.bpm > 1.3 * before.bpm and [controller.beat_intent(beat + n).bpm for n in range(16)] == [there.bpm] * 16
    )
    assert (there.section, there.bar_in_section, there.active_layers[LAYERS.index("bass")]) == ("A", 0, False)
    (mark,) = controller.cues_over(applied.effective.frame + 1)
    assert mark.frame == applied.effective.frame == applied.fields["hit"].begin.frame
    heard, last = controller.intent(applied.effective.frame), controller.intent(applied.effective.frame - 1)
    assert (heard.energy, heard.bpm, heard.layer_gains_db[1]) == (epic.energy, there.bpm, -120)
    assert (last.energy, last.layer_gains_db[1]) == (find_mood("night").energy, 0)
    for name in ("valence", "energy", "style", "bpm", "key", "layers", "section", "mood"):
        reach = applied.fields[name]
        assert reach.begin.frame == reach.arrive.frame == applied.effective.frame, name


@pytest.mark.parametrize("at", ["beat", "bar", "2 bars", "phrase"])
def test_a_bridge_is_a_bar_without_drums_that_knows_the_key_and_fills(at: str) -> None:
    controller = opened(2, mood="sport", key="C major", bpm=120)
    untouched = [controller.beat_intent(beat) for beat in range(80)]
    applied = steer(controller, 5 * SECOND, how="bridge", at=at, mood="night", key="C major")
    beat = beat_of(controller, applied.effective.frame)
    assert applied.changed_since == applied.fields["bridge"].begin.frame == controller.frame_of_beat(beat - 4)
    assert applied.fields["bridge"].arrive == applied.effective
    bridge = [controller.beat_intent(beat - left) for left in (4, 3, 2, 1)]
    assert [str(intent.key_ahead) for intent in bridge] == ["C major"] * 4
    assert [intent.beats_to_key for intent in bridge] == [4, 3, 2, 1]
    assert [intent.active_layers[DRUMS] for intent in bridge] == [False] * 3 + [True] and bridge[3].cue == "fill"
    assert [controller.beat_intent(each) for each in range(beat - 4)] == untouched[: beat - 4]


def test_a_cut_that_is_taken_back_leaves_nothing() -> None:
    for how in ("cut", "bridge"):
        controller, untouched = opened(3), opened(3)
        steer(controller, 5 * SECOND, how=how, at="phrase", mood="epic")
        send(controller, 6 * SECOND, type="cancel", target="c", id="k")
        for beat in range(120):
            assert controller.beat_intent(beat) == untouched.beat_intent(beat)
        with pytest.raises(BadControl, match='target is "c"; no control of that id'):
            send(controller, 6 * SECOND, type="cancel", target="c")


def test_a_cut_keeps_to_the_tempo_of_a_plan_unless_one_is_asked_for() -> None:
    timeline = {"duration": 40, "mood": "night", "hits": [{"at": 20.0, "name": "door"}], "ending": "cadence"}
    for fields, is_planned in (({"mood": "sport"}, True), ({"mood": "sport", "bpm": 140}, False)):
        controller, planned = opened(timeline=timeline), opened(timeline=timeline)
        applied = steer(controller, 5 * SECOND, how="cut", **fields)
        beats = range(beat_of(controller, applied.effective.frame), 30)
        same = [controller.clock.frame_of_beat(beat) == planned.clock.frame_of_beat(beat) for beat in beats]
        assert all(same) == is_planned
        if not is_planned:
            assert controller.position(applied.effective.frame).bpm == 140


@pytest.mark.parametrize(("over", "beats"), [(0, 0), ("0 beats", 0), ("1 beat", 1), ("2 bars", 8), ("6 beats", 6)])
@pytest.mark.parametrize("fields", [{"bpm": 200}, {"mood": "epic"}, {"bpm": 40, "valence": -1, "density": 0.9}])
def test_over_is_over_for_tempo_too(fields: dict[str, Any], over: Any, beats: int) -> None:
    controller = opened(4)
    applied = steer(controller, 7 * SECOND, over=over, at="bar", **fields)
    first = beat_of(controller, applied.fields["bpm"].begin.frame)
    assert beat_of(controller, applied.fields["bpm"].arrive.frame) == first + beats
    tempi = [controller.beat_intent(beat).bpm for beat in range(first + beats, first + beats + 12)]
    assert tempi == [fields.get("bpm", tempi[0])] * 12
    for name, reach in applied.fields.items():
        assert name == "key" or beat_of(controller, reach.arrive.frame) == first + beats, name


@pytest.mark.parametrize("seconds", [0.4, 2.0, 7.5])
def test_a_tempo_has_arrived_with_the_first_beat_after_its_seconds(seconds: float) -> None:
    controller = opened(4)
    applied = steer(controller, 7 * SECOND, over=seconds, at="beat", bpm=170)
    end = applied.fields["bpm"].begin.frame + seconds * SECOND
    beat = beat_of(controller, applied.fields["bpm"].arrive.frame)
    assert controller.frame_of_beat(beat - 1) < end <= controller.frame_of_beat(beat)
    assert controller.beat_intent(beat).bpm == 170 and 76 <= controller.beat_intent(beat - 1).bpm < 170


def test_a_key_comes_where_over_is_over_with_a_pivot_before() -> None:
    controller = opened(5, mood="night", key="C major", bpm=120)
    applied = steer(controller, SECOND, over="2 bars", at="bar", key="A major")
    beat = beat_of(controller, applied.fields["key"].arrive.frame)
    assert beat == 4 + 8
    keys = [str(controller.beat_intent(each).key) for each in (beat - 1, beat)]
    assert keys == ["C major", "A major"] and controller.beat_intent(beat - 4).beats_to_key == 4


def test_an_ack_tells_where_a_mood_has_arrived_that_says_nothing_of_time() -> None:
    controller = opened(1)
    applied = steer(controller, 10 * SECOND, mood="epic")
    beat = beat_of(controller, applied.fields["bpm"].arrive.frame)
    tempi = [controller.beat_intent(each).bpm for each in range(beat - 1, beat + 9)]
    assert tempi[0] != tempi[1] and tempi[1:] == pytest.approx([tempi[1]] * 9)


def test_a_place_may_have_a_name() -> None:
    timeline = {
        "duration": 40, "mood": "night", "ending": "fade",
        "hits": [{"at": 20.0, "name": "door"}], "sections": [{"at": 25.0, "name": "chase", "energy": 0.8}],
    }  # fmt: skip
    controller = opened(timeline=timeline)
    send(controller, 0, type="hit", at={"seconds": 12.5}, id="own")
    for name, seconds in (("door", 20.0), ("chase", 25.0), ("own", 12.5)):
        applied = send(controller, SECOND, type="duck", gain_db=-6, at={"marker": name})
        assert applied.effective.seconds == seconds
    with pytest.raises(UnknownMarker, match='unknown marker "dor"; nearest: door'):
        send(controller, SECOND, type="hit", at={"marker": "dor"})
    with pytest.raises(BadControl, match=r'marker "door" has passed, at 20\.00 s'):
        send(controller, 21 * SECOND, type="hit", at={"marker": "door"})


def test_what_is_placed_by_a_marker_stays_with_it_when_the_tempo_changes() -> None:
    controller = opened(mood="night", bpm=80, states={"calm": {}}, initial="calm")
    asked: list[dict[str, Any]] = [
        {"type": "steer", "set": {"energy": 0.9}}, {"type": "duck", "gain_db": -6},
        {"type": "stinger", "name": "reveal"}, {"type": "section", "do": "go", "to": "B"},
    ]  # fmt: skip
    send(controller, SECOND, type="hit", at="8 bars", id="h")
    for control in asked:
        send(controller, SECOND, **control, id=control["type"], at={"marker": "h"})
    steer(controller, 2 * SECOND, bpm=150, how="cut", at="beat")
    begin = {
        each.id: max(reached.begin.frame for reached in each.fields.values()) for each in controller.pending(SECOND * 3)
    }
    assert {"h", *(control["type"] for control in asked)} <= begin.keys()
    places = [frame for name, frame in begin.items() if name is not None]
    assert len(set(places)) == 1 and places[0] != 32 * SECOND * 60 // 80


def test_a_marker_whose_sound_rings_on_and_whose_beginning_is_forgotten_is_over() -> None:
    controller = Controller(parse_opening({"mood": "night"}), 1)
    send(controller, SECOND, type="stinger", name="victory", at="beat", id="won")
    for second in range(1, 30):
        controller.forget_before(second * SECOND)
        with contextlib.suppress(BadControl, UnknownMarker):
            send(controller, second * SECOND, type="steer", set={"energy": 0.5}, at={"marker": "won"})
            assert second < 3
        with pytest.raises(UnknownMarker):
            send(controller, second * SECOND, type="steer", set={"energy": 0.5}, at={"marker": "none"})


def test_slow_motion_stretches_time_and_gives_it_back() -> None:
    controller = opened(6, mood="epic", bpm=120)
    notes = [controller.beat_intent(beat) for beat in range(40)]
    applied = send(controller, 2 * SECOND, type="transport", do="slow", rate=0.5, over=0)
    first = controller.beat_at(2 * SECOND + 2880) + 1
    assert applied.changed_since == controller.frame_of_beat(first)
    assert controller.frame_of_beat(first + 8) - controller.frame_of_beat(first) == 8 * SECOND
    assert [controller.beat_intent(beat) for beat in range(40)] == notes  # the same notes, later
    slow, usual = controller.intent(3 * SECOND), opened(6, mood="epic", bpm=120).intent(3 * SECOND)
    assert slow.brightness < usual.brightness and slow.gain_db < usual.gain_db and slow.bpm == 60
    send(controller, 6 * SECOND, type="transport", do="slow", rate=1)
    late = controller.beat_at(9 * SECOND)
    assert controller.frame_of_beat(late + 2) - controller.frame_of_beat(late) == SECOND
    assert controller.intent(9 * SECOND).gain_db == usual.gain_db


def test_slow_motion_begins_where_it_is_asked_for() -> None:
    controller = opened(bpm=120)
    applied = send(controller, SECOND, type="transport", do="slow", rate=0.5, at="bar")
    assert applied.effective.frame == 2 * SECOND
    assert [controller.intent(frame).gain_db for frame in (2 * SECOND - 1, 2 * SECOND)] == [0, -4]
    assert controller.frame_of_beat(5) == 3 * SECOND


@pytest.mark.parametrize(
    "asked",
    [
        {"type": "transport", "do": "slow", "rate": 0.5, "over": 3},
        {"type": "steer", "set": {"energy": 0.9, "layers": {"drums": "mute"}}, "over": 1},
    ],
)
def test_what_has_begun_is_not_taken_back_by_half(asked: dict[str, Any]) -> None:
    controller, other = opened(bpm=120), opened(bpm=120)
    for each in (controller, other):
        send(each, SECOND * 2 + 10, **asked, id="x")
    with pytest.raises(BadControl, match="no control of that id is still waiting"):
        send(controller, SECOND * 2 + 19, type="cancel", target="x")
    assert [controller.intent(frame * SECOND) for frame in range(9)] == [
        other.intent(frame * SECOND) for frame in range(9)
    ]
    assert controller.beat_intent(30) == other.beat_intent(30)
    later = send(controller, SECOND * 3, type="steer", set={"energy": 0.1}, at="section", id="x")
    assert send(controller, SECOND * 4, type="cancel", target="x").fields.keys() == later.fields.keys()


def test_a_hundred_cuts_to_and_fro_arrive_and_stay_small() -> None:
    controller, frame = opened(7), 0
    for number in range(100):
        mood = ("epic", "night")[number % 2]
        frame += (3 + number % 5) * SECOND + 960 * (number % 7)
        controller.forget_before(max(0, frame - 10 * SECOND))
        applied = steer(controller, frame, how="cut", at=("beat", "bar")[number % 3 == 0], mood=mood)
        there = controller.beat_intent(beat_of(controller, applied.effective.frame))
        assert (there.energy, there.style) == (find_mood(mood).energy, find_mood(mood).style)
        assert there.bpm > 100 if mood == "epic" else there.bpm < 90
    assert len(json.dumps(controller.snapshot())) < 60_000


def test_what_is_still_to_come_is_told_until_it_has_arrived() -> None:
    controller = opened(8, mood="focus", bpm=120)
    send(controller, SECOND, type="steer", set={"energy": 0.9}, over="2 bars", at="bar", id="glide")
    send(controller, SECOND, type="hit", at={"seconds": 9}, id="hit")
    send(controller, SECOND, type="section", do="go", to="B", at="phrase", id="b")
    send(controller, SECOND, type="end", how="ring", at={"seconds": 20}, id="end")

    def waiting(seconds: float) -> list[tuple[str | None, str]]:
        return [(each.id, each.type) for each in controller.pending(round(seconds * SECOND))]

    every = [("glide", "steer"), ("b", "section"), ("hit", "hit"), ("end", "end")]
    assert waiting(1) == every == waiting(5.9)
    assert waiting(6) == [every[3 - left] for left in (2, 1, 0)]
    assert [waiting(seconds) for seconds in (8, 9, 20)] == [every[2:], every[3:], []]
    glide = controller.pending(SECOND)[0].fields["energy"]
    assert (glide.begin.seconds, glide.arrive.seconds) == (2, 6)
    controller.forget_before(5 * SECOND)
    assert controller.pending(5 * SECOND)[0].fields["energy"].begin.seconds == 5  # where it began is forgotten


def test_an_ack_names_what_it_replaces() -> None:
    controller = opened(8, mood="focus", bpm=120)

    def asked(control_id: str, **control: Any) -> tuple[str, ...]:
        return send(controller, SECOND, id=control_id, **control).replaces

    assert asked("a", type="steer", set={"energy": 0.9}, over="4 bars", at="bar") == ()
    assert asked("b", type="steer", set={"tension": 0.9}, at="bar") == ()
    assert asked("c", type="steer", set={"energy": 0.1}, at="2 bars") == ("a",)  # which goes on until there
    assert controller.beat_intent(7).energy > controller.beat_intent(4).energy > controller.beat_intent(8).energy == 0.1
    assert asked("d", type="steer", set={"energy": 0.5, "tension": 0.2}, at="bar") == ("a", "b")
    assert controller.beat_intent(8).energy == 0.1  # it was asked for later on
    for control in ({"type": "hit", "at": "bar"}, {"type": "stinger", "name": "reveal", "at": "bar"},
                    {"type": "section", "do": "next"}, {"type": "end", "at": "phrase"}):  # fmt: skip
        assert (asked("one", **control), asked("other", **control)) == ((), ("one",))


def test_only_so_much_waits_and_what_is_soon_or_takes_its_place_is_never_refused() -> None:
    controller = opened(1)
    for number in range(MAX_WAITING):
        send(controller, SECOND, type="hit", at={"seconds": 20 + number})
    with pytest.raises(TooManyWaiting, match="allowed are 64"):
        send(controller, SECOND, type="section", do="next", at="section")
    send(controller, SECOND, type="hit", at="beat")
    steer(controller, SECOND, energy=0.5)
    for begun in (22, 24):
        send(controller, begun * SECOND, type="hit", at={"seconds": 100 + begun})
    other = opened(1)
    for _ in range(2 * MAX_WAITING):
        send(other, SECOND, type="steer", set={"energy": 0.5}, at="section")
    with pytest.raises(OutOfRange):
        steer(other, SECOND, bpm=90, how="cut", at={"seconds": 700})


@pytest.mark.parametrize("asked", [{"type": "cancel", "target": "/state/1"}, {"type": "hit", "id": "/state/7"}])
def test_what_a_state_asks_for_nobody_else_names(asked: dict[str, Any]) -> None:
    with pytest.raises(BadControl, match="does not begin with /state/"):
        send(opened(1), SECOND, **asked)
