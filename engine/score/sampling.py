"""Hidden states to events: five fields, one after another, under the rules of the beat. numba; releases the GIL.

In: hidden states, the rows' composing state and rules; out: one event a row. Remembers nothing but what it writes into
the row state. Random numbers are a hash of (seed, attempt, position, field): drawing an event again draws the same.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compile import entry, kernel
from engine.notes import TICKS_PER_BEAT
from engine.score import kernels
from engine.score.columns import Bools, Column, Floats, Ints, Seeds
from engine.score.cues import NUM_LAYERS, velocity_bounds
from engine.score.kernels import F32, Bits, Quantised
from engine.score.leanings import NOTHING, lean_chords, lean_durations, lean_kinds, lean_positions, lean_values
from engine.score.masks import allow_durations, allow_kinds, allow_positions, allow_values, onset_count
from engine.score.recall import copy_event, lane_of, show_next
from engine.score.rules import Rules
from engine.score.vocabulary import (
    BAR,
    BEAT,
    CHORD_EVENT,
    DURATIONS,
    FIELD_SIZES,
    FIRST_LAYER,
    MAX_EVENTS_PER_BEAT,
    NO_RECALL,
    NUM_KINDS,
    NUM_POSITIONS,
)
from moods.intent import BEATS_PER_BAR, LANES, LAYERS

# Temperature of each choice as a share of the asked one: chords may surprise; a tune and its bass are hummed where they
# are cool, and rhythm is cooler than pitch.
_KIND_TEMPERATURE, _CHORD_TEMPERATURE = 0.75, 0.9
_NOTE_TEMPERATURES = np.array(
    [  # position, value, duration, velocity
        (0.60, 0.70, 0.70, 0.70),  # drums
        (0.45, 0.55, 0.50, 0.65),  # bass
        (0.50, 0.65, 0.60, 0.70),  # harmony
        (0.50, 0.65, 0.60, 0.70),  # texture
        (0.45, 0.55, 0.50, 0.65),  # lead
    ],
    np.float32,
)
_HARMONY, _LEAD = LAYERS.index("harmony"), LAYERS.index("lead")
_DIES_AWAY_TICKS = BEATS_PER_BAR * TICKS_PER_BEAT
"""So long a note counts as sounding: what is plucked dies away, whatever its length, and music never falls silent."""
_MIN_SHARE = 0.02
"""A draw less likely than this share of the likeliest one is not made (min-p sampling, Nguyen et al. 2024)."""


class Heads(NamedTuple):
    """The output side of the checkpoint, packed for the sampler."""

    kind: Quantised  # [1, kinds, dim]
    copy: Quantised  # [1, 5, dim]
    copy_bias: npt.NDArray[np.float32]  # [5]
    field_in: Quantised  # [1, 4 field_dim, dim]
    chosen_kind: npt.NDArray[np.float32]  # [kinds, 4 field_dim]
    chosen_position: npt.NDArray[np.float32]  # [positions, 3 field_dim]
    chosen_value: npt.NDArray[np.float32]  # [values, 2 field_dim]
    chosen_duration: npt.NDArray[np.float32]  # [durations, field_dim]
    position: npt.NDArray[np.float32]  # [positions, field_dim]
    value: npt.NDArray[np.float32]  # [values, field_dim]
    duration: npt.NDArray[np.float32]  # [durations, field_dim]
    velocity: npt.NDArray[np.float32]  # [velocities, field_dim]


def pack_heads(tensors: dict[str, npt.NDArray[np.float32]]) -> Heads:
    """Arrange a checkpoint's float32 tensors for the sampler."""
    return Heads(
        kernels.quantise(tensors["kind_head.weight"][None]),
        kernels.quantise(tensors["copy.weight"][None]),
        tensors["copy.bias"],
        kernels.quantise(tensors["field_in.weight"][None]),
        *(tensors[f"chosen.{i}.weight"] for i in range(4)),
        *(tensors[f"field_out.{i}.weight"] for i in range(4)),
    )


