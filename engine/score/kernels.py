"""The score transformer's live twin on the CPU: one event for many rows, in numba.

In: events, conditions and the rows they belong to; out: hidden states [B, dim] float32. Remembers keys and values in
the cache it is given. Called by the composer's thread; releases the GIL.

Every row is computed by itself, in one fixed order, and matrix products are exact: weights are int8 with one scale an
output, inputs int16 (12 bits) with one scale a row, sums int32 (which 12 + 8 bits and 1,024 terms cannot overflow). So
what a row hears does not depend, to the bit, on who shares its batch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from engine.compile import entry, kernel
from engine.config import NORM_EPS, ROPE_BASE, ModelConfig

F32 = np.float32

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Levels = npt.NDArray[np.int16]
Bits = npt.NDArray[np.int32]
Weight = npt.NDArray[np.int8]
_INPUT_LEVELS = 2047.0
_REASSOCIATE = {"reassoc", "contract", "nsz"}  # lets sums use vector registers; the order is fixed when compiled


class Quantised(NamedTuple):
    """A stack of matrices, output = weight · input · scale."""

    weight: npt.NDArray[np.int8]  # [L, outputs, inputs]
    scale: npt.NDArray[np.float32]  # [L, outputs]


class Weights(NamedTuple):
    """All that the kernels read."""

    embed: npt.NDArray[np.float32]  # [sum of FIELD_SIZES, dim], the fields' tables one below another
    embed_start: npt.NDArray[np.int64]  # [5] first row of each field's table
    recalled: npt.NDArray[np.float32]  # [sum of RECALLED_SIZES, dim]
    recalled_start: npt.NDArray[np.int64]  # [5]
    condition: npt.NDArray[np.float32]  # [CONDITION, dim]
    condition_bias: npt.NDArray[np.float32]  # [dim]
    norms: npt.NDArray[np.float32]  # [L, 2, dim]: before attention, before feed-forward
    last_norm: npt.NDArray[np.float32]  # [dim]
    qkv: Quantised
    out: Quantised
    gate_up: Quantised
    down: Quantised


class Cache(NamedTuple):
    """Keys and values of every row as int8, time last so that sums over it fill vector registers.

    A quarter of float32: with many rows a step waits for this memory more than for arithmetic.
    """

    keys: npt.NDArray[np.int8]  # [S, L, kv, capacity]
    values: npt.NDArray[np.int8]  # [S, L, kv, capacity]
    key_scales: npt.NDArray[np.float32]  # [S, L, kv heads, capacity]
    value_scales: npt.NDArray[np.float32]  # [S, L, kv heads, capacity]


def make_cache(num_rows: int, config: ModelConfig, capacity: int) -> Cache:
    """Zeroed pages: they cost nothing until a row is first used."""
    stack = (num_rows, config.num_layers, config.kv_dim, capacity)
    scales = (num_rows, config.num_layers, config.num_kv_heads, capacity)
    return Cache(
        np.zeros(stack, np.int8), np.zeros(stack, np.int8), np.zeros(scales, np.float32), np.zeros(scales, np.float32)
    )


def quantise(weight: npt.NDArray[np.float32]) -> Quantised:
    """Round a stack of matrices [L, outputs, inputs] to int8, one scale an output."""
    assert weight.shape[-1] <= 1024, weight.shape
    scale = np.maximum(np.abs(weight).max(-1), 1e-12) / 127.0
    return Quantised(np.rint(weight / scale[..., None]).astype(np.int8), scale.astype(np.float32))


@kernel(fastmath=_REASSOCIATE)
def quantise_rows(x: Floats, levels: Levels, scales: Floats) -> None:
    """Round rows x [B, K] to 12 bits: levels [B, K] int16, scales [B]."""
    for b in range(x.shape[0]):
        peak = F32(1e-12)
        for k in range(x.shape[1]):
            peak = max(peak, abs(x[b, k]))
        scales[b] = peak / F32(_INPUT_LEVELS)
        inverse = F32(_INPUT_LEVELS) / peak
        for k in range(x.shape[1]):
            levels[b, k] = np.int16(np.rint(x[b, k] * inverse))


@kernel
def _exact_dot(x: Levels, weight: Weight) -> Any:
    """Sum of int16 · int8 in int32. The casts keep numba from widening to int64, which has no fast product."""
    total = np.int32(0)
    for k in range(len(x)):
        total = np.int32(total + np.int32(x[k]) * np.int32(weight[k]))
    return total


@kernel
def multiply_rows(levels: Levels, scales: Floats, weight: Weight, weight_scale: Floats, out: Floats) -> None:
    """out [B, N] = (levels · scales) [B, K] · (weight · weight_scale) [N, K]ᵀ; the sums are exact."""
    for n in range(weight.shape[0]):
        for b in range(levels.shape[0]):
            out[b, n] = F32(_exact_dot(levels[b], weight[n])) * (scales[b] * weight_scale[n])


@kernel(fastmath=_REASSOCIATE)
def normalise(x: Floats, gain: Floats, out: Floats) -> None:
    """RMSNorm of every row of x [B, dim]."""
    for b in range(x.shape[0]):
        total = F32(0.0)
        for k in range(x.shape[1]):
            total += x[b, k] * x[b, k]
        scale = F32(1.0) / F32(math.sqrt(total / F32(x.shape[1]) + F32(NORM_EPS)))
        for k in range(x.shape[1]):
            out[b, k] = x[b, k] * scale * gain[k]


@kernel
def exp_in_place(x: Floats, bits: Bits) -> None:
    """x = eˣ for x ≤ 88, written so that it fills vector registers; `bits` is int32 scratch of the same size.

    2^fraction by the degree-6 Taylor polynomial on [-1/2, 1/2]: relative error below 2e-7.
    """
    for i in range(x.shape[0]):
        y = max(x[i], F32(-87.0)) * F32(1.4426950408889634)
        whole = np.floor(y + F32(0.5))
        r = (y - whole) * F32(0.6931471805599453)
        bits[i] = (np.int32(whole) + np.int32(127)) << np.int32(23)
        x[i] = F32(1.0) + r * (
            F32(1.0) + r * (F32(0.5) + r * (F32(1 / 6) + r * (F32(1 / 24) + r * (F32(1 / 120) + r * F32(1 / 720)))))
        )
    powers = bits.view(np.float32)
    for i in range(x.shape[0]):
        x[i] *= powers[i]


@kernel(fastmath=_REASSOCIATE)
def _dot(a: Floats, b: Floats) -> Any:
    total = F32(0.0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@kernel(fastmath=_REASSOCIATE)
def _sum(a: Floats) -> Any:
    total = F32(0.0)
    for i in range(len(a)):
        total += a[i]
    return total


@kernel(fastmath=_REASSOCIATE | {"nnan"})
def _max(a: Floats) -> Any:
    peak = F32(-1e30)
    for i in range(len(a)):
        peak = max(peak, a[i])
    return peak


@kernel
def _accumulate(total: Floats, factor: float, a: Floats) -> None:
    for i in range(len(total)):
        total[i] += factor * a[i]


@kernel
def _softmax(a: Floats, bits: Bits) -> None:
    peak = _max(a)
    for i in range(len(a)):
        a[i] -= peak
    exp_in_place(a, bits)
    share = F32(1.0) / _sum(a)
    for i in range(len(a)):
        a[i] *= share


@kernel
def _rotate(vector: Floats, position: int, num_heads: int, head_dim: int) -> None:
    """Rotary embedding of `num_heads` heads in place; the angle in float64, so that days of events stay exact."""
    half = head_dim // 2
    for i in range(half):
        angle = position * ROPE_BASE ** (-2.0 * i / head_dim)
        cos, sin = F32(math.cos(angle)), F32(math.sin(angle))
        for head in range(num_heads):
            low, high = vector[head * head_dim + i], vector[head * head_dim + half + i]
            vector[head * head_dim + i] = low * cos - high * sin
            vector[head * head_dim + half + i] = low * sin + high * cos


@kernel
def _store(vector: Floats, stack: Weight, scales: Floats, place: int) -> None:
    """Round a key or value [kv] to int8, one scale a head, into stack [kv, capacity] and scales [heads, capacity]."""
    head_dim = len(vector) // scales.shape[0]
    for head in range(scales.shape[0]):
        peak = F32(1e-12)
        for i in range(head * head_dim, (head + 1) * head_dim):
            peak = max(peak, abs(vector[i]))
        scales[head, place] = peak / F32(127.0)
        for i in range(head * head_dim, (head + 1) * head_dim):
            stack[i, place] = np.int8(np.rint(vector[i] * (F32(127.0) / peak)))


@kernel
def _unroll(ring: npt.NDArray[Any], first: int, out: Floats) -> None:
    """out = len(out) places of a ring from `first` on, as float32."""
    straight = min(len(out), len(ring) - first)
    near, far = ring[first : first + straight], ring[: len(out) - straight]
    ahead, rest = out[:straight], out[straight:]
    for t in range(len(ahead)):
        ahead[t] = F32(near[t])
    for t in range(len(rest)):
        rest[t] = F32(far[t])


@kernel
def _multiply(a: Floats, b: Floats) -> None:
    for i in range(len(a)):
        a[i] *= b[i]


@kernel
def _attend(
    qkv: Floats,
    cache: Cache,
    row: int,
    layer: int,
    position: int,
    since: int,
    sizes: tuple[int, int, int],
    scores: Floats,
    line: Floats,
    bits: Bits,
    out: Floats,
) -> None:
    """One row and layer: store key and value of `position`, attend to the window, but to nothing before `since`.

    qkv [dim + 2 kv]; sizes (num_heads, head_dim, window); out [dim]; scores [group, window], line, bits: scratch.
    The heads that share a key are computed together, so that it is read once.
    """
    num_heads, head_dim, window = sizes
    keys, values = cache.keys[row, layer], cache.values[row, layer]
    kv_dim, capacity = keys.shape
    dim, num_shared = num_heads * head_dim, kv_dim // head_dim
    group = num_heads // num_shared
    _rotate(qkv[:dim], position, num_heads, head_dim)
    _rotate(qkv[dim : dim + kv_dim], position, num_shared, head_dim)
    here = position % capacity
    _store(qkv[dim : dim + kv_dim], keys, cache.key_scales[row, layer], here)
    _store(qkv[dim + kv_dim :], values, cache.value_scales[row, layer], here)
    length = min(window, position - since + 1)
    first = (position + 1 - length) % capacity
    scale = F32(1.0 / math.sqrt(head_dim))
    line, bits = line[:length], bits[:length]
    for shared in range(num_shared):
        start = shared * group * head_dim
        scores[:] = F32(0.0)
        for i in range(head_dim):
            _unroll(keys[shared * head_dim + i], first, line)
            for head in range(group):
                _accumulate(scores[head, :length], qkv[start + head * head_dim + i] * scale, line)
        _unroll(cache.key_scales[row, layer, shared], first, line)
        for head in range(group):
            _multiply(scores[head, :length], line)
            _softmax(scores[head, :length], bits)
        _unroll(cache.value_scales[row, layer, shared], first, line)
        for head in range(group):
            _multiply(scores[head, :length], line)
        for i in range(head_dim):
            _unroll(values[shared * head_dim + i], first, line)
            for head in range(group):
                out[start + head * head_dim + i] = _dot(scores[head, :length], line)


@kernel
def _gate(gate_up: Floats, bits: Bits, out: Floats) -> None:
    """out = silu(gate) · up, row by row; gate_up [B, 2 F], out [B, F], bits [F or more] scratch."""
    width = out.shape[1]
    for b in range(out.shape[0]):
        for i in range(width):
            out[b, i] = -gate_up[b, i]
        for i in range(width):
            out[b, i] = min(out[b, i], F32(80.0))
        exp_in_place(out[b], bits[:width])
        for i in range(width):
            out[b, i] = gate_up[b, i] / (F32(1.0) + out[b, i]) * gate_up[b, width + i]


class Scratch(NamedTuple):
    """Memory that a step overwrites, for as many rows as it may have."""

    x: npt.NDArray[np.float32]  # [B, dim]
    normed: npt.NDArray[np.float32]  # [B, dim]
    heard: npt.NDArray[np.float32]  # [B, dim]
    levels: npt.NDArray[np.int16]  # [B, dim]
    scales: npt.NDArray[np.float32]  # [B]
    qkv: npt.NDArray[np.float32]  # [B, dim + 2 kv]
    gate_up: npt.NDArray[np.float32]  # [B, 2 ffn]
    inner: npt.NDArray[np.float32]  # [B, ffn]
    inner_levels: npt.NDArray[np.int16]  # [B, ffn]
    scores: npt.NDArray[np.float32]  # [heads that share a key, window]
    line: npt.NDArray[np.float32]  # [window]
    bits: npt.NDArray[np.int32]  # [window or ffn, whichever is more]


def new_scratch(num_rows: int, config: ModelConfig) -> Scratch:
    dim, ffn, window = config.dim, config.ffn_dim, config.window
    return Scratch(
        np.zeros((num_rows, dim), np.float32),
        np.zeros((num_rows, dim), np.float32),
        np.zeros((num_rows, dim), np.float32),
        np.zeros((num_rows, dim), np.int16),
        np.zeros(num_rows, np.float32),
        np.zeros((num_rows, dim + 2 * config.kv_dim), np.float32),
        np.zeros((num_rows, 2 * ffn), np.float32),
        np.zeros((num_rows, ffn), np.float32),
        np.zeros((num_rows, ffn), np.int16),
        np.zeros((config.num_heads // config.num_kv_heads, window), np.float32),
        np.zeros(window, np.float32),
        np.zeros(max(window, ffn), np.int32),
    )


@kernel
def _embed(weights: Weights, events: Ints, recalled: Ints, conditions: Floats, x: Floats) -> None:
    """x [B, dim] = what the model is shown at this step."""
    dim = x.shape[1]
    for b in range(len(x)):
        for i in range(dim):
            x[b, i] = weights.condition_bias[i]
        for c in range(conditions.shape[1]):
            if conditions[b, c] != 0.0:
                for i in range(dim):
                    x[b, i] += conditions[b, c] * weights.condition[c, i]
        for field in range(5):
            table_row = weights.embed[weights.embed_start[field] + events[b, field]]
            recalled_row = weights.recalled[weights.recalled_start[field] + recalled[b, field]]
            for i in range(dim):
                x[b, i] += table_row[i] + recalled_row[i]


@kernel
def _add(total: Floats, rows: Floats) -> None:
    for b in range(total.shape[0]):
        for i in range(total.shape[1]):
            total[b, i] += rows[b, i]


@entry("engine.score")
def advance(
    weights: Weights,
    sizes: tuple[int, int, int],
    rows: Ints,
    positions: Ints,
    since: Ints,
    events: Ints,
    recalled: Ints,
    conditions: Floats,
    cache: Cache,
    scratch: Scratch,
    hidden: Floats,
) -> None:
    """One event a row.

    sizes (num_heads, head_dim, window); rows [B] cache rows; positions [B] of the events; since [B] the first
    that are seen; events and recalled [B, 5]; conditions [B, CONDITION]; hidden [B, dim] is written.
    """
    num_rows = len(hidden)
    x, normed, heard = scratch.x[:num_rows], scratch.normed[:num_rows], scratch.heard[:num_rows]
    levels, scales = scratch.levels[:num_rows], scratch.scales[:num_rows]
    qkv, gate_up = scratch.qkv[:num_rows], scratch.gate_up[:num_rows]
    inner, inner_levels = scratch.inner[:num_rows], scratch.inner_levels[:num_rows]
    scores, line, bits = scratch.scores, scratch.line, scratch.bits
    _embed(weights, events, recalled, conditions, x)
    for layer in range(weights.qkv.weight.shape[0]):
        normalise(x, weights.norms[layer, 0], normed)
        quantise_rows(normed, levels, scales)
        multiply_rows(levels, scales, weights.qkv.weight[layer], weights.qkv.scale[layer], qkv)
        for b in range(num_rows):
            _attend(qkv[b], cache, rows[b], layer, positions[b], since[b], sizes, scores, line, bits, heard[b])
        quantise_rows(heard, levels, scales)
        multiply_rows(levels, scales, weights.out.weight[layer], weights.out.scale[layer], normed)
        _add(x, normed)
        normalise(x, weights.norms[layer, 1], normed)
        quantise_rows(normed, levels, scales)
        multiply_rows(levels, scales, weights.gate_up.weight[layer], weights.gate_up.scale[layer], gate_up)
        _gate(gate_up, bits, inner)
        quantise_rows(inner, inner_levels, scales)
        multiply_rows(inner_levels, scales, weights.down.weight[layer], weights.down.scale[layer], normed)
        _add(x, normed)
    normalise(x, weights.last_norm, hidden)


def pack_weights(tensors: dict[str, npt.NDArray[np.float32]], config: ModelConfig) -> Weights:
    """Arrange a checkpoint's float32 tensors (names of `ScoreTransformer.state_dict`) for the kernels."""

    def stack(name: str) -> npt.NDArray[np.float32]:
        return np.stack([tensors[f"layers.{i}.{name}.weight"] for i in range(config.num_layers)])

    def stack_tables(name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        tables = [tensors[f"{name}.{i}.weight"] for i in range(5)]
        starts = np.cumsum([0] + [len(table) for table in tables[:-1]])
        return np.ascontiguousarray(np.concatenate(tables)), starts.astype(np.int64)

    embed, embed_start = stack_tables("embed")
    recalled, recalled_start = stack_tables("recalled")
    return Weights(
        embed=embed,
        embed_start=embed_start,
        recalled=recalled,
        recalled_start=recalled_start,
        condition=np.ascontiguousarray(tensors["condition.weight"].T),
        condition_bias=tensors["condition.bias"],
        norms=np.stack([stack("attention_norm"), stack("ffn_norm")], 1),
        last_norm=tensors["norm.weight"],
        qkv=quantise(stack("qkv")),
        out=quantise(stack("out")),
        gate_up=quantise(stack("gate_up")),
        down=quantise(stack("down")),
    )
