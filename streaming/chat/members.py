"""Who in a chat may do what, and when. In: members and commands; out: whether, or how long they have to wait.

Remembers who has just used a command, and who is banned; both are bounded. Times are of a clock that is given. One
thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from streaming.chat.commands import CommandName
from streaming.chat.said import Role
from streaming.chat.settings import Chat

_MAX_MEMBERS = 10_000
_MAX_BANNED = 1000
_MAY: Mapping[CommandName, Role] = {
    "mood": Role.vip,
    "energy": Role.moderator,
    "skip": Role.moderator,
    "poll": Role.moderator,
    "ban": Role.moderator,
    "unban": Role.moderator,
}


class Members:
    """All that write, by their ids: a name may be another's tomorrow."""

    def __init__(self, config: Chat) -> None:
        self._may = {**_MAY, **{command: Role[role] for command, role in config.may.items()}}
        self._weights = {Role[role]: weight for role, weight in config.weights.items()}
        self._cooldown_s = config.cooldown_s
        self._free_s: OrderedDict[tuple[str, str], float] = OrderedDict()
        """When somebody may use a command again."""
        self._ids: OrderedDict[str, str] = OrderedDict()
        """Of the names that were seen last."""
        self._banned: OrderedDict[str, None] = OrderedDict.fromkeys(each.casefold() for each in config.banned)
        """Ids and names."""

    def may(self, role: Role, command: CommandName) -> bool:
        return role >= self._may.get(command, Role.viewer)

    def weight(self, role: Role) -> float:
        """Of a vote."""
        return self._weights.get(role, 1.0)

    def see(self, member: str, name: str) -> None:
        """Remember whose name that is."""
        self._ids[name.casefold()] = member
        self._ids.move_to_end(name.casefold())
        if len(self._ids) > _MAX_MEMBERS:
            self._ids.popitem(last=False)

    def is_banned(self, member: str, name: str) -> bool:
        return member.casefold() in self._banned or name.casefold() in self._banned

    def ban(self, name: str) -> None:
        """Listen no more to whoever has that name, or had it when they were seen last."""
        for each in (name.casefold(), self._ids.get(name.casefold(), "").casefold()):
            if each:
                self._banned[each] = None
        while len(self._banned) > _MAX_BANNED:
            self._banned.popitem(last=False)

    def unban(self, name: str) -> None:
        for each in (name.casefold(), self._ids.get(name.casefold(), "").casefold()):
            self._banned.pop(each, None)

    def wait_s(self, member: str, role: Role, command: CommandName, now_s: float) -> float:
        """How long until they may use it again; 0 where they may, and then they have."""
        if role >= Role.moderator:
            return 0.0
        key = (member, command)
        if (wait_s := self._free_s.get(key, now_s) - now_s) > 0:
            return wait_s
        self._free_s[key] = now_s + self._cooldown_s
        self._free_s.move_to_end(key)
        if len(self._free_s) > _MAX_MEMBERS:
            self._free_s.popitem(last=False)
        return 0.0
