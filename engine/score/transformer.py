"""The score transformer in torch: for training, and as the trunk on CUDA.

In: events and conditions; out: what comes next. Decoder-only, pre-norm, grouped-query attention over a sliding window,
rotary positions (Su et al. 2021, arXiv:2104.09864), SwiGLU (Shazeer 2020, arXiv:2002.05202). One step is one event: its
five fields are chosen one after another by small heads, each seeing the fields before it (after the nested decoders of
Ryu et al. 2024, arXiv:2408.01180). `engine/score/kernels.py` is the twin that runs live on the CPU.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.config import NORM_EPS, ROPE_BASE, ModelConfig
from engine.score.vocabulary import CONDITION, FIELD_SIZES, FIRST_LAYER, NO_RECALL, RECALLED_SIZES


class RMSNorm(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + NORM_EPS)
        return (x.float() * scale * self.weight).to(x.dtype)


def rotary_angles(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [T, head_dim / 2] of integer positions [T]."""
    exponent = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float64) / head_dim
    angle = positions.double()[:, None] * ROPE_BASE**-exponent
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate halves of the last axis: x [..., T, head_dim]."""
    low, high = x.chunk(2, -1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat((low * cos - high * sin, low * sin + high * cos), -1)


WindowBias = tuple[slice, slice, Tensor]
"""Queries, the keys that any of them may see, and what is added to their scores: 0 or as good as -∞."""


def window_biases(length: int, window: int, device: torch.device) -> list[WindowBias]:
    """Causal attention over the last `window` events, for half a window of queries at a time."""
    biases = []
    for first in range(0, length, window // 2):
        queries = slice(first, min(first + window // 2, length))
        keys = slice(max(0, first - window + 1), queries.stop)
        query, key = (torch.arange(part.start, part.stop, device=device) for part in (queries, keys))
        age = query[:, None] - key
        biases.append((queries, keys, torch.where((age >= 0) & (age < window), 0.0, -1e9)))
    return biases


class Layer(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.attention_norm = RMSNorm(config.dim)
        self.qkv = nn.Linear(config.dim, config.dim + 2 * config.kv_dim, bias=False)
        self.out = nn.Linear(config.dim, config.dim, bias=False)
        self.ffn_norm = RMSNorm(config.dim)
        self.gate_up = nn.Linear(config.dim, 2 * config.ffn_dim, bias=False)
        self.down = nn.Linear(config.ffn_dim, config.dim, bias=False)

    def split_heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, H, T, D] and keys, values [B, K, T, D] of normalised x [B, T, dim]."""
        c = self.config
        q, k, v = self.qkv(x).split((c.dim, c.kv_dim, c.kv_dim), -1)
        return tuple(part.unflatten(-1, (-1, c.head_dim)).transpose(1, 2) for part in (q, k, v))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Attention output [B, T, dim]; mask is True where a query may look."""
        heard = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        return self.out(heard.transpose(1, 2).flatten(2))

    def attend_in_window(self, q: Tensor, k: Tensor, v: Tensor, biases: list[WindowBias]) -> Tensor:
        """The same for whole sequences, part by part: what no query of a part may see is not computed.

        Written out, because compiled it trains twice as fast on a CPU as the fused function there.
        """
        group, heard = q.shape[1] // k.shape[1], []
        for queries, keys, bias in biases:
            # Heads that share a key, one below another.
            asked = q[:, :, queries].unflatten(1, (-1, group)).flatten(2, 3)  # type: ignore[no-untyped-call]
            scores = asked @ k[:, :, keys].transpose(-1, -2) * self.config.head_dim**-0.5
            weights = (scores + bias.to(scores.dtype).repeat(group, 1)).softmax(-1).to(v.dtype)
            heard.append((weights @ v[:, :, keys]).unflatten(2, (group, -1)).flatten(1, 2))
        return self.out(torch.cat(heard, 2).transpose(1, 2).flatten(2))

    def feed_forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, -1)
        return self.down(F.silu(gate) * up)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, biases: list[WindowBias]) -> Tensor:
        q, k, v = self.split_heads(self.attention_norm(x))
        x = x + self.attend_in_window(rotate(q, cos, sin), rotate(k, cos, sin), v, biases)
        return x + self.feed_forward(x)


class ScoreTransformer(nn.Module):
    """Events and recalled events [B, T, 5], conditions of each event's beat [B, T, CONDITION] → hidden [B, T, dim]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.ModuleList(nn.Embedding(size, config.dim) for size in FIELD_SIZES)
        self.recalled = nn.ModuleList(nn.Embedding(size, config.dim) for size in RECALLED_SIZES)
        self.condition = nn.Linear(CONDITION, config.dim)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.dim)
        self.kind_head = nn.Linear(config.dim, FIELD_SIZES[0], bias=False)
        # The later fields: one projection of the hidden state each, plus what has been chosen so far.
        self.field_in = nn.Linear(config.dim, 4 * config.field_dim, bias=False)
        self.chosen = nn.ModuleList(
            nn.Embedding(size, (4 - i) * config.field_dim) for i, size in enumerate(FIELD_SIZES[:4])
        )
        # How much each field leans on the recalled event, as long as the fields before it are the recalled ones.
        self.copy = nn.Linear(config.dim, len(FIELD_SIZES))
        self.field_out = nn.ModuleList(nn.Linear(config.field_dim, size, bias=False) for size in FIELD_SIZES[1:])
        self.apply(self._initialise)
        for layer in self.layers:
            assert isinstance(layer, Layer)
            for last in (layer.out, layer.down):
                nn.init.normal_(last.weight, std=0.02 / (2 * config.num_layers) ** 0.5)
        nn.init.zeros_(self.copy.weight)

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def embed_events(self, events: Tensor, recalled: Tensor, conditions: Tensor) -> Tensor:
        x = self.condition(conditions)
        for index, (table, recalled_table) in enumerate(zip(self.embed, self.recalled, strict=True)):
            x = x + table(events[..., index]) + recalled_table(recalled[..., index])
        return x

    def forward(self, events: Tensor, recalled: Tensor, conditions: Tensor) -> Tensor:
        length = events.shape[1]
        x = self.embed_events(events, recalled, conditions)
        cos, sin = rotary_angles(torch.arange(length, device=events.device), self.config.head_dim)
        biases = window_biases(length, self.config.window, events.device)
        for layer in self.layers:
            x = layer(x, cos, sin, biases)
        return self.norm(x)

    def field_logits(self, hidden: Tensor, events: Tensor, recalled: Tensor) -> list[Tensor]:
        """Logits of the five fields of `events` [..., 5] given `hidden` [..., dim]; each field sees those before it.

        The recalled event [..., 5] may be pointed to (after See et al. 2017, arXiv:1704.04368).
        """
        logits = [self.kind_head(hidden)]
        parts = self.field_in(hidden).unflatten(-1, (4, self.config.field_dim))
        for index, table in enumerate(self.chosen):
            parts = parts[..., index:, :] if index == 0 else parts[..., 1:, :]
            parts = parts + table(events[..., index]).unflatten(-1, (4 - index, self.config.field_dim))
            logits.append(self.field_out[index](F.silu(parts[..., 0, :])))
        gates = self.copy(hidden)
        is_same = recalled[..., 0] != NO_RECALL
        for index, field_logits in enumerate(logits):
            place = recalled[..., index : index + 1].clamp(max=field_logits.shape[-1] - 1)
            pull = (gates[..., index] * is_same)[..., None].to(field_logits.dtype)
            logits[index] = field_logits.scatter_add(-1, place, pull)
            is_same = is_same & (recalled[..., index] == events[..., index])
        return logits

    def losses(self, hidden: Tensor, targets: Tensor, recalled: Tensor, known: Tensor) -> Tensor:
        """Mean cross-entropy of each field [5] over the positions where it means something.

        hidden [B, T, dim]; targets and recalled [B, T, 5]; known [B, T] False where the target is padding.
        """
        kind = targets[..., 0]
        is_note = known & (kind >= FIRST_LAYER)
        has_value = known & (kind >= 2)
        where = (known, is_note, has_value, is_note, is_note)
        logits = self.field_logits(hidden, targets, recalled)
        losses = []
        for index, (field_logits, mask) in enumerate(zip(logits, where, strict=True)):
            each = F.cross_entropy(field_logits.float().flatten(0, -2), targets[..., index].flatten(), reduction="none")
            losses.append((each * mask.flatten()).sum() / mask.sum().clamp(min=1))
        return torch.stack(losses)
