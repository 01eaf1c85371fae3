"""The live kernels, the torch trunk and the trained module say the same."""

from __future__ import annotations

import copy
from unittest import mock

import numpy as np
import pytest
import torch
from numba import njit
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine.config import TINY
from engine.score import kernels, sampling
from engine.score.transformer import ScoreTransformer
from engine.score.trunk import CpuTrunk, TorchTrunk
from engine.score.vocabulary import CONDITION, FIELD_SIZES, NO_RECALL, RECALLED_SIZES

ROWS = np.array([2, 0, 3])
Music = tuple[np.ndarray, np.ndarray, np.ndarray]
LENGTH = TINY.window + 40  # longer than the window, so that the cache is read past it


@pytest.fixture(scope="module")
def model() -> ScoreTransformer:
    torch.manual_seed(0)
    return ScoreTransformer(TINY).eval()


@pytest.fixture(scope="module")
def tensors(model: ScoreTransformer) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.fixture(scope="module")
def music() -> Music:
    """Events, recalled events, conditions."""
    rng = np.random.default_rng(1)
    events, recalled = (
        np.stack([rng.integers(0, size, (len(ROWS), LENGTH)) for size in sizes], -1)
        for sizes in (FIELD_SIZES, RECALLED_SIZES)
    )
    return events, recalled, (rng.random((len(ROWS), LENGTH, CONDITION)) < 0.1).astype(np.float32)


def live(trunk: CpuTrunk | TorchTrunk, music: Music, rows: np.ndarray, first: int = 0, since: int = 0) -> np.ndarray:
    """From step `first` on, nothing being seen from before `since`."""
    steps = range(first, music[0].shape[1])
    at, seen = [np.full(len(rows), step) for step in range(music[0].shape[1])], np.full(len(rows), since)
    return np.stack([trunk.advance(rows, at[s], seen, *(part[:, s] for part in music)) for s in steps], 1)


def offline(model: ScoreTransformer, music: Music) -> np.ndarray:
    with torch.inference_mode():
        return model(*(torch.from_numpy(part) for part in music)).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("make, tolerance", [(CpuTrunk, 0.03), (lambda *a: TorchTrunk(*a, "cpu"), 1e-5)])
def test_live_equals_offline(model, tensors, music, make, tolerance) -> None:
    """Measured: 0.007 for int8 weights and cache, 1e-6 in torch, where hidden states have unit scale."""
    assert np.abs(live(make(tensors, TINY, 4), music, ROWS) - offline(model, music)).max() < tolerance


@pytest.mark.parametrize("make", [CpuTrunk, lambda *a: TorchTrunk(*a, "cpu")])
def test_a_row_does_not_hear_its_neighbours(tensors, music, make) -> None:
    together = live(make(tensors, TINY, 4), music, ROWS)
    alone = live(make(tensors, TINY, 4), tuple(part[1:2] for part in music), ROWS[1:2])
    assert np.array_equal(together[1:2], alone)


@pytest.mark.parametrize("make, tolerance", [(CpuTrunk, 0.03), (lambda *a: TorchTrunk(*a, "cpu"), 1e-5)])
def test_a_row_sees_nothing_before_where_it_is_to_begin(model, tensors, music, make, tolerance) -> None:
    trunk, middle = make(tensors, TINY, 4), LENGTH // 2
    live(trunk, music, ROWS)
    begun_again = live(trunk, music, ROWS, first=middle, since=middle)
    assert np.abs(begun_again - offline(model, tuple(part[:, middle:] for part in music))).max() < tolerance


class HostCopies(TorchDispatchMode):
    """What torch does with the memory of some tensors, whatever view of it is taken: the names of the operations."""

    def __init__(self, *tensors: torch.Tensor) -> None:
        super().__init__()
        self.found: list[str] = []
        self._own = {tensor.untyped_storage().data_ptr() for tensor in tensors}

    def __torch_dispatch__(self, operation, kinds, args=(), kwargs=None):
        flat = [value for value in tree_leaves((args, kwargs)) if isinstance(value, torch.Tensor)]
        if any(value.untyped_storage().data_ptr() in self._own for value in flat):
            self.found.append(operation.overloadpacket.__name__)
        return operation(*args, **(kwargs or {}))


