"""A station for a desk, without music: its bars go by as a test says, and what is asked of it is kept."""

from __future__ import annotations

from typing import Any

from moods.control import parse_control
from moods.errors import MoodsError
from streaming.chat.allow import Allowed
from streaming.chat.desk import Desk
from streaming.chat.said import Message, Role
from streaming.chat.settings import Chat
from streaming.messages import Answer, ChatDecision, Place, StationState, Vote

BAR_S = 2.0


class Stage:
    """A desk, its station and a clock by which both go."""

    def __init__(self, **chat: Any) -> None:
        self.now_s = 1000.0
        self.bar = 0.0
        self.is_there = True
        self.plays = "playing"
        self.mood: dict[str, Any] = {}
        """What the mood has otherwise than it usually has here."""
        self.more: dict[str, Any] = {}
        """What else the station's state tells."""
        self.asked: list[dict[str, Any]] = []
        self.told: list[Vote] = []
        self.decisions: list[ChatDecision] = []
        config = Chat(**chat)
        allowed = Allowed(config.moods, [], config.max_characters)
        self.desk = Desk(config, self, allowed, self.decisions.append, lambda: self.now_s)

    # --- the music ---------------------------------------------------------------------------------------------------

    def state(self) -> StationState | None:
        position = self.place_of(self.bar)
        mood: Any = {"valence": -1.0, "energy": 0.5, "tension": 0.0, "bpm": 120.0, "style": {"lofi": 1.0}, **self.mood}
        told: Any = {"state": self.plays, "position": position, "heading": mood, "mood": mood, **self.more}
        return told if self.is_there else None

    def place_of(self, bar: float) -> Place:
        whole, part = divmod(bar, 1)
        frame = round(bar * 96_000)
        return Place(frame=frame, seconds=frame / 48_000, bar=int(whole) + 1, beat=int(4 * part) + 1, bpm=120.0)

    async def ask(self, control: dict[str, Any]) -> Answer:
        try:
            if control["type"] != "skip":
                parse_control(control)
        except MoodsError as error:
            return {"type": "error", "id": control["id"], "code": error.code, "detail": str(error)}
        self.asked.append(control)
        at = self.place_of(float(int(self.bar) + 1))
        return {"type": "ack", "id": control["id"], "effective_at": at}  # type: ignore[typeddict-item]

    def tell(self, vote: Vote) -> None:
        self.told.append(vote)

    # --- the chat ----------------------------------------------------------------------------------------------------

    async def say(self, text: str, user: str = "anna", role: str = "viewer", id: str | None = None) -> str | None:
        """Answer what became of it."""
        heard = await self.desk.hear("test", Message(id or user, user, Role[role], text))
        return None if heard is None else heard[0]["outcome"]

    async def reply(self, text: str, user: str = "anna", role: str = "viewer") -> str | None:
        heard = await self.desk.hear("test", Message(user, user, Role[role], text))
        return None if heard is None else heard[1]

    async def play(self, bars: float) -> None:
        """Let the music go on, a beat at a time."""
        for _ in range(round(4 * bars)):
            self.bar += 0.25
            self.now_s += BAR_S / 4
            await self.desk.tick()

    @property
    def outcomes(self) -> list[str | None]:
        return [vote["outcome"] for vote in self.told if "outcome" in vote]
