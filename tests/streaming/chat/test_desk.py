"""Who may what, and when; and whatever a chat sends, the music stays the streamer's."""

from __future__ import annotations

import random
import re

import pytest

from moods.mood import find_mood
from streaming.chat import replies
from streaming.chat.actions import read_action
from streaming.chat.desk import MAX_DECISIONS
from streaming.chat.members import _MAX_MEMBERS, Members
from streaming.chat.requests import MAX_WAITING, UnknownRequest
from streaming.chat.said import Happening, Role
from streaming.chat.settings import Chat
from streaming.config import Config
from streaming.errors import BadConfig
from tests.streaming.chat.stage import Stage


async def test_who_may_steers_at_once_and_is_named() -> None:
    stage = Stage()
    assert await stage.say("!mood epic", "Zoë", "vip") == "done"
    (control,) = stage.asked
    assert control["set"] == {"mood": "epic"} and control["by"] == "Zoë" and control["at"] == "bar"
    assert stage.decisions[0]["frame"] == stage.place_of(1)["frame"]


async def test_roles_are_a_setting() -> None:
    stage = Stage(may={"mood": "broadcaster", "energy": "viewer", "vote": "subscriber"}, votes=True)
    assert await stage.say("!mood epic", "v", "viewer") == "refused"
    assert await stage.say("!mood epic", "s", "subscriber") == "voted"
    assert await stage.say("!mood epic", "m", "moderator") == "voted"
    assert await stage.say("!energy up", "v2", "viewer") == "done"
    assert stage.asked[0]["set"] == {"energy": 0.6}
    assert await Stage(votes=False).say("!mood epic", "s", "subscriber") == "refused"


async def test_somebody_waits_between_two_commands_and_moderators_do_not() -> None:
    stage = Stage(cooldown_s=10, min_change_s=0)
    said = [await stage.say("!mood epic", "v", "vip"), await stage.say("!mood sad", "v", "vip")]
    stage.now_s += 10
    said.append(await stage.say("!mood sad", "renamed", "vip", id="v"))
    assert said == ["done", "refused", "done"]
    assert [await stage.say("!mood epic", "m", "moderator") for _ in range(3)] == ["done"] * 3


async def test_chat_changes_the_music_only_now_and_then() -> None:
    stage = Stage(min_change_s=30)
    assert await stage.say("!mood epic", "a", "vip") == "done"
    assert await stage.say("!mood sad", "b", "vip") == "refused"
    assert "again in 30 s" in stage.decisions[-1]["why"]
    assert await stage.say("!mood sad", "m", "moderator") == "done"
    stage.now_s += 30
    assert await stage.say("!mood sad", "c", "vip") == "done"


async def test_what_could_not_be_done_does_not_count_as_a_change() -> None:
    stage = Stage(least_energy=0, most_energy=1)
    stage.is_there = False
    assert await stage.say("!mood epic", "a", "vip") == "refused"
    assert "there is no station main" in stage.decisions[-1]["why"]
    stage.is_there = True
    assert await stage.say("!mood epic", "b", "vip") == "done"


async def test_the_energy_stays_within_its_bounds() -> None:
    stage = Stage(least_energy=0.3, most_energy=0.6)
    for wish, energy in [("1", 0.6), ("-0.5", 0.3), ("up", 0.6), ("40%", 0.4)]:
        await stage.say(f"!energy {wish}", "m", "moderator")
        assert stage.asked[-1]["set"] == {"energy": energy}
    assert await stage.say("!energy louder", "m", "moderator") == "refused"


async def test_free_text_waits_for_the_streamer() -> None:
    stage = Stage()
    assert await stage.say("!request rainy night", "a") == "waits"
    assert await stage.say("!mood a quiet piano", "b", "vip") == "waits"
    assert await stage.say("!request " + "x" * 121, "c") == "refused"
    assert not stage.asked
    first, second = stage.desk.requests
    assert (first["by"], first["text"], second["text"]) == ("a", "rainy night", "a quiet piano")
    assert (await stage.desk.approve(first["n"]))["outcome"] == "done"
    assert stage.desk.refuse(second["n"])["outcome"] == "refused"
    (control,) = stage.asked
    assert control["set"] == {"prompt": "rainy night", "strict": True} and control["by"] == "a"
    with pytest.raises(UnknownRequest, match="no request 1 waits"):
        await stage.desk.approve(first["n"])
    assert await Stage(requests=False).say("!request rain", "a") == "refused"


async def test_requests_do_not_pile_up() -> None:
    stage = Stage(cooldown_s=0)
    for text in ("one thing", "another"):
        await stage.say(f"!request {text}", "a")
    assert [each["text"] for each in stage.desk.requests] == ["another"]
    for number in range(100):
        await stage.say("!request rain", f"u{number}")
    assert len(stage.desk.requests) == MAX_WAITING
    stage.now_s += 3601
    assert not stage.desk.requests


