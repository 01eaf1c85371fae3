"""The CUDA card's renderer: one launch a call for all slots. In: notes and colour rows; out: blocks.

One block of threads is one slot. The kernels are those of the CPU, compiled by numba-cuda; only the order of work
differs: the threads share out the voices, the frames of sums, the layers, and one of them does what hangs together.
State, tables and scratch stay on the card; one copy brings up the notes that are due and the colours, and one brings
down the sound.
One thread calls it. Importing this module takes `pip install "undersong[gpu]"`, or numba's simulator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config, cuda, int64

from engine.audio import BLOCK_FRAMES, CHANNELS, Block
from engine.compile import Compiled, bound_to_sources
from engine.errors import DeviceMissing
from engine.notes import SOUND
from engine.synth.allocation import start_due_notes
from engine.synth.envelopes import FREE
from engine.synth.mixer import (
    Scratch,
    add_effects,
    advance_duck,
    chunk_length,
    finish,
    make_noise,
    new_scratch,
    render_sounding,
    send,
    shape,
    take_colours,
)
from engine.synth.patching.tables import Tables
from engine.synth.ragged import Ragged
from engine.synth.sizes import CONTROL_FRAMES, NUM_LAYERS, NUM_VOICES, WORK_ROWS
from engine.synth.state import FRAME, SlotState, keeps_stems, new_state, with_stem_effects
from engine.synth.targets import NUM_COLOURS

THREADS = 96
"""Of one slot: a warp's multiple with one for every voice."""
_LEAST_ROOM = 64
"""Rows that an array on the card has at least."""
COMPILED = {} if config.ENABLE_CUDASIM else {"max_registers": 128}
"""128 registers a thread: five slots fit a multiprocessor and hide one another's waiting. The simulator has none."""
device: Callable[[Compiled], Compiled] = cuda.jit(device=True)
"""Of functions that only kernels of the card call."""


def _row_taker(kind: Any) -> Callable[..., Any]:
    """A device function: `kind`, a named tuple of arrays, to the same of one row of each.

    Its text is made, since a compiled function cannot walk a tuple of unlike arrays.
    """
    fields = ", ".join(f"rows.{name}[row]" for name in kind._fields)
    return device(eval(f"lambda rows, row: kind({fields})", {"kind": kind}))


_state_of, _scratch_of = _row_taker(SlotState), _row_taker(Scratch)


@device
def _own_frames(num_frames: int) -> tuple[int, int]:
    """This thread's share of a chunk, of what is worked out frame by frame."""
    return cuda.threadIdx.x * num_frames // cuda.blockDim.x, (cuda.threadIdx.x + 1) * num_frames // cuda.blockDim.x


@device
def _frames_of(scratch: Scratch, first: int, last: int) -> Scratch:
    """The same rows, of some frames only."""
    return Scratch(
        scratch.work, scratch.noise[:, first:last], scratch.buses[:, :, first:last],
        scratch.sends[:, :, :, first:last], scratch.taps,
    )  # fmt: skip


@device
def _render_voices(
    state: SlotState, tables: Tables, scratch: Scratch, voice_rows: np.ndarray, layers: np.ndarray, frame: int,
    num_frames: int,
) -> None:  # fmt: skip
    """Every thread its voices, each into rows of its own; `layers` [NUM_VOICES] says where they belong, -1: silent."""
    for index in range(cuda.threadIdx.x, NUM_VOICES, cuda.blockDim.x):
        layers[index] = -1
        if state.voices[index].stage != FREE:
            layers[index] = state.voices[index].layer
            rows = voice_rows[:, :, index]
            rows[WORK_ROWS:, :num_frames] = 0.0
            render_sounding(state, tables, scratch, index, rows[:WORK_ROWS], rows[WORK_ROWS:], frame, num_frames)


@device
def _sum_voices(scratch: Scratch, voice_rows: np.ndarray, layers: np.ndarray, num_frames: int) -> int:
    """Every thread its frames of the layers' buses, in the order of the voices; returns a bit per sounding layer."""
    sounding = 0
    for i in range(cuda.threadIdx.x, num_frames, cuda.blockDim.x):
        for bus in range(1 + NUM_LAYERS):
            for channel in range(CHANNELS):
                scratch.buses[bus, channel, i] = 0.0
                for kind in range(3):
                    scratch.sends[bus, kind, channel, i] = 0.0
    for index in range(NUM_VOICES):
        layer = layers[index]
        if layer >= 0:
            sounding |= 1 << layer
            for i in range(cuda.threadIdx.x, num_frames, cuda.blockDim.x):
                for channel in range(CHANNELS):
                    scratch.buses[1 + layer, channel, i] += voice_rows[WORK_ROWS + channel, i, index]
    return sounding


