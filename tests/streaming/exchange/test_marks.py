"""What a marker asks for follows one plain rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from moods.fields import MoodFields
from streaming.files.exchange import BadExchange, read_exchange
from streaming.files.exchange.marks import NUMBERS, WORDS, Asked, read_mark
from streaming.files.exchange.sequence import Mark


def asked(name: str, comment: str = "", *, is_red: bool = False, is_chapter: bool = False) -> Asked:
    mark = Mark(None, name, comment, is_red, is_chapter)  # type: ignore[arg-type]  # where it is does not matter
    return read_mark(mark)


@pytest.mark.parametrize(
    "text, fields",
    [
        ("epic", {"mood": "epic"}),
        ("热血", {"mood": "epic"}),
        ("Jazz", {"style": "jazz"}),
        ("mood: epic, energy 0.8", {"mood": "epic", "energy": 0.8}),
        ("Energy=0.8; BPM 120 bpm; key: D minor", {"energy": 0.8, "bpm": 120.0, "key": "D minor"}),
        ("tempo 90", {"bpm": 90.0}),
        ("style: lofi=0.7 jazz=0.3", {"style": {"lofi": 0.7, "jazz": 0.3}}),
        ("epic, over: 2 bars", {"mood": "epic", "over": "2 bars"}),
        ("prompt: slow, sad, over the sea", {"prompt": "slow, sad, over the sea"}),
        ("rainy night", {"prompt": "rainy night"}),
        ("A little sad", {"prompt": "A little sad"}),
        ("伤感的钢琴", {"prompt": "伤感的钢琴"}),
    ],
)
def test_words_of_ours_make_a_section(text: str, fields: dict[str, object]) -> None:
    assert asked(text).fields == fields and asked("Marker 1", text).fields == fields
    assert not asked(text).is_hit


@pytest.mark.parametrize("text, strength, name", [
    ("hit", None, ""), ("!", None, ""), ("HIT 0.7", 0.7, ""), ("hit: door", None, "door"), ("! 0.4: door", 0.4, "door"),
])  # fmt: skip
def test_a_hit_is_called_so(text: str, strength: float | None, name: str) -> None:
    hit = asked(text)
    assert (hit.is_hit, hit.strength, hit.name, hit.fields) == (True, strength, name, {})


@pytest.mark.parametrize(
    "text",
    [
        "Marker 12",
        "",
        "Cut to black",
        "drone shot",
        "Interview starts",
        "fix colour here",
        "style guide",
        "hit the road",
        "energy drops",
        "00:00",
    ],
)
def test_other_words_are_but_a_place(text: str) -> None:
    assert not asked(text)
    assert asked(text, is_red=True).is_hit
    assert asked(text, is_chapter=True).is_section


def test_the_comment_counts_more_than_the_name() -> None:
    both = asked("Chase", "mood: epic, energy 0.9")
    assert (both.fields, both.name) == ({"mood": "epic", "energy": 0.9}, "Chase")
    assert asked("hit: door", "epic").fields == {"mood": "epic"} and asked("hit: door", "epic").is_hit
    assert asked("Reveal", is_red=True).name == "Reveal"
    assert asked("zzz", "rainy night").fields == {"prompt": "rainy night"}


@pytest.mark.parametrize("text", ["bar 12", "beat 12.3", "bar 3, beat 9"])
def test_bars_and_beats_of_ours_ask_for_nothing(text: str) -> None:
    assert asked(text) and not asked(text).is_hit and not asked(text).is_section and not asked(text).fields
    assert asked(f"section: B, {text}").name == "B" and asked(f"hit, {text}").is_hit


@pytest.mark.parametrize("text, told", [
    ("energy: high", 'energy is "high"; write a number, for example energy: 0.8'),
    ("energy 8", "energy is 8.0; allowed is 0 … 1"),
    ("mood: epik", 'unknown mood "epik"; nearest: epic'),
    ("key: H moll", "unknown key"),
])  # fmt: skip
def test_a_value_that_cannot_be_is_told_where_it_stands(text: str, told: str) -> None:
    table = f"at,name,comment\n3,hit,\n4.5,,{text}\n"
    with pytest.raises(BadExchange) as raised:
        read_exchange(f"# duration: 20\n{table}".encode(), "x.csv")
    assert str(raised.value).startswith(f'"x.csv", marker at 4.500 s: {told}')


def test_two_markers_of_one_frame_are_one_section() -> None:
    table = "# duration: 20\n# fps: 25\nat,name\n4,epic\n4.01,bpm 120\n"
    section = read_exchange(table.encode(), "x.csv").timeline.sections[0]
    assert (section.at, section.mood, section.bpm) == (4.0, "epic", 120.0)


def test_all_that_a_mood_is_made_of_can_be_said_but_gains_of_layers() -> None:
    assert {*NUMBERS, *WORDS} == MoodFields.model_fields.keys() - {"layers", "strict"}


def test_the_table_in_the_documentation_is_read() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "timelines.md").read_text(encoding="utf-8")
    timeline = read_exchange(text.split("```")[1].lstrip("\n").encode(), "doc.csv").timeline
    assert [section.mood for section in timeline.sections] == ["healing", "epic"]
    assert ([hit.name for hit in timeline.hits], [cut.at for cut in timeline.cuts]) == (["door"], [12.04])
