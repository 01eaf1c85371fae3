"""The score transformer's live twin on the CPU: one event for many rows, in numba.

In: events, conditions and the rows they belong to; out: hidden states [B, dim] float32. Remembers keys and values in
the cache it is given. Called by the composer's thread; releases the GIL.

Every row is computed by itself, in one fixed order, and matrix products are exact: weights are int8 with one scale an
output, inputs int16 (12 bits) with one scale a row, sums int32 (which 12 + 8 bits and 1,024 terms cannot overflow). So
what a row hears does not depend, to the bit, on who shares its batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from engine.config import ModelConfig

F32 = np.float32
_INPUT_LEVELS = 2047.0
_EPS = 1e-5
_ROPE_BASE = 10_000.0
_REASSOCIATE = {"reassoc", "contract", "nsz"}  # lets sums use vector registers; the order is fixed when compiled


class Quantised(NamedTuple):
    """A stack of matrices, output = weight · input · scale."""

    weight: npt.NDArray[np.int8]  # [L, outputs, inputs]
    scale: npt.NDArray[np.float32]  # [L, outputs]


class Weights(NamedTuple):
    """All that the kernels read."""

    embed: npt.NDArray[np.float32]  # [sum of FIELD_SIZES, dim], the fields' tables one below another
    embed_start: npt.NDArray[np.int64]  # [5] first row of each field's table
    condition: npt.NDArray[np.float32]  # [CONDITION, dim]
    condition_bias: npt.NDArray[np.float32]  # [dim]
    norms: npt.NDArray[np.float32]  # [L, 2, dim]: before attention, before feed-forward
    last_norm: npt.NDArray[np.float32]  # [dim]
    qkv: Quantised
    out: Quantised
    gate_up: Quantised
    down: Quantised


def quantise(weight: npt.NDArray[np.float32]) -> Quantised:
    """Round a stack of matrices [L, outputs, inputs] to int8, one scale an output."""
    assert weight.shape[-1] <= 1024 and weight.shape[-2] % 4 == 0, weight.shape
    scale = np.maximum(np.abs(weight).max(-1), 1e-12) / 127.0
    return Quantised(np.rint(weight / scale[..., None]).astype(np.int8), scale.astype(np.float32))


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def quantise_rows(x, levels, scales):  # type: ignore[no-untyped-def]
    """Round rows x [B, K] to 12 bits: levels [B, K] int16, scales [B]."""
    for b in range(x.shape[0]):
        peak = F32(1e-12)
        for k in range(x.shape[1]):
            peak = max(peak, abs(x[b, k]))
        scales[b] = peak / F32(_INPUT_LEVELS)
        inverse = F32(_INPUT_LEVELS) / peak
        for k in range(x.shape[1]):
            levels[b, k] = np.int16(np.rint(x[b, k] * inverse))


@njit(cache=True, nogil=True)
def multiply_rows(levels, scales, weight, weight_scale, out):  # type: ignore[no-untyped-def]
    """out [B, N] = (levels · scales) [B, K] · (weight · weight_scale) [N, K]ᵀ; the sums are exact.

    Four outputs at a time, so that an input is loaded once for them; N is a multiple of four.
    """
    for n in range(0, weight.shape[0], 4):
        for b in range(levels.shape[0]):
            t0, t1, t2, t3 = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            for k in range(weight.shape[1]):
                x = np.int32(levels[b, k])
                t0 += x * np.int32(weight[n, k])
                t1 += x * np.int32(weight[n + 1, k])
                t2 += x * np.int32(weight[n + 2, k])
                t3 += x * np.int32(weight[n + 3, k])
            out[b, n] = F32(t0) * (scales[b] * weight_scale[n])
            out[b, n + 1] = F32(t1) * (scales[b] * weight_scale[n + 1])
            out[b, n + 2] = F32(t2) * (scales[b] * weight_scale[n + 2])
            out[b, n + 3] = F32(t3) * (scales[b] * weight_scale[n + 3])


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def normalise(x, gain, out):  # type: ignore[no-untyped-def]
    """RMSNorm of every row of x [B, dim]."""
    for b in range(x.shape[0]):
        total = F32(0.0)
        for k in range(x.shape[1]):
            total += x[b, k] * x[b, k]
        scale = F32(1.0) / F32(math.sqrt(total / F32(x.shape[1]) + F32(_EPS)))
        for k in range(x.shape[1]):
            out[b, k] = x[b, k] * scale * gain[k]


@njit(cache=True, nogil=True)
def exp_in_place(x, bits):  # type: ignore[no-untyped-def]
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


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = F32(0.0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE)
def _sum(a):  # type: ignore[no-untyped-def]
    total = F32(0.0)
    for i in range(len(a)):
        total += a[i]
    return total


@njit(cache=True, nogil=True, fastmath=_REASSOCIATE | {"nnan"})
def _max(a):  # type: ignore[no-untyped-def]
    peak = F32(-1e30)
    for i in range(len(a)):
        peak = max(peak, a[i])
    return peak


@njit(cache=True, nogil=True)
def _accumulate(total, factor, a):  # type: ignore[no-untyped-def]
    for i in range(len(total)):
        total[i] += factor * a[i]


@njit(cache=True, nogil=True)
def _subtract(a, b):  # type: ignore[no-untyped-def]
    for i in range(len(a)):
        a[i] -= b


@njit(cache=True, nogil=True)
def _rotate(vector, position, num_heads, head_dim):  # type: ignore[no-untyped-def]
    """Rotary embedding of `num_heads` heads in place; the angle in float64, so that days of events stay exact."""
    half = head_dim // 2
    for i in range(half):
        angle = position * _ROPE_BASE ** (-2.0 * i / head_dim)
        cos, sin = F32(math.cos(angle)), F32(math.sin(angle))
        for head in range(num_heads):
            low, high = vector[head * head_dim + i], vector[head * head_dim + half + i]
            vector[head * head_dim + i] = low * cos - high * sin
            vector[head * head_dim + half + i] = low * sin + high * cos


@njit(cache=True, nogil=True)
def _attend(qkv, keys, values, position, window, num_heads, head_dim, scores, bits, out):  # type: ignore[no-untyped-def]
    """One row: store key and value of `position`, attend to the window.

    qkv [dim + 2 kv]; keys, values [kv, capacity] (time last, so that sums over it fill vector registers);
    scores, bits [window] scratch; out [dim].
    """
    kv_dim, capacity = keys.shape
    dim = num_heads * head_dim
    group = num_heads // (kv_dim // head_dim)
    _rotate(qkv[:dim], position, num_heads, head_dim)
    _rotate(qkv[dim : dim + kv_dim], position, kv_dim // head_dim, head_dim)
    here = position % capacity
    for i in range(kv_dim):
        keys[i, here] = qkv[dim + i]
        values[i, here] = qkv[dim + kv_dim + i]
    length = min(window, position + 1)
    first = (position + 1 - length) % capacity
    straight = min(length, capacity - first)  # the window may wrap around the end of the cache
    scale = F32(1.0 / math.sqrt(head_dim))
    for head in range(num_heads):
        row = head // group * head_dim
        seen, flags = scores[:length], bits[:length]
        seen[:] = F32(0.0)
        for i in range(head_dim):
            q = qkv[head * head_dim + i] * scale
            key = keys[row + i]
            _accumulate(seen[:straight], q, key[first : first + straight])
            _accumulate(seen[straight:], q, key[: length - straight])
        _subtract(seen, _max(seen))
        exp_in_place(seen, flags)
        total = _sum(seen)
        for i in range(head_dim):
            value = values[row + i]
            near = _dot(seen[:straight], value[first : first + straight])
            far = _dot(seen[straight:], value[: length - straight])
            out[head * head_dim + i] = (near + far) / total


@njit(cache=True, nogil=True)
def _gate(gate_up, bits, out):  # type: ignore[no-untyped-def]
    """out = silu(gate) · up, row by row; gate_up [B, 2 F], out [B, F], bits [F] scratch."""
    width = out.shape[1]
    for b in range(out.shape[0]):
        for i in range(width):
            out[b, i] = -gate_up[b, i]
        for i in range(width):
            out[b, i] = min(out[b, i], F32(80.0))
        exp_in_place(out[b], bits)
        for i in range(width):
            out[b, i] = gate_up[b, i] / (F32(1.0) + out[b, i]) * gate_up[b, width + i]


@njit(cache=True, nogil=True)
def advance(weights, sizes, rows, positions, events, conditions, keys, values, hidden):  # type: ignore[no-untyped-def]
    """One event a row.

    sizes (num_heads, head_dim, window); rows [B] cache rows; positions [B] of the events; events [B, 5];
    conditions [B, CONDITION]; keys, values [S, L, kv, capacity]; hidden [B, dim] is written.
    """
    num_heads, head_dim, window = sizes
    num_rows, dim = hidden.shape
    num_layers, qkv_width = weights.qkv.weight.shape[0], weights.qkv.weight.shape[1]
    ffn = weights.down.weight.shape[2]
    x = np.empty((num_rows, dim), F32)
    for b in range(num_rows):
        x[b] = weights.condition_bias
        for c in range(conditions.shape[1]):
            if conditions[b, c] != 0.0:
                for i in range(dim):
                    x[b, i] += conditions[b, c] * weights.condition[c, i]
        for field in range(5):
            table_row = weights.embed[weights.embed_start[field] + events[b, field]]
            for i in range(dim):
                x[b, i] += table_row[i]
    normed, levels = np.empty((num_rows, dim), F32), np.empty((num_rows, dim), np.int16)
    scales, heard = np.empty(num_rows, F32), np.empty((num_rows, dim), F32)
    qkv, gate_up = np.empty((num_rows, qkv_width), F32), np.empty((num_rows, 2 * ffn), F32)
    inner, inner_levels = np.empty((num_rows, ffn), F32), np.empty((num_rows, ffn), np.int16)
    scores, bits, ffn_bits = np.empty(window, F32), np.empty(window, np.int32), np.empty(ffn, np.int32)
    for layer in range(num_layers):
        normalise(x, weights.norms[layer, 0], normed)
        quantise_rows(normed, levels, scales)
        multiply_rows(levels, scales, weights.qkv.weight[layer], weights.qkv.scale[layer], qkv)
        for b in range(num_rows):
            row = rows[b]
            _attend(
                qkv[b], keys[row, layer], values[row, layer], positions[b], window, num_heads, head_dim,
                scores, bits, heard[b],
            )  # fmt: skip
        quantise_rows(heard, levels, scales)
        multiply_rows(levels, scales, weights.out.weight[layer], weights.out.scale[layer], normed)
        x += normed
        normalise(x, weights.norms[layer, 1], normed)
        quantise_rows(normed, levels, scales)
        multiply_rows(levels, scales, weights.gate_up.weight[layer], weights.gate_up.scale[layer], gate_up)
        _gate(gate_up, ffn_bits, inner)
        quantise_rows(inner, inner_levels, scales)
        multiply_rows(inner_levels, scales, weights.down.weight[layer], weights.down.scale[layer], normed)
        x += normed
    normalise(x, weights.last_norm, hidden)


def pack_weights(tensors: dict[str, npt.NDArray[np.float32]], config: ModelConfig) -> Weights:
    """Arrange a checkpoint's float32 tensors (names of `ScoreTransformer.state_dict`) for the kernels."""

    def stack(name: str) -> npt.NDArray[np.float32]:
        return np.stack([tensors[f"layers.{i}.{name}.weight"] for i in range(config.num_layers)])

    tables = [tensors[f"embed.{i}.weight"] for i in range(5)]
    starts = np.cumsum([0] + [len(table) for table in tables[:-1]])
    return Weights(
        embed=np.ascontiguousarray(np.concatenate(tables)),
        embed_start=starts.astype(np.int64),
        condition=np.ascontiguousarray(tensors["condition.weight"].T),
        condition_bias=tensors["condition.bias"],
        norms=np.stack([stack("attention_norm"), stack("ffn_norm")], 1),
        last_norm=tensors["norm.weight"],
        qkv=quantise(stack("qkv")),
        out=quantise(stack("out")),
        gate_up=quantise(stack("gate_up")),
        down=quantise(stack("down")),
    )
