"""What is written back to a chat, in its language. In: what is to be said; out: a line. Remembers nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from moods.mood import Mood, find_mood
from streaming.messages import StationState

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "np": "Now: {mood}, {bpm} bpm, energy {energy}%{asked}",
        "asked": ", asked for by {by} ({what})",
        "help": "{p}mood NAME · {p}energy up/down/0.7 · {p}vote NAME/NUMBER · {p}request WORDS · {p}skip · {p}np. "
        "Moods: {moods}",
        "refused": "@{user}: {why}",
        "waits": "@{user}: that waits for the streamer",
        "done": "@{user}: done",
        "voted": "@{user}: counted",
    },
    "zh": {
        "np": "正在播放：{mood}，{bpm} 拍/分，能量 {energy}%{asked}",
        "asked": "，由 {by} 点播（{what}）",
        "help": "{p}心情 名称 · {p}能量 高/低/0.7 · {p}投票 名称/序号 · {p}点歌 描述 · {p}跳过 · {p}正在播放。 "
        "心情：{moods}",
        "refused": "@{user}：{why}",
        "waits": "@{user}：等主播同意",
        "done": "@{user}：好的",
        "voted": "@{user}：已计票",
    },
}
_MOST_MOODS = 12


def say(language: str, text: str, **words: object) -> str:
    return _TEXTS[language][text].format(**words)


def now_playing(language: str, state: StationState) -> str:
    mood = state["mood"]
    asked = state.get("asked_by")
    style = next(iter(mood["style"]), "")
    told = "" if asked is None else say(language, "asked", by=asked["by"], what=asked["what"])
    return say(language, "np", mood=style, bpm=round(mood["bpm"]), energy=round(100 * mood["energy"]), asked=told)


def help_text(language: str, prefix: str, moods: Iterable[str]) -> str:
    found = [find_mood(name) for name in moods]
    names = [_name(mood, language) for mood in found[:_MOST_MOODS]]
    return say(language, "help", p=prefix, moods=", ".join(names) + (" …" if len(found) > _MOST_MOODS else ""))


def _name(mood: Mood, language: str) -> str:
    return mood.name_zh if language == "zh" else mood.name
