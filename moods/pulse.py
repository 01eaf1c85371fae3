"""The pulse: where beats fall, so that they meet as many of the spots that matter as the tempo allows.

In: spots, counted in beats of the tempo that was asked for; out: the place of every beat in the same count.
Remembers nothing; any thread.

Two steps. `meet` chooses which spots are met and by which beats: dynamic programming over spots. A state is a spot met
by a beat of a bar at a tempo; a span leads to it from an earlier state with a whole number of beats at an even tempo.
It costs what it departs from the asked tempo, what the tempo changes since the span before, and the weights of the
spots that it leaves out. `glide` then lays the beats between the spots that are met: the least-squares curve through
them whose tempo changes least from beat to beat (a discrete smoothing spline, one pentadiagonal system), and where that
would leave the range of tempo, as much of it as stays inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import NamedTuple

from moods.intent import BEATS_PER_BAR

DEPARTURE_COST = 1.0
"""Of a beat whose tempo departs from the asked one by the share 1, in squares: 0.01 for 10 %."""
CHANGE_COST = 20.0
"""Of a tempo that changes by the share 1 from one span to the next, in squares: 0.2 for 10 %."""
_GLIDE_BEATS = 8.0
"""A change into a span of so many beats costs half: it has room to glide."""
_ROUGH = 0.08**2
"""Squared: a change of this share costs twice what its square says, greater ones more and more."""
_OFFSET_COST = 0.05
"""Of a spot met at the border of its tolerance."""
_BUCKET = 0.02
"""Tempi that differ by less are one state."""
_MOST_STATES = 12
_DEAREST = 2.0
"""So many states of a spot are kept, and none that cost so much more than the cheapest."""
_SPOTS_BACK, _BEATS_BACK, _MOST_SPOTS_BACK = 8, 6.0, 32
"""How many earlier spots a span may begin at: at least so many, and all that lie so near."""
_NUM_BEATS_TRIED = 2
"""How many beats more or fewer than is even a span may have."""
_EVENNESS = 0.04
"""How strongly beats are pulled to the asked tempo, against a smooth course."""
_FIXED = 1e7


@dataclass(frozen=True, slots=True)
class Spot:
    """A place that a beat should meet; all in beats of the asked tempo."""

    at: float
    tolerance: float
    weight: float  # what it costs not to be met
    bar_weight: float = 0.0  # what it costs to be met by a beat that begins no bar
    is_last: bool = False  # the path ends with one of these, if there are any
    cost: float = 0.0  # of ending here


class Met(NamedTuple):
    """A spot and the beat that meets it."""

    spot: int  # its index; -1 is the beginning
    beat: int
    at: float  # where the beat falls


class _State(NamedTuple):
    cost: float
    at: float
    departure: float  # of the tempo of the span that leads here, as a share of the asked one
    beat: int
    spot: int
    before: _State | None


def meet(spots: Sequence[Spot], slowest: float, fastest: float) -> list[Met] | None:
    """Which of `spots`, in order of their places, are met by which beats; the beginning first.

    The tempo stays between `slowest` and `fastest`, shares of the asked one. None where no last spot can be reached.
    """
    states = [[_State(0.0, 0.0, 0.0, 0, -1, None)]]  # of the beginning, then of each spot
    passed = [0.0]  # the weights of the spots before each
    for number, spot in enumerate(spots):
        passed.append(passed[-1] + (0.0 if spot.is_last else spot.weight))
        best = _Best()
        for back in range(number, -1, -1):  # states[back] are those of spot back - 1
            if back and spots[back - 1].is_last:
                continue
            place = spots[back - 1].at if back else 0.0
            num_back = number - back
            if num_back >= _MOST_SPOTS_BACK or (num_back >= _SPOTS_BACK and spot.at - place > _BEATS_BACK and back):
                break
            missed = passed[number] - passed[back]
            for state in states[back]:
                if state.cost + missed > best.limit:
                    break  # they are in order of their costs
                best.reach(spot, number, state, state.cost + missed, slowest, fastest)
        states.append(best.states())
    lasts = [number for number, spot in enumerate(spots) if spot.is_last]
    if lasts:
        ends = [(state.cost, state) for number in lasts for state in states[number + 1]]
    else:
        ends = [(row[0].cost + passed[-1] - passed[number], row[0]) for number, row in enumerate(states) if row]
    return _path(min(ends, key=lambda end: end[0])[1]) if ends else None


class _Best:
    """The cheapest states of one spot, by beat of the bar and tempo."""

    def __init__(self) -> None:
        self._states: dict[tuple[int, int], _State] = {}
        self.limit = inf

    def states(self) -> list[_State]:
        """By their costs."""
        kept = [state for state in self._states.values() if state.cost <= self.limit]
        return sorted(kept, key=_cost_of)[:_MOST_STATES]

    def reach(self, spot: Spot, number: int, state: _State, cost: float, slowest: float, fastest: float) -> None:
        """Keep what leads from `state`, at a cost so far, to `spot` and is cheaper than what was there."""
        start, departure = state.at, state.departure
        length = spot.at - start
        nearest, furthest = max(1e-9, length - spot.tolerance), length + spot.tolerance
        even = round(length * (1 + departure / 2))
        fewest = max(1, ceil(nearest * slowest - 1e-9), even - _NUM_BEATS_TRIED)
        most = min(floor(furthest * fastest + 1e-9), even + _NUM_BEATS_TRIED)
        for num_beats in range(fewest, most + 1):
            lowest, highest = max(slowest, num_beats / furthest), min(fastest, num_beats / nearest)
            if lowest > highest:
                continue
            change_cost = 0.0 if state.before is None else CHANGE_COST / (1 + num_beats / _GLIDE_BEATS)
            departure_cost = DEPARTURE_COST * num_beats
            beat = state.beat + num_beats
            beat_in_bar = beat % BEATS_PER_BAR
            so_far = cost + spot.cost + (spot.bar_weight if beat_in_bar else 0.0)
            smoothest = 1 + change_cost * departure / (departure_cost + change_cost)
            smoothest = min(highest, max(lowest, smoothest))
            to_the_point = min(highest, max(lowest, num_beats / max(length, 1e-9)))
            for ratio in (smoothest,) if smoothest == to_the_point else (smoothest, to_the_point):
                at, change = start + num_beats / ratio, ratio - 1
                squared = (change - departure) ** 2
                total = so_far + departure_cost * change * change + change_cost * squared * (1 + squared / _ROUGH)
                if spot.tolerance:
                    total += _OFFSET_COST * ((at - spot.at) / spot.tolerance) ** 2
                if total > self.limit:
                    continue
                self.limit = min(self.limit, total + _DEAREST)
                key = beat_in_bar, round(change / _BUCKET)
                known = self._states.get(key)
                if known is None or total < known.cost:
                    self._states[key] = _State(total, at, change, beat, number, state)


def _cost_of(state: _State) -> float:
    return state.cost


def _path(state: _State | None) -> list[Met]:
    path: list[Met] = []
    while state is not None:
        path.append(Met(state.spot, state.beat, state.at))
        state = state.before
    return path[::-1]


def glide(met: Sequence[Met], num_beats: int, slowest: float, fastest: float) -> list[float]:
    """The places of the beats 0 … `num_beats`, those that meet a spot where they meet it."""
    fixed = {place.beat: place.at for place in met}
    places = _smooth(fixed, num_beats)
    least, most = 1 / fastest, 1 / slowest
    last = met[-1]
    spans = [(one.beat, one.at, other.beat, other.at) for one, other in zip(met, met[1:], strict=False)]
    if last.beat < num_beats:
        spans.append((last.beat, last.at, num_beats, last.at + num_beats - last.beat))
    for first, start, end, stop in spans:
        even = (stop - start) / (end - first)
        lengths = [places[beat + 1] - places[beat] for beat in range(first, end)]
        share = 1.0
        for length in lengths:
            if length > most:
                share = min(share, max(0.0, most - even) / (length - even))
            elif length < least:
                share = min(share, max(0.0, even - least) / (even - length))
        if share < 1:
            for index, beat in enumerate(range(first, end - 1)):
                places[beat + 1] = places[beat] + even + share * (lengths[index] - even)
    for beat, at in fixed.items():
        places[beat] = at
    return places


def _smooth(fixed: dict[int, float], num_beats: int) -> list[float]:
    """Places of beats through `fixed` ones, of the least sum of squared second differences and departures from 1."""
    count = num_beats + 1
    diagonal, next_to, next_but_one = [0.0] * count, [0.0] * count, [0.0] * count
    right = [0.0] * count
    for beat in range(num_beats):  # _EVENNESS · (p[k + 1] - p[k] - 1)²
        diagonal[beat] += _EVENNESS
        diagonal[beat + 1] += _EVENNESS
        next_to[beat] -= _EVENNESS
        right[beat] -= _EVENNESS
        right[beat + 1] += _EVENNESS
    for beat in range(1, num_beats):  # (p[k + 1] - 2 p[k] + p[k - 1])²
        diagonal[beat - 1] += 1
        diagonal[beat] += 4
        diagonal[beat + 1] += 1
        next_to[beat - 1] -= 2
        next_to[beat] -= 2
        next_but_one[beat - 1] += 1
    for beat, at in fixed.items():
        diagonal[beat] += _FIXED
        right[beat] += _FIXED * at
    return _solve(diagonal, next_to, next_but_one, right)


def _solve(diagonal: list[float], next_to: list[float], next_but_one: list[float], right: list[float]) -> list[float]:
    """Solve a symmetric positive definite pentadiagonal system by LDLᵀ (Golub, Van Loan, Matrix Computations, 4.3)."""
    count = len(diagonal)
    pivots, lower, lowest = [0.0] * count, [0.0] * count, [0.0] * count  # L's columns below the diagonal
    for k in range(count):
        pivot = diagonal[k]
        if k >= 1:
            pivot -= lower[k - 1] ** 2 * pivots[k - 1]
            right[k] -= lower[k - 1] * right[k - 1]
        if k >= 2:
            pivot -= lowest[k - 2] ** 2 * pivots[k - 2]
            right[k] -= lowest[k - 2] * right[k - 2]
        pivots[k] = pivot
        if k + 1 < count:
            beside = next_to[k]
            if k >= 1:
                beside -= lowest[k - 1] * pivots[k - 1] * lower[k - 1]
            lower[k] = beside / pivot
        if k + 2 < count:
            lowest[k] = next_but_one[k] / pivot
    out = [value / pivot for value, pivot in zip(right, pivots, strict=True)]
    for k in range(count - 1, -1, -1):
        if k + 1 < count:
            out[k] -= lower[k] * out[k + 1]
        if k + 2 < count:
            out[k] -= lowest[k] * out[k + 2]
    return out
