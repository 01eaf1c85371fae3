"""Free texts that wait for the streamer. In: texts of members; out: those that wait. Remembers a bounded number.

One thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from streaming.errors import StreamingError

MAX_WAITING = 50
_KEEP_S = 3600.0


class UnknownRequest(StreamingError):
    code, status, title = "unknown_request", 404, "No such request"

    def __init__(self, number: int) -> None:
        super().__init__(
            f"no request {number} waits; it may have been decided on, or forgotten after an hour",
            field="n", value=number,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What somebody asked for in their own words."""

    n: int
    member: str
    user: str
    text: str
    at_s: float


class Requests:
    """Those that wait, the oldest first; everybody has one, and a later text takes the place of theirs."""

    def __init__(self) -> None:
        self._waiting: dict[int, Request] = {}
        self._num_asked = 0

    def add(self, member: str, user: str, text: str, now_s: float) -> Request | None:
        """Let a text wait; None where too many do."""
        waiting = self.waiting(now_s)
        for each in waiting:
            if each.member == member:
                del self._waiting[each.n]
        if len(self._waiting) >= MAX_WAITING:
            return None
        self._num_asked += 1
        request = Request(self._num_asked, member, user, text, now_s)
        self._waiting[request.n] = request
        return request

    def waiting(self, now_s: float) -> list[Request]:
        """All that wait, but for what nobody has decided on in an hour."""
        for each in list(self._waiting.values()):
            if now_s - each.at_s > _KEEP_S:
                del self._waiting[each.n]
        return list(self._waiting.values())

    def take(self, number: int, now_s: float) -> Request:
        """Decide on one: it waits no longer. Raises `UnknownRequest`."""
        self.waiting(now_s)
        try:
            return self._waiting.pop(number)
        except KeyError:
            raise UnknownRequest(number) from None

    def put_back(self, request: Request) -> None:
        """Let one wait on that could not be done."""
        self._waiting[request.n] = request
