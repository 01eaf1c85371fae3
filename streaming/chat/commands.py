"""What a chat's commands mean. In: texts of anybody's; out: commands. Remembers nothing; any thread."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

from moods.fields import visible
from streaming.chat.said import MAX_TEXT

CommandName = Literal["mood", "energy", "vote", "poll", "skip", "request", "np", "help", "ban", "unban"]
COMMANDS: tuple[CommandName, ...] = get_args(CommandName)
_WORDS: dict[CommandName, tuple[str, ...]] = {
    "mood": ("心情", "情绪", "氛围"),
    "energy": ("能量", "力度"),
    "vote": ("v", "投票"),
    "poll": ("发起投票",),
    "skip": ("next", "跳过", "换歌", "切歌"),
    "request": ("sr", "点歌", "想听"),
    "np": ("song", "nowplaying", "正在播放", "在放什么"),
    "help": ("commands", "帮助"),
    "ban": ("禁用",),
    "unban": ("解禁",),
}
_COMMAND_OF = {word: name for name, words in _WORDS.items() for word in (name, *words)}
_LONGEST_WORD = max(map(len, _COMMAND_OF))
_RISES = {"up": 1, "more": 1, "higher": 1, "高": 1, "高点": 1, "加": 1, "down": -1, "less": -1, "lower": -1,
          "低": -1, "低点": -1, "减": -1}  # fmt: skip
_NUMBER = re.compile(r"([+-]?)([0-9]{0,3}(?:\.[0-9]{1,4})?)(%?)", re.ASCII)
STEP = 0.1


@dataclass(frozen=True, slots=True)
class Command:
    """One that is known, and what stands behind it on one line, without what nobody sees."""

    name: CommandName
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """A number that was asked for: itself, or by how much more."""

    value: float
    is_step: bool


def plain(text: str) -> str:
    """As it reads: one line, one width of letters, nothing invisible."""
    return visible(unicodedata.normalize("NFKC", text[:MAX_TEXT])[:MAX_TEXT])  # one letter may become eighteen


def parse(text: str, prefix: str = "!") -> Command | None:
    """The command that a message is; None where it is talk, or a command of some other bot."""
    text = text[:MAX_TEXT].lstrip()
    if not text.startswith((prefix, "！") if prefix == "!" else prefix):  # as Chinese keyboards have it
        return None
    word, _, argument = plain(text)[len(prefix) :].partition(" ")
    name = _COMMAND_OF.get(word.casefold()) if len(word) <= _LONGEST_WORD else None
    return None if name is None else Command(name, argument)


def parse_level(argument: str) -> Level | None:
    """`0.7` `70%` `+0.1` `-20%` `up` `down`, as far as they are numbers 0 … 1; None for anything else."""
    word = argument.casefold()
    if word in _RISES:
        return Level(_RISES[word] * STEP, is_step=True)
    match = _NUMBER.fullmatch(word)
    if match is None or not match[2]:
        return None
    value = float(match[2]) / (100 if match[3] else 1)
    if value > 1:
        return None
    return Level(-value if match[1] == "-" else value, is_step=bool(match[1]))