def _render_slots(
    slots: np.ndarray,
    states: SlotState,
    tables: Tables,
    scratches: Scratch,
    voice_rows: np.ndarray,
    all_notes: np.ndarray,
    first_notes: np.ndarray,
    colours: np.ndarray,
    first_colours: np.ndarray,
    out: np.ndarray,
    stems: np.ndarray,
    is_mastered: bool,
) -> None:
    """Render the next frames of slots[b] into out[b] [2, T]; b counts the blocks of threads.

    Its notes are those from first_notes[b] to first_notes[b + 1], its colours begin at first_colours[b] with a row for
    every multiple of BLOCK_FRAMES among these frames. stems[b] is [layers, 2, T], or [layers, 2, 1] where none are
    wanted; they are taken behind the master if `is_mastered`, or else before it.
    """
    row, is_first = cuda.blockIdx.x, cuda.threadIdx.x == 0
    slot = slots[row]
    state, scratch = _state_of(states, slot), _scratch_of(scratches, slot)
    layers = cuda.shared.array(NUM_VOICES, int64)
    length = cuda.shared.array(1, int64)
    notes = all_notes[first_notes[row] : first_notes[row + 1]]
    start, block, next_note = state.clock[FRAME], 0, 0
    frame, end = start, start + out.shape[2]
    while frame < end:
        if is_first:
            if frame % BLOCK_FRAMES == 0:
                take_colours(state, tables, colours[first_colours[row] + block], frame == 0)
                block += 1
            next_note = start_due_notes(state, tables, notes, next_note, frame)
            length[0] = chunk_length(notes, next_note, frame, end)
            advance_duck(state, frame)
        cuda.syncthreads()
        num_frames = length[0]
        first, last = _own_frames(num_frames)
        make_noise(state, _frames_of(scratch, first, last), frame + first, last - first)
        cuda.syncthreads()
        _render_voices(state, tables, scratch, voice_rows[slot], layers, frame, num_frames)
        cuda.syncthreads()
        sounding = _sum_voices(scratch, voice_rows[slot], layers, num_frames)
        cuda.syncthreads()
        for layer in range(cuda.threadIdx.x, NUM_LAYERS, cuda.blockDim.x):
            bus, work = scratch.buses[1 + layer], voice_rows[slot, :, :, layer]
            layers[layer] = shape(state, bus, work, layer, sounding >> layer & 1 > 0, frame, num_frames)
        cuda.syncthreads()
        for layer in range(NUM_LAYERS):
            if layers[layer]:
                send(state, _frames_of(scratch, first, last), layer, frame + first, last - first)
        cuda.syncthreads()
        if is_first:
            add_effects(state, scratch, frame, num_frames)
        cuda.syncthreads()
        has_stems = stems.shape[3] == out.shape[2]
        if has_stems and not is_mastered:
            for i in range(cuda.threadIdx.x, num_frames, cuda.blockDim.x):
                for layer in range(NUM_LAYERS):
                    for channel in range(CHANNELS):
                        stems[row, layer, channel, frame - start + i] = scratch.buses[1 + layer, channel, i]
        cuda.syncthreads()
        if is_first:
            num_mastered = NUM_LAYERS if has_stems and is_mastered else 0
            finish(state, scratch, num_mastered, out[row], stems[row], frame - start, frame, num_frames)
        frame += num_frames
    if is_first:
        state.clock[FRAME] = frame


render_slots = cuda.jit(cache=True, **COMPILED)(bound_to_sources(_render_slots, ["engine.synth"]))


def _as_records(array: Any) -> Any:
    """The same memory with fields that are attributes too, as kernels say it: the simulator runs them as Python."""
    return array.view(np.dtype((np.record, array.dtype))) if array.dtype.names else array


def _repeated(rows: Any, count: int) -> Any:
    """A named tuple of arrays on the card, `count` times as large along a new first axis, not yet filled."""
    return type(rows)(*(cuda.device_array((count, *row.shape), _as_records(row).dtype) for row in rows))


def _room(count: int) -> int:
    """Rows for more than `count`, of a few sizes only, so that the arrays of most calls are those of the one before."""
    return max(_LEAST_ROOM, 1 << count.bit_length())


_INDEX, _SAMPLE = np.dtype(np.int64), np.dtype(np.float32)
_NOTE = np.dtype((np.record, SOUND))


