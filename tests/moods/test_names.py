"""Names that are offered are near what was typed."""

from __future__ import annotations

import pytest

from moods.errors import UnknownKey, UnknownMood, UnknownStyle
from moods.harmony import parse_key
from moods.mood import find_mood, find_style


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        ("suspence", "suspense"),
        ("HEELING", "healing"),
        ("epik", "epic"),
        ("sda", "sad"),
        ("techno", "technology"),
        ("nig", "night"),
        ("healing2", "healing"),
        ("ｎｉｇｈｔ！", "night"),
        ("悬念", "悬疑"),
        ("下雨天", "下雨"),
    ],
)
def test_a_slip_or_a_beginning_finds_the_mood(typed: str, first: str) -> None:
    with pytest.raises(UnknownMood) as raised:
        find_mood(typed)
    assert raised.value.nearest[0] == first
    assert f"nearest: {first}" in str(raised.value)
    assert len({find_mood(name).name for name in raised.value.nearest}) == len(raised.value.nearest)


@pytest.mark.parametrize("typed", ["xyzzy", "123", "я", "qwerty", "", "   ", "😢", "量子", "x" * 100_000])
def test_nothing_is_offered_where_nothing_is_near(typed: str) -> None:
    with pytest.raises(UnknownMood) as raised:
        find_mood(typed)
    assert raised.value.nearest == []
    assert "a free text is given as prompt" in str(raised.value)
    with pytest.raises(UnknownStyle, match="known: lofi, ambient"):
        find_style(typed)


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("A minr", ["A minor"]),
        ("amin", ["A minor", "A minor pentatonic"]),
        ("F# maj", ["F# major", "F# major pentatonic"]),
        ("H minor", ["B minor", "B minor pentatonic"]),
        ("C nonsense", []),
        ("X minor", []),
        ("", []),
    ],
)
def test_a_key_is_near_in_tonic_and_scale(typed: str, near: list[str]) -> None:
    with pytest.raises(UnknownKey) as raised:
        parse_key(typed)
    assert raised.value.nearest == near
    assert near or "expected a tonic and a scale" in str(raised.value)
