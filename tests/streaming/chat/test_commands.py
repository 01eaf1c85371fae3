"""A command is read whatever keyboard it was written on; everything else is talk."""

from __future__ import annotations

import pytest

from streaming.chat.allow import Allowed, read_words
from streaming.chat.commands import COMMANDS, Command, Level, parse, parse_level
from streaming.errors import BadConfig


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("!mood epic", Command("mood", "epic")),
        ("  !MOOD   Epic  ", Command("mood", "Epic")),
        ("！心情 热血", Command("mood", "热血")),
        ("!ｍｏｏｄ ｅｐｉｃ", Command("mood", "epic")),
        ("!mood\u200b \u202eepic\u0000", Command("mood", "epic")),
        ("!v 2", Command("vote", "2")),
        ("!投票 2", Command("vote", "2")),
        ("!np", Command("np")),
        ("!request rainy\nnight", Command("request", "rainy night")),
        ("mood epic", None),
        ("!", None),
        ("!moods epic", None),
        ("!discord", None),
        ("say !mood epic", None),
        ("", None),
        ("!" + "m" * 100_000, None),
    ],
)
def test_a_message_is_a_command_or_talk(text: str, command: Command | None) -> None:
    assert parse(text) == command


def test_the_prefix_is_a_setting() -> None:
    assert parse("m!mood epic", "m!") == Command("mood", "epic")
    assert parse("!mood epic", "m!") is None


@pytest.mark.parametrize(
    "text", ['!mood {"mood":"epic"}', "!mood '; DROP TABLE moods; --", "!mood <script>alert(1)</script>", "!mood 🎉🎉"]
)
def test_what_looks_like_code_is_text(text: str) -> None:
    command = parse(text)
    assert command is not None and command.argument == text.removeprefix("!mood ")
    assert Allowed((), (), 120).mood(command.argument) is None


def test_no_message_grows_as_it_is_read() -> None:
    command = parse("!request " + "\ufdfa" * 500)  # a ligature of eighteen letters
    assert command is not None and len(command.argument) <= 500


@pytest.mark.parametrize(
    ("argument", "level"),
    [
        ("0.7", Level(0.7, False)),
        ("1", Level(1.0, False)),
        ("70%", Level(0.7, False)),
        ("+0.1", Level(0.1, True)),
        ("-.2", Level(-0.2, True)),
        ("-20%", Level(-0.2, True)),
        ("UP", Level(0.1, True)),
        ("低点", Level(-0.1, True)),
        ("", None),
        ("+", None),
        ("2", None),
        ("nan", None),
        ("1e9", None),
        ("٣", None),
        ("0.1 0.2", None),
        ("9" * 500, None),
    ],
)
def test_a_level_is_a_number_or_a_word(argument: str, level: Level | None) -> None:
    assert parse_level(argument) == level


def test_each_command_is_read_by_its_own_name() -> None:
    assert all(parse(f"!{name}") == Command(name) for name in COMMANDS)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("a quiet darn night", False),
        ("DÀRN night", False),
        ("d a r n night", False),
        ("d.a.r.n", False),
        ("ｄａｒｎ", False),
        ("da\u200brn it", False),
        ("darning a sock", True),
        ("笨蛋的夜晚", False),
        ("a Bad Word here", False),
        ("🎉🎉🎉", False),
        ("x" * 121, False),
        ("", False),
        ("rainy night in Tokyo", True),
        ("雨夜", True),
    ],
)
def test_free_text_is_let_pass_or_not(text: str, passes: bool) -> None:
    allowed = Allowed((), ["darn", "笨蛋", "bad word"], 120)
    command = parse(f"!request {text}")
    assert command is not None
    assert (allowed.why_not(command.argument) is None) == passes


def test_moods_are_those_of_the_list_under_all_their_names() -> None:
    allowed = Allowed(("epic", "night"), (), 120)
    assert [allowed.mood(name) for name in ("EPIC", "热血", "夜晚", "horror")] == ["epic", "epic", "night", None]
    assert allowed.near("epik") == ["epic"] and allowed.near("horror") == []


def test_words_are_read_from_a_file(tmp_path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("darn  # mild\n\n# nothing\nbad word\n", encoding="utf-8")
    assert read_words(str(file)) == ["darn", "bad word"] and read_words("") == []
    with pytest.raises(BadConfig, match="chat.filter is .* cannot be read"):
        read_words(str(tmp_path / "none.txt"))
    file.write_bytes(b"\xff")
    with pytest.raises(BadConfig, match="cannot be read"):
        read_words(str(file))
