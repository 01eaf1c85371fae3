"""Where a station's chat is worked off: who may what, votes, requests. In: messages and happenings; out: decisions, and
what follows from them for the music.

Remembers votes, requests, who waits, and the last decisions, all of it within bounds whatever a chat does. Event loop
only.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from moods.fields import MAX_BY
from streaming.chat import replies
from streaming.chat.actions import Action
from streaming.chat.allow import Allowed
from streaming.chat.commands import Command, CommandName, parse, parse_level, plain
from streaming.chat.members import Members
from streaming.chat.replies import Saying
from streaming.chat.requests import Request, Requests
from streaming.chat.said import Happening, Message, Role
from streaming.chat.settings import Chat
from streaming.chat.voting import Ballot, blended, closing_bar
from streaming.messages import (
    Ack,
    Answer,
    ChatDecision,
    ChatOutcome,
    ChatRequest,
    Place,
    StationState,
    Vote,
    VoteOption,
    VoteTopic,
)

MAX_DECISIONS = 1000
_MAX_ENDED = 10
_TELL_S = 0.5
"""How often the shares of a vote are told while they change."""
_LONGEST_VOTE_S = 600.0
"""Music that stands still closes no vote; after so long it is called off."""
_VOTE_STEP = 0.2
"""How far a vote moves the energy that all agree on."""
_CHAT = "chat"
"""Who has asked for what a vote has decided."""
_MAX_POLL_WORDS = 12
_MOMENTS = ("hit", "stinger")
"""Controls that pass, and change nothing of the music."""


class Music(Protocol):
    """The station that a chat steers."""

    def state(self) -> StationState | None:
        """How it plays; None where there is no such station."""

    def place_of(self, bar: float) -> Place:
        """Where that bar (from 0) lies, as things stand."""

    async def ask(self, control: dict[str, Any]) -> Answer:
        """Have a control applied."""

    def tell(self, vote: Vote) -> None:
        """Tell a vote to all that watch the station."""


class _Refused(Exception):
    """A command that is not done."""

    def __init__(self, why: Saying | str) -> None:
        super().__init__(str(why))
        self.why = why


@dataclass(frozen=True, slots=True)
class _Done:
    """What followed from a command."""

    outcome: ChatOutcome
    why: Saying | str = ""
    frame: int | None = None
    reply: str | None = None


@dataclass(slots=True)
class _Running:
    """A vote that runs."""

    ballot: Ballot
    began_s: float
    told_s: float
    has_changed: bool = False


class Desk:
    """One station's chat, whatever rooms it comes from."""

    def __init__(
        self,
        config: Chat,
        music: Music,
        allowed: Allowed,
        on_decision: Callable[[ChatDecision], None] = lambda decision: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config, self._music, self._allowed, self._clock = config, music, allowed, clock
        self._on_decision = on_decision
        self._members = Members(config)
        self._requests = Requests()
        self._votes: dict[VoteTopic, _Running] = {}
        self._ended: deque[Vote] = deque(maxlen=_MAX_ENDED)
        self._action_s: dict[str, float] = {}
        """When an event may act again, by its name in the settings."""
        self._free_s = clock()
        """When chat may change the music again."""
        self._num_asked = 0
        self.decisions: deque[ChatDecision] = deque(maxlen=MAX_DECISIONS)

    # --- what is said ------------------------------------------------------------------------------------------------

    async def hear(self, room: str, message: Message) -> tuple[ChatDecision, str | None] | None:
        """Work off a message: what became of it, and what is to be written back; None where it was no command."""
        command = parse(message.text, self._config.prefix)
        if command is None or self._members.is_banned(message.id, message.user):
            return None
        message = replace(message, user=_shown(message.user))
        self._members.see(message.id, message.user)
        try:
            done = await self._do(command, message)
        except _Refused as error:
            done = _Done("refused", error.why)
        decision = self._note(room, message.id, message.user, message.role.name, command.name, command.argument, done)
        return decision, self._reply(command.name, message, done)

    def _reply(self, command: CommandName, message: Message, done: _Done) -> str | None:
        config = self._config
        if config.replies == "none" or done.reply is not None:
            return None if config.replies == "none" else done.reply
        if config.replies == "few" and not (done.outcome == "refused" and message.role >= Role.moderator):
            return None
        return Saying(done.outcome, user=message.user, why=done.why).said(config.language)

    async def _do(self, command: Command, message: Message) -> _Done:
        """Raises `_Refused`."""
        name, role = command.name, message.role
        may = self._members.may(role, name)
        is_vote = name in ("mood", "energy", "skip") and not may and self._config.votes
        if not (may or is_vote and self._members.may(role, "vote")):
            raise _Refused(Saying("may_not", role=Saying(role.name), command=self._config.prefix + name))
        if self._music.state() is None:
            raise _Refused(Saying("no_station", station=self._config.station))
        if wait_s := self._members.wait_s(message.id, role, name, self._clock()):
            raise _Refused(Saying("too_soon", every_s=self._config.cooldown_s, wait_s=wait_s))
        match name:
            case "mood":
                return await self._mood(command.argument, message, is_vote)
            case "energy":
                return await self._energy(command.argument, message, is_vote)
            case "skip" if is_vote:
                return await self._vote_to_skip(message)
            case "skip":
                return await self._change({"type": "skip", "at": "bar", "by": message.user}, role)
            case "vote":
                return self._vote(command.argument, message)
            case "poll":
                return self._poll(command.argument)
            case "request":
                return self._request(command.argument, message)
            case "ban" | "unban":
                return self._ban(command.argument.removeprefix("@"), is_banned=name == "ban")
            case "np":
                return self._answer(replies.now_playing(self._config.language, self._state()))
            case "help":
                config = self._config
                return self._answer(replies.help_text(config.language, config.prefix, self._allowed.moods))

    @staticmethod
    def _answer(text: str) -> _Done:
        return _Done("answered", reply=text)

    def _state(self) -> StationState:
        state = self._music.state()
        assert state is not None, self._config.station
        return state

    async def _mood(self, argument: str, message: Message, is_vote: bool) -> _Done:
        if not argument:
            raise _Refused(Saying("name_a_mood"))
        mood = self._allowed.mood(argument)
        if mood is None:
            if self._config.requests and self._members.may(message.role, "request"):
                return self._request(argument, message)
            near = self._allowed.near(argument)
            raise _Refused(Saying("nearest", moods=near) if near else Saying("not_listed"))
        if is_vote:
            return self._vote_for("mood", mood, message.id, message.role)
        return await self._change(self._steer({"mood": mood}, message.user), message.role)

    async def _energy(self, argument: str, message: Message, is_vote: bool) -> _Done:
        level = parse_level(argument)
        if level is None:
            raise _Refused(Saying("name_a_level"))
        now = self._state()["heading"]["energy"]
        wanted = self._within(now + level.value if level.is_step else level.value)
        if is_vote:
            return self._vote_for("energy", "up" if wanted > now else "down", message.id, message.role)
        return await self._change(self._steer({"energy": wanted}, message.user), message.role)

    def _within(self, energy: float) -> float:
        return round(min(self._config.most_energy, max(self._config.least_energy, energy)), 3)

    def _request(self, text: str, message: Message) -> _Done:
        if not self._config.requests:
            raise _Refused(Saying("no_requests"))
        if (why := self._allowed.why_not(text)) is not None:
            raise _Refused(why)
        request = self._requests.add(message.id, message.user, text, self._clock())
        if request is None:
            raise _Refused(Saying("too_many_wait"))
        return _Done("waits", f"request {request.n}")

    def _ban(self, name: str, *, is_banned: bool) -> _Done:
        if not name:
            raise _Refused(Saying("name_somebody"))
        self._members.ban(name) if is_banned else self._members.unban(name)
        return _Done("done")

    # --- what happens ------------------------------------------------------------------------------------------------

    async def happened(self, room: str, happening: Happening, name: str, action: Action) -> ChatDecision | None:
        """Do what the settings say for an event, `name` there; None where it is too small for that."""
        if happening.amount < action.least or self._members.is_banned(happening.id, happening.user):
            return None
        happening = replace(happening, user=_shown(happening.user))
        try:
            done = await self._act(happening, name, action)
        except _Refused as error:
            done = _Done("refused", error.why)
        text = plain(" ".join(filter(None, (happening.title, str(happening.amount or ""), happening.text))))
        return self._note(room, happening.id, happening.user, "", happening.kind, text, done)

    async def _act(self, happening: Happening, name: str, action: Action) -> _Done:
        """Raises `_Refused`."""
        if self._music.state() is None:
            raise _Refused(Saying("no_station", station=self._config.station))
        if action.vote is not None:
            mood = self._allowed.mood(action.vote)
            if mood is None:
                raise _Refused(Saying("not_listed"))
            return self._vote_for("mood", mood, happening.id, Role.viewer)
        now_s = self._clock()
        if now_s < self._action_s.get(name, now_s):
            raise _Refused(Saying("once", every_s=action.every_s))
        self._action_s[name] = now_s + action.every_s
        assert action.order is not None, name
        done = _Done("done")
        for control in action.order.controls:
            asked = {**control.asked(), "by": happening.user}
            done = await (self._ask(asked) if control.type in _MOMENTS else self._change(asked, Role.viewer))
        return done

    # --- the music ---------------------------------------------------------------------------------------------------

    def _steer(self, fields: dict[str, Any], by: str) -> dict[str, Any]:
        return {"type": "steer", "set": fields, "at": "bar", "over": f"{self._config.over_bars:g} bars", "by": by}

    async def _change(self, control: dict[str, Any], role: Role) -> _Done:
        """Ask for what changes the music: chat may now and then, its moderators at any time. Raises `_Refused`."""
        self._check_plays()
        now_s, before_s = self._clock(), self._free_s
        if role < Role.moderator and now_s < before_s:
            raise _Refused(Saying("just_changed", wait_s=before_s - now_s))
        self._free_s = now_s + self._config.min_change_s  # before it is done: others ask meanwhile
        try:
            return await self._ask(control)
        except _Refused:
            self._free_s = before_s
            raise

    def _check_plays(self) -> None:
        """Music that was ended is the streamer's to begin again. Raises `_Refused`."""
        if self._state()["state"] == "ended":
            raise _Refused(Saying("has_ended"))

    async def _ask(self, control: dict[str, Any]) -> _Done:
        """Raises `_Refused`."""
        self._num_asked += 1
        answer = await self._music.ask({**control, "id": f"chat-{self._num_asked}"})
        if answer["type"] == "error":
            raise _Refused(answer["detail"])
        return _Done("done", frame=_frame_of(answer))

    # --- votes -------------------------------------------------------------------------------------------------------

    def _vote(self, choice: str, message: Message) -> _Done:
        """Vote for an option of a vote that runs, or for a mood, which begins one."""
        for topic, running in self._votes.items():
            option = running.ballot.find(choice)
            if option is not None and topic != "skip":
                return self._vote_for(topic, option, message.id, message.role)
        if (mood := self._allowed.mood(choice)) is None:
            options = [option for running in self._votes.values() for option in running.ballot.options]
            raise _Refused(Saying("no_option", options=options) if options else Saying("no_vote"))
        return self._vote_for("mood", mood, message.id, message.role)

    def _vote_for(self, topic: VoteTopic, option: str, member: str, role: Role) -> _Done:
        """Count a vote, beginning one where none runs. Raises `_Refused`."""
        self._check_plays()
        if not self._config.votes:
            raise _Refused(Saying("no_votes"))
        options = {"mood": [option], "energy": ["up", "down"], "skip": ["skip"]}[topic]
        running = self._votes.get(topic) or self._begin(topic, options, is_open_to_more=topic == "mood")
        if not running.ballot.propose(option):
            raise _Refused(Saying("no_option", options=running.ballot.options))
        if not running.ballot.vote(member, option, self._members.weight(role)):
            raise _Refused(Saying("too_many_voted"))
        running.has_changed = True
        return _Done("voted", f"{topic}: {option}")

    async def _vote_to_skip(self, message: Message) -> _Done:
        done = self._vote_for("skip", "skip", message.id, message.role)
        await self.tick()  # it need not run to its end
        return done

    def _poll(self, argument: str) -> _Done:
        """Begin a vote among moods, or on the energy, or call all off."""
        words = argument.split()[:_MAX_POLL_WORDS]
        if words in (["stop"], ["结束"]):
            for each in list(self._votes):
                self._end(each, None)
            return _Done("done")
        topic: VoteTopic = "energy" if words and words[0].casefold() in ("energy", "能量") else "mood"
        if topic in self._votes:
            raise _Refused(Saying("vote_runs"))
        options = ["up", "down"]
        if topic == "mood":
            found = [self._allowed.mood(word.strip(",，、")) for word in words]
            options = list(dict.fromkeys(mood for mood in found if mood is not None))
            if len(options) < 2:
                raise _Refused(Saying("name_two"))
        self._begin(topic, options[:6], is_open_to_more=False)
        return _Done("done", f"{topic}: {', '.join(options)}")

    def _begin(self, topic: VoteTopic, options: list[str], *, is_open_to_more: bool) -> _Running:
        ballot = Ballot(
            topic, options, closing_bar(self._bar(), self._config.vote_phrases), self._config.quorum, is_open_to_more
        )
        now_s = self._clock()
        running = self._votes[topic] = _Running(ballot, now_s, now_s)
        self._music.tell(self._message(ballot))
        return running

    def _bar(self) -> float:
        at = self._state()["position"]
        return at["bar"] - 1 + (at["beat"] - 1) / 4

    def _message(self, ballot: Ballot) -> Vote:
        counts, shares = ballot.counts(), ballot.shares()
        return Vote(
            type="vote",
            topic=ballot.topic,
            options=[
                VoteOption(name=name, share=round(share, 4), votes=counts[name]) for name, share in shares.items()
            ],
            closes_at=self._music.place_of(ballot.closes_bar),
            quorum=ballot.quorum,
        )

    async def tick(self) -> None:
        """Close the votes whose time has come, and tell how the others stand; to be called several times a second."""
        if not self._votes:
            return
        if self._music.state() is None:
            self._votes.clear()
            return
        now_s, bar = self._clock(), self._bar()
        for topic, running in list(self._votes.items()):
            ballot = running.ballot
            if self._votes.get(topic) is not running:  # it was called off while another closed
                continue
            if now_s - running.began_s > _LONGEST_VOTE_S:
                self._end(topic, None)
            elif ballot.is_over(bar) or topic == "skip" and ballot.has_quorum:
                await self._close(topic, ballot, now_s)
            elif running.has_changed and now_s - running.told_s >= _TELL_S:
                running.told_s, running.has_changed = now_s, False
                self._music.tell(self._message(ballot))

    async def _close(self, topic: VoteTopic, ballot: Ballot, now_s: float) -> None:
        """End a vote and do what it says; one that is carried waits until the music may change again."""
        if ballot.winner is None:
            self._end(topic, None)
            return
        if now_s < self._free_s:
            return
        self._end(topic, ballot.winner)
        control = self._carried(ballot)
        done = _Done("done", "the shares cancel out")
        if control is not None:
            try:
                done = await self._change(control, Role.viewer)
            except _Refused as error:
                done = _Done("refused", error.why)
        shares = ", ".join(f"{name} {share:.0%}" for name, share in ballot.shares().items())
        told = f"{topic}: {shares} of {ballot.num_voters} votes"
        self._note("", "", _CHAT, "", "vote", told, done)

    def _carried(self, ballot: Ballot) -> dict[str, Any] | None:
        """What a vote asks of the music."""
        shares, winner = ballot.shares(), ballot.winner
        if ballot.topic == "skip":
            return {"type": "skip", "at": "bar", "by": _CHAT}
        if ballot.topic == "energy":
            step = _VOTE_STEP * (shares["up"] - shares["down"])
            return (
                self._steer({"energy": self._within(self._state()["heading"]["energy"] + step)}, _CHAT)
                if step
                else None
            )
        return self._steer(blended(shares) if self._config.blend else {"mood": winner}, _CHAT)

    def _end(self, topic: VoteTopic, outcome: str | None) -> None:
        vote = self._message(self._votes.pop(topic).ballot)
        vote["outcome"] = outcome
        self._ended.appendleft(vote)
        self._music.tell(vote)

    @property
    def running_votes(self) -> list[Vote]:
        return [self._message(running.ballot) for running in self._votes.values()]

    @property
    def ended_votes(self) -> list[Vote]:
        """The newest first."""
        return list(self._ended)

    # --- requests ----------------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[ChatRequest]:
        """Those that wait, the oldest first."""
        now_s = self._clock()
        return [
            ChatRequest(n=each.n, by=each.user, text=each.text, asked=_rfc3339(now_s - each.at_s))
            for each in self._requests.waiting(now_s)
        ]

    async def approve(self, number: int) -> ChatDecision:
        """Have a request done. Raises `UnknownRequest`."""
        request = self._requests.take(number, self._clock())
        asked = self._steer({"prompt": request.text, "strict": True}, request.user)
        try:
            done = await self._change(asked, Role.broadcaster)
        except _Refused as error:
            done = _Done("refused", error.why)
        return self._note_request(request, "approve", done)

    def refuse(self, number: int) -> ChatDecision:
        """Raises `UnknownRequest`."""
        request = self._requests.take(number, self._clock())
        return self._note_request(request, "refuse", _Done("refused", "the streamer refused it"))

    def _note_request(self, request: Request, what: str, done: _Done) -> ChatDecision:
        return self._note("", request.member, request.user, "", what, request.text, done)

    # --- memory ------------------------------------------------------------------------------------------------------

    def _note(self, room: str, member: str, user: str, role: str, what: str, text: str, done: _Done) -> ChatDecision:
        decision = ChatDecision(
            when=_rfc3339(),
            room=room,
            id=plain(member)[:128],
            user=user,
            role=role,
            what=what,
            text=text,
            outcome=done.outcome,
            why=str(done.why),
            frame=done.frame,
        )
        self.decisions.appendleft(decision)
        self._on_decision(decision)
        return decision


def _frame_of(ack: Ack) -> int:
    return ack["effective_at"]["frame"]


def _shown(user: str) -> str:
    """A name as others may see it."""
    return plain(plain(user)[:MAX_BY]) or "?"


def _rfc3339(ago_s: float = 0.0) -> str:
    return datetime.fromtimestamp(time.time() - ago_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
