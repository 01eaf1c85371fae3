"""The tempo map is exact to the frame, however long it runs; the plan of sections is endless."""

from __future__ import annotations

from itertools import pairwise

from moods.clock import FRAMES_PER_SECOND, Clock
from moods.form import Form
from moods.intent import SECTIONS


def test_beats_of_a_day_do_not_drift() -> None:
    clock = Clock(lambda beat: 90.0)
    beats = 24 * 60 * 90
    assert clock.frame_of_beat(beats) == 24 * 3600 * FRAMES_PER_SECOND
    assert clock.beat_at(24 * 3600 * FRAMES_PER_SECOND - 1) == beats - 1


def test_every_beat_is_a_whole_number_of_frames() -> None:
    clock = Clock(lambda beat: 97.3 + beat % 7)
    for beat in range(500):
        frame = clock.frame_of_beat(beat)
        assert clock.frame_of_beat(beat + 1) - frame == round(60 * 48_000 / (97.3 + beat % 7))
        assert clock.beat_at(frame) == beat and clock.beats_at(frame) == beat
        assert clock.beat_at(frame - 1) == beat - 1 if beat else True


def test_bars_and_beats_count_from_one() -> None:
    clock = Clock(lambda beat: 120.0)
    first, later = clock.position(0), clock.position(24_000 * 6 + 12_000)
    assert (first.bar, first.beat, first.fraction) == (1, 1, 0.0)
    assert (later.bar, later.beat, later.fraction, later.seconds) == (2, 3, 0.5, 3.25)


def test_a_revision_leaves_the_beat_itself_where_it_is() -> None:
    tempo = {"bpm": 120.0}
    clock = Clock(lambda beat: tempo["bpm"])
    before = [clock.frame_of_beat(beat) for beat in range(20)]
    tempo["bpm"] = 60.0
    clock.revise(10)
    assert [clock.frame_of_beat(beat) for beat in range(11)] == before[:11]
    assert clock.frame_of_beat(11) - before[10] == 48_000


def test_forgetting_changes_no_later_beat() -> None:
    clock, whole = Clock(lambda beat: 100.0 + beat), Clock(lambda beat: 100.0 + beat)
    kept = clock.forget_before(1_000_000)
    assert kept == whole.beat_at(1_000_000)
    assert [clock.frame_of_beat(kept + i) for i in range(50)] == [whole.frame_of_beat(kept + i) for i in range(50)]


def test_sections_are_endless_varied_and_begin_on_phrases() -> None:
    for seed in range(20):
        form = Form(seed)
        plan = [form.position_at(bar) for bar in range(600)]
        assert plan[0].section == "A"
        assert {at.section for at in plan} == set(SECTIONS) - {"intro", "outro"}
        for bar, (here, after) in enumerate(pairwise(plan), 1):
            assert after.bar_in_section in (0, here.bar_in_section + 1)
            assert (after.bar_in_section == 0) == (here.bars_to_change == 0)
            assert after.bar_in_section != 0 or bar % 4 == 0


def test_themes_return_and_give_way_to_new_ones() -> None:
    for seed in range(20):
        form = Form(seed)
        plan = [form.position_at(bar) for bar in range(224)]
        backs = [bar - at.recall[-1][0] for bar, at in enumerate(plan) if at.recall[-1] is not None]
        assert all(source >= 0 for source in backs)
        far = [bar for bar, at in enumerate(plan) if at.recall[-1] is not None and at.recall[-1][0] >= 16]
        new = [bar for bar, at in enumerate(plan) if at.bar_in_section == 0 and at.recall[-1] is None]
        assert len(far) >= 0.3 * len(plan)
        assert len(new) >= 3
        for bar in far:
            source = plan[bar - plan[bar].recall[-1][0]]
            assert source.section == plan[bar].section
    assert len({tuple(form.position_at(bar) for bar in range(100)) for form in map(Form, range(20))}) > 10


def test_a_far_bar_is_the_same_whenever_it_is_asked() -> None:
    form, far = Form(3), Form(3).position_at(10**9)
    assert [form.position_at(bar) for bar in range(2000)] and form.position_at(10**9) == far


def test_the_key_leaves_home_and_comes_back() -> None:
    for seed in range(20):
        form = Form(seed)
        shifts = [form.key_shift(bar) - form.position_at(bar).lift for bar in range(32 * 40)]
        assert set(shifts[:32]) == {0}
        assert 0.5 < shifts.count(0) / len(shifts) < 1
        moves = [(bar, after) for bar, (here, after) in enumerate(pairwise(shifts), 1) if here != after]
        assert all(bar % 32 == 0 for bar, _ in moves)
        assert [after == 0 for _, after in moves] == [number % 2 == 1 for number in range(len(moves))]


def test_a_layer_pauses_now_and_then_and_never_all() -> None:
    resting = [form.position_at(bar).resting for form in map(Form, range(20)) for bar in range(0, 224, 4)]
    assert 0.1 < sum(layer is not None for layer in resting) / len(resting) < 0.4
