"""Every mood and style can be found by each of its names, and says something playable."""

from __future__ import annotations

import pytest

from moods.errors import BadControl, OutOfRange, UnknownMood, UnknownStyle
from moods.intent import LAYERS
from moods.mood import find_mood, find_style, list_moods, style_bpm, style_density, style_names, style_weights, styles
from moods.prompt import resolve_prompt

PROMISED = {
    "healing": "治愈", "romance": "浪漫", "suspense": "悬疑", "epic": "热血", "comedy": "搞笑", "sad": "伤感",
    "travel": "旅行", "food": "美食", "sport": "运动", "tech": "科技", "focus": "专注", "night": "夜晚",
    "horror": "惊悚", "victory": "胜利",
}  # fmt: skip


def test_every_preset_is_found_by_every_name() -> None:
    assert len(list_moods()) >= 30
    for mood in list_moods():
        for name in mood.names:
            assert find_mood(f" {name.upper()} ") is mood, name


def test_no_two_moods_share_a_name() -> None:
    names = [name.casefold() for mood in list_moods() for name in mood.names]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)


@pytest.mark.parametrize(("name", "name_zh"), PROMISED.items())
def test_promised_moods_have_their_chinese_names(name: str, name_zh: str) -> None:
    assert find_mood(name_zh) is find_mood(name)


def test_presets_are_inside_the_ranges() -> None:
    for mood in list_moods():
        assert -1 <= mood.valence <= 1 and 0 <= mood.energy <= 1 and 0 <= mood.tension <= 1, mood.name
        assert sum(mood.style) == pytest.approx(1), mood.name
        assert 40 <= (mood.bpm or 100) <= 240, mood.name


def test_no_two_moods_are_the_same_point() -> None:
    assert len({(m.valence, m.energy, m.tension, m.style) for m in list_moods()}) == len(list_moods())


def test_styles_are_inside_the_ranges_and_grow_with_energy() -> None:
    for style in styles():
        alone = style_weights(style.name)
        assert find_style(style.name_zh) == style.name
        assert 40 <= style_bpm(alone, 0) < style_bpm(alone, 1) <= 240, style.name
        densities = [style_density(alone, *at) for at in ((0, -1), (0, 0), (1, 0))]
        assert 0 <= densities[0] < densities[1] < densities[2] <= 1, style.name
        assert style.thresholds[LAYERS.index("harmony")] == 0, f"{style.name}: harmony plays at any energy"


def test_unknown_names_get_the_nearest() -> None:
    with pytest.raises(UnknownMood, match="suspense") as mood:
        find_mood("suspence")
    assert mood.value.nearest[0] == "suspense"
    with pytest.raises(UnknownStyle) as style:
        style_weights({"syntwave": 1})
    assert style.value.nearest[0] == "synthwave"


def test_style_weights_are_normalised_whatever_their_form() -> None:
    assert style_weights("lofi=0.7, jazz=0.7") == style_weights({"lofi": 1, "爵士": 1})
    assert sum(style_weights({"lofi": 3, "house": 1})) == pytest.approx(1)
    with pytest.raises(OutOfRange):
        style_weights({"lofi": float("nan")})
    with pytest.raises(BadControl):
        style_weights({"lofi": 0})


@pytest.mark.parametrize("mood", list_moods(), ids=lambda mood: mood.name)
def test_a_preset_name_as_prompt_is_that_preset(mood: object) -> None:
    for name in (mood.name, mood.name_zh):
        prompt = resolve_prompt(name)
        assert prompt.moods == {mood.name: 1.0} and not prompt.unknown
        assert prompt.point.valence == pytest.approx(mood.valence)
        assert prompt.point.energy == pytest.approx(mood.energy)


def test_prompts_move_the_point_the_way_they_say() -> None:
    plain = resolve_prompt("night").point
    assert resolve_prompt("very dark night").point.valence < resolve_prompt("dark night").point.valence < plain.valence
    assert (
        resolve_prompt("非常紧张的夜晚").point.tension > resolve_prompt("有点紧张的夜晚").point.tension > plain.tension
    )
    assert resolve_prompt("not sad").point.valence > resolve_prompt("sad").point.valence
    assert resolve_prompt("a study song with guitar, 90 bpm").point.bpm == 90
    assert resolve_prompt("下雨天咖啡馆").moods.keys() == {"rain", "cafe"}


def test_words_not_understood_are_named() -> None:
    prompt = resolve_prompt("quux sad 啊呃 lofi")
    assert prompt.unknown == ("quux", "啊呃")
    assert prompt.moods == {"sad": 1.0}
    assert prompt.is_understood and not resolve_prompt("very quux").is_understood
    assert next(iter(style_names(prompt.point.style))) == "lofi"


@pytest.mark.parametrize("text", ["", "   ", "🎵", "xyzzy", "\x00", "a" * 2000])
def test_any_prompt_leads_somewhere(text: str) -> None:
    point = resolve_prompt(text).point
    assert point.valence == find_mood("healing").valence and sum(point.style) == pytest.approx(1)
