"""Weighted prompts lead to one point: the mean of what is wanted, away from what is not, steadily with the weights."""

from __future__ import annotations

import pytest

from moods.prompt import resolve_prompt
from moods.weighted import Weighted, weigh


def of(**weights: float) -> Weighted:
    return weigh([(resolve_prompt(text.replace("_", " ")), weight) for text, weight in weights.items()])


def test_one_prompt_leads_where_it_does_alone_whatever_its_weight() -> None:
    point = resolve_prompt("epic").point
    for weight in (0.01, 1.0, 30.0):
        led = of(epic=weight)
        assert (led.valence, led.energy, led.tension) == pytest.approx((point.valence, point.energy, point.tension))


def test_equal_weights_lead_half_way() -> None:
    both, one, other = of(epic=2, lofi=2), of(epic=1), of(lofi=1)
    assert both.energy == pytest.approx((one.energy + other.energy) / 2)
    assert both.style["lofi"] == pytest.approx(other.style["lofi"] / 2, abs=0.01)


def test_nothing_understood_leaves_the_rest_to_decide() -> None:
    assert of(flurbl_grommet=5, epic=1) == of(epic=1)
    assert of(flurbl_grommet=1) == of() == weigh([])


def test_a_negative_weight_leads_away_from_mood_style_and_layer() -> None:
    assert of(lofi=1, sad=-1).valence > of(lofi=1).valence
    assert "lofi" in of(jazz=1, lofi=1).style and "lofi" not in of(jazz=1, lofi=-1).style
    assert of(lofi=1, drums=-1).layers["drums"] == "mute"
    assert of(lofi=1, drums=-0.3).layers["drums"] < -3
    assert of(lofi=-1).style, "where nothing would be left, what is shunned stays"


def test_layers_that_are_asked_for_have_the_energy_to_play() -> None:
    assert of(drums=1, cinematic=1).energy >= 0.42
    assert of(drums=1, no_drums=0.2).layers["drums"] < 0


def test_exact_words_count_by_the_heaviest() -> None:
    led = weigh([(resolve_prompt("90 bpm in A minor"), 1.0), (resolve_prompt("120 bpm lofi"), 2.0)])
    assert (led.bpm, led.key) == (120, "A minor")


@pytest.mark.parametrize("texts", [("lofi", "epic"), ("no drums", "epic"), ("drums", "ambient")])
def test_a_stream_of_weights_is_a_glide(texts: tuple[str, str]) -> None:
    prompts = [resolve_prompt(text) for text in texts]
    steps = [weigh([(prompts[0], 1 - n / 200), (prompts[1], n / 200)]) for n in range(1, 200)]
    for before, after in zip(steps, steps[1:], strict=False):
        for name in ("valence", "energy", "tension"):
            assert abs(getattr(after, name) - getattr(before, name)) < 0.02
        names = before.style.keys() | after.style.keys()
        assert max(abs(after.style.get(each, 0) - before.style.get(each, 0)) for each in names) < 0.02