class _Staging:
    """Pinned memory and as much on the card, in which arrays lie one after another, so that one copy brings all over.

    Grows as it has to. One thread calls it.
    """

    def __init__(self) -> None:
        self._host: npt.NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._card: Any = None
        self._views: dict[tuple[Any, ...], tuple[list[npt.NDArray[Any]], list[Any]]] = {}

    def arrays(self, *wanted: tuple[tuple[int, ...], np.dtype[Any]]) -> tuple[list[npt.NDArray[Any]], list[Any]]:
        """Arrays of these shapes and types and their twins on the card; those of earlier calls are overwritten."""
        sizes = [math.prod(shape) * kind.itemsize for shape, kind in wanted]
        assert all(size % 8 == 0 for size in sizes), "a card reads no number across a word's end"
        if sum(sizes) > len(self._host):
            self._host = cuda.pinned_array(_room(sum(sizes)), np.uint8)
            self._card = cuda.device_array(self._host.shape, np.uint8)
            self._views.clear()
        if wanted not in self._views:
            parts = list(zip(sizes, accumulate(sizes), wanted, strict=True))

            def views(memory: Any) -> list[Any]:
                return [memory[end - size : end].view(kind).reshape(shape) for size, end, (shape, kind) in parts]

            self._views[wanted] = views(self._host), views(self._card)
        return self._views[wanted]

    def send(self, num_bytes: int) -> None:
        """Copy the first `num_bytes` up."""
        self._card[:num_bytes].copy_to_device(self._host[:num_bytes])

    def fetch(self, num_bytes: int) -> None:
        """Copy the first `num_bytes` down, once the card has done with them."""
        self._card[:num_bytes].copy_to_host(self._host[:num_bytes])


class CudaRenderer:
    """Implements `engine.synth.synth.Renderer` on the first CUDA device; about 1.8 MB of its memory a slot."""

    def __init__(self, tables: Tables, max_slots: int, num_threads: int = THREADS) -> None:
        if not cuda.is_available():
            raise DeviceMissing("cuda", "numba finds no CUDA device")
        self._num_threads = num_threads
        self._tables = Tables(*(cuda.to_device(_as_records(table)) for table in tables))
        self._states = _repeated(new_state(0), max_slots)
        self._scratch = _repeated(new_scratch(), max_slots)
        # The voices last, so that neighbouring threads reach for neighbouring words.
        self._voice_rows = cuda.device_array((max_slots, WORK_ROWS + CHANNELS, CONTROL_FRAMES, NUM_VOICES), np.float64)
        self._up, self._down = _Staging(), _Staging()
        self._open: set[int] = set()

    def open(self, slot: int, state: SlotState) -> None:
        if keeps_stems(state):
            self.keep_stems([])
        elif self._keeps_stems:
            state = with_stem_effects(state)
        for rows, values in zip(self._states, state, strict=True):
            rows[slot].copy_to_device(_as_records(values))
        self._open.add(slot)

    def close(self, slot: int) -> None:
        self._open.remove(slot)

    def state(self, slot: int) -> SlotState:
        kinds = (array.dtype for array in new_state(0))
        arrays = (rows[slot].copy_to_host() for rows in self._states)
        return SlotState(*(array.view(kind) for array, kind in zip(arrays, kinds, strict=True)))

    @property
    def _keeps_stems(self) -> bool:
        return self._states.filters.shape[1] > 1

    def keep_stems(self, slots: Sequence[int]) -> None:
        """All slots keep them from then on, whichever are named: their memory is of one piece."""
        if self._keeps_stems:
            return
        states = {slot: self.state(slot) for slot in self._open}
        max_slots = self._states.clock.shape[0]
        self._states = _repeated(with_stem_effects(new_state(0)), max_slots)
        for slot, state in states.items():
            self.open(slot, state)

    def render(
        self,
        slots: Sequence[int],
        sounds: Ragged,
        controls: Ragged,
        num_frames: int,
        stem_frames: int,
        is_mastered: bool,
    ) -> tuple[Block, Block]:
        num_slots, num_notes, num_rows = len(slots), len(sounds.rows), len(controls.rows)
        (rows, first_notes, first_colours, colours, notes), up = self._up.arrays(
            ((_room(num_slots),), _INDEX), ((_room(num_slots),), _INDEX), ((_room(num_slots),), _INDEX),
            ((_room(num_rows), NUM_COLOURS), np.dtype(np.float64)), ((_room(num_notes),), _NOTE),
        )  # fmt: skip
        rows[:num_slots], first_notes[: num_slots + 1], first_colours[: num_slots + 1] = (
            slots, sounds.first, controls.first,
        )  # fmt: skip
        colours[:num_rows], notes[:num_notes] = controls.rows, sounds.rows
        # No array on a card may be empty.
        stem_shape = (num_slots, NUM_LAYERS, CHANNELS, max(1, stem_frames))
        (block, stems), down = self._down.arrays(((num_slots, CHANNELS, num_frames), _SAMPLE), (stem_shape, _SAMPLE))
        self._up.send(sum(array.nbytes for array in (rows, first_notes, first_colours, colours, notes[:num_notes])))
        rows_on_card, first_notes_on_card, first_colours_on_card, colours_on_card, notes_on_card = up
        render_slots[num_slots, self._num_threads](
            rows_on_card, self._states, self._tables, self._scratch, self._voice_rows, notes_on_card,
            first_notes_on_card, colours_on_card, first_colours_on_card, *down, is_mastered,
        )  # fmt: skip
        self._down.fetch(block.nbytes + (stems.nbytes if stem_frames > 0 else 0))
        return block.copy(), stems[..., :stem_frames].copy()
