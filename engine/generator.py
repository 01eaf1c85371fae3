"""What every music generator does, whatever it is made of. Always in batches of slots; one thread calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.audio import Block, Stems
from moods.controller import Controller

Snapshot = dict[str, Any]
"""Everything a slot remembers: numpy arrays and plain values, picklable, independent of the slot's number."""


@dataclass(frozen=True, slots=True)
class Model:
    """Weights, and by which sum they are known."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Traits:
    """What whoever plays a generator has to know of its kind; the same from its making on."""

    name: str
    """As `engine.backends.GENERATORS` has it."""
    latency_frames: int
    """What the music's frame 0 has before it in the sound: a look-ahead, the same for every frame."""
    lead_frames: int
    """Notes may change from a beat on that begins at least this long after the frame that is made next."""
    block_multiple: int
    """A step makes so many times BLOCK_FRAMES."""
    has_notes: bool
    has_stems: bool
    has_loops: bool = False
    """The music can begin anew while what sounds rings on."""
    model: Model | None = None
    """What it composes with, where that is learnt."""
    device: str = "cpu"
    patches: str | None = None
    """sha256 of the instruments that stand beside or for its own; None: there are none."""

    def __post_init__(self) -> None:
        assert self.latency_frames >= 0 and self.lead_frames >= 0, (self.latency_frames, self.lead_frames)
        assert self.block_multiple >= 1, self.block_multiple


@dataclass(slots=True)
class Made:
    """What one step made, row k for the k-th of the slots asked for."""

    block: Block
    """float32 [S, 2, block_multiple * BLOCK_FRAMES]."""
    stems: Stems | None = None
    """float32 [S, L, 2, T] of the same frames, where they were asked for."""
    notes: list[npt.NDArray[np.void]] | None = None
    """[S] of [N] `engine.notes.SOUND`, in music frames, that begin within these frames, where they were asked for."""


class Generator(Protocol):
    """Turns the courses of many stations into sound, one step after another.

    A slot is a row of the batch. The generator reads its controller (pure reads only) and never writes to it.
    Same seed and same controls give the same samples, whoever shares the batch, whenever the controls arrived and
    however much was done ahead by `work`.
    """

    max_slots: int

    @property
    def traits(self) -> Traits: ...

    def counters(self) -> Mapping[str, int]:
        """Its own figures by name, of all slots so far; they only grow."""

    def novelty(self, slot: int) -> Mapping[str, float]:
        """How much of the slot's last hour had been heard before, `engine.score.novelty.NoveltyFound` by name; empty
        where that is not known."""

    def open(self, slot: int, controller: Controller) -> None:
        """Begin at frame 0 in an empty slot. Cheap: nothing is composed yet."""

    def begin_anew(self, slot: int, controller: Controller, at_frame: int) -> None:
        """Begin the music of `controller` where the slot's has come to `at_frame`, within the next step, while what
        sounds rings on. Asked only where the traits have loops.
        """

    def work(self, slots: Sequence[int]) -> bool:
        """Do one small piece, about a millisecond, of what `slots` will need, the most urgent first.

        False where there was nothing to do ahead. `step` does whatever is missing: calling this changes what a step
        costs, never what is heard.
        """

    def is_ready(self, slot: int) -> bool:
        """Can the next step be made without composing first?"""

    def step(self, slots: Sequence[int], *, stems: bool = False, notes: bool = False) -> Made:
        """Make the next frames of each of `slots`; those not named stand still.

        Stems and notes may be asked for only where the traits have them; a slot's stems are whole where they are asked
        for from its first step on, as what rings in an effect is kept by layer only from then on.
        """

    def programs(self, slot: int) -> tuple[int, ...]:
        """The General MIDI programs (from 0) nearest to what plays each layer now, in the order of LAYERS; of drums
        the kit. Asked only where the traits have notes.
        """

    def revise(self, slot: int, changed_since: int) -> None:
        """The course has changed from this music frame on, which is not yet made: what was made ahead is stale."""

    def snapshot(self, slot: int) -> Snapshot:
        """Copy all that the slot remembers; restoring it and stepping on is bit-exact."""

    def restore(self, slot: int, controller: Controller, snapshot: Snapshot) -> None:
        """Continue a snapshot in an empty slot, with a controller restored to the same moment."""

    def close(self, slot: int) -> None:
        """Forget the slot."""