class Rows(NamedTuple):
    """Composing state of every slot: what the masks need to know of the beat so far."""

    seed: Annotated[Seeds, Column()]
    attempt: Annotated[Seeds, Column(is_carried=True)]  # how often a beat was composed again: other draws every time
    position: Annotated[Ints, Column(is_carried=True)]  # events fed to the trunk
    piece: Annotated[Ints, Column(is_carried=True)]  # that is being composed
    since: Annotated[Ints, Column(is_carried=True)]  # its first event, before which the trunk sees none
    pending: Annotated[Ints, Column(5)]  # the event to be fed next
    recalled: Annotated[Ints, Column(5)]  # the recalled event that is fed with it
    recalled_beat: Annotated[Ints, Column(MAX_EVENTS_PER_BEAT, 5)]  # all that this beat recalls, in order
    num_recalled: Annotated[Ints, Column()]
    is_recalling: Annotated[Bools, Column()]
    strength: Annotated[Floats, Column(len(LANES))]  # added to the pull of what is recalled
    events: Annotated[Ints, Column(MAX_EVENTS_PER_BEAT, 5)]  # chosen in this beat
    num_events: Annotated[Ints, Column()]
    num_notes: Annotated[Ints, Column(NUM_LAYERS)]  # of each layer in this beat
    chord: Annotated[Ints, Column(initial=-1, is_carried=True)]  # value of the sounding chord, -1 before the first
    root_beats: Annotated[Floats, Column(12, is_carried=True)]  # that chords had on each degree, the older the less
    sounds_until: Annotated[Ints, Column(NUM_LAYERS, is_carried=True)]  # ticks from the beginning of this beat
    # Lowest and highest value of the last chord played, and value of the lead's last note; 0 before the first.
    voicing: Annotated[Ints, Column(2, is_carried=True)]
    last_lead: Annotated[Ints, Column(is_carried=True)]
    num_figures: Annotated[Ints, Column(is_carried=True)]  # that have been noted of it
    seconds: Annotated[npt.NDArray[np.float64], Column(is_carried=True)]  # that it has lasted
    tonic: Annotated[Ints, Column(initial=-1, is_carried=True)]  # that all values are relative to; -1 before the first
    is_arriving: Annotated[Bools, Column(is_carried=True)]  # the key is new, and the lead has not played in it
    done: Annotated[Bools, Column()]  # the beat is complete


