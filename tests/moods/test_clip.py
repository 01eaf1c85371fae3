"""Presets for short clips: whole timelines, over which everything that is asked wins."""

from __future__ import annotations

import pytest

from moods.clip import clip_names, clip_timeline
from moods.errors import UnknownClip
from moods.timeline import parse_timeline


@pytest.mark.parametrize("name", clip_names())
def test_a_preset_is_as_long_as_it_says_and_begins_with_the_theme(name: str) -> None:
    timeline = parse_timeline(clip_timeline(name, {"mood": "happy"}))
    assert timeline.duration == float(name.removesuffix("s"))
    assert timeline.plan.sections[0].name == "A"
    drop = next(section for section in timeline.plan.sections if section.name == "B")
    assert drop.first_bar * 4 * 60 / timeline.plan.asked_bpm < 0.45 * timeline.duration


def test_what_is_asked_wins_over_a_preset() -> None:
    asked = clip_timeline("30s", {"mood": "epic", "duration": 6, "ending": "stop"})
    timeline = parse_timeline(asked)
    assert (timeline.duration, timeline.ending, timeline.sections) == (6, "stop", [])
    assert timeline.loudness is not None and timeline.loudness.lufs == -14


def test_an_unknown_preset_is_told_with_those_there_are() -> None:
    with pytest.raises(UnknownClip, match="15s, 30s, 60s"):
        clip_timeline("long", {})