async def test_a_ban_outlasts_a_new_name() -> None:
    stage = Stage(banned=("Evil",), cooldown_s=0)
    assert await stage.say("!np", "eViL", id="7") is None
    assert await stage.say("!np", "Troll", id="8") == "answered"
    assert await stage.say("!ban @troll", "v", "vip") == "refused"
    assert await stage.say("!ban @troll", "m", "moderator") == "done"
    assert await stage.say("!np", "Angel", id="8") is None
    assert await stage.say("!unban troll", "m", "moderator") == "done"
    assert await stage.say("!np", "Angel", id="8") == "answered"


async def test_replies_are_few_unless_more_are_wanted() -> None:
    few, all_, none, chinese = Stage(), Stage(replies="all"), Stage(replies="none"), Stage(language="zh")
    assert await few.reply("!np") == "Now: lofi, 120 bpm, energy 50%"
    assert await chinese.reply("!在放什么") == "正在播放：低保真，120 拍/分，能量 50%"
    assert await few.reply("!mood epic") is None and await all_.reply("!mood epic") == "@anna: counted"
    assert await few.reply("!energy x", "v") is None
    assert await few.reply("!energy x", "m", "moderator") == "@m: say up, down, +0.1, -0.1 or a number 0 … 1"
    assert await none.reply("!np") is None
    listed = await few.reply("!help", "h")
    assert listed is not None and "!mood NAME" in listed and "epic" in listed and len(listed) < 450


async def test_replies_are_in_the_chat_s_language() -> None:
    stage = Stage(language="zh", replies="all", cooldown_s=0, requests=False)
    assert await stage.reply("!mood 热血", "a") == "@a：已计票"
    assert await stage.reply("!vote 7", "a") == "@a：不是选项：热血"
    assert await stage.reply("!poll epic night", "v", "vip") == "@v：VIP不能用 !poll"
    assert await stage.reply("!mood epik", "m", "moderator") == "@m：不在列表里，相近的有：热血"
    assert stage.decisions[-1]["why"] == "not on the list; nearest: epic"
    for text in replies._TEXTS["en"]:
        assert text in replies._TEXTS["zh"]


async def test_what_plays_is_told_by_its_mood_and_who_asked() -> None:
    stage = Stage(cooldown_s=0)
    stage.more = {"asked_by": {"by": "Anna", "what": "epic", "at_frame": 0}}
    epic = find_mood("epic")
    stage.mood = {axis: getattr(epic, axis) for axis in ("valence", "energy", "tension")}
    stage.mood["style"] = {"cinematic": 0.4, "orchestral": 0.6}
    told = "Now: epic, orchestral & cinematic, 120 bpm"
    assert await stage.reply("!np") == f"{told}, energy {100 * epic.energy:.0f}%, asked for by Anna (epic)"
    for by, ends in (("chat", "%, chosen by vote (epic)"), ("programme", "%")):
        stage.more = {"asked_by": {"by": by, "what": "epic", "at_frame": 0}}
        assert str(await stage.reply("!np")).endswith(ends)


async def test_music_that_was_ended_is_not_the_chat_s_to_change() -> None:
    stage = Stage(cooldown_s=0)
    stage.plays = "ended"
    assert await stage.say("!mood epic", "m", "moderator") == "refused"
    assert await stage.say("!vote epic", "v") == "refused" and not stage.told and not stage.asked
    assert stage.decisions[-1]["why"] == "the music has ended"
    assert await stage.reply("!np") == "There is silence just now"


@pytest.mark.parametrize(
    ("action", "controls"),
    [
        ({"stinger": "victory"}, [{"type": "stinger", "name": "victory"}]),
        (
            {"mood": "epic", "over": "2 bars"},
            [{"type": "steer", "set": {"mood": "epic"}, "over": "2 bars", "at": "bar"}],
        ),
        ({"skip": True}, [{"type": "skip"}]),
        (
            {"energy": 0.9, "hit": 1.0},
            [{"type": "steer", "set": {"energy": 0.9}, "at": "bar"}, {"type": "hit", "strength": 1.0}],
        ),
    ],
)
async def test_an_event_does_what_the_settings_say_and_not_too_often(action: dict, controls: list[dict]) -> None:
    stage = Stage(min_change_s=0)
    raid = Happening("raid", "7", "Ben", amount=50)
    act = read_action({**action, "least": 50, "every_s": 10}, "twitch.events.raid")
    assert await stage.desk.happened("test", Happening("raid", "7", "Ben", amount=49), "raid", act) is None
    for _ in range(5):
        await stage.desk.happened("test", raid, "raid", act)
    told = [{name: value for name, value in asked.items() if name not in ("id", "by")} for asked in stage.asked]
    assert told == controls and {asked["by"] for asked in stage.asked} == {"Ben"}
    stage.now_s += 10
    await stage.desk.happened("test", raid, "raid", act)
    assert len(stage.asked) == 2 * len(controls)


