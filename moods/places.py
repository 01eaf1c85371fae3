"""Where on the grid of the music something is to begin. In: an `at` that is a word; out: beats.

Remembers nothing of its own. One thread at a time.
"""

from __future__ import annotations

from moods.fields import grid_beats
from moods.form import Form
from moods.intent import BEATS_PER_BAR


def next_beat(form: Form, at: str, earliest_beat: int) -> int:
    """The first beat from `earliest_beat` on that lies on the grid `at`. Where a section begins, all counting does."""
    multiple = grid_beats(at)
    if multiple is not None and BEATS_PER_BAR % multiple == 0:
        return -(-earliest_beat // multiple) * multiple
    first, end = form.section_of(earliest_beat)
    if earliest_beat == first or multiple is None:
        return first if earliest_beat == first else end
    bar_beat = first // BEATS_PER_BAR * BEATS_PER_BAR
    return min(end, bar_beat - (bar_beat - earliest_beat) // multiple * multiple)
