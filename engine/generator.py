"""What every music generator does, whatever it is made of. Always in batches of slots; one thread calls it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from engine.audio import Block
from moods.controller import Controller

Snapshot = dict[str, Any]
"""Everything a slot remembers: numpy arrays and plain values, picklable, independent of the slot's number."""


class Generator(Protocol):
    """Turns the courses of many stations into sound, one block a step.

    A slot is a row of the batch. The generator reads its controller (pure reads only) and never writes to it.
    Same seed and same controls give the same samples, whoever shares the batch and whenever the controls arrived.
    """

    max_slots: int
    latency_frames: int
    """What the music's frame 0 has before it in the sound: a look-ahead, the same for every frame."""

    num_resets: int
    """Beats composed again, of all slots so far, because what came out first was stuck; never heard, only counted."""

    def open(self, slot: int, controller: Controller) -> None:
        """Begin at frame 0 in an empty slot."""

    def step(self, slots: Sequence[int]) -> Block:
        """Make the next BLOCK_FRAMES frames of each of `slots`: float32 [len(slots), 2, BLOCK_FRAMES].

        Slots not named stand still."""

    def revise(self, slot: int, changed_since: int) -> None:
        """The course has changed from this music frame on: what was made ahead of it is stale."""

    def snapshot(self, slot: int) -> Snapshot:
        """Copy all that the slot remembers; restoring it and stepping on is bit-exact."""

    def restore(self, slot: int, controller: Controller, snapshot: Snapshot) -> None:
        """Continue a snapshot in an empty slot, with a controller restored to the same moment."""

    def close(self, slot: int) -> None:
        """Forget the slot."""
