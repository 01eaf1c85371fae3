"""Is a melody taken from what was learnt? In: training pieces and takes; out: longest shared runs. Offline.

Learnt lines are leads and the top notes of all pitched layers; asked for are the takes' leads. Between successive notes
stands one code of interval and rhythm: semitones, and ticks from onset to onset; so a run is found in any key, at any
tempo.
n notes are shared where n - 1 codes in a row are. Four bytes are remembered of every note learnt, sixteen more while
they are searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from engine.score.piece import Piece
from engine.training.figures import DRUMS, LEAD

_LONGEST_STEP_TICKS = 192
"""A longer rest ends a line."""
_END = np.uint32(0xFFFF_FFFF)
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)
LONGEST = 64
"""Runs are told apart up to this many notes."""
DISTINCT_CODES = 3
"""A run of fewer different codes, as repeated notes or a trill, is nobody's and does not count."""

Codes = npt.NDArray[np.uint32]


def lead_codes(piece: Piece) -> Codes:
    """Codes of the piece's lead, each line closed by `_END`: [N], nothing where it has no lead.

    What sounds on top where no lead plays is accompaniment; its figures belong to a style.
    """
    return _codes(piece.notes[piece.notes["layer"] == LEAD])


def _codes(notes: npt.NDArray[np.void]) -> Codes:
    if len(notes) < 2:
        return np.zeros(0, np.uint32)
    order = np.lexsort((-notes["pitch"], notes["tick"]))
    ticks, first = np.unique(notes["tick"][order], return_index=True)
    steps = np.diff(ticks)
    intervals = np.diff(notes["pitch"][order][first].astype(np.int64))
    codes = ((intervals + 128) * 256 + np.minimum(steps, 255)).astype(np.uint32)
    codes[steps > _LONGEST_STEP_TICKS] = _END
    return np.append(codes, _END)


def index_lines(pieces: Iterable[Piece]) -> Codes:
    """Leads and top lines of all the pieces, one after another."""
    parts = [np.zeros(0, np.uint32)]
    for piece in pieces:
        notes = piece.notes
        parts += [_codes(notes[notes["layer"] == LEAD]), _codes(notes[notes["layer"] != DRUMS])]
    return np.concatenate(parts)


def longest_shared(takes: Sequence[Codes], learnt: Codes) -> list[int]:
    """Notes of the longest run that each take shares with what was learnt, 0 … `LONGEST`."""
    joined = np.concatenate([np.append(take, _END) for take in takes]) if takes else np.zeros(0, np.uint32)
    owner = np.repeat(np.arange(len(takes)), [len(take) + 1 for take in takes])
    longest = np.zeros(len(takes), np.int64)
    known, asked = _Runs(learnt), _Runs(joined)
    for length in range(1, LONGEST):
        known.grow()
        asked.grow()
        # What is not shared at this length is not shared at any greater one.
        asked.keep(np.isin(asked.hashes, known.hashes))
        known.keep(np.isin(known.hashes, asked.hashes))
        if not len(asked.starts):
            break
        telling = asked.starts[_distinct(joined, asked.starts, length) >= DISTINCT_CODES]
        longest[owner[telling]] = length + 1
    return longest.tolist()


class _Runs:
    """Runs of equal length in a row of codes, by their hashes; one longer with each `grow`."""

    def __init__(self, codes: Codes) -> None:
        self._codes = codes
        self._length = 0
        self.starts = np.arange(len(codes))
        self.hashes = np.zeros(len(codes), np.uint64)

    def grow(self) -> None:
        """Take one code more into every run; those that a line's end stops are dropped."""
        self.keep(self.starts + self._length < len(self._codes))
        added = self._codes[self.starts + self._length]
        mixed = (self.hashes + added.astype(np.uint64) + np.uint64(1)) * _MULTIPLIER
        self.hashes = mixed ^ (mixed >> np.uint64(29))
        self._length += 1
        self.keep(added != _END)

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        self.starts, self.hashes = self.starts[which], self.hashes[which]


def _distinct(codes: Codes, places: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.int64]:
    """Different codes in the run of `length` codes at each place: [places]."""
    runs = np.sort(codes[places[:, None] + np.arange(length)], axis=1)
    return 1 + (np.diff(runs, axis=1) != 0).sum(axis=1)