@pytest.mark.slow
def test_a_step_of_many_rows_is_one_copy_there_and_one_back(tensors, music) -> None:
    """What is kept on the host is touched by two copies only, and nothing else comes from the host."""
    trunk = TorchTrunk(tensors, TINY, 64, "cpu")
    rows, at = np.arange(0, 64, 2), np.zeros(32, np.int64)
    shown = [np.repeat(part[:1, 0], 32, axis=0) for part in music]
    trunk.advance(rows, at, at, *shown)
    with HostCopies(trunk._shown, trunk._hidden) as copies, mock.patch("torch.from_numpy", side_effect=AssertionError):
        hidden = trunk.advance(rows, at, at, *shown)
    assert copies.found == ["copy_", "copy_"]
    assert (hidden == hidden[0]).all()


@pytest.mark.gpu
def test_cuda_equals_offline(model, tensors, music) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device")
    assert np.abs(live(TorchTrunk(tensors, TINY, 4, "cuda"), music, ROWS) - offline(model, music)).max() < 1e-3


@njit
def exp_in_place(x, bits):
    kernels.exp_in_place(x, bits)


@njit
def add_chosen(parts, first_field, width, table, index):
    sampling._add_chosen(parts, first_field, width, table, index)


@njit
def field_logits(parts, field, width, table, guidance, hidden, out):
    sampling._field_logits(parts, field, width, table, guidance, hidden, out)


@njit
def pull(logits, gates, strength, recalled, event, field):
    sampling._pull(logits, gates, strength, recalled, event, field)


def test_exp_is_exact_to_seven_digits() -> None:
    x = np.linspace(-80, 0, 10_001, dtype=np.float32)
    result = x.copy()
    exp_in_place(result, np.empty(len(x), np.int32))
    assert np.abs(result / np.exp(x.astype(np.float64)) - 1).max() < 5e-6


def test_field_logits_see_only_earlier_fields(model) -> None:
    hidden = torch.randn(1, TINY.dim)
    event = torch.tensor([[4, 3, 200, 5, 6]])
    for changed in range(5):
        other = event.clone()
        other[0, changed] += 1
        recalled = torch.tensor([[4, 3, 200, 5, 7]])
        pairs = zip(
            model.field_logits(hidden, event, recalled), model.field_logits(hidden, other, recalled), strict=True
        )
        same = [torch.equal(a, b) for a, b in pairs]
        assert same == [field <= changed for field in range(5)]


@pytest.mark.parametrize("guidance", [1.0, 1.7])
@pytest.mark.parametrize("recalled", [(4, 3, 200, 5, 6), (4, 3, 201, 5, 6), (NO_RECALL, 0, 0, 0, 0)])
def test_the_sampler_has_the_module_s_logits(model, tensors, guidance, recalled) -> None:
    """Guided logits are the same mixture of two rows' logits; what is recalled pulls as far as the event follows it."""
    generator = torch.Generator().manual_seed(3)
    tensors = tensors | {"copy.weight": torch.randn(5, TINY.dim, generator=generator).numpy()}
    model = copy.deepcopy(model)
    model.copy.weight.data = torch.from_numpy(tensors["copy.weight"])
    hidden = torch.randn(2, TINY.dim, generator=generator)
    event = (4, 3, 200, 5, 6)
    with torch.inference_mode():
        asked, free = (model.field_logits(row, torch.tensor(event), torch.tensor(recalled)) for row in hidden)
        parts = model.field_in(hidden).numpy()
        gates = model.copy(hidden).numpy()
    heads, width = sampling.pack_heads(tensors), TINY.field_dim
    gate = gates[1] + np.float32(guidance) * (gates[0] - gates[1])
    tables = (heads.position, heads.value, heads.duration, heads.velocity)
    chosen = (heads.chosen_kind, heads.chosen_position, heads.chosen_value, heads.chosen_duration)
    for field, (table, before) in enumerate(zip(tables, chosen, strict=True), 1):
        add_chosen(parts, field - 1, width, before, event[field - 1])
        logits = np.empty(len(table), np.float32)
        field_logits(parts, field - 1, width, table, np.float32(guidance), np.empty(width, np.float32), logits)
        pull(logits, gate, np.zeros(6, np.float32), np.array(recalled), np.array(event), field)
        wanted = free[field] + guidance * (asked[field] - free[field])
        assert np.abs(logits - wanted.numpy()).max() < 1e-4
