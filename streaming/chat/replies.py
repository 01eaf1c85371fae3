"""What is written back to a chat, in its language. In: what is to be said; out: a line. Remembers nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from moods.mood import Mood, Style, find_mood, list_moods, nearest_mood, styles
from streaming import messages

_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "np": "Now: {mood}, {bpm} bpm, energy {energy}%{asked}",
        "asked": ", asked for by {by} ({what})",
        "chosen": ", chosen by vote ({what})",
        "silent": "There is silence just now",
        "and": " & ",
        "comma": ", ",
        "help": "{p}mood NAME · {p}energy up/down/0.7 · {p}vote NAME/NUMBER · {p}request WORDS · {p}skip · {p}np. "
        "Moods: {moods}",
        "refused": "@{user}: {why}",
        "waits": "@{user}: that waits for the streamer",
        "done": "@{user}: done",
        "voted": "@{user}: counted",
        "viewer": "viewer",
        "subscriber": "subscriber",
        "vip": "vip",
        "moderator": "moderator",
        "broadcaster": "broadcaster",
        "may_not": "{role}s may not use {command}",
        "no_station": "there is no station {station}",
        "has_ended": "the music has ended",
        "too_soon": "once in {every_s:g} s; again in {wait_s:.0f} s",
        "just_changed": "the music has just changed; again in {wait_s:.0f} s",
        "once": "once in {every_s:g} s",
        "name_a_mood": "name a mood",
        "not_listed": "not on the list",
        "nearest": "not on the list; nearest: {moods}",
        "name_a_level": "say up, down, +0.1, -0.1 or a number 0 … 1",
        "no_requests": "free text is switched off",
        "too_many_wait": "too many requests wait already",
        "too_long": "it has {count} characters; allowed are {limit}",
        "no_words": "it has no words",
        "filtered": "a word of it is filtered",
        "name_somebody": "name somebody",
        "no_votes": "votes are switched off",
        "no_vote": "no vote runs",
        "no_option": "that is none of the options: {options}",
        "too_many_voted": "too many have voted already",
        "vote_runs": "a vote on it runs already",
        "name_two": "name two moods of the list at least, or energy, or stop",
    },
    "zh": {
        "np": "正在播放：{mood}，{bpm} 拍/分，能量 {energy}%{asked}",
        "asked": "，由 {by} 点播（{what}）",
        "chosen": "，由投票选出（{what}）",
        "silent": "现在没有音乐",
        "and": "与",
        "comma": "，",
        "help": "{p}心情 名称 · {p}能量 高/低/0.7 · {p}投票 名称/序号 · {p}点歌 描述 · {p}跳过 · {p}正在播放。 "
        "心情：{moods}",
        "refused": "@{user}：{why}",
        "waits": "@{user}：等主播同意",
        "done": "@{user}：好的",
        "voted": "@{user}：已计票",
        "viewer": "观众",
        "subscriber": "订阅者",
        "vip": "VIP",
        "moderator": "房管",
        "broadcaster": "主播",
        "may_not": "{role}不能用 {command}",
        "no_station": "没有名为 {station} 的电台",
        "has_ended": "音乐已经结束",
        "too_soon": "每 {every_s:g} 秒一次，还要等 {wait_s:.0f} 秒",
        "just_changed": "音乐刚刚变过，还要等 {wait_s:.0f} 秒",
        "once": "每 {every_s:g} 秒一次",
        "name_a_mood": "请写上一种心情",
        "not_listed": "不在列表里",
        "nearest": "不在列表里，相近的有：{moods}",
        "name_a_level": "请写 高、低、+0.1、-0.1 或 0 … 1 的数",
        "no_requests": "没有开放文字点歌",
        "too_many_wait": "等待的点歌已经太多",
        "too_long": "有 {count} 个字，最多 {limit} 个",
        "no_words": "里面没有文字",
        "filtered": "里面有被过滤的词",
        "name_somebody": "请写上是谁",
        "no_votes": "没有开放投票",
        "no_vote": "现在没有投票",
        "no_option": "不是选项：{options}",
        "too_many_voted": "投票的人已经太多",
        "vote_runs": "这个投票已经在进行",
        "name_two": "请至少写上列表里的两种心情，或 能量，或 结束",
    },
}
_MOST_MOODS = 12
_SAME = 0.02
"""So near a preset the music is called by its name."""
_HEARD_SHARE = 0.2
_MOST_STYLES = 2
_NOBODY = ("obs", "programme")
"""Parts of this server that ask for music by themselves."""
_VOTE = "chat"
_SILENT = ("paused", "ended")


class Saying:
    """What can be said in each language; as text it is English."""

    def __init__(self, text: str, **words: object) -> None:
        """`words` may be sayings and lists of moods themselves."""
        self._text, self._words = text, words

    def __str__(self) -> str:
        return self.said("en")

    def said(self, language: str) -> str:
        return say(language, self._text, **{name: _said(word, language) for name, word in self._words.items()})


def _said(word: object, language: str) -> object:
    match word:
        case Saying():
            return word.said(language)
        case list():
            return say(language, "comma").join(mood_name(name, language) for name in word)
    return word


def say(language: str, text: str, **words: object) -> str:
    return _TEXTS[language][text].format(**words)


def now_playing(language: str, state: messages.StationState) -> str:
    if state["state"] in _SILENT:
        return say(language, "silent")
    mood, asked = state["mood"], state.get("asked_by")
    told = "" if asked is None or asked["by"] in _NOBODY else _who_asked(language, asked)
    name = _name_of_point(mood, language)
    return say(language, "np", mood=name, bpm=round(mood["bpm"]), energy=round(100 * mood["energy"]), asked=told)


def _who_asked(language: str, asked: messages.AskedBy) -> str:
    what = mood_name(asked["what"], language)
    return say(language, "chosen" if asked["by"] == _VOTE else "asked", by=asked["by"], what=what)


def _name_of_point(point: messages.Mood, language: str) -> str:
    """A preset's name with its styles, or the styles that are heard most."""
    ranked = sorted(point["style"].items(), key=lambda pair: -pair[1])
    heard = [name for name, share in ranked[:_MOST_STYLES] if share >= _HEARD_SHARE]
    names = {style.name: style for style in styles()}
    told = say(language, "and").join(_name(names[name], language) for name in heard)
    mood = nearest_mood(point["valence"], point["energy"], point["tension"])
    off = (mood.valence - point["valence"], mood.energy - point["energy"], mood.tension - point["tension"])
    is_there = max(map(abs, off)) < _SAME
    return say(language, "comma").join([_name(mood, language), told]) if is_there else told


def help_text(language: str, prefix: str, moods: Iterable[str]) -> str:
    found = list(moods)
    names = say(language, "comma").join(mood_name(name, language) for name in found[:_MOST_MOODS])
    return say(language, "help", p=prefix, moods=names + (" …" if len(found) > _MOST_MOODS else ""))


def mood_name(name: str, language: str) -> str:
    """A preset's name in that language; what is none stays."""
    return _name(find_mood(name), language) if name in {mood.name for mood in list_moods()} else name


def _name(named: Mood | Style, language: str) -> str:
    return named.name_zh if language == "zh" else named.name
