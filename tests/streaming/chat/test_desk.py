"""Who may what, and when; and whatever a chat sends, the music stays the streamer's."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from streaming.chat.requests import MAX_WAITING, UnknownRequest
from streaming.chat.room import Happening
from streaming.config import ChatAction
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
    assert await stage.say("!request rainy night in Tokyo", "a") == "waits"
    assert await stage.say("!mood something quite else", "b", "vip") == "waits"
    assert await stage.say("!request " + "x" * 121, "c") == "refused"
    assert not stage.asked
    first, second = stage.desk.requests
    assert (first["by"], first["text"], second["text"]) == ("a", "rainy night in Tokyo", "something quite else")
    assert (await stage.desk.approve(first["n"]))["outcome"] == "done"
    assert stage.desk.refuse(second["n"])["outcome"] == "refused"
    (control,) = stage.asked
    assert control["set"] == {"prompt": "rainy night in Tokyo", "strict": True} and control["by"] == "a"
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
    assert await chinese.reply("!在放什么") == "正在播放：lofi，120 拍/分，能量 50%"
    assert await few.reply("!mood epic") is None and await all_.reply("!mood epic") == "@anna: counted"
    assert await few.reply("!energy x", "v") is None
    assert await few.reply("!energy x", "m", "moderator") == "@m: say up, down, +0.1, -0.1 or a number 0 … 1"
    assert await none.reply("!np") is None
    listed = await few.reply("!help", "h")
    assert listed is not None and "!mood NAME" in listed and "epic" in listed and len(listed) < 450


@pytest.mark.parametrize(
    ("action", "control"),
    [
        ({"stinger": "victory"}, {"type": "stinger", "name": "victory", "at": "beat"}),
        ({"hit": 0.5}, {"type": "hit", "strength": 0.5, "at": "bar"}),
        ({"mood": "epic"}, {"type": "steer", "set": {"mood": "epic"}, "at": "bar", "over": "2 bars"}),
        ({"skip": True}, {"type": "skip", "at": "bar"}),
    ],
)
async def test_an_event_does_what_the_settings_say_and_not_too_often(action: dict, control: dict) -> None:
    stage = Stage(min_change_s=0)
    raid = Happening("raid", "7", "Ben", amount=50)
    act = ChatAction(**action, least=50, every_s=10)
    assert await stage.desk.happened("test", Happening("raid", "7", "Ben", amount=49), "raid", act) is None
    for _ in range(5):
        await stage.desk.happened("test", raid, "raid", act)
    (asked,) = stage.asked
    assert asked == {**control, "by": "Ben", "id": "chat-1"}
    stage.now_s += 10
    await stage.desk.happened("test", raid, "raid", act)
    assert len(stage.asked) == 2


async def test_points_can_buy_a_vote() -> None:
    stage = Stage()
    await stage.desk.happened("test", Happening("points", "7", "Ben"), "points", ChatAction(vote="night"))
    assert stage.desk.running_votes[0]["options"] == [{"name": "night", "share": 1.0, "votes": 1}]


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


async def test_a_hostile_chat_neither_breaks_the_desk_nor_grows_it() -> None:
    draw = random.Random(7)
    stage = Stage(min_change_s=60, quorum=3)

    async def flood(num_messages: int) -> None:
        for _ in range(num_messages):
            text = draw.choice(NASTY).format(draw.choice(BITS))
            number = draw.randrange(20_000)
            await stage.say(text, f"{draw.choice(BITS)[:40]}{number}", id=str(number))
            stage.now_s += 0.001
        stage.bar += num_messages * 0.001 / 2
        await stage.desk.tick()

    await flood(4000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await flood(4000)
    stage.decisions.clear()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 4_000_000
    assert len(stage.asked) == 1, "eight seconds have gone by"
    for decision in stage.desk.decisions:
        decision["text"].encode()
        assert decision["user"].isprintable() or "\u200d" in decision["user"]