async def test_events_change_the_music_no_more_often_than_chat_may() -> None:
    stage = Stage(min_change_s=60)
    assert await stage.say("!mood sad", "a", "vip") == "done"
    steers, strikes = (read_action(table, "x") for table in ({"mood": "epic"}, {"hit": 1.0}))
    for act in (steers, strikes):
        await stage.desk.happened("test", Happening("follow", "7", "Ben"), str(act.order), act)
    assert [asked["type"] for asked in stage.asked] == ["steer", "hit"]
    assert "has just changed" in stage.decisions[-2]["why"]


async def test_points_can_buy_a_vote() -> None:
    stage = Stage()
    await stage.desk.happened("test", Happening("points", "7", "Ben"), "points", read_action({"vote": "夜晚"}, "x"))
    assert stage.desk.running_votes[0]["options"] == [{"name": "night", "share": 1.0, "votes": 1}]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"chat": {"quorm": 3}}, 'unknown setting "chat.quorm"; nearest: quorum'),
        ({"chat": {"quorum": 0}}, "chat.quorum is 0; allowed is 1 … 10000"),
        ({"chat": {"may": {"mood": "king"}}}, 'chat.may.mood is "king"'),
        ({"chat": {"moods": ["epc"]}}, 'chat.moods: unknown mood "epc"; nearest: epic'),
        ({"chat": {"least_energy": 0.9, "most_energy": 0.1}}, "chat.least_energy is 0.9, above most_energy"),
        ({"chat": {"filter": "/nowhere/words"}}, 'chat.filter is "/nowhere/words", which cannot be read'),
        ({"twitch": {"events": {"rade": {"hit": 1}}}}, 'twitch.events has "rade"; known: points, cheer'),
        ({"twitch": {"events": {"raid": {"hit": 2}}}}, "twitch.events.raid: strength is 2; allowed is 0 … 1"),
        ({"twitch": {"events": {"raid": {"vote": "epic", "hit": 1}}}}, "a vote is for a mood"),
        ({"twitch": {"events": {"raid": {"stinger": "x", "every_s": -1}}}}, "every_s is -1; allowed is 0 … 86400"),
        ({"twitch": {"events": {"raid": 7}}}, "twitch.events.raid is 7; expected a table"),
        ({"twitch": {"channel": "x", "login": "y"}}, "twitch has no token"),
        ({"twitch": {"channel": "x", "token": "y", "events": {"raid": {"hit": 1}}}}, "twitch.client_id is missing"),
        ({"irc": {"host": "irc.example.org"}}, "irc.channel is missing"),
    ],
)
def test_a_setting_that_is_off_is_named(settings: dict, text: str) -> None:
    with pytest.raises(BadConfig, match=re.escape(text)):
        Config(**settings)


NASTY = [
    "!mood {}", "!mood epic", "!energy {}", "!vote {}", "!request {}", "!skip {}", "!np", "!help", "!poll {}",
    "!ban {}", "hello {}", "!{}",
]  # fmt: skip
BITS = [
    "🎉" * 250, "\u202e\u2066‮gnirts", "\u200b" * 400, "z\u0300" * 200, "\x00\x07\x1b[31m",
    "'; DROP TABLE x;--",
    '{"type":"panic"}', "<img src=x onerror=alert(1)>", "ﷺ" * 500, "\ud83d", "٣", "9" * 400, "NaN", "epic" * 100,
    "\r\nPRIVMSG #x :hi",
]  # fmt: skip


async def test_a_hostile_chat_breaks_nothing_and_moves_the_music_once() -> None:
    draw = random.Random(7)
    stage = Stage(min_change_s=60, quorum=3)
    for _ in range(2000):
        text = draw.choice(NASTY).format(draw.choice(BITS))
        number = draw.randrange(20_000)
        await stage.say(text, f"{draw.choice(BITS)[:40]}{number}", id=str(number))
        stage.now_s += 0.01
        stage.bar += 0.005
        await stage.desk.tick()
    assert len(stage.asked) == 1, "twenty seconds have gone by"
    for decision in stage.desk.decisions:
        decision["text"].encode()
        assert decision["user"].isprintable() or "\u200d" in decision["user"]
    assert len(stage.desk.decisions) == MAX_DECISIONS


def test_whoever_writes_under_however_many_names_little_is_remembered() -> None:
    members = Members(Chat())
    for number in range(_MAX_MEMBERS + 100):
        members.see(str(number), f"name{number}")
        members.wait_s(str(number), Role.viewer, "np", float(number))
        members.ban(f"other{number}")
    assert (len(members._ids), len(members._free_s)) == (_MAX_MEMBERS, _MAX_MEMBERS) and len(members._banned) == 1000
    assert members.wait_s(str(_MAX_MEMBERS + 99), Role.viewer, "np", _MAX_MEMBERS + 100.0) == 9
