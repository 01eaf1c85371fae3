"""Votes. In: who chose what, and where the music is; out: shares, and an outcome. A ballot remembers its voters.

Its time is the music's, in bars, so that an outcome can land on a bar line. One thread.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from moods.intent import BARS_PER_PHRASE, STYLES
from moods.mood import Mood, find_mood, style_names
from streaming.messages import VoteTopic

MAX_VOTERS = 20_000
"""Further ones are not counted: a ballot does not grow without end."""
MAX_OPTIONS = 6
LEAST_SHARE = 0.2
"""A mood that fewer want is left out of what is mixed."""
_EARLY_BARS = 0.25
"""So long before its bar line a ballot closes, to land on it."""


@dataclass(slots=True)
class Ballot:
    """One vote: everybody has one, and may change it as long as it runs."""

    topic: VoteTopic
    options: list[str]
    closes_bar: float
    """Where the music is then, in bars from 0."""
    quorum: int
    """So many must have voted."""
    is_open_to_more: bool = False
    """Voters may name options that are not there yet."""
    _choices: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By voter: what was chosen, with which weight."""
    _tally: Counter[tuple[str, float]] = field(default_factory=Counter)
    """How often each of these: thousands vote, and how it stands is told twice a second."""

    @property
    def num_voters(self) -> int:
        return len(self._choices)

    def find(self, choice: str) -> str | None:
        """The option of that name or number, counted from 1."""
        if choice.isascii() and choice.isdigit():
            return self.options[int(choice) - 1] if 0 < int(choice[:4]) <= len(self.options) else None
        return next((option for option in self.options if option.casefold() == choice.casefold()), None)

    def propose(self, option: str) -> bool:
        """Have an option among the others; false where there is no room for it."""
        if option not in self.options:
            if not self.is_open_to_more or len(self.options) >= MAX_OPTIONS:
                return False
            self.options.append(option)
        return True

    def vote(self, voter: str, option: str, weight: float = 1.0) -> bool:
        """Take somebody's vote in the place of an earlier one; false where there are too many voters."""
        assert option in self.options, option
        if voter not in self._choices and len(self._choices) >= MAX_VOTERS:
            return False
        if (before := self._choices.get(voter)) is not None:
            self._tally[before] -= 1
        self._choices[voter] = (option, weight)
        self._tally[option, weight] += 1
        return True

    def counts(self) -> dict[str, int]:
        """How many chose each option."""
        counts = dict.fromkeys(self.options, 0)
        for (option, _), count in self._tally.items():
            counts[option] += count
        return counts

    def shares(self) -> dict[str, float]:
        """The share that each option has of all weight; of none where nobody has voted."""
        weights = dict.fromkeys(self.options, 0.0)
        for (option, weight), count in self._tally.items():
            weights[option] += count * weight
        total = sum(weights.values())
        return {option: weight / total if total else 0.0 for option, weight in weights.items()}

    def is_over(self, bar: float) -> bool:
        return bar >= self.closes_bar - _EARLY_BARS

    @property
    def has_quorum(self) -> bool:
        return self.num_voters >= self.quorum

    @property
    def winner(self) -> str | None:
        """The option with the largest share, of equals the one that was there first; None below the quorum."""
        shares = self.shares()
        return max(self.options, key=lambda option: shares[option]) if self.has_quorum else None


def closing_bar(bar: float, num_phrases: int) -> float:
    """The phrase line from which on so many whole phrases have gone by."""
    return math.ceil(bar / BARS_PER_PHRASE + num_phrases) * BARS_PER_PHRASE


def blended(shares: Mapping[str, float]) -> dict[str, object]:
    """The mood fields of moods by their shares; a preset alone stays itself."""
    wanted = {name: share for name, share in shares.items() if share >= LEAST_SHARE}
    wanted = wanted or {max(shares, key=lambda name: shares[name]): 1.0}
    if len(wanted) == 1:
        return {"mood": next(iter(wanted))}
    points = [(find_mood(name), share / sum(wanted.values())) for name, share in wanted.items()]
    axes = {name: round(_mean(points, name), 3) for name in ("valence", "energy", "tension")}
    return {**axes, "style": style_names(_styles(points))}


def _mean(points: Iterable[tuple[Mood, float]], name: str) -> float:
    return sum(share * float(getattr(point, name)) for point, share in points)


def _styles(points: list[tuple[Mood, float]]) -> list[float]:
    return [sum(share * point.style[index] for point, share in points) for index in range(len(STYLES))]
