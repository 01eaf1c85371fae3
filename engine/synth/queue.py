"""Notes that wait for their frame, of all slots. In: notes; out: those that are due. Remembers the rest; one thread."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from engine.notes import SOUND
from engine.synth.compile import entry
from engine.synth.ragged import Ragged

_ROOM = 32
"""Notes of one slot that there is room for at first."""
_NEVER = np.iinfo(np.int64).max

Ints = npt.NDArray[np.int64]
Notes = npt.NDArray[np.void]


class Queue:
    """A row of notes for each of `max_slots` slots, in the order of their frames; of one frame, as they came."""

    def __init__(self, max_slots: int) -> None:
        self._notes = np.zeros((max_slots, _ROOM), SOUND)
        # Of each slot the notes from `first` to before `end` wait, the next of them from the frame `due` on.
        self._first, self._end = np.zeros(max_slots, np.int64), np.zeros(max_slots, np.int64)
        self._due = np.full(max_slots, _NEVER)

    def put(self, slots: Ints, notes: Notes) -> None:
        """Queue notes [N] SOUND of slots [N], in any order."""
        assert notes.dtype == SOUND, notes.dtype
        num_put = 0
        while (num_put := _insert(self._notes, self._first, self._end, self._due, slots, notes, num_put)) < len(notes):
            self._notes = np.concatenate([self._notes, np.zeros_like(self._notes)], axis=1)

    def take(self, slots: Ints, ends: Ints) -> Ragged:
        """What begins before frames `ends` [N] of slots [N]; what waits for later is not looked at."""
        is_due = self._due[slots] < ends
        due, counts, first = slots[is_due], np.zeros(len(slots), np.int64), np.zeros(len(slots) + 1, np.int64)
        begins = self._first[due]
        _pass_due(self._notes, self._first, self._end, self._due, due, ends[is_due])
        counts[is_due] = self._first[due] - begins
        np.cumsum(counts, out=first[1:])
        rows, of = np.repeat(due, counts[is_due]), np.repeat(begins - first[:-1][is_due], counts[is_due])
        return Ragged(self._notes[rows, of + np.arange(len(rows))], first)

    def of(self, slot: int) -> Notes:
        """What waits of one slot."""
        return self._notes[slot, self._first[slot] : self._end[slot]].copy()

    def drop(self, slot: int) -> None:
        """Forget what waits of one slot."""
        self._first[slot], self._end[slot], self._due[slot] = 0, 0, _NEVER


@entry
def _insert(waiting: Notes, first: Ints, end: Ints, due: Ints, slots: Ints, notes: Notes, num_put: int) -> int:
    """Put notes from `num_put` on into their slots' rows; returns how many are put: fewer where a row has no room."""
    for n in range(num_put, len(notes)):
        slot = slots[n]
        row = waiting[slot]
        if end[slot] == len(row):
            if first[slot] == 0:
                return n
            for i in range(end[slot] - first[slot]):
                row[i] = row[first[slot] + i]
            first[slot], end[slot] = 0, end[slot] - first[slot]
        i = end[slot]
        while i > first[slot] and row[i - 1]["frame"] > notes[n]["frame"]:
            row[i] = row[i - 1]
            i -= 1
        row[i] = notes[n]
        end[slot] += 1
        due[slot] = row[first[slot]]["frame"]
    return len(notes)


@entry
def _pass_due(waiting: Notes, first: Ints, end: Ints, due: Ints, slots: Ints, ends: Ints) -> None:
    """Let the rows of slots [N] begin after what begins before frames `ends` [N]."""
    for k in range(len(slots)):
        slot = slots[k]
        while first[slot] < end[slot] and waiting[slot, first[slot]]["frame"] < ends[k]:
            first[slot] += 1
        due[slot] = waiting[slot, first[slot]]["frame"] if first[slot] < end[slot] else _NEVER
