"""What the readers of moods are told of a slider is what is in what they hear."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.likeness.ears import JUDGED
from benchmarks.moods_heard import READERS, SLIDERS, TAGS, Heard, judge, worth
from benchmarks.short_pieces import open_course
from engine.audio import SAMPLE_RATE
from engine.training.evaluation import acoustics


def heard(slider: str, amount: float) -> Heard:
    """Sound that all readers take for more of what the slider says."""
    figures = dict.fromkeys(acoustics.FIGURES, 0.0)
    figures |= {name: sign * amount for name, sign in acoustics.READINGS[slider].items()}
    tags = {"tension": ("metal", "happy"), "valence": ("happy", "sad"), "energy": ("party", "Mellow")}[slider]
    logits = np.zeros(len(TAGS))
    logits[[TAGS.index(tag) for tag in tags]] = amount, -amount
    judgements = {"tension": {"energy": 1, "valence": -1}, "valence": {"valence": 1}, "energy": {"energy": 1}}[slider]
    return Heard(figures, amount * np.array([judgements.get(name, 0.0) for name in JUDGED]), logits)


@pytest.mark.parametrize("slider", SLIDERS)
def test_a_slider_that_is_heard_has_a_correlation_of_one_and_even_steps(slider: str) -> None:
    rising = [[heard(slider, level) for level in range(5)] for _ in range(2)]
    found = judge({"jazz": rising, "house": rising}, slider)
    for reader in (*READERS, "all"):
        assert found[reader]["least"] == pytest.approx(1)
        assert found[reader]["step"] == pytest.approx(0.25)
    falling = judge({"jazz": rising, "house": [row[::-1] for row in rising]}, slider)
    assert falling["all"]["mean"] == pytest.approx(0)
    assert falling["all"]["least"] == pytest.approx(-1)


def test_a_reader_is_worth_what_it_tells_apart() -> None:
    tense, calm = [heard("tension", 2.0), heard("tension", 3.0)], [heard("tension", 0.0), heard("tension", 1.0)]
    assert set(worth(tense, calm).values()) == {1.0}
    assert set(worth(calm, tense).values()) == {0.0}


@pytest.mark.parametrize("door", ["render", "play"])
def test_a_short_piece_has_the_length_that_was_asked(door: str) -> None:
    assert open_course(door, "sad", 15.0, 0).end_frame == 15 * SAMPLE_RATE