@kernel
def _uniform(seed: Any, position: int, field: int) -> float:
    """A number in [0, 1): the splitmix64 finaliser (Steele, Lea, Flood 2014) of seed and counter."""
    z = seed + np.uint64(position * 8 + field + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@kernel
def _seed_of(rows: Rows, row: int) -> Any:
    return rows.seed[row] ^ (rows.attempt[row] * np.uint64(0xD6E8FEB86659FD93))


@kernel
def _draw(logits: Floats, allowed: Bools, temperature: float, uniform: float, bits: Bits) -> int:
    """Index of an allowed logit, drawn at `temperature`; the first one where none is allowed."""
    peak = F32(-np.inf)
    for i in range(len(logits)):
        if allowed[i] and logits[i] > peak:
            peak = logits[i]
    for i in range(len(logits)):
        logits[i] = (logits[i] - peak) / temperature if allowed[i] else F32(-80.0)
    kernels.exp_in_place(logits, bits[: len(logits)])
    total = F32(0.0)
    for i in range(len(logits)):
        if not allowed[i] or logits[i] < F32(_MIN_SHARE):
            logits[i] = F32(0.0)
        total += logits[i]
    mark = F32(uniform) * total
    last = 0
    for i in range(len(logits)):
        if logits[i] > 0:
            last = i
            mark -= logits[i]
            if mark < 0:
                break
    return last


@kernel
def _field_logits(
    parts: Floats, field: int, width: int, table: Floats, guidance: np.float32, hidden: Floats, out: Floats
) -> None:
    """out = table · silu(parts[0, field]), guided away from the same of parts[1].

    The product is linear: guiding its input guides the logits. `hidden` [width] is scratch.
    """
    for i in range(width):
        asked, free = parts[0, field * width + i], parts[1, field * width + i]
        asked /= F32(1.0) + F32(np.exp(-asked))
        free /= F32(1.0) + F32(np.exp(-free))
        hidden[i] = free + guidance * (asked - free)
    for n in range(table.shape[0]):
        total = F32(0.0)
        for i in range(width):
            total += hidden[i] * table[n, i]
        out[n] = total


@kernel
def _is_written(recalled: Ints, event: Ints, field: int) -> bool:
    """Is the event that is being written, up to `field`, the recalled one?"""
    is_same = True
    for before in range(field):
        is_same = is_same and recalled[before] == event[before]
    return is_same


@kernel
def _pull(logits: Floats, gates: Floats, strength: Floats, recalled: Ints, event: Ints, field: int) -> None:
    """Lean towards the recalled event, if it is the one that is being written; `strength` [lanes] comes on top."""
    if not _is_written(recalled, event, field):
        return
    lane = lane_of(recalled[0])
    if recalled[0] != NO_RECALL:
        most = strength[max(lane, 0)]
        if lane < 0:
            for each in range(len(strength)):
                most = max(most, strength[each])
        logits[recalled[field]] += gates[field] + most


@kernel
def _asked_back(rows: Rows, row: int, event: Ints) -> Any:
    """The value that is recalled of the event that is being written, NOTHING where it is another."""
    recalled = rows.recalled[row]
    return recalled[2] if _is_written(recalled, event, 2) else np.int64(NOTHING)


@kernel
def _add_chosen(parts: Floats, first_field: int, width: int, table: Floats, index: int) -> None:
    for i in range(table.shape[1]):
        parts[0, first_field * width + i] += table[index, i]
        parts[1, first_field * width + i] += table[index, i]


@kernel
def _choose_note(
    parts: Floats,
    gates: Floats,
    guidance: np.float32,
    heads: Heads,
    rows: Rows,
    rules: Rules,
    row: int,
    layer: int,
    scratch: Scratch,
    event: Ints,
) -> None:
    """Position, value, duration and velocity of a note of `layer`."""
    width = heads.position.shape[1]
    seed, counter = _seed_of(rows, row), rows.position[row]
    asked, shares = rules.temperature[row], _NOTE_TEMPERATURES[layer]
    logits, bits, allowed, values = scratch.logits, scratch.bits, scratch.allowed, scratch.values
    hidden = scratch.hidden
    allow_positions(rows, rules, row, layer, allowed, values)
    _field_logits(parts, 0, width, heads.position, guidance, hidden, logits)
    lean_positions(rules, row, layer, logits)
    _pull(logits, gates, rows.strength[row], rows.recalled[row], event, 1)
    event[1] = _draw(logits[:NUM_POSITIONS], allowed, asked * shares[0], _uniform(seed, counter, 1), bits)
    _add_chosen(parts, 1, width, heads.chosen_position, event[1])

    allow_values(rows, rules, row, layer, event[1], allowed)
    _field_logits(parts, 1, width, heads.value, guidance, hidden, logits)
    lean_values(rows, rules, row, layer, event[1], _asked_back(rows, row, event), logits)
    _pull(logits, gates, rows.strength[row], rows.recalled[row], event, 2)
    event[2] = _draw(logits, allowed, asked * shares[1], _uniform(seed, counter, 2), bits)
    _add_chosen(parts, 2, width, heads.chosen_value, event[2])

    allow_durations(rows, rules, row, layer, event[1], allowed)
    _field_logits(parts, 2, width, heads.duration, guidance, hidden, logits)
    _pull(logits, gates, rows.strength[row], rows.recalled[row], event, 3)
    lean_durations(rules, row, layer, logits)
    num_durations, num_velocities = heads.duration.shape[0], heads.velocity.shape[0]
    event[3] = _draw(logits[:num_durations], allowed, asked * shares[2], _uniform(seed, counter, 3), bits)
    _add_chosen(parts, 3, width, heads.chosen_duration, event[3])

    quietest, loudest = velocity_bounds(rows, rules, row, layer, event[1])
    for velocity in range(num_velocities):
        allowed[velocity] = quietest <= velocity <= loudest
    _field_logits(parts, 3, width, heads.velocity, guidance, hidden, logits)
    _pull(logits, gates, rows.strength[row], rows.recalled[row], event, 4)
    event[4] = _draw(logits[:num_velocities], allowed, asked * shares[3], _uniform(seed, counter, 4), bits)


@kernel
def _choose_event(
    parts: Floats,
    gates: Floats,
    kind_logits: Floats,
    guidance: np.float32,
    heads: Heads,
    rows: Rows,
    rules: Rules,
    row: int,
    scratch: Scratch,
    event: Ints,
) -> None:
    """Choose one event of one row into `event` [5]."""
    width = heads.position.shape[1]
    bits, allowed = scratch.bits, scratch.allowed[:NUM_KINDS]
    allow_kinds(rows, rules, row, allowed, scratch.values)
    for field in range(len(event)):
        event[field] = 0
    lean_kinds(rows, rules, row, kind_logits)
    _pull(kind_logits, gates, rows.strength[row], rows.recalled[row], event, 0)
    # The model tells bars from beats; here both mean that this beat is complete.
    kind_logits[BEAT] = max(kind_logits[BEAT], kind_logits[BAR])
    seed, counter = _seed_of(rows, row), rows.position[row]
    temperature = rules.temperature[row]
    event[0] = _draw(kind_logits, allowed, temperature * F32(_KIND_TEMPERATURE), _uniform(seed, counter, 0), bits)
    if event[0] <= BEAT:
        return
    _add_chosen(parts, 0, width, heads.chosen_kind, event[0])
    if event[0] == CHORD_EVENT:
        _add_chosen(parts, 1, width, heads.chosen_position, 0)
        logits = scratch.logits
        _field_logits(parts, 1, width, heads.value, guidance, scratch.hidden, logits)
        lean_chords(rows, rules, row, _asked_back(rows, row, event), logits)
        _pull(logits, gates, rows.strength[row], rows.recalled[row], event, 2)
        chords = rules.chords[row]
        event[2] = _draw(
            logits[: len(chords)], chords, temperature * F32(_CHORD_TEMPERATURE), _uniform(seed, counter, 2), bits
        )
    else:
        _choose_note(parts, gates, guidance, heads, rows, rules, row, event[0] - FIRST_LAYER, scratch, event)


@kernel
def _remember_pitch(rows: Rows, row: int, layer: int) -> None:
    """Keep what the next chord or melody note has to lead on from; the beat's last event has just been chosen."""
    event = rows.events[row, rows.num_events[row] - 1]
    if layer == _HARMONY:
        if onset_count(rows, row, layer, event[1]) == 1:
            rows.voicing[row, 0] = event[2]
        rows.voicing[row, 1] = event[2]
    elif layer == _LEAD:
        rows.last_lead[row] = event[2]


class Scratch(NamedTuple):
    """Memory that choosing overwrites."""

    levels: npt.NDArray[np.int16]  # [B, dim]
    scales: npt.NDArray[np.float32]  # [B]
    kind_logits: npt.NDArray[np.float32]  # [2, B, kinds]
    parts: npt.NDArray[np.float32]  # [2, B, 4 field_dim]
    gates: npt.NDArray[np.float32]  # [2, B, 5]
    hidden: npt.NDArray[np.float32]  # [field_dim]
    logits: npt.NDArray[np.float32]  # [values]
    bits: npt.NDArray[np.int32]  # [values]
    allowed: npt.NDArray[np.bool_]  # [values]
    values: npt.NDArray[np.bool_]  # [values]
    event: npt.NDArray[np.int64]  # [5]


def new_scratch(heads: Heads, num_rows: int) -> Scratch:
    num_values, field_dim = heads.value.shape
    return Scratch(
        np.zeros((num_rows, heads.kind.weight.shape[2]), np.int16),
        np.zeros(num_rows, np.float32),
        np.zeros((2, num_rows, NUM_KINDS), np.float32),
        np.zeros((2, num_rows, heads.field_in.weight.shape[1]), np.float32),
        np.zeros((2, num_rows, 5), np.float32),
        np.zeros(field_dim, np.float32),
        np.zeros(num_values, np.float32),
        np.zeros(num_values, np.int32),
        np.zeros(num_values, np.bool_),
        np.zeros(num_values, np.bool_),
        np.zeros(5, np.int64),
    )


@entry("engine.score")
def choose_events(
    hidden: Floats, guidance: np.float32, heads: Heads, rows: Rows, rules: Rules, slots: Ints, scratch: Scratch
) -> None:
    """Choose the next event of each of `slots` [B] and write it into the rows' state.

    hidden [2, B, dim]: as asked, and as it would be if no mood were asked. `guidance` 1 takes the first; what is above
    goes further from the second (classifier-free guidance, Ho and Salimans 2022, arXiv:2207.12598).
    """
    count, event = hidden.shape[1], scratch.event
    levels, scales = scratch.levels[:count], scratch.scales[:count]
    kind_logits, parts, gates = scratch.kind_logits, scratch.parts, scratch.gates
    for side in range(2):
        kernels.quantise_rows(hidden[side], levels, scales)
        kernels.multiply_rows(levels, scales, heads.kind.weight[0], heads.kind.scale[0], kind_logits[side, :count])
        kernels.multiply_rows(levels, scales, heads.copy.weight[0], heads.copy.scale[0], gates[side, :count])
        kernels.multiply_rows(levels, scales, heads.field_in.weight[0], heads.field_in.scale[0], parts[side, :count])
    for b in range(count):
        row = slots[b]
        rows.position[row] += 1
        for one, other in ((kind_logits[0, b], kind_logits[1, b]), (gates[0, b], gates[1, b])):
            for i in range(len(one)):
                one[i] = other[i] + guidance * (one[i] - other[i])
        for field in range(gates.shape[2]):
            gates[0, b, field] += heads.copy_bias[field]
        _choose_event(parts[:, b], gates[0, b], kind_logits[0, b], guidance, heads, rows, rules, row, scratch, event)
        if event[0] <= BEAT:
            rows.done[row] = True
            continue
        copy_event(event, rows.pending[row])
        copy_event(event, rows.events[row, rows.num_events[row]])
        rows.num_events[row] += 1
        show_next(rows.recalled_beat[row], rows.num_recalled[row], rows.is_recalling[row], event, rows.recalled[row])
        if event[0] == CHORD_EVENT:
            rows.chord[row] = event[2]
        else:
            layer = event[0] - FIRST_LAYER
            rows.num_notes[row, layer] += 1
            _remember_pitch(rows, row, layer)
            until = event[1] + min(DURATIONS[event[3]], _DIES_AWAY_TICKS)
            rows.sounds_until[row, layer] = max(rows.sounds_until[row, layer], until)


assert FIELD_SIZES[0] == NUM_KINDS
