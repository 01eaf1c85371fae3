"""The transformer as the composer sees it: one event a row in, hidden states out. Two devices behind one class shape.

Remembers the keys and values of every row; one thread calls it.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from engine.config import ModelConfig
from engine.score import kernels
from engine.score.vocabulary import CONDITION, NUM_FIELDS

REWIND_EVENTS = 256
"""How many events back a row may be rewound; the cache is longer than the window by this."""

_EVENT = 2
_RECALLED = _EVENT + NUM_FIELDS
_CONDITION = _RECALLED + NUM_FIELDS
_SHOWN = _CONDITION + CONDITION
"""Words of 32 bits that a row is shown: its position, the first it sees, an event, a recalled event, a condition."""

Float = npt.NDArray[np.float32]
Int = npt.NDArray[np.int64]
Memory = tuple[npt.NDArray[Any], ...]
"""Keys and values of one row, as the trunk keeps them."""


class Trunk(Protocol):
    """`advance` writes at the given positions, so rewinding is just calling it with an earlier one."""

    num_rows: int

    def advance(self, rows: Int, positions: Int, since: Int, events: Int, recalled: Int, conditions: Float) -> Float:
        """Hidden states float32 [B, dim] after events [B, 5] at positions [B] of rows [B], with recalled events [B, 5]
        and under conditions [B, C]; no row sees what lies before position since [B]."""

    def snapshot(self, row: int) -> Memory: ...

    def restore(self, row: int, snapshot: Memory) -> None: ...


class CpuTrunk:
    """The numba twin: int8 weights, each row computed by itself."""

    def __init__(self, tensors: dict[str, Float], config: ModelConfig, max_rows: int) -> None:
        capacity = config.window + REWIND_EVENTS
        self.num_rows = max_rows
        self._weights = kernels.pack_weights(tensors, config)
        self._sizes = (config.num_heads, config.head_dim, config.window)
        self._dim = config.dim
        self._cache = kernels.make_cache(max_rows, config, capacity)
        self._scratch = kernels.new_scratch(max_rows, config)

    def advance(self, rows: Int, positions: Int, since: Int, events: Int, recalled: Int, conditions: Float) -> Float:
        hidden = np.empty((len(rows), self._dim), np.float32)
        weights, sizes, cache, scratch = self._weights, self._sizes, self._cache, self._scratch
        kernels.advance(weights, sizes, rows, positions, since, events, recalled, conditions, cache, scratch, hidden)
        return hidden

    def snapshot(self, row: int) -> Memory:
        return tuple(part[row].copy() for part in self._cache)

    def restore(self, row: int, snapshot: Memory) -> None:
        parts: Memory = self._cache
        for part, saved in zip(parts, snapshot, strict=True):
            part[row] = saved


class TorchTrunk:
    """The torch model on `device`, always with all `max_rows` rows: one shape, hence one order of summation.

    Rows that are not asked for write to a spare last place of the cache and are thrown away. A step is one copy up, of
    all that a row is shown, and one down, each between an array that stays here and one that stays there.
    """

    def __init__(self, tensors: dict[str, Float], config: ModelConfig, max_rows: int, device: str) -> None:
        import torch

        from engine.score.transformer import ScoreTransformer

        self._torch, self._device, self._config = torch, torch.device(device), config
        self._model = ScoreTransformer(config).eval().to(self._device)
        self._model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
        self._capacity = config.window + REWIND_EVENTS
        shape = (config.num_layers, max_rows, config.num_kv_heads, self._capacity + 1, config.head_dim)
        self._keys = torch.zeros(shape, device=self._device)
        self._values = torch.zeros(shape, device=self._device)
        self.num_rows = max_rows
        is_pinned = self._device.type == "cuda"
        self._shown = torch.zeros((max_rows, _SHOWN), dtype=torch.int32, pin_memory=is_pinned)
        self._shown_there = torch.zeros((max_rows, _SHOWN), dtype=torch.int32, device=self._device)
        self._hidden = torch.zeros((max_rows, config.dim), pin_memory=is_pinned)
        self._shown_rows, self._hidden_rows = self._shown.numpy(), self._hidden.numpy()  # the same memory

    def advance(self, rows: Int, positions: Int, since: Int, events: Int, recalled: Int, conditions: Float) -> Float:
        shown = self._shown_rows
        shown[:, 0] = -1
        shown[rows, 0], shown[rows, 1] = positions, since
        shown[rows, _EVENT:_CONDITION] = np.concatenate((events, recalled), axis=1)
        shown.view(np.float32)[rows, _CONDITION:] = conditions
        self._shown_there.copy_(self._shown, non_blocking=True)
        there = self._shown_there
        numbers = there[:, :_CONDITION].long()
        with self._torch.inference_mode():
            hidden = self._advance_all(
                numbers[:, _EVENT:_RECALLED],
                numbers[:, _RECALLED:],
                there[:, _CONDITION:].view(self._torch.float32),
                numbers[:, 0],
                numbers[:, 1],
            )
        self._hidden.copy_(hidden)
        return self._hidden_rows[rows]

    def _advance_all(self, events: Any, recalled: Any, conditions: Any, positions: Any, since: Any) -> Any:
        from engine.score.transformer import rotary_angles, rotate

        torch = self._torch
        model: Any = self._model  # torch does not tell what its lists of modules hold
        every = torch.arange(self.num_rows, device=self._device)
        place = torch.where(positions < 0, self._capacity, positions % self._capacity)
        cos, sin = rotary_angles(positions.clamp(min=0), self._config.head_dim)
        cos, sin = cos[:, None, None], sin[:, None, None]
        slots = torch.arange(self._capacity + 1, device=self._device)
        age = (positions[:, None] - slots) % self._capacity
        seen = (age < self._config.window) & (age <= (positions - since)[:, None]) & (slots < self._capacity)
        seen |= slots == place[:, None]
        x = model.embed_events(events, recalled, conditions)[:, None]
        for index, layer in enumerate(model.layers):
            q, k, v = layer.split_heads(layer.attention_norm(x))
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            self._keys[index, every, :, place], self._values[index, every, :, place] = k[:, :, 0], v[:, :, 0]
            x = x + layer.attend(q, self._keys[index], self._values[index], seen[:, None, None])
            x = x + layer.feed_forward(x)
        return model.norm(x)[:, 0]

    def snapshot(self, row: int) -> Memory:
        return self._keys[:, row].cpu().numpy().copy(), self._values[:, row].cpu().numpy().copy()

    def restore(self, row: int, snapshot: Memory) -> None:
        self._keys[:, row], self._values[:, row] = (self._torch.from_numpy(part).to(self._device) for part in snapshot)
