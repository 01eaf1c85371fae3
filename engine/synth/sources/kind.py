"""What a kind of instrument is to the rest of the synth. In: a file of its own here; out: a `Kind` for the registry.

Remembers nothing; any thread. A kind's kernels are called inside the slot kernel with whatever they name among
their arguments, such as

- `voice`, a VOICE record: what all kinds have in common, and under the kind's name what it remembers itself;
- `patch`, a PATCH record, of which it reads the common fields and its own;
- `line` [float32] and `modes` [float64, 4 each], longer memories of the voice, as long as the kind asks for;
- any array of `patching.tables.Tables` by its name, such as `waves` and `zones`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from engine.synth.patching.patch_file import PatchFile

Range = tuple[float, float, float]
"""Low, high, default."""
Words = tuple[tuple[str, ...], str]
"""What may be said, and the default."""
Length = tuple[float, float, int]
"""Of a list of numbers: low, high, longest."""
Lists = Mapping[str, npt.NDArray[np.float64]]
"""A patch's lists as they stand in its file; one that is not given is missing."""
Fields = tuple[tuple[Any, ...], ...]
"""Of a numpy record."""
Kernel = Callable[..., Any]


class Moment(NamedTuple):
    """A control point as a source may want to know it."""

    frame: int
    hz: float  # of the note, with vibrato, glide and drift
    vibrato: float  # -1 … 1
    motion: float  # octaves that the filter has moved by itself
    brightness: float
    energy: float


@dataclass(frozen=True)
class Kind:
    """A kind of instrument: what its patches may say, what a voice of it remembers, what its sound is made by."""

    name: str
    render: Kernel
    """(voice, patch, line, modes, work, noise, frame, num_frames) and tables, or some of them: write
    work[:2, :num_frames], which are silent; the other rows of `work` [WORK_ROWS, CONTROL_FRAMES] are scratch. `noise`
    is white noise of these frames."""
    start: Kernel | None = None
    """(voice, patch, line, modes, seed) and tables: begin a note; the common fields are set already. What the kind
    remembers is what the voice's last note of the kind left, and has to be set."""
    aim: Kernel | None = None
    """(voice, patch, line, modes, moment) and tables: at control points and at the onset, set what is ramped until the
    next."""
    is_silent: Kernel | None = None
    """(voice, patch) -> has it died away by itself, whatever the envelope says?"""
    memory: Fields = ()
    """What a voice remembers beside the common fields; the kernels find it as `voice.NAME`."""
    line_frames: int = 0
    num_modes: int = 0

    numbers: Mapping[str, Range] = field(default_factory=dict)
    """Of a patch, beside those that all kinds have or instead of them."""
    words: Mapping[str, Words] = field(default_factory=dict)
    lists: Mapping[str, Length] = field(default_factory=dict)
    equally_long: tuple[str, ...] = ()
    """Lists that must all be given, or none of them."""
    decays: tuple[str, ...] = ()
    """Numbers called NAME_decay_s of which the kernels need NAME_share, the share of the way that one frame goes."""
    derived: Fields = ()
    """Further fields of a patch's record, set by `derive`."""
    derive: Callable[[PatchFile, str, npt.NDArray[np.void], Lists], None] | None = None
    """(file, table, patch, lists): set the derived fields; a patch that cannot be raises `file.fail(table, …)`."""

    is_pitched: bool = True
    """Ends when its key is let go, stands further right the higher it is, and may breathe. Drums do nothing of it."""
    has_spectrum: bool = False
    """Reads the tables of a `spectrum` that its patch names."""
    plays_soundfont: bool = False
    """Reads the recordings of a `soundfont` that its patch names."""
    has_tone: bool = False
    """Reads the measurements of a `tone` that its patch names."""
    slurs: bool = True
    """A slurred note goes on in the same voice; otherwise in another, which begins where the finger slides from."""
    most_slide_octaves: float = inf
