"""A station tells what its autopilot is about and how much it repeats, in the words of the public interface."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter

from engine.performance import Performance, step
from engine.score.novelty import NoveltyFound
from moods.control import parse_control
from moods.opening import parse_opening
from streaming.engines.told import playing_message
from streaming.messages import Novelty, Wandering
from tests.streaming.sines import Sines

FOUND = NoveltyFound(0.04, 0.5, 0.25, 812, 0.71, 0.9, 0.02, 9)


class Repeating(Sines):
    def novelty(self, slot: int) -> Mapping[str, float]:
        return FOUND._asdict()


def test_a_status_tells_where_the_mood_wanders_and_what_it_leaves_alone() -> None:
    opening = parse_opening({"mood": "focus", "bpm": 240, "autopilot": {"every": "1 phrase", "novelty": 0.25}})
    generator = Repeating(1)
    performance = Performance(generator, 0, opening, 1)
    for block in range(600):
        if block == 500:
            performance.apply(parse_control({"type": "steer", "set": {"tension": 0.9}}))
        step(generator, [performance])
    playing = playing_message(performance)
    wandering = TypeAdapter(Wandering).validate_python(playing["autopilot"])
    assert (wandering["novelty"], wandering["mood"], [*wandering["held_s"]]) == (0.25, "focus", ["tension"])
    assert 590 < wandering["held_s"]["tension"] < 600
    assert TypeAdapter(Novelty).validate_python(playing["novelty"]) == FOUND._asdict()


def test_a_generator_that_does_not_know_tells_nothing() -> None:
    performance = Performance(Sines(1), 0, parse_opening({}), 1)
    assert playing_message(performance).keys() & {"autopilot", "novelty"} == set()
