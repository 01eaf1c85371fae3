"""A station goes from state to state as its matrix says, in musical time, and does so again when it is done again."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from moods.control import Control, Steer, parse_control
from moods.controller import Applied, Controller
from moods.errors import BadControl, UnknownParameter, UnknownState
from moods.opening import parse_opening
from moods.part import Change, Edge
from moods.pivot import Pivots
from moods.states import PREVIOUS

SECOND = 48_000
STATES: dict[str, Any] = {
    "explore": {"mood": "night", "energy": 0.3, "bpm": 120},
    "combat": {"mood": "epic", "energy": 0.9, "key": "D minor", "bpm": 120, "min_dwell": "2 bars"},
    "victory": {"mood": "victory", "bpm": 120, "priority": 2},
}
ROWS: list[dict[str, Any]] = [
    {"to": "combat", "at": "beat"},
    {"from": "combat", "to": "explore", "over": "1 bar", "fill": True},
    {"to": "victory", "stinger": "success", "return_after": "4 bars"},
]
DANGER: dict[str, Any] = {"to": [{"field": "brightness", "curve": [[0, 0.2], [1, 0.9]]}]}
OPENING: dict[str, Any] = {
    "states": STATES, "transitions": ROWS, "initial": "explore", "parameters": {"danger": DANGER},
}  # fmt: skip
BEAT = SECOND // 2  # at 120 bpm


def begin(**more: Any) -> Controller:
    return Controller(parse_opening(OPENING | more), 1)


def go(controller: Controller, beat: float, name: str, **more: Any) -> Applied:
    """Ask for a state shortly before `beat` begins, so that it is the first open one."""
    frame = max(0, round(beat * BEAT) - SECOND // 10)
    return controller.apply(parse_control({"type": "state", "name": name, **more}), frame)


def states(controller: Controller, num_beats: int = 64) -> list[tuple[int, str | None]]:
    """The states, each with the beat at which it begins."""
    out: list[tuple[int, str | None]] = []
    for beat in range(num_beats):
        entrance = controller.state(beat)
        name = None if entrance is None else entrance.name
        if not out or out[-1][1] != name:
            out.append((beat, name))
    return out


def test_a_state_begins_where_its_row_says_and_is_heard_from_there() -> None:
    controller = begin()
    applied = go(controller, 6, "combat", id="c1")
    assert states(controller) == [(0, "explore"), (6, "combat")]
    assert applied.effective.frame == applied.fields["state"].begin.frame == 6 * BEAT
    assert [round(controller.beat_intent(beat).energy, 2) for beat in (5, 6)] == [0.3, 0.9]
    assert str(controller.beat_intent(6).key) == "D minor"
    before = [controller.beat_intent(beat).cue for beat in (17, 18, 19)]
    assert go(controller, 20, "explore").effective.frame == 20 * BEAT
    assert controller.beat_intent(24).energy == pytest.approx(0.3)
    assert [controller.beat_intent(beat).cue for beat in (17, 18, 19)] == before  # there was no time for a fill


def test_the_drums_lead_into_a_state_that_wants_it() -> None:
    controller = begin()
    go(controller, 6, "combat")
    go(controller, 17, "explore")
    assert states(controller)[-1] == (20, "explore")
    assert [controller.beat_intent(beat).cue for beat in (17, 18, 19)] == ["none", "fill", "fill"]


@pytest.mark.parametrize("asked, begins", [(8, 16), (15, 16), (18, 20)])
def test_a_state_is_left_after_its_dwell_at_the_earliest(asked: int, begins: int) -> None:
    controller = begin()
    go(controller, 6, "combat")  # 2 bars: until beat 14
    go(controller, asked, "explore")
    assert states(controller) == [(0, "explore"), (6, "combat"), (begins, "explore")]


def test_a_dwell_in_seconds_counts_from_where_the_state_began_however_long_ago_that_is() -> None:
    controller = begin(transitions=[{"to": "combat", "at": "beat"}, {"to": "explore", "at": "beat", "min_dwell": 30}])
    go(controller, 6, "combat")
    controller.forget_before(55 * BEAT)
    go(controller, 60, "explore")
    assert states_from(controller, 55) == [(55, "combat"), (66, "explore")]


def states_from(controller: Controller, first_beat: int) -> list[tuple[int, str]]:
    names = [(beat, controller.state(beat)) for beat in range(first_beat, first_beat + 40)]
    out: list[tuple[int, str]] = []
    for beat, entrance in names:
        assert entrance is not None
        if not out or out[-1][1] != entrance.name:
            out.append((beat, entrance.name))
    return out


def test_a_state_of_higher_priority_waits_for_no_dwell_and_a_lower_one_does_not_replace_it() -> None:
    controller = begin()
    go(controller, 6, "combat")
    go(controller, 7, "victory")
    go(controller, 7, "explore")
    assert states(controller) == [(0, "explore"), (6, "combat"), (8, "victory"), (12, "explore")]


def test_a_later_wish_replaces_one_that_waits() -> None:
    untouched, controller = begin(), begin()
    go(controller, 5, "combat", at="phrase")
    assert states(controller)[1] == (16, "combat")
    go(controller, 6, "explore")
    assert states(controller) == [(0, "explore")]
    assert [controller.beat_intent(beat) for beat in range(40)] == [untouched.beat_intent(beat) for beat in range(40)]
    go(controller, 7, "combat")
    assert states(controller) == [(0, "explore"), (7, "combat")]


def test_a_state_comes_back_by_itself_and_with_previous() -> None:
    controller = begin()
    go(controller, 6, "combat")
    go(controller, 15, "victory", id="v")
    assert states(controller) == [(0, "explore"), (6, "combat"), (16, "victory"), (32, "combat")]
    assert controller.beat_intent(16).stinger == ("success", 0.0)
    assert [(cue.stinger, cue.id) for cue, _ in controller.cues_within(14, 18)] == [("success", "v")]
    go(controller, 25, "explore")
    assert states(controller)[3:] == [(28, "explore")]
    go(controller, 30, PREVIOUS)
    assert states(controller)[4:] == [(32, "victory"), (48, "explore")]


RETURNING = [(0, "explore"), (8, "victory"), (24, "explore")]


@pytest.mark.parametrize(
    "asked, after",
    [
        ({"name": "victory"}, RETURNING),
        ({"name": "victory", "at": "phrase"}, RETURNING),
        ({"name": PREVIOUS}, [*RETURNING[:2], (16, "explore")]),
        ({"name": "explore"}, [*RETURNING[:2], (16, "explore")]),
        ({"name": "explore", "at": {"seconds": 30}}, RETURNING),
        ({"name": "combat"}, [*RETURNING[:2], (14, "combat")]),
    ],
)
def test_a_state_that_will_come_back_by_itself_is_none_that_was_asked_for(
    asked: dict[str, Any], after: list[tuple[int, str]]
) -> None:
    controller = begin()
    go(controller, 8, "victory", id="v")
    assert states(controller) == RETURNING
    applied = go(controller, 14, **asked)
    assert states(controller) == after
    assert applied.is_idle == (after == RETURNING)
    if after != RETURNING:
        return
    controller.apply(parse_control({"type": "cancel", "target": "v"}), 14 * BEAT)
    assert states(controller) == RETURNING[:2]


def test_said_again_before_it_begins_a_state_still_comes_back_and_comes_sooner_where_that_is_asked() -> None:
    controller = begin()
    go(controller, 5, "victory")
    assert go(controller, 6, "victory").is_idle
    assert states(controller) == RETURNING
    assert go(controller, 6, "victory", at="beat").fields["state"].begin.frame == 6 * BEAT
    assert states(controller) == [(0, "explore"), (6, "victory"), (24, "explore")]


def test_who_stays_where_it_is_is_told_so() -> None:
    controller = begin()
    go(controller, 5, "combat", id="c", at="phrase")
    applied = go(controller, 6, PREVIOUS)
    here = round(6 * BEAT) - SECOND // 10
    assert applied.fields.keys() == {"state"} and applied.fields["state"].begin.frame == applied.effective.frame == here
    assert applied.replaces == ("c",) and states(controller) == [(0, "explore")]


def test_the_state_it_begins_in_has_its_section_and_holds_it() -> None:
    controller = begin(states=STATES | {"camp": {"energy": 0.2, "section": "break", "hold": True}}, initial="camp")
    assert {controller.beat_intent(beat).section for beat in range(200)} == {"break"}
    go(controller, 14, "explore")
    assert controller.beat_intent(100).section != "break"
    untouched, same = begin(), begin(states=STATES | {"explore": STATES["explore"] | {"section": "A"}})
    assert [same.beat_intent(beat) for beat in range(64)] == [untouched.beat_intent(beat) for beat in range(64)]


@pytest.mark.parametrize("name", ["break", "intro"])
def test_a_section_that_is_asked_for_is_heard_in_every_state(name: str) -> None:
    controller = begin()
    go(controller, 6, "combat")
    controller.apply(parse_control({"type": "section", "do": "go", "to": name}), 9 * BEAT)
    assert [controller.beat_intent(beat).section for beat in (11, 12)] == ["A", name]
    go(controller, 14, "explore")
    go(controller, 22, "combat", how="glide")
    assert controller.beat_intent(22).section == "A"  # what was asked for in another state does not stay


def test_cancelling_a_state_takes_back_all_that_was_asked_for_it() -> None:
    untouched, controller = begin(), begin()
    go(controller, 6, "victory", id="v")
    controller.apply(parse_control({"type": "cancel", "target": "v"}), 6 * BEAT)
    assert states(controller) == [(0, "explore")]
    assert [controller.beat_intent(beat) for beat in range(60)] == [untouched.beat_intent(beat) for beat in range(60)]


def test_a_state_that_drives_has_no_break_and_one_gone_to_has_no_intro() -> None:
    controller, untouched = begin(states=STATES | {"explore": STATES["explore"] | {"section": "intro"}}), begin()
    go(controller, 6, "combat")
    assert "break" in {untouched.beat_intent(beat).section for beat in range(200)}
    sections = [controller.beat_intent(beat).section for beat in range(200)]
    assert sections[5] == "intro" and set(sections[6:]) == {"A", "B"}
    drums = [[each.beat_intent(beat).active_layers[0] for beat in range(6, 800)] for each in (controller, untouched)]
    assert all(drums[0]) and not all(drums[1])


def test_unknown_names_are_refused_with_the_nearest() -> None:
    controller = begin()
    with pytest.raises(UnknownState, match="nearest: combat"):
        go(controller, 5, "combatt")
    with pytest.raises(BadControl, match="there has been no state before"):
        go(controller, 5, PREVIOUS)
    with pytest.raises(UnknownState, match="has no states"):
        go(Controller(parse_opening({})), 5, "combat")
    with pytest.raises(UnknownParameter, match="nearest: danger"):
        controller.apply(parse_control({"type": "parameter", "set": {"dangr": 1}}), 0)


def test_what_is_so_anyway_is_answered_and_changes_nothing() -> None:
    controller = begin()
    assert not go(controller, 6, "combat").is_idle
    controller.apply(parse_control({"type": "parameter", "set": {"danger": 0.5}}), 3 * SECOND)
    kept, revision = controller.snapshot(), controller.revision
    assert go(controller, 7, "combat").is_idle
    assert controller.apply(parse_control({"type": "parameter", "set": {"danger": 0.51}}), 4 * SECOND).is_idle
    assert controller.snapshot() == kept and controller.revision == revision


def test_a_parameter_is_heard_at_once_and_keeps_its_field_through_a_change_of_state() -> None:
    controller = begin()
    frame = 3 * SECOND
    applied = controller.apply(parse_control({"type": "parameter", "set": {"danger": 1}}), frame)
    assert applied.effective.frame == frame and applied.fields["brightness"].arrive.frame == frame + round(0.3 * SECOND)
    assert controller.intent(frame + SECOND // 10).brightness < controller.intent(frame + SECOND).brightness == 0.9
    go(controller, 10, "combat")
    assert controller.intent(20 * BEAT).brightness == 0.9


def test_thirty_updates_a_second_leave_little_behind() -> None:
    controller, rng = begin(), random.Random(1)
    num_noted, value = 0, 0.5
    for update in range(30 * 120):
        frame = update * SECOND // 30
        value = min(1.0, max(0.0, value + rng.uniform(-0.004, 0.004)))
        control = {"type": "parameter", "set": {"danger": value + rng.uniform(-0.01, 0.01)}}
        num_noted += not controller.apply(parse_control(control), frame).is_idle
        if update % 100 == 0:
            controller.forget_before(max(0, frame - 10 * SECOND))
    assert 0 < num_noted < 300
    assert len(json.dumps(controller.snapshot())) < 20_000


def test_it_is_kept_and_goes_on_as_it_would_have() -> None:
    controller = begin()
    go(controller, 6, "combat")
    controller.apply(parse_control({"type": "parameter", "set": {"danger": 0.7}}), 4 * SECOND)
    go(controller, 10, "victory", at="phrase")
    controller.forget_before(5 * SECOND)
    back = Controller.restore(json.loads(json.dumps(controller.snapshot())), parse_opening(OPENING))
    for each in (controller, back):
        go(each, 14, "explore")
        each.apply(parse_control({"type": "parameter", "set": {"danger": 0.71}}), 8 * SECOND)
    assert states_from(controller, 12) == states_from(back, 12)
    assert [back.beat_intent(beat) for beat in range(12, 70)] == [controller.beat_intent(b) for b in range(12, 70)]


def test_a_theme_begins_with_its_state_and_ends_with_it() -> None:
    hero = {"notes": [{"pitch": "D4", "at": beat, "beats": 1} for beat in range(8)], "key": "D minor"}
    states = STATES | {"combat": STATES["combat"] | {"theme": "hero"}}
    controller = begin(states=states, themes={"hero": hero})
    go(controller, 6, "combat")
    go(controller, 17, "explore")
    themes = [controller.beat_intent(beat).theme is not None for beat in range(120)]
    assert not any(themes[:6]) and all(themes[6:14]) and not any(themes[20:])
    first = begin(states=states, themes={"hero": hero}, initial="combat")
    assert first.beat_intent(0).theme is not None


def test_a_sudden_state_is_all_there_on_its_beat_and_a_hit_marks_it() -> None:
    sudden = {"explore": {"mood": "night", "energy": 0.3}, "combat": {"mood": "epic", "energy": 0.9}}
    controller = begin(states=sudden, transitions=[])
    applied = controller.apply(parse_control({"type": "state", "name": "combat"}), 5 * SECOND)
    beat = controller.beat_at(applied.effective.frame)
    before, after = (controller.beat_intent(each) for each in (beat - 1, beat))
    assert applied.effective.beat == 1 and controller.frame_of_beat(beat) == applied.effective.frame
    assert all(reach.arrive.frame <= applied.effective.frame for reach in applied.fields.values())
    assert (after.section, after.bar_in_section, after.energy) == ("A", 0, 0.9)
    assert [cue.frame for cue in controller.cues_over(applied.effective.frame + 1)] == [applied.effective.frame]
    assert before.style != after.style == controller.beat_intent(beat + 40).style
    assert before.bpm < after.bpm == controller.beat_intent(beat + 40).bpm


def test_a_cut_after_a_dwell_is_led_into_and_a_bridge_has_its_bar() -> None:
    rows = [{"from": "combat", "to": "explore", "how": "cut"}, {"to": "victory", "how": "bridge"}, {"to": "combat"}]
    controller = begin(transitions=rows)
    go(controller, 6, "combat")
    assert states(controller)[1] == (8, "combat")
    go(controller, 9, "explore")
    assert states(controller)[2] == (16, "explore")
    assert controller.beat_intent(15).cue == "fill"
    assert controller.frame_of_beat(16) in [cue.frame for cue in controller.cues_over(controller.frame_of_beat(17))]
    go(controller, 22, "victory")
    assert states(controller)[3] == (28, "victory")


def test_a_parameter_that_moves_while_a_state_waits_is_what_it_is_when_the_state_begins() -> None:
    controller = begin()
    controller.apply(parse_control({"type": "parameter", "set": {"danger": 0.2}}), SECOND)
    go(controller, 5, "combat", at="phrase")
    controller.apply(parse_control({"type": "parameter", "set": {"danger": 1}}), 3 * SECOND)
    assert states(controller)[1] == (16, "combat")
    assert [controller.intent(beat * BEAT).brightness for beat in (15, 16, 20, 40)] == [0.9] * 4


@pytest.mark.parametrize("how", [None, "glide", "cut", "bridge"])
@pytest.mark.parametrize("over", [None, 0, "4 bars"])
def test_whatever_control_and_row_say_of_how_and_over_is_refused_where_it_is_read_or_goes_there(
    how: str | None, over: float | str | None
) -> None:
    rows: list[dict[str, Any]] = [{}, {"bridge": True}, {"over": "1 bar"}, {"how": "cut"}, {"how": "glide", "over": 2}]
    asked = {"type": "state", "name": "combat", "how": how, "over": over}
    if how in ("cut", "bridge") and over is not None:
        with pytest.raises(BadControl, match=f'over is given with how "{how}"; only a glide takes time'):
            parse_control(asked)
        return
    for row in rows:
        controller = begin(transitions=[{"to": "combat"} | row])
        assert controller.apply(parse_control(asked), SECOND).fields["state"].begin.beat == 1
        assert states(controller)[-1][1] == "combat"


def test_a_state_that_cannot_be_gone_to_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = begin()
    go(controller, 6, "combat", at="phrase")
    beats, before = [controller.beat_intent(beat) for beat in range(40)], controller.snapshot()

    def refuse(part: Pivots, control: Control, edge: Edge) -> Change | None:
        if isinstance(control, Steer):
            raise BadControl("there is no way there")
        return None

    with monkeypatch.context() as patched:
        patched.setattr(Pivots, "apply", refuse)
        with pytest.raises(BadControl, match="no way there"):
            go(controller, 7, "victory")
    assert controller.snapshot() == before
    assert [controller.beat_intent(beat) for beat in range(40)] == beats


def test_a_cut_waits_for_a_dwell_however_long_it_is() -> None:
    states = {"slow": {"bpm": 40, "min_dwell": "600 bars"}, "fast": {"bpm": 200}}
    controller = begin(states=states, transitions=[{"to": "fast", "how": "cut"}], initial="slow", parameters={})
    controller.apply(parse_control({"type": "transport", "do": "slow", "rate": 0.25}), 0)
    applied = controller.apply(parse_control({"type": "state", "name": "fast"}), SECOND)
    assert applied.fields["state"].begin.bar == 601
