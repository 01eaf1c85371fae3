"""A plan meets what matters within its range of tempo, and says truly what it met."""

from __future__ import annotations

import pickle
import random
from itertools import pairwise
from typing import Any

import pytest

from benchmarks.cuts_on_beats import draw_clip, measure
from moods.controller import Controller
from moods.ending import chord_window
from moods.mood import list_moods
from moods.opening import Opening, parse_opening
from moods.plan import Plan
from moods.timeline import HOWS, Timeline, parse_timeline

SECOND = 48_000
ROUNDING = 1e-3  # beats begin on whole frames of sound


def draw_timeline(seed: int) -> Timeline:
    """Sections, hits and cuts, in whatever place."""
    rng = random.Random(seed)
    duration = rng.uniform(4, 120)
    fields: dict[str, Any] = {"duration": duration, "ending": rng.choice(HOWS), "fps": rng.choice([24, 29.97, 60])}
    fields["mood"] = rng.choice([mood.name for mood in list_moods()])
    places = [rng.uniform(0, duration - 0.1) for _ in range(rng.randint(0, 20))]
    fields["cuts"] = [{"at": at, "weight": rng.random()} for at in places]
    fields["hits"] = [rng.uniform(0, duration - 0.1) for _ in range(rng.randint(0, 3))]
    starts = [rng.uniform(0, duration - 0.1) for _ in range(rng.randint(0, 3))]
    asked = [{"energy": rng.random()}, {"bpm": rng.choice([50, 128, 240])}, {"mood": "epic", "over": 2}]
    fields["sections"] = [{"at": at, **rng.choice(asked)} for at in starts]
    if rng.random() < 0.3:
        fields["tempo_range"] = rng.choice([0, 0.03, 0.25])
    return parse_timeline(fields)


def frames_of(plan: Plan, num_frames: int) -> list[int]:
    frames = [0]
    while frames[-1] < num_frames:
        frames.append(frames[-1] + round(60 * SECOND / plan.bpm_at(len(frames) - 1)))
    return frames


@pytest.mark.parametrize("seed", range(40))
def test_the_tempo_stays_within_its_range(seed: int) -> None:
    timeline = draw_timeline(seed)
    if timeline.ending == "loop":  # a loop fills whole bars, whatever tempo that takes
        timeline = timeline.model_copy(update={"ending": "fade"})
    plain = timeline.model_copy(update={"tempo_range": 0.0, "hits": [], "cuts": [], "ending": "fade"})
    asked = [bpm for _, bpm in plain.plan.bpm_of_beat]
    low, high = min(asked) * (1 - timeline.tempo_width), max(asked) * (1 + timeline.tempo_width)
    for _, bpm in timeline.plan.bpm_of_beat:
        assert low * (1 - ROUNDING) <= bpm <= high * (1 + ROUNDING)


@pytest.mark.parametrize("seed", range(40))
def test_what_is_met_is_met_there(seed: int) -> None:
    timeline = draw_timeline(seed)
    plan, end_s = timeline.plan, timeline.num_frames / SECOND
    frames = frames_of(plan, timeline.num_frames + 20 * SECOND)
    for anchor in plan.anchors:
        nearest = min(frames, key=lambda frame: abs(frame - round(anchor.at_s * SECOND)))
        assert anchor.error_ms == pytest.approx((nearest - round(anchor.at_s * SECOND)) / 48, abs=1e-3)
        if anchor.beat is not None:
            assert frames[anchor.beat] == nearest
            most = 1 / float(timeline.frame_rate) if anchor.kind == "cut" else 0
            assert abs(anchor.error_ms) <= 1000 * most
    if timeline.ending == "loop":
        assert plan.end_beat is not None and plan.end_beat % 4 == 0 and frames[plan.end_beat] == timeline.num_frames
    elif timeline.ending in ("cadence", "ring"):
        assert plan.end_beat is not None
        latest_s, _, earliest_s = chord_window(timeline.ending, end_s) or (0, 0, 0)
        assert latest_s - 0.05 <= end_s - frames[plan.end_beat] / SECOND <= earliest_s + 0.05
    else:
        assert plan.end_beat is None


@pytest.mark.parametrize("seed", range(10))
def test_sections_cover_the_piece(seed: int) -> None:
    plan = draw_timeline(seed).plan
    assert plan.sections[0].first_bar == 0
    for one, other in pairwise(plan.sections):
        assert one.first_bar + one.num_bars == other.first_bar


def test_a_section_begins_a_bar_and_a_hit_strikes_a_beat() -> None:
    marks = [{"at": 23.7, "mood": "epic"}, {"at": 41.3, "energy": 0.2}]
    timeline = parse_timeline({"duration": 60, "mood": "travel", "sections": marks, "hits": [30.1, 52.25]})
    controller = Controller(Opening(timeline=timeline), 1)
    for at in (23.7, 41.3):
        position = controller.position(round(at * SECOND))
        assert (position.beat, position.fraction) == (1, 0.0)
        assert controller.beat_intent(4 * (position.bar - 1)).bar_in_section == 0
    for at in (30.1, 52.25):
        assert controller.position(round(at * SECOND)).fraction == 0


def test_where_nothing_is_to_be_met_the_tempo_is_the_asked_one() -> None:
    plan = parse_timeline({"duration": 30, "bpm": 97, "ending": "fade"}).plan
    assert {bpm for _, bpm in plan.bpm_of_beat} == {plan.asked_bpm} or plan.highest_bpm - plan.lowest_bpm < 0.01
    assert plan.asked_bpm == 97


def test_a_plan_is_the_same_for_every_seed_and_travels_with_the_timeline() -> None:
    timeline = draw_timeline(3)
    assert draw_timeline(3).plan == timeline.plan
    assert timeline.model_copy(update={"seed": 9}).plan == timeline.plan
    sent = pickle.loads(pickle.dumps(Opening(timeline=timeline)))
    assert sent.timeline.__dict__["plan"] == timeline.plan
    assert parse_opening(sent.asked()) == sent  # a plan is no part of what was asked
    longer = timeline.model_copy(update={"duration": timeline.duration + 5})
    assert longer.plan != timeline.plan


def test_more_cuts_are_met_than_by_chance_or_by_one_tempo() -> None:
    rows = [measure(draw_clip(seed)) for seed in range(40)]
    asked, single, planned = (sum(getattr(row, name) for row in rows) for name in ("asked", "single", "planned"))
    assert planned > 0.6 * sum(row.num_cuts for row in rows)
    assert planned > 1.5 * single > 1.5 * asked
