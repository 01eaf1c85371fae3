"""Music steps back while somebody speaks, and does not flutter."""

from __future__ import annotations

import math
import random

from streaming.obs.ducking import HYSTERESIS_DB, Ducking, Step

DOWN, UP = Step(-12.0, 0.1), Step(0.0, 1.0)


def ducking() -> Ducking:
    return Ducking(threshold_db=-30, depth_db=-12, attack_s=0.1, hold_s=0.8, release_s=1.0)


def steps(levels_db: list[float]) -> list[tuple[int, Step]]:
    """What is asked for by levels that come every 50 ms: number of the level, and step."""
    envelope = ducking()
    told = [(number, envelope.hear(level, number * 0.05)) for number, level in enumerate(levels_db)]
    return [(number, step) for number, step in told if step is not None]


def test_it_goes_down_at_once_and_up_after_the_hold() -> None:
    assert steps([-80] * 5 + [-29] * 10 + [-80] * 40) == [(5, DOWN), (14 + 16, UP)]


def test_between_words_nothing_moves() -> None:
    words = ([-20.0] * 3 + [-60.0] * 12) * 20 + [-60.0] * 40
    assert [step for _, step in steps(words)] == [DOWN, UP]


def test_a_voice_that_falls_a_little_below_the_threshold_is_still_one() -> None:
    assert [step for _, step in steps([-29.0] + [-30 - HYSTERESIS_DB + 0.1] * 100)] == [DOWN]
    assert steps([-30 - HYSTERESIS_DB + 0.1] * 100) == []


def test_no_level_asks_for_more_than_two_steps_a_hold() -> None:
    rng = random.Random(1)
    told = steps([rng.choice([-80.0, -10.0, -33.0]) if rng.random() < 0.3 else -80.0 for _ in range(4000)])
    assert [step for _, step in told] == [DOWN, UP] * (len(told) // 2) + [DOWN] * (len(told) % 2)
    assert len(told) <= 2 * math.ceil(4000 * 0.05 / 0.8)


def test_it_comes_back_though_nothing_is_measured_any_more() -> None:
    envelope = ducking()
    assert envelope.due_s is None
    assert envelope.hear(-10, 7.0) == DOWN
    assert envelope.due_s == 7.8 and envelope.look(7.7) is None
    assert envelope.look(7.8) == UP and envelope.due_s is None and envelope.look(9) is None
