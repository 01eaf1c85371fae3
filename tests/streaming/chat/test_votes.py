"""Votes count everybody once, land on a bar line, and move the music no more often than it may."""

from __future__ import annotations

import pytest

from moods.control import parse_control
from moods.mood import find_mood
from streaming.chat.voting import MAX_VOTERS, Ballot, blended, closing_bar
from tests.streaming.chat.stage import Stage


def ballot(*options: str, quorum: int = 1, is_open: bool = False) -> Ballot:
    return Ballot("mood", list(options), 8, quorum, is_open)


def test_everybody_has_one_vote_and_a_changed_one_counts_once() -> None:
    votes = ballot("epic", "night")
    for voter, option in [("a", "epic"), ("b", "epic"), ("a", "night"), ("a", "night"), ("c", "night")]:
        assert votes.vote(voter, option)
    assert votes.counts() == {"epic": 1, "night": 2} and votes.num_voters == 3
    assert votes.shares() == pytest.approx({"epic": 1 / 3, "night": 2 / 3}) and votes.winner == "night"


def test_weights_move_shares_and_not_counts() -> None:
    votes = ballot("epic", "night")
    votes.vote("a", "epic", 3)
    votes.vote("b", "night")
    assert votes.counts() == {"epic": 1, "night": 1} and votes.shares() == {"epic": 0.75, "night": 0.25}


def test_an_option_is_found_by_name_or_number() -> None:
    votes = ballot("epic", "night")
    found = [votes.find(choice) for choice in ("1", "2", "NIGHT", "0", "3", "-1", "9" * 50, "²", "sad")]
    assert found == ["epic", "night", "night", None, None, None, None, None, None]


def test_a_ballot_does_not_grow_without_end() -> None:
    votes = ballot("epic", is_open=True)
    assert [votes.propose(f"m{number}") for number in range(9)] == [True] * 5 + [False] * 4
    assert sum(votes.vote(str(number), "epic") for number in range(MAX_VOTERS + 100)) == MAX_VOTERS
    assert not ballot("epic").propose("night")


def test_a_vote_closes_on_a_phrase_line_after_whole_phrases() -> None:
    assert [closing_bar(bar, 2) for bar in (0, 0.25, 3.75, 4, 5)] == [8, 12, 12, 12, 16]


def test_moods_are_mixed_by_their_shares_and_few_votes_are_left_out() -> None:
    assert blended({"epic": 0.9, "night": 0.1}) == {"mood": "epic"}
    mixed = blended({"epic": 0.5, "night": 0.5, "sad": 0.0})
    epic, night = find_mood("epic"), find_mood("night")
    assert mixed["energy"] == pytest.approx((epic.energy + night.energy) / 2, abs=0.001)
    assert parse_control({"type": "steer", "set": mixed}).type == "steer"
    many = {f"{mood}": 1 / 6 for mood in ("epic", "night", "sad", "party", "rain", "focus")}
    assert blended(many) == {"mood": "epic"}


async def test_viewers_moods_are_a_vote_that_lands_on_the_phrase_line() -> None:
    stage = Stage(quorum=3, vote_phrases=1)
    stage.bar = 0.5
    for user, mood in [("a", "epic"), ("b", "night"), ("c", "epic"), ("d", "热血")]:
        assert await stage.say(f"!mood {mood}", user) == "voted"
    assert not stage.asked and stage.told[0]["closes_at"]["bar"] == 9
    await stage.play(7.25)  # to a beat before that bar
    (control,) = stage.asked
    assert control["at"] == "bar" and control["over"] == "2 bars" and control["by"] == "chat"
    assert stage.desk.decisions[0]["frame"] == stage.place_of(8)["frame"]
    assert stage.outcomes == ["epic"] and not stage.desk.running_votes
    assert [option["votes"] for option in stage.desk.ended_votes[0]["options"]] == [3, 1]


async def test_without_a_quorum_nothing_changes() -> None:
    stage = Stage(quorum=3, vote_phrases=1)
    await stage.say("!mood epic", "a")
    await stage.say("!mood epic", "b")
    await stage.play(9)
    assert stage.outcomes == [None] and not stage.asked


async def test_shares_are_told_while_they_change_and_not_more_often_than_twice_a_second() -> None:
    stage = Stage(quorum=1)
    await stage.say("!mood epic", "first")
    for number in range(1000):
        await stage.say(f"!mood {'epic' if number % 4 else 'night'}", f"u{number}")
        stage.now_s += 0.001
        await stage.desk.tick()
    assert 2 <= len(stage.told) <= 4
    shares = {option["name"]: option["share"] for option in stage.told[-1]["options"]}
    assert shares["night"] == pytest.approx(0.25, abs=0.02)


async def test_a_raid_changes_the_music_once_on_one_bar_line_and_not_again_too_soon() -> None:
    stage = Stage(quorum=3, vote_phrases=1, min_change_s=60)
    for number in range(5000):
        assert await stage.say(f"!mood {'epic' if number % 3 else 'horror'}", f"raider{number}") == "voted"
    await stage.play(8)
    assert len(stage.asked) == 1 and stage.desk.ended_votes[0]["options"][0]["votes"] > 1600
    for number in range(5000):
        await stage.say("!mood party", f"raider{number}", id=f"raider{number}x")
    await stage.play(8)  # it is over, and waits: sixteen seconds have gone by, not sixty
    assert len(stage.asked) == 1 and len(stage.desk.running_votes) == 1
    await stage.play(24)
    assert [control["set"] for control in stage.asked[1:]] == [{"mood": "party"}]


async def test_a_vote_on_the_energy_moves_it_by_how_far_they_agree() -> None:
    stage = Stage(quorum=4, vote_phrases=1)
    for user, wish in [("a", "up"), ("b", "+0.3"), ("c", "0.9"), ("d", "down")]:
        assert await stage.say(f"!energy {wish}", user) == "voted"
    await stage.play(8)
    assert stage.asked[0]["set"] == {"energy": 0.6}


async def test_enough_who_want_to_skip_need_not_wait() -> None:
    stage = Stage(quorum=3)
    for user in ("a", "b", "a", "c"):
        stage.now_s += 60
        await stage.say("!skip", user)
    assert [control["type"] for control in stage.asked] == ["skip"] and stage.outcomes == ["skip"]


async def test_moderators_poll_and_call_off() -> None:
    stage = Stage(quorum=1, vote_phrases=1)
    assert await stage.say("!poll epic night", "v") == "refused"
    assert await stage.say("!poll epic, 夜晚 nonsense", "m", "moderator") == "done"
    assert await stage.say("!vote 2", "a") == "voted" and await stage.say("!mood sad", "b") == "refused"
    assert await stage.say("!poll stop", "m", "moderator") == "done"
    assert stage.outcomes == [None]
    assert await stage.say("!poll energy", "m", "moderator") == "done"
    assert await stage.say("!vote down", "a", id="a2") == "voted"
    await stage.play(8)
    assert stage.asked[0]["set"] == {"energy": 0.3}


async def test_a_vote_over_music_that_stands_is_called_off_at_last() -> None:
    stage = Stage(quorum=1)
    await stage.say("!mood epic")
    for _ in range(700):
        stage.now_s += 1
        await stage.desk.tick()
    assert stage.outcomes == [None] and not stage.asked


async def test_a_vote_ends_with_its_station() -> None:
    stage = Stage(quorum=1)
    await stage.say("!mood epic")
    stage.is_there = False
    await stage.play(8)
    stage.is_there = True
    assert not stage.desk.running_votes and not stage.asked
