"""The CUDA card's renderer: one launch a call for all slots. In: sounds and rows of controls; out: blocks.

One block of threads is one slot. The kernels are those of the CPU, compiled by numba-cuda; only the order of work
differs: the threads share out the voices, the frames of sums, the layers, and one of them does what hangs together.
State, tables and scratch stay on the card; up go the sounds that are due and the controls, down comes the sound.
One thread calls it. Importing this module takes `pip install "undersong[gpu]"`, or numba's simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config, cuda, int64

from engine.audio import BLOCK_FRAMES, CHANNELS, Block
from engine.compile import bound_to_sources
from engine.errors import DeviceMissing
from engine.synth.allocation import start_due_sounds
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

THREADS = 96
"""Of one slot: a warp's multiple with one for every voice."""
_ROOM = 64
"""Rows that an array on the card has at first."""
COMPILED = {} if config.ENABLE_CUDASIM else {"max_registers": 128}
"""128 registers a thread: five slots fit a multiprocessor and hide one another's waiting. The simulator has none."""


def _row_taker(kind: type) -> Callable[..., Any]:
    """A device function: `kind`, a named tuple of arrays, to the same of one row of each.

    Its text is made, since a compiled function cannot walk a tuple of unlike arrays.
    """
    fields = ", ".join(f"rows.{name}[row]" for name in kind._fields)
    return cuda.jit(eval(f"lambda rows, row: kind({fields})", {"kind": kind}), device=True)


_state_of, _scratch_of = _row_taker(SlotState), _row_taker(Scratch)


@cuda.jit(device=True)
def _own_frames(num_frames: int) -> tuple[int, int]:
    """This thread's share of a chunk, of what is worked out frame by frame."""
    return cuda.threadIdx.x * num_frames // cuda.blockDim.x, (cuda.threadIdx.x + 1) * num_frames // cuda.blockDim.x


@cuda.jit(device=True)
def _frames_of(scratch: Scratch, first: int, last: int) -> Scratch:
    """The same rows, of some frames only."""
    return Scratch(
        scratch.work, scratch.noise[:, first:last], scratch.buses[:, :, first:last],
        scratch.sends[:, :, :, first:last], scratch.taps,
    )  # fmt: skip


@cuda.jit(device=True)
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


@cuda.jit(device=True)
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
    all_sounds: np.ndarray,
    first_sounds: np.ndarray,
    controls: np.ndarray,
    first_controls: np.ndarray,
    out: np.ndarray,
    stems: np.ndarray,
) -> None:
    """Render the next frames of slots[b] into out[b] [2, T]; b counts the blocks of threads.

    Its sounds are those from first_sounds[b] to first_sounds[b + 1], its controls begin at first_controls[b] with a
    row for every multiple of BLOCK_FRAMES among these frames. stems[b] is [layers, 2, T], or [layers, 2, 1] where none
    are wanted.
    """
    row, is_first = cuda.blockIdx.x, cuda.threadIdx.x == 0
    slot = slots[row]
    state, scratch = _state_of(states, slot), _scratch_of(scratches, slot)
    layers = cuda.shared.array(NUM_VOICES, int64)
    length = cuda.shared.array(1, int64)
    sounds = all_sounds[first_sounds[row] : first_sounds[row + 1]]
    start, block, next_sound = state.clock[FRAME], 0, 0
    frame, end = start, start + out.shape[2]
    while frame < end:
        if is_first:
            if frame % BLOCK_FRAMES == 0:
                take_colours(state, tables, controls[first_controls[row] + block], frame == 0)
                block += 1
            next_sound = start_due_sounds(state, tables, sounds, next_sound, frame)
            length[0] = chunk_length(sounds, next_sound, frame, end)
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
        if stems.shape[3] == out.shape[2]:
            for i in range(cuda.threadIdx.x, num_frames, cuda.blockDim.x):
                for layer in range(NUM_LAYERS):
                    for channel in range(CHANNELS):
                        stems[row, layer, channel, frame - start + i] = scratch.buses[1 + layer, channel, i]
        cuda.syncthreads()
        if is_first:
            finish(state, scratch.buses[0], scratch.taps[0], out[row], frame - start, frame, num_frames)
        frame += num_frames
    if is_first:
        state.clock[FRAME] = frame


render_slots = cuda.jit(cache=True, **COMPILED)(bound_to_sources(_render_slots, ["engine.synth"]))


def _as_records(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same memory with fields that are attributes too, as kernels say it: the simulator runs them as Python."""
    return array.view(np.dtype((np.record, array.dtype))) if array.dtype.names else array


def _repeated(rows: Any, count: int) -> Any:
    """A named tuple of arrays on the card, `count` times as large along a new first axis, not yet filled."""
    return type(rows)(*(cuda.device_array((count, *row.shape), _as_records(row).dtype) for row in rows))


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
        self._twins: dict[str, tuple[Any, Any]] = {}
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
    ) -> tuple[Block, Block]:
        block, block_on_card = self._twin("block", (len(slots), CHANNELS, num_frames), np.float32)
        # No array on a card may be empty.
        shape = (len(slots), NUM_LAYERS, CHANNELS, max(1, stem_frames))
        stems, stems_on_card = self._twin("stems", shape, np.float32)
        render_slots[len(slots), self._num_threads](
            self._send("slots", np.array(slots, np.int64)), self._states, self._tables, self._scratch,
            self._voice_rows,
            self._send("sounds", sounds.rows), self._send("first_sounds", sounds.first),
            self._send("controls", controls.rows), self._send("first_controls", controls.first),
            block_on_card, stems_on_card,
        )  # fmt: skip
        block_on_card.copy_to_host(block)
        if stem_frames > 0:
            stems_on_card.copy_to_host(stems)
        return block.copy(), stems[..., :stem_frames].copy()

    def _twin(self, name: str, shape: tuple[int, ...], kind: npt.DTypeLike) -> tuple[npt.NDArray[Any], Any]:
        """A pinned array and its twin on the card, kept from call to call."""
        if name not in self._twins or self._twins[name][0].shape != shape:
            self._twins[name] = cuda.pinned_array(shape, kind), cuda.device_array(shape, kind)
        return self._twins[name]

    def _send(self, name: str, values: npt.NDArray[Any]) -> Any:
        """`values` at the beginning of an array on the card, that has room for more of them."""
        values = _as_records(values)
        room = len(self._twins[name][0]) if name in self._twins else _ROOM
        while room < len(values):
            room *= 2
        host, card = self._twin(name, (room, *values.shape[1:]), values.dtype)
        if len(values) > 0:
            host[: len(values)] = values
            card[: len(values)].copy_to_device(host[: len(values)])
        return card
