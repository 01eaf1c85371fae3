"""Notes that wait for their frame, of all slots. In: notes; out: those that are due. Remembers the rest; one thread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from engine.notes import SOUND
from engine.synth.ragged import Ragged

_NOT_ASKED = np.iinfo(np.int64).min


class Queue:
    """One array for up to `max_slots` slots, in the order in which notes came: one comparison finds what is due."""

    def __init__(self, max_slots: int) -> None:
        self._max_slots = max_slots
        self._slots, self._notes = np.zeros(0, np.int64), np.zeros(0, SOUND)

    def put(self, slots: npt.NDArray[np.int64], notes: npt.NDArray[np.void]) -> None:
        """Queue notes [N] SOUND of slots [N], in any order."""
        assert notes.dtype == SOUND, notes.dtype
        self._slots, self._notes = np.concatenate([self._slots, slots]), np.concatenate([self._notes, notes])

    def take(self, slots: Sequence[int] | npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Ragged:
        """What begins before frames ends [N] of slots [N], each slot's by frame; of one frame what came first."""
        end = np.full(self._max_slots, _NOT_ASKED)
        end[slots] = ends
        is_due = self._notes["frame"] < end[self._slots]
        row = np.zeros(self._max_slots, np.int64)
        row[slots] = np.arange(len(ends))
        rows, due = row[self._slots[is_due]], self._notes[is_due]
        if len(due):
            self._slots, self._notes = self._slots[~is_due], self._notes[~is_due]
        first = np.zeros(len(ends) + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=len(ends)), out=first[1:])
        return Ragged(due[np.lexsort((due["frame"], rows))], first)

    def of(self, slot: int) -> npt.NDArray[np.void]:
        """What waits of one slot, by frame."""
        notes = self._notes[self._slots == slot]
        return notes[np.argsort(notes["frame"], kind="stable")]

    def drop(self, slot: int) -> None:
        """Forget what waits of one slot."""
        others = self._slots != slot
        self._slots, self._notes = self._slots[others], self._notes[others]
